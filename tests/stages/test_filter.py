"""The filter: rare labels go, and with them the clips that had no other."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyvirat_build.records import columns, empty
from tinyvirat_build.settings import Filter
from tinyvirat_build.stages.filter import filter_rare

CLASSES = ("a", "b", "c", "d")

clip_rows = st.lists(
    st.tuples(
        st.sampled_from(["train", "val", "test"]),
        st.sets(st.sampled_from(CLASSES), min_size=1).map(sorted),
    ),
    max_size=30,
)


def clips_of(rows: Sequence[tuple[str, Sequence[str]]]) -> pd.DataFrame:
    table = empty("clips_partitioned").reindex(range(len(rows))).astype(object)
    return table.assign(
        source="s", video_id="v", annotation_set="x",
        clip_id=[f"{i:016x}" for i in range(len(rows))],
        split=[split for split, _ in rows], labels=[tuple(labels) for _, labels in rows],
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(clip_rows, st.integers(0, 5))
def test_against_the_definition(rows: list[tuple[str, list[str]]], least: int) -> None:
    result = filter_rare(clips_of(rows), Filter(min_samples=least), classes=CLASSES)
    train = [labels for split, labels in rows if split == "train"]
    kept = {c for c in CLASSES if sum(c in labels for labels in train) >= least}
    expected = [
        (f"{i:016x}", tuple(c for c in labels if c in kept))
        for i, (_, labels) in enumerate(rows)
        if set(labels) & kept
    ]
    assert list(zip(result.table["clip_id"], result.table["labels"], strict=True)) == expected
    assert result.table.columns.tolist() == columns("clips_filtered")
    dropped = result.issues[result.issues["action"] == "dropped"]
    assert dropped["count"].sum() == len(rows) - len(expected)
    assert set(dropped["reason"]) <= {"rare_label"}
    noted = result.issues[result.issues["action"] == "noted"]
    absent, noted = (noted[noted["reason"] == r] for r in ("absent_label", "rare_label"))
    seen = {c for _, labels in rows for c in labels}
    assert noted["record"].tolist() == [f"label {c}" for c in CLASSES if c in seen - kept]
    there = {split for split, labels in rows if set(labels) & kept}
    in_splits = {c: [s for s, labels in rows if c in labels] for c in CLASSES}
    lacking = [c for c in kept if in_splits[c] and set(in_splits[c]) != there]
    assert dict(zip(absent["record"], absent["count"], strict=True)) == {
        f"label {c}": len(in_splits[c]) for c in lacking
    }
    if rows:
        counts = result.balance[["records_in", "records_out", "dropped"]].to_numpy().tolist()
        assert counts == [[len(rows), len(expected), len(rows) - len(expected)]]


@settings(max_examples=40, deadline=None)
@given(clip_rows, st.integers(0, 5))
def test_once_is_enough(rows: list[tuple[str, list[str]]], least: int) -> None:
    once = filter_rare(clips_of(rows), Filter(min_samples=least), classes=CLASSES).table
    twice = filter_rare(once, Filter(min_samples=least), classes=CLASSES)
    assert twice.table["clip_id"].tolist() == once["clip_id"].tolist()
    assert twice.table["labels"].tolist() == once["labels"].tolist()
    assert set(twice.issues["reason"]) <= {"absent_label"}


def test_the_input_is_left_alone() -> None:
    clips = clips_of([("train", "ab"), ("val", "b")])
    before = clips.copy(deep=True)
    filter_rare(clips, Filter(min_samples=2), classes=CLASSES)
    pd.testing.assert_frame_equal(clips, before)


def test_what_is_told_of_a_label_and_of_a_clip() -> None:
    rows = [("train", "ac"), ("train", "a"), ("val", "cb"), ("test", "a"), ("val", "a")]
    clips = clips_of(rows).set_index(pd.Index([7, 3, 9, 4, 1]))  # as a selection has it
    result = filter_rare(clips, Filter(min_samples=2), classes=CLASSES)
    assert result.table["labels"].tolist() == [("a",)] * 4
    told = result.issues[["stage", "record", "count", "detail"]]
    assert list(told.itertuples(index=False, name=None)) == [
        ("filter", "label b", 0, "0 training clips, fewer than 2"),
        ("filter", "label c", 1, "1 training clip, fewer than 2"),
        ("filter", f"clip {2:016x}", 1, "only c, b"),
    ]


def test_a_label_that_misses_a_split_is_told_with_those_splits() -> None:
    clips = clips_of([("val", "ab"), ("train", "ac"), ("test", "a"), ("train", "c")])
    result = filter_rare(clips, Filter(min_samples=0), classes=CLASSES)
    told = result.issues[["stage", "reason", "action", "record", "count", "detail"]]
    assert told.to_numpy().tolist() == [
        ["filter", "absent_label", "noted", "label b", 1, "1 clip, none in train or test"],
        ["filter", "absent_label", "noted", "label c", 2, "2 clips, none in val or test"],
    ]
    assert result.balance["stage"].tolist() == ["filter"]


def test_a_label_that_no_class_list_has_is_counted_too() -> None:
    clips = clips_of([("train", "z"), ("train", "a"), ("train", "z")])
    result = filter_rare(clips, Filter(min_samples=2), classes=CLASSES)
    assert result.table["labels"].tolist() == [("z",), ("z",)]
    assert filter_rare(clips, Filter(min_samples=3), classes=CLASSES).table.dtypes.equals(
        empty("clips_filtered").dtypes
    )
