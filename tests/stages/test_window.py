"""The size of windows, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinyvirat_build.geometry import reach_of
from tinyvirat_build.settings import Crop
from tinyvirat_build.stages.window import snap, widest

# Two clips: of two pieces, 21x30 and 20x33 pixels, and of one, 99x41.
BOXES = reach_of(np.array([[1.0, 10, 22, 40], [3.0, 3, 23, 36], [0.0, 0, 99, 41]]))
AT = np.array([0, 2, 3])


@pytest.mark.parametrize(
    ("rule", "first", "second"),
    [
        ({}, [22.0, 34.0], [100.0, 42.0]),  # outwards to even corners
        ({"margin": 3}, [28.0, 40.0], [106.0, 48.0]),
        ({"grid": "truncate"}, [21.0, 33.0], [99.0, 41.0]),
        ({"grid": "floor"}, [20.0, 32.0], [98.0, 40.0]),
        ({"enlarge": 1.5}, [34.0, 52.0], [100.0, 42.0]),  # one of 100 is not under it
        ({"enlarge": 1.5, "enlarge_under": 101}, [34.0, 52.0], [150.0, 64.0]),
        ({"enlarge": 1.5, "enlarge_under": 34}, [22.0, 34.0], [100.0, 42.0]),
        ({"enlarge": 2.0, "grid": "truncate"}, [42.0, 66.0], [198.0, 82.0]),
        ({"enlarge": 1.1, "grid": "floor"}, [22.0, 36.0], [108.0, 44.0]),
        ({"enlarge": 2.0}, [44.0, 68.0], [100.0, 42.0]),
        ({"enlarge": 1.2}, [28.0, 42.0], [100.0, 42.0]),
    ],
)
def test_what_a_window_has_to_hold(
    rule: dict[str, Any], first: list[float], second: list[float]
) -> None:
    assert widest(BOXES, AT, Crop(**rule)).T.tolist() == [first, second]


def test_no_rounding_of_a_factor_moves_a_side() -> None:
    tens = reach_of(np.array([[0.0, 0.0, 30.0, 30.0]]))
    for grid in ("even", "floor"):
        rule = Crop(enlarge=1.4, grid=grid)  # 30 x 1.4 is a little under 42 in binary
        assert widest(tens, np.array([0, 1]), rule).ravel().tolist() == [42.0, 42.0]


@pytest.mark.parametrize(
    ("extent", "rule", "size"),
    [
        ((20.0, 30.0), {}, [30.0, 30.0]),
        ((20.0, 30.0), {"shape": "box"}, [20.0, 30.0]),
        ((4.0, 6.0), {"min_side": 11}, [12.0, 12.0]),
        ((4.0, 6.0), {"min_side": 11, "grid": "truncate"}, [11.0, 11.0]),
        ((20.0, 30.0), {"sides": (40, 21)}, [40.0, 40.0]),
        ((20.0, 30.0), {"sides": (40, 21), "shape": "box"}, [22.0, 40.0]),
        ((20.0, 30.0), {"sides": (40, 21), "shape": "box", "grid": "truncate"}, [21.0, 40.0]),
        ((22.0, 40.0), {"sides": (40, 22), "shape": "box"}, [22.0, 40.0]),
        ((22.0, 40.0), {"sides": (40, 22), "shape": "box", "snap": "above"}, [40.0, 40.0]),
        ((22.0, 42.0), {"sides": (40, 22), "shape": "box"}, [22.0, 42.0]),
        ((24.0, 20.0), {"avoid_widths": (26, 24), "shape": "box"}, [28.0, 20.0]),
        ((20.0, 24.0), {"avoid_widths": (26, 24), "shape": "box"}, [20.0, 24.0]),
        ((20.0, 24.0), {"avoid_widths": (26, 24)}, [28.0, 28.0]),
    ],
)
def test_a_window_is_snapped(
    extent: tuple[float, float], rule: dict[str, Any], size: list[float]
) -> None:
    assert snap(np.array([extent]).T, Crop(**rule)).ravel().tolist() == size
