"""Several annotation sets of one video as one, without what they hold twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd

from tinyvirat_build import geometry
from tinyvirat_build.errors import MAX_MEETINGS, Work, compared
from tinyvirat_build.geometry.arrays import Bools, Floats, Ints
from tinyvirat_build.geometry.meetings import PIECE, Courses, meetings, overlapping
from tinyvirat_build.records import Issue, VideoAnnotation

SAME_PERSON: Final = 0.7  # median IoU over common frames
MET: Final = 5  # common frames that it takes, or all of the shorter track
SAME_TIME: Final = 0.5  # common share of the longer of two activities


def unite(
    sets: Sequence[tuple[str, VideoAnnotation]], same_name: Callable[[str], str] = str
) -> VideoAnnotation:
    """One annotation of several, given as (set name, annotation) by priority.

    An actor of a later set that is the same as one of an earlier set (see :func:`same_actors`)
    takes its id, and its boxes stay only on frames where the earlier one has none. An activity
    is dropped as a duplicate if an earlier set has one of the same name (spelled alike by
    ``same_name``) with a common actor, and their common frames are at least half of the longer
    one. Ids of later sets are prefixed by the set's name; an activity without boxes is a
    duplicate of nothing.
    """
    (_, united), *rest = sets
    for name, annotation in rest:
        united = _add(united, _prefixed(annotation, f"{name}."), same_name)
    return united


def _add(
    first: VideoAnnotation, second: VideoAnnotation, same_name: Callable[[str], str]
) -> VideoAnnotation:
    same = same_actors(first, second)
    actors_of = [
        tuple(dict.fromkeys(same.get(a, a) for a in actors))
        for actors in second.activities["actors"]
    ]
    activities = second.activities.assign(actors=pd.Series(actors_of, dtype=object).to_numpy())
    again = _repeats(first.activities, activities, same_name)
    issues = [
        Issue("parse", "duplicate", "dropped", f"activity {activity_id}", detail=f"as {earlier}")
        for activity_id, earlier in zip(activities["activity_id"], again, strict=True)
        if earlier
    ]
    activities = activities[np.array([not earlier for earlier in again], bool)]
    file_order = activities["file_order"] + _next(first.activities["file_order"])
    known = set(first.actors["actor_id"])
    new = [a not in same and a not in known for a in second.actors["actor_id"]]
    actors = second.actors[np.array(new, bool)]
    bare = (first.without_geometry, second.without_geometry)
    return VideoAnnotation(
        first.video_id,
        _stack([first.activities, activities.assign(file_order=file_order)]),
        _joined_boxes(first.boxes, second.boxes, same),
        _stack([first.actors, actors]),
        [*first.issues, *second.issues, *issues],
        first.records_in + second.records_in,
        first.regions if second.regions is None else second.regions,
        _stack([t for t in bare if t is not None]) if any(t is not None for t in bare) else None,
    )


def same_actors(first: VideoAnnotation, second: VideoAnnotation) -> dict[str, str]:
    """Actor ids of the second set to those of the first that are the same person or thing.

    Two are the same if their types are, or one has none (UMD's ``Null``), and the median IoU of
    their boxes is at least 0.7 over their common frames, which are at least five, or all of the
    shorter track. Each actor is the same as one at most: the best pairs, by median and then by
    common frames, are made first.
    """
    a, b = _courses(first), _courses(second)
    if not len(a[0]) or not len(b[0]):
        return {}
    of_a, of_b = _matches(a, b, _types(first), _types(second))
    best = []
    for one, other, median, common in _medians(a[1], b[1], of_a, of_b):
        enough = (common >= MET) | (common == a[2][one]) | (common == b[2][other])
        chosen = enough & (median >= SAME_PERSON)
        columns = (-median, -common, one, other)
        best += list(zip(*(c[chosen].tolist() for c in columns), strict=True))
    same: dict[str, str] = {}
    taken: set[str] = set()
    for _, _, code_a, code_b in sorted(best):
        name_a, name_b = a[0][code_a], b[0][code_b]
        if name_b not in same and name_a not in taken:
            same[name_b] = name_a
            taken.add(name_a)
    return same


_Set = tuple[list[str], Courses, Ints]  # names of actors in order, boxes, how many boxes of each


def _courses(annotation: VideoAnnotation) -> _Set:
    """The boxes of a set, its actors numbered in the order of their names."""
    boxes = annotation.boxes
    codes, words = pd.factorize(boxes["actor_id"])
    names = sorted(map(str, words))
    place = {name: i for i, name in enumerate(names)}
    actor = np.array([place[str(word)] for word in words], np.int64)[codes]
    frame = boxes["frame"].to_numpy(np.int64)
    order = np.lexsort((frame, actor))
    reach = geometry.reach_of(boxes[["x1", "y1", "x2", "y2"]].to_numpy(np.float64)[order])
    courses = Courses(actor[order], frame[order], reach)
    return names, courses, np.bincount(actor, minlength=len(names))


def _matches(
    a: _Set, b: _Set, types_a: Mapping[str, str], types_b: Mapping[str, str]
) -> tuple[Ints, Ints]:
    """Pairs of actors of like type that have a frame with an IoU of at least 0.7.

    A median of 0.7 takes at least one such frame, so that all others need no look.
    """
    codes = {t: i for i, t in enumerate(sorted({*types_a.values(), *types_b.values(), ""}))}
    kind_a = np.array([codes[types_a.get(name, "")] for name in a[0]])
    kind_b = np.array([codes[types_b.get(name, "")] for name in b[0]])

    def alike(one: Ints, other: Ints) -> Bools:
        here, there = kind_a[one], kind_b[other]
        found: Bools = (here == there) | (here == codes[""]) | (there == codes[""])
        return found

    hits, decide = overlapping("iou", SAME_PERSON)
    known = np.zeros(0, np.int64)
    for one, other, _, _ in meetings(a[1], b[1], hits, compared(), decide=decide, apart=alike):
        known = np.union1d(known, one * len(b[0]) + other)
    of_a, of_b = np.divmod(known, len(b[0]))
    return of_a, of_b


def _medians(
    a: Courses, b: Courses, of_a: Ints, of_b: Ints
) -> Iterator[tuple[Ints, Ints, Floats, Ints]]:
    """Pairs of actors, the median IoU over their common frames, and the number of these."""
    frames = int(max(a.frame.max(), b.frame.max())) + 1
    key = b.owner * frames + b.frame
    first = np.searchsorted(a.owner, of_a)
    length = np.searchsorted(a.owner, of_a, side="right") - first
    compared().add(int(length.sum()))
    for part in geometry.pieces(length, PIECE):
        one, other = of_a[part], of_b[part]
        rows = geometry.ranges(first[part], length[part])
        pair = np.repeat(np.arange(len(one)), length[part])
        wanted = other[pair] * frames + a.frame[rows]
        at = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
        both = key[at] == wanted
        pair, rows, at = pair[both], rows[both], at[both]
        overlap = geometry.overlap(a.reach[:, rows], b.reach[:, at], "iou")
        overlap = overlap[np.lexsort((overlap, pair))]
        common = np.bincount(pair, minlength=len(one))
        begin = geometry.offsets(common)[:-1]
        median = (overlap[begin + (common - 1) // 2] + overlap[begin + common // 2]) / 2
        yield one, other, median, common


def _repeats(
    first: pd.DataFrame, second: pd.DataFrame, same_name: Callable[[str], str]
) -> list[str]:
    """For each activity of the second set the id of the earlier one that it repeats, or ''."""
    known: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
    for row, (name, start, end, actors, _) in enumerate(_rows(first)):
        for actor in set(actors):
            known.setdefault((same_name(name), actor), []).append((start, end, row))
    arrays = {key: np.array(sorted(spans), np.int64).T for key, spans in known.items()}
    ids, work = first["activity_id"].tolist(), Work(MAX_MEETINGS, "pairs of activities to compare")
    found = []
    for name, start, end, actors, _ in _rows(second):
        rows = []
        for spans in (arrays.get((same_name(name), actor)) for actor in set(actors)):
            if spans is None:
                continue
            # Half of the longer in common: neither begins sooner or later than that allows.
            low, high = np.searchsorted(spans[0], (start - (end - start), end))
            work.add(int(high - low))
            s, e, row = spans[:, low:high]
            longer = np.maximum(e - s, end - start)
            again = np.minimum(e, end) - np.maximum(s, start) >= SAME_TIME * longer
            rows += row[again].tolist()
        found.append(ids[min(rows)] if rows else "")
    return found


def _rows(activities: pd.DataFrame) -> zip[tuple[str, int, int, tuple[str, ...], str]]:
    names = ("name", "start", "end", "actors", "activity_id")
    return zip(*(activities[n].tolist() for n in names), strict=True)


def _prefixed(annotation: VideoAnnotation, prefix: str) -> VideoAnnotation:
    def activities_of(table: pd.DataFrame) -> pd.DataFrame:
        actors = [tuple(prefix + a for a in actors) for actors in table["actors"]]
        return table.assign(
            activity_id=[prefix + a for a in table["activity_id"]],
            actors=pd.Series(actors, dtype=object).to_numpy(),
        )

    codes, names = pd.factorize(annotation.boxes["actor_id"].astype(object))
    bare = annotation.without_geometry
    return replace(
        annotation,
        activities=activities_of(annotation.activities),
        boxes=annotation.boxes.assign(
            actor_id=pd.Categorical.from_codes(codes, pd.Index([prefix + str(n) for n in names]))
        ),
        actors=annotation.actors.assign(
            actor_id=[prefix + a for a in annotation.actors["actor_id"]]
        ),
        without_geometry=None if bare is None else activities_of(bare),
    )


def _joined_boxes(
    first: pd.DataFrame, second: pd.DataFrame, same: Mapping[str, str]
) -> pd.DataFrame:
    words = [first["actor_id"].cat.categories, second["actor_id"].cat.categories]
    ids = [list(map(str, words[0])), [same.get(str(word), str(word)) for word in words[1]]]
    names = sorted({*ids[0], *ids[1]})
    place = {name: i for i, name in enumerate(names)}
    code = np.concatenate(
        [
            np.array([place[name] for name in own], np.int64)[table["actor_id"].cat.codes]
            for own, table in zip(ids, (first, second), strict=True)
            if len(table)
        ]
        or [np.zeros(0, np.int64)]
    )
    boxes = pd.concat([first, second], ignore_index=True)
    frame = boxes["frame"].to_numpy()
    order = np.lexsort((frame, code))  # stable: of two boxes on a frame the first set's is first
    again = (np.diff(code[order]) == 0) & (np.diff(frame[order]) == 0)
    order = order[np.r_[True, ~again][: len(order)]]
    used, code = np.unique(code[order], return_inverse=True)
    actor = pd.Categorical.from_codes(code, pd.Index([names[i] for i in used], dtype="str"))
    united: pd.DataFrame = boxes.iloc[order].reset_index(drop=True)
    return united.assign(actor_id=actor)


def _stack(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([t for t in tables if len(t)] or [tables[0]], ignore_index=True)


def _next(order: pd.Series[int]) -> int:
    return int(order.max()) + 1 if len(order) else 0


def _types(annotation: VideoAnnotation) -> dict[str, str]:
    kinds = [str(kind).lower() for kind in annotation.actors["type"]]
    return dict(zip(annotation.actors["actor_id"], kinds, strict=True))
