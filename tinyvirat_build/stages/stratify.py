"""Grouped stratification: which split each group goes to, so that labels keep their shares.

All arithmetic is in integers, so that the same counts give the same splits on every machine: a
committed list can be tested against a regenerated one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tinyvirat_build.geometry.arrays import Bools, Ints

Ints = Ints
Flags = Bools

UNIT: Final = 1 << 20  # a share of 1 as an integer
NODES: Final = 4_000  # steps of the search for a cover of all labels
NODES_MORE: Final = 500  # steps for one label more, where not all can be covered
STARTS: Final = 8  # orders in which the groups are placed
SWAPS: Final = 600  # above so many groups single moves are fine enough, and pairs too many


@dataclass(frozen=True, slots=True)
class Counts:
    """Activities per group and label: ``table`` is ``(groups, labels)``, both axes sorted."""

    groups: tuple[str, ...]
    labels: tuple[str, ...]
    table: Ints

    def take(self, groups: Sequence[str]) -> Counts:
        """The rows of these groups, in order; labels stay."""
        row = {name: i for i, name in enumerate(self.groups)}
        names = tuple(sorted(groups))
        return Counts(names, self.labels, self.table[[row[name] for name in names]])


def stratify(
    counts: Counts, targets: Sequence[float], fixed: Mapping[str, int], seed: int
) -> dict[str, int]:
    """The index of the split of each group, ``fixed`` ones unchanged.

    The error to make small is the sum, over labels and splits, of (share − target)², where a
    label's share in a split is the part of its activities that lie there; all activities taken
    together count as one more label. Three steps: groups are placed one after the other, the
    heaviest first, each where the error becomes smallest; then a search makes every label reach
    every split with a target above 0, if it has groups enough; then single moves and swaps
    lower the error as long as no label loses a split. This is done a few times, after the first
    in an order of placing by a hash of seed and group, and the best outcome is kept: the one in
    which most labels reach most splits, of those the one with the least error.
    """
    names = sorted(counts.groups, key=lambda g: hashlib.sha256(f"{seed}:{g}".encode()).digest())
    table = counts.take(names).table[_order_of(names)] if names else counts.table
    chosen = np.array([fixed.get(name, -1) for name in names], dtype=np.int64)
    free = chosen < 0
    active = np.flatnonzero(np.asarray(targets) > 0)
    has = table > 0
    problem = _Problem(_shares(table), np.rint(np.asarray(targets) * UNIT).astype(np.int64), active)
    enough = has.sum(axis=0) >= len(active)

    def missed(chosen: Ints) -> int:
        return int((reach(has[:, enough], chosen, len(targets))[:, active] == 0).sum())

    heaviest = np.argsort(-problem.shares.sum(axis=1), kind="stable")
    cover: dict[int, int] = {}
    outcomes: list[tuple[int, int, int, Ints]] = []
    for start in range(STARTS if free.any() else 1):
        shifted = np.roll(np.arange(len(names)), start * len(names) // STARTS)
        found = problem.place(chosen, shifted if start else heaviest)
        if missed(found):
            if not outcomes or outcomes[-1][0] == 0:  # where it fails, the search takes long
                cover = _cover_most(has, found, free, active, len(targets))
            for group, split in cover.items():
                found[group] = split
        problem.refine(found, free, has & enough)
        outcomes.append((missed(found), problem.error(found), start, found))
    best = min(outcomes, key=lambda outcome: outcome[:3])[-1]
    return {name: int(split) for name, split in zip(names, best, strict=True)}


def reach(has: Flags, chosen: Ints, n_splits: int) -> Ints:
    """In how many groups of each split a label occurs: ``(labels, n_splits)``."""
    inside = chosen[:, None] == np.arange(n_splits)
    groups: Ints = has.astype(np.int64).T @ inside.astype(np.int64)
    return groups


def _order_of(names: Sequence[str]) -> Ints:
    """Where each of ``names`` stands among them when sorted."""
    rank = {name: i for i, name in enumerate(sorted(names))}
    return np.array([rank[name] for name in names], dtype=np.int64)


def _shares(table: Ints) -> Ints:
    """Each group's share of each label, and of everything, in units: ``(groups, labels + 1)``."""
    full = np.concatenate([table, table.sum(axis=1, keepdims=True)], axis=1)
    shares: Ints = full * UNIT // np.maximum(full.sum(axis=0), 1)
    return shares


