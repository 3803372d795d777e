"""JHU-AIEM cuboids: sparse float boxes, interpolated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tinyvirat_build.errors import AnnotationError

from .samples import CUBOIDS, boxes_of, closes, read, reasons


def test_a_trajectory_is_interpolated(tmp_path: Path) -> None:
    found = read(tmp_path, {".json": CUBOIDS}, format="cuboids")
    (row,) = found.activities.itertuples()
    assert (row.activity_id, row.name, row.start, row.end) == ("0", "vehicle_starts", 10, 41)
    assert row.actors == ("27811",)
    boxes = boxes_of(found)
    assert len(boxes) == 31
    assert boxes["27811", 28] == (118, 53, 138.5, 93)
    assert found.boxes.keyframe.sum() == 3
    assert not found.issues
    assert closes(found)


def test_bad_entries_are_issues(tmp_path: Path) -> None:
    tree = json.loads(CUBOIDS)
    tree["1"] = {"event_type": "x"}
    tree["2"] = {**tree["0"], "identity": 9, "trajectory": {"10": [1, 2, 3], "11": [1, 2, 3, 4]}}
    found = read(tmp_path, {".json": json.dumps(tree)}, format="cuboids")
    assert found.activities.activity_id.tolist() == ["0", "2"]
    assert reasons(found) == ["malformed", "partial_geometry"]
    assert closes(found)


def test_trajectories_of_one_identity_do_not_mix(tmp_path: Path) -> None:
    """Their keyframes interleave; filled in together, the boxes would jump to and fro."""

    def record(first: int, x: int) -> dict[str, object]:
        frames = range(first, first + 31, 15)
        return {
            "start_frame": first,
            "end_frame": first + 30,
            "event_type": "vehicle_starts",
            "identity": 1,
            "trajectory": {str(f): [f + x, 0, f + x + 20, 30] for f in frames},
        }

    apart = {"0": record(0, 0), "1": record(7, 400)}
    found = read(tmp_path, {".json": json.dumps(apart)}, format="cuboids")
    assert found.activities["actors"].tolist() == [("1@0",), ("1@1",)]
    assert {x - f - 400 * (a == "1@1") for (a, f), (x, *_) in boxes_of(found).items()} == {0}
    together = {"0": record(0, 0), "1": record(7, 0)}
    found = read(tmp_path, {".json": json.dumps(together)}, format="cuboids")
    assert found.activities["actors"].tolist() == [("1",), ("1",)]
    assert [f for _, f in boxes_of(found)] == list(range(38))
    assert not found.issues


@pytest.mark.parametrize("text", ["[]", "3", "{", '{"0": '])
def test_what_is_no_mapping_is_an_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError):
        read(tmp_path, {".json": text}, format="cuboids")
