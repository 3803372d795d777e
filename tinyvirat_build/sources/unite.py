"""Several annotation sets of one video as one, without what they hold twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from tinyvirat_build import geometry
from tinyvirat_build.records import Issue, VideoAnnotation

SAME_PERSON: Final = 0.7  # median IoU over common frames
MET: Final = 5  # common frames that it takes, or all of the shorter track
SAME_TIME: Final = 0.5  # common share of the longer of two activities

Corners = npt.NDArray[np.float64]


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
    a, b = first.boxes, second.boxes
    if a.empty or b.empty:
        return {}
    types_a, types_b = _types(first), _types(second)
    left = pd.DataFrame({"frame": a["frame"].to_numpy(), "a": np.arange(len(a))})
    right = pd.DataFrame({"frame": b["frame"].to_numpy(), "b": np.arange(len(b))})
    pairs = left.merge(right, on="frame", sort=False)
    rows_a, rows_b = pairs["a"].to_numpy(), pairs["b"].to_numpy()
    ids_a, names_a = pd.factorize(a["actor_id"].astype(object), sort=True)
    ids_b, names_b = pd.factorize(b["actor_id"].astype(object), sort=True)
    codes = {t: i for i, t in enumerate(sorted({*types_a.values(), *types_b.values(), ""}))}
    kind_a = np.array([codes[types_a.get(str(n), "")] for n in names_a])
    kind_b = np.array([codes[types_b.get(str(n), "")] for n in names_b])
    here, there = kind_a[ids_a[rows_a]], kind_b[ids_b[rows_b]]
    alike = (here == there) | (here == codes[""]) | (there == codes[""])
    rows_a, rows_b = rows_a[alike], rows_b[alike]
    overlap = geometry.overlap(
        geometry.reach_of(_corners(a)[rows_a]), geometry.reach_of(_corners(b)[rows_b]), "iou"
    )
    table = pd.DataFrame({"b": ids_b[rows_b], "a": ids_a[rows_a], "iou": overlap})
    medians = table.groupby(["b", "a"], sort=True)["iou"].agg(["median", "size"]).reset_index()
    shorter = np.minimum(np.bincount(ids_a)[medians["a"]], np.bincount(ids_b)[medians["b"]])
    enough = medians["size"].to_numpy() >= np.minimum(MET, shorter)
    medians = medians[enough & (medians["median"] >= SAME_PERSON)]
    best = medians.sort_values(["median", "size", "a", "b"], ascending=[False, False, True, True])
    same: dict[str, str] = {}
    taken: set[str] = set()
    for code_b, code_a in zip(best["b"].tolist(), best["a"].tolist(), strict=True):
        name_b, name_a = str(names_b[code_b]), str(names_a[code_a])
        if name_b not in same and name_a not in taken:
            same[name_b] = name_a
            taken.add(name_a)
    return same


def _repeats(
    first: pd.DataFrame, second: pd.DataFrame, same_name: Callable[[str], str]
) -> list[str]:
    """For each activity of the second set the id of the earlier one that it repeats, or ''."""
    by_name: dict[str, list[tuple[int, int, frozenset[str], str]]] = {}
    for name, start, end, actors, activity_id in _rows(first):
        by_name.setdefault(same_name(name), []).append((start, end, frozenset(actors), activity_id))
    found = []
    for name, start, end, actors, _ in _rows(second):
        earlier = (
            activity_id
            for s, e, known, activity_id in by_name.get(same_name(name), ())
            if min(e, end) - max(s, start) >= SAME_TIME * max(e - s, end - start)
            and not known.isdisjoint(actors)
        )
        found.append(next(earlier, ""))
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
    ids = [same.get(str(a), str(a)) for a in second["actor_id"]]
    boxes = pd.concat(
        [first.assign(actor_id=first["actor_id"].astype(object)), second.assign(actor_id=ids)],
        ignore_index=True,
    )
    boxes = boxes.drop_duplicates(["actor_id", "frame"], keep="first")
    boxes = boxes.sort_values(["actor_id", "frame"], kind="stable", ignore_index=True)
    return boxes.assign(actor_id=pd.Categorical(boxes["actor_id"]))


def _stack(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([t for t in tables if len(t)] or [tables[0]], ignore_index=True)


def _next(order: pd.Series[int]) -> int:
    return int(order.max()) + 1 if len(order) else 0


def _types(annotation: VideoAnnotation) -> dict[str, str]:
    kinds = [str(kind).lower() for kind in annotation.actors["type"]]
    return dict(zip(annotation.actors["actor_id"], kinds, strict=True))


def _corners(boxes: pd.DataFrame) -> Corners:
    return boxes[["x1", "y1", "x2", "y2"]].to_numpy(dtype=np.float64)
