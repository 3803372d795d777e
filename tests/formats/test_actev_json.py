"""ActEV JSON: three dialects, sparse keyframes, collapsed spans, objects that share an id."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from tinyvirat_build.errors import AnnotationError
from tinyvirat_build.formats import Dialect, ReadOptions

from .samples import ACTEV, VIDEO, boxes_of, closes, issue, read, reasons

FILE = f"{VIDEO}.avi"


def document(*activities: dict[str, Any]) -> str:
    return json.dumps({"filesProcessed": [FILE], "activities": list(activities)})


def activity(
    span: dict[str, int], *objects: dict[str, Any], name: str = "Talking", number: int = 1
) -> dict[str, Any]:
    return {
        "activity": name,
        "activityID": number,
        "localization": {FILE: span},
        "objects": list(objects),
    }


def person(signal: dict[str, Any], number: int | str = 3, kind: str = "Person") -> dict[str, Any]:
    return {"objectType": kind, "objectID": number, "localization": {FILE: signal}}


def box(x: int, y: int = 2, w: int = 3, h: int = 4) -> dict[str, Any]:
    return {"boundingBox": {"x": x, "y": y, "w": w, "h": h}}


@pytest.mark.parametrize("dialect", ACTEV)
def test_the_dialects_say_the_same(dialect: Dialect, tmp_path: Path) -> None:
    for told in (dialect, ""):
        found = read(tmp_path, {".json": ACTEV[dialect]}, format="actev-json", dialect=told)
        (row,) = found.activities.itertuples()
        assert (row.name, row.start, row.end, row.actors) == ("Talking", 10, 20, ("3",))
        assert boxes_of(found) == {("3", 10 + i): (100 + i, 50, 120 + i, 90) for i in range(10)}
        assert found.boxes.keyframe.all()
        assert not found.issues
        assert closes(found)
    assert found.actors.type.tolist() == ["" if dialect == "exclusive" else "person"]


@pytest.mark.parametrize("dialect", ACTEV)
def test_a_dialect_that_the_boxes_contradict_is_reported(dialect: Dialect, tmp_path: Path) -> None:
    for told in set(ACTEV) - {dialect}:
        found = read(tmp_path, {".json": ACTEV[dialect]}, format="actev-json", dialect=told)
        assert "dialect" in reasons(found)


def test_the_off_frame_may_count(tmp_path: Path) -> None:
    """UMD's clips end with the frame marked 0; its box is left out, and the one before is held."""
    text, options = ACTEV["exclusive"], ReadOptions(dialect="exclusive", last="off_frame")
    found = read(tmp_path, {".json": text}, format="actev-json", options=options)
    (row,) = found.activities.itertuples()
    assert (row.start, row.end) == (10, 21)
    boxes = boxes_of(found)
    assert sorted(t for _, t in boxes) == list(range(10, 21))
    assert boxes["3", 20] == boxes["3", 19]
    assert found.boxes.keyframe.tolist() == [True] * 10 + [False]
    held = issue(found, "held_box")
    assert (held.action, held.record, held.count) == ("held", "activity 1", 1)
    assert closes(found)
    for dialect in ("nist", "inclusive"):  # their own bounds stand
        plain = read(tmp_path, {".json": ACTEV[dialect]}, format="actev-json", dialect=dialect)
        told = read(
            tmp_path, {".json": ACTEV[dialect]}, format="actev-json",
            options=ReadOptions(dialect=dialect, last="off_frame"),
        )  # fmt: skip
        assert boxes_of(plain) == boxes_of(told)
        assert plain.activities.end.tolist() == told.activities.end.tolist()


def test_an_off_frame_that_counts_lengthens_no_track_that_ended_before(tmp_path: Path) -> None:
    signal = {str(t): box(t) for t in range(10, 15)}
    text = document(activity({"10": 1, "20": 0}, person(signal)), activity({"7": 0}, number=2))
    options = ReadOptions(dialect="exclusive", last="off_frame")
    found = read(tmp_path, {".json": text}, format="actev-json", options=options)
    assert found.activities.end.tolist() == [21]
    assert sorted(t for _, t in boxes_of(found)) == list(range(10, 15))
    assert "held_box" not in reasons(found)


