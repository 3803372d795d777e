"""VIRAT Release 2.0 text with all its quirks."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyvirat_build.errors import AnnotationError
from tinyvirat_build.records import VideoAnnotation

from .samples import VIDEO, VIRAT_TEXT, boxes_of, closes, issue, read

EVENTS, OBJECTS, MAPPING = VIRAT_TEXT


def read_text(folder: Path, **files: str) -> VideoAnnotation:
    named = {f".viratdata.{name}.txt": text for name, text in files.items()}
    return read(folder, named, format="virat-text")


def test_an_event_is_followed_by_its_mapped_objects(tmp_path: Path) -> None:
    found = read(tmp_path, VIRAT_TEXT, format="virat-text")
    (row,) = found.activities.itertuples()
    assert (row.activity_id, row.name, row.start, row.end) == ("4", "9", 263, 273)
    assert row.actors == ("1",)
    assert len(found.boxes) == 20
    assert boxes_of(found)["1", 263] == (974, 218, 1002, 279)
    assert found.actors.type.tolist() == ["person", "car"]
    assert not found.issues
    assert closes(found)


def test_line_endings_and_final_newline_do_not_matter(tmp_path: Path) -> None:
    bare = {name: text.replace("\n", "\r\n").rstrip() for name, text in VIRAT_TEXT.items()}
    a, b = (read(tmp_path, files, format="virat-text") for files in (VIRAT_TEXT, bare))
    assert boxes_of(a) == boxes_of(b)
    assert a.issues == b.issues


def test_an_event_without_objects_is_followed_by_its_own_boxes(tmp_path: Path) -> None:
    for files in (
        {EVENTS: VIRAT_TEXT[EVENTS]},
        {**VIRAT_TEXT, MAPPING: "4 9 10 263 272 0  0 0 0\n"},
        {**VIRAT_TEXT, MAPPING: "4 9 10 263 272 1  0 0 1\n"},
    ):
        found = read(tmp_path, files, format="virat-text")
        assert found.activities.actors[0][-1] == "event:4"
        assert boxes_of(found)["event:4", 270] == (1234, 213, 1279, 316)
        assert closes(found)


def test_an_event_of_the_mapping_alone_has_its_span_from_there(tmp_path: Path) -> None:
    found = read(tmp_path, {k: VIRAT_TEXT[k] for k in (OBJECTS, MAPPING)}, format="virat-text")
    (row,) = found.activities.itertuples()
    assert (row.start, row.end, row.actors) == (263, 273, ("1",))


def test_objects_alone_are_a_clip_without_activities(tmp_path: Path) -> None:
    found = read(tmp_path, {OBJECTS: VIRAT_TEXT[OBJECTS]}, format="virat-text")
    assert found.records_in == 0
    assert len(found.boxes) == 20


def test_glued_triples_are_read_until_the_last_eight(tmp_path: Path) -> None:
    """Frames without a box stand as bare triples before the next full row."""
    glued = " ".join(f"7 82 {f}" for f in range(74, 82)) + " 8 256 0 1115 444 72 59 2\n"
    found = read_text(tmp_path, objects="7 82 73 10 10 5 5 1\n" + glued)
    assert boxes_of(found) == {("7", 73): (10, 10, 15, 15), ("8", 0): (1115, 444, 1187, 503)}
    assert (issue(found, "malformed").line, issue(found, "malformed").count) == (2, 8)
    found = read_text(tmp_path, objects="7 82 73 10 10 5 5 1\n7 82 74 7 82 75\n")
    assert len(found.boxes) == 1


@pytest.mark.parametrize(
    "triples",
    [
        "7 82 74 8 82 75",  # another object
        "7 82 74 7 83 75",  # another duration
        "7 82 75 7 82 74",  # backward
        "7 82 74 7 82 x",
    ],
)
def test_glued_numbers_that_are_no_track_are_malformed(triples: str, tmp_path: Path) -> None:
    found = read_text(tmp_path, objects=f"{triples} 8 256 0 1115 444 72 59 2\n0 9 1 1 1 4 4 1\n")
    assert list(boxes_of(found)) == [("0", 1)]
    assert issue(found, "malformed").line == 1


def event(number: int, kind: int, start: int, last: int) -> str:
    return "".join(
        f"{number} {kind} {last - start + 1} {start} {last} {f} 9 9 9 9\n"
        for f in range(start, last + 1)
    )


def test_an_event_id_with_another_type_or_span_is_another_event(tmp_path: Path) -> None:
    found = read_text(
        tmp_path,
        events=event(4, 9, 10, 20) + event(4, 10, 50, 60),
        objects="".join(f"{o} 99 {f} 1 1 4 4 1\n" for o in (0, 1) for f in range(99)),
        mapping="4 9 11 10 20 1  1 0\n4 10 11 50 60 1  0 1\n",
    )
    rows = found.activities[["activity_id", "name", "start", "end"]].to_numpy().tolist()
    assert rows == [["4", "9", 10, 21], ["4#2", "10", 50, 61]]
    assert found.activities["actors"].tolist() == [("0",), ("1",)]
    assert (found.records_in, issue(found, "duplicate").action) == (2, "noted")


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        ("4 10 11 10 20 1  1", "type or span is not that"),
        ("4 9 11 30 60 1  1", "type or span is not that"),
        ("4 9 11 10 20 3  1 0 0", "1 objects flagged, 3 counted"),
    ],
)
def test_a_mapping_that_contradicts_the_events_is_told(
    line: str, detail: str, tmp_path: Path
) -> None:
    objects = "".join(f"0 99 {f} 1 1 4 4 1\n" for f in range(99))
    found = read_text(tmp_path, events=event(4, 9, 10, 20), objects=objects, mapping=line + "\n")
    (row,) = found.activities.itertuples()
    assert (row.name, row.start, row.end, row.actors) == ("9", 10, 21, ("0",))
    told = issue(found, "malformed")
    assert (told.line, told.file) == (1, VIDEO + MAPPING)
    assert told.detail.startswith(detail)


def test_gaps_are_interpolated_within_a_track(tmp_path: Path) -> None:
    rows = "".join(f"0 9 {f} {10 + f} 20 4 4 1\n" for f in (0, 1, 4, 40))
    found = read_text(tmp_path, objects=rows)
    assert boxes_of(found)["0", 3] == (13, 20, 17, 24)
    assert len(found.boxes) == 6
    assert issue(found, "gap").line == 3


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("objects", "1 2 3"),
        ("events", "1 2 3 4"),
        ("mapping", "1 2"),
        ("objects", "a b c d e f g h"),
    ],
)
def test_a_bad_line_is_an_issue_with_its_number(kind: str, line: str, tmp_path: Path) -> None:
    name = f".viratdata.{kind}.txt"
    files = {**VIRAT_TEXT, name: VIRAT_TEXT[name] + line + "\n"}
    found = read(tmp_path, files, format="virat-text")
    bad = issue(found, "malformed")
    assert (bad.file, bad.line) == (VIDEO + name, files[name].count("\n"))
    assert closes(found)


def test_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="no VIRAT text file"):
        read(tmp_path, {".txt": ""}, format="virat-text")


rows = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(-5, 50), st.integers(0, 5)),
    unique_by=lambda r: r[:2],
    max_size=20,
)


@settings(max_examples=40, deadline=None)
@given(rows=rows)
def test_every_row_is_a_box(
    rows: list[tuple[int, int, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = "".join(f"{o} 9 {f} {x} 7 {w} 6 1\n" for o, f, x, w in rows)
    found = boxes_of(read_text(tmp_path_factory.mktemp("v"), objects=text))
    written = {(str(o), f): (x, 7, x + w, 13) for o, f, x, w in rows}
    assert {k: v for k, v in found.items() if k in written} == written
    for oid in {o for o, *_ in rows}:
        frames = [f for o, f, *_ in rows if o == oid]
        steps = sorted(f for o, f in found if o == str(oid))
        assert steps[0] == min(frames)
        assert steps[-1] == max(frames)
