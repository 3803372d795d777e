"""DIVE's annotation JSON and VIAME CSV: tracks with classes and attributes.

Frames are 0-based, ends inclusive. Attributes are activities; of a track without one that says an
activity, its likeliest class is its one activity, over all of its frames; with the attribute
``activity: none`` it is an object that does nothing by itself. A group of the JSON is an activity
of its members. The attributes ``actor_id`` of a track and ``activity_id`` of a group are names that
DIVE's numbers cannot be; ``export`` writes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from tinyvirat_build.errors import AnnotationError
from tinyvirat_build.formats.actev_tree import load
from tinyvirat_build.formats.assemble import (
    STAGE,
    MalformedError,
    RawActivity,
    RawBoxes,
    assemble,
)
from tinyvirat_build.formats.faults import Issues, none_among, one_of_each
from tinyvirat_build.formats.options import ReadOptions
from tinyvirat_build.formats.rows import BoxRows, TextRow, identity, integer, real, rows_of
from tinyvirat_build.formats.safety import MAX_JSON, read_bytes, refuse_unsafe_video
from tinyvirat_build.formats.tracks import (
    Sight,
    TrackBoxes,
    activities_of,
    activity_name,
    distinct,
)
from tinyvirat_build.records import Issue, VideoAnnotation

ACTOR_ID: Final = "actor_id"
ACTIVITY_ID: Final = "activity_id"
ACTIVITY: Final = "activity"
NO_TYPE: Final = "unknown"  # DIVE's own word for a track without a class
RESERVED: Final = frozenset(("rotation", "userModified", "userCreated", ACTOR_ID))  # no activities
SAME_RATE: Final = 0.01  # share by which two frame rates may differ and still be one


def read(video_id: str, files: Sequence[Path], options: ReadOptions) -> VideoAnnotation:
    """Read one video's JSON or CSV; ``records_in`` counts activities, and tracks that are none.

    Raises:
        AnnotationError: neither of them is given, or it cannot be read.
    """
    refuse_unsafe_video(video_id, files)
    issues = Issues()
    order = sorted(files, key=lambda path: not path.name.endswith(".json"))
    path = one_of_each(order, _kind, issues).get("annotations")
    if path is None:
        raise none_among(files, "JSON or CSV", video_id, "give DIVE's annotation JSON or VIAME CSV")
    found = _Found(path, issues)
    in_json = path.name.endswith(".json")
    boxes = _read_json(found) if in_json else _read_csv(found, float(Fraction(options.fps)))
    return assemble(
        video_id,
        found.activities,
        boxes,
        found.types,
        issues,
        options,
        records_in=len(found.activities) + found.fallen,
        file=path.name,
        interpolate=not in_json,
    )


def _kind(path: Path) -> str | None:
    return "annotations" if path.name.endswith((".json", ".csv")) else None


@dataclass(slots=True)
class _Found:
    """What a file says, gathered while it is read."""

    path: Path
    issues: Issues
    activities: list[RawActivity] = field(default_factory=list)
    types: dict[str, str] = field(default_factory=dict)
    fallen: int = 0  # tracks and groups that cannot be read

    def note(self, record: str, detail: str, line: int | None = None) -> None:
        """Tell of something that is left out."""
        told = record[:200], self.path.name, line
        self.issues.append(Issue(STAGE, "malformed", "noted", *told, detail=detail))

    def drop(self, record: str, detail: str) -> None:
        """Tell of a track or group that is left out."""
        self.fallen += 1
        told = record[:200], self.path.name
        self.issues.append(Issue(STAGE, "malformed", "dropped", *told, detail=detail))

    def end_track(self, track: DiveTrack) -> None:
        """Note what a track does."""
        found = activities_of(track.id, track.sights, track.whole, track.line)
        if found:
            self.types[track.id] = track.kind
        elif track.whole.get(ACTIVITY) == "":
            self.types[track.id] = track.kind if track.kind != NO_TYPE else ""
        elif track.kind and track.sights:
            span = track.sights[0].frame, track.sights[-1].frame + 1
            found = [RawActivity(f"{track.id}:1", track.kind, *span, (track.id,), line=track.line)]
        else:
            self.note(f"actor {track.id}", "no box, or no class and no attribute", track.line)
        self.activities += found


@dataclass(slots=True)
class DiveTrack:
    """A track as written: its likeliest class, and its attributes by frame and as a whole."""

    id: str
    kind: str = ""
    sights: list[Sight] = field(default_factory=list)  # in order of frame
    whole: dict[str, str] = field(default_factory=dict)
    line: int | None = None


def _said(attribute: str, value: object) -> str | None:
    """The activity that an attribute says, empty for none; None where it is no matter of one."""
    if attribute in RESERVED or not attribute:
        return None
    if isinstance(value, bool) or value is None:
        return attribute if value else ""
    if not isinstance(value, str):
        return None
    try:
        real(value.strip(), attribute)
    except MalformedError:
        return activity_name(attribute, value)
    return None


def _values(attributes: object) -> dict[str, str]:
    given = attributes.items() if isinstance(attributes, Mapping) else ()
    said = ((name, _said(name, value)) for name, value in given)
    return {name: activity for name, activity in said if activity is not None}


def _told(attributes: object, name: str) -> str:
    """A text among attributes, empty where there is none."""
    value = attributes.get(name) if isinstance(attributes, Mapping) else None
    return value if isinstance(value, str) else ""


def _likeliest(pairs: object) -> str:
    """The class of the highest score; the first of equals, empty where there is none."""
    best, name = -1.0, ""
    for pair in pairs if isinstance(pairs, list) else ():
        if isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str):
            score = pair[1] if _is_number(pair[1]) else 0
            if pair[0] and score > best:
                best, name = score, pair[0]
    return name


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _read_json(found: _Found) -> RawBoxes:
    """The boxes of the JSON, dense where it says that they are interpolated."""
    tree = load(found.path)
    tracks = tree.get("tracks") if isinstance(tree, dict) else None
    if not isinstance(tracks, dict):
        raise AnnotationError(
            "no mapping of tracks", file=found.path, remedy='give DIVE\'s JSON: {"tracks": {...}}'
        )
    boxes = TrackBoxes(found.path, found.issues)
    actors: dict[str, str] = {}  # by the track's number
    for key, record in tracks.items():
        try:
            track = _track(identity(key, "id of the track"), record, found)
        except MalformedError as e:
            found.drop(f"actor {key}", str(e))
            continue
        track.id = actors[key] = distinct(track.id, boxes)
        boxes.add(track.id, track.sights)
        found.end_track(track)
    groups = tree.get("groups")
    for key, record in groups.items() if isinstance(groups, dict) else ():
        try:
            found.activities.append(_group(key, record, actors))
        except MalformedError as e:
            found.drop(f"group {key}", str(e))
    return boxes.boxes()


def _track(key: str, record: Any, found: _Found) -> DiveTrack:
    features = record.get("features") if isinstance(record, dict) else None
    if not isinstance(features, list):
        raise MalformedError("no list of features")
    name = _told(record.get("attributes"), ACTOR_ID)
    track = DiveTrack(identity(name or key, ACTOR_ID), _likeliest(record.get("confidencePairs")))
    track.whole = _values(record.get("attributes"))
    for feature in features:
        try:
            track.sights.append(_sight(feature))
        except MalformedError as e:
            found.note(f"actor {key}", f"a feature: {e}")
    track.sights.sort(key=lambda s: s.frame)
    return track


def _sight(feature: Any) -> Sight:
    if not isinstance(feature, dict):
        raise MalformedError("no mapping")
    frame, box = feature.get("frame"), feature.get("bounds")
    if not isinstance(frame, int) or isinstance(frame, bool) or abs(frame) >= 1 << 31:
        raise MalformedError("frame is not a whole number")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        raise MalformedError("bounds are not x1, y1, x2, y2")
    return Sight(
        frame,
        box,
        _values(feature.get("attributes")),
        linked=feature.get("interpolate") is True,
        keyframe=feature.get("keyframe") is not False,
    )


def _group(key: str, record: Any, actors: Mapping[str, str]) -> RawActivity:
    """A group as an activity, from the first to the last frame of its members' ranges."""
    members = record.get("members") if isinstance(record, dict) else None
    if not isinstance(members, dict) or not members:
        raise MalformedError("no members")
    name = _likeliest(record.get("confidencePairs"))
    frames = [
        frame
        for member in members.values()
        for span in (member.get("ranges") if isinstance(member, dict) else None) or ()
        for frame in (span if isinstance(span, list) else ())
    ] or [record.get("begin"), record.get("end")]
    if not name or not all(isinstance(f, int) and abs(f) < 1 << 31 for f in frames):
        raise MalformedError("no class, or no ranges of frames")
    own = tuple(actors.get(m) or identity(m, "id of a member") for m in members)
    activity_id = _told(record.get("attributes"), ACTIVITY_ID) or f"group:{key}"
    return RawActivity(activity_id, name, min(frames), max(frames) + 1, own)


