"""CVAT for video 1.1: visibility, attributes as activities, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinyvirat_build.errors import AnnotationError
from tinyvirat_build.formats.cvat_xml import videos_in
from tinyvirat_build.records import VideoAnnotation

from .samples import CVAT, VIDEO, boxes_of, closes, cvat_box, cvat_track, cvat_xml, issue, read

ON, OFF = {"walks": "true"}, {"walks": "false"}


def xml(folder: Path, *tracks: str) -> VideoAnnotation:
    found = read(folder, {".xml": cvat_xml(*tracks)}, format="cvat-xml")
    assert closes(found)
    return found


def spans(found: VideoAnnotation) -> list[tuple[str, int, int]]:
    rows = found.activities
    return list(zip(rows["name"], rows["start"], rows["end"], strict=True))


def test_attributes_are_activities_while_they_have_a_value(tmp_path: Path) -> None:
    found = read(tmp_path, {".xml": CVAT}, format="cvat-xml")
    assert spans(found) == [
        ("rides", 10, 20), ("walks", 12, 20), ("Talking", 16, 20), ("walks", 3, 41)
    ]  # fmt: skip
    assert found.activities.activity_id.tolist() == ["0:1", "0:2", "0:3", "1:1"]
    assert found.actors.type.tolist() == ["person", "person"]
    assert not found.issues
    assert closes(found)


def test_boxes_between_keyframes_are_interpolated_however_far(tmp_path: Path) -> None:
    boxes = boxes_of(read(tmp_path, {".xml": CVAT}, format="cvat-xml"))
    assert [f for t, f in boxes if t == "1"] == list(range(3, 41))
    assert boxes["1", 20] == (120, 50, 140.5, 90)


def test_outside_ends_what_is_seen_and_done(tmp_path: Path) -> None:
    """The last box holds until then; the track comes back as it is next seen."""
    track = cvat_track(
        "0", cvat_box(0, ON), cvat_box(5, ON, outside=1), cvat_box(9, OFF), cvat_box(11, ON)
    )
    found = xml(tmp_path, track)
    assert spans(found) == [("walks", 0, 5), ("walks", 11, 12)]
    boxes = boxes_of(found)
    assert [f for _, f in boxes] == [0, 1, 2, 3, 4, 9, 10, 11]
    assert boxes["0", 4] == boxes["0", 0]


def test_boxes_come_in_any_order_and_rotated(tmp_path: Path) -> None:
    turned = cvat_box(0, ON, rotation=90, xtl=0, ytl=10, xbr=40, ybr=30)
    found = xml(tmp_path, cvat_track("0", cvat_box(1, ON), turned))
    assert spans(found) == [("walks", 0, 2)]
    assert boxes_of(found)["0", 0] == pytest.approx((10, 0, 30, 40))


def test_bad_boxes_shapes_and_tracks_are_issues(tmp_path: Path) -> None:
    bad = cvat_box(2, ON, xtl="left")
    found = xml(
        tmp_path,
        cvat_track("0", cvat_box(0, ON), bad, '<polygon frame="1" points="0,0;1,1"/>\n'),
        '<track label="person"></track>\n',
    )
    told = [(i.action, i.detail) for i in found.issues]
    assert told == [
        ("noted", "a box: xtl is not a number"),
        ("noted", "a polygon; only boxes are read"),
        ("dropped", "no id of the track"),
    ]
    lines = (tmp_path / f"{VIDEO}.xml").read_text().splitlines()
    assert lines[(found.issues[1].line or 0) - 1].startswith("<polygon")
    assert (found.records_in, spans(found)) == (2, [("walks", 0, 1)])


def test_two_tracks_of_one_id_are_two(tmp_path: Path) -> None:
    track = cvat_track("0", cvat_box(0, ON), cvat_box(1, OFF))
    found = xml(tmp_path, track, track)
    assert found.activities["actors"].tolist() == [("0",), ("0#2",)]
    assert issue(found, "duplicate").detail == "the id of another track; named 0#2"


def test_a_task_without_activities_is_told(tmp_path: Path) -> None:
    assert issue(xml(tmp_path, cvat_track("0", cvat_box(0, OFF))), "empty_clip").action == "noted"


def test_the_source_is_the_video(tmp_path: Path) -> None:
    path = tmp_path / "annotations.xml"
    path.write_text(cvat_xml(source="film/cam1.mp4"))
    assert videos_in(path) == ({"cam1"}, [])


def test_what_a_group_does_at_once_it_does_together(tmp_path: Path) -> None:
    """But not what one of them does by itself, nor another group, nor those of none."""
    tracks = [
        cvat_track(str(n), cvat_box(0, ON), cvat_box(last, OFF)).replace(
            "<track ", f'<track group_id="{group}" '
        )
        for n, (group, last) in enumerate([(1, 5), (1, 5), (1, 6), (2, 5), (0, 5), (0, 5)])
    ]
    found = xml(tmp_path, *tracks)
    assert found.activities["actors"].tolist() == [("0", "1"), ("2",), ("3",), ("4",), ("5",)]
    assert found.activities["activity_id"].tolist() == ["0:1", "2:1", "3:1", "4:1", "5:1"]


def test_without_attributes_the_labels_are_activities(tmp_path: Path) -> None:
    """While the track is seen, as long as no label of the file has an attribute."""
    track = cvat_track(
        "0", cvat_box(0, {}), cvat_box(5, {}, outside=1), cvat_box(9, {}), cvat_box(11, {})
    ).replace("person", "Talking")
    bare = cvat_xml(track)
    bare = bare[: bare.index("<attributes>")] + bare[bare.index("</label>") :]
    found = read(tmp_path, {".xml": bare}, format="cvat-xml")
    assert closes(found)
    assert spans(found) == [("Talking", 0, 5), ("Talking", 9, 12)]
    assert spans(xml(tmp_path, track)) == []


def test_of_a_project_each_video_has_its_own_tracks(tmp_path: Path) -> None:
    track = cvat_track("0", cvat_box(0, ON), cvat_box(5, OFF), '<polygon frame="1"/>')
    tasks = ((3, f"{VIDEO}.avi"), (4, "b.mp4"), (5, f"{VIDEO}.avi"))
    text = cvat_xml(
        *(
            track.replace('id="0"', f'id="{n}" task_id="{task}"')
            for n, task in enumerate((3, 4, 5, 6))
        )
    ).replace("<task>", "<project><id>1</id><tasks><task>")
    more = "".join(f"<task><id>{n}</id><source>{name}</source></task>" for n, name in tasks[1:])
    text = text.replace("</meta>", f"{more}</tasks></project></meta>")
    found = read(tmp_path, {".xml": text}, format="cvat-xml")
    assert closes(found)
    assert found.activities["actors"].tolist() == [("0",), ("2",)]
    assert sum(i.count for i in found.issues) == 2  # polygons
    videos, (lost,) = videos_in(tmp_path / f"{VIDEO}.xml")
    assert videos == {VIDEO, "b"}
    assert (lost.reason, lost.count) == ("malformed", 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CVAT.replace("<annotations>", '<!DOCTYPE a [<!ENTITY b "c">]><annotations>'),
         r"xml:2: a DTD, which no file of CVAT has; delete the DOCTYPE"),
        (
            CVAT.replace(f"{VIDEO}.avi", "a.mp4").replace(
                "</task>", "</task><task><id>4</id><source>b.mp4</source></task>"
            ),
            r"xml: 2 tasks, none of them of 2018\S+; name the video",
        ),
        ("<annotations>\n<image id='0'/></annotations>", r"xml:2: annotations of images, not of a"),
        ("<a/>", r"xml:1: not CVAT's XML"),
        ("<annotations>\n" + "<a>" * 20, r"xml:2: nested deeper than 16"),
        ("<annotations>\n<b></c>", r"xml:2: not XML \(mismatched tag\); restore"),
        ("<annotations>\n&bomb;</annotations>", r"xml:2: not XML \(undefined entity\)"),
        ("", r"xml:1: not XML \(no element found\)"),
    ],
)  # fmt: skip
def test_what_is_no_task_of_a_video_is_an_error(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=message):
        read(tmp_path, {".xml": text}, format="cvat-xml")
