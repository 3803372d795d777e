"""Statistics, counted by hand."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from tinyvirat_build.records import Balance, Issue, balance_frame, empty, issues_frame
from tinyvirat_build.stages.stats import RESOLUTIONS, stats

TARGETS = (0.64, 0.13, 0.23)
CLASSES = ("walk", "run", "sit")


@pytest.fixture
def clips() -> pd.DataFrame:
    rows = [  # video, split, labels, side, frames
        ("v0", "train", ("walk",), 10, 20),
        ("v0", "train", ("walk", "run"), 20, 40),
        ("v1", "train", ("walk",), 99, 64),
        ("v2", "val", ("run",), 100, 16),
        ("v3", "test", ("walk",), 128, 30),
    ]
    table = empty("clips_filtered").reindex(range(len(rows))).astype(object)
    return table.assign(
        source="demo", video_id=[r[0] for r in rows], annotation_set="x",
        group=[r[0] for r in rows], split=[r[1] for r in rows], labels=[r[2] for r in rows],
        width=[r[3] for r in rows], height=[r[3] - 2 for r in rows],
        start=5, end=[5 + r[4] for r in rows],
    )  # fmt: skip


def test_counts(clips: pd.DataFrame) -> None:
    counted = stats(clips, classes=CLASSES, targets=TARGETS)
    assert counted["clips"] == 5
    assert counted["splits"] == {"train": 3, "val": 1, "test": 1}
    assert counted["groups"] == {"train": 2, "val": 1, "test": 1}
    assert counted["sources"] == {"demo": {"train": 3, "val": 1, "test": 1}}
    assert counted["source_videos"] == 4
    assert (counted["classes"], counted["classes_with_clips"]) == (3, 2)
    assert counted["frames"] == {"total": 170, "mean": 34.0, "min": 16, "median": 30.0, "max": 64}
    assert counted["frames_shared"] == 0
    assert counted["labels_per_clip"] == {"mean": 1.2, "clips": {"1": 4, "2": 1}}
    assert list(counted["resolution"].values()) == [1, 1, 0, 0, 1, 2]
    walk, run, sit = counted["per_class"]
    assert [walk[split] for split in ("train", "val", "test")] == [3, 0, 1]
    assert list(walk["resolution"]) == list(RESOLUTIONS)
    assert list(walk["resolution"].values()) == [1, 1, 0, 0, 1, 1]
    assert (run["clips"], run["mean_side"], run["mean_frames"]) == (2, 60.0, 28.0)
    assert (sit["clips"], sit["mean_side"]) == (0, None)
    assert counted["drift"]["per_class"] == {
        "walk": {"train": 0.75, "val": 0.0, "test": 0.25},
        "run": {"train": 0.5, "val": 0.5, "test": 0.0},
    }
    json.dumps(counted, allow_nan=False)


def test_what_the_figures_show(clips: pd.DataFrame) -> None:
    videos = pd.DataFrame(
        {"source": "demo", "video_id": ["v0", "v1"], "annotation_set": "x", "camera": ["G1", "G2"],
         "session": ["2018-03-05.09-15-00", None]}
    )  # fmt: skip
    counted = stats(clips.assign(motion=2.0), classes=CLASSES, targets=TARGETS, videos=videos)
    assert [(row["label"], row["index"]) for row in counted["per_class"]] == [
        ("walk", 0), ("run", 1), ("sit", 2)
    ]  # fmt: skip
    assert counted["per_class"][0]["mean_side"] == 64.25
    none = {"total": 0, "mean": None, "min": None, "median": None, "max": None}
    one = {"total": 16, "mean": 16.0, "min": 16, "median": 16.0, "max": 16}
    assert counted["frames_per_split"]["val"] == one
    assert counted["sides"] == {"total": 357, "mean": 71.4, "min": 10, "median": 99.0, "max": 128}
    assert counted["cooccurrence"] == {"classes": ["walk", "run"], "clips": [[4, 1], [1, 2]]}
    assert counted["lengths"]["edges"] == [*range(16, 68, 3)]
    assert counted["lengths"]["val"] == [1] + [0] * 16
    assert counted["side_counts"]["edges"] == [*range(10, 131, 6)]
    assert counted["side_counts"]["test"] == [0] * 19 + [1]
    assert counted["cameras"] == [
        {"name": "G1", "train": 2, "val": 0, "test": 0},
        {"name": "G2", "train": 1, "val": 0, "test": 0},
    ]
    assert counted["hours"] == [{"name": "09", "train": 2, "val": 0, "test": 0}]
    assert [sum(counted["quality"]["motion"][s]) for s in ("train", "val", "test")] == [3, 1, 1]
    assert counted["drift"]["targets"] == {"train": 0.64, "val": 0.13, "test": 0.23}
    assert counted["drift"]["all"] == {"train": 0.6, "val": 0.2, "test": 0.2}
    third = stats(clips[clips["split"] == "train"].assign(split=["train", "val", "train"]),
                  classes=CLASSES, targets=TARGETS)  # fmt: skip
    assert third["drift"]["all"] == {"train": 0.6667, "val": 0.3333, "test": 0.0}
    assert third["drift"]["per_class"]["run"] == {"train": 0.0, "val": 1.0, "test": 0.0}
    assert third["frames_per_split"]["test"] == none
    assert third["frames"]["mean"] == 41.33
    json.dumps(third, allow_nan=False)


def test_frames_that_chunks_share_are_told(clips: pd.DataFrame) -> None:
    spans = [(0, 64), (44, 108), (88, 130), (0, 16), (10, 30)]
    chunks = clips.assign(
        video_id="v0", segment_id=[1, 1, 1, 2, 2], start=[s for s, _ in spans],
        end=[e for _, e in spans],
    )  # fmt: skip
    counted = stats(chunks, classes=CLASSES, targets=TARGETS)
    assert counted["frames_shared"] == 20 + 20 + 6


def test_clips_without_a_file_count_apart(clips: pd.DataFrame) -> None:
    manifest = clips.assign(
        id=["00000", "00001", None, None, "00000"], n_frames=[20, 41, None, None, 30]
    )
    counted = stats(manifest, classes=CLASSES, targets=TARGETS)
    assert (counted["clips"], counted["clips_without_file"]) == (3, 2)
    assert counted["splits"] == {"train": 2, "val": 0, "test": 1}
    assert counted["frames"]["total"] == 91


def test_windows_over_128_stand_in_a_group_of_their_own(clips: pd.DataFrame) -> None:
    counted = stats(clips.assign(width=129), classes=CLASSES, targets=TARGETS)
    assert counted["resolution"]["over 128"] == 5


def test_funnel_and_issues_are_summed(clips: pd.DataFrame) -> None:
    balance = pd.concat(
        [
            balance_frame(Balance("parse", "activities", 10, 8, 2), video_id="v0"),
            balance_frame(Balance("crop", "clips", 8, 5, 3), video_id="v0"),
            balance_frame(Balance("parse", "activities", 4, 4, 0), video_id="v1"),
        ]
    )
    issues = issues_frame(
        [
            Issue("parse", "status", "dropped", count=2),
            Issue("crop", "short", "dropped", count=2),
            Issue("parse", "gap", "noted"),
            Issue("parse", "gap", "noted", count=4),
        ]
    )
    counted = stats(clips, classes=CLASSES, targets=TARGETS, balance=balance, issues=issues)
    assert counted["funnel"] == [
        {"stage": "parse", "unit": "activities", "records_in": 14, "records_out": 12,
         "dropped": 2, "closes": True},
        {"stage": "crop", "unit": "clips", "records_in": 8, "records_out": 5, "dropped": 3,
         "closes": True},
    ]  # fmt: skip
    assert counted["issues"] == [
        {"stage": "parse", "reason": "gap", "action": "noted", "issues": 2, "count": 5},
        {"stage": "crop", "reason": "short", "action": "dropped", "issues": 1, "count": 2},
        {"stage": "parse", "reason": "status", "action": "dropped", "issues": 1, "count": 2},
    ]


def test_an_empty_build(clips: pd.DataFrame) -> None:
    counted = stats(
        clips[:0], classes=CLASSES, targets=TARGETS, balance=empty("balance"),
        issues=empty("issues"),
    )  # fmt: skip
    assert counted["clips"] == 0
    assert counted["frames"]["mean"] is None
    assert counted["drift"]["per_class"] == {}
    json.dumps(counted, allow_nan=False)
