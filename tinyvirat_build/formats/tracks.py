"""Tracks whose attributes are activities, as annotation tools have them.

A tool's track is one object with boxes at some frames; what it does is said by attributes, of
single frames or of the whole track.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from tinyvirat_build.errors import MAX_BOXES, MAX_FRAME, Work
from tinyvirat_build.formats.assemble import RawActivity, RawBoxes, checked, fill_gaps
from tinyvirat_build.formats.faults import Issues

NOTHING: Final = frozenset(("", "none", "__undefined__", "false", "null", "undefined"))

Values = Mapping[str, str]  # attribute -> name of the activity, empty for none


@dataclass(slots=True)
class Sight:
    """What is said of a track at one frame: its box, None where it is not seen."""

    frame: int
    box: Sequence[float] | None
    values: Values
    linked: bool = True  # whether boxes stand between this one and the next
    keyframe: bool = True
    line: int = 0


def activity_name(attribute: str, value: str) -> str:
    """The activity that an attribute's value says; empty for none.

    >>> activity_name("walks", "true"), activity_name("action", "sits"), activity_name("walks", "")
    ('walks', 'sits', '')
    """
    word = value.strip()
    if word.lower() in NOTHING:
        return ""
    return attribute if word.lower() == "true" else word


def activities_of(
    track: str, sights: Sequence[Sight], whole: Values, line: int | None
) -> list[RawActivity]:
    """The activities of a track by its attributes, in order of time.

    ``sights`` are in order of frame. A value holds until a later one gives another, or the track
    is no longer seen; after the last one it ends with that frame. ``whole`` holds from the first
    to the last sight.
    """
    found: list[tuple[int, int, str]] = []
    holding: dict[str, tuple[str, int]] = {}
    seen = [s.frame for s in sights if s.box is not None]
    end = seen[-1] + 1 if seen else 0
    for sight in sights:
        if sight.box is None:
            found += [(start, sight.frame, name) for name, start in holding.values()]
            holding.clear()
            if seen and sight.frame > seen[-1]:
                end = sight.frame
                break
            continue
        for attribute, name in sight.values.items():
            before, start = holding.get(attribute, ("", 0))
            if before == name:
                continue
            if before:
                found.append((start, sight.frame, before))
                del holding[attribute]
            if name:
                holding[attribute] = (name, sight.frame)
    found += [(start, end, name) for name, start in holding.values()]
    if seen:
        found += [(seen[0], end, name) for name in whole.values() if name]
    return [
        RawActivity(f"{track}:{n}", name, start, stop, (track,), line=line)
        for n, (start, stop, name) in enumerate(sorted(found), 1)
    ]


def joint(activities: Sequence[RawActivity], groups: Mapping[str, str]) -> list[RawActivity]:
    """The activities, those that tracks of a group do over the same frames told once, of all.

    ``groups``: track -> group, for tracks that are in one. The first's id and place are kept.
    """
    found: dict[tuple[object, ...], RawActivity] = {}
    for activity in activities:
        (track,) = activity.actors
        key: tuple[object, ...] = (groups.get(track), activity.name, activity.start, activity.end)
        if track not in groups or (key in found and track in found[key].actors):
            key = (activity.activity_id,)
        first = found.get(key)
        actors = activity.actors if first is None else (*first.actors, track)
        found[key] = replace(first or activity, actors=actors)
    return list(found.values())


class TrackBoxes:
    """The dense boxes of tracks whose format says itself between which boxes there are others."""

    def __init__(self, file: Path, issues: Issues) -> None:
        self._file, self._issues = file.name, issues
        self._work = Work(MAX_BOXES, "boxes, those between others filled in", file=file)
        self._tracks: dict[str, RawBoxes] = {}

    def __contains__(self, track: str) -> bool:
        return track in self._tracks

    def add(self, track: str, sights: Sequence[Sight]) -> None:
        """Note a track that is not noted yet; ``sights`` are in order of frame.

        Raises:
            BoundError: the boxes become too many.
        """
        rows, run = [], 0
        for sight in sights:
            if sight.box is not None:
                rows.append((run, sight))
            run += sight.box is None or not sight.linked
        boxes = RawBoxes(
            (track,) * (run + 1),
            np.array([r for r, _ in rows], np.int64),
            np.array([s.frame for _, s in rows], np.int64),
            np.array([s.box for _, s in rows], float).reshape(-1, 4),
            np.array([s.keyframe for _, s in rows], bool),
            np.array([s.line for _, s in rows], np.int64),
            self._file,
        )
        dense = fill_gaps(checked(boxes, self._issues), MAX_FRAME, self._issues)
        self._work.add(len(dense.frame))
        self._tracks[track] = dense

    def boxes(self) -> RawBoxes:
        """All of them, track by track."""
        parts = list(self._tracks.values())
        if not parts:
            return RawBoxes(file=self._file)
        return RawBoxes(
            tuple(self._tracks),
            np.repeat(np.arange(len(parts)), [len(p.frame) for p in parts]),
            np.concatenate([p.frame for p in parts]),
            np.concatenate([p.xyxy for p in parts]),
            np.concatenate([p.keyframe for p in parts]),
            np.concatenate([p.line for p in parts]),
            self._file,
        )


def distinct(track: str, taken: TrackBoxes) -> str:
    """The track's id, or one made of it that no other track has."""
    name, copy = track, 1
    while name in taken:
        copy += 1
        name = f"{track}#{copy}"
    return name
