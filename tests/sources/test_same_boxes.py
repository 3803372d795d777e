"""Actors with the same boxes on all common frames are one."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from tinyvirat_build.records import VideoAnnotation
from tinyvirat_build.sources.same_boxes import join_same_boxes

Line = dict[int, int]  # frame -> which box


def annotation(lines: Sequence[Line], types: Sequence[str] = ()) -> VideoAnnotation:
    """An activity an actor, named by its number."""
    rows = [(f"p{i}", t, b) for i, line in enumerate(lines) for t, b in sorted(line.items())]
    boxes = pd.DataFrame(
        [
            {"actor_id": a, "frame": t, "x1": float(b), "y1": 0.0, "x2": b + 5.0, "y2": 9.0,
             "keyframe": True}
            for a, t, b in rows
        ]
    ).astype({"actor_id": "category"})  # fmt: skip
    names = [f"p{i}" for i in range(len(lines))]
    activities = pd.DataFrame(
        {
            "activity_id": [name[1:] for name in names],
            "name": "acts",
            "start": [min(line) for line in lines],
            "end": [max(line) + 1 for line in lines],
            "actors": pd.Series([(name,) for name in names], dtype=object),
            "status": "",
            "file_order": range(len(lines)),
        }
    )
    actors = pd.DataFrame({"actor_id": names, "type": list(types) or [""] * len(lines)})
    return VideoAnnotation("v", activities, boxes, actors, records_in=len(lines))


def cast(found: VideoAnnotation) -> list[str]:
    return [actor for (actor,) in found.activities["actors"]]


def boxes_of(found: VideoAnnotation) -> dict[tuple[str, int], int]:
    columns = ["actor_id", "frame", "x1"]
    return {(a, t): x for a, t, x in found.boxes[columns].itertuples(index=False, name=None)}


def test_a_vehicle_that_stops_and_then_turns_is_one() -> None:
    stop, turn = {t: t for t in range(10)}, {t: t for t in range(6, 20)}
    elsewhere, later = dict.fromkeys(range(10), 90), {t: t for t in range(30, 40)}
    found = join_same_boxes(annotation([stop, turn, elsewhere, later]))
    assert cast(found) == ["p0", "p0", "p2", "p3"]
    assert boxes_of(found) == {("p0", t): t for t in range(20)} | {
        ("p2", t): 90 for t in range(10)
    } | {("p3", t): t for t in range(30, 40)}
    assert found.actors["actor_id"].tolist() == ["p0", "p2", "p3"]
    assert [(i.reason, i.action, i.record) for i in found.issues] == [
        ("duplicate", "noted", "actor p1")
    ]


def test_one_other_box_on_a_common_frame_parts_them() -> None:
    one, other = dict.fromkeys(range(9), 5), dict.fromkeys(range(9), 5) | {4: 6}
    given = annotation([one, other])
    assert join_same_boxes(given) is given


def test_types_that_differ_part_them_and_none_is_no_type() -> None:
    line = dict.fromkeys(range(9), 5)
    assert cast(join_same_boxes(annotation([line, line], ["person", "vehicle"]))) == ["p0", "p1"]
    found = join_same_boxes(annotation([line, line], ["", "vehicle"]))
    assert cast(found) == ["p0", "p0"]
    assert found.actors["type"].tolist() == ["vehicle"]


lines = st.lists(
    st.dictionaries(st.integers(0, 5), st.integers(0, 1), min_size=1), min_size=1, max_size=5
)


@given(lines)
def test_joined_actors_agree_and_no_two_that_agree_are_left(given: list[Line]) -> None:
    found = join_same_boxes(annotation(given))
    boxes = boxes_of(found)
    members: dict[str, list[Line]] = {}
    for actor, line in zip(cast(found), given, strict=True):
        assert all(boxes[actor, t] == b for t, b in line.items())
        members.setdefault(actor, []).append(line)
    joined = [{t: b for line in own for t, b in line.items()} for own in members.values()]
    assert len(boxes) == sum(map(len, joined))
    for i, one in enumerate(joined):
        for other in joined[i + 1 :]:
            common = one.keys() & other.keys()
            assert not common or any(one[t] != other[t] for t in common)
