"""The box of every activity on every frame: the union of its actors' boxes at that frame.

Activities that name the same actors are one *cast*: on every frame they have the same box, and
it is made once. Nothing here is as long as a span: there is a row where there is a box.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tinyvirat_build import geometry
from tinyvirat_build.errors import Work
from tinyvirat_build.geometry.arrays import Bools, Floats, Ints
from tinyvirat_build.geometry.meetings import PIECE, Courses
from tinyvirat_build.stages.tables import VideoRows


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


def read_activities(rows: VideoRows) -> Activities:
    """One video's rows of the table ``activities``, in file order."""
    order = np.lexsort((rows["activity_id"].astype(str), rows.ints("file_order")))
    ids, names = rows.texts("activity_id"), rows.texts("name")
    labels, actors = rows.lists("labels"), rows.lists("actors")
    return Activities(
        [ids[i] for i in order],
        [names[i] for i in order],
        [labels[i] for i in order],
        rows.ints("start")[order],
        rows.ints("end")[order],
        [tuple(map(str, actors[i])) for i in order],
    )


@dataclass(frozen=True, slots=True)
class Casts:
    """The ``K`` distinct sets of actors of a video's ``N`` activities.

    ``of``: the cast of each activity; ``actors``: each cast's actors, sorted; ``members``: its
    activities by start, cast after cast, those of cast ``k`` at ``first[k] … first[k + 1] - 1``.
    """

    of: Ints
    actors: list[tuple[str, ...]]
    members: Ints
    first: Ints
    start: Ints  # (N,) of the activities
    end: Ints

    def hull(self) -> tuple[Ints, Ints]:
        """The first frame and the end of each cast's activities."""
        start, end = self.start[self.members], self.end[self.members]
        return np.minimum.reduceat(start, self.first[:-1]), np.maximum.reduceat(
            end, self.first[:-1]
        )

    def playing(
        self, cast: Ints, start: Ints, end: Ints, work: Work
    ) -> Iterator[tuple[Ints, Ints]]:
        """The activities of casts whose spans meet spans of frames, in pieces.

        Yields positions in the arguments, and activities; within a piece by position.

        Raises:
            BoundError: more are to be looked at than ``work`` allows.
        """
        count = self.first[cast + 1] - self.first[cast]
        work.add(int(count.sum()))
        for part in geometry.pieces(count, PIECE):
            at = np.repeat(np.arange(part.start, part.stop), count[part])
            activity = self.members[geometry.ranges(self.first[cast[part]], count[part])]
            meets = (self.start[activity] < end[at]) & (self.end[activity] > start[at])
            yield at[meets], activity[meets]


def casts_of(activities: Activities) -> Casts:
    """The casts of a video's activities, in order of their first activities."""
    place: dict[tuple[str, ...], int] = {}
    of = np.fromiter(
        (place.setdefault(tuple(sorted(set(a))), len(place)) for a in activities.actors),
        np.int64,
        len(activities),
    )
    members = np.lexsort((activities.start, of))
    first = np.searchsorted(of[members], np.arange(len(place) + 1))
    return Casts(of, list(place), members, first, activities.start, activities.end)


@dataclass(frozen=True, slots=True)
class ActorBoxes:
    """One video's boxes by actor and frame, each frame of an actor once."""

    code_of: dict[str, int]
    frames: int  # more than any frame's number
    key: Ints  # (n,) actor times frames plus frame, ascending
    frame: Ints  # (n,)
    reach: Floats  # (4, n)

    def codes(self, actors: tuple[str, ...]) -> list[int]:
        """The numbers of those actors that have a box."""
        return [self.code_of[a] for a in actors if a in self.code_of]

    def rows(self, actor: Ints, start: Ints, end: Ints) -> tuple[Ints, Ints]:
        """Where the boxes of actors within spans of frames begin, and how many they are."""
        of_actor = actor * self.frames
        low = np.searchsorted(self.key, of_actor + np.clip(start, 0, self.frames))
        high = np.searchsorted(self.key, of_actor + np.clip(end, 0, self.frames))
        return low, np.maximum(high - low, 0)

    def of_casts(self, casts: Casts, start: int | None = None, end: int | None = None) -> Parts:
        """The boxes of casts within their hulls, and within a span of frames if one is given."""
        codes = [self.codes(actors) for actors in casts.actors]
        cast = np.repeat(np.arange(len(codes)), [len(c) for c in codes])
        actor = np.array([c for own in codes for c in own], np.int64)
        low, high = casts.hull() if len(codes) else (np.zeros(0, np.int64),) * 2
        if start is not None and end is not None:
            low, high = np.maximum(low, start), np.minimum(high, end)
        at, count = self.rows(actor, low[cast], high[cast])
        return Parts(self, cast, at, count)


