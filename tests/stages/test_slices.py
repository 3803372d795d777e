"""Groups by time: no clip of one split comes nearer to another's than the gap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tinyvirat_build.audit.leakage import shared
from tinyvirat_build.records import KEYS, Key, columns
from tinyvirat_build.settings import Partition
from tinyvirat_build.stages.fate import fates
from tinyvirat_build.stages.partition import SplitList, assign_groups, partition
from tinyvirat_build.stages.slices import slice_starts, torn

FPS = 10
KEY = dict(zip(KEYS, ("own", "v", "own"), strict=True))
TIME = Partition(group="time", gap=2.0)


def crowd(seed: int, count: int) -> list[tuple[int, int, str]]:
    """Start, length and label of some activities; lists that are drawn are seldom long enough."""
    rng = np.random.default_rng(seed)
    start, frames = rng.integers(0, 3001, count), rng.integers(1, 301, count)
    return list(zip(start.tolist(), frames.tolist(), rng.choice(["a", "b"], count), strict=True))


spans = st.builds(crowd, st.integers(0, 9999), st.integers(1, 90))


def tables(
    rows: list[tuple[int, int, str]], video: str = "v"
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Activities, two clips of each, and the tracks' spans: each activity is a track."""
    key = KEY | {"video_id": video}
    activities = pd.DataFrame(
        [key | {"start": s, "end": s + n, "labels": (label,)} for s, n, label in rows]
    )
    clips = pd.DataFrame(
        [
            key
            | dict.fromkeys(columns("clips_planned"), 0)
            | key
            | {"clip_id": f"{video}{i:03}{part}", "segment_id": i, "start": a, "end": b}
            | {"labels": (label,)}
            for i, (s, n, label) in enumerate(rows)
            for part, a, b in ((0, s, s + n // 2), (1, s + n // 2, s + n))
            if a < b
        ]
    )[columns("clips_planned")]
    tracks = activities[[*KEYS, "start", "end"]].assign(segment_id=range(len(rows)))
    return activities, clips, tracks


def divided(rows: list[tuple[int, int, str]]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    activities, clips, tracks = tables(rows)
    videos = pd.DataFrame([KEY | dict.fromkeys(("session", "scene", "camera"), "")])
    groups = assign_groups(videos, TIME, lists={}).assign(fps=str(FPS))
    result = partition(clips, activities, groups, TIME, spans=tracks)
    assert result.balance[["records_in", "records_out", "dropped"]].to_numpy().tolist() == [
        [len(clips), len(result.table), len(clips) - len(result.table)]
    ]
    return clips, result.table, result.issues


@settings(max_examples=60, deadline=None)
@given(spans)
def test_between_splits_lies_the_gap(rows: list[tuple[int, int, str]]) -> None:
    clips, kept, issues = divided(rows)
    start, end, split = (kept[name].to_numpy() for name in ("start", "end", "split"))
    between = start[None, :] - end[:, None]
    assert (np.maximum(between, between.T) >= 2 * FPS)[split[:, None] != split].all()
    lost = issues[issues["reason"] == "split_gap"]
    gone = set(clips["clip_id"]) - set(kept["clip_id"])
    assert sorted(lost["record"]) == sorted(f"clip {c}" for c in gone)
    assert kept.groupby("segment_id")["split"].nunique().max() in (1, np.nan) or kept.empty


@settings(max_examples=60, deadline=None)
@given(spans)
def test_what_is_lost_touches_a_gap_or_goes_on_beyond_it(rows: list[tuple[int, int, str]]) -> None:
    clips, _, issues = divided(rows)
    by_id = clips.set_index("clip_id")
    for issue in issues[issues["reason"] == "split_gap"].itertuples():
        clip = by_id.loc[str(issue.record).removeprefix("clip ")]
        at = int(str(issue.detail).split("frame ")[1].split()[0])
        low, high = at - FPS, at + FPS
        start, n, _ = rows[int(clip["segment_id"])]
        touches = clip["start"] < high and clip["end"] > low
        assert touches or (start < low and start + n > high)
        assert str(issue.detail).startswith("touches") == touches


@settings(max_examples=60, deadline=None)
@given(spans, st.integers(0, 60))
def test_slices_begin_in_order_and_hold_enough(rows: list[tuple[int, int, str]], gap: int) -> None:
    start = np.array([s for s, _, _ in rows])
    end = start + np.array([n for _, n, _ in rows])
    starts = slice_starts(start, end, gap)
    assert starts[0] == 0
    assert (np.diff(starts) > 0).all()
    assert len(starts) <= max(1, len(rows) // 12)
    assert len(starts) > 1 or len(rows) < 24 or np.ptp(start + end) < 2
    mixed = np.random.default_rng(0).permutation(len(rows))
    assert slice_starts(start[mixed], end[mixed], gap).tolist() == starts.tolist()


def borders(start: list[int], end: list[int], gap: int, count: int) -> list[int]:
    """The first frames of so many slices, with every frame tried for a border."""
    middle = sorted((s + e) // 2 for s, e in zip(start, end, strict=True))
    even = [middle[k * len(middle) // count] for k in range(1, count)]
    marks = [middle[0], *even, middle[-1]]
    found = {0}
    for before, near, after in zip(marks, marks[1:], marks[2:], strict=False):
        low, high = near - (near - before) // 2, near + (after - near) // 2
        spans = list(zip(start, end, strict=True))

        def badness(t: int, near: int = near, spans: list[tuple[int, int]] = spans) -> Any:
            a = t - gap // 2
            return sum(s < a + gap and e > a for s, e in spans), abs(t - near), t

        found.add(min(range(low, max(high, low + 1)), key=badness))
    return sorted(found)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9999), st.integers(24, 90), st.integers(1, 80), st.sampled_from([1, 25, 90]))
@example(0, 72, 20, 1)
@example(1, 90, 1, 25)
@example(2, 24, 7, 300)
def test_a_border_lies_where_the_fewest_touch_the_gap(
    seed: int, count: int, gap: int, grain: int
) -> None:
    """A coarse grain has many begin and end at once."""
    rows = [
        (s // 8 // grain * grain, n // 12 // grain * grain + 1) for s, n, _ in crowd(seed, count)
    ]
    start, end = [s for s, _ in rows], [s + n for s, n in rows]
    found = slice_starts(np.array(start), np.array(end), gap).tolist()
    assert found == borders(start, end, gap, min(6, count // 12))


def test_one_video_reaches_every_split_and_the_audit_finds_no_leak() -> None:
    rows = [(60 * i, 30 + i % 7, "ab"[i % 2]) for i in range(60)]
    _, kept, issues = divided(rows)
    assert set(kept["split"]) == {"train", "val", "test"}
    assert issues.empty
    videos = pd.DataFrame([KEY | {"session": "v", "camera": None}])
    assert shared(kept, videos).empty
    meeting = kept.assign(start=np.where(kept["split"] == "test", 0, kept["start"]))
    assert set(shared(meeting, videos)["kind"]) == {"video", "session"}


@settings(max_examples=20, deadline=None)
@given(spans)
@example([(60 * i, 80, "ab"[i % 2]) for i in range(60)])
def test_the_frames_lost_to_a_gap_are_told(rows: list[tuple[int, int, str]]) -> None:
    clips, kept, issues = divided(rows)
    own = {name: [(str(i),) for i in table["segment_id"]] for name, table in
           (("clips", clips), ("kept", kept))}  # fmt: skip
    planned, left = clips.assign(activities=own["clips"]), kept.assign(activities=own["kept"])
    activities, _, tracks = tables(rows)
    numbers = [str(i) for i in range(len(rows))]
    tracks["activities"] = [(i,) for i in numbers]
    found = fates(
        [(Key(**KEY), {
            "activities": activities.assign(activity_id=numbers), "tracks": tracks,
            "segments": tracks, "chunks": planned, "clips_planned": planned,
            "clips_partitioned": left, "clips_filtered": left, "clips": left.assign(reason=None),
        })],
        issues,
    )  # fmt: skip
    lost = clips[~clips["clip_id"].isin(kept["clip_id"])]
    gone = found[found["stage"] != "published"]
    assert set(gone["reason"]) <= {"split_gap"}
    assert set(gone["stage"]) <= {"partition"}
    assert gone["frames"].sum() == (lost["end"] - lost["start"]).sum()
    assert found["frames"].sum() == sum(n for _, n, _ in rows)


def test_a_video_of_few_activities_is_one_slice() -> None:
    _, kept, issues = divided([(60 * i, 30, "a") for i in range(20)])
    assert set(kept["split"]) == {"train"}
    assert issues["reason"].tolist() == ["few_groups"]


def test_a_video_that_a_list_rules_is_not_sliced() -> None:
    rows = [(60 * i, 30 + i % 7, "ab"[i % 2]) for i in range(60)]
    parts = [tables(rows, video) for video in ("free", "tested", "tried", "unnamed")]
    activities, clips, tracks = (
        pd.concat(own, ignore_index=True) for own in zip(*parts, strict=True)
    )
    videos = clips[list(KEYS)].drop_duplicates(ignore_index=True)
    videos = videos.assign(session="", scene="", camera="")
    named = {"tested": "test", "tried": "train"}

    def splits(split_list: SplitList) -> dict[str, set[str]]:
        lists = {"own": split_list}
        groups = assign_groups(videos, TIME, lists=lists).assign(fps=str(FPS))
        kept = partition(clips, activities, groups, TIME, lists=lists, spans=tracks).table
        return {str(video): set(own["split"]) for video, own in kept.groupby("video_id")}

    found = splits(SplitList("mine", named))
    assert (found["tested"], found["tried"]) == ({"test"}, {"train"})
    assert {"train", "val"} <= found["free"] | found["unnamed"]
    found = splits(SplitList("official", named, "video", closed=True))
    assert found == {"tested": {"test"}, "tried": {"train"}}


@pytest.mark.parametrize(
    ("clip", "track", "why"),
    [
        ((900, 970), (900, 970), ""),  # up to the gap
        ((900, 971), (900, 971), "touches"),
        ((1029, 1100), (1029, 1100), "touches"),
        ((1030, 1100), (1030, 1100), ""),  # from its end on
        ((800, 900), (800, 1030), ""),  # the track ends in the gap
        ((800, 900), (800, 1031), "both sides"),
        ((1100, 1200), (970, 1200), ""),  # or begins in it
        ((1100, 1200), (969, 1200), "both sides"),
        ((900, 1100), (900, 1100), "touches"),  # said of what it is first
    ],
)
def test_a_gap_has_these_ends(clip: tuple[int, int], track: tuple[int, int], why: str) -> None:
    clips, tracks = (
        pd.DataFrame([{**KEY, "segment_id": 0, "start": start, "end": end}])
        for start, end in (clip, track)
    )
    slices = pd.DataFrame(
        [{**KEY, "group": f"s/v@{k}", "start": 1000 * k, "gap": 60} for k in range(2)]
    )
    (found,) = torn(clips, tracks, slices, {"s/v@0": "train", "s/v@1": "val"})
    assert (why in found) if why else found == ""
    assert torn(clips, tracks, slices, {"s/v@0": "val", "s/v@1": "val"}) == [""]


def test_a_gap_is_told_with_the_splits_beside_it() -> None:
    spans = [(990, 1010), (1900, 2010), (2900, 3010), (3500, 3600)]
    clips = pd.DataFrame([KEY | {"segment_id": i, "start": s, "end": e}
                          for i, (s, e) in enumerate(spans)])  # fmt: skip
    order = ["train", "test", "val", "train"]
    slices = pd.DataFrame(
        [KEY | {"group": f"v@{k}", "start": 1000 * k, "gap": 61} for k in range(4)]
    )
    found = torn(clips, clips[::-1], slices, {f"v@{k}": split for k, split in enumerate(order)})
    assert found == [
        "touches the gap at frame 1000 between train and test",
        "touches the gap at frame 2000 between test and val",
        "touches the gap at frame 3000 between val and train",
        "",
    ]
