"""The box of every activity on every frame: the union of its actors' boxes at that frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tinyvirat_build import geometry
from tinyvirat_build.geometry import Bools, Floats, Ints
from tinyvirat_build.stages.tables import Columns, Rows


@dataclass(frozen=True, slots=True)
class Activities:
    """One video's activities in file order, ``N`` of them."""

    ids: list[str]
    names: list[str]
    labels: list[tuple[str, ...]]
    start: Ints
    end: Ints
    actors: list[tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, chosen: Bools) -> Activities:
        """Those for which ``chosen`` (``(N,)``) is true."""
        at = np.flatnonzero(chosen)
        return Activities(
            [self.ids[i] for i in at],
            [self.names[i] for i in at],
            [self.labels[i] for i in at],
            self.start[at],
            self.end[at],
            [self.actors[i] for i in at],
        )


def read_activities(table: Columns, rows: Rows) -> Activities:
    """One video's rows of the table ``activities``, in file order."""
    order = np.lexsort((table["activity_id", rows].astype(str), table.ints("file_order", rows)))
    ids, names = table.texts("activity_id", rows), table.texts("name", rows)
    labels, actors = table.lists("labels", rows), table.lists("actors", rows)
    return Activities(
        [ids[i] for i in order],
        [names[i] for i in order],
        [labels[i] for i in order],
        table.ints("start", rows)[order],
        table.ints("end", rows)[order],
        [tuple(map(str, actors[i])) for i in order],
    )


@dataclass(frozen=True, slots=True)
class ActivityBoxes:
    """The boxes of ``N`` activities, frame by frame, end to end.

    Activity ``i``'s frames ``start[i] … end[i] - 1`` lie at ``reach[:, at[i]:at[i + 1]]``;
    see :mod:`tinyvirat_build.geometry` for a reach.
    """

    start: Ints
    end: Ints
    at: Ints
    reach: Floats

    def slice(self, activity: int, start: int, end: int) -> Floats:
        """The reach ``(4, end - start)`` of an activity between two frames of its span."""
        first = self.at[activity] - self.start[activity]
        return self.reach[:, first + start : first + end]

    def places(self, activity: Ints, start: Ints, lengths: Ints) -> Ints:
        """Columns of ``reach`` of several parts of activities, laid end to end."""
        return geometry.ranges(self.at[activity] - self.start[activity] + start, lengths)

    def union(self) -> Floats:
        """The union ``(4, N)`` of each activity's boxes over its whole span."""
        found = geometry.no_reach(len(self.start))
        filled = self.at[1:] > self.at[:-1]
        if filled.any():
            found[:, filled] = np.maximum.reduceat(self.reach, self.at[:-1][filled], axis=1)
        return found


def read_boxes(table: Columns, rows: Rows, activities: Activities) -> ActivityBoxes:
    """The boxes of each activity within its span, from one video's rows of ``boxes``.

    Boxes of actors that no activity names, and those outside an activity's span, are passed
    over. The rows may lie in any order.
    """
    at = geometry.offsets(np.maximum(activities.end - activities.start, 0))
    reach = geometry.no_reach(int(at[-1]))
    actor, names = _actor_codes(table["actor_id", rows])
    frame = table.ints("frame", rows)
    heads, tails = _actor_runs(actor)
    order: Ints | slice = slice(None)
    if len(np.unique(actor[heads])) < len(heads) or _turns_back(actor, frame):
        order = np.lexsort((frame, actor))
        actor, frame = actor[order], frame[order]
        heads, tails = _actor_runs(actor)
    boxes = np.stack([table[c, rows][order] for c in ("x1", "y1", "x2", "y2")])
    boxes[:2] *= -1
    bounds = {
        str(names[code]): (head, tail)
        for code, head, tail in zip(actor[heads], heads.tolist(), tails.tolist(), strict=True)
    }
    for i, actors in enumerate(activities.actors):
        start, end = activities.start[i], activities.end[i]
        for name in dict.fromkeys(actors):
            low, high = bounds.get(name, (0, 0))
            first, last = np.searchsorted(frame[low:high], (start, end)) + low
            if first >= last:
                continue
            own = frame[first:last]
            goal = at[i] - start + own
            if own[-1] - own[0] == last - first - 1 and (own[1:] > own[:-1]).all():
                view = reach[:, goal[0] : goal[-1] + 1]
                np.maximum(view, boxes[:, first:last], out=view)
            else:  # gaps, or a frame that occurs twice
                for side in range(4):
                    np.maximum.at(reach[side], goal, boxes[side, first:last])
    return ActivityBoxes(activities.start, activities.end, at, reach)


def _actor_codes(column: Any) -> tuple[Ints, Any]:
    if isinstance(column, pd.Categorical):
        return column.codes.astype(np.int64), column.categories
    codes, names = pd.factorize(np.asarray(column, object))
    return codes.astype(np.int64), names


def _actor_runs(actor: Ints) -> tuple[Ints, Ints]:
    return geometry.run_bounds(np.r_[True, actor[1:] != actor[:-1]][: len(actor)])


def _turns_back(actor: Ints, frame: Ints) -> bool:
    return bool(((actor[1:] == actor[:-1]) & (frame[1:] < frame[:-1])).any())
