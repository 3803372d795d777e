"""Comparing builds and lists: every difference is told, with the reason the issues know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tinyvirat_build import store
from tinyvirat_build.ask.compare import Comparison, compare, load
from tinyvirat_build.errors import AnnotationError, DataError
from tinyvirat_build.records import Issue, columns, empty, issues_frame

HEADER = "id,video_id,clip_id,frames,side,label\n"


def clip(video: str, activity: str, start: int, end: int, **more: Any) -> dict[str, Any]:
    row = dict.fromkeys(columns("clips_filtered"))
    row |= {
        "source": "meva", "video_id": video, "annotation_set": "kitware", "segment_id": 0,
        "clip_id": f"{video}-{activity}-{start}", "start": start, "end": end, "width": 56,
        "height": 56, "x": (0,) * (end - start), "y": (0,) * (end - start), "actor_side": 30.0,
        "labels": ("Talking",), "activities": (activity,), "activity_id": activity,
        "released_id": f"{activity}_People_Talking_{start}_{end - 1}", "group": "g",
        "split": "train",
    }  # fmt: skip
    return row | more


def build(
    path: Path, clips: list[dict[str, Any]], issues: list[tuple[str, Issue]] | None = None
) -> Path:
    table = pd.DataFrame(clips, columns=columns("clips_filtered"))
    arrow = store.to_arrow("clips_filtered", table if clips else empty("clips_filtered"))
    store.write_table(
        path / "tables" / "clips_filtered.parquet", "clips_filtered", [arrow], key="k"
    )
    if issues:
        frames = [issues_frame([issue], source="meva", video_id=v) for v, issue in issues]
        arrow = store.to_arrow("issues", pd.concat(frames, ignore_index=True))
        store.write_table(path / "tables" / "issues.parquet", "issues", [arrow], key="k")
    return path


def told(found: Comparison) -> list[tuple[str, str, str]]:
    table = found.differences
    return list(zip(table["clip"], table["difference"], table["reason"], strict=True))


def test_equal_builds(tmp_path: Path) -> None:
    clips = [clip("v0", "1", 0, 64), clip("v0", "1", 64, 128), clip("v1", "2", 0, 20)]
    found = compare(load(build(tmp_path / "a", clips)), load(build(tmp_path / "b", clips)))
    assert not found.differs
    assert found.equal == 3
    assert found.render().endswith("Nothing differs.")


def test_every_kind_of_difference_with_its_reason(tmp_path: Path) -> None:
    rows = [
        "1,v0,1_People_Talking_0_63,64,56,Talking",
        "2,v0,1_People_Talking_64_127,64,112,Talking",
        "3,v0,1_People_Talking_128_150,22,56,Talking",
        "4,v0,2_People_Talking_0_63,64,56,Interacts|Talking",
        "5,v0,3_People_Talking_0_63,64,56,Talking",
        "6,v0,4_People_Talking_0_63,64,56,Talking",
        "7,v0,4_People_Talking_64_127,64,56,Talking",
        "8,v0,5_People_Talking_0_63,64,56,Talking",
    ]
    published = tmp_path / "rows.csv"
    published.write_text(HEADER + "\n".join(rows) + "\n")
    issues = [
        ("v0", Issue("parse", "no_geometry", "dropped", "activity 3")),
        ("v0", Issue("crop", "too_large", "dropped", "activity 4 frames [0, 64)")),
        (
            "v0",
            Issue(
                "chunk", "short", "dropped", "segment 7 frames [64, 100)", detail="activities 4 9"
            ),
        ),
        ("v0", Issue("filter", "rare_label", "noted", "label Interacts")),
        ("v1", Issue("parse", "no_geometry", "dropped", "activity 5")),
    ]
    clips = [
        clip("v0", "1", 0, 64),
        clip("v0", "1", 64, 128),
        clip("v0", "1", 128, 151),
        clip("v0", "2", 0, 64),
        clip("v0", "9", 0, 64),
        clip("v7", "1", 0, 64),  # a video of which the list tells nothing
    ]
    own = load(build(tmp_path / "build", clips, issues))
    found = compare(own, load(published))
    assert told(found) == [
        ("1_People_Talking_128_150", "frames", ""),
        ("1_People_Talking_64_127", "side", ""),
        ("2_People_Talking_0_63", "labels", "rare_label"),
        ("3_People_Talking_0_63", "only in B", "no_geometry"),
        ("4_People_Talking_0_63", "only in B", "too_large"),
        ("4_People_Talking_64_127", "only in B", "short"),
        ("5_People_Talking_0_63", "only in B", ""),
        ("9_People_Talking_0_63", "only in A", ""),
    ]
    assert found.equal == 1
    assert found.videos.to_dict("records") == [{"video_id": "v0", "a": 5, "b": 8, "equal": 1}]
    tree = json.loads(found.to_json())
    assert tree["counts"] == {
        "only in A": 1, "only in B": 4, "frames": 1, "side": 1, "labels": 1, "window": 0,
    }  # fmt: skip
    assert "no_geometry (no box for any actor of the activity)" in found.render()
    assert (tree["unexplained"], tree["not_compared"]) == (4, {"rows": 1, "videos": 1})
    assert "64 frames, 56×56, Talking" in found.render()
    assert "Not compared, as the list does not name the video: 1 row of 1 video." in found.render()
    listed = compare(own, load(published), listed=True)
    assert "only in A" not in set(listed.differences["difference"])
    back = compare(load(published), own)
    assert sorted(back.differences["reason"]) == sorted(found.differences["reason"])


def test_builds_without_released_ids_join_by_clip_id(tmp_path: Path) -> None:
    one = [clip("v0", "1", 0, 64, released_id=None), clip("v0", "2", 0, 64, released_id=None)]
    issues = [("v0", Issue("filter", "rare_label", "dropped", "clip v0-2-0"))]
    a, b = build(tmp_path / "a", one), build(tmp_path / "b", one[:1], issues)
    assert told(compare(load(a), load(b))) == [("v0-2-0", "only in A", "rare_label")]


def test_what_other_settings_changed_is_told_row_by_row(tmp_path: Path) -> None:
    def of(name: str, *spans: tuple[int, int, str], **more: Any) -> dict[str, Any]:
        [(start, end, clip_id)] = spans
        return clip("v0", name, start, end, released_id=None, clip_id=clip_id, **more)

    a = [
        of("1", (0, 50, "a0")), of("1", (50, 100, "a1")), of("2", (0, 64, "a2")),
        of("3", (0, 64, "a3")), of("4", (0, 64, "a4")), of("5", (0, 64, "a5")),
    ]  # fmt: skip
    b = [
        of("1", (0, 64, "b0")), of("1", (64, 100, "b1")), of("2", (0, 64, "b2"), width=60),
        of("3", (0, 64, "b3"), x=(2,) * 64), of("4", (0, 64, "b4"), labels=("Pull",)),
        of("5", (64, 128, "b5")),
    ]  # fmt: skip
    found = compare(load(build(tmp_path / "a", a)), load(build(tmp_path / "b", b)))
    rows = found.differences[["clip", "difference", "a", "b"]].itertuples(index=False)
    assert list(map(tuple, rows)) == [
        ("a0", "frames", "[0, 50)", "[0, 64)"),
        ("a1", "frames", "[50, 100)", "[64, 100)"),
        ("a2", "side", "56×56", "60×56"),
        ("a3", "window", "frame 0: (0, 0)", "(2, 0)"),
        ("a4", "labels", "Talking", "Pull"),
        ("a5", "only in A", "64 frames, 56×56, Talking", ""),
        ("b5", "only in B", "", "64 frames, 56×56, Talking"),
    ]


def test_a_set_of_another_name_with_the_same_clips_is_equal(tmp_path: Path) -> None:
    same = [clip("v0", "1", 0, 64)]
    other = [row | {"annotation_set": "history", "clip_id": "else"} for row in same]
    a, b = load(build(tmp_path / "a", same)), load(build(tmp_path / "b", other))
    assert not compare(a, b).differs


def published(path: Path, clips: list[dict[str, Any]]) -> Path:
    table = pd.DataFrame(clips).reindex(columns=columns("clips"))
    arrow = store.to_arrow("clips", table)
    store.write_table(path / "tables" / "clips.parquet", "clips", [arrow], key="k")
    return path


def test_a_tree_is_compared_whole_and_its_test_clips_by_number(tmp_path: Path) -> None:
    clips = [
        clip("v0", "1", 0, 64, id="00000"),
        clip("v1", "2", 0, 64, id="00001"),
        clip("v2", "3", 0, 30, id="00000", split="test"),
        clip("v2", "3", 30, 64, id="00001", split="test"),
    ]
    own = load(published(tmp_path / "build", clips))
    rows: dict[str, list[dict[str, Any]]] = {
        "train_v2": [
            {"id": c["id"], "video_id": c["video_id"], "path": "p/q.mp4", "dim": [64, 56, 56],
             "clip_id": c["released_id"], "label": ["Talking"]}
            for c in clips[:2]
        ],
        "test_v2_public": [
            {"id": c["id"], "video_id": c["id"], "path": f"{c['id']}.mp4", "dim": [n, 56, 56]}
            for c, n in zip(clips[2:], (30, 35), strict=True)
        ],
    }  # fmt: skip
    tree = tmp_path / "TinyVIRAT_V2"
    tree.mkdir()
    for name, listed in rows.items():
        (tree / f"tiny_{name}.json").write_text(json.dumps(listed))
    assert told(compare(own, load(tree))) == [("number 00001", "frames", "")]
    alone = compare(own, load(tree / "tiny_test_v2_public.json"))
    assert (told(alone), alone.left_out) == ([("number 00001", "frames", "")], (2, 2))
    with pytest.raises(DataError, match="has no numbers yet"):
        compare(load(build(tmp_path / "plan", clips)), load(tree))
    (tree / "tiny_train_v2.json").write_text(json.dumps(rows["train_v2"][:1]))
    assert [row[1] for row in told(compare(own, load(tree)))] == ["frames", "only in A"]
    (tmp_path / "tiny_val_v2.json").write_text(json.dumps(rows["train_v2"]))
    moved = compare(own, load(tmp_path / "tiny_val_v2.json"))
    assert (moved.differs, moved.other_split) == (False, 2)


def test_a_large_comparison_takes_linear_time(tmp_path: Path) -> None:
    clips = [
        clip("v0", str(i), 0, 4, released_id=None, clip_id=f"{name}{i}")
        for name in "ab"
        for i in range(6000)
    ]
    a, b = build(tmp_path / "a", clips[:6000]), build(tmp_path / "b", clips[6000:])
    assert compare(load(a), load(b)).equal == 6000


def test_released_lists(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "00000", "video_id": "v0", "path": "v0/00000.mp4", "dim": [64, 56, 56],
         "label": ["Talking"], "clip_id": "1_People_Talking_0_63"},
        {"id": "00001", "video_id": "v1", "path": "v1/00001.mp4", "dim": [55, 104, 100],
         "label": ["Riding", "Pull"]},
    ]  # fmt: skip
    tree = tmp_path / "TinyVIRAT_V2"
    tree.mkdir()
    (tree / "tiny_train_v2.json").write_text(json.dumps(rows[:1]))
    (tree / "tiny_val_v2.json").write_text(json.dumps(rows[1:]))
    (tmp_path / "v1.json").write_text(
        json.dumps({"tubes": [{k: v for k, v in row.items() if k != "video_id"} for row in rows]})
    )
    found = compare(load(tree), load(tmp_path / "v1.json"))
    assert (found.equal, found.differs) == (2, False)
    unlabelled = [{k: v for k, v in row.items() if k != "label"} for row in rows]
    (tmp_path / "bare.json").write_text(json.dumps(unlabelled))
    assert not compare(load(tree), load(tmp_path / "bare.json")).differs
    clips = [
        clip("v0", "1", 0, 64, id="00007"),
        clip("v1", "1", 0, 55, released_id=None, width=100, height=104, labels=("Pull", "Riding")),
    ]
    path = build(tmp_path / "build", clips)
    table = store.read_table(path / "tables" / "clips_filtered.parquet")
    table = pd.DataFrame(table.assign(id=["00000", "00001"]), columns=columns("clips"))
    arrow = store.to_arrow("clips", table)
    store.write_table(path / "tables" / "clips.parquet", "clips", [arrow], key="k")
    found = compare(load(path), load(tree))
    assert (found.equal, found.differs) == (2, False)


def test_a_name_that_repeats_is_joined_in_order(tmp_path: Path) -> None:
    twice = [clip("v0", "1", 0, 64), clip("v0", "1", 0, 64, labels=("Pull",))]
    a, b = build(tmp_path / "a", twice), build(tmp_path / "b", twice[:1])
    found = compare(load(a), load(b))
    assert [row[1] for row in told(found)] == ["only in A"]


def test_rows_without_a_start_are_matched_by_what_they_say(tmp_path: Path) -> None:
    """With multiplicity; and it is told how many would match by chance."""
    rows = [
        ("v0", 64, 56, "Talking"),
        ("v0", 64, 56, "Talking"),
        ("v0", 64, 56, "Talking"),  # once more than there is
        ("v0", 20, 56, "Talking"),
        ("v1", 40, 56, "Pull|Talking"),
        ("v1", 41, 56, "Talking"),  # of another length
    ]
    text = "video,T,side,labels,val_id\n" + "".join(
        f"{video},{n},{side},{label},{i}\n" for i, (video, n, side, label) in enumerate(rows)
    )
    (tmp_path / "rows.csv").write_text(text)
    clips = [clip("v0", "1", 0, 64), clip("v0", "2", 70, 134), clip("v0", "3", 0, 20)]
    clips += [clip("v1", "4", 0, 40, labels=("Talking", "Pull")), clip("v1", "5", 0, 42)]
    own = load(build(tmp_path / "build", [{**c, "released_id": None} for c in clips]))
    found = compare(own, load(tmp_path / "rows.csv"))
    assert sorted(told(found)) == [
        ("41 frames, 56×56, Talking", "only in B", ""),
        ("42 frames, 56×56, Talking", "only in A", ""),
        ("64 frames, 56×56, Talking", "only in B", ""),
    ]
    assert found.equal == 4
    assert found.by_content is not None
    assert (found.by_content.rows, found.by_content.matched) == (6, 4)
    # v0's lengths and sides are all of the same labels, so shuffling changes nothing there; of v1
    # one row in two gets the other's length, and then matches no more.
    assert 3 < found.by_content.by_chance < 4
    assert "6 rows tell no start" in found.render()
    assert json.loads(found.to_json())["by_content"]["matched"] == 4
    back = compare(load(tmp_path / "rows.csv"), own)
    assert back.by_content == found.by_content


def test_a_list_of_the_same_numbers_is_joined_by_them(tmp_path: Path) -> None:
    """VIRAT's rows have no name in a released list, but both number the same clips."""
    clips = [clip("v0", "1", 0, 64), clip("v0", "2", 0, 64)]
    clips = [c | {"released_id": None, "id": f"0000{i}"} for i, c in enumerate(clips)]
    own = load(published(tmp_path / "a", clips))
    (tmp_path / "rows.csv").write_text(
        HEADER + "00000,v0,,64,56,Talking\n00001,v0,,63,56,Talking\n"
    )
    found = compare(own, load(tmp_path / "rows.csv"))
    assert told(found) == [("number 00001", "frames", "")]
    assert found.by_content is None


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("rows.json", "{", r"rows\.json: not JSON"),
        ("rows.json", "{}", r"rows\.json: no list of rows"),
        ("rows.json", "[[]]", r"rows\.json: row 0 lacks"),
        ("rows.json", '[{"id": "1"}]', r"rows\.json: row 0 lacks"),
        (
            "rows.json",
            '[{"id": "1", "path": "v/1.mp4", "dim": [1, 2, 2], "label": "Pull"}]',
            "list",
        ),
        ("rows.json", "[]", r"rows\.json: no row"),
        ("rows.csv", HEADER, r"rows\.csv: no row"),
        ("rows.csv", "", r"rows\.csv: its columns are none"),
        ("rows.csv", "id,video_id\n1,v\n", r"rows\.csv: its columns are id, video_id"),
        ("rows.csv", HEADER + "1,v,c,64,56,Talking\n2,v,c,x,56,Talking\n", r"rows\.csv:3: a bad"),
        ("rows.csv", HEADER + "1,v\n", r"rows\.csv:2: a bad row"),
    ],
)
def test_bad_lists_are_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(AnnotationError, match=message):
        load(tmp_path / name)


def test_what_is_no_side_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither a build nor a list"):
        load(tmp_path / "nothing")
    (tmp_path / "tables").mkdir()
    with pytest.raises(DataError, match="no table of clips yet"):
        load(tmp_path)


@pytest.mark.slow
def test_the_released_rows_are_built_again(shared: Path, tmp_path: Path) -> None:
    from tinyvirat_build.builds import build as run

    made = run(
        "meva", out=tmp_path / "v2", data=shared / "data" / "meva", preset="tinyvirat-v2",
        until="crop",
    )  # fmt: skip
    rows = load(shared / "reference" / "tinyvirat-v2-val-meva-rows.csv")
    found = compare(load(made.path), rows, listed=True)
    assert set(found.differences["difference"]) == {"only in B"}
    assert set(found.differences["reason"]) == {"no_geometry"}
    assert found.equal == 220
    absent = pd.read_csv(shared / "reference" / "tinyvirat-v2-val-meva-absent.csv")
    assert not set(absent["clip_id"]) & {row.released_id for row in load(made.path).rows}
