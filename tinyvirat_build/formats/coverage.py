"""On which frames actors have a box, asked for spans of frames."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np

from tinyvirat_build import geometry
from tinyvirat_build.errors import Work
from tinyvirat_build.geometry.arrays import Ints


class Coverage:
    """The runs of frames on which each actor has a box.

    ``ids`` names the actors, ``code`` and ``frame`` are of the boxes, in order. ``of`` says of
    each actor that has a box where its runs are. What several actors have in common is looked for
    run by run, and ``work`` counts the runs.
    """

    def __init__(self, ids: Sequence[str], code: Ints, frame: Ints, work: Work) -> None:
        heads, tails = geometry.runs_of(code, frame)
        owner = code[heads]
        self.start, self.end = frame[heads], frame[tails - 1] + 1
        self.before = geometry.offsets(self.end - self.start)
        bounds = zip(
            *geometry.run_bounds(np.r_[True, owner[1:] != owner[:-1]][: len(owner)]), strict=True
        )
        self.of = {ids[owner[first]]: (int(first), int(last)) for first, last in bounds}
        self.work = work

    def frames(self, actors: Sequence[str], start: int, end: int) -> int:
        """On how many frames of a span one of the actors has a box."""
        within = []
        for low, high in (self.of[actor] for actor in dict.fromkeys(actors) if actor in self.of):
            first = bisect_right(self.end, start, low, high)
            last = bisect_left(self.start, end, low, high)
            if first < last:
                within.append(slice(first, last))
        if len(within) == 1:
            first, last = within[0].start, within[0].stop
            whole = self.before[last] - self.before[first]
            early, late = start - self.start[first], self.end[last - 1] - end
            return int(whole - max(early, 0) - max(late, 0))
        self.work.add(sum(runs.stop - runs.start for runs in within))
        spans = sorted(
            span
            for runs in within
            for span in zip(self.start[runs].tolist(), self.end[runs].tolist(), strict=True)
        )
        covered, reach = 0, start
        for low, high in spans:
            covered += max(0, min(high, end) - max(low, reach))
            reach = max(reach, high)
        return covered
