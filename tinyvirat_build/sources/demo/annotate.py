"""The demo's annotations in the layouts, and with some of the quirks, of the real corpora."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from tinyvirat_build.geometry.arrays import Floats
from tinyvirat_build.sources.demo.cameras import Take
from tinyvirat_build.sources.demo.world import Event, Person, Scene

KPF_KINDS: Final = ("activities", "geom", "types")
TEXT_KINDS: Final = ("events", "objects", "mapping")

_VIRAT_TYPES: Final = {
    "person_enters_vehicle": 5,
    "person_exits_vehicle": 6,
    "activity_gesturing": 7,
    "activity_carrying": 9,
    "activity_running": 10,
}
_UNMAPPED: Final = "person_reads_document"


@dataclass(frozen=True, slots=True)
class _Record:
    """An activity as it is written: its own number, its actors' numbers and their boxes."""

    number: int
    event: Event
    actors: tuple[tuple[int, int], ...]  # (number in the file, index in the scene)
    status: str = "good"
    has_boxes: bool = True


def annotation_files(scene_style: str, video_id: str, folder: Path) -> tuple[Path, ...]:
    """The three files of a video's annotation."""
    if scene_style == "virat-text":
        return tuple(folder / f"{video_id}.viratdata.{kind}.txt" for kind in TEXT_KINDS)
    return tuple(folder / f"{video_id}.{kind}.yml" for kind in KPF_KINDS)


def write_annotation(scene: Scene, boxes: Floats, folder: Path) -> None:
    """Write a video's annotation.

    Args:
        scene: what happens.
        boxes: (actors, T, 4) pixels, NaN where an actor is not there.
        folder: where the files go.
    """
    take = scene.take
    texts = _text(scene, boxes) if take.is_text else _kpf(scene, boxes)
    files = annotation_files(take.style, take.video_id, folder)
    for path, lines in zip(files, texts, strict=True):
        path.write_text("".join(line + "\n" for line in lines), "utf-8")


def _kpf(scene: Scene, boxes: Floats) -> tuple[list[str], list[str], list[str]]:
    take = scene.take
    write = _WRITERS[take.style]
    if "empty" in take.quirks:
        return _empty(take)
    records = _records(scene)
    activities = [*_metas(scene, write), *map(write.activity, records)]
    tracks = {number: index for r in records if r.has_boxes for number, index in r.actors}
    spans = {number: (r.event.start, r.event.end) for r in records for number, _ in r.actors}
    types = write.head(take.video_id, "types")
    types += [write.type_of(n, _kind(scene, k)) for n, k in sorted(tracks.items())]
    geometry = write.head(take.video_id, "geom")
    count = 0
    for number, index in sorted(tracks.items()):
        start, end = (0, take.frames) if write.shares_actors else spans[number]
        for frame, box in _rows(boxes[index], start, end):
            keyframe = (frame - start) % 10 == 0 or frame == end - 1
            seconds = float(frame / Fraction(take.camera.fps))
            geometry.append(write.box(number, count, frame, seconds, box, keyframe))
            count += 1
    return activities, geometry, types


def _metas(scene: Scene, write: _Writer) -> list[str]:
    """The first lines of the activities: whose they are and how many there are of each name."""
    counts = sorted(Counter(e.name for e in scene.events).items())
    head = write.head(scene.take.video_id, "activities")
    return head + [_meta(f"{name} {n} instances") for name, n in counts if head]


def _meta(text: str) -> str:
    return f'- {{ meta: "{text}" }}'


def _empty(take: Take) -> tuple[list[str], list[str], list[str]]:
    """The files of a clip without activities, as MEVA's evaluation level has them.

    The mark stands in the place of the clip's name, also in the other two; the activity that is
    none has no actors.
    """
    mark = _meta(f"{take.video_id} was marked empty-37")
    span = f"[{{tsr0: [0,{take.frames}]}}]"
    record = f"- {{ act: {{ act2: {{ empty_37: 1.0 }}, id2: 1, timespan: {span}, src: truth}}}}"
    return [mark, record], [mark], [mark]


