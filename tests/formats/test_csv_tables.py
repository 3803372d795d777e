"""A user's own pair of tables: columns, clocks, and rows that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinyvirat_build.errors import AnnotationError
from tinyvirat_build.formats import ReadOptions
from tinyvirat_build.formats.csv_tables import videos_in
from tinyvirat_build.records import VideoAnnotation

from .samples import CSV, VIDEO, boxes_of, closes, issue, read, reasons

HEAD = "video,activity,name,start,end,tracks\n"


def tables(
    folder: Path, boxes: str, activities: str, options: ReadOptions | None = None
) -> VideoAnnotation:
    files = {".boxes.csv": boxes, ".activities.csv": HEAD + activities}
    return read(folder, files, format="csv", options=options)


def test_boxes_between_those_given_are_interpolated(tmp_path: Path) -> None:
    found = read(tmp_path, CSV, format="csv")
    first, second = found.activities.itertuples()
    assert (first.activity_id, first.start, first.end) == ("a1", 10, 20)
    assert first.actors == ("1", "two")
    assert (second.name, second.start, second.end, second.actors) == ("walks", 10, 15, ("two",))
    boxes = boxes_of(found)
    assert len(boxes) == 15
    assert boxes["two", 12] == (1480, 24, 1496.5, 83)
    assert found.boxes.keyframe.sum() == 5
    assert not found.issues
    assert closes(found)


@pytest.mark.parametrize(
    ("first_frame", "inclusive", "span"),
    [(0, False, (10, 20)), (1, False, (9, 19)), (0, True, (10, 21)), (1, True, (9, 20))],
)
def test_the_corpus_says_what_numbers_mean(
    first_frame: int, inclusive: bool, span: tuple[int, int], tmp_path: Path
) -> None:
    options = ReadOptions(first_frame=first_frame, inclusive=inclusive)
    found = read(tmp_path, CSV, format="csv", options=options)
    row = next(found.activities.itertuples())
    assert (row.start, row.end) == span
    assert found.boxes.frame.min() == 10 - first_frame


def test_seconds_become_the_nearest_frame(tmp_path: Path) -> None:
    boxes = "seconds,track,video,x1,y1,x2,y2,note\n" + "".join(
        f"{seconds},1,{VIDEO},0,0,9,9,\n" for seconds in ("0", "0.033", "0.0668", "1.0e-1")
    )
    found = tables(tmp_path, boxes, f"{VIDEO},a,walks,0,0.1335,1\n", ReadOptions(fps="30000/1001"))
    (row,) = found.activities.itertuples()
    assert (row.start, row.end) == (0, 4)
    assert found.boxes.frame.tolist() == [0, 1, 2, 3]
    assert not found.issues


def test_rows_of_other_videos_are_not_read(tmp_path: Path) -> None:
    boxes = f"video,track,frame,x1,y1,x2,y2\n{VIDEO},1,0,0,0,9,9\n{VIDEO}b,1,1,0,0,9,9\n"
    found = tables(tmp_path, boxes, f"{VIDEO},a,walks,0,1,1\nx,{VIDEO},walks,0,9,1\n")
    assert len(found.boxes) == len(found.activities) == found.records_in == 1
    names, issues = videos_in(tmp_path / f"{VIDEO}.boxes.csv")
    assert names == {VIDEO, f"{VIDEO}b"}
    assert not issues


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        (f"{VIDEO},a,walks,0\n", "4 cells in a table of 6 columns"),
        (f"{VIDEO},a,walks,zero,9,1\n", "start is not a whole number"),
        (f"{VIDEO},a,walks,0,9.5,1\n", "end is not a whole number"),
        (f"{VIDEO},,walks,0,9,1\n", "no activity or no name"),
        (f'{VIDEO},a,"walks,0,9,1\n', "quotes that do not close, or stand inside a cell"),
        (f"{VIDEO},a,walks,0,9,{'1' * 201}\n", "no track"),
    ],
)
def test_a_bad_row_is_an_issue_and_a_record(row: str, detail: str, tmp_path: Path) -> None:
    found = tables(tmp_path, CSV[".boxes.csv"], row + f"{VIDEO},b,walks,10,15,two\n")
    told = issue(found, "malformed")
    assert (told.action, told.file, told.line) == ("dropped", f"{VIDEO}.activities.csv", 2)
    assert told.detail == detail
    assert found.activities.activity_id.tolist() == ["b"]
    assert (found.records_in, closes(found)) == (2, True)


def test_a_bad_box_is_noted_and_the_others_are_read(tmp_path: Path) -> None:
    boxes = CSV[".boxes.csv"] + f"{VIDEO},1,15,0,0,nan,9\n{VIDEO},,15,0,0,9,9\n"
    found = tables(tmp_path, boxes, f"{VIDEO},a,walks,10,15,two\n")
    told = [(i.line, i.detail) for i in found.issues]
    assert told == [(7, "x2 is not a number"), (8, "no track")]
    assert len(found.boxes) == 15


def test_activities_without_boxes_or_tracks_are_told(tmp_path: Path) -> None:
    only = {".activities.csv": CSV[".activities.csv"]}
    found = read(tmp_path, only, format="csv")
    assert reasons(found) == ["no_geometry"]
    assert {i.detail for i in found.issues} == {"boxes.csv is missing"}
    found = tables(tmp_path, CSV[".boxes.csv"], f"{VIDEO},a,walks,10,15,\n")
    assert issue(found, "no_geometry").detail == "no actor is named"
    assert closes(found)


def test_rows_that_name_no_video_are_told_where_videos_are_sought(tmp_path: Path) -> None:
    path = tmp_path / "activities.csv"
    path.write_text(HEAD + f'{VIDEO},a,b,1,2,3\n\n,a,b,1,2,3\n"{VIDEO},a,b\n"x,y\n')
    names, issues = videos_in(path)
    assert names == {VIDEO}
    assert [(i.stage, i.line, i.action) for i in issues] == [
        ("discover", 4, "quarantined"), ("discover", 6, "quarantined")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({".boxes.csv": CSV[".boxes.csv"]}, "no activities.csv among"),
        ({".activities.csv": "video;activity\n"}, r"activities\.csv:1: no column 'video'"),
        ({**CSV, ".boxes.csv": ""}, r"boxes\.csv:1: no column 'video'"),
        (
            {**CSV, ".boxes.csv": "video,track,x1,y1,x2,y2\n"},
            r"boxes\.csv:1: no column 'frame' or 'seconds'; add",
        ),
    ],
)
def test_what_is_no_table_is_an_error(files: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=message):
        read(tmp_path, files, format="csv")
