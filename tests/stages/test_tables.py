"""Tables of many videos, taken apart and put together."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from tinyvirat_build.records import KEYS, Issue, Key
from tinyvirat_build.stages.tables import Made, VideoRows, by_video, each_video, video_by_video


def table_of(keys: Sequence[Sequence[str]]) -> pd.DataFrame:
    return pd.DataFrame(list(keys), columns=list(KEYS)).assign(n=range(len(keys)))


EVERY = [tuple(key) for key in itertools.product("ba", "vwx", "lk")]


@pytest.mark.parametrize("categorical", [False, True])
@pytest.mark.parametrize(
    "order",
    [range(12), range(11, -1, -1), [*range(12), 3, 0, 7], [0, 0, 0], [0, 1, 1, 0], [5], [0, 1, 0]],
)
def test_each_video_has_its_own_rows_in_their_order(
    order: Sequence[int], categorical: bool
) -> None:
    table = table_of([EVERY[i] for i in order])
    if categorical:
        table = table.astype(dict.fromkeys(KEYS, "category"))
    found = by_video(table)
    assert list(found) == sorted({Key(*EVERY[i]) for i in order})
    for key, rows in found.items():
        own = [n for n, i in enumerate(order) if EVERY[i] == key]
        assert table["n"].to_numpy()[rows].tolist() == own
        together = own[-1] - own[0] == len(own) - 1
        assert isinstance(rows, slice) == together  # which copies nothing
        assert not together or (rows.start, rows.stop) == (own[0], own[-1] + 1)
    assert by_video(table[:0]) == {}


@pytest.mark.parametrize("lacks", [["v"], ["w"], []])
def test_a_video_that_another_table_lacks_has_no_rows_of_it(lacks: list[str]) -> None:
    first = table_of([("s", v, "a") for v in "wvw"])
    second = table_of([("s", v, "a") for v in "vvzw" if v not in lacks])
    seen = {}
    for key, (own, other) in each_video(first, second):
        seen[key.video_id] = (own.ints("n").tolist(), other["video_id"].tolist())
    assert list(seen) == ["v", "w"]
    assert (seen["v"][0], seen["w"][0]) == ([1], [0, 2])
    for video, count in (("v", 2), ("w", 1)):
        assert seen[video][1] == [video] * count * (video not in lacks)


def test_values_are_plain_ones() -> None:
    table = table_of([("s", "v", "a")] * 3)
    table["many"] = pd.Series([np.array([1, 2]), (3,), []], dtype=object)
    ((_, (own,)),) = each_video(table)
    assert own.lists("many") == [(1, 2), (3,), ()]
    assert all(type(one) is int for found in own.lists("many") for one in found)
    assert own.texts("video_id") == ["v"] * 3
    assert own.part(slice(1, 3)).ints("n").tolist() == [1, 2]
    mixed = table_of([("s", v, "a") for v in "vwvwv"])
    parts = {key.video_id: rows for key, (rows,) in each_video(mixed)}
    assert parts["v"].part(slice(1, 3)).ints("n").tolist() == [2, 4]


def test_what_goes_in_comes_out_or_is_an_issue() -> None:
    table = table_of([("s", v, "a") for v in "vwv"])

    def make(key: Key, rows: VideoRows) -> Made:
        n = len(rows.ints("n"))
        told = [
            Issue("merge", "bound", "quarantined", "x", count=1),
            Issue("merge", "bound", "noted", "x", count=9),
            Issue("merge", "unmapped", "dropped", "x", count=n - 1),
        ]
        return Made({}, n + lost, 0, told if n > 1 else told[:2])

    lost = 0
    result = video_by_video("merge", "tracks", "activities", make, table)
    names = ["video_id", "stage", "unit", "records_in", "records_out", "dropped"]
    assert result.balance[names].to_numpy().tolist() == [
        ["v", "merge", "activities", 2, 0, 2], ["w", "merge", "activities", 1, 0, 1]
    ]  # fmt: skip
    assert result.table.empty
    lost = 1
    with pytest.raises(AssertionError, match="merge of v does not close"):
        video_by_video("merge", "tracks", "activities", make, table)