def _rows(boxes: Floats, start: int, end: int) -> Iterable[tuple[int, tuple[int, ...]]]:
    """Frames and whole-number boxes where the actor is there."""
    there = start + np.flatnonzero(~np.isnan(boxes[start:end, 0]))
    return zip(there.tolist(), map(tuple, boxes[there].astype(int).tolist()), strict=True)


def _kind(scene: Scene, index: int) -> str:
    return "person" if isinstance(scene.actors[index], Person) else "vehicle"


def _records(scene: Scene) -> list[_Record]:
    """The events with their numbers; in MEVA's style no two activities share an actor."""
    shares = scene.take.style == "diva"
    records: list[_Record] = []
    actor = 0
    for number, event in enumerate(_with_quirks(scene), 1):
        actors = tuple((k, k) for k in event.actors)
        if not shares:
            actors = tuple((actor + i, k) for i, k in enumerate(event.actors, 1))
            actor += len(actors)
        records.append(_Record(number, event, actors))
    if "not_good" in scene.take.quirks:
        records[0] = replace(records[0], status="not_good")
    if "no_geometry" in scene.take.quirks:
        last = records[-1]
        ghost = Event("vehicle_reverses", 3, 40, (0,))
        records.append(_Record(last.number + 1, ghost, ((actor + 7, 0),), has_boxes=False))
    return records


def _with_quirks(scene: Scene) -> list[Event]:
    events = list(scene.events)
    if "unmapped" in scene.take.quirks:
        standing = next(e for e in events if e.name == "activity_standing")
        events.append(replace(standing, name=_UNMAPPED))
    return events


def _span(event: Event) -> str:
    return f"[{event.start}, {event.end - 1}]"


class _Writer(Protocol):
    """How one style of KPF writes its lines."""

    shares_actors: bool  # whether an actor may take part in several activities

    def head(self, video_id: str, kind: str) -> list[str]:
        """The first line of one of the three files, where the style has one."""

    def activity(self, record: _Record) -> str: ...

    def type_of(self, number: int, kind: str) -> str: ...

    def box(
        self, number: int, k: int, frame: int, seconds: float, box: tuple[int, ...], key: bool
    ) -> str: ...


class _Kitware:
    """The evaluation-level files: blank-padded braces, long ids, no ``keyframe`` in between."""

    shares_actors = False

    def head(self, video_id: str, kind: str) -> list[str]:
        return [_meta(video_id)]

    def activity(self, record: _Record) -> str:
        span = f"[{{tsr0: {_span(record.event)}}}]"
        actors = ", ".join(f"{{id1: {_long(n)}, timespan: {span}}}" for n, _ in record.actors)
        status = "janitor" if record.status == "good" else record.status
        return (
            f"- {{ act: {{ act2: {{{record.event.name}: 1.0}}, id2: {_long(record.number)}, "
            f"timespan: {span}, src_status: {status}, actors: [{actors}] }} }}"
        )

    def type_of(self, number: int, kind: str) -> str:
        return f"- {{ types: {{ id1: {_long(number)}, cset3: {{ {kind}: 1.0 }} }} }}"

    def box(
        self, number: int, k: int, frame: int, seconds: float, box: tuple[int, ...], key: bool
    ) -> str:
        g0 = " ".join(map(str, box))
        return (
            f"- {{ geom: {{id1: {_long(number)}, id0: {k + 1}, ts0: {frame}, ts1: {seconds:.2f}, "
            f"g0: {g0}{', keyframe: true' if key else ''} }} }}"
        )


def _long(number: int) -> int:
    """A number of 18 digits or so, as the real ids are; different numbers stay different."""
    return number * 7_530_099_373_125_67 % 1_000_000_000_000_000_003


