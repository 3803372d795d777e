"""The sweep over event times: components of a graph whose vertices and edges come and go.

Between two events nothing changes, and an event costs what the components that it concerns have
of members, never of edges: things with something in common are joined through that one thing, a
*hub*, and a search passes over every vertex once, however many edges lead to it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from tinyvirat_build import geometry
from tinyvirat_build.errors import MAX_CHANGES, MAX_MEMBERS, Work
from tinyvirat_build.geometry.arrays import Ints

Members: TypeAlias = frozenset[int]
Component: TypeAlias = tuple[int, int, tuple[int, ...]]  # start, end, members in order


@dataclass(slots=True)
class _Event:
    """What changes at one frame."""

    time: int
    born: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    joined: list[tuple[int, int]] = field(default_factory=list)
    parted: list[tuple[int, int]] = field(default_factory=list)


def sweep(
    alive: tuple[Ints, Ints, Ints],
    touches: tuple[Ints, Ints, Ints, Ints],
    shared: Sequence[Iterable[str]] = (),
) -> list[Component]:
    """Runs of constant connected components.

    ``alive``: vertex, start, end; ``touches``: vertex, vertex, start, end, both alive;
    ``shared``: for each vertex what it may share with others: those that do touch while both are
    alive. Returns (start, end, members in order), sorted.

    >>> from numpy import array as a
    >>> sweep((a([1, 2]), a([0, 3]), a([9, 9])), (a([1]), a([2]), a([5]), a([9])))
    [(0, 5, (1,)), (3, 5, (2,)), (5, 9, (1, 2))]
    >>> sweep((a([0, 1]), a([0, 3]), a([9, 5])), ([], [], [], []), [["car"], ["car", "bus"]])
    [(0, 3, (0,)), (3, 5, (0, 1)), (5, 9, (0,))]

    Raises:
        BoundError: the components have too many members in all.
    """
    graph = _Graph(_hubs(shared))
    member_of: dict[int, Members] = {}
    since: dict[Members, int] = {}
    runs: list[Component] = []
    members_of_all = Work(MAX_MEMBERS, "activities of all tracks")
    changes = Work(MAX_CHANGES, "activities of all components at all changes")
    for event in _events(alive, touches):
        concerned = graph.concerned(event)
        before = {member_of[v] for v in concerned if v in member_of}
        region = concerned.union(*before)
        changes.add(len(region))
        graph.change(event)
        after = graph.components(region)
        for members in before - after:
            members_of_all.add(len(members))
            runs.append((since.pop(members), event.time, tuple(sorted(members))))
        for vertex in region:
            member_of.pop(vertex, None)
        for members in after:
            since.setdefault(members, event.time)
            member_of.update(dict.fromkeys(members, members))
    return sorted(runs)


def _hubs(shared: Sequence[Iterable[str]]) -> dict[int, tuple[int, ...]]:
    """The hubs of each vertex: one for all things that the same several vertices share."""
    users: dict[str, list[int]] = defaultdict(list)
    for vertex, things in enumerate(shared):
        for thing in set(things):
            users[thing].append(vertex)
    hubs: dict[int, list[int]] = defaultdict(list)
    for hub, sharing in enumerate({tuple(own) for own in users.values() if len(own) > 1}):
        for vertex in sharing:
            hubs[vertex].append(hub)
    return {vertex: tuple(own) for vertex, own in hubs.items()}


class _Graph:
    """The vertices that are alive, and what joins them."""

    def __init__(self, hubs_of: dict[int, tuple[int, ...]]) -> None:
        self.hubs_of = hubs_of
        self.users: dict[int, set[int]] = defaultdict(set)  # alive, of each hub
        self.neighbours: dict[int, set[int]] = {}

    def concerned(self, event: _Event) -> set[int]:
        """The vertices of an event, and one of those that a new one meets at each hub."""
        found = {*event.born, *event.gone}
        for pair in (*event.joined, *event.parted):
            found.update(pair)
        for vertex in event.born:
            for hub in self.hubs_of.get(vertex, ()):
                if self.users[hub]:
                    found.add(next(iter(self.users[hub])))
        return found

    def change(self, event: _Event) -> None:
        """Bring about an event."""
        for a, b in event.parted:
            self.neighbours[a].discard(b)
            self.neighbours[b].discard(a)
        for vertex in event.gone:
            del self.neighbours[vertex]
            for hub in self.hubs_of.get(vertex, ()):
                self.users[hub].discard(vertex)
        for vertex in event.born:
            self.neighbours[vertex] = set()
            for hub in self.hubs_of.get(vertex, ()):
                self.users[hub].add(vertex)
        for a, b in event.joined:
            self.neighbours[a].add(b)
            self.neighbours[b].add(a)

    def components(self, region: set[int]) -> set[Members]:
        """The connected components of those vertices of a region that are alive.

        The region holds every vertex that one of its own is joined to.
        """
        left = region & self.neighbours.keys()
        size = len(left)
        passed: set[int] = set()
        found = set()
        while left:
            reached = {left.pop()}
            fresh = list(reached)
            while fresh and left:
                if 2 * len(left) < size:  # a set that shrinks keeps its table, which is walked
                    left, size = set(left), len(left)
                vertex = fresh.pop()
                new = self.neighbours[vertex] & left
                for hub in self.hubs_of.get(vertex, ()):
                    if hub not in passed:
                        passed.add(hub)
                        new |= self.users[hub] & left
                left -= new
                reached |= new
                fresh.extend(new)
            found.add(frozenset(reached))
        return found


def _events(
    alive: tuple[Ints, Ints, Ints], touches: tuple[Ints, Ints, Ints, Ints]
) -> Iterator[_Event]:
    """The events in order of time."""
    vertex, born, gone = (np.asarray(a, np.int64) for a in alive)
    one, other, joined, parted = (np.asarray(a, np.int64) for a in touches)
    time = np.concatenate([born, gone, joined, parted])
    kind = np.repeat(np.arange(4), [len(born), len(gone), len(joined), len(parted)])
    first = np.concatenate([vertex, vertex, one, one])
    second = np.concatenate([vertex, vertex, other, other])
    order = np.argsort(time, kind="stable")
    time = time[order]
    heads, tails = geometry.run_bounds(np.r_[True, time[1:] != time[:-1]][: len(time)])
    for head, tail in zip(heads.tolist(), tails.tolist(), strict=True):
        at = order[head:tail]
        event = _Event(int(time[head]))
        singles, pairs = (event.born, event.gone), (event.joined, event.parted)
        for k, a, b in zip(kind[at].tolist(), first[at].tolist(), second[at].tolist(), strict=True):
            if k < 2:
                singles[k].append(a)
            else:
                pairs[k - 2].append((a, b))
        yield event
