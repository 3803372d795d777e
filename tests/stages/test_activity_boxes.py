"""Boxes of actors and spans of casts, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tinyvirat_build.errors import Work
from tinyvirat_build.records import KEYS
from tinyvirat_build.stages.activity_boxes import Activities, ActorBoxes, casts_of, read_boxes
from tinyvirat_build.stages.tables import each_video

ROWS = [("p", 5), ("p", 6), ("q", 5), ("q", 9), ("r", 2)]


def read(rows: list[tuple[str, int]], boxes: list[list[float]]) -> ActorBoxes:
    table = pd.DataFrame(boxes, columns=["x1", "y1", "x2", "y2"]).assign(
        actor_id=[actor for actor, _ in rows], frame=[frame for _, frame in rows],
        **dict.fromkeys(KEYS, "v"),
    )  # fmt: skip
    ((_, (own,)),) = each_video(table)
    return read_boxes(own)


def held(boxes: ActorBoxes) -> dict[tuple[str, int], list[float]]:
    """What is held of each actor and frame."""
    names = {code: name for name, code in boxes.code_of.items()}
    assert (np.diff(boxes.key) > 0).all()
    assert boxes.frames > boxes.frame.max()
    actors = [names[code] for code in (boxes.key // boxes.frames).tolist()]
    assert (boxes.key % boxes.frames).tolist() == boxes.frame.tolist()
    corners = (boxes.reach * np.array([[-1], [-1], [1], [1]])).T.tolist()
    return dict(zip(zip(actors, boxes.frame.tolist(), strict=True), corners, strict=True))


@pytest.mark.parametrize(
    "order", [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [1, 0, 2, 3, 4], [0, 2, 1, 4, 3]]
)
def test_boxes_come_in_any_order(order: list[int]) -> None:
    boxes = [[float(i), i + 1.0, i + 10.0, i + 20.0] for i in range(5)]
    found = held(read([ROWS[i] for i in order], [boxes[i] for i in order]))
    assert found == dict(zip(ROWS, boxes, strict=True))


@pytest.mark.parametrize("again", [[0], [4], [0, 1, 2, 3, 4]])
def test_an_actor_that_has_two_boxes_on_a_frame_has_their_union(again: list[int]) -> None:
    boxes = [[float(i), i + 1.0, i + 10.0, i + 20.0] for i in range(5)]
    other = [[boxes[i][0] - 3, boxes[i][1] + 2, boxes[i][2] + 4, boxes[i][3] - 1] for i in again]
    for at in (5, 0, 3):
        rows = ROWS[:at] + [ROWS[i] for i in again] + ROWS[at:]
        found = held(read(rows, boxes[:at] + other + boxes[at:]))
        for i, key in enumerate(ROWS):
            x1, y1, x2, y2 = boxes[i]
            assert found[key] == ([x1 - 3, y1, x2 + 4, y2] if i in again else [x1, y1, x2, y2])


def test_rows_of_an_actor_within_a_span() -> None:
    boxes = read(ROWS, [[0.0, 0.0, 1.0, 1.0]] * 5)
    codes = np.array([boxes.code_of[name] for name in ("p", "q", "r")])
    for low, high, counts in (
        (5, 7, [2, 1, 0]), (6, 9, [1, 0, 0]), (6, 10, [1, 1, 0]), (0, 99, [2, 2, 1]),
        (-5, 3, [0, 0, 1]), (0, 1, [0, 0, 0]), (0, 2, [0, 0, 0]), (9, 99, [0, 1, 0]),
    ):  # fmt: skip
        _, count = boxes.rows(codes, np.full(3, low), np.full(3, high))
        assert count.tolist() == counts


def test_the_activities_of_casts_that_play_within_spans() -> None:
    acts = Activities(
        ["a", "b", "c", "d"], ["n"] * 4, [("l",)] * 4, np.array([0, 10, 5, 40]),
        np.array([10, 20, 15, 50]), [("p", "q"), ("q", "p", "q"), ("r",), ("p", "q")],
    )  # fmt: skip
    casts = casts_of(acts)
    assert casts.of.tolist() == [0, 0, 1, 0]
    cast, start, end = np.array([0, 1, 0]), np.array([9, 0, 20]), np.array([11, 5, 40])
    work = Work(7, "activities")
    found = [
        pair
        for at, own in casts.playing(cast, start, end, work)
        for pair in zip(at.tolist(), own.tolist(), strict=True)
    ]
    # Up to frame 9 and from 10 on; the second ends where that span begins; the third meets none.
    assert found == [(0, 0), (0, 1)]
    chosen = acts.take(np.array([False, True, False, True]))
    assert (chosen.ids, chosen.labels) == (["b", "d"], [("l",), ("l",)])
