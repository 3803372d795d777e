"""DIVE's JSON and VIAME CSV: attributes, classes and groups as activities."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tinyvirat_build.errors import AnnotationError
from tinyvirat_build.formats import ReadOptions
from tinyvirat_build.records import VideoAnnotation
from tinyvirat_build.sources.parts import owner_of

from .samples import DIVE, VIAME, VIDEO, boxes_of, closes, issue, read, reasons

OF_TRACK_0 = [("rides", 10, 20), ("walks", 12, 19), ("Talking", 16, 20)]


def spans(found: VideoAnnotation) -> list[tuple[str, int, int]]:
    rows = found.activities
    return list(zip(rows["name"], rows["start"], rows["end"], strict=True))


def changed(folder: Path, **track: Any) -> VideoAnnotation:
    """The sample with other keys of track 1, and without groups."""
    tree = json.loads(DIVE)
    del tree["groups"]
    tree["tracks"]["1"] |= track
    found = read(folder, {".json": json.dumps(tree)}, format="dive")
    assert closes(found)
    return found


def test_the_json_says_what_is_interpolated(tmp_path: Path) -> None:
    found = read(tmp_path, {".json": DIVE}, format="dive")
    assert spans(found) == [*OF_TRACK_0, ("waits", 3, 5), ("meets", 4, 16)]
    assert found.activities["actors"].tolist() == [("0",)] * 3 + [("1",), ("0", "1")]
    assert found.activities["activity_id"].tolist()[-1] == "group:5"
    assert dict(zip(found.actors.actor_id, found.actors.type, strict=True)) == {
        "0": "person", "1": ""
    }  # fmt: skip
    boxes = boxes_of(found)
    assert [f for t, f in boxes if t == "0"] == [*range(10, 17), 19]
    assert boxes["0", 13] == (113, 50, 140.5, 90)
    assert reasons(found) == ["partial_geometry"]
    assert closes(found)


def test_the_csv_says_the_same(tmp_path: Path) -> None:
    found = read(tmp_path, {".csv": VIAME}, format="dive")
    assert spans(found) == [*OF_TRACK_0, ("waits", 3, 5)]
    assert [f for t, f in boxes_of(found) if t == "0"] == list(range(10, 20))
    assert not found.issues
    assert closes(found)


def test_of_both_the_json_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, {".csv": VIAME, ".json": DIVE}, format="dive")
    assert len(found.activities) == 5
    assert issue(found, "duplicate").detail == f"not read; {VIDEO}.json is"


def test_another_frame_rate_is_told(tmp_path: Path) -> None:
    for fps, told in (("30000/1001", []), ("10", ["frame_rate"])):
        options = ReadOptions(fps=fps)
        assert reasons(read(tmp_path, {".csv": VIAME}, format="dive", options=options)) == told


def test_a_track_that_says_nothing_is_told(tmp_path: Path) -> None:
    found = changed(tmp_path, confidencePairs=[], attributes={"age": "30", "walks": "None"})
    assert [i.detail for i in found.issues if i.record == "actor 1"] == [
        "no box, or no class and no attribute"
    ]


@pytest.mark.parametrize(
    ("track", "action", "detail"),
    [
        ({"features": 3}, "dropped", "no list of features"),
        ({"features": [3, {"frame": 3, "bounds": [1, 2, 3, 4]}]}, "noted", "a feature: no mapping"),
        ({"features": [{"frame": "3", "bounds": [1, 2, 3, 4]}]}, "noted",
         "a feature: frame is not a whole number"),
        ({"features": [{"frame": 3, "bounds": [1, 2, 3, True]}]}, "noted",
         "a feature: bounds are not x1, y1, x2, y2"),
    ],
)  # fmt: skip
def test_bad_tracks_and_features_are_issues(
    track: dict[str, Any], action: str, detail: str, tmp_path: Path
) -> None:
    found = changed(tmp_path, **track)
    assert (action, detail) in [(i.action, i.detail) for i in found.issues]
    assert spans(found)[:3] == OF_TRACK_0


def test_a_bad_group_is_an_issue_and_a_record(tmp_path: Path) -> None:
    tree = json.loads(DIVE)
    tree["groups"] = {"5": {"members": {}}, "6": {"members": {"0": {"ranges": [["a"]]}}}}
    found = read(tmp_path, {".json": json.dumps(tree)}, format="dive")
    assert [(i.record, i.detail) for i in found.issues if i.action == "dropped"] == [
        ("group 5", "no members"),
        ("group 6", "no class, or no ranges of frames"),
    ]
    assert (found.records_in, closes(found)) == (6, True)


def test_bad_rows_are_issues_with_their_lines(tmp_path: Path) -> None:
    text = VIAME + '2,x,five,1,2,3,4\n2,x\n2,"x,5,1,2,3,4\n,x,5,1,2,3,4\n'
    found = read(tmp_path, {".csv": text}, format="dive")
    assert [(i.line, i.detail) for i in found.issues] == [
        (9, "frame is not a whole number"),
        (10, "2 cells, not the seven of a box"),
        (11, "quotes that do not close, or stand inside a cell"),
        (12, "no id of the track"),
    ]
    assert len(found.activities) == 4


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({".txt": ""}, "no JSON or CSV among"),
        ({".json": '{"annotations": []}'}, "json: no mapping of tracks; give DIVE's JSON"),
        ({".json": "{\n]"}, r"json:2: not JSON"),
    ],
)
def test_what_is_not_dives_is_an_error(files: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=message):
        read(tmp_path, files, format="dive")


def test_what_lies_beside_annotations_is_none() -> None:
    assert owner_of("meta.json", "dive") is owner_of("config.json", "dive") is None
    assert owner_of("cam1.annotations.dive.json", "dive") == "cam1"
