"""Clips by all that is known of them, counted by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tinyvirat_build.records import KEYS
from tinyvirat_build.stages.counts import cooccurrence, places, quality, whole_numbers

IN_SPLIT = np.array([[True, True, False, False], [False, False, True, False], [False] * 3 + [True]])


def test_labels_that_occur_together() -> None:
    member = np.array([[1, 0, 1, 0], [1, 0, 0, 0], [1, 0, 1, 1]], bool)
    assert cooccurrence(member, ["walk", "run", "sit", "ride"]) == {
        "classes": ["walk", "sit", "ride"], "clips": [[3, 2, 1], [2, 2, 1], [1, 1, 1]]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "edges", "train", "val", "test"),
    [
        ([7, 7, 7, 7], [7, 8], [2], [1], [1]),
        ([0, 1, 19, 19], list(range(21)), [1, 1, *[0] * 18], [*[0] * 19, 1], [*[0] * 19, 1]),
        ([5, 6, 25, 7], [*range(5, 28, 2)], [2, *[0] * 10], [*[0] * 10, 1], [0, 1, *[0] * 9]),
        ([10, 11, 50, 49], [*range(10, 53, 3)], [2, *[0] * 13], [*[0] * 13, 1], [*[0] * 13, 1]),
    ],
)
def test_a_histogram_of_whole_numbers(
    values: list[int], edges: list[int], train: list[int], val: list[int], test: list[int]
) -> None:
    own = whole_numbers(np.array(values), IN_SPLIT)
    assert own == {"edges": edges, "train": train, "val": val, "test": test}


def test_a_histogram_of_nothing() -> None:
    own = whole_numbers(np.zeros(0, np.int64), np.zeros((3, 0), bool))
    assert own == {"edges": [0, 1], "train": [0], "val": [0], "test": [0]}


def test_measures_of_quality() -> None:
    clips = pd.DataFrame(
        {
            "motion": pd.array([2.0, 4.0, None, 102.0], "Float64"),
            "brightness": [None] * 4,
            "contrast": [3.0] * 4,
            "frozen": [0.02, 0.049, 0.05, 0.98],
            "infrared": pd.array([True, False, None, True], "boolean"),
        }
    )
    own = quality(clips, IN_SPLIT)
    assert list(own) == ["motion", "contrast", "frozen", "infrared"]
    assert own["infrared"] == 2
    top = 4 + 0.98 * 98  # 99 % of the way through the three that are known
    assert own["motion"]["edges"] == pytest.approx(np.linspace(2, top, 21), abs=1e-6)
    assert all(edge == round(edge, 6) for edge in own["motion"]["edges"])
    # The largest lies beyond, and counts in the last bin; the unknown one counts in none.
    assert own["motion"]["train"] == [2, *[0] * 19]
    assert own["motion"]["val"] == [0] * 20
    assert own["motion"]["test"] == [*[0] * 19, 1]
    assert own["contrast"]["edges"][0] == 3
    assert np.diff(own["contrast"]["edges"]) == pytest.approx(1e-6)  # no two are alike
    assert own["contrast"]["train"] == [2, *[0] * 19]
    assert own["frozen"]["edges"] == pytest.approx(np.linspace(0, 1, 21))
    assert own["frozen"]["train"] == [2, *[0] * 19]
    assert own["frozen"]["val"] == [0, 1, *[0] * 18]
    assert own["frozen"]["test"] == [*[0] * 19, 1]
    assert quality(pd.DataFrame({"width": [1] * 4}), IN_SPLIT) == {}
    unseen = clips.assign(frozen=[0.0, 0.5, None, 1.0])
    assert quality(unseen, IN_SPLIT)["frozen"]["val"] == [0] * 20


def test_cameras_and_hours() -> None:
    clips = pd.DataFrame([("meva", v, "x") for v in ("a", "b", "c", "d")], columns=[*KEYS])
    videos = pd.DataFrame(
        [("meva", "a", "x", "G1", "2018-03-05.09-15-00"), ("meva", "b", "x", "G2", "2018-03-05"),
         ("meva", "c", "x", "G2", "2018-03-05_13-50"), ("meva", "d", "x", "", None),
         ("meva", "d", "x", "G1", "2018-03-05.13-50"), ("other", "a", "x", "G3", "")],
        columns=[*KEYS, "camera", "session"],
    )  # fmt: skip
    own = places(clips, videos, IN_SPLIT)
    assert own["cameras"] == [
        {"name": "G2", "train": 1, "val": 1, "test": 0},
        {"name": "G1", "train": 1, "val": 0, "test": 0},
    ]
    assert own["hours"] == [
        {"name": "09", "train": 1, "val": 0, "test": 0},
        {"name": "13", "train": 0, "val": 1, "test": 0},
    ]
    unknown = places(clips, videos.assign(camera=None, session=None), IN_SPLIT)
    assert unknown == places(clips, None, IN_SPLIT) == {"cameras": [], "hours": []}
    alike = places(clips, videos.assign(camera=["G9", "G1", "G9", "G1", "", ""]), IN_SPLIT)
    assert [row["name"] for row in alike["cameras"]] == ["G1", "G9"]
    absent = places(clips, videos[:1], IN_SPLIT)
    assert absent["cameras"] == [{"name": "G1", "train": 1, "val": 0, "test": 0}]
