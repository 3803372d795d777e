"""What became of the frames of four activities, told stage by stage."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from tinyvirat_build.records import KEYS, Key
from tinyvirat_build.stages.fate import COLUMNS, PUBLISHED, by_label, fates, funnel

KEY = Key("s", "v", "a")


def held(*rows: tuple[tuple[str, ...], int, int]) -> pd.DataFrame:
    """Rows of a table that have activities from a frame up to another."""
    return pd.DataFrame(list(rows), columns=["activities", "start", "end"])


def issue(stage: str, record: str, reason: str, action: str = "quarantined") -> dict[str, Any]:
    """What a stage told of a record."""
    told = {"stage": stage, "record": record, "reason": reason, "action": action}
    return dict(zip(KEYS, KEY, strict=True)) | told


ISSUES = pd.DataFrame(
    [
        issue("chunk", "segment 0 frames [30, 40)", "short"),
        issue("crop", "segment 0 frames [20, 30)", "too_large"),
        issue("crop", "segment 0 frames [0, 40)", "half_seen", "noted"),  # noted, and not lost
        issue("partition", "clip bb", "split_gap", "dropped"),
        issue("filter", "clip cc", "rare_label", "dropped"),
        issue("cut", "clip dd", "timeout"),
        issue("index", "clip dd", "no_frames"),  # of no stage that loses frames
        issue("filter", "label waits", "rare_label", "noted"),
    ]
)


def tables() -> dict[str, pd.DataFrame]:
    """``w`` in four chunks of ten frames, ``x`` and ``y`` in one each, ``z`` without a label."""
    activities = pd.DataFrame(
        [
            ("w", ("walks",), 0, 40),
            ("x", ("walks", "waits"), 100, 112),
            ("y", ("waits",), 200, 215),
            ("z", (), 0, 5),
            ("bare", ("walks",), 0, 3),
        ],
        columns=["activity_id", "labels", "start", "end"],
    )
    chunks = held(
        (("w",), 0, 10), (("w",), 10, 20), (("w",), 20, 30), (("x",), 100, 112), (("y",), 200, 215)
    )
    planned = chunks.drop(index=2).assign(clip_id=["aa", "bb", "cc", "dd"])
    kept = planned[planned["clip_id"] != "bb"]
    left = kept[kept["clip_id"] != "cc"]
    return {
        "activities": activities,
        "tracks": held((("w",), 0, 40), (("x", "y"), 90, 300)),
        "segments": pd.DataFrame({"segment_id": [0], "activities": [("w",)]}),
        "chunks": chunks,
        "clips_planned": planned,
        "clips_partitioned": kept,
        "clips_filtered": left,
        "clips": left.assign(reason=[None, "timeout"]),
    }


def rows_of(found: pd.DataFrame) -> set[tuple[Any, ...]]:
    return set(found.drop(columns="labels").itertuples(index=False, name=None))


def test_each_frame_is_lost_once_where_and_why() -> None:
    found = fates([(KEY, tables())], ISSUES)
    assert tuple(found.columns) == COLUMNS
    assert rows_of(found) == {
        ("w", PUBLISHED, "", 10),
        ("w", "partition", "split_gap", 10),
        ("w", "crop", "too_large", 10),
        ("w", "chunk", "short", 10),
        ("x", "filter", "rare_label", 12),
        ("y", "cut", "timeout", 15),
        ("z", "merge", "unmapped", 5),
        ("bare", "merge", "no_geometry", 3),
    }
    assert dict(zip(found["activity_id"], found["labels"], strict=True))["x"] == ("walks", "waits")


@pytest.mark.parametrize(
    ("stage", "reason"),
    [("chunk", "remainder"), ("crop", "failed"), ("partition", "not_in_split_list")],
)
def test_what_no_issue_tells_has_its_stages_reason(stage: str, reason: str) -> None:
    untold = ISSUES[ISSUES["stage"] != stage]
    found = rows_of(fates([(KEY, tables())], untold))
    assert ("w", stage, reason, 10) in found
    assert len(found) == 8


def test_the_first_issue_of_a_frame_is_its_reason() -> None:
    again = pd.DataFrame([issue("crop", "segment 0 frames [0, 25)", "empty")])
    found = rows_of(fates([(KEY, tables())], pd.concat([again, ISSUES], ignore_index=True)))
    assert {("w", "crop", "empty", 5), ("w", "crop", "too_large", 5)} < found
    assert ("w", PUBLISHED, "", 10) in found  # it speaks of frames that others kept, too


def test_a_clip_of_poor_quality_was_cut() -> None:
    own = tables()
    own["clips"] = own["clips"].assign(reason=["quality", "timeout"])
    told = pd.DataFrame([issue("publish", "clip aa", "quality")])
    found = rows_of(fates([(KEY, own)], pd.concat([ISSUES, told], ignore_index=True)))
    assert ("w", "publish", "quality", 10) in found
    assert ("y", "cut", "timeout", 15) in found


def test_an_activity_is_told_of_by_its_own_span() -> None:
    own = tables()
    own["tracks"] = own["tracks"].iloc[:1]
    told = pd.DataFrame([issue("merge", "activity x frames [105, 200)", "off_image")])
    found = rows_of(fates([(KEY, own)], pd.concat([ISSUES, told], ignore_index=True)))
    assert {("x", "merge", "off_image", 7), ("x", "merge", "no_geometry", 5)} < found


def test_a_trial_leaves_out_whole_videos() -> None:
    none = {name: table.iloc[:0] for name, table in tables().items()}
    none["activities"] = tables()["activities"]
    for trial, reason in ((True, "limit"), (False, "no_geometry")):
        found = fates([(KEY, none)], ISSUES.iloc[:0], trial=trial)
        assert {(a, r) for a, s, r, _ in rows_of(found) if s == "merge"} == {
            *((a, reason) for a in ("w", "x", "y", "bare")),
            ("z", "unmapped"),
        }
    planned = fates([(KEY, tables())], ISSUES, trial=True)  # a video within the limit
    assert ("bare", "merge", "no_geometry", 3) in rows_of(planned)


def test_a_funnel_starts_with_all_and_loses_what_was_told() -> None:
    rows = funnel(fates([(KEY, tables())], ISSUES))
    assert [(r["stage"], r["frames_in"], r["lost"]) for r in rows] == [
        ("merge", 75, {"no_geometry": 3, "unmapped": 5}),
        ("chunk", 67, {"short": 10}),
        ("crop", 57, {"too_large": 10}),
        ("partition", 47, {"split_gap": 10}),
        ("filter", 37, {"rare_label": 12}),
        ("cut", 25, {"timeout": 15}),
        ("publish", 10, {}),
    ]


def test_a_label_that_was_filtered_has_lost_all_its_frames() -> None:
    found = fates([(KEY, tables())], ISSUES)
    rows = {row["label"]: row for row in by_label(found, ("waits", "walks", "rests"), ISSUES)}
    assert [*rows] == ["waits", "walks", None]  # in their order; one without activities has no row
    assert rows["walks"] == {
        "label": "walks",
        "annotated": 55,
        PUBLISHED: 10,
        "lost": {
            "no_geometry": 3, "rare_label": 12, "short": 10, "split_gap": 10, "too_large": 10,
        },
    }  # fmt: skip
    assert rows["waits"]["lost"] == {"rare_label": 12, "timeout": 15}
    assert rows[None] == {"label": None, "annotated": 5, PUBLISHED: 0, "lost": {"unmapped": 5}}
    kept = found.assign(stage=PUBLISHED, reason="")
    rows = {row["label"]: row for row in by_label(kept, ("waits", "walks"), ISSUES)}
    assert (rows["waits"][PUBLISHED], rows["waits"]["lost"]) == (0, {"rare_label": 27})
    assert (rows["walks"][PUBLISHED], rows["walks"]["lost"]) == (55, {})


def test_what_is_told_of_one_video_is_of_no_other() -> None:
    found = fates([(KEY._replace(video_id="u"), tables()), (KEY, tables())], ISSUES)
    first, second = rows_of(found[:8]), rows_of(found[8:])
    assert ("w", "partition", "split_gap", 10) in second
    assert {(a, s, r) for a, s, r, _ in first - second} == {
        ("w", "partition", "not_in_split_list"),
        ("w", "crop", "failed"),
        ("w", "chunk", "remainder"),
        ("x", "filter", "failed"),
        ("y", "cut", "failed"),
    }
    none = {name: table.iloc[:0] for name, table in tables().items()}
    none["activities"] = tables()["activities"]
    assert "limit" not in set(fates([(KEY, none)], ISSUES.iloc[:0])["reason"])


def test_nothing_has_no_fate() -> None:
    found = fates([], ISSUES.iloc[:0])
    assert tuple(found.columns) == COLUMNS
    assert len(found) == 0
