"""The tree of an ActEV JSON: its activities and objects as written, before any dialect."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tinyvirat_build.errors import AnnotationError
from tinyvirat_build.formats.assemble import STAGE, MalformedError
from tinyvirat_build.formats.faults import Issues
from tinyvirat_build.formats.safety import MAX_JSON, read_bytes
from tinyvirat_build.records import Issue

_EXTENSION = re.compile(r"(\.r\d+)?\.(avi|mp4|mov|mkv|mpg)$")
_FRAME = re.compile(r"-?[0-9]{1,9}")


@dataclass(slots=True)
class Object:
    """An actor of one activity, its boxes at the frames where they change."""

    object_id: str
    type: str
    keys: list[int]  # frames as written, ascending
    corners: list[tuple[float, float, float, float] | None]  # None where the signal ends


@dataclass(slots=True)
class Activity:
    """An activity as written, with the frames where its signal turns on and off."""

    activity_id: str
    name: str
    on: int  # as written
    off: int
    objects: list[Object]


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


def videos_in(path: Path) -> list[str]:
    """The names of the videos that a file speaks of, sorted.

    Raises:
        AnnotationError: it cannot be read, is not JSON or not ActEV's.
    """
    tree, activities = _activities(path)
    return sorted(set(map(video_name, _named(tree, activities))))


def records_of(video_id: str, path: Path) -> list[Any]:
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


def read_activity(record: Any, video_id: str, issues: Issues, file: str) -> Activity:
    """An activity from its record; what is odd in it is noted in ``issues``.

    Raises:
        MalformedError: it has no id, no name, or no frames in the video.
    """
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
    return Activity(activity_id, name, keys[0], keys[-1], objects)


def _remark(signal: Sequence[bool]) -> str:
    """What is odd in when an activity is on; on and then off, or collapsed to off, is not."""
    if signal in ([True, False], [False]):
        return ""
    if len(signal) % 2 == 0 and signal == [True, False] * (len(signal) // 2):
        return f"{len(signal) // 2} timespans, read as one from the first to the last"
    return "not on at one frame and off at a later one; read from the first frame to the last"


def _object(
    record: Any, names: Collection[str], activity: str, file: str, issues: Issues
) -> Object:
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
    return Object(object_id, kind if isinstance(kind, str) else "", kept, corners)


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
