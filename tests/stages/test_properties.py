"""What must hold of any plan: symmetries, independence, and segments that are maximal."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import oracle
import pandas as pd
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracle import Activity, World
from pandas.testing import assert_frame_equal
from worlds import CLASSES, chunks, crops, even_crops, merges, plan, tables, worlds

from tinyvirat_build.settings import Chunk, Crop, Merge

WINDOW = ["start", "end", "width", "height", "x", "y", "actor_side", "labels", "activities"]


def windows(given: list[World], m: Merge, c: Chunk, r: Crop) -> pd.DataFrame:
    return plan(tables(given), m, c, r).clips.table


def counted(table: pd.DataFrame, columns: list[str]) -> Counter[tuple[object, ...]]:
    return Counter(table[columns].itertuples(index=False, name=None))


@settings(max_examples=40, deadline=None)
@given(worlds(), merges, chunks, crops, st.integers(1, 99))
def test_shifting_all_frames_shifts_the_plan(
    world: World, m: Merge, c: Chunk, r: Crop, by: int
) -> None:
    later = replace(
        world,
        activities=tuple(replace(a, start=a.start + by, end=a.end + by) for a in world.activities),
        boxes={a: {t + by: b for t, b in line.items()} for a, line in world.boxes.items()},
    )
    plain, shifted = windows([world], m, c, r), windows([later], m, c, r)
    shifted = shifted.assign(start=shifted["start"] - by, end=shifted["end"] - by)
    assert counted(plain, WINDOW) == counted(shifted, WINDOW)


@settings(max_examples=60, deadline=None)
@given(worlds(odd_pictures=False), merges, chunks, even_crops)
def test_mirroring_all_boxes_mirrors_the_plan(world: World, m: Merge, c: Chunk, r: Crop) -> None:
    wide = world.picture[0]
    mirrored = replace(
        world,
        boxes={
            a: {t: (wide - x2, y1, wide - x1, y2) for t, (x1, y1, x2, y2) in line.items()}
            for a, line in world.boxes.items()
        },
    )
    order = ["segment_id", "start"]
    plain = windows([world], m, c, r).sort_values(order)
    found = windows([mirrored], m, c, r).sort_values(order)
    same = [name for name in WINDOW if name != "x"]
    assert_frame_equal(plain[same], found[same])
    for width, x, back in zip(plain["width"], plain["x"], found["x"], strict=True):
        room = wide - width
        for a, b in zip(x, back, strict=True):
            # In the very middle, between two even corners, both worlds take the lower one.
            assert b == room - a or 2 * a + 2 == 2 * b + 2 == room


@settings(max_examples=40, deadline=None)
@given(worlds(), merges, chunks, crops, st.integers(0, 40))
def test_an_activity_that_touches_nothing_changes_nothing_else(
    world: World, m: Merge, c: Chunk, r: Crop, start: int
) -> None:
    world = replace(world, picture=(2000, 400))
    far = Activity("far", start, start + 20, ("stranger",), CLASSES[:1])
    line = dict.fromkeys(range(start, start + 20), (1500.0, 5.0, 1520.0, 30.0))
    more = replace(
        world, activities=(*world.activities, far), boxes=world.boxes | {"stranger": line}
    )
    columns = ["clip_id", *WINDOW]
    after = windows([more], m, c, r)
    others = after[np.array([a != ("far",) for a in after["activities"]], bool)]
    assert counted(windows([world], m, c, r), columns) == counted(others, columns)


@settings(max_examples=40, deadline=None)
@given(worlds(), merges, chunks, crops, st.integers(0, 1000))
def test_the_order_of_rows_does_not_matter(
    world: World, m: Merge, c: Chunk, r: Crop, seed: int
) -> None:
    given = tables([world])
    shuffled = {
        name: table.sample(frac=1, random_state=np.random.default_rng(seed))
        for name, table in given.items()
    }
    plain, other = plan(given, m, c, r), plan(shuffled, m, c, r)
    for stage in ("tracks", "segments", "chunks", "clips"):
        for part in ("table", "issues", "balance"):
            assert_frame_equal(
                getattr(getattr(plain, stage), part), getattr(getattr(other, stage), part)
            )


@settings(max_examples=25, deadline=None)
@given(worlds(video_id="v1"), worlds(video_id="v2"), merges, chunks, crops)
def test_plans_of_parts_joined_are_the_plan_of_the_whole(
    one: World, two: World, m: Merge, c: Chunk, r: Crop
) -> None:
    whole = plan(tables([two, one]), m, c, r)
    parts = [plan(tables([world]), m, c, r) for world in (one, two)]
    for stage in ("tracks", "segments", "chunks", "clips"):
        for part in ("table", "issues", "balance"):
            rows = [getattr(getattr(p, stage), part) for p in parts]
            joined = pd.concat([t for t in rows if len(t)] or rows, ignore_index=True)
            found = getattr(getattr(whole, stage), part)
            plain = [t.astype(dict.fromkeys(t.columns[:3], str)) for t in (joined, found)]
            assert_frame_equal(*plain)


@settings(max_examples=60, deadline=None)
@given(worlds(), merges)
def test_no_two_adjacent_segments_could_be_one(world: World, m: Merge) -> None:
    assume(m.unit == "component")
    found = plan(tables([world]), m, Chunk(), Crop())
    members = dict(
        zip(found.tracks.table["track_id"], map(set, found.tracks.table["activities"]), strict=True)
    )
    rows = list(found.segments.table.itertuples())
    for one in rows:
        labels = [{name for a in world.activities if a.id in members[t] for name in a.labels}
                  for t in one.tracks]  # fmt: skip
        assert all(own == set(one.labels) for own in labels)
        last = members[one.tracks[-1]]
        after = [s for s in rows if s.start == one.end and members[s.tracks[0]] & last]
        for other in after:
            first = members[other.tracks[0]]
            before = [s for s in rows if s.end == other.start and members[s.tracks[-1]] & first]
            assert one.labels != other.labels or len(after) > 1 or len(before) > 1


@settings(max_examples=25, deadline=None)
@given(worlds(), merges, chunks, even_crops, st.sets(st.integers(1, 32).map(lambda n: 2 * n)))
def test_no_window_has_a_width_that_is_avoided(
    world: World, m: Merge, c: Chunk, r: Crop, avoided: set[int]
) -> None:
    """No more changes than that: what was none of them stays as it is, and no box is let go."""
    r = replace(r, labels="own", avoid_widths=(), max_side=1000)
    plain = windows([world], m, c, r)
    found = windows([world], m, c, replace(r, avoid_widths=tuple(avoided)))
    assert not avoided & set(found["width"])
    same = ~plain["width"].isin(avoided).to_numpy()
    assert_frame_equal(plain[WINDOW][same], found[WINDOW][same])
    grown = found[~same].merge(plain[~same], on=["segment_id", "start", "end"])
    assert len(grown) == len(plain) - same.sum()
    between = zip(grown["width_y"], grown["width_x"], strict=True)
    assert all(set(range(old, new, 2)) <= avoided for old, new in between)
    other = grown["width_x"] if r.shape == "square" else grown["height_y"]
    assert grown["height_x"].tolist() == other.tolist()


def distinct(spans: pd.DataFrame) -> int:
    """The frames of spans, those that several of one segment share once."""
    rows = spans[["segment_id", "start", "end"]].itertuples(index=False, name=None)
    return len({(segment, t) for segment, start, end in rows for t in range(start, end)})


@settings(max_examples=40, deadline=None)
@given(worlds(), merges, chunks, crops)
def test_nothing_vanishes(world: World, m: Merge, c: Chunk, r: Crop) -> None:
    found = plan(tables([world]), m, c, r)
    for stage in (found.tracks, found.segments, found.chunks, found.clips):
        for row in stage.balance.itertuples():
            assert row.records_in == row.records_out + row.dropped
        assert stage.issues["count"].sum() == stage.balance["dropped"].sum()
    parts = found.tracks.table, found.segments.table, found.chunks.table
    frames = [distinct(t) if "tracks" in t else int((t["end"] - t["start"]).sum()) for t in parts]
    assert found.segments.balance["records_out"].sum() == frames[0] == frames[1]
    assert found.chunks.balance["records_out"].sum() == frames[2]
    clips = found.clips.table
    assert found.clips.balance["records_out"].sum() == distinct(clips)


@settings(max_examples=80, deadline=None)
@given(worlds(), merges, chunks, crops)
def test_no_label_is_missing_that_is_seen_for_a_while(
    world: World, m: Merge, c: Chunk, r: Crop
) -> None:
    """Half of a box or more in the window, in one run of ``merge.bridge`` frames or more."""
    r = replace(r, labels="split", seen=0.5)
    clips_in_picture = r.grid != "truncate"
    for clip in windows([world], m, c, r).itertuples():
        for a in (a for a in world.activities if set(a.labels) - set(clip.labels)):
            run = 0
            for t, x, y in zip(range(clip.start, clip.end), clip.x, clip.y, strict=True):
                box = oracle.visible(world, a, t, clips_in_picture)
                window = (x, y, x + clip.width, y + clip.height)
                inside = oracle.area(oracle.meet(box, window)) if box else 0
                run = run + 1 if inside and 2 * inside >= oracle.area(box) else 0
                assert run < max(m.bridge, 1), (clip, a)
