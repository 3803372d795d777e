"""KPF: the four wire styles, their quirks, and the scan against libyaml."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinyvirat_build.errors import AnnotationError
from tinyvirat_build.formats import ReadOptions, kpf
from tinyvirat_build.records import VideoAnnotation

from . import oracle
from .samples import (
    KITWARE,
    KPF,
    VIDEO,
    boxes_of,
    closes,
    dropped,
    issue,
    read,
    reasons,
)

NO_SCAN = {
    "scan_geometry": lambda text: None,
    "scan_activities": lambda text: None,
    "scan_types": lambda text: None,
}


def slowly(folder: Path, files: dict[str, str], **kwargs: object) -> VideoAnnotation:
    """The same reader with the scan switched off."""
    with mock.patch.multiple(kpf, **NO_SCAN):
        return read(folder, files, **kwargs)  # type: ignore[arg-type]


def scanned(folder: Path, files: dict[str, str]) -> VideoAnnotation:
    """The same reader where falling back is a failure."""
    with mock.patch.object(kpf, "yaml_items", side_effect=AssertionError("fell back")):
        return read(folder, files)


def assert_same(a: VideoAnnotation, b: VideoAnnotation) -> None:
    for table in ("activities", "boxes", "actors"):
        pd.testing.assert_frame_equal(getattr(a, table), getattr(b, table))
    assert a.issues == b.issues
    assert a.records_in == b.records_in


@pytest.mark.parametrize("style", KPF)
def test_every_style_is_scanned_and_gives_the_same(style: str, tmp_path: Path) -> None:
    files = KPF[style]
    found = scanned(tmp_path, files)
    assert_same(found, slowly(tmp_path, files))
    (activity,) = found.activities.itertuples()
    assert activity.activity_id == "7530099373125674515"
    assert activity.name == "person_talks_to_person"
    assert (activity.start, activity.end) == (10, 20)
    assert activity.actors == ("6773005562166421415", "12")
    assert len(found.boxes) == 15
    assert boxes_of(found)["6773005562166421415", 12] == (1470, 24, 1496, 83)
    assert found.actors.type.tolist() == ["vehicle", "person"]
    assert found.boxes.keyframe.sum() == (0 if style == "virat" else 6)
    assert not found.issues
    assert closes(found)


@pytest.mark.parametrize("style", KPF)
def test_a_file_without_final_newline_and_with_crlf_is_the_same(style: str, tmp_path: Path) -> None:
    expected = read(tmp_path, KPF[style])
    bare = {name: text.rstrip("\n") for name, text in KPF[style].items()}
    assert_same(scanned(tmp_path, bare), expected)
    windows = {name: text.replace("\n", "\r\n").encode() for name, text in KPF[style].items()}
    assert_same(read(tmp_path, windows), expected)


def geometry(*lines: str, activity: tuple[int, int] = (0, 9)) -> dict[str, str]:
    return {
        ".activities.yml": "- { act: { act2: {vehicle_starts: 1.0}, id2: 1, timespan: "
        f"[{{tsr0: [{activity[0]}, {activity[1]}]}}], src_status: good, "
        "actors: [{id1: 5, timespan: [{tsr0: [0, 9]}]}] } }\n",
        ".geom.yml": "".join(line + "\n" for line in lines),
    }


def line(frame: int, box: str, actor: int = 5) -> str:
    return f"- {{ geom: {{id1: {actor}, id0: 1, ts0: {frame}, ts1: 0.10, g0: {box} }} }}"


# every line kind of geometry that the corpora have
SHOWN = {
    "- { geom: {id1: 6773005562166421415, id0: 1, ts0: 8540, ts1: 284.67, "
    "g0: 1468 24 1496 83, keyframe: true } }": ("6773005562166421415", 8540, 1468, 24, 1496, 83),
    "- {'geom': {'g0': '1037 160 1066 174', 'id0': 1, 'id1': 9, 'keyframe': True, "
    "'ts0': 2626}}": ("9", 2626, 1037, 160, 1066, 174),
    "- { geom: { id1: 0, id0: 25, ts0: 25, ts1: 0.833333333333333, g0: 1198 307 1248 343 , "
    "src: truth, occlusion: partially, } }": ("0", 25, 1198, 307, 1248, 343),
    "- { geom: { id1: 5000, id0: 25, ts0: 25, ts1: 0.833333333333333, g0: 1198 307 1248 343 , "
    "src: truth, occlusion: mostly, } }": ("5000", 25, 1198, 307, 1248, 343),
    "- { geom: {id1: 3, id0: 1, ts0: 0, ts1: 0.00, g0: -79 -1 2020 1745 } }": (
        "3", 0, -79, -1, 2020, 1745,
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", SHOWN)
def test_every_shown_geometry_line_is_scanned(text: str, tmp_path: Path) -> None:
    files = {".activities.yml": '- { meta: "x" }\n', ".geom.yml": text + "\n"}
    found = scanned(tmp_path, files)
    actor, frame, *corners = SHOWN[text]
    assert boxes_of(found) == {(actor, frame): tuple(corners)}
    assert_same(found, slowly(tmp_path, files))


def test_float_boxes_and_ids_as_text_are_read_by_libyaml(tmp_path: Path) -> None:
    found = read(tmp_path, geometry(line(0, "10.5 20 30.25 40")))
    assert boxes_of(found) == {("5", 0): (10.5, 20, 30.25, 40)}


def test_swapped_axes_are_swapped_back_and_reported(tmp_path: Path) -> None:
    found = read(tmp_path, geometry(line(0, "10 10 20 20"), line(1, "1613 59 1591 21")))
    assert boxes_of(found)["5", 1] == (1591, 21, 1613, 59)
    swap = issue(found, "swapped_axes")
    assert (swap.action, swap.line, swap.count) == ("swapped", 2, 1)
    assert swap.file == f"{VIDEO}.geom.yml"
    assert closes(found)


def test_short_gaps_are_interpolated_and_long_ones_reported(tmp_path: Path) -> None:
    lines = (line(0, "0 0 10 10"), line(4, "8 4 18 14"), line(40, "8 4 18 14"))
    found = read(tmp_path, geometry(*lines), options=ReadOptions(max_gap=3))
    assert boxes_of(found) == {
        ("5", 0): (0, 0, 10, 10),
        ("5", 1): (2, 1, 12, 11),
        ("5", 2): (4, 2, 14, 12),
        ("5", 3): (6, 3, 16, 13),
        ("5", 4): (8, 4, 18, 14),
        ("5", 40): (8, 4, 18, 14),
    }
    assert issue(found, "gap").line == 2
    assert issue(found, "partial_geometry").detail == "5 of 10 frames without a box"
    assert len(read(tmp_path, geometry(*lines), options=ReadOptions(max_gap=35)).boxes) == 41


def test_a_second_box_on_a_frame_is_left_out(tmp_path: Path) -> None:
    found = read(tmp_path, geometry(line(0, "0 0 9 9"), line(0, "1 1 9 9")))
    assert boxes_of(found) == {("5", 0): (0, 0, 9, 9)}
    assert issue(found, "duplicate").line == 2


def test_empty_clips_are_counted(tmp_path: Path) -> None:
    fake = (
        "- { act: { act2: { empty_37: 1.0 }, id2: 1, timespan: [{tsr0: [0,9000]}], src: truth}}\n"
    )
    found = scanned(
        tmp_path, {".activities.yml": f'- {{ meta: "{VIDEO} was marked empty-37" }}\n{fake}'}
    )
    assert issue(found, "empty_clip").action == "dropped"
    assert (found.records_in, len(found.activities), dropped(found)) == (1, 0, 1)
    meta = f"- {{'meta': '{VIDEO} was marked empty_37'}}\n"
    found = scanned(tmp_path, {".activities.yml": meta, ".geom.yml": meta, ".types.yml": meta})
    assert issue(found, "empty_clip").action == "noted"
    assert (found.records_in, len(found.boxes)) == (0, 0)


def test_missing_geometry_is_one_issue_an_activity(tmp_path: Path) -> None:
    found = read(tmp_path, {".activities.yml": KITWARE[".activities.yml"]})
    missing = issue(found, "no_geometry")
    assert (missing.action, missing.line) == ("dropped", 4)
    assert "missing" in missing.detail
    assert closes(found)


def test_boxes_outside_the_span_are_no_geometry(tmp_path: Path) -> None:
    found = read(tmp_path, geometry(line(20, "0 0 9 9")))
    assert reasons(found) == ["no_geometry"]
    assert closes(found)


def test_status_and_impossible_spans_are_dropped(tmp_path: Path) -> None:
    files = geometry(line(0, "0 0 9 9"))
    bad = {**files, ".activities.yml": files[".activities.yml"].replace("good", "not_good")}
    found = read(tmp_path, bad)
    assert reasons(found) == ["status"]
    assert closes(found)
    kept = read(tmp_path, bad, options=ReadOptions(drop_status=()))
    assert kept.activities.status.tolist() == ["not_good"]
    backward = read(tmp_path, geometry(line(0, "0 0 9 9"), activity=(9, 3)))
    assert reasons(backward) == ["empty_span"]
    assert closes(backward)


def test_an_actor_without_boxes_is_noted(tmp_path: Path) -> None:
    geom = "".join(x + "\n" for x in KITWARE[".geom.yml"].splitlines() if "id1: 12," not in x)
    found = read(tmp_path, {**KITWARE, ".geom.yml": geom})
    assert issue(found, "actor_missing").detail == "actor 12"
    assert len(found.activities) == 1


def test_equal_ids_are_told_apart_and_equal_records_dropped(tmp_path: Path) -> None:
    files = geometry(*(line(f, "0 0 9 9") for f in range(10)))
    record = files[".activities.yml"]
    other = record.replace("vehicle_starts", "vehicle_stops")
    found = read(tmp_path, {**files, ".activities.yml": record + record + other})
    assert found.activities.activity_id.tolist() == ["1", "1#2"]
    assert closes(found)


def test_a_malformed_record_costs_that_record(tmp_path: Path) -> None:
    files = geometry(*(line(f, "0 0 9 9") for f in range(10)))
    record = "- { act: { act2: {vehicle_stops: 1.0}, timespan: [{tsr0: [0, 9]}], actors: [] } }\n"
    found = read(tmp_path, {**files, ".activities.yml": files[".activities.yml"] + record})
    broken = issue(found, "malformed")
    assert (broken.action, broken.line, broken.detail) == ("dropped", 2, "no id2")
    assert found.records_in == 2
    assert closes(found)


def test_the_first_kind_of_name_is_read(tmp_path: Path) -> None:
    files = geometry(line(0, "0 0 9 9"))
    other = {"-activities.yml": "- {", "-geom.yml": "- {"}
    found = read(tmp_path, {**other, **files})
    assert boxes_of(found) == {("5", 0): (0, 0, 9, 9)}
    told = [(i.reason, i.file) for i in found.issues if i.reason == "duplicate"]
    assert told == [("duplicate", VIDEO + name) for name in other]


def test_a_refused_record_does_not_stand_in_the_way(tmp_path: Path) -> None:
    files = geometry(*(line(f, "0 0 9 9") for f in range(10)))
    good = files[".activities.yml"]
    bad = good.replace("good", "not_good")
    found = read(tmp_path, {**files, ".activities.yml": bad + good})
    assert found.activities.activity_id.tolist() == ["1"]
    assert reasons(found) == ["status"]
    assert closes(found)


def test_several_names_are_noted(tmp_path: Path) -> None:
    files = geometry(*(line(f, "0 0 9 9") for f in range(10)))
    record = files[".activities.yml"].replace("{vehicle_starts: 1.0}", "{a: 0.2, b: 0.7, c: 0.1}")
    found = read(tmp_path, {**files, ".activities.yml": record})
    assert found.activities.name.tolist() == ["b"]
    assert issue(found, "malformed").detail == "3 names, read as the likeliest"


@pytest.mark.parametrize("corners", ["1_468 2 3 4", "nan 2 3 4", "1 2 3 ٤", "0x1 2 3 4", "1 2 3"])
def test_a_box_has_plain_numbers(corners: str, tmp_path: Path) -> None:
    found = read(tmp_path, geometry(line(0, "0 0 9 9"), line(1, f"'{corners}'")))
    assert list(boxes_of(found)) == [("5", 0)]
    assert (issue(found, "malformed").line, issue(found, "malformed").count) == (2, 1)


def test_regions_become_boxes(tmp_path: Path) -> None:
    files = geometry(line(0, "0 0 9 9"))
    regions = "- { regions: { id1: 5, ts0: 1, keyframe: 1, poly0: [[4, 2], [9, 3], [6, 8]]}}\n"
    found = read(tmp_path, {**files, ".regions.yml": regions})
    assert boxes_of(found) == {("5", 0): (0, 0, 9, 9), ("5", 1): (4, 2, 9, 8)}
    assert found.regions is not None
    assert len(found.regions) == 1


def test_unsafe_names_do_not_pass(tmp_path: Path) -> None:
    files = geometry(line(0, "0 0 9 9"))
    evil = files[".activities.yml"].replace("vehicle_starts", '"../../etc/passwd"')
    found = read(tmp_path, {**files, ".activities.yml": evil})
    assert reasons(found) == ["unsafe_name"]
    assert closes(found)
    with pytest.raises(AnnotationError, match="unsafe video name"):
        kpf.read("../up", [tmp_path / "a.activities.yml"], ReadOptions())


def test_errors_name_file_line_and_remedy(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="no activities file"):
        read(tmp_path, {".geom.yml": ""})
    with pytest.raises(AnnotationError, match=r"activities\.yml:2: not YAML .*; restore"):
        read(tmp_path, {".activities.yml": "- { a: b }\n- { act: [ }\n"})


ints = st.integers(-99, 99999)
small = st.integers(0, 400)
records = st.lists(
    st.tuples(
        st.sampled_from((0, 7, 12345678901, 6773005562166421415, 9223372036854775807)),
        small,
        st.tuples(ints, ints, ints, ints),
        st.booleans(),
    ),
    max_size=12,
    unique_by=lambda r: r[:2],
)
odd = st.sampled_from(
    (
        '- { meta: "in between" }',
        "- { geom: {id1: 7, id0: 1, ts0: 3, ts1: 1e-5, g0: 1 2 3 4 } }",
        "- { geom: { g0: 1 2 3.5 4, id1: 7, ts0: 401 } }",
        "- { geom: {id1: 7, id0: 1, ts0: 402, ts1: 0.1, g0: 1 2 3 } }",
        "- { geom: {id1: -7, id0: 1, ts0: 403, ts1: 0.1, g0: 1 2 3 4 } }",
        "- { types: { id1: 1, cset3: { person: 1.0 } } }",
        "# a remark",
        "",
    )
)
STYLES = {
    "kitware": (
        "- {{ geom: {{id1: {id}, id0: 1, ts0: {ts}, ts1: 0.10, g0: {g0}{key} }} }}",
        (", keyframe: true", ""),
    ),
    "training": (
        "- {{'geom': {{'g0': '{g0}', 'id0': 1, 'id1': {id}, 'keyframe': {key}, 'ts0': {ts}}}}}",
        ("True", "False"),
    ),
    "virat": (
        "- {{ geom: {{ id1: {id}, id0: 1, ts0: {ts}, ts1: 0.1, g0: {g0} , src: truth{key}, }} }}",
        (", occlusion: mostly", ""),
    ),
}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(style=st.sampled_from(sorted(STYLES)), rows=records, strange=st.none() | odd, at=small)
def test_scan_and_libyaml_agree(
    style: str,
    rows: list[tuple[int, int, tuple[int, ...], bool]],
    strange: str | None,
    at: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    shape, keys = STYLES[style]
    lines = [
        shape.format(id=i, ts=ts, g0=" ".join(map(str, g0)), key=keys[0 if key else 1])
        for i, ts, g0, key in rows
    ]
    if strange is not None:
        lines.insert(at % (len(lines) + 1), strange)
    files = {
        ".activities.yml": '- { meta: "x" }\n',
        ".geom.yml": "".join(x + "\n" for x in lines),
    }
    folder = tmp_path_factory.mktemp("kpf")
    options = ReadOptions(max_gap=0)
    fast = read(folder, files, options=options)
    assert_same(fast, slowly(folder, files, options=options))
    if strange is None:
        truth = oracle.kpf([folder / f"{VIDEO}.geom.yml"])
        assert boxes_of(fast) == truth.boxes
        keyed = fast.boxes[fast.boxes.keyframe]
        assert set(zip(keyed.actor_id, keyed.frame, strict=True)) == truth.keyframes
