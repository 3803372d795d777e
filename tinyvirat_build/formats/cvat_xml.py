"""CVAT for video 1.1: tracks of boxes with attributes, in XML.

Frames are 0-based and those of the video. ``outside`` ends a track's visibility. An attribute
that may change (``mutable``) is an activity while it has a value, another one over the whole
track; the label is the object's type. Tracks of a group that do the same over the same frames do
it together. Where no label has attributes, the labels are the activities. A project's file holds
several videos, each track naming its task.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from xml.parsers import expat

from tinyvirat_build.errors import AnnotationError
from tinyvirat_build.formats.assemble import STAGE, MalformedError, RawActivity, assemble
from tinyvirat_build.formats.faults import Issues, none_among
from tinyvirat_build.formats.options import ReadOptions
from tinyvirat_build.formats.rows import identity, integer, real
from tinyvirat_build.formats.safety import MAX_DEPTH, MAX_JSON, read_bytes, refuse_unsafe_video
from tinyvirat_build.formats.tracks import (
    Sight,
    TrackBoxes,
    activities_of,
    activity_name,
    distinct,
    joint,
)
from tinyvirat_build.formats.videos import video_of
from tinyvirat_build.records import Issue, VideoAnnotation

CORNERS: Final = ("xtl", "ytl", "xbr", "ybr")
REMEDY: Final = "export the task or the project as `CVAT for video 1.1`"

_SHAPES: Final = ("polygon", "polyline", "points", "cuboid", "mask", "ellipse", "skeleton")


def read(video_id: str, files: Sequence[Path], options: ReadOptions) -> VideoAnnotation:
    """Read one video's tracks; ``records_in`` counts the activities, and tracks that are none.

    An only task is of any video.

    Raises:
        AnnotationError: no XML file, not CVAT's, of images, of other videos, or with a DTD.
    """
    refuse_unsafe_video(video_id, files)
    path = next((p for p in files if p.name.endswith(".xml")), None)
    if path is None:
        raise none_among(files, "XML", video_id, REMEDY)
    issues = Issues()
    found = _Document(path, issues, video_id)
    found.parse()
    if len(found.sources) > 1 and video_id not in found.sources.values():
        raise AnnotationError(
            f"{len(found.sources)} tasks, none of them of {video_id}"[:400],
            file=path,
            remedy="name the video as the task's <source> does",
        )
    said = found.activities if found.attributes else found.by_label
    found.activities = joint(said, found.groups)
    if not found.activities:
        detail = "no track has an attribute or a label that says an activity"
        issues.append(Issue(STAGE, "empty_clip", "noted", "file", path.name, detail=detail))
    return assemble(
        video_id,
        found.activities,
        found.boxes.boxes(),
        found.types,
        issues,
        options,
        records_in=len(found.activities) + found.fallen,
        file=path.name,
        interpolate=False,
    )


def videos_in(path: Path) -> tuple[set[str], list[Issue]]:
    """The videos that a file's ``<source>`` name, and what of it belongs to none of its tasks.

    Raises:
        AnnotationError: it cannot be read.
    """
    found = _Document(path, Issues())
    found.parse()
    issues = []
    if found.unowned:
        detail = "tracks of no task that names a video"
        issues.append(
            Issue(
                "discover", "malformed", "quarantined", "tracks", path.name, count=found.unowned,
                detail=detail,
            )
        )  # fmt: skip
    return set(found.sources.values()) - {""}, issues


@dataclass(slots=True)
class _Track:
    id: str
    label: str
    group: str
    line: int
    sights: list[Sight] = field(default_factory=list)
    whole: dict[str, str] = field(default_factory=dict)


class _Document:
    """What a file says of a video, or of all of them, gathered while it is read."""

    def __init__(self, path: Path, issues: Issues, video: str | None = None) -> None:
        self.sources: dict[str, str] = {}  # task -> video
        self.groups: dict[str, str] = {}  # track -> group
        self.attributes = False  # whether any is defined or has a value
        self.by_label: list[RawActivity] = []
        self.unowned = 0  # tracks of a project that are of no video
        self._video = video
        self._task = ""
        self._apart = False  # whether the open track is another video's
        self.activities: list[RawActivity] = []
        self.types: dict[str, str] = {}
        self.fallen = 0  # tracks that are none
        self.boxes = TrackBoxes(path, issues)
        self._path, self._issues = path, issues
        self._parser = expat.ParserCreate("utf-8")
        self._open: list[str] = []
        self._text: list[str] = []
        self._defined: dict[str, str] = {}  # of the attribute in the labels that is open
        self._label = ""
        self._kinds: dict[tuple[str, str], tuple[bool, str]] = {}  # mutable, input type
        self._track: _Track | None = None
        self._box: dict[str, str] | None = None
        self._values: dict[str, str] = {}
        self._attribute = ""

    def parse(self) -> None:
        """Read the file."""
        data = read_bytes(self._path, MAX_JSON)
        parser: Any = self._parser
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        try:
            parser.Parse(data, True)
        except expat.ExpatError as e:
            raise AnnotationError(
                f"not XML ({expat.ErrorString(e.code)})",
                file=self._path,
                line=e.lineno,
                remedy="restore or correct the file",
            ) from e

    def _line(self) -> int:
        return self._parser.CurrentLineNumber

    def _refused(self, what: str, remedy: str = REMEDY) -> AnnotationError:
        return AnnotationError(what, file=self._path, line=self._line(), remedy=remedy)

    def _doctype(self, *_: object) -> None:
        raise self._refused("a DTD, which no file of CVAT has", "delete the DOCTYPE")

    def _start(self, name: str, given: Mapping[str, str]) -> None:
        above = self._open[-1] if self._open else ""
        self._open.append(name)
        self._text.clear()
        if len(self._open) > MAX_DEPTH:
            raise self._refused(f"nested deeper than {MAX_DEPTH}", "correct the file")
        if not above and name != "annotations":
            raise self._refused("not CVAT's XML, which begins with <annotations>")
        if above == "annotations" and name == "image":
            raise self._refused("annotations of images, not of a video")
        elif above == "annotations" and name == "track":
            self._begin_track(given)
        elif above == "track" and name == "box":
            self._box, self._values = dict(given), {}
        elif above == "track" and name in _SHAPES and not self._apart:
            self._note(f"a {name}; only boxes are read", apart=1)
        elif name == "attribute":
            self._defined, self._attribute = {}, given.get("name", "")

    def _end(self, name: str) -> None:
        self._open.pop()
        above = self._open[-1] if self._open else ""
        text = "".join(self._text).strip()
        self._text.clear()
        if name in ("id", "source") and above in ("task", "job"):
            self._task = text if name == "id" else self._task
            self.sources[self._task] = video_of(text) if name == "source" else ""
        elif name == "name" and above == "label":
            self._label = text
        elif above == "attribute":
            self._defined[name] = text
        elif name == "attribute" and above == "attributes":
            made = self._defined
            kind = made.get("mutable", "").lower() == "true", made.get("input_type", "")
            self._kinds[self._label, made.get("name", "")] = kind
            self.attributes = True
        elif name == "attribute" and above == "box":
            self._values[self._attribute] = text
            self.attributes = True
        elif name == "box" and self._box is not None:
            self._end_box(self._box)
            self._box = None
        elif name == "track" and self._track is not None:
            self._end_track(self._track)
            self._track = None

    def _begin_track(self, given: Mapping[str, str]) -> None:
        self._track = None
        if len(self.sources) > 1:
            video = self.sources.get(given.get("task_id", ""), "")
            self.unowned += not video
            self._apart = self._video is not None and video != self._video
            if self._apart:
                return
        try:
            track = identity(given.get("id", ""), "id of the track")
        except MalformedError as e:
            self.fallen += 1
            self._note(str(e), "dropped")
            return
        group = given.get("group_id", "")
        self._track = _Track(track, given.get("label", ""), group, self._line())

    def _end_box(self, given: Mapping[str, str]) -> None:
        track, line = self._track, self._line()
        if track is None:
            return
        values: dict[str, str] = {}
        for attribute, value in self._values.items():
            mutable, kind = self._kinds.get((track.label, attribute), (True, ""))
            if kind == "number":
                continue
            name = activity_name(attribute, value)
            if mutable:
                values[attribute] = name
            else:
                track.whole.setdefault(attribute, name)
        try:
            frame = integer(given.get("frame", ""), "frame")
            seen = given.get("outside", "0") != "1"
            box = _corners(given) if seen else None
        except MalformedError as e:
            self._note(f"a box: {e}")
            return
        keyframe = given.get("keyframe", "1") != "0"
        track.sights.append(Sight(frame, box, values, keyframe=keyframe, line=line))

    def _end_track(self, track: _Track) -> None:
        name = distinct(track.id, self.boxes)
        if name != track.id:
            detail = f"the id of another track; named {name}"
            self._issues.append(
                Issue(
                    STAGE, "duplicate", "noted", f"actor {track.id}", self._path.name, track.line,
                    detail=detail,
                )
            )  # fmt: skip
        track.sights.sort(key=lambda s: s.frame)
        self.boxes.add(name, _held(track.sights))
        self.types[name] = track.label
        if track.group not in ("", "0"):
            self.groups[name] = track.group
        self.activities += activities_of(name, track.sights, track.whole, track.line)
        labelled = [replace(s, values={"label": track.label}) for s in track.sights]
        self.by_label += activities_of(name, labelled, {}, track.line)

    def _note(self, detail: str, action: str = "noted", apart: int = 100) -> None:
        line = self._line()
        record = f"line {line}"
        issue = Issue(STAGE, "malformed", action, record, self._path.name, line, detail=detail)
        self._issues.append(issue, apart)


def _corners(given: Mapping[str, str]) -> list[float]:
    """A box's corners; of a rotated one those of the upright box around it."""
    x1, y1, x2, y2 = (real(given.get(name, ""), name) for name in CORNERS)
    angle = math.radians(real(given.get("rotation", "0"), "rotation"))
    if not angle or not math.isfinite(angle):
        return [x1, y1, x2, y2]
    cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
    width, height = abs(x2 - x1), abs(y2 - y1)
    across, down = (width * cos + height * sin) / 2, (width * sin + height * cos) / 2
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    return [x - across, y - down, x + across, y + down]


def _held(sights: Sequence[Sight]) -> list[Sight]:
    """The sights, and one more before each end of visibility: the last box holds until then."""
    found: list[Sight] = []
    for sight in sights:
        before = found[-1] if found else sight
        if sight.box is None and before.box is not None and before.frame < sight.frame - 1:
            found.append(replace(before, frame=sight.frame - 1, values={}, keyframe=False))
        found.append(sight)
    return found
