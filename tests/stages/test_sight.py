"""Parts of a clip by the labels seen in it, at their borders."""

from __future__ import annotations

import numpy as np
import pytest

from tinyvirat_build.stages.activity_boxes import Activities
from tinyvirat_build.stages.sight import parts

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
