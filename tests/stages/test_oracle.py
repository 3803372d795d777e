"""The stages against a brute-force, frame-by-frame reading of the rules."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import World
from worlds import (
    CLASSES,
    Plan,
    chunks,
    crops,
    encounters,
    even_crops,
    floor_crops,
    merges,
    plan,
    tables,
    worlds,
)

from tinyvirat_build.records import empty
from tinyvirat_build.settings import Chunk, Crop, Merge
from tinyvirat_build.stages.clip_boxes import boxes_in_windows

ORDINARY = Chunk(length=20, min_frames=1)


def planned(world: World, merging: Merge, chunking: Chunk, cropping: Crop) -> Plan:
    return plan(tables([world]), merging, chunking, cropping)


@settings(max_examples=80, deadline=None)
@given(worlds(), merges)
def test_tracks_are_runs_of_constant_components(world: World, merging: Merge) -> None:
    found = planned(world, merging, ORDINARY, Crop()).tracks.table
    rows = list(zip(found["start"], found["end"], found["activities"], strict=True))
    assert rows == oracle.tracks(world, merging)
    assert found["track_id"].tolist() == list(range(len(found)))


@settings(max_examples=150, deadline=None)
@given(encounters(), st.integers(0, 9))
def test_who_touches_is_smoothed_in_time(world: World, bridge: int) -> None:
    merging = Merge(bridge=bridge)
    found = planned(world, merging, ORDINARY, Crop()).tracks.table
    rows = list(zip(found["start"], found["end"], found["activities"], strict=True))
    assert rows == oracle.tracks(world, merging)


@settings(max_examples=80, deadline=None)
@given(worlds(), merges)
def test_segments_continue_while_labels_hold(world: World, merging: Merge) -> None:
    result = planned(world, merging, ORDINARY, Crop())
    members = dict(
        zip(result.tracks.table["track_id"], result.tracks.table["activities"], strict=True)
    )
    spans = {
        t: range(s, e)
        for t, s, e in result.tracks.table[["track_id", "start", "end"]].itertuples(index=False)
    }
    found = Counter(
        (
            row.start,
            row.end,
            row.labels,
            tuple((t, tuple(members[k])) for k in row.tracks for t in spans[k]),
        )
        for row in result.segments.table.itertuples()
    )
    expected = Counter(
        (start, end, labels, tuple((t, tuple(sorted(own[t]))) for t in sorted(own)))
        for start, end, labels, own in oracle.segments(world, merging, CLASSES)
    )
    assert found == expected


@settings(max_examples=60, deadline=None)
@given(worlds(), merges, chunks)
def test_chunks_are_cut_by_the_rule(world: World, merging: Merge, chunking: Chunk) -> None:
    found = planned(world, merging, chunking, Crop()).chunks.table
    rows = Counter(
        zip(found["start"], found["end"], found["labels"], found["activities"], strict=True)
    )
    expected = Counter(
        (start, end, labels, tuple(sorted(set().union(*own.values()))))
        for start, end, labels, own, _ in oracle.chunks(world, merging, chunking, CLASSES)
    )
    assert rows == expected


@settings(max_examples=120, deadline=None)
@given(worlds(), merges, chunks, crops)
def test_windows_are_placed_by_the_rule(
    world: World, merging: Merge, chunking: Chunk, cropping: Crop
) -> None:
    result = planned(world, merging, chunking, cropping).clips
    columns = ["start", "end", "width", "height", "x", "y", "actor_side", "labels", "activities"]
    columns += ["seen_activities"]
    found = Counter(result.table[columns].itertuples(index=False, name=None))
    clips, fell = oracle.clips(world, merging, chunking, cropping, CLASSES)
    assert found == Counter(tuple(clip.get(c, ()) for c in columns) for clip in clips)
    counted = result.issues.groupby("reason", observed=True)["count"].sum()
    assert {r: int(counted.get(r, 0)) for r in fell} == fell


@settings(max_examples=60, deadline=None)
@given(worlds(), merges, chunks, st.one_of(even_crops, floor_crops))
def test_every_box_in_the_picture_lies_in_its_window(
    world: World, merging: Merge, chunking: Chunk, cropping: Crop
) -> None:
    """But for the grid ``floor``, where it may stick out by up to two pixels a side."""
    cropping = replace(cropping, labels="own")  # the parts of a chunk keep its window
    out = 2 if cropping.grid == "floor" else 0
    clips = planned(world, merging, chunking, cropping).clips.table
    members = {
        (start, end, tuple(sorted(set().union(*own.values())))): own
        for start, end, _, own, _ in oracle.chunks(world, merging, chunking, CLASSES)
    }
    for clip in clips.itertuples():
        assert clip.width % 2 == clip.height % 2 == 0
        assert max(clip.width, clip.height) <= cropping.max_side
        assert min(clip.width, clip.height) >= cropping.min_side
        own = oracle.group_boxes(world, members[clip.start, clip.end, clip.activities], clip=True)
        for t, x, y in zip(range(clip.start, clip.end), clip.x, clip.y, strict=True):
            assert x % 2 == y % 2 == 0
            box = own[t] or (x, y, x, y)
            assert x <= box[0] + out
            assert y <= box[1] + out
            assert box[2] <= x + clip.width + out
            assert box[3] <= y + clip.height + out


@settings(max_examples=40, deadline=None)
@given(worlds(), merges, chunks, crops)
def test_the_boxes_of_a_clip_lie_where_its_activities_are(
    world: World, merging: Merge, chunking: Chunk, cropping: Crop
) -> None:
    clips = planned(world, merging, chunking, cropping).clips.table
    given = tables([world])
    found = boxes_in_windows(clips, given["activities"], given["boxes"])
    by_id = {activity.id: activity for activity in world.activities}
    assert len(found) == len(clips)
    for clip, boxes in zip(clips.itertuples(), found, strict=True):
        assert boxes.shape == (4, clip.end - clip.start)
        for t, x, y, seen in zip(
            range(clip.start, clip.end), clip.x, clip.y, boxes.T.tolist(), strict=True
        ):
            box = oracle.union(
                [b for a in clip.activities if (b := oracle.box_at(world, by_id[a], t))]
            )
            if box is None:
                assert seen == [0, 0, 0, 0]
                continue
            x1, y1, x2, y2 = (*map(math.floor, box[:2]), *map(math.ceil, box[2:]))
            assert seen == [
                min(max(x1 - x, 0), clip.width), min(max(y1 - y, 0), clip.height),
                min(max(x2 - x, 0), clip.width), min(max(y2 - y, 0), clip.height),
            ]  # fmt: skip


def test_no_clips_have_no_boxes() -> None:
    given = tables([World((), {}, (64, 48))])
    assert boxes_in_windows(empty("clips_planned"), given["activities"], given["boxes"]) == []
