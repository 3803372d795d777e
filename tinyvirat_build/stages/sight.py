"""Which labels can be seen in a clip's window, and the parts of the clip over which they stay.

A window may show someone whose box touches no box of the clip's own. On each frame the labels
seen are the clip's own and those of every activity whose box is far enough inside the window,
smoothed in time label by label; the clip is cut where that set changes (docs/semantics.md, "Labels
that can be seen").
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinyvirat_build import geometry
from tinyvirat_build.geometry.arrays import Bools, Floats
from tinyvirat_build.geometry.meetings import Hits, Runs
from tinyvirat_build.stages.activity_boxes import Activities


@dataclass(frozen=True, slots=True)
class Sighting:
    """Frames ``[start, end)`` of a clip over which the labels seen are the same."""

    start: int
    end: int
    labels: tuple[str, ...]
    neighbours: tuple[str, ...]  # the activities seen on one frame or more, but the clip's own
    briefly: tuple[str, ...]  # labels that are seen on under half of these frames


def inside(share: float) -> Hits:
    """Whether a share of each box or more, by area, lies inside the window beside it."""

    def hits(window: Floats, box: Floats) -> Bools:
        area = geometry.areas(box)
        found: Bools = (area > 0) & (geometry.common_area(box, window) >= share * area)
        return found

    return hits


def parts(
    span: tuple[int, int],
    labels: Sequence[str],
    seen: Iterable[tuple[int, int, int]],
    activities: Activities,
    *,
    place: Mapping[str, int],
    bridge: int,
) -> list[Sighting]:
    """The parts of a clip over ``span`` with labels of its own.

    ``seen``: neighbours, each with a run of frames on which it is seen: activity, start, end.
    ``place``: the order of labels. ``bridge``: gaps and runs shorter than this are smoothed away.
    """
    first, end = span
    frames: dict[str, Bools] = {}
    shown = sorted(seen)
    for activity, low, high in shown:
        for name in activities.labels[activity]:
            if name not in labels:
                row = frames.setdefault(name, np.zeros(end - first, bool))
                row[low - first : high - first] = True
    names = sorted(frames, key=place.__getitem__)
    raw = np.stack([frames[n] for n in names]) if names else np.zeros((0, end - first), bool)
    kept = smoothed(raw, bridge)
    change = np.flatnonzero((kept[:, 1:] != kept[:, :-1]).any(axis=0)) + 1
    bounds = [0, *change.tolist(), end - first]
    found = []
    for low, high in itertools.pairwise(bounds):
        there = np.flatnonzero(kept[:, low]).tolist()
        brief = [names[i] for i in there if 2 * int(raw[i, low:high].sum()) < high - low]
        own = sorted({*labels, *(names[i] for i in there)}, key=place.__getitem__)
        met = {a for a, s, e in shown if s - first < high and e - first > low}
        neighbours = sorted(activities.ids[a] for a in met)
        found.append(
            Sighting(first + low, first + high, tuple(own), tuple(neighbours), tuple(brief))
        )
    return found


def smoothed(seen: Bools, bridge: int) -> Bools:
    """Rows of frames, smoothed in time as touching is.

    >>> row = np.array([[0, 1, 1, 0, 1, 1, 0, 0, 0, 1, 0]], bool)
    >>> smoothed(row, 2).astype(int).tolist()
    [[0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0]]
    """
    edges = np.diff(np.pad(seen.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    row, start = np.nonzero(edges == 1)
    end = np.nonzero(edges == -1)[1]
    whole = np.zeros_like(row)
    at, start, end = geometry.bridge_runs(row, start, end, whole, whole + seen.shape[1], bridge)
    out = np.zeros_like(seen)
    for i, low, high in zip(row[at].tolist(), start.tolist(), end.tolist(), strict=True):
        out[i, low:high] = True
    return out


def by_clip(runs: Iterable[Runs]) -> dict[int, list[tuple[int, int, int]]]:
    """Runs of (clip, activity, start, end) by clip."""
    found: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for run in runs:
        columns: list[list[int]] = [column.tolist() for column in run]
        for clip, activity, start, end in zip(*columns, strict=True):
            found[clip].append((activity, start, end))
    return found
