"""Where things meet in space and time: pairs found by a sort, compared piece by piece.

A thing's boxes are taken in blocks of up to :data:`CELL` frames. Only blocks of one stretch of
time whose boxes have an area in common make a pair, and most pairs are decided by the outer and
the inner bounds of their boxes; only the rest are compared frame by frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from tinyvirat_build import geometry
from tinyvirat_build.errors import Work
from tinyvirat_build.geometry.arrays import Bools, Floats, Ints

CELL: Final = 32  # frames
PIECE: Final = 1 << 18
"""Rows that are worked on at once: all that a video's work takes beside its boxes and results."""

Runs: TypeAlias = tuple[Ints, Ints, Ints, Ints]  # one thing, the other, start, end
Hits: TypeAlias = Callable[[Floats, Floats], Bools]
Decide: TypeAlias = Callable[[Floats, Floats, Floats, Floats], tuple[Bools, Bools]]


@dataclass(frozen=True, slots=True)
class Courses:
    """Boxes of things, a row a frame on which one has a box: by owner, then by frame.

    ``reach`` is ``(4, n)``; see :mod:`tinyvirat_build.geometry`.
    """

    owner: Ints
    frame: Ints
    reach: Floats

    def seen(self) -> Courses:
        """Those rows whose box has an area."""
        there = geometry.present(self.reach)
        if there.all():
            return self
        return Courses(self.owner[there], self.frame[there], self.reach[:, there])

    def runs(self) -> tuple[Ints, Ints, Ints]:
        """The runs of frames with a row: owner, start, end."""
        heads, tails = geometry.runs_of(self.owner, self.frame)
        return self.owner[heads], self.frame[heads], self.frame[tails - 1] + 1


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Runs of rows of courses, within one cell of time each."""

    at: Ints  # the first row
    owner: Ints
    cell: Ints
    start: Ints
    end: Ints
    outer: Floats  # the union of the boxes
    inner: Floats  # what all of them have in common


def _blocks(courses: Courses) -> _Blocks:
    owner, frame = courses.owner, courses.frame
    cell = frame // CELL
    heads, tails = geometry.runs_of(owner, frame)
    edges = np.flatnonzero(cell[1:] != cell[:-1]) + 1
    heads = np.union1d(heads, edges)
    tails = np.r_[heads[1:], len(owner)][: len(heads)]
    if not len(heads):
        return _Blocks(heads, owner, cell, frame, frame, courses.reach, courses.reach)
    return _Blocks(
        heads,
        owner[heads],
        cell[heads],
        frame[heads],
        frame[tails - 1] + 1,
        np.maximum.reduceat(courses.reach, heads, axis=1),
        np.minimum.reduceat(courses.reach, heads, axis=1),
    )


def meetings(
    one: Courses,
    other: Courses | None,
    hits: Hits,
    work: Work,
    *,
    decide: Decide | None = None,
    apart: Callable[[Ints, Ints], Bools] | None = None,
) -> Iterator[Runs]:
    """The runs of frames over which things hit each other, in pieces; a run may come in parts.

    Without ``other`` the things of ``one`` meet among themselves, each pair once. ``hits`` says
    of boxes ``(4, n)`` and ``(4, n)``, pair by pair, whether they do; it must be false where they
    have no area in common. ``decide`` says of two outer and two inner bounds (outer, inner,
    outer, inner) whether all boxes within them hit, and whether none does; ``apart`` of two
    owners whether they are compared at all.

    Raises:
        BoundError: more is to be compared than ``work`` allows.
    """
    seen = one.seen()
    seen_too = seen if other is None else other.seen()
    rows = seen.reach, seen_too.reach
    a = _blocks(seen)
    b = a if other is None else _blocks(seen_too)
    for i, j in _candidates(a, b, other is None, work):
        start, end = np.maximum(a.start[i], b.start[j]), np.minimum(a.end[i], b.end[j])
        near = (start < end) & geometry.present(np.minimum(a.outer[:, i], b.outer[:, j]))
        if other is None:
            near &= a.owner[i] != b.owner[j]
        if apart is not None:
            near[near] = apart(a.owner[i[near]], b.owner[j[near]])
        i, j, start, end = i[near], j[near], start[near], end[near]
        if decide is not None:
            every, none = decide(a.outer[:, i], a.inner[:, i], b.outer[:, j], b.inner[:, j])
            yield a.owner[i[every]], b.owner[j[every]], start[every], end[every]
            open_ = ~(every | none)
            i, j, start, end = i[open_], j[open_], start[open_], end[open_]
        for part in geometry.pieces(end - start, PIECE):
            yield _compared(a, b, rows, i[part], j[part], start[part], end[part], hits, work)


def _compared(
    a: _Blocks,
    b: _Blocks,
    rows: tuple[Floats, Floats],
    i: Ints,
    j: Ints,
    start: Ints,
    end: Ints,
    hits: Hits,
    work: Work,
) -> Runs:
    """Pairs of blocks frame by frame, from ``start`` to ``end``."""
    length = end - start
    work.add(int(length.sum()))
    at_a = geometry.ranges(a.at[i] + start - a.start[i], length)
    at_b = geometry.ranges(b.at[j] + start - b.start[j], length)
    hit = np.flatnonzero(hits(rows[0][:, at_a], rows[1][:, at_b]))
    pair = np.repeat(np.arange(len(i)), length)[hit]
    frame = geometry.ranges(start, length)[hit]
    heads, tails = geometry.runs_of(pair, frame)
    owner = pair[heads]
    return a.owner[i[owner]], b.owner[j[owner]], frame[heads], frame[tails - 1] + 1


def _candidates(a: _Blocks, b: _Blocks, same: bool, work: Work) -> Iterator[tuple[Ints, Ints]]:
    """Pairs of blocks in one cell of time that overlap along x, each pair once, in pieces.

    Of two, one begins within the other. So with the blocks sorted by where they begin, the
    partners of each lie together, and are counted before one is looked at.
    """
    low, high = np.r_[-a.outer[0], -b.outer[0]], np.r_[a.outer[2], b.outer[2]]
    values, rank = np.unique(np.r_[low, high], return_inverse=True)
    cell = np.r_[a.cell, b.cell] * len(values)
    n = len(a.at)
    begin, stop = cell + rank[: len(low)], cell + rank[len(low) :]
    order = np.argsort(begin[:n], kind="stable")
    if same:
        first = np.arange(1, n + 1)
        last = np.searchsorted(begin[order], stop[order])
        for i, j in _spread(first, last, work):
            yield order[i], order[j]
        return
    order_b = np.argsort(begin[n:], kind="stable")
    first = np.searchsorted(begin[n:][order_b], begin[:n])
    last = np.searchsorted(begin[n:][order_b], stop[:n])
    for i, j in _spread(first, last, work):
        yield i, order_b[j]
    first = np.searchsorted(begin[:n][order], begin[n:], side="right")
    last = np.searchsorted(begin[:n][order], stop[n:])
    for j, i in _spread(first, last, work):
        yield order[i], j


def _spread(first: Ints, last: Ints, work: Work) -> Iterator[tuple[Ints, Ints]]:
    """Each position with the numbers from ``first`` to ``last``, in pieces."""
    count = np.maximum(last - first, 0)
    work.add(int(count.sum()))
    for part in geometry.pieces(count, PIECE):
        at = np.repeat(np.arange(part.start, part.stop), count[part])
        yield at, geometry.ranges(first[part], count[part])


def united(runs: Runs) -> Runs:
    """Runs sorted by pair and time, those that follow upon each other made one."""
    one, other, start, end = runs
    order = np.lexsort((start, other, one))
    one, other, start, end = one[order], other[order], start[order], end[order]
    new = (one[1:] != one[:-1]) | (other[1:] != other[:-1]) | (start[1:] != end[:-1])
    heads, tails = geometry.run_bounds(np.r_[True, new][: len(one)])
    return one[heads], other[heads], start[heads], end[tails - 1]


def overlapping(measure: Literal["iomin", "iou"], threshold: float) -> tuple[Hits, Decide]:
    """Whether boxes overlap by a threshold: pair by pair, and by bounds of many pairs.

    Every step of ``overlap`` grows with the area in common and falls with the boxes' areas, in
    floating point too; so what the bounds decide is what each pair would give.
    """

    def hits(a: Floats, b: Floats) -> Bools:
        found: Bools = geometry.overlap(a, b, measure) >= threshold
        return found

    def reach(both: Floats, one: Floats, other: Floats) -> Bools:
        whole = np.minimum(one, other) if measure == "iomin" else one + other - both
        sure = (both > 0) & (whole > 0)
        share = np.divide(both, whole, out=np.zeros_like(both), where=sure)
        return np.where(sure, share >= threshold, both > 0)

    def decide(
        outer_a: Floats, inner_a: Floats, outer_b: Floats, inner_b: Floats
    ) -> tuple[Bools, Bools]:
        least, most = geometry.common_area(inner_a, inner_b), geometry.common_area(outer_a, outer_b)
        every = reach(least, geometry.areas(outer_a), geometry.areas(outer_b))
        none = ~reach(most, geometry.areas(inner_a), geometry.areas(inner_b))
        return every, none

    return hits, decide
