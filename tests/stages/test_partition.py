"""The partition: groups stay whole, labels reach every split, lists hold, order is nothing."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyvirat_build.errors import DataError, SettingsError
from tinyvirat_build.records import KEYS, columns, empty
from tinyvirat_build.settings import Partition
from tinyvirat_build.stages.partition import (
    SPLITS,
    SplitList,
    assign_groups,
    label_counts,
    partition,
)
from tinyvirat_build.stages.stratify import Counts, reach, stratify

TARGETS = (0.64, 0.13, 0.23)


def counts_of(table: np.ndarray) -> Counts:
    groups = tuple(f"g{i:03}" for i in range(table.shape[0]))
    labels = tuple(f"l{i:02}" for i in range(table.shape[1]))
    return Counts(groups, labels, table.astype(np.int64))


def chosen_of(counts: Counts, split: Mapping[str, int]) -> np.ndarray:
    return np.array([split[name] for name in counts.groups])


tables = st.integers(1, 9).flatmap(
    lambda n_labels: st.lists(
        st.lists(st.integers(0, 3), min_size=n_labels, max_size=n_labels), min_size=3, max_size=7
    ).map(np.array)
)


@settings(max_examples=80, deadline=None)
@given(tables, st.integers(0, 3), st.lists(st.integers(-1, 2), min_size=7, max_size=7))
def test_all_labels_reach_every_split_wherever_that_is_possible(
    table: np.ndarray, seed: int, ruled: list[int]
) -> None:
    """Beside groups that are fixed; where not all can, no further label could."""
    counts = counts_of(table)
    has = table > 0
    fixed = {name: s for name, s in zip(counts.groups, ruled, strict=False) if s >= 0}
    split = stratify(counts, TARGETS, fixed, seed)
    assert split | fixed == split
    got = (reach(has, chosen_of(counts, split), 3) > 0).all(axis=1)
    for way in itertools.product(
        *([fixed[name]] if name in fixed else range(3) for name in counts.groups)
    ):
        other = (reach(has, np.array(way), 3) > 0).all(axis=1)
        assert not ((other & got) == got).all() or other.sum() == got.sum()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(12, 60), st.floats(0, 2))
def test_labels_reach_every_split_in_larger_corpora_that_allow_it(
    seed: int, n_groups: int, more: float
) -> None:
    rng = np.random.default_rng(seed)
    hidden = np.concatenate([[0, 1, 2], rng.choice(3, n_groups - 3, p=TARGETS)])  # a solution
    table = np.zeros((n_groups, 26), dtype=int)
    for label in range(26):
        for split in range(3):
            table[rng.choice(np.flatnonzero(hidden == split)), label] = rng.integers(1, 9)
        table[rng.choice(n_groups, rng.poisson(more)), label] += 1
    counts = counts_of(table)
    split_of = stratify(counts, TARGETS, {}, 0)
    assert (reach(table > 0, chosen_of(counts, split_of), 3) > 0).all()


def test_where_not_all_labels_can_reach_every_split_most_do() -> None:
    # four groups, a label in each three of them: the two groups that share a split cost two
    table = 1 - np.eye(4, dtype=int)
    counts = counts_of(table)
    got = reach(table > 0, chosen_of(counts, stratify(counts, TARGETS, {}, 0)), 3) > 0
    assert got.all(axis=1).sum() == 2


def test_the_seed_alone_tells_groups_apart_that_are_alike() -> None:
    counts = counts_of(np.ones((12, 2), int))
    moved = Counts(counts.groups[::-1], counts.labels, counts.table)
    ways = [stratify(counts, TARGETS, {}, seed) for seed in range(4)]
    assert [stratify(moved, TARGETS, {}, seed) for seed in range(4)] == ways
    assert len({tuple(sorted(way.items())) for way in ways}) > 1


def test_shares_are_near_the_target() -> None:
    rng = np.random.default_rng(1)
    table = rng.poisson(rng.gamma(0.5, 4, size=(200, 26)))
    counts = counts_of(table)
    chosen = chosen_of(counts, stratify(counts, TARGETS, {}, 0))
    share = np.array([table[chosen == s].sum(axis=0) for s in range(3)]) / table.sum(axis=0)
    assert np.abs(share - np.array(TARGETS)[:, None]).max() < 0.02


def test_no_single_move_lowers_the_error() -> None:
    rng = np.random.default_rng(2)
    table = rng.poisson(1, size=(20, 5))
    counts = counts_of(table)
    chosen = chosen_of(counts, stratify(counts, TARGETS, {}, 0))

    def error(chosen: np.ndarray) -> float:
        full = np.concatenate([table, table.sum(axis=1, keepdims=True)], axis=1)
        share = np.array([full[chosen == s].sum(axis=0) for s in range(3)]) / full.sum(axis=0)
        return float(((share - np.array(TARGETS)[:, None]) ** 2).sum())

    def covers(chosen: np.ndarray) -> bool:
        return bool((reach(table > 0, chosen, 3) > 0).all())

    assert covers(chosen)
    for group, split in itertools.product(range(20), range(3)):
        moved = chosen.copy()
        moved[group] = split
        assert error(moved) > error(chosen) - 1e-5 or not covers(moved)


def scattered(n_groups: int, n_labels: int, most: int) -> np.ndarray:
    """Counts that look drawn, half of them none, by arithmetic that no release changes."""
    mixed = np.arange(n_groups * n_labels, dtype=np.uint64) * np.uint64(2654435761) % 2**32
    own = ((mixed >> np.uint64(13)) ^ mixed) % np.uint64(most)
    return np.maximum(own.astype(np.int64) - most // 2, 0).reshape(n_groups, n_labels)


@pytest.mark.parametrize(
    ("table", "targets", "fixed", "seed", "chosen"),
    [
        ((40, 8, 9), TARGETS, {}, 0, "1000000120020202021002010000220100200000"),
        ((40, 8, 9), TARGETS, {}, 1, "0200000000212010000020022000022012121012"),
        ((9, 12, 7), TARGETS, {}, 0, "012002201"),  # no way covers all
        ((24, 6, 8), TARGETS, {"g003": 2, "g010": 1, "g011": 0}, 0, "202200020210000000010201"),
        ((24, 6, 8), (0.7, 0.0, 0.3), {}, 0, "002202002202200200000200"),
    ],
)
def test_the_choice_is_that_of_earlier_versions(
    table: tuple[int, int, int], targets: tuple[float, float, float],
    fixed: dict[str, int], seed: int, chosen: str,
) -> None:  # fmt: skip
    """Whoever changes it moves clips of everyone's builds between the splits."""
    counts = counts_of(scattered(*table))
    split = stratify(counts, targets, fixed, seed)
    assert "".join(str(split[name]) for name in counts.groups) == chosen


