"""kwcoco: categories of tracks as activities, several videos, and what belongs to none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tinyvirat_build.errors import AnnotationError
from tinyvirat_build.formats.kwcoco import videos_in
from tinyvirat_build.records import VideoAnnotation

from .samples import KWCOCO, VIDEO, boxes_of, closes, issue, kwcoco, read


def spans(found: VideoAnnotation) -> list[tuple[str, int, int]]:
    rows = found.activities
    return list(zip(rows["name"], rows["start"], rows["end"], strict=True))


def changed(folder: Path, **annotation: Any) -> VideoAnnotation:
    """The first annotation of two, with other keys."""
    tree = json.loads(kwcoco([VIDEO], [(0, 10, 7, 1), (0, 11, 7, 1)]))
    tree["annotations"][0] |= annotation
    found = read(folder, {".json": json.dumps(tree)}, format="kwcoco")
    assert closes(found)
    return found


def test_a_category_is_an_activity_over_its_run_of_frames(tmp_path: Path) -> None:
    found = read(tmp_path, {".json": KWCOCO}, format="kwcoco")
    assert spans(found) == [
        ("walks", 10, 13), ("Talking", 13, 15), ("walks", 14, 15), ("Talking", 15, 16)
    ]  # fmt: skip
    assert found.activities["activity_id"].tolist() == ["7:1", "7:2", "7:3", "b:1"]
    boxes = boxes_of(found)
    assert [f for t, f in boxes if t == "7"] == list(range(10, 15))
    assert boxes["7", 11] == (111, 50, 141.5, 90)
    assert issue(found, "duplicate").record == "actor 7 frame 14"
    told = issue(found, "malformed")
    assert (told.action, told.record, told.detail) == ("dropped", "annotation 7", "no track_id")
    assert (found.records_in, closes(found)) == (5, True)


def test_every_annotation_without_a_track_is_counted(tmp_path: Path) -> None:
    text = kwcoco([VIDEO], [(0, f % 100, None, 1) for f in range(250)])
    found = read(tmp_path, {".json": text}, format="kwcoco")
    assert found.records_in == sum(i.count for i in found.issues) == 250


@pytest.mark.parametrize(
    ("annotation", "detail", "boxes"),
    [
        ({"bbox": [1, 2, 3]}, "bbox is not x, y, width, height", 1),
        ({"bbox": [1, 2, 3, True]}, "bbox is not x, y, width, height", 1),
        ({"category_id": 99}, "no category; the box is kept", 2),
    ],
)
def test_what_lacks_something_is_noted(
    annotation: dict[str, Any], detail: str, boxes: int, tmp_path: Path
) -> None:
    found = changed(tmp_path, **annotation)
    assert (issue(found, "malformed").detail, len(found.boxes)) == (detail, boxes)
    assert spans(found) == [("walks", 11, 12)]


def test_an_image_without_a_frame_is_noted(tmp_path: Path) -> None:
    tree = json.loads(kwcoco([VIDEO], [(0, 10, 7, 1)]))
    tree["images"][0]["frame_index"] = None
    found = read(tmp_path, {".json": json.dumps(tree)}, format="kwcoco")
    assert issue(found, "malformed").detail == "its image has no frame_index"


def test_the_videos_of_a_file_and_what_belongs_to_none(tmp_path: Path) -> None:
    path = tmp_path / "data.kwcoco.json"
    tree = json.loads(KWCOCO)
    tree["annotations"] += [{"image_id": 9999, "track_id": 1}, "?"]
    path.write_text(json.dumps(tree))
    names, (told,) = videos_in(path)
    assert names == {VIDEO, "another"}
    assert (told.stage, told.count) == ("discover", 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{\n]", "json:2: not JSON"),
        ("[]", "no list of videos; give a kwcoco file with videos, images, annotations, categ"),
        ('{"videos": [], "images": {}}', "no list of images"),
        (kwcoco(["a", "b"], []), f"holds 2 videos, none of them {VIDEO}; name the video"),
    ],
)
def test_what_is_not_kwcoco_is_an_error(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=message):
        read(tmp_path, {".json": text}, format="kwcoco")