def _read_csv(found: _Found, rate: float) -> RawBoxes:
    """The boxes of the CSV, as written."""
    boxes = BoxRows(found.path)
    tracks: dict[str, DiveTrack] = {}
    for row in rows_of(read_bytes(found.path, MAX_JSON)):
        if row.cells[0].startswith("#"):
            _compare_rates(row, rate, found)
            continue
        try:
            track_id, frame, corners = _box(row)
        except MalformedError as e:
            found.note(f"line {row.line}", str(e), row.line)
            continue
        boxes.add(track_id, frame, corners, row.line)
        track = tracks.setdefault(track_id, DiveTrack(track_id, line=row.line))
        _describe(track, frame, corners, row)
    for track in tracks.values():
        track.sights.sort(key=lambda s: s.frame)
        found.end_track(track)
    return boxes.boxes()


def _box(row: TextRow) -> tuple[str, int, list[float]]:
    if row.broken:
        raise MalformedError("quotes that do not close, or stand inside a cell")
    if len(row.cells) < 7:
        raise MalformedError(f"{len(row.cells)} cells, not the seven of a box")
    corners = [real(cell, "a corner") for cell in row.cells[3:7]]
    return identity(row.cells[0], "id of the track"), integer(row.cells[2], "frame"), corners


def _describe(track: DiveTrack, frame: int, corners: list[float], row: TextRow) -> None:
    """Note the classes and attributes of a row; of differing classes the last row's count."""
    values: dict[str, str] = {}
    for kind, name, text in _attributes(row.cells):
        said = _said(name, text)
        if said is not None:
            (values if kind == "(atr)" else track.whole)[name] = said
    pairs = list(_pairs(row.cells))
    track.kind = _likeliest(pairs) if pairs else track.kind
    track.sights.append(Sight(frame, corners, values, line=row.line))


