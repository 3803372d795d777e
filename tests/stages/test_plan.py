"""Merge, segment, chunk and crop: worked cases, ledgers, and tables as they come from disk."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from oracle import Activity, Box, World
from pandas.testing import assert_frame_equal
from worlds import CLASSES, plan, tables

from tinyvirat_build import errors, store
from tinyvirat_build.records import SCHEMAS, empty
from tinyvirat_build.settings import Chunk, Crop, Merge
from tinyvirat_build.stages import activity_boxes
from tinyvirat_build.stages.chunk import chunk, chunk_spans, draw_lengths
from tinyvirat_build.stages.crop import clip_id, crop
from tinyvirat_build.stages.merge import merge
from tinyvirat_build.stages.segment import segment
from tinyvirat_build.stages.tables import Key

TALK, CARRY, OPEN = ((name,) for name in CLASSES)
LEFT, RIGHT = (10.0, 10.0, 30.0, 40.0), (70.0, 10.0, 90.0, 40.0)


def acts(name: str, start: int, end: int, labels: tuple[str, ...] = TALK) -> Activity:
    return Activity(name, start, end, (f"actor of {name}",), labels)


def still(activity: Activity, box: Box) -> dict[str, dict[int, Box]]:
    return {activity.actors[0]: dict.fromkeys(range(activity.start, activity.end), box)}


def world(*placed: tuple[Activity, Box]) -> World:
    boxes = {actor: line for a, box in placed for actor, line in still(a, box).items()}
    return World(tuple(a for a, _ in placed), boxes, (160, 120))


def spans(table: pd.DataFrame, *columns: str) -> list[tuple[object, ...]]:
    return list(table[["start", "end", *columns]].itertuples(index=False, name=None))


def test_the_drawn_example_of_segments() -> None:
    a, b, c = acts("a", 0, 60), acts("b", 10, 80, CARRY), acts("c", 20, 30, CARRY)
    found = plan(tables([world((a, LEFT), (b, LEFT), (c, LEFT))]), Merge(), Chunk(), Crop())
    assert spans(found.tracks.table, "activities") == [
        (0, 10, ("a",)),
        (10, 20, ("a", "b")),
        (20, 30, ("a", "b", "c")),
        (30, 60, ("a", "b")),
        (60, 80, ("b",)),
    ]
    assert spans(found.segments.table, "labels", "tracks") == [
        (0, 10, TALK, (0,)),
        (10, 60, TALK + CARRY, (1, 2, 3)),
        (60, 80, CARRY, (4,)),
    ]


def test_two_components_that_join_end_although_their_labels_are_equal() -> None:
    a, b, bridge = acts("a", 0, 60), acts("b", 0, 60), acts("c", 20, 40)
    across = (10.0, 10.0, 90.0, 40.0)
    found = plan(tables([world((a, LEFT), (b, RIGHT), (bridge, across))]), Merge(), Chunk(), Crop())
    assert spans(found.segments.table, "activities") == [
        (0, 20, ("a",)),
        (0, 20, ("b",)),
        (20, 40, ("a", "b", "c")),
        (40, 60, ("a",)),
        (40, 60, ("b",)),
    ]


def test_activities_that_share_an_actor_are_one_wherever_their_boxes_are() -> None:
    a = Activity("a", 0, 40, ("p", "q"), TALK)
    b = Activity("b", 20, 60, ("p", "r"), CARRY)
    frames = range(60)
    boxes = {"q": dict.fromkeys(frames, LEFT), "r": dict.fromkeys(frames, RIGHT)}
    found = plan(tables([World((a, b), boxes, (160, 120))]), Merge(), Chunk(), Crop())
    assert spans(found.tracks.table, "activities") == [
        (0, 20, ("a",)),
        (20, 40, ("a", "b")),
        (40, 60, ("b",)),
    ]


def test_what_takes_no_part_is_in_the_ledger() -> None:
    seen, bare, none = acts("seen", 0, 40), acts("bare", 0, 40), acts("none", 0, 40, ())
    given = tables([World((seen, bare, none), still(seen, LEFT), (160, 120))])
    found = merge(given["activities"], given["boxes"], Merge())
    assert found.table["activities"].tolist() == [("seen",)]
    rows = found.issues[["stage", "reason", "action", "record", "detail"]]
    assert sorted(rows.itertuples(index=False, name=None)) == [
        ("merge", "no_geometry", "dropped", "activity bare", "acts"),
        ("merge", "unmapped", "dropped", "activity none", "acts"),
    ]
    assert found.balance.iloc[0][["records_in", "records_out", "dropped"]].tolist() == [3, 1, 2]


@pytest.mark.parametrize(
    ("settings", "cuts"),
    [
        (Chunk(), [0, 50, 100, 150]),
        (Chunk(remainder="keep"), [0, 64, 128, 150]),
        (Chunk(remainder="drop"), [0, 64, 128]),
        (Chunk(remainder="merge"), [0, 64, 150]),
        (Chunk(length=75), [0, 75, 150]),
        (Chunk(length=75, remainder="keep"), [0, 75, 150]),
        (Chunk(length=75, remainder="drop"), [0, 75, 150]),
        (Chunk(length=75, remainder="merge"), [0, 75, 150]),
        (Chunk(length=200), [0, 150]),
        (Chunk(length=200, remainder="keep"), [0, 150]),
        (Chunk(length=200, remainder="drop"), [0]),
        (Chunk(length=200, remainder="merge"), [0, 150]),
        (Chunk(length=75, remainder="whole"), [0, 75, 150]),
        (Chunk(length=64, remainder="whole"), [0, 64, 128, 150]),
        (Chunk(length=150, remainder="whole"), [0, 150]),
        (Chunk(length=149, remainder="whole"), [0, 149, 150]),
    ],
)
def test_what_becomes_of_the_rest(settings: Chunk, cuts: list[int]) -> None:
    assert chunk_spans(150, settings) == list(pairwise(cuts))


def test_what_is_no_longer_than_chunks_share_is_one_or_none() -> None:
    assert chunk_spans(20, Chunk(overlap=20)) == [(0, 20)]
    assert chunk_spans(20, Chunk(overlap=20, remainder="drop")) == []
    assert chunk_spans(64, Chunk(overlap=20, remainder="drop")) == [(0, 64)]


@pytest.mark.parametrize("remainder", ["balance", "whole"])
def test_drawn_lengths_that_share_frames_stay_within_bounds(remainder: str) -> None:
    rule = Chunk(lengths=(40, 90), overlap=15, remainder=remainder)  # type: ignore[arg-type]
    for frames in range(91, 700):
        parts = np.array(chunk_spans(frames, rule, ("seed", frames)))
        assert (parts[:-1, 1] - parts[1:, 0] == 15).all()
        assert (parts[0, 0], parts[-1, 1]) == (0, frames)
        assert np.diff(parts).max() <= 90
        assert remainder == "whole" or np.diff(parts).min() >= 40 or frames < 105


def test_a_chunk_of_the_least_length_is_one() -> None:
    given = tables([world((acts("a", 0, 16), LEFT), (acts("b", 40, 55), LEFT))])
    found = plan(given, Merge(), Chunk(min_frames=16), Crop()).chunks
    assert spans(found.table) == [(0, 16)]
    assert found.issues["record"].tolist() == ["segment 1 frames [40, 55)"]


def test_segments_that_are_alike_are_drawn_apart_in_the_order_of_time() -> None:
    """What is drawn hangs on how many came before, wherever they stand in a table."""
    rule = Chunk(lengths=(20, 60), remainder="keep", min_frames=1)
    seen = {
        (s, s + 200): None for s in (0, 400, 800)
    }  # one activity with boxes on three spans of equal length
    boxes = {"p": {t: LEFT for a, b in seen for t in range(a, b)}}
    given = tables([World((Activity("a", 0, 1000, ("p",), TALK),), boxes, (160, 120))])
    found = plan(given, Merge(), rule, Crop())
    parts = [
        tuple(own["end"] - own["start"]) for _, own in found.chunks.table.groupby("segment_id")
    ]
    assert len(set(parts)) == len(parts) == 3
    keys = [(rule.seed, "s", "v", "a", 200, before, "a") for before in range(3)]
    for own, key in zip(parts, keys, strict=True):
        assert list(own) == [b - a for a, b in chunk_spans(200, rule, key)]


def test_drawn_lengths_are_uniform_and_hang_on_the_segment_alone() -> None:
    settings = Chunk(lengths=(40, 150))
    drawn = draw_lengths(2_000_000, settings, (0, "virat", "v", "kpf", 3, 9, "a"))
    assert drawn[:3] == draw_lengths(300, settings, (0, "virat", "v", "kpf", 3, 9, "a"))[:3]
    counts = np.bincount(drawn, minlength=151)
    assert not counts[:40].any()
    assert len(counts) == 151
    assert abs(counts[40:] / counts.sum() * 111 - 1).max() < 0.35
    for frames in range(40, 2000):
        parts = np.diff(chunk_spans(frames, settings, ("seed",)))
        assert parts.sum() == frames
        assert 40 <= parts.min() <= parts.max() <= 150


def test_a_short_chunk_and_a_rest_are_counted_in_frames() -> None:
    given = tables([world((acts("a", 0, 150), LEFT), (acts("b", 0, 9), RIGHT))])
    found = plan(given, Merge(), Chunk(remainder="drop"), Crop()).chunks
    rows = found.issues[["stage", "reason", "record", "count", "detail"]]
    assert list(rows.itertuples(index=False, name=None)) == [
        ("chunk", "remainder", "segment 0 frames [0, 9)", 9, "activities b"),
        ("chunk", "remainder", "segment 1 frames [128, 150)", 22, "activities a"),
    ]
    both = plan(tables([world((acts("b", 0, 9), RIGHT), (acts("a", 0, 9), RIGHT))]), Merge(),
                Chunk(), Crop()).chunks  # fmt: skip
    assert both.issues["detail"].tolist() == ["activities a b"]
    found = plan(given, Merge(), Chunk(), Crop()).chunks
    assert found.issues["reason"].tolist() == ["short"]
    assert found.balance.iloc[0][["records_in", "records_out", "dropped"]].tolist() == [159, 150, 9]
    stages = plan(given, Merge(), Chunk(), Crop())
    told = [part.balance[["stage", "unit"]].to_numpy().tolist()
            for part in (stages.tracks, stages.segments, stages.chunks, stages.clips)]  # fmt: skip
    assert told == [
        [["merge", "activities"]], [["segment", "frames"]], [["chunk", "frames"]],
        [["crop", "frames"]],
    ]  # fmt: skip


def test_a_window_over_the_bound_is_an_issue_and_one_at_it_is_not() -> None:
    a = acts("a", 0, 64)
    for side, planned in ((128.0, 1), (128.5, 0)):
        wide = World((a,), still(a, (0.0, 0.0, side, 20.0)), (1920, 1080))
        found = plan(tables([wide]), Merge(), Chunk(), Crop()).clips
        assert len(found.table) == planned
        assert found.issues["reason"].tolist() == ["too_large"] * (1 - planned)
        assert found.issues["record"].tolist() == ["segment 0 frames [0, 64)"] * (1 - planned)
        alone = plan(tables([wide]), Merge(unit="activity"), Chunk(), Crop()).clips
        assert alone.issues["record"].tolist() == ["activity a frames [0, 64)"] * (1 - planned)
    assert alone.issues["stage"].tolist() == ["crop"]


def test_a_video_whose_windows_meet_too_much_is_one_issue(monkeypatch: pytest.MonkeyPatch) -> None:
    given = tables([world((acts("own", 0, 40), TALL), (acts("near", 30, 40, CARRY), BESIDE))])
    before = plan(given, Merge(), Chunk(), Crop())
    monkeypatch.setattr(errors, "MAX_MEETINGS", 1)
    found = crop(
        before.chunks.table, before.tracks.table, given["activities"], given["boxes"],
        given["videos"], Crop(), classes=CLASSES, unit="component",
        segments=before.segments.table, bridge=8, min_frames=4,
    )  # fmt: skip
    assert found.table.empty
    [issue] = found.issues[["stage", "reason", "action", "record", "count"]].to_numpy().tolist()
    assert issue == ["crop", "bound", "quarantined", "video v", 40]
    assert found.issues["detail"][0].startswith("more than 1 ")
    assert found.balance[["records_in", "records_out", "dropped"]].to_numpy().tolist() == [
        [40, 0, 40]
    ]


def test_a_window_near_the_edge_stays_in_the_picture() -> None:
    a = acts("a", 0, 64)
    found = plan(
        tables([World((a,), still(a, (150.0, 100.0, 160.0, 120.0)), (160, 120))]),
        Merge(), Chunk(), Crop(),
    ).clips.table.iloc[0]  # fmt: skip
    assert (found["width"], set(found["x"]), set(found["y"])) == (20, {140}, {100})


def test_names_of_the_released_clips() -> None:
    given = tables([world((acts("753", 3, 100), LEFT))])
    whole = plan(
        given, Merge(unit="activity"), Chunk(remainder="keep"), Crop(), names={"acts": "Act_Up"}
    ).clips.table
    assert whole["released_id"].tolist() == ["753_Act_Up_3_66", "753_Act_Up_67_99"]
    assert whole["activity_id"].tolist() == ["753", "753"]
    merged = plan(given, Merge(), Chunk(), Crop()).clips.table
    assert merged["released_id"].isna().all()
    assert merged["activity_id"].isna().all()


def test_a_clip_id_is_pinned_and_takes_no_notice_of_labels() -> None:
    corner = np.array([[2, 4], [6, 8]], np.int32)
    known = clip_id(Key("meva", "v", "kitware"), 0, 2, ("b", "a"), (10, 10), corner)
    assert known == clip_id(Key("meva", "v", "kitware"), 0, 2, ("a", "b"), (10, 10), corner)
    assert known == "d2ca0fab8b55dc93"
    given = world((acts("a", 0, 64), LEFT))
    other = replace(given, activities=(replace(given.activities[0], labels=CARRY),))
    ids = [plan(tables([w]), Merge(), Chunk(), Crop()).clips.table for w in (given, other)]
    assert ids[0]["clip_id"].tolist() == ids[1]["clip_id"].tolist()


def test_segments_must_be_given_to_be_measured() -> None:
    with pytest.raises(ValueError, match="pass segments="):
        crop(
            *(empty(t) for t in ("chunks", "tracks", "activities", "boxes", "videos")),
            Crop(scope="segment"),
            classes=CLASSES,
        )


def test_empty_tables_give_empty_tables() -> None:
    tracks = merge(empty("activities"), empty("boxes"), Merge())
    segments = segment(tracks.table, empty("activities"), Merge(), classes=CLASSES)
    chunks = chunk(segments.table, tracks.table, Chunk())
    clips = crop(
        chunks.table, tracks.table, empty("activities"), empty("boxes"), empty("videos"), Crop(),
        classes=CLASSES,
    )  # fmt: skip
    for name, result in zip(
        ("tracks", "segments", "chunks", "clips_planned"),
        (tracks, segments, chunks, clips),
        strict=True,
    ):
        assert result.table.columns.tolist() == SCHEMAS[name].names
        assert len(result.table) == len(result.issues) == len(result.balance) == 0


def test_tables_from_disk_give_the_same_plan() -> None:
    one = world((acts("a", 0, 100), LEFT), (acts("b", 30, 160, CARRY), LEFT))
    given = tables([one, replace(one, video_id="w")])
    direct = plan(given, Merge(), Chunk(), Crop())
    read = {
        n: store.from_arrow(store.to_arrow(n, t.reindex(columns=SCHEMAS[n].names)))
        for n, t in given.items()
        if n != "videos"
    } | {"videos": given["videos"]}
    again = plan(read, Merge(), Chunk(), Crop())
    assert_frame_equal(direct.clips.table, again.clips.table)
    back = store.from_arrow(store.to_arrow("clips_planned", direct.clips.table))
    assert [tuple(x) for x in back["x"]] == direct.clips.table["x"].tolist()


def test_the_plan_does_not_hang_on_how_many_boxes_are_worked_on_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b, c = acts("a", 0, 90), acts("b", 30, 120, CARRY), acts("c", 60, 70, OPEN)
    given = tables([world((a, LEFT), (b, LEFT), (c, RIGHT))])
    whole = plan(given, Merge(), Chunk(), Crop()).clips
    monkeypatch.setattr(activity_boxes, "PIECE", 8)
    made = Counter[int]()
    once = activity_boxes.Parts.made

    def counted(self: activity_boxes.Parts) -> object:
        made[self.total()] += 1
        return once(self)

    monkeypatch.setattr(activity_boxes.Parts, "made", counted)
    assert_frame_equal(plan(given, Merge(), Chunk(), Crop()).clips.table, whole.table)
    assert max(made) <= 8
    assert made.total() > 10


BESIDE = (40.0, 20.0, 50.0, 40.0)  # in the square window of what is tall, but not touching it
TALL = (10.0, 10.0, 30.0, 70.0)


def dropped(table: pd.DataFrame) -> list[list[object]]:
    told = table[table["stage"] == "crop"]
    return told[["reason", "action", "record", "count", "detail"]].to_numpy().tolist()


def test_a_label_that_is_seen_briefly_spoils_a_clip() -> None:
    near = [acts(f"n{a}", a, b, CARRY) for a, b in ((0, 3), (8, 11), (17, 20))]
    given = tables([world((acts("own", 0, 20), TALL), *((n, BESIDE) for n in near))])
    found = plan(given, Merge(bridge=8), Chunk(length=20, min_frames=4), Crop()).clips
    mine = [row for row in dropped(found.issues) if row[0] == "half_seen"]
    assert mine == [["half_seen", "dropped", "segment 1 frames [0, 20)", 20, CARRY[0]]]
    assert "own" not in {a for own in found.table["activities"] for a in own}


def test_a_part_that_is_too_short_is_told_as_it_is() -> None:
    given = tables([world((acts("own", 0, 40), TALL), (acts("near", 30, 40, CARRY), BESIDE))])
    found = plan(given, Merge(), Chunk(length=40, min_frames=16), Crop()).clips
    assert dropped(found.issues) == [["short", "dropped", "segment 0 frames [30, 40)", 10, ""]]
    assert spans(found.table, "labels", "seen_activities") == [(0, 30, TALK, ())]


def test_released_names_of_activities_that_have_none() -> None:
    given = tables([world((acts("own", 0, 20), LEFT))])
    rule = Merge(unit="activity")
    found = plan(given, rule, Chunk(length=20, min_frames=1), Crop(), names={"others": "x"})
    assert found.clips.table["released_id"].tolist() == ["own_acts_0_19"]


def test_the_parts_of_a_chunk_have_the_activities_of_their_own_frames() -> None:
    both = (acts("own", 0, 40), TALL), (acts("more", 0, 20), TALL)
    given = tables([world(*both, (acts("near", 20, 40, CARRY), BESIDE))])
    rule = Chunk(length=40, min_frames=4)
    found = plan(given, Merge(bridge=4), rule, Crop()).clips.table
    tall = found[found["labels"].map(lambda own: TALK[0] in own)]
    assert spans(tall, "labels", "activities") == [
        (0, 20, TALK, ("more", "own")),
        (20, 40, TALK + CARRY, ("own",)),
    ]
