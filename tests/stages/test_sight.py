"""Parts of a clip by the labels seen in it, at their borders."""

from __future__ import annotations

import numpy as np
import pytest

from tinyvirat_build.geometry import reach_of
from tinyvirat_build.stages.activity_boxes import Activities
from tinyvirat_build.stages.sight import inside, parts

TWO = Activities(
    ["own", "near"], ["a", "b"], [("a",), ("b",)], np.array([0, 0]), np.array([20, 20]), [(), ()]
)


@pytest.mark.parametrize(("last", "briefly"), [(16, ()), (17, ("b",))])
def test_under_half_of_the_frames_is_briefly(last: int, briefly: tuple[str, ...]) -> None:
    seen = [(1, 100, 103), (1, 108, 111), (1, 100 + last, 120)]  # 10 or 9 frames of 20
    [part] = parts((100, 120), ("a",), seen, TWO, place={"a": 0, "b": 1}, bridge=8)
    assert (part.start, part.end, part.labels) == (100, 120, ("a", "b"))
    assert part.neighbours == ("near",)
    assert part.briefly == briefly


THREE = Activities(
    ["z", "y", "x"], ["a", "b", "b"], [("a",), ("c",), ("b",)], np.zeros(3, int), np.full(3, 40),
    [(), (), ()],
)  # fmt: skip
PLACE = {"c": 0, "a": 1, "b": 2}


def test_a_clip_is_parted_where_the_labels_seen_change() -> None:
    seen = [(1, 110, 130), (2, 120, 140)]
    found = parts((100, 140), ("a",), seen, THREE, place=PLACE, bridge=4)
    assert [(p.start, p.end, p.labels, p.neighbours, p.briefly) for p in found] == [
        (100, 110, ("a",), (), ()),
        (110, 120, ("c", "a"), ("y",), ()),
        (120, 130, ("c", "a", "b"), ("x", "y"), ()),
        (130, 140, ("a", "b"), ("x",), ()),
    ]


def test_who_has_the_clips_own_label_is_met_but_parts_nothing() -> None:
    [part] = parts((100, 140), ("b", "a"), [(2, 139, 140)], THREE, place=PLACE, bridge=1)
    assert (part.start, part.end, part.labels) == (100, 140, ("a", "b"))
    assert (part.neighbours, part.briefly) == (("x",), ())


def test_what_is_brief_stands_in_order_of_the_labels() -> None:
    seen = [(n, a, b) for n in (1, 2) for a, b in ((100, 103), (108, 111), (117, 120))]
    [part] = parts((100, 120), ("a",), seen, THREE, place=PLACE, bridge=8)
    assert part.labels == ("c", "a", "b")
    assert part.briefly == ("c", "b")


def test_a_share_of_a_box_lies_inside_a_window() -> None:
    window = reach_of(np.array([[0.0, 0.0, 10.0, 10.0]] * 5))
    box = reach_of(
        np.array(
            [
                [5.0, 0.0, 15.0, 10.0],  # half of it
                [5.5, 0.0, 15.5, 10.0],
                [2.0, 2.0, 2.5, 2.5],  # all, and less than a pixel
                [10.0, 0.0, 20.0, 10.0],  # beside it
                [3.0, 3.0, 3.0, 9.0],  # without an area
            ]
        )
    )
    assert inside(0.5)(window, box).tolist() == [True, False, True, False, False]
    assert inside(0.45)(window, box).tolist() == [True, True, True, False, False]
    assert inside(1.0)(window, box).tolist() == [False, False, True, False, False]
