"""Small random worlds, and worlds as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pandas as pd
from hypothesis import strategies as st
from oracle import Activity, Box, World

from tinyvirat_build import records
from tinyvirat_build.settings import Chunk, Crop, Merge
from tinyvirat_build.stages.chunk import chunk
from tinyvirat_build.stages.crop import crop
from tinyvirat_build.stages.merge import merge
from tinyvirat_build.stages.segment import segment

CLASSES = ("talking", "carrying", "opening")


@st.composite
def worlds(draw: st.DrawFn, *, odd_pictures: bool = True, video_id: str = "v") -> World:
    """A video of up to five actors in a crowd. The search draws how many; the rest hangs on a seed.

    Drawn one by one, numbers are so often small that hardly any two boxes would meet.
    """
    picture = draw(
        st.sampled_from([(160, 120), (61, 47), (40, 200)] if odd_pictures else [(160, 120)])
    )
    n_actors, n_activities = 5 - draw(st.integers(0, 4)), 5 - draw(st.integers(0, 4))
    rng = Random(f"{draw(st.integers(0, 10**9))} {picture} {n_actors} {n_activities}")
    places = [(rng.randint(-8, 4 * picture[0]) / 4, rng.randint(-8, 4 * picture[1]) / 4)
              for _ in range(2)]  # fmt: skip
    boxes = {f"p{actor}": _line(rng, rng.choice(places)) for actor in range(n_actors)}
    activities = []
    for i in range(n_activities):
        first, last = min(boxes[f"p{i % n_actors}"]), max(boxes[f"p{i % n_actors}"])
        start = rng.choice([max(0, first - 2), rng.randint(first, last)])
        others = rng.choices(sorted(boxes), k=rng.choice([0, 0, 0, 1]))
        actors = (f"p{i % n_actors}", *others)
        labels = {c for c in CLASSES if rng.random() < 0.5}
        ordered = tuple(c for c in CLASSES if c in labels)
        end = rng.choice([start + rng.randint(1, 6), rng.randint(start + 1, 62), last, 62])
        end = max(end, start + 1)
        activities.append(Activity(f"a{rng.randint(0, 9)}{i}", start, end, actors, ordered))
    return World(tuple(activities), boxes, picture, video_id)


@st.composite
def encounters(draw: st.DrawFn) -> World:
    """Three who stand in one place, go to and fro, and are out of sight for a while."""
    rng = Random(f"encounter {draw(st.integers(0, 10**9))} {draw(st.integers(0, 10**9))}")
    boxes, activities = {}, []
    for i in range(3):
        times = sorted(rng.sample(range(1, 40), rng.randint(0, 8)))
        gaps = [(at, at + rng.randint(1, 4)) for at in rng.sample(range(40), rng.choice([0, 1, 2]))]
        boxes[f"p{i}"] = {
            t: (x, 10.0, x + 20, 40.0)
            for t in range(rng.randint(0, 6), rng.randint(30, 40))
            if not any(low <= t < high for low, high in gaps)
            for x in (10.0 + 60 * (sum(at <= t for at in times) % 2),)
        }
        start, end = rng.randint(0, 8), rng.randint(28, 45)
        activities.append(Activity(f"a{i}", start, end, (f"p{i}",), CLASSES[i : i + 1]))
    return World(tuple(activities), boxes, (160, 120))


def _line(rng: Random, place: tuple[float, float]) -> dict[int, Box]:
    """The boxes of an actor near a place, who may be gone for a while, or go to and fro."""
    start, end = rng.randint(0, 20), rng.randint(31, 60)
    x, y = (at + rng.randint(-60, 60) / 4 for at in place)
    w, h = rng.randint(1, 200) / 4, rng.randint(60, 200) / 4
    vx, vy = (rng.choice([0, 0, rng.randint(-8, 8) / 4]) for _ in range(2))
    jumps, wide = [rng.randint(start, end) for _ in range(rng.randint(0, 8))], rng.choice([0, 60])
    gap, gone = rng.randint(start, end), rng.choice([0, 0, 1, 5])
    line = {}
    for t in range(start, end):
        if gap <= t < gap + gone and t > start:
            continue
        away = wide * (sum(jump <= t for jump in jumps) % 2)
        at = x + vx * (t - start) + away, y + vy * (t - start)
        line[t] = (at[0], at[1], at[0] + w, at[1] + h)
    return line


merges = st.builds(
    Merge,
    unit=st.sampled_from(["component", "component", "activity"]),
    touch=st.sampled_from(["overlap_or_actor", "overlap_or_actor", "actor"]),
    measure=st.sampled_from(["iomin", "iou"]),
    threshold=st.sampled_from([0.1, 0.3, 0.5, 1.0]),
    bridge=st.sampled_from([0, 1, 3, 8]),
    unmapped=st.sampled_from(["exclude", "include"]),
)
REMAINDERS = ("balance", "keep", "drop", "merge", "whole")


@st.composite
def chunkings(draw: st.DrawFn) -> Chunk:
    length = draw(st.integers(1, 40))
    lengths = draw(st.sampled_from([(), (), (5, 9), (3, 20), (7, 7)]))
    return Chunk(
        length=length,
        lengths=lengths,
        remainder=draw(st.sampled_from(REMAINDERS)),
        overlap=draw(st.integers(0, min(6, min(lengths or (length,)) - 1))),
        min_frames=draw(st.sampled_from([1, 2, 6])),
        seed=draw(st.integers(0, 2)),
    )


chunks = chunkings()
enlarging = st.sampled_from([1.0, 1.0, 1.1, 1.15, 2.0])
under = st.sampled_from([0, 40, 100])
even_crops = st.builds(
    Crop,
    mode=st.sampled_from(["follow", "static"]),
    shape=st.sampled_from(["square", "box"]),
    scope=st.sampled_from(["chunk", "segment"]),
    margin=st.sampled_from([0, 0, 3, 4]),
    smooth=st.sampled_from([1, 2, 9]),
    min_side=st.sampled_from([2, 10, 33]),
    max_side=st.sampled_from([64, 128]),
    sides=st.sampled_from([(), (), (24, 48), (31,)]),
    snap=st.sampled_from(["at_least", "above"]),
    avoid_widths=st.sampled_from([(), (), (24, 26, 48), (16, 34)]),
    enlarge=enlarging,
    enlarge_under=under,
    labels=st.sampled_from(["own", "window", "split", "split"]),
    seen=st.sampled_from([0.25, 0.5, 1.0]),
)
floor_crops = even_crops.map(lambda crop: replace(crop, grid="floor"))
truncated_crops = st.builds(
    Crop,
    mode=st.just("static"),
    grid=st.just("truncate"),
    shape=st.sampled_from(["square", "box"]),
    scope=st.sampled_from(["chunk", "segment"]),
    margin=st.sampled_from([0, 0, 3]),
    sides=st.sampled_from([(), (24, 56)]),
    snap=st.sampled_from(["at_least", "above"]),
    enlarge=enlarging,
    enlarge_under=under,
    labels=st.sampled_from(["own", "window", "split", "split"]),
    seen=st.sampled_from([0.25, 0.5, 1.0]),
)
crops = st.one_of(even_crops, floor_crops, truncated_crops)


@dataclass(frozen=True)
class Plan:
    tracks: records.StageResult
    segments: records.StageResult
    chunks: records.StageResult
    clips: records.StageResult


def tables(given: Sequence[World], keys: tuple[str, str] = ("s", "a")) -> dict[str, pd.DataFrame]:
    """The tables ``activities``, ``boxes`` and ``videos`` of worlds, in their order."""
    rows: dict[str, list[dict[str, Any]]] = {"activities": [], "boxes": [], "videos": []}
    for world in given:
        key = {"source": keys[0], "video_id": world.video_id, "annotation_set": keys[1]}
        width, height = world.picture
        rows["videos"].append({**key, "width": width, "height": height})
        for i, a in enumerate(world.activities):
            about = {"activity_id": a.id, "name": a.name, "labels": a.labels, "start": a.start}
            about |= {"end": a.end, "actors": a.actors, "status": "", "file_order": i}
            rows["activities"].append(key | about)
        for actor, line in world.boxes.items():
            for t, (x1, y1, x2, y2) in line.items():
                box = {"actor_id": actor, "frame": t, "x1": x1, "y1": y1, "x2": x2, "y2": y2}
                rows["boxes"].append({**key, **box, "keyframe": True})
    return {
        name: pd.DataFrame(found) if found else records.empty(name) for name, found in rows.items()
    }


def plan(
    given: dict[str, pd.DataFrame],
    merging: Merge,
    chunking: Chunk,
    cropping: Crop,
    classes: tuple[str, ...] = CLASSES,
    names: dict[str, str] | None = None,
) -> Plan:
    tracks = merge(given["activities"], given["boxes"], merging)
    segments = segment(tracks.table, given["activities"], merging, classes=classes)
    cut = chunk(segments.table, tracks.table, chunking)
    clips = crop(
        cut.table,
        tracks.table,
        given["activities"],
        given["boxes"],
        given["videos"],
        cropping,
        classes=classes,
        unit=merging.unit,
        segments=segments.table,
        names=names,
        bridge=merging.bridge,
        min_frames=chunking.min_frames,
    )
    return Plan(tracks, segments, cut, clips)
