"""Actors of one video that have the same boxes, made one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd

from tinyvirat_build import geometry
from tinyvirat_build.errors import compared
from tinyvirat_build.geometry.arrays import Floats, Ints
from tinyvirat_build.records import Issue, VideoAnnotation

_SIDES = ["x1", "y1", "x2", "y2"]


def join_same_boxes(annotation: VideoAnnotation) -> VideoAnnotation:
    """Actors with equal boxes on every frame on which both have one are one actor.

    UMD numbers the actors of every activity anew, so that a vehicle that stops and then turns is
    two. Actors of different types, or without a common frame, stay two. An actor that could be
    one with several is so with the first, and with the next ones as far as all of them agree.
    The one whose id comes first gives its name; each other one is noted (``duplicate``).

    Raises:
        BoundError: more boxes would have to be compared than ``MAX_MEETINGS``.
    """
    boxes = annotation.boxes
    names = [str(name) for name in boxes["actor_id"].cat.categories]
    code = np.asarray(boxes["actor_id"].cat.codes, np.int64)
    frame = boxes["frame"].to_numpy(np.int64)
    corners = boxes[_SIDES].to_numpy(np.float64)
    types = dict(zip(annotation.actors["actor_id"], annotation.actors["type"], strict=True))
    first = geometry.offsets(np.bincount(code, minlength=len(names)))
    # Of each actor that others became: its frames and boxes, those of the others among them.
    tracks = [(frame[a:b], corners[a:b]) for a, b in pairwise(first)]
    kinds = [{str(types.get(name, ""))} - {""} for name in names]
    root = list(range(len(names)))
    work = compared()
    for one, other in _alike(code, frame, corners):
        a, b = sorted((_root_of(root, one), _root_of(root, other)))
        if a == b or len(kinds[a] | kinds[b]) > 1:
            continue
        work.add(len(tracks[a][0]) + len(tracks[b][0]))
        if (both := _united(tracks[a], tracks[b])) is not None:
            tracks[a], root[b] = both, a
            kinds[a] = kinds[a] | kinds[b]
    became = {names[i]: names[_root_of(root, i)] for i in range(len(names))}
    gone = {name: kept for name, kept in became.items() if name != kept}
    return _renamed(annotation, gone) if gone else annotation


def _alike(code: Ints, frame: Ints, corners: Floats) -> Iterator[tuple[int, int]]:
    """Pairs of actors that have an equal box on a frame, each pair once, in order."""
    order = np.lexsort((code, *corners.T, frame))
    code, frame, corners = code[order], frame[order], corners[order]
    same = np.r_[(np.diff(frame) == 0) & (np.diff(corners, axis=0) == 0).all(axis=1), False]
    # Of a crowd with one box those next to each other in order, then those with one between, …
    found = np.zeros((0, 2), np.int64)
    at, step, work = np.flatnonzero(same), 1, compared()
    while len(at):
        work.add(len(at))
        new = np.stack([code[at], code[at + step]], axis=1)
        found = np.unique(np.concatenate([found, new]), axis=0)
        at, step = at[same[at + step]], step + 1
    yield from ((one, other) for one, other in found.tolist())


def _root_of(root: list[int], i: int) -> int:
    while root[i] != i:
        i = root[i]
    return i


def _united(one: tuple[Ints, Floats], other: tuple[Ints, Floats]) -> tuple[Ints, Floats] | None:
    """The boxes of two tracks, or None where they differ on a common frame."""
    _, mine, theirs = np.intersect1d(one[0], other[0], assume_unique=True, return_indices=True)
    if (one[1][mine] != other[1][theirs]).any():
        return None
    frame = np.concatenate([one[0], other[0]])
    frame, at = np.unique(frame, return_index=True)
    return frame, np.concatenate([one[1], other[1]])[at]


def _renamed(annotation: VideoAnnotation, gone: dict[str, str]) -> VideoAnnotation:
    """The annotation with actors under other names, each box once."""

    def activities(table: pd.DataFrame) -> pd.DataFrame:
        found = np.empty(len(table), object)
        found[:] = [tuple(dict.fromkeys(gone.get(a, a) for a in own)) for own in table["actors"]]
        return table.assign(actors=found)

    boxes, bare = annotation.boxes, annotation.without_geometry
    names = [gone.get(str(n), str(n)) for n in boxes["actor_id"].cat.categories]
    kept = sorted(set(names))
    place = {name: i for i, name in enumerate(kept)}
    code = np.array([place[name] for name in names])[boxes["actor_id"].cat.codes]
    frame = boxes["frame"].to_numpy(np.int64)
    keyframe = boxes["keyframe"].to_numpy(bool)
    order = np.lexsort((~keyframe, frame, code))  # of two equal boxes that which was annotated
    again = (np.diff(code[order]) == 0) & (np.diff(frame[order]) == 0)
    order = order[np.r_[True, ~again]]
    actor = pd.Categorical.from_codes(code[order], pd.Index(kept, dtype="str"))
    types = annotation.actors["type"].where(annotation.actors["type"] != "", None)
    known = annotation.actors["actor_id"].map(lambda a: gone.get(a, a))
    kind = types.groupby(known).first().fillna("")
    there = annotation.actors[~annotation.actors["actor_id"].isin(list(gone))]
    noted = [
        Issue("parse", "duplicate", "noted", f"actor {a}", detail=f"has the boxes of actor {b}")
        for a, b in gone.items()
    ]
    return replace(
        annotation,
        activities=activities(annotation.activities),
        boxes=boxes.iloc[order].reset_index(drop=True).assign(actor_id=actor),
        actors=there.assign(type=there["actor_id"].map(kind)).reset_index(drop=True),
        issues=[*annotation.issues, *noted],
        without_geometry=None if bare is None else activities(bare),
    )
