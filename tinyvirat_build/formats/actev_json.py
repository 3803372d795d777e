"""NIST ActEV JSON: activities whose objects carry their boxes as step functions of the frame.

A localization ``{"12": box, "20": box, "31": {}}`` holds each box until the next key. The base of
the frames differs by producer (``ReadOptions.dialect``), was measured for each against its own
KPF, and is checked here against the boxes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from tinyvirat_build.errors import AnnotationError
from tinyvirat_build.formats.assemble import STAGE, MalformedError, RawActivity, assemble
from tinyvirat_build.formats.faults import Issues, one_of_each
from tinyvirat_build.formats.objects import Instance, unite
from tinyvirat_build.formats.options import Dialect, ReadOptions
from tinyvirat_build.formats.safety import (
    MAX_BOXES,
    MAX_FRAME,
    MAX_JSON,
    read_bytes,
    refuse_unsafe_video,
)
from tinyvirat_build.records import Issue, VideoAnnotation

INDEX_FILES: Final = ("file-index.json", "activity-index.json")

_EXTENSION = re.compile(r"(\.r\d+)?\.(avi|mp4|mov|mkv|mpg)$")
_FRAME = re.compile(r"-?[0-9]{1,9}")


def read(video_id: str, files: Sequence[Path], options: ReadOptions) -> VideoAnnotation:
    """Read one video's activities; a file may hold those of other videos too.

    ``file-index.json`` beside it tells a 1-based producer where the dialect is not given. A box
    that a dense dialect holds over more than ``max_gap`` frames is a hole and an issue ``gap``.

    Raises:
        AnnotationError: no activities file, not JSON, not ActEV's, boxes without end, or several
            videos of which none is the one asked for.
    """
    issues = Issues()
    path, found, records_in, inferred = _read(video_id, files, issues)
    file = path.name
    dialect = options.dialect or inferred
    issues.extend(_contradictions(found, dialect, file))

    instances: list[Instance] = []
    owners: list[int] = []
    total = 0
    for index, a in enumerate(found):
        for o in a.objects:
            start, holds = _holds(a, o, dialect)
            if dialect != "nist":
                holds = _unheld(a, o, start, holds, options.max_gap, file, issues)
            total += holds.sum()
            if total > MAX_BOXES:
                raise AnnotationError(
                    f"boxes held over more than {MAX_BOXES} frames",
                    file=path,
                    remedy="correct the frames",
                )
            instances.append(_held(a, o, start, holds))
            owners.append(index)
    names, boxes, types = unite(instances, file, issues)
    actors: list[list[str]] = [[] for _ in found]
    for index, name in zip(owners, names, strict=True):
        actors[index].append(name)
    activities = [
        RawActivity(a.activity_id, a.name, *_span(a, dialect), tuple(dict.fromkeys(ids)))
        for a, ids in zip(found, actors, strict=True)
    ]
    return assemble(
        video_id,
        activities,
        boxes,
        types,
        issues,
        options,
        records_in=records_in,
        file=file,
        interpolate=False,
    )


def dialect_of(video_id: str, files: Sequence[Path]) -> Dialect:
    """The dialect that a video's files are read in where none is given.

    Raises:
        AnnotationError: as :func:`read`.
    """
    return _read(video_id, files, Issues())[3]


def videos_in(path: Path) -> list[str]:
    """The names of the videos that a file speaks of, sorted.

    Raises:
        AnnotationError: it cannot be read, is not JSON or not ActEV's.
    """
    tree, activities = _activities(path)
    return sorted(set(map(video_name, _named(tree, activities))))


def load(path: Path) -> Any:
    """The tree of a JSON file.

    Raises:
        AnnotationError: the file cannot be read or is not JSON; the line is named.
    """
    data = read_bytes(path, MAX_JSON)
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as e:
        raise AnnotationError(
            f"not JSON ({e.msg})", file=path, line=e.lineno, remedy="restore or correct the file"
        ) from e


@dataclass(slots=True)
class _Object:
    object_id: str
    type: str
    keys: list[int]  # frames as written, ascending
    corners: list[tuple[float, float, float, float] | None]  # None where the signal ends


@dataclass(slots=True)
class _Activity:
    activity_id: str
    name: str
    on: int  # as written
    off: int
    objects: list[_Object]


def _starts_at_one(path: Path) -> bool:
    """Whether a file index selects frames from 1 on, which is NIST's way of counting."""
    index = load(path)
    for entry in index.values() if isinstance(index, dict) else ():
        selected = entry.get("selected") if isinstance(entry, dict) else None
        if isinstance(selected, dict) and "1" in selected and "0" not in selected:
            return True
    return False