def corpus(labels: Mapping[str, Sequence[Sequence[str]]], source: str = "meva") -> pd.DataFrame:
    """Activities: video -> the labels of each of its activities."""
    rows = [
        (source, video, "set", str(i), tuple(own))
        for video, activities in labels.items()
        for i, own in enumerate(activities)
    ]
    return pd.DataFrame(rows, columns=[*KEYS, "activity_id", "labels"])


def videos_of(activities: pd.DataFrame, session: Mapping[str, str | None]) -> pd.DataFrame:
    table = activities[list(KEYS)].drop_duplicates().reset_index(drop=True)
    return table.assign(session=[session.get(v) for v in table["video_id"]], scene="s", camera=None)


def clips_of(activities: pd.DataFrame) -> pd.DataFrame:
    """One clip an activity."""
    n = len(activities)
    table = empty("clips_planned").reindex(range(n)).astype(object)
    for key in [*KEYS, "labels"]:
        table[key] = activities[key].to_numpy()
    return table.assign(clip_id=[f"{i:016x}" for i in range(n)], start=0, end=20)


def random_corpus(seed: int, n_videos: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return corpus(
        {
            f"v{i:02}": [[f"l{k}"] for k in rng.integers(0, 6, rng.integers(0, 9))]
            for i in range(n_videos)
        }
    )


def test_no_group_is_in_two_splits_and_rows_keep_their_order() -> None:
    activities = random_corpus(0)
    session = {f"v{i:02}": f"slot{i // 3}" for i in range(40)}
    groups = assign_groups(videos_of(activities, session), Partition(), lists={})
    clips = clips_of(activities)
    result = partition(clips, activities, groups, Partition())
    assert result.table.columns.tolist() == columns("clips_partitioned")
    assert result.table["clip_id"].tolist() == clips["clip_id"].tolist()
    assert (result.table.groupby("group")["split"].nunique() == 1).all()
    assert set(result.table["split"]) == set(SPLITS)
    assert result.table["group"].str.startswith("meva/slot").all()
    assert result.balance[["records_in", "records_out"]].to_numpy().tolist() == [[len(clips)] * 2]


def test_clips_do_not_move_groups() -> None:
    activities = random_corpus(3)
    groups = assign_groups(videos_of(activities, {}), Partition(), lists={})
    clips = clips_of(activities)
    whole = partition(clips, activities, groups, Partition()).table
    part = partition(clips[::3], activities, groups, Partition()).table
    known = dict(zip(whole["video_id"], whole["split"], strict=True))
    assert part["split"].tolist() == [known[v] for v in part["video_id"]]


def test_the_order_of_rows_is_nothing() -> None:
    activities = random_corpus(4)
    clips = clips_of(activities)
    videos = videos_of(activities, {})
    groups = assign_groups(videos, Partition(), lists={})
    whole = partition(clips, activities, groups, Partition())
    again = partition(
        clips,
        activities.sample(frac=1, random_state=0).astype({"video_id": "category"}),
        groups.sample(frac=1, random_state=1),
        Partition(),
    )
    pd.testing.assert_frame_equal(whole.table, again.table)
    pd.testing.assert_frame_equal(whole.issues, again.issues)


def test_a_list_fixes_its_groups_and_the_others_follow() -> None:
    activities = random_corpus(5)
    session = {f"v{i:02}": f"slot{i:02}" for i in range(40)}
    lists = {"meva": SplitList("mine", {f"slot{i:02}": "test" for i in range(5)})}
    groups = assign_groups(videos_of(activities, session), Partition(), lists=lists)
    table = partition(clips_of(activities), activities, groups, Partition(), lists=lists).table
    split = dict(zip(table["video_id"], table["split"], strict=True))
    assert {split[f"v{i:02}"] for i in range(5) if f"v{i:02}" in split} == {"test"}
    share = (table["split"] == "test").mean()
    assert abs(share - 0.23) < 0.04


def test_the_official_rule_keeps_the_lists_and_draws_val_from_train() -> None:
    activities = random_corpus(6).assign(source="virat")
    session = dict.fromkeys((f"v{i:02}" for i in range(40)), "one session")
    train = {f"v{i:02}": "train" for i in range(20)}
    test = {f"v{i:02}": "test" for i in range(20, 35)}
    lists = {"virat": SplitList("official", train | test, "video", draw_val=True, closed=True)}
    groups = assign_groups(videos_of(activities, session), Partition(), lists=lists)
    assert groups["group"].iloc[0] == "virat/v00"  # by video, though they share a session
    clips = clips_of(activities)
    result = partition(clips, activities, groups, Partition(), lists=lists)
    split = dict(zip(result.table["video_id"], result.table["split"], strict=True))
    assert {split[v] for v in test if v in split} == {"test"}
    drawn = [v for v in train if split.get(v) == "val"]
    assert drawn
    pool = result.table["split"].isin(["train", "val"])
    assert abs((result.table["split"] == "val").sum() / pool.sum() - 0.13 / 0.77) < 0.05
    left_out = result.issues[result.issues["reason"] == "not_in_split_list"]
    assert set(left_out["video_id"]) == {f"v{i:02}" for i in range(35, 40)} & set(
        activities["video_id"]
    )
    assert left_out["count"].sum() == len(clips) - len(result.table)
    for issue in left_out.itertuples():
        told = (issue.stage, issue.action, issue.record, issue.detail)
        assert told == ("partition", "dropped", f"video {issue.video_id}", "list official")
        assert (issue.source, issue.annotation_set) == tuple(
            clips[clips["video_id"] == issue.video_id][["source", "annotation_set"]].iloc[0]
        )
    assert result.balance["dropped"].tolist() == [len(clips) - len(result.table)]


def test_two_sources_with_one_name_are_two_groups() -> None:
    activities = pd.concat([random_corpus(1), random_corpus(1).assign(source="virat")])
    groups = assign_groups(videos_of(activities, {}), Partition(), lists={})
    assert groups["group"].nunique() == activities[list(KEYS)].drop_duplicates().shape[0]


@pytest.mark.parametrize("n", [1, 2])
def test_fewer_than_three_groups_are_all_train(n: int) -> None:
    activities = corpus({f"v{i}": [["walk"], ["run"]] for i in range(n)})
    groups = assign_groups(videos_of(activities, {}), Partition(), lists={})
    result = partition(clips_of(activities), activities, groups, Partition())
    assert set(result.table["split"]) == {"train"}
    told = result.issues[["stage", "reason", "action", "record", "count", "detail"]]
    detail = f"{n} group{'s' * (n > 1)}: everything not fixed by a list is train"
    assert told.to_numpy().tolist() == [
        ["partition", "few_groups", "noted", "all groups", n, detail]
    ]
    assert set(result.balance["stage"]) == {"partition"}


def test_three_groups_are_enough() -> None:
    activities = corpus({f"v{i}": [["walk"], ["run"]] for i in range(3)})
    groups = assign_groups(videos_of(activities, {}), Partition(), lists={})
    result = partition(clips_of(activities), activities, groups, Partition())
    assert sorted(result.table["split"].unique()) == ["test", "train", "val"]
    assert result.issues.empty
    ways = [partition(clips_of(activities), activities, groups, Partition(seed=7)).table["split"]
            for _ in range(6)]  # fmt: skip
    assert len({tuple(way) for way in ways}) == 1  # by the seed, and by nothing else
    ways = [partition(clips_of(activities), activities, groups, Partition(seed=n)).table["split"]
            for n in range(6)]  # fmt: skip
    assert len({tuple(way) for way in ways}) > 1


def test_a_label_in_fewer_than_three_groups_is_named() -> None:
    activities = corpus({f"v{i}": [["walk"], ["rare"] if i < 2 else []] for i in range(6)})
    groups = assign_groups(videos_of(activities, {}), Partition(), lists={})
    result = partition(clips_of(activities), activities, groups, Partition())
    assert result.issues["record"].tolist() == ["label rare"]
    assert result.issues["detail"][0].startswith("in 2 groups, none in ")


def test_the_splits_that_a_label_misses_are_named() -> None:
    activities = corpus({f"v{i}": [["walk"], ["rare"] if i < 1 else []] for i in range(6)})
    lists = {"meva": SplitList("mine", {"v0": "val"}, "video")}
    groups = assign_groups(videos_of(activities, {}), Partition(), lists=lists)
    result = partition(clips_of(activities), activities, groups, Partition(), lists=lists)
    told = result.issues[["stage", "reason", "action", "record", "detail"]].to_numpy().tolist()
    assert told == [["partition", "scarce_label", "noted", "label rare",
                     "in 1 group, none in train or test"]]  # fmt: skip


def test_val_is_drawn_from_a_lists_train_by_the_seed_alone() -> None:
    activities = corpus({f"v{i:02}": [["walk"]] for i in range(30)})
    lists = {"meva": SplitList("mine", dict.fromkeys((f"v{i:02}" for i in range(30)), "train"),
                               "video", draw_val=True)}  # fmt: skip
    groups = assign_groups(videos_of(activities, {}), Partition(), lists=lists)

    def drawn(**rule: Any) -> tuple[str, ...]:
        table = partition(
            clips_of(activities), activities, groups, Partition(**rule), lists=lists
        ).table
        return tuple(table["video_id"][table["split"] == "val"])

    assert len({drawn(seed=3) for _ in range(4)}) == 1
    assert len({drawn(seed=seed) for seed in range(4)}) > 1
    assert len(drawn(targets=(0.5, 0.5, 0.0))) == 15
    assert len(drawn(targets=(0.2, 0.4, 0.4))) == 20
    assert drawn(targets=(0.0, 0.0, 1.0)) == ()
    plain = {"meva": SplitList("mine", lists["meva"].splits, "video")}
    kept = partition(clips_of(activities), activities, groups, Partition(), lists=plain).table
    assert set(kept["split"]) == {"train"}


def test_notes_stand_in_class_order() -> None:
    activities = corpus({"v0": [["b"], ["a"]], "v1": [["c"]], "v2": [["c"]], "v3": [["c"]]})
    groups = assign_groups(videos_of(activities, {}), Partition(), lists={})
    result = partition(clips_of(activities), activities, groups, Partition(), classes=("b", "a"))
    assert result.issues["record"].tolist() == ["label b", "label a"]


def test_a_split_with_target_zero_stays_empty() -> None:
    activities = random_corpus(7)
    rule = Partition(targets=(0.8, 0.0, 0.2))
    groups = assign_groups(videos_of(activities, {}), rule, lists={})
    result = partition(clips_of(activities), activities, groups, rule)
    assert set(result.table["split"]) == {"train", "test"}
    assert result.issues.empty


def test_a_label_that_misses_one_of_two_splits_is_named() -> None:
    activities = corpus({f"v{i}": [["walk"], ["rare"] if i < 1 else []] for i in range(6)})
    rule = Partition(targets=(0.8, 0.0, 0.2))
    groups = assign_groups(videos_of(activities, {}), rule, lists={})
    result = partition(clips_of(activities), activities, groups, rule)
    (detail,) = result.issues["detail"]
    assert detail in ("in 1 group, none in train", "in 1 group, none in test")


def test_records_are_counted_by_source() -> None:
    own = corpus({f"v{i}": [["walk"], ["run"]] for i in range(4)})
    activities = pd.concat([own, own[:5].assign(source="virat")], ignore_index=True)
    lists = {"virat": SplitList("official", {"v0": "test"}, "video", closed=True)}
    groups = assign_groups(videos_of(activities, {}), Partition(), lists=lists)
    result = partition(clips_of(activities), activities, groups, Partition(), lists=lists)
    names = ["stage", "source", "unit", "records_in", "records_out", "dropped"]
    assert result.balance[names].to_numpy().tolist() == [
        ["partition", "meva", "clips", 8, 8, 0],
        ["partition", "virat", "clips", 5, 2, 3],
    ]


def test_a_list_names_groups_by_all_behind_the_source() -> None:
    activities = corpus({f"v{i}": [["walk"]] for i in range(6)})
    lists = {"meva": SplitList("mine", {"day/one": "val"})}
    videos = videos_of(activities, {"v0": "day/one", "v1": ""})
    groups = assign_groups(videos, Partition(), lists=lists)
    assert groups["group"].tolist()[:2] == ["meva/day/one", "meva/v1"]
    table = partition(clips_of(activities), activities, groups, Partition(), lists=lists).table
    assert table["split"][0] == "val"


def test_empty_tables() -> None:
    activities = corpus({})
    groups = assign_groups(videos_of(activities, {}), Partition(), lists={})
    result = partition(empty("clips_planned"), activities, groups, Partition())
    assert len(result.table) == 0
    assert result.table.columns.tolist() == columns("clips_partitioned")
    assert result.issues.empty
    assert result.balance.empty


def test_counts_are_of_labels_and_groups() -> None:
    activities = corpus({"v0": [["a", "b"], ["a"]], "v1": [[]], "v2": [["b"]]})
    groups = assign_groups(videos_of(activities, {"v0": "s", "v2": "s"}), Partition(), lists={})
    counts = label_counts(activities, groups)
    assert counts.groups == ("meva/s", "meva/v1")
    assert counts.labels == ("a", "b")
    assert counts.table.tolist() == [[2, 2], [0, 0]]


def test_a_clip_without_group_is_refused() -> None:
    activities = random_corpus(8)
    groups = assign_groups(videos_of(activities, {}), Partition(), lists={})
    with pytest.raises(DataError, match="no group"):
        partition(clips_of(activities), activities, groups[:3], Partition())


@pytest.mark.parametrize(
    ("grouping", "expected"),
    [("auto", "meva/slot"), ("slot", "meva/slot"), ("session", "meva/slot")]
    + [("video", "meva/v0"), ("scene", "meva/s"), ("camera", "meva/v0")],
)
def test_groupings(grouping: str, expected: str) -> None:
    videos = videos_of(corpus({"v0": [["a"]]}), {"v0": "slot"})
    groups = assign_groups(videos, Partition(group=grouping), lists={})
    assert groups["group"].tolist() == [expected]


def test_an_unknown_grouping_is_refused() -> None:
    videos = videos_of(corpus({"v0": [["a"]]}), {})
    with pytest.raises(SettingsError, match=r"partition\.group is one of"):
        assign_groups(videos, Partition(group="town"), lists={})  # type: ignore[arg-type]


def test_each_clip_has_the_group_of_all_of_its_keys() -> None:
    keys = pd.DataFrame(itertools.product("abcd", "vwx", "kl"), columns=list(KEYS))
    shuffled = keys.sample(frac=1, random_state=3, ignore_index=True)
    groups = shuffled.assign(group=["/".join(row) for row in shuffled.itertuples(index=False)])
    clips = keys.sample(frac=2, replace=True, random_state=4, ignore_index=True)
    clips = clips.assign(clip_id=[f"{n:03}" for n in range(len(clips))], segment_id=0)
    activities = keys.assign(labels=[("a",)] * len(keys))
    for table in (clips, clips.astype(dict.fromkeys(KEYS, "category"))):
        found = partition(table, activities, groups, Partition()).table
        assert found["clip_id"].tolist() == clips["clip_id"].tolist()
        assert found["group"].tolist() == ["/".join(row) for row in clips[list(KEYS)].to_numpy()]
    with pytest.raises(DataError, match="video w has clips but no group"):
        partition(
            clips[clips["video_id"] == "w"], activities, groups[groups["video_id"] != "w"],
            Partition(),
        )  # fmt: skip