def test_sparse_keyframes_hold_until_the_next(tmp_path: Path) -> None:
    """On from 1 to 1528, 1-based, exclusive."""
    signal = {"7": box(1), "10": box(5), "12": {}, "20": box(9), "1528": {}}
    text = document(activity({"1": 1, "1528": 0}, person(signal)))
    found = read(tmp_path, {".json": text}, format="actev-json", dialect="nist")
    (row,) = found.activities.itertuples()
    assert (row.start, row.end) == (0, 1527)
    boxes = boxes_of(found)
    assert sorted(f for _, f in boxes) == [*range(6, 11), *range(19, 1527)]
    assert boxes["3", 8] == (1, 2, 4, 6)
    assert boxes["3", 9] == (5, 2, 8, 6)
    assert found.boxes.keyframe.sum() == 3
    assert issue(found, "partial_geometry").action == "noted"


def test_a_file_index_tells_frames_from_one(tmp_path: Path) -> None:
    index = {FILE: {"framerate": 30.0, "selected": {"1": 1, "9009": 0}}}
    files = {
        ".activities.json": document(activity({"5": 1, "9": 0}, person({"5": box(1)}))),
        ".file-index.json": json.dumps(index),
        ".activity-index.json": json.dumps({"Talking": {}}),
    }
    found = read(tmp_path, files, format="actev-json")
    assert found.activities.start.tolist() == [4]
    assert sorted(f for _, f in boxes_of(found)) == [4, 5, 6, 7]


def test_a_collapsed_span_is_one_frame(tmp_path: Path) -> None:
    for dialect, start in (("inclusive", 907), ("exclusive", 907), ("nist", 906)):
        text = document(activity({"907": 0}, person({"907": {**box(-4), "presenceConf": 1.0}})))
        found = read(tmp_path, {".json": text}, format="actev-json", dialect=dialect)  # type: ignore[arg-type]
        (row,) = found.activities.itertuples()
        assert (row.start, row.end) == (start, start + 1)
        assert boxes_of(found) == {("3", start): (-4, 2, -1, 6)}


def test_objects_of_one_id_are_one_actor_unless_their_boxes_differ(tmp_path: Path) -> None:
    same = person({"5": box(1), "6": box(2)})
    text = document(
        activity({"5": 1, "6": 0}, same),
        activity({"6": 1, "7": 0}, person({"6": box(2), "7": box(3)}), number=2),
    )
    found = read(tmp_path, {".json": text}, format="actev-json", dialect="inclusive")
    assert found.activities.actors.tolist() == [("3",), ("3",)]
    assert len(found.boxes) == 3
    assert not found.issues
    text = document(
        activity({"5": 1, "6": 0}, same),
        activity({"6": 1, "7": 0}, person({"6": box(9), "7": box(3)}), number=2),
    )
    found = read(tmp_path, {".json": text}, format="actev-json", dialect="inclusive")
    assert found.activities.actors.tolist() == [("3@1",), ("3@2",)]
    assert len(found.boxes) == 4
    assert reasons(found) == ["duplicate"]
    assert closes(found)


def test_other_videos_of_a_file_are_left_to_themselves(tmp_path: Path) -> None:
    other = activity({"1": 1, "2": 0}, number=9)
    other["localization"] = {"other.avi": {"1": 1, "2": 0}}
    text = document(other, activity({"5": 1, "6": 0}, person({"5": box(1), "6": box(1)})))
    found = read(tmp_path, {".json": text}, format="actev-json", dialect="inclusive")
    assert found.records_in == 1
    assert found.activities.activity_id.tolist() == ["1"]


def test_bad_records_are_issues(tmp_path: Path) -> None:
    bad = {"boundingBox": {"x": 1}}
    good = activity({"5": 1, "7": 0}, person({"5": box(1), "6": bad, "7": box(2)}))
    empty = activity({"5": 1, "6": 0}, {"objectType": "Person", "objectID": 4, "localization": {}})
    nameless = activity({"5": 1, "6": 0}, number=3)
    del nameless["activity"]
    text = document(good, {**empty, "activityID": 2}, nameless)
    found = read(tmp_path, {".json": text}, format="actev-json", dialect="inclusive")
    assert found.records_in == 3
    assert found.activities.activity_id.tolist() == ["1"]
    assert reasons(found) == ["malformed", "no_geometry"]
    assert closes(found)


def test_a_signal_without_end_is_refused(tmp_path: Path) -> None:
    objects = [person({"1": box(1), "1900000": {}}, number=i) for i in range(9)]
    text = document(activity({"1": 1, "1900000": 0}, *objects))
    with pytest.raises(AnnotationError, match="more than 10,000,000 boxes, held"):
        read(tmp_path, {".json": text}, format="actev-json", dialect="nist")


