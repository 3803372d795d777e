"""Objects that activities name for themselves, as JSON has them, made the actors of a video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tinyvirat_build.formats.assemble import STAGE, RawBoxes
from tinyvirat_build.formats.faults import Issues
from tinyvirat_build.geometry.arrays import Bools, Floats, Ints
from tinyvirat_build.records import Issue

_PIECE: Final = 1 << 18  # boxes that are compared at once
_ALL: Final = slice(None)  # rows, without a copy


@dataclass(slots=True)
class Instance:
    """One object of one activity: its boxes in order of frame."""

    activity_id: str
    object_id: str
    type: str
    frame: Ints  # (n,)
    xyxy: Floats  # (n, 4)
    keyframe: Bools  # (n,)


def unite(
    instances: Sequence[Instance], file: str | None, issues: Issues
) -> tuple[list[str], RawBoxes, dict[str, str]]:
    """The actor id of each instance, all boxes, and the type of each actor.

    Instances of one object id are one actor, unless their types differ or they have different
    boxes on one frame: some producers number the objects of each activity anew, some give every
    object the same id. Then each instance is an actor of its own, ``object@activity``.
    """
    groups: dict[str, list[int]] = {}
    for i, instance in enumerate(instances):
        groups.setdefault(instance.object_id, []).append(i)
    names = [instance.object_id for instance in instances]
    taken = set(groups)
    parts: list[tuple[str, Instance, Ints | slice]] = []
    for object_id, members in groups.items():
        group = [instances[i] for i in members]
        rows, conflict = _merged(group)
        if not conflict:
            parts.append((object_id, _concatenated(group), rows))
            continue
        issues.append(
            Issue(
                STAGE,
                "duplicate",
                "noted",
                record=f"actor {object_id}"[:200],
                file=file,
                count=len(members),
                detail="one id for different objects; each is an actor of its own",
            )
        )
        for copy, i in enumerate(members):
            name = f"{object_id}@{instances[i].activity_id}"
            if name in taken:
                name = f"{name}.{copy}"
            taken.add(name)
            names[i] = name
            parts.append((name, instances[i], _ALL))
    parts.sort(key=lambda part: part[0])  # as they end up: a sort of all boxes is spared
    counts = [len(p.frame[rows]) for _, p, rows in parts]
    boxes = RawBoxes(file=file)
    if sum(counts):
        boxes = RawBoxes(
            tuple(name for name, _, _ in parts),
            np.repeat(np.arange(len(parts)), counts),
            np.concatenate([p.frame[rows] for _, p, rows in parts]),
            np.concatenate([p.xyxy[rows] for _, p, rows in parts]),
            np.concatenate([p.keyframe[rows] for _, p, rows in parts]),
            np.zeros(sum(counts), np.int64),
            file,
        )
    return names, boxes, {name: part.type for name, part, _ in parts}


def _merged(group: Sequence[Instance]) -> tuple[Ints | slice, bool]:
    """The rows of the group's boxes, each frame once, and whether the instances contradict."""
    if len(group) == 1:
        return _ALL, False
    frame = np.concatenate([g.frame for g in group])
    order = np.argsort(frame, kind="stable")
    again = np.zeros(len(frame), bool)
    again[1:] = frame[order][1:] == frame[order][:-1]
    if not again.any():
        return order, len({g.type for g in group}) > 1
    xyxy = np.concatenate([g.xyxy for g in group])
    at = np.flatnonzero(again)
    differs = any(
        (xyxy[order[at[part]]] != xyxy[order[at[part] - 1]]).any()
        for part in (slice(i, i + _PIECE) for i in range(0, len(at), _PIECE))
    )
    return order[~again], differs or len({g.type for g in group}) > 1


def _concatenated(group: Sequence[Instance]) -> Instance:
    first = group[0]
    if len(group) == 1:
        return first
    return Instance(
        first.activity_id,
        first.object_id,
        first.type,
        np.concatenate([g.frame for g in group]),
        np.concatenate([g.xyxy for g in group]),
        np.concatenate([g.keyframe for g in group]),
    )
