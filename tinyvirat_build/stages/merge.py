"""Merge: activities that overlap in space and time become one track.

Two activities *touch* at a frame if their boxes overlap by at least ``merge.threshold``, or if
they share an actor; touching is smoothed in time (``merge.bridge``). At every frame the touching
activities form connected components; a track is a run of frames over which a component has the
same members (docs/semantics.md, "Merge"; TinyVIRAT, "actions that overlap in space and time are
merged into multi-label clips").

The work is a sweep over event times, where an activity or a touch begins or ends; between two
events nothing changes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import pandas as pd

from tinyvirat_build import geometry
from tinyvirat_build.errors import (
    MAX_CAST_BOXES,
    MAX_MEMBERS,
    MAX_SPAN,
    MAX_TOUCHES,
    BoundError,
    Work,
    compared,
)
from tinyvirat_build.geometry.arrays import Bools, Ints
from tinyvirat_build.geometry.meetings import PIECE, Runs, meetings, overlapping, united
from tinyvirat_build.records import Issue, Key, StageResult
from tinyvirat_build.settings import Merge
from tinyvirat_build.stages.activity_boxes import (
    Activities,
    ActorBoxes,
    Casts,
    casts_of,
    read_activities,
    read_boxes,
)
from tinyvirat_build.stages.sweep import sweep
from tinyvirat_build.stages.tables import Made, VideoRows, video_by_video

Track: TypeAlias = tuple[int, int, tuple[str, ...]]
Spans: TypeAlias = tuple[Ints, Ints, Ints]  # of what, start, end
_NONE: Final = np.zeros(0, np.int64)
_MANY: Final = 1_000_000  # runs of touching, before those that follow upon each other are joined


def merge(activities: pd.DataFrame, boxes: pd.DataFrame, settings: Merge) -> StageResult:
    """The tracks of each video: table ``tracks``.

    ``unit: component``: tracks are numbered in order of (start, end, activities). An activity
    exists only on frames where one of its actors has a box; so one without any box has no track
    and is an issue (``no_geometry``).
    ``unit: activity``: every activity is one track over its whole span, boxes or not, in file
    order; nothing touches.
    With ``unmapped: exclude``, an activity without labels takes no part and is an issue
    (``unmapped``). The balance counts activities.
    """
    make = functools.partial(_merged, settings=settings)
    return video_by_video("merge", "tracks", "activities", make, activities, boxes)


def _merged(key: Key, activities: VideoRows, boxes: VideoRows, *, settings: Merge) -> Made:
    given = read_activities(activities)
    issues = []
    takes_part = np.ones(len(given), bool)
    if settings.unmapped == "exclude":
        takes_part = np.fromiter(map(bool, given.labels), bool, len(given))
        issues = [_issue(given, i, "unmapped") for i in np.flatnonzero(~takes_part).tolist()]
    known = given.take(takes_part)
    tracks: list[Track] = []
    try:
        tracks, bare = _tracks(known, boxes, settings)
        issues += [_issue(known, i, "no_geometry") for i in bare]
    except BoundError as e:
        issues.append(_beyond(key.video_id, len(known), e))
    rows = {
        "track_id": range(len(tracks)),
        "start": [start for start, _, _ in tracks],
        "end": [end for _, end, _ in tracks],
        "activities": [members for _, _, members in tracks],
    }
    kept = len(given) - sum(issue.count for issue in issues)
    return Made(rows, len(given), kept, issues)


def _tracks(known: Activities, boxes: VideoRows, settings: Merge) -> tuple[list[Track], list[int]]:
    """The tracks of one video's activities, and which of these have no box.

    Raises:
        BoundError: they ask for too much.
    """
    if settings.unit == "component":
        return components(known, read_boxes(boxes), settings)
    Work(MAX_SPAN, "frames of activities").add(int((known.end - known.start).sum()))
    members = [(name,) for name in known.ids]
    return list(zip(known.start.tolist(), known.end.tolist(), members, strict=True)), []


def _issue(activities: Activities, i: int, reason: str) -> Issue:
    return Issue(
        "merge", reason, "dropped", f"activity {activities.ids[i]}", detail=activities.names[i]
    )


def _beyond(video_id: str, count: int, error: BoundError) -> Issue:
    return Issue(
        "merge", "bound", "quarantined", f"video {video_id}", count=count, detail=error.what
    )


def components(
    activities: Activities, boxes: ActorBoxes, settings: Merge
) -> tuple[list[Track], list[int]]:
    """Maximal runs of frames over which a component of touching activities is the same.

    Sorted by (start, end, activities); the activities of a track are sorted by id. Also the
    activities that have no box.

    Raises:
        BoundError: they ask for too much.
    """
    casts = casts_of(activities)
    stretches, met = _met(casts, boxes, settings)
    alive = presence(casts, stretches)
    touches = _smoothed(alive, _of_activities(casts, met), settings.bridge)
    # Numbered by their ids, so that members in order are ids in order.
    by_id = sorted(range(len(activities)), key=activities.ids.__getitem__)
    rank = np.empty(len(by_id), np.int64)
    rank[by_id] = np.arange(len(by_id))
    runs = sweep(
        (rank[alive[0]], *alive[1:]),
        (rank[touches[0]], rank[touches[1]], *touches[2:]),
        [activities.actors[i] for i in by_id],
    )
    ids = [activities.ids[i] for i in by_id]
    tracks = sorted((start, end, tuple(ids[i] for i in own)) for start, end, own in runs)
    bare = np.flatnonzero(np.bincount(alive[0], minlength=len(activities)) == 0)
    return tracks, bare.tolist()


def _met(casts: Casts, boxes: ActorBoxes, settings: Merge) -> tuple[Spans, Runs]:
    """The runs of frames on which casts have a box, and those over which two casts overlap.

    Casts that share an actor are not compared, since they touch anyway, and with ``touch: actor``
    none is.
    """
    parts = boxes.of_casts(casts)
    Work(MAX_CAST_BOXES, "boxes of activities").add(parts.total())
    work = compared()
    hits, decide = overlapping(settings.measure, settings.threshold)
    sharing = _Sharing(casts)
    stretches = [(_NONE, _NONE, _NONE)]
    runs, many = [(_NONE, _NONE, _NONE, _NONE)], _MANY
    for part in parts:
        stretches.append(part.seen().runs())
        if settings.touch == "actor":
            continue
        for found in meetings(part, None, hits, work, decide=decide, apart=sharing.apart):
            lower, upper = np.minimum(*found[:2]), np.maximum(*found[:2])
            runs.append((lower, upper, *found[2:]))
            if sum(len(run[0]) for run in runs) > many:
                runs = [united(_joined(runs))]
                _touches().add(len(runs[0][0]))
                many = _MANY + 2 * len(runs[0][0])
    cast, start, end = (np.concatenate(column) for column in zip(*stretches, strict=True))
    cast, _, start, end = united((cast, cast, start, end))
    return (cast, start, end), united(_joined(runs))


def _touches() -> Work:
    return Work(MAX_TOUCHES, "runs of frames over which activities touch")


def _joined(runs: Sequence[Runs]) -> Runs:
    one, other, start, end = (np.concatenate(column) for column in zip(*runs, strict=True))
    return one, other, start, end


class _Sharing:
    """Which casts have an actor in common."""

    def __init__(self, casts: Casts) -> None:
        number: dict[str, int] = {}
        codes = [[number.setdefault(a, len(number)) for a in own] for own in casts.actors]
        self.count = np.array([len(own) for own in codes], np.int64)
        self.code = np.array([code for own in codes for code in own], np.int64)
        self.first = geometry.offsets(self.count)
        self.width = max(len(number), 1)
        cast = np.repeat(np.arange(len(codes)), self.count)
        self.key = np.sort(cast * self.width + self.code)
        self.any = len(self.code) > len(number)

    def apart(self, one: Ints, other: Ints) -> Bools:
        """Of pairs of casts those that share no actor."""
        found = np.ones(len(one), bool)
        if not self.any:
            return found
        swap = self.count[one] > self.count[other]
        one, other = np.where(swap, other, one), np.where(swap, one, other)
        for part in geometry.pieces(self.count[one], PIECE):
            count = self.count[one[part]]
            pair = np.repeat(np.arange(part.start, part.stop), count)
            code = self.code[geometry.ranges(self.first[one[part]], count)]
            key = other[pair] * self.width + code
            at = np.minimum(np.searchsorted(self.key, key), len(self.key) - 1)
            found[pair[self.key[at] == key]] = False
        return found


def presence(casts: Casts, stretches: Spans) -> Spans:
    """The runs of frames on which activities have a box: activity, start, end.

    ``stretches`` are those of their casts, sorted.
    """
    cast, start, end = stretches
    frames = int(end.max(initial=0)) + 1
    spans = np.clip(casts.start, 0, frames - 1), np.clip(casts.end, 0, frames - 1)
    first = np.searchsorted(cast * frames + end, casts.of * frames + spans[0], side="right")
    last = np.searchsorted(cast * frames + start, casts.of * frames + spans[1])
    count = np.maximum(last - first, 0)
    Work(MAX_MEMBERS, "runs of frames of all activities").add(int(count.sum()))
    activity, at = np.repeat(np.arange(len(count)), count), geometry.ranges(first, count)
    return (
        activity,
        np.maximum(start[at], casts.start[activity]),
        np.minimum(end[at], casts.end[activity]),
    )


def _of_activities(casts: Casts, met: Runs) -> Runs:
    """The runs over which activities overlap, of those of their casts."""
    one, other, start, end = met
    work, touches = compared(), _touches()
    found = [(_NONE, _NONE, _NONE, _NONE)]
    for at, i in casts.playing(one, start, end, work):
        low, high = np.maximum(start[at], casts.start[i]), np.minimum(end[at], casts.end[i])
        for again, j in casts.playing(other[at], low, high, work):
            touches.add(len(j))
            low_j, high_j = casts.start[j], casts.end[j]
            found.append(
                (i[again], j, np.maximum(low[again], low_j), np.minimum(high[again], high_j))
            )
    return united(_joined(found))


def _smoothed(alive: Spans, met: Runs, bridge: int) -> Runs:
    """Runs over which pairs of activities touch, smoothed in time.

    A pair's common time is a run of frames on which both have a box; pairs that meet in several
    such runs are smoothed in each by itself.
    """
    i, j, start, end = met
    frames = int(alive[2].max(initial=0)) + 1
    key = alive[0] * frames + alive[1]
    mine, theirs = (np.searchsorted(key, k * frames + start, side="right") - 1 for k in (i, j))
    first = np.maximum(alive[1][mine], alive[1][theirs])
    last = np.minimum(alive[2][mine], alive[2][theirs])
    # A new stretch of common time is a group by itself: nothing is bridged over a missing box.
    group = np.cumsum(
        np.r_[False, (i[1:] != i[:-1]) | (j[1:] != j[:-1]) | (first[1:] != first[:-1])][: len(i)]
    )
    kept, start, end = geometry.bridge_runs(group, start, end, first, last, bridge)
    return i[kept], j[kept], start, end
