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

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain, combinations
from typing import TypeAlias

import numpy as np
import pandas as pd

from tinyvirat_build import geometry
from tinyvirat_build.config import Merge
from tinyvirat_build.geometry import Ints
from tinyvirat_build.records import Issue, StageResult
from tinyvirat_build.stages.activity_boxes import (
    Activities,
    ActivityBoxes,
    read_activities,
    read_boxes,
)
from tinyvirat_build.stages.tables import Builder, Columns, by_video, select

Track: TypeAlias = tuple[int, int, tuple[str, ...]]
Span: TypeAlias = tuple[int, int]


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
    tables = Columns(activities), Columns(boxes)
    rows = by_video(activities), by_video(boxes)
    out = Builder("merge", "tracks", "activities")
    for key, own in rows[0].items():
        given = read_activities(tables[0], own)
        issues = []
        takes_part = np.ones(len(given), bool)
        if settings.unmapped == "exclude":
            takes_part = np.fromiter(map(bool, given.labels), bool, len(given))
            issues = [_issue(given, i, "unmapped") for i in np.flatnonzero(~takes_part).tolist()]
        known = given.take(takes_part)
        if settings.unit == "activity":
            members = [(name,) for name in known.ids]
            spans = known.start.tolist(), known.end.tolist()
            tracks: list[Track] = list(zip(*spans, members, strict=True))
        else:
            found = read_boxes(tables[1], select(rows[1], key), known)
            tracks = components(known, found, settings)
            missing = ~geometry.present(found.union())
            issues += [_issue(known, i, "no_geometry") for i in np.flatnonzero(missing).tolist()]
        values = {
            "track_id": range(len(tracks)),
            "start": [start for start, _, _ in tracks],
            "end": [end for _, end, _ in tracks],
            "activities": [members for _, _, members in tracks],
        }
        kept = len(given) - len(issues)
        out.add(key, values, records_in=len(given), records_out=kept, issues=issues)
    return out.result()


def _issue(activities: Activities, i: int, reason: str) -> Issue:
    return Issue(
        "merge", reason, "dropped", f"activity {activities.ids[i]}", detail=activities.names[i]
    )


def components(activities: Activities, boxes: ActivityBoxes, settings: Merge) -> list[Track]:
    """Maximal runs of frames over which a component of touching activities is the same.

    Sorted by (start, end, activities); the activities of a track are sorted by id.
    """
    stretches = presence(boxes)
    touches = touching(activities, boxes, stretches, settings)
    runs = sweep(
        [(i, start, end) for i, start, end in zip(*map(Ints.tolist, stretches), strict=True)],
        [(*pair, start, end) for pair, spans in touches.items() for start, end in spans],
    )
    return sorted(
        (start, end, tuple(sorted(activities.ids[i] for i in members)))
        for start, end, members in runs
    )


def presence(boxes: ActivityBoxes) -> tuple[Ints, Ints, Ints]:
    """The runs of frames on which activities have a box: activity, start, end, sorted."""
    there = geometry.present(boxes.reach)
    owner = np.repeat(np.arange(len(boxes.start)), np.diff(boxes.at))
    heads, tails = geometry.run_bounds(
        np.r_[True, (there[1:] != there[:-1]) | (owner[1:] != owner[:-1])][: len(there)]
    )
    heads, tails = heads[there[heads]], tails[there[heads]]
    first = boxes.start[owner[heads]] - boxes.at[owner[heads]]
    return owner[heads], heads + first, tails + first


def touching(
    activities: Activities,
    boxes: ActivityBoxes,
    stretches: tuple[Ints, Ints, Ints],
    settings: Merge,
) -> dict[tuple[int, int], list[Span]]:
    """The runs of frames over which each pair of activities touches, smoothed in time.

    A pair's common time is a run of frames on which both have a box; pairs that meet in several
    such runs are smoothed in each by itself.
    """
    found: dict[tuple[int, int], list[Span]] = defaultdict(list)
    related = _related(activities)
    runs: dict[int, list[Span]] = defaultdict(list)
    for i, start, end in zip(*map(Ints.tolist, stretches), strict=True):
        runs[i].append((start, end))
    for i, j in sorted(related):
        found[i, j] = _common(runs[i], runs[j])
    union = boxes.union()
    a, b = geometry.meeting(boxes.start, boxes.end, union, boxes.start, boxes.end, union)
    chosen = a < b
    if related:
        pairs = zip(a.tolist(), b.tolist(), strict=True)
        chosen &= np.array([pair not in related for pair in pairs], bool)
    a, b = a[chosen], b[chosen]
    start = np.maximum(boxes.start[a], boxes.start[b])
    lengths = np.minimum(boxes.end[a], boxes.end[b]) - start
    at_a, at_b = boxes.places(a, start, lengths), boxes.places(b, start, lengths)
    much = geometry.overlap(boxes.reach[:, at_a], boxes.reach[:, at_b], settings.measure)
    hit = np.flatnonzero(much >= settings.threshold)
    pair = np.repeat(np.arange(len(a)), lengths)[hit]
    frame = geometry.ranges(start, lengths)[hit]
    # The bounds of the pair's common time around each frame.
    stretch = _stretch_of(stretches, boxes, at_a[hit]), _stretch_of(stretches, boxes, at_b[hit])
    first = np.maximum(stretches[1][stretch[0]], stretches[1][stretch[1]])
    last = np.minimum(stretches[2][stretch[0]], stretches[2][stretch[1]])
    heads, tails = geometry.run_bounds(
        np.r_[True, (pair[1:] != pair[:-1]) | (frame[1:] != frame[:-1] + 1)][: len(pair)]
    )
    # A new stretch of common time is a group by itself: nothing is bridged over a missing box.
    group = np.cumsum(
        np.r_[
            False,
            (pair[heads][1:] != pair[heads][:-1]) | (first[heads][1:] != first[heads][:-1]),
        ][: len(heads)]
    )
    kept, starts, ends = geometry.bridge_runs(
        group, frame[heads], frame[tails - 1] + 1, first[heads], last[heads], settings.bridge
    )
    owner = pair[heads[kept]]
    for i, j, s, e in zip(
        a[owner].tolist(), b[owner].tolist(), starts.tolist(), ends.tolist(), strict=True
    ):
        found[i, j].append((s, e))
    return found