def _attributes(cells: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """The kind, name and value of each attribute of a row."""
    for cell in cells[9:]:
        kind, _, rest = cell.partition(" ")
        if kind in ("(atr)", "(trk-atr)"):
            name, _, value = rest.strip().partition(" ")
            yield kind, name, value


def _pairs(cells: Sequence[str]) -> Iterator[tuple[str, float]]:
    """The classes of a row with their scores; they stand before all attributes."""
    for at in range(9, len(cells) - 1, 2):
        if cells[at].startswith("("):
            return
        try:
            yield cells[at], real(cells[at + 1], "score")
        except MalformedError:
            yield cells[at], 0.0


def _compare_rates(row: TextRow, rate: float, found: _Found) -> None:
    """Tell where a file counts frames at another rate than the corpus."""
    for cell in row.cells:
        name, _, value = cell.partition(":")
        if name.strip().lower() != "fps":
            continue
        try:
            own = real(value.strip(' "'), "fps")
        except MalformedError:
            continue
        if own > 0 and abs(own / rate - 1) > SAME_RATE:
            detail = f"annotated at {own:g} frames a second, the corpus has {rate:g}"
            told = f"line {row.line}", found.path.name, row.line
            found.issues.append(Issue(STAGE, "frame_rate", "noted", *told, detail=detail))