def _read(
    video_id: str, files: Sequence[Path], issues: Issues
) -> tuple[Path, list[_Activity], int, Dialect]:
    """The file, its activities, how many it has of the video, and the dialect they show."""
    refuse_unsafe_video(video_id, files)
    path = one_of_each(files, _main, issues).get("activities")
    if path is None:
        raise AnnotationError(
            "no activities among " + (", ".join(p.name for p in files) or "no files"),
            file=files[0].parent if files else video_id,
            remedy="give the ActEV JSON of the video",
        )
    one_based = any(_starts_at_one(p) for p in files if p.name.endswith(INDEX_FILES[0]))
    records = _records(video_id, path)
    found: list[_Activity] = []
    for position, record in enumerate(records):
        try:
            found.append(_activity(record, video_id, issues, path.name))
        except MalformedError as e:
            name = record.get("activityID") if isinstance(record, dict) else None
            label = f"activity {name if isinstance(name, int | str) else f'number {position}'}"
            issues.append(
                Issue(STAGE, "malformed", "dropped", label[:200], path.name, detail=str(e))
            )
    return path, found, len(records), _inferred(found, one_based)


def _main(path: Path) -> str | None:
    name = path.name
    return "activities" if name.endswith(".json") and not name.endswith(INDEX_FILES) else None


def _records(video_id: str, path: Path) -> list[Any]:
    """The activities of a file that concern the video."""
    tree, activities = _activities(path)
    named = _named(tree, activities)
    own = {name for name in named if video_name(name) == video_id}
    if own:
        return [a for a in activities if not (there := _localized(a)) or own & there.keys()]
    if len(set(map(video_name, named))) > 1:
        raise AnnotationError(
            f"holds {len(named)} videos, {', '.join(sorted(named)[:3])} …, none of them {video_id}"[
                :400
            ],
            file=path,
            remedy="name the file, or a copy of it, as one of them",
        )
    return activities


def _activities(path: Path) -> tuple[dict[str, Any], list[Any]]:
    """The tree of a file and its activities."""
    tree = load(path)
    activities = tree.get("activities") if isinstance(tree, dict) else None
    if not isinstance(activities, list):
        raise AnnotationError(
            "no list of activities", file=path, remedy='give ActEV JSON: {"activities": [...]}'
        )
    return tree, activities


def _named(tree: dict[str, Any], activities: list[Any]) -> set[str]:
    """The names of files that activities are localized in, and those of several processed."""
    processed = tree.get("filesProcessed")
    names = {n for a in activities for n in _localized(a)}
    if isinstance(processed, list) and len(processed) > 1:
        names.update(n for n in processed if isinstance(n, str))
    return names


def video_name(file: str) -> str:
    """A video's own name, from the name of its file.

    >>> video_name("2018-03-07.16-50-01.16-55-01.bus.G331.r13.avi")
    '2018-03-07.16-50-01.16-55-01.bus.G331'
    """
    return _EXTENSION.sub("", file)


def _localized(record: Any) -> dict[str, Any]:
    localization = record.get("localization") if isinstance(record, dict) else None
    return localization if isinstance(localization, dict) else {}