def of(name: str, record: dict[str, Any]) -> dict[str, Any]:
    """The record localized in another file."""
    return {**record, "localization": {name: record["localization"][FILE]}}


def test_each_video_has_its_own_signal(tmp_path: Path) -> None:
    """NIST lists several files as processed; an activity may be localized in each of them."""
    a = activity({"5": 1, "9": 0}, person({"5": box(1), "9": {}}))
    both = activity({"5": 1, "9": 0}, number=2)
    both["localization"] = {"other.mp4": {"5": 1, "9": 0}, FILE: {"100": 1, "104": 0}}
    signals = {"other.mp4": {"5": box(1), "9": {}}, FILE: {"100": box(500), "104": {}}}
    both["objects"] = [
        {**person({}), "localization": signals},
        of("other.mp4", person({"6": box(7), "9": {}}, number=4)),
    ]
    text = json.dumps(
        {"filesProcessed": ["other.mp4", FILE], "activities": [of("other.mp4", a), both]}
    )
    found = read(tmp_path, {".json": text}, format="actev-json", dialect="nist")
    assert found.activities[["activity_id", "start", "end"]].to_numpy().tolist() == [["2", 99, 103]]
    assert boxes_of(found) == {("3", f): (500, 2, 503, 6) for f in range(99, 103)}
    assert (found.records_in, found.issues) == (1, ())
    unnamed = text.replace(FILE, "third.avi")
    with pytest.raises(AnnotationError, match=r"holds 2 videos, other\.mp4, third\.avi"):
        read(tmp_path, {".json": unnamed}, format="actev-json", dialect="nist")


def test_of_two_files_one_is_read(tmp_path: Path) -> None:
    text = document(activity({"5": 1, "6": 0}, person({"5": box(1), "6": {}})))
    found = read(tmp_path, {".activities.json": text, ".json": text}, format="actev-json")
    assert found.records_in == len(found.activities) == 1
    assert issue(found, "duplicate").file == f"{VIDEO}.json"


@pytest.mark.parametrize(
    ("span", "remark"),
    [
        ({"5": 1, "9": 0, "20": 1, "30": 0}, "2 timespans"),
        ({"5": 1}, "not on at one frame"),
        ({"5": 0, "30": 1}, "not on at one frame"),
        ({"5": 0}, ""),
        ({"5": 1, "30": 0}, ""),
    ],
)
def test_an_odd_signal_is_told(span: dict[str, int], remark: str, tmp_path: Path) -> None:
    boxes = {str(f): box(1) for f in range(5, 31)}
    text = document(activity(span, person(boxes)))
    found = read(tmp_path, {".json": text}, format="actev-json", dialect="inclusive")
    assert len(found.activities) == 1
    told = [i.detail for i in found.issues if i.reason == "malformed"]
    assert [d.startswith(remark) for d in told] == [True] * bool(remark)


def test_a_dense_file_holds_no_box_over_a_hole(tmp_path: Path) -> None:
    boxes = {"5": box(1), "36": box(2), "68": box(3), "69": box(4)}
    text = document(activity({"5": 1, "70": 0}, person(boxes)))
    found = read(tmp_path, {".json": text}, format="actev-json", dialect="exclusive")
    assert sorted(f for _, f in boxes_of(found)) == [*range(5, 37), 68, 69]
    assert (issue(found, "gap").count, issue(found, "gap").action) == (1, "noted")


def test_a_million_bad_records_are_few_issues(tmp_path: Path) -> None:
    good = json.dumps(activity({"5": 1, "6": 0}, person({"5": box(1), "6": {}})))
    text = f'{{"activities": [{good}{",[]" * 200_000}]}}'
    found = read(tmp_path, {".json": text}, format="actev-json")
    assert found.records_in == 200_001
    assert closes(found)
    assert len(found.issues) == 100
    assert found.issues[-1].record == "activity number 100 and others"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"activities": {}}', "[" * 100_000])
def test_what_is_not_actev_is_an_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"\.json"):
        read(tmp_path, {".json": text}, format="actev-json")


def test_held_boxes_take_a_hundred_bytes_each(tmp_path: Path) -> None:
    held, last = 20, 50_001
    signal = {"1": box(1), str(last): {}}
    span = {"1": 1, str(last): 0}
    acts = (activity(span, person(signal, number=n), number=n) for n in range(held))
    text = document(*acts)
    tracemalloc.start()
    try:
        found = read(tmp_path, {".json": text}, format="actev-json", dialect="nist")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found.boxes) == held * (last - 1)
    assert peak < 100 * len(found.boxes)
