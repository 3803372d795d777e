"""Small random worlds, and worlds as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from hypothesis import strategies as st
from oracle import Activity, World

from tinyvirat_build import records
from tinyvirat_build.settings import Chunk, Crop, Merge
from tinyvirat_build.stages.chunk import chunk
from tinyvirat_build.stages.crop import crop
from tinyvirat_build.stages.merge import merge
from tinyvirat_build.stages.segment import segment

CLASSES = ("talking", "carrying", "opening")


@st.composite
def worlds(draw: st.DrawFn, *, odd_pictures: bool = True, video_id: str = "v") -> World:
    picture = draw(
        st.sampled_from([(160, 120), (61, 47), (40, 200)] if odd_pictures else [(160, 120)])
    )
    quarter = st.integers(-8, 4 * max(picture) + 8).map(lambda n: n / 4)
    boxes = {}
    for actor in range(draw(st.integers(1, 5))):
        start, end = draw(st.integers(0, 30)), draw(st.integers(31, 60))
        x, y = draw(quarter), draw(quarter)
        w, h = draw(st.integers(1, 200)) / 4, draw(st.integers(1, 200)) / 4
        vx, vy = draw(st.integers(-8, 8)) / 4, draw(st.integers(-8, 8)) / 4
        jump = draw(st.integers(start, end)), draw(st.sampled_from([0, 0, 30]))
        gap = draw(st.integers(start, end)), draw(st.sampled_from([0, 0, 1, 5]))
        line = {}
        for t in range(start, end):
            if gap[0] <= t < gap[0] + gap[1]:
                continue
            at = x + vx * (t - start) + (jump[1] if t >= jump[0] else 0), y + vy * (t - start)
            line[t] = (at[0], at[1], at[0] + w, at[1] + h)
        boxes[f"p{actor}"] = line
    activities = []
    for i in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, 50))
        actors = tuple(draw(st.lists(st.sampled_from(sorted(boxes)), min_size=1, max_size=2)))
        labels = draw(st.sets(st.sampled_from(CLASSES), max_size=2))
        ordered = tuple(c for c in CLASSES if c in labels)
        end = draw(st.integers(start + 1, 62))
        activities.append(Activity(f"a{draw(st.integers(0, 9))}{i}", start, end, actors, ordered))
    return World(tuple(activities), boxes, picture, video_id)


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
