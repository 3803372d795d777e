"""NIST ActEV JSON: activities whose objects carry their boxes as step functions of the frame.

A localization ``{"12": box, "20": box, "31": {}}`` holds each box until the next key. The base of
the frames differs by producer (``ReadOptions.dialect``), was measured for each against its own
KPF, and is checked here against the boxes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from tinyvirat_build.errors import MAX_BOXES, MAX_FRAME, Work
from tinyvirat_build.formats.actev_tree import Activity, Object, load, read_activity, records_of
from tinyvirat_build.formats.assemble import STAGE, MalformedError, RawActivity, assemble
from tinyvirat_build.formats.faults import Issues, none_among, one_of_each
from tinyvirat_build.formats.objects import Instance, unite
from tinyvirat_build.formats.options import Dialect, ReadOptions
from tinyvirat_build.formats.safety import refuse_unsafe_video
from tinyvirat_build.geometry.arrays import Ints
from tinyvirat_build.records import Issue, VideoAnnotation

INDEX_FILES: Final = ("file-index.json", "activity-index.json")


def read(video_id: str, files: Sequence[Path], options: ReadOptions) -> VideoAnnotation:
    """Read one video's activities; a file may hold those of other videos too.

    ``file-index.json`` beside it tells a 1-based producer where the dialect is not given. A box
    that a dense dialect holds over more than ``max_gap`` frames is a hole and an issue ``gap``.
    With ``last: off_frame`` the dialect ``exclusive`` counts the off frame too; it leaves that
    frame's box out, so that the one before is held (``held_box``).

    Raises:
        AnnotationError: no activities file, not JSON, not ActEV's, or several videos of which
            none is the one asked for.
        BoundError: the boxes, held, would be more than ``MAX_BOXES``.
    """
    issues = Issues()
    path, found, records_in, inferred = _read(video_id, files, issues)
    file = path.name
    dialect = options.dialect or inferred
    issues.extend(_contradictions(found, dialect, file))
    with_off = dialect == "exclusive" and options.last == "off_frame"
    bounds: Dialect = "inclusive" if with_off else dialect

    held: list[tuple[int, Object, Ints, Ints]] = []
    work = Work(MAX_BOXES, "boxes, held from frame to frame", file=path)
    for index, a in enumerate(found):
        lengthened = 0
        for o in a.objects:
            start, holds = _holds(a, o, dialect)
            if dialect != "nist":
                holds = _unheld(a, o, start, holds, options.max_gap, file, issues)
            if with_off and o.keys and o.keys[-1] == a.off - 1 and o.corners[-1] is not None:
                holds[-1] += 1
                lengthened += 1
            work.add(int(holds.sum()))
            held.append((index, o, start, holds))
        if lengthened:
            issues.append(_lengthened(a, file, lengthened))
    owners = [index for index, *_ in held]
    names, boxes, types = unite(_instances(found, held, work.done), file, issues)
    actors: list[list[str]] = [[] for _ in found]
    for index, name in zip(owners, names, strict=True):
        actors[index].append(name)
    activities = [
        RawActivity(a.activity_id, a.name, *_span(a, bounds), tuple(dict.fromkeys(ids)))
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


def _lengthened(a: Activity, file: str, count: int) -> Issue:
    """The note that the box before stands for that of an activity's last frame."""
    record, detail = f"activity {a.activity_id}"[:200], f"no box on its last frame, {a.off}"
    return Issue(STAGE, "held_box", "held", record, file, count=count, detail=detail)


def dialect_of(video_id: str, files: Sequence[Path]) -> Dialect:
    """The dialect that a video's files are read in where none is given.

    Raises:
        AnnotationError: as :func:`read`.
    """
    return _read(video_id, files, Issues())[3]


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
) -> tuple[Path, list[Activity], int, Dialect]:
    """The file, its activities, how many it has of the video, and the dialect they show."""
    refuse_unsafe_video(video_id, files)
    path = one_of_each(files, _main, issues).get("activities")
    if path is None:
        raise none_among(files, "activities", video_id, "give the ActEV JSON of the video")
    one_based = any(_starts_at_one(p) for p in files if p.name.endswith(INDEX_FILES[0]))
    records = records_of(video_id, path)
    found: list[Activity] = []
    for position, record in enumerate(records):
        try:
            found.append(read_activity(record, video_id, issues, path.name))
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


def _inferred(activities: Sequence[Activity], one_based: bool) -> Dialect:
    """The dialect that the boxes themselves show."""
    closed, at_off, before_off = _endings(activities)
    if one_based or closed:
        return "nist"
    return "inclusive" if at_off > before_off else "exclusive"


def _endings(activities: Sequence[Activity]) -> tuple[int, int, int]:
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


def _contradictions(activities: Sequence[Activity], dialect: Dialect, file: str) -> Iterator[Issue]:
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


def _span(a: Activity, dialect: Dialect) -> tuple[int, int]:
    """First frame and end, 0-based, half-open; on and off on one frame (collapsed) is one frame.

    A NIST activity that is on from 1 to 1528 covers frames 0 to 1526, end 1527.
    """
    base = 1 if dialect == "nist" else 0
    last = a.off if dialect == "inclusive" else a.off - 1
    return a.on - base, max(last, a.on) - base + 1


def _holds(a: Activity, o: Object, dialect: Dialect) -> tuple[Ints, Ints]:
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
    a: Activity,
    o: Object,
    start: Ints,
    holds: Ints,
    max_gap: int,
    file: str,
    issues: Issues,
) -> Ints:
    """The frames that each box holds where a file has a box on every frame: no long hole."""
    holes = np.flatnonzero(holds > max_gap + 1)
    if len(holes):
        record = f"activity {a.activity_id} actor {o.object_id} frame {start[holes[0]]}"[:200]
        detail = f"longer than {max_gap} frames"
        issues.append(Issue(STAGE, "gap", "noted", record, file, count=len(holes), detail=detail))
    return np.where(holds > max_gap + 1, 1, holds)


def _instances(
    found: Sequence[Activity], held: Sequence[tuple[int, Object, Ints, Ints]], boxes: int
) -> list[Instance]:
    """The objects with a box on every frame from one key to the next.

    They are parts of arrays of all ``boxes``, whose memory is given back whole.
    """
    frame, xyxy = np.empty(boxes, np.int64), np.empty((boxes, 4))
    keyframe = np.empty(boxes, bool)
    instances = []
    end = 0
    for index, o, start, holds in held:
        first, end = end, end + int(holds.sum())
        own = slice(first, end)
        corners = np.array([c for c in o.corners if c is not None], float).reshape(-1, 4)
        rows = np.repeat(np.arange(len(start)), holds)
        step = np.arange(len(rows)) - np.repeat(np.cumsum(holds) - holds, holds)
        np.add(start[rows], step, out=frame[own])
        np.take(corners, rows, axis=0, out=xyxy[own])
        np.equal(step, 0, out=keyframe[own])
        a = found[index]
        instances.append(
            Instance(a.activity_id, o.object_id, o.type, frame[own], xyxy[own], keyframe[own])
        )
    return instances