class _Training:
    """The training files: one Python dict a line, keys in alphabetical order, no meta line."""

    shares_actors = False

    def head(self, video_id: str, kind: str) -> list[str]:
        return []

    def activity(self, record: _Record) -> str:
        span = f"[{{'tsr0': {_span(record.event)}}}]"
        actors = ", ".join(f"{{'id1': {n}, 'timespan': {span}}}" for n, _ in record.actors)
        return (
            f"- {{'act': {{'act2': {{'{record.event.name}': 1.0}}, 'actors': [{actors}], "
            f"'id2': {record.number}, 'src_status': '{record.status}', 'timespan': {span}}}}}"
        )

    def type_of(self, number: int, kind: str) -> str:
        return f"- {{'types': {{'cset3': {{'{kind}': 1.0}}, 'id1': {number}}}}}"

    def box(
        self, number: int, k: int, frame: int, seconds: float, box: tuple[int, ...], key: bool
    ) -> str:
        g0 = " ".join(map(str, box))
        return (
            f"- {{'geom': {{'g0': '{g0}', 'id0': {k}, 'id1': {number}, 'keyframe': {key}, "
            f"'ts0': {frame}}}}}"
        )


class _Diva:
    """VIRAT in KPF: actors are tracks that several activities share."""

    shares_actors = True

    def head(self, video_id: str, kind: str) -> list[str]:
        return [_meta(f"{video_id} types" if kind == "types" else video_id)]

    def activity(self, record: _Record) -> str:
        span = f"[{{tsr0: {_span(record.event)}}}]"
        actors = ", ".join(f"{{id1: {n}, timespan: {span}}}" for n, _ in record.actors)
        status = "truth" if record.status == "good" else record.status
        return (
            f"- {{ act: {{ act2: {{ {record.event.name}: 1.0 }}, id2: {record.number}, "
            f"timespan: {span}, src: {status}, actors: [{actors}] }} }}"
        )

    def type_of(self, number: int, kind: str) -> str:
        return f"- {{ types: {{ id1: {number}, cset3: {{ {kind.capitalize()}: 1.0 }} }} }}"

    def box(
        self, number: int, k: int, frame: int, seconds: float, box: tuple[int, ...], key: bool
    ) -> str:
        g0 = " ".join(map(str, box))
        return (
            f"- {{ geom: {{ id1: {number}, id0: {k}, ts0: {frame}, ts1: {seconds:.15g}, "
            f"g0: {g0} , src: truth, }} }}"
        )


_WRITERS: Final[dict[str, _Writer]] = {
    "kitware": _Kitware(),
    "training": _Training(),
    "diva": _Diva(),
}


def _text(scene: Scene, boxes: Floats) -> tuple[list[str], list[str], list[str]]:
    """VIRAT Release 2.0: a row a frame for events and objects, flags in the mapping."""
    whole = [list(_rows(b, 0, scene.take.frames)) for b in boxes]
    objects = [
        f"{k} {len(rows)} {frame} {x1} {y1} {x2 - x1} {y2 - y1} "
        f"{1 if _kind(scene, k) == 'person' else 2}"
        for k, rows in enumerate(whole)
        for frame, (x1, y1, x2, y2) in rows
    ]
    events: list[str] = []
    mapping: list[str] = []
    known = [e for e in scene.events if e.name in _VIRAT_TYPES]
    for number, e in enumerate(known):
        head = f"{number} {_VIRAT_TYPES[e.name]} {e.end - e.start} {e.start} {e.end - 1}"
        both = boxes[list(e.actors), e.start : e.end]
        union = np.concatenate([both[..., :2].min(0), both[..., 2:].max(0)], 1)
        for i, (x1, y1, x2, y2) in enumerate(union.astype(int).tolist()):
            events.append(f"{head} {e.start + i} {x1} {y1} {x2 - x1} {y2 - y1} ")
        flags = " ".join(str(int(k in e.actors)) for k in range(len(scene.actors)))
        mapping.append(f"{head} {len(e.actors)}  {flags}")
    return events, objects, mapping
