"""Interval and box arithmetic, in one place.

Intervals are frames, half-open ``[start, end)``. Many boxes at once are a *reach*: a float array
``(4, N)`` of ``(-x1, -y1, x2, y2)``, ``-inf`` where there is no box. So the union of boxes is
``np.maximum``, and no box takes part in a union without being asked for.

>>> a, b = reach_of([[0, 0, 4, 2]]), reach_of([[2, 0, 8, 2]])
>>> corners(np.maximum(a, b)).tolist()
[[0.0], [0.0], [8.0], [2.0]]
>>> overlap(a, b, "iou").tolist(), overlap(a, b, "iomin").tolist()
([0.25], [0.5])
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from tinyvirat_build.geometry.arrays import Bools, Floats, Ints

SUBPIXELS: Final = 1024
"""Centres are smoothed in whole parts of this size, so that no sum depends on its order."""


# Intervals


def offsets(lengths: Ints) -> Ints:
    """Where each of several ranges begins when laid end to end, and where the last ends.

    >>> offsets(np.array([3, 0, 2])).tolist()
    [0, 3, 3, 5]
    """
    found = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=found[1:])
    return found


def ranges(starts: Ints, lengths: Ints) -> Ints:
    """The integers of several ranges, laid end to end.

    >>> ranges(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    place = offsets(lengths)
    return np.repeat(starts - place[:-1], lengths) + np.arange(place[-1])


def run_bounds(breaks: Bools) -> tuple[Ints, Ints]:
    """The half-open runs of a sequence; ``breaks[i]`` says that a run begins at ``i``.

    The first element always begins a run.

    >>> run_bounds(np.array([True, False, True]))
    (array([0, 2]), array([2, 3]))
    """
    if len(breaks) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    firsts = np.flatnonzero(breaks)
    if len(firsts) == 0 or firsts[0] != 0:
        firsts = np.r_[0, firsts]
    return firsts, np.r_[firsts[1:], len(breaks)]


def runs_of(group: Ints, value: Ints) -> tuple[Ints, Ints]:
    """The half-open runs of positions over which a group's values grow by one.

    >>> runs_of(np.array([0, 0, 0, 1]), np.array([4, 5, 9, 10]))
    (array([0, 2, 3]), array([2, 3, 4]))
    """
    return run_bounds(
        np.r_[True, (group[1:] != group[:-1]) | (value[1:] != value[:-1] + 1)][: len(group)]
    )


def pieces(counts: Ints, size: int) -> Iterator[slice]:
    """Stretches of things whose counts sum up to ``size`` at most; one thing at least in each.

    >>> list(pieces(np.array([2, 2, 9, 1]), 4))
    [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None)]
    """
    total = np.cumsum(counts)
    start = done = 0
    while start < len(counts):
        stop = max(start + 1, int(np.searchsorted(total, done + size, side="right")))
        yield slice(start, stop)
        start, done = stop, int(total[stop - 1])


def bridge_runs(
    group: Ints, starts: Ints, ends: Ints, first: Ints, last: Ints, bridge: int
) -> tuple[Ints, Ints, Ints]:
    """Smooth runs in time: close short gaps, then drop short runs.

    ``group``: what a run belongs to, ascending, and within a group the runs in order of time;
    ``first``, ``last``: the half-open bounds of the group's time, one pair a run. Gaps shorter
    than ``bridge`` frames close; then runs shorter than it go, except those that begin at
    ``first`` or end at ``last``. Returns the positions of the runs' first parts, starts, ends.

    >>> z = np.zeros(3, int)
    >>> at = bridge_runs(z, np.array([5, 9, 40]), np.array([8, 12, 43]), z, z + 60, 4)
    >>> [a.tolist() for a in at]  # 3 + gap of 1 + 3 frames are one run of 7; 3 frames go
    [[0], [5], [12]]
    """
    joined = (group[1:] == group[:-1]) & (starts[1:] - ends[:-1] < bridge)
    heads, tails = run_bounds(np.r_[True, ~joined][: len(group)])
    starts, ends = starts[heads], ends[tails - 1]
    stays = (ends - starts >= bridge) | (starts == first[heads]) | (ends == last[heads])
    return heads[stays], starts[stays], ends[stays]


def new_frames(group: Ints, start: Ints, end: Ints) -> Ints:
    """How many frames of each span no span of its group that begins before it holds.

    >>> new_frames(np.array([0, 0, 1]), np.array([44, 0, 50]), np.array([108, 64, 60])).tolist()
    [44, 64, 10]
    """
    width = int(end.max(initial=0)) + 1
    order = np.lexsort((start, group))
    low, high = (group * width + side for side in (start, end))
    before = np.maximum.accumulate(np.r_[0, high[order]])[:-1]
    found = np.zeros(len(group), np.int64)
    found[order] = np.maximum(high[order] - np.maximum(low[order], before), 0)
    return found


class Covered:
    """Which frames of ``[start, end)`` some spans hold, each frame counted once.

    >>> covered = Covered(10, 20)
    >>> covered.add(10, 14), covered.add(12, 18), covered.add(11, 13)
    (4, 4, 0)
    """

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.there = np.zeros(end - start, bool)

    def add(self, start: int, end: int) -> int:
        """Take a span in; how many of its frames no span before it had."""
        part = self.there[start - self.start : end - self.start]
        new = len(part) - int(np.count_nonzero(part))
        part[:] = True
        return new


# Boxes


def reach_of(boxes: npt.ArrayLike) -> Floats:
    """Boxes ``(N, 4)`` of ``x1 y1 x2 y2`` as a reach ``(4, N)``."""
    found = np.array(boxes, np.float64).reshape(-1, 4).T.copy()
    found[:2] *= -1
    return found


def no_reach(n: int) -> Floats:
    """A reach ``(4, n)`` without a box."""
    return np.full((4, n), -np.inf)


def corners(reach: Floats) -> Floats:
    """A reach as ``x1, y1, x2, y2``, each ``(N,)``; infinite where there is no box."""
    found: Floats = reach * np.array([[-1.0], [-1.0], [1.0], [1.0]])
    return found


def present(reach: Floats) -> Bools:
    """Where a reach has a box with an area: ``(N,)``."""
    found: Bools = (reach[0] + reach[2] > 0) & (reach[1] + reach[3] > 0)
    return found


def sizes(reach: Floats) -> Floats:
    """Width and height ``(2, N)``; ``-inf`` where there is no box."""
    found: Floats = reach[:2] + reach[2:]
    return found


def clip_to(reach: Floats, width: float, height: float) -> Floats:
    """The parts of boxes inside a picture; no box where nothing is left."""
    limit = np.array([[0.0], [0.0], [width], [height]])
    found: Floats = np.minimum(reach, limit)
    found[:, ~present(found)] = -np.inf
    return found


def common_area(a: Floats, b: Floats) -> Floats:
    """Area ``(N,)`` of the intersections of boxes, pair by pair; 0 where one is missing."""
    side = sizes(np.minimum(a, b))
    np.maximum(side, 0.0, out=side)
    area: Floats = side[0] * side[1]
    return area


def areas(reach: Floats) -> Floats:
    """Area ``(N,)``; 0 where there is no box."""
    side = np.maximum(sizes(reach), 0.0)
    area: Floats = side[0] * side[1]
    return area


def overlap(a: Floats, b: Floats, measure: Literal["iomin", "iou"]) -> Floats:
    """How much boxes overlap, pair by pair, from 0 to 1; 0 where one is missing or empty.

    ``iomin``: the intersection over the smaller box; ``iou``: over the union.
    """
    both = common_area(a, b)
    one, other = areas(a), areas(b)
    whole = np.minimum(one, other) if measure == "iomin" else one + other - both
    return np.divide(both, whole, out=np.zeros_like(both), where=both > 0)


def even_floor(value: Floats) -> Ints:
    """The largest even integer that is not above each value."""
    return 2 * np.floor(value / 2).astype(np.int64)


def even_ceil(value: Floats) -> Ints:
    """The smallest even integer that is not below each value."""
    return 2 * np.ceil(value / 2).astype(np.int64)