def _stretch_of(stretches: tuple[Ints, Ints, Ints], boxes: ActivityBoxes, place: Ints) -> Ints:
    """Which run of presence each column of the boxes' reach lies in."""
    owner, start, _ = stretches
    heads = boxes.at[owner] + start - boxes.start[owner]
    return np.searchsorted(heads, place, side="right") - 1


def _related(activities: Activities) -> set[tuple[int, int]]:
    """Pairs of activities that share an actor."""
    users: dict[str, list[int]] = defaultdict(list)
    for i, actors in enumerate(activities.actors):
        for actor in set(actors):
            users[actor].append(i)
    shared = [sorted(u) for u in users.values() if len(u) > 1]
    return {pair for user in shared for pair in combinations(user, 2)}


def _common(a: list[Span], b: list[Span]) -> list[Span]:
    """The intersections of two sorted lists of intervals."""
    spans = ((max(s, t), min(e, f)) for s, e in a for t, f in b)
    return [(s, e) for s, e in spans if s < e]


@dataclass(slots=True)
class _Event:
    """What changes at one frame."""

    born: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    joined: list[tuple[int, int]] = field(default_factory=list)
    parted: list[tuple[int, int]] = field(default_factory=list)


def sweep(
    alive: Iterable[tuple[int, int, int]], touches: Iterable[tuple[int, int, int, int]]
) -> list[tuple[int, int, frozenset[int]]]:
    """Runs of constant connected components in a graph whose vertices and edges come and go.

    ``alive``: (vertex, start, end); ``touches``: (vertex, vertex, start, end), both alive.
    Returns (start, end, members). Only components that an event concerns are looked at anew.

    >>> sorted((s, e, sorted(m)) for s, e, m in sweep([(1, 0, 9), (2, 3, 9)], [(1, 2, 5, 9)]))
    [(0, 5, [1]), (3, 5, [2]), (5, 9, [1, 2])]
    """
    events: dict[int, _Event] = defaultdict(_Event)
    for vertex, start, end in alive:
        events[start].born.append(vertex)
        events[end].gone.append(vertex)
    for a, b, start, end in touches:
        events[start].joined.append((a, b))
        events[end].parted.append((a, b))
    neighbours: dict[int, set[int]] = {}
    member_of: dict[int, frozenset[int]] = {}
    since: dict[frozenset[int], int] = {}
    runs: list[tuple[int, int, frozenset[int]]] = []
    for time in sorted(events):
        event = events[time]
        concerned = {*event.born, *event.gone, *chain(*event.joined, *event.parted)}
        before = {member_of[v] for v in concerned if v in member_of}
        region = concerned.union(*before)
        for a, b in event.parted:
            neighbours[a].discard(b)
            neighbours[b].discard(a)
        for vertex in event.gone:
            del neighbours[vertex]
        neighbours.update((vertex, set()) for vertex in event.born)
        for a, b in event.joined:
            neighbours[a].add(b)
            neighbours[b].add(a)
        after = _groups(region & neighbours.keys(), neighbours)
        runs.extend((since.pop(members), time, members) for members in before - after)
        for vertex in region:
            member_of.pop(vertex, None)
        for members in after:
            since.setdefault(members, time)
            member_of.update(dict.fromkeys(members, members))
    return runs


def _groups(vertices: set[int], neighbours: dict[int, set[int]]) -> set[frozenset[int]]:
    """The connected components that hold the vertices."""
    left = set(vertices)
    found = set()
    while left:
        reached = {left.pop()}
        fresh = list(reached)
        while fresh:
            new = neighbours[fresh.pop()] - reached
            reached |= new
            fresh.extend(new)
        left -= reached
        found.add(frozenset(reached))
    return found