@dataclass(frozen=True, slots=True)
class _Problem:
    """Shares ``(groups, labels)`` and targets ``(splits,)`` in units; ``active``: usable splits."""

    shares: Ints
    targets: Ints
    active: Ints

    def excess(self, chosen: Ints) -> Ints:
        """How far each label lies above its target in each split: ``(labels, splits)``."""
        inside = (chosen[:, None] == np.arange(len(self.targets))).astype(np.int64)
        above: Ints = self.shares.T @ inside - self.targets
        return above

    def error(self, chosen: Ints) -> int:
        """The sum of squared distances from the targets, in squared units."""
        return int((self.excess(chosen) ** 2).sum())

    def place(self, chosen: Ints, order: Ints) -> Ints:
        """Place every group that is at −1, in this order; the others stay."""
        chosen = chosen.copy()
        excess = self.excess(chosen)
        for group in order:
            if chosen[group] < 0:
                share = self.shares[group]
                split = self.active[np.argmin(share @ excess[:, self.active])]
                chosen[group] = split
                excess[:, split] += share
        return chosen

    def refine(self, chosen: Ints, free: Flags, needed: Flags) -> None:
        """Move and swap free groups as long as the error falls and no label loses a split.

        ``needed`` ``(groups, labels)``: the group has the label, and the label is one that must
        keep the splits it has.
        """
        rows = np.flatnonzero(free)
        if not len(rows) or len(self.active) < 2:
            return
        shares = self.shares[rows]
        weight = np.einsum("gl,gl->g", shares, shares)
        gram = shares @ shares.T if len(rows) <= SWAPS else None
        for _ in range(8 * len(rows)):
            now = chosen[rows]
            pull = shares @ self.excess(chosen)
            gain = 2 * (pull - pull[np.arange(len(rows)), now][:, None] + weight[:, None])
            last = reach(needed, chosen, len(self.targets)) == 1
            alone = needed[rows] & last.T[now]  # the only one of its split with the label
            move = np.where(alone.any(axis=1)[:, None], 0, gain)
            move[np.arange(len(rows)), now] = 0
            move[:, np.setdiff1d(np.arange(len(self.targets)), self.active)] = 0
            best = int(np.argmin(move))
            if move.flat[best] < 0:
                chosen[rows[best // len(self.targets)]] = best % len(self.targets)
                continue
            if gram is None:
                return
            there = gain[:, now]  # [g, h]: g moves to where h is
            swap = there + there.T - 4 * gram
            lost = alone.astype(np.int64) @ (~needed[rows]).astype(np.int64).T > 0
            swap[lost | lost.T | (now[:, None] == now)] = 0
            best = int(np.argmin(swap))
            if swap.flat[best] >= 0:
                return
            one, other = divmod(best, len(rows))
            chosen[rows[one]], chosen[rows[other]] = now[other], now[one]


def _cover_most(
    has: Flags, chosen: Ints, free: Flags, active: Ints, n_splits: int
) -> dict[int, int]:
    """Free groups to place so that all labels reach all splits, or as many labels as can.

    Left alone are labels in fewer groups than splits, and those that the fixed groups leave too
    little room. Not every set of the others can be met: of four groups, with a label in each
    three of them, two share a split, and the label of these two and a third reaches but two.
    """
    rows = np.flatnonzero(free)
    need = reach(has, np.where(free, -1, chosen), n_splits)[:, active] == 0
    enough = (has[rows].sum(axis=0) >= need.sum(axis=1)) & (has.sum(axis=0) >= len(active))
    labels = np.flatnonzero(enough & need.any(axis=1))
    prefer = np.searchsorted(active, chosen[rows])
    inside, need = has[np.ix_(rows, labels)], need[labels]
    found = _cover(inside, need, prefer, NODES)
    if found is None:
        found, kept = {}, np.zeros(len(labels), dtype=bool)
        for at in np.argsort(-inside.sum(axis=0), kind="stable"):
            kept[at] = True
            more = _cover(inside[:, kept], need[kept], prefer, NODES_MORE)
            kept[at] = more is not None
            found = found if more is None else more
    return {int(rows[g]): int(active[s]) for g, s in found.items()}


def _cover(has: Flags, need: Flags, prefer: Ints, nodes: int) -> dict[int, int] | None:
    """Place groups so that every needed (label, split) is met; ``None`` if that cannot be.

    ``has`` ``(groups, labels)``, ``need`` ``(labels, splits)``, ``prefer`` ``(groups,)``: the
    split tried first. A search with backtracking: the label with the least room comes first, of
    those the one with the fewest groups left, so that what is forced is seen at once; a branch
    ends where a label has fewer groups left than splits to reach.
    """
    placed = np.full(len(has), -1, dtype=np.int64)
    path: list[int] = []
    choices: list[list[tuple[int, int]]] = []
    for _ in range(nodes):
        left = placed < 0
        open_ = need & (reach(has, placed, need.shape[1]) == 0)
        pending = open_.any(axis=1)
        if not pending.any():
            return {group: int(placed[group]) for group in path}
        n_left = has[left].sum(axis=0)
        room = n_left - open_.sum(axis=1)
        if room[pending].min() >= 0:
            label = int(np.lexsort((n_left, room, ~pending))[0])
            split = int(np.flatnonzero(open_[label])[-1])
            groups = np.flatnonzero(left & has[:, label]).tolist()
            groups.sort(key=lambda g: (prefer[g] == split, -int(has[g].sum()), -g))
            choices.append([(group, split) for group in groups])  # tried from the last on
        elif path:
            placed[path.pop()] = -1
        while choices and not choices[-1]:
            choices.pop()
            if path:
                placed[path.pop()] = -1
        if not choices:
            return None
        group, split = choices[-1].pop()
        placed[group] = split
        path.append(group)
    return None