def _activity(record: Any, video_id: str, issues: Issues, file: str) -> _Activity:
    if not isinstance(record, dict):
        raise MalformedError("an activity is a mapping")
    activity_id = _identity(record.get("activityID"), "activityID")
    name = record.get("activity")
    if not isinstance(name, str) or not name:
        raise MalformedError("no activity name")
    files = _localized(record)
    where = _file_of(files, {video_id})
    names = {video_id, video_name(where)}
    keys, values = _signal(record.get("localization"), where)
    if not keys:
        raise MalformedError("no frames in the localization")
    label = f"activity {activity_id}"[:200]
    remark = _remark(list(map(bool, values)))
    if remark:
        issues.append(Issue(STAGE, "malformed", "noted", label, file, detail=remark))
    objects = []
    listed = record.get("objects")
    for o in listed if isinstance(listed, list) else ():
        there = _localized(o)
        if len(files) > 1 and there and not _own(there, names):
            continue  # seen in another video only
        try:
            objects.append(_object(o, names, label, file, issues))
        except MalformedError as e:
            issues.append(Issue(STAGE, "malformed", "noted", label, file, detail=f"object: {e}"))
    return _Activity(activity_id, name, keys[0], keys[-1], objects)


def _remark(signal: Sequence[bool]) -> str:
    """What is odd in when an activity is on; on and then off, or collapsed to off, is not."""
    if signal in ([True, False], [False]):
        return ""
    if len(signal) % 2 == 0 and signal == [True, False] * (len(signal) // 2):
        return f"{len(signal) // 2} timespans, read as one from the first to the last"
    return "not on at one frame and off at a later one; read from the first frame to the last"


def _object(
    record: Any, names: Collection[str], activity: str, file: str, issues: Issues
) -> _Object:
    if not isinstance(record, dict):
        raise MalformedError("an object is a mapping")
    object_id = _identity(record.get("objectID"), "objectID")
    kind = record.get("objectType")
    localized = _localized(record)
    keys, values = _signal(record.get("localization"), _file_of(localized, names))
    corners: list[tuple[float, float, float, float] | None] = []
    kept: list[int] = []
    bad = 0
    for key, value in zip(keys, values, strict=True):
        if not value:
            corners.append(None)
        elif (box := _corners(value)) is not None:
            corners.append(box)
        else:
            bad += 1
            continue
        kept.append(key)
    if bad:
        label = f"{activity} actor {object_id}"[:200]
        detail = "boxes that are not x, y, w, h"
        issues.append(Issue(STAGE, "malformed", "noted", label, file, count=bad, detail=detail))
    return _Object(object_id, kind if isinstance(kind, str) else "", kept, corners)


def _file_of(localization: dict[str, Any], names: Collection[str]) -> str:
    """Which file of a localization is the video's: the one so named, or the only one."""
    own = _own(localization, names)
    if not own and len(localization) > 1:
        raise MalformedError("localized in several files, none of them the video")
    return next(iter(own or localization), "")


def _own(localization: dict[str, Any], names: Collection[str]) -> list[str]:
    return [name for name in localization if name in names or video_name(name) in names]


def _signal(localization: Any, file: str) -> tuple[list[int], list[Any]]:
    """The frames, ascending, and values of one file's signal; empty objects have none."""
    if not isinstance(localization, dict):
        raise MalformedError("no localization")
    signal: Any = localization.get(file, {})
    if not isinstance(signal, dict):
        raise MalformedError("a localization maps frames to values")
    if not all(map(_FRAME.fullmatch, signal)):
        raise MalformedError("a frame that is no number")
    pairs = sorted(zip(map(int, signal), signal.values(), strict=True), key=lambda p: p[0])
    return [k for k, _ in pairs], [v for _, v in pairs]


def _corners(value: Any) -> tuple[float, float, float, float] | None:
    box = value.get("boundingBox") if isinstance(value, dict) else None
    if not isinstance(box, dict):
        return None
    try:
        x, y, w, h = box["x"], box["y"], box["w"], box["h"]
        return (x + 0.0, y + 0.0, x + w + 0.0, y + h + 0.0)
    except (KeyError, TypeError):
        return None


def _identity(value: Any, key: str) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise MalformedError(f"no {key}")
    return str(value)


def _inferred(activities: Sequence[_Activity], one_based: bool) -> Dialect:
    """The dialect that the boxes themselves show."""
    closed, at_off, before_off = _endings(activities)
    if one_based or closed:
        return "nist"
    return "inclusive" if at_off > before_off else "exclusive"


def _endings(activities: Sequence[_Activity]) -> tuple[int, int, int]:
    """How many objects end in ``{}``, have their last box at the off frame, or one before it."""
    closed = at_off = before_off = 0
    for a in activities:
        for o in a.objects:
            boxed = [k for k, c in zip(o.keys, o.corners, strict=True) if c is not None]
            if not boxed or a.on == a.off:
                continue
            closed += o.corners[-1] is None
            at_off += boxed[-1] == a.off
            before_off += boxed[-1] == a.off - 1
    return closed, at_off, before_off


def _contradictions(
    activities: Sequence[_Activity], dialect: Dialect, file: str
) -> Iterator[Issue]:
    closed, at_off, before_off = _endings(activities)
    zero = any(a.on < 1 for a in activities)
    wrong, why = {
        "nist": (
            # NIST closes every object; in dense files the last box is the last frame's
            max(at_off, before_off) if max(at_off, before_off) > closed else 0,
            "last boxes on the last frame that no {} closes",
        ),
        "inclusive": (
            before_off if before_off > at_off else 0,
            "last boxes one before the off frame, which is inclusive",
        ),
        "exclusive": (
            at_off if at_off > before_off else 0,
            "boxes at the off frame, which is exclusive",
        ),
    }[dialect]
    if wrong:
        yield _contradiction(dialect, file, wrong, why)
    if dialect == "nist" and zero:
        yield _contradiction(dialect, file, 1, "frame 0, where frames count from 1")
    if dialect != "nist" and closed:
        yield _contradiction(dialect, file, closed, "objects closed by {}, which is NIST's way")


def _contradiction(dialect: str, file: str, count: int, why: str) -> Issue:
    detail = f"{why}; read as {dialect}, correct the dialect of the source if that is wrong"
    return Issue(STAGE, "dialect", "noted", "video", file, count=count, detail=detail)


def _span(a: _Activity, dialect: Dialect) -> tuple[int, int]:
    """First frame and end, 0-based, half-open; on and off on one frame (collapsed) is one frame.

    A NIST activity that is on from 1 to 1528 covers frames 0 to 1526, end 1527.
    """
    base = 1 if dialect == "nist" else 0
    last = a.off if dialect == "inclusive" else a.off - 1
    return a.on - base, max(last, a.on) - base + 1


def _holds(
    a: _Activity, o: _Object, dialect: Dialect
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each box of an object its first frame, 0-based, and the frames that it holds.

    A last box that nothing closes holds to the end of the activity in NIST's dialect and for one
    frame in the dense ones; a box beyond any video's frames is not held at all.
    """
    frame = np.array(o.keys, np.int64) - (1 if dialect == "nist" else 0)
    if not len(frame):
        return frame, frame
    end = frame[-1] + 1
    if dialect == "nist":
        end = max(end, _span(a, dialect)[1])
    boxed = np.array([c is not None for c in o.corners], bool)
    holds = np.diff(frame, append=end)[boxed]
    return frame[boxed], np.where(holds > MAX_FRAME, 1, holds)


def _unheld(
    a: _Activity,
    o: _Object,
    start: NDArray[np.int64],
    holds: NDArray[np.int64],
    max_gap: int,
    file: str,
    issues: Issues,
) -> NDArray[np.int64]:
    """The frames that each box holds where a file has a box on every frame: no long hole."""
    holes = np.flatnonzero(holds > max_gap + 1)
    if len(holes):
        record = f"activity {a.activity_id} actor {o.object_id} frame {start[holes[0]]}"[:200]
        detail = f"longer than {max_gap} frames"
        issues.append(Issue(STAGE, "gap", "noted", record, file, count=len(holes), detail=detail))
    return np.where(holds > max_gap + 1, 1, holds)


def _held(a: _Activity, o: _Object, start: NDArray[np.int64], holds: NDArray[np.int64]) -> Instance:
    """The object's boxes on every frame from one key to the next."""
    xyxy = np.array([c for c in o.corners if c is not None], float).reshape(-1, 4)
    rows = np.repeat(np.arange(len(start)), holds)
    step = np.arange(len(rows)) - np.repeat(np.cumsum(holds) - holds, holds)
    return Instance(a.activity_id, o.object_id, o.type, start[rows] + step, xyxy[rows], step == 0)