@dataclass(frozen=True, slots=True)
class Parts:
    """The boxes of casts, made a stretch of time after another, each of a bounded size."""

    boxes: ActorBoxes
    cast: Ints  # of each pair of a cast and an actor of it, ascending
    at: Ints  # where the actor's boxes begin
    count: Ints

    def total(self) -> int:
        """How many boxes of actors there are, each counted for every cast that it plays in."""
        return int(self.count.sum())

    def __iter__(self) -> Iterator[Courses]:
        if self.total() <= PIECE:
            if self.total():
                yield self.made()
            return
        frames = self.boxes.frame
        played = self.count > 0
        first, last = self.at[played], (self.at + self.count - 1)[played]
        middle = (int(frames[first].min()) + int(frames[last].max()) + 1) // 2
        if int(frames[last].max()) < middle or middle <= int(frames[first].min()):
            yield self.made()
            return
        below = self._before(middle)
        yield from Parts(self.boxes, self.cast, self.at, below)
        yield from Parts(self.boxes, self.cast, self.at + below, self.count - below)

    def _before(self, frame: int) -> Ints:
        """How many boxes of each pair lie before a frame."""
        low, high = self.at.copy(), self.at + self.count
        while (open_ := low < high).any():
            middle = (low + high) // 2
            lower = open_ & (self.boxes.frame[np.where(open_, middle, 0)] < frame)
            low = np.where(lower, middle + 1, low)
            high = np.where(open_ & ~lower, middle, high)
        return low - self.at

    def made(self) -> Courses:
        """All of them at once."""
        rows = geometry.ranges(self.at, self.count)
        cast, frame = np.repeat(self.cast, self.count), self.boxes.frame[rows]
        step = np.diff(cast)
        if ((step == 0) & (np.diff(frame) <= 0)).any():
            order = np.lexsort((frame, cast))
            cast, frame, rows = cast[order], frame[order], rows[order]
            new = np.r_[True, (cast[1:] != cast[:-1]) | (frame[1:] != frame[:-1])]
            at = np.flatnonzero(new)
            reach = np.maximum.reduceat(self.boxes.reach[:, rows], at, axis=1)
            return Courses(cast[at], frame[at], reach)
        return Courses(cast, frame, self.boxes.reach[:, rows])


def read_boxes(rows: VideoRows) -> ActorBoxes:
    """One video's rows of the table ``boxes``, in any order."""
    actor, names = _actor_codes(rows["actor_id"])
    frame = rows.ints("frame")
    reach = np.stack([rows[c] for c in ("x1", "y1", "x2", "y2")]).astype(np.float64)
    reach[:2] *= -1
    same = actor[1:] == actor[:-1]
    if (actor[1:] < actor[:-1]).any() or (same & (frame[1:] <= frame[:-1])).any():
        order = np.lexsort((frame, actor))
        actor, frame = actor[order], frame[order]
        again = (actor[1:] == actor[:-1]) & (frame[1:] == frame[:-1])
        at = np.flatnonzero(np.r_[True, ~again])
        actor, frame = actor[at], frame[at]
        reach = np.maximum.reduceat(reach[:, order], at, axis=1)
    frames = int(frame.max()) + 1 if len(frame) else 1
    used = np.unique(actor).tolist()
    return ActorBoxes(
        {str(names[i]): i for i in used}, frames, actor * frames + frame, frame, reach
    )


def _actor_codes(column: Any) -> tuple[Ints, Any]:
    if isinstance(column, pd.Categorical):
        return column.codes.astype(np.int64), column.categories
    codes, names = pd.factorize(np.asarray(column, object))
    return codes.astype(np.int64), names
