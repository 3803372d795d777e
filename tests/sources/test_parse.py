"""From an entry's files to keyed tables: labels, boxes in the picture, regions, united sets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyvirat_build import sources
from tinyvirat_build.errors import SettingsError
from tinyvirat_build.records import VideoAnnotation, columns
from tinyvirat_build.settings import Settings
from tinyvirat_build.sources import Entry, Part, Region
from tinyvirat_build.sources.parse import Parsed, parse_entry
from tinyvirat_build.sources.unite import same_actors, unite

Boxes = dict[int, tuple[int, int, int, int]]


def kpf(folder: Path, name: str, start: int, boxes: Boxes, actor: int = 7) -> tuple[Path, ...]:
    """One activity of one actor as KPF, a box a frame from ``start``."""
    end = start + len(boxes) - 1
    activity = (
        f"- {{ act: {{ act2: {{{name}: 1.0}}, id2: 5, timespan: [{{tsr0: [{start}, {end}]}}], "
        f"actors: [{{id1: {actor}, timespan: [{{tsr0: [{start}, {end}]}}]}}] }} }}\n"
    )
    lines = [
        f"- {{ geom: {{id1: {actor}, id0: 1, ts0: {t}, g0: {' '.join(map(str, b))}}} }}\n"
        for t, b in boxes.items()
    ]
    types = f"- {{ types: {{ id1: {actor}, cset3: {{ person: 1.0 }} }} }}\n"
    paths = []
    folder.mkdir(exist_ok=True)
    for kind, text in (("activities", activity), ("geom", "".join(lines)), ("types", types)):
        path = folder / f"clip.{kind}.yml"
        path.write_text(text)
        paths.append(path)
    return tuple(paths)


def entry_of(files: tuple[Path, ...]) -> Entry:
    return Entry("meva", "clip", "kitware", "kpf", files, None, "meva")


def parse(entry: Entry, *overrides: str, width: int = 100, height: int = 80) -> Parsed:
    return parse_entry(entry, Settings.load(overrides=overrides), width=width, height=height)


def reasons(parsed: Parsed) -> list[tuple[str, str, int]]:
    names = ("reason", "action", "count")
    return list(zip(*(parsed.issues[n].tolist() for n in names), strict=True))


def balanced(parsed: Parsed) -> bool:
    row = parsed.balance.iloc[0]
    taken = parsed.issues["action"].isin(["dropped", "quarantined"])
    return bool(
        row.records_in == row.records_out + row.dropped
        and row.records_out == len(parsed.activities)
        and parsed.issues.loc[taken, "count"].sum() == row.dropped
    )


def test_tables_have_their_columns_keys_and_labels(tmp_path: Path) -> None:
    files = kpf(tmp_path, "person_carries_heavy_object", 3, dict.fromkeys((3, 4), (1, 2, 30, 40)))
    parsed = parse(entry_of(files))
    for table in ("activities", "boxes", "actors"):
        frame = getattr(parsed, table)
        assert frame.columns.tolist() == columns(table)
        assert frame[["source", "video_id", "annotation_set"]].iloc[0].tolist() == [
            "meva",
            "clip",
            "kitware",
        ]
    assert parsed.activities["labels"].tolist() == [("activity_carrying", "Transport_HeavyCarry")]
    assert parsed.activities[["start", "end"]].to_numpy().tolist() == [[3, 5]]
    assert balanced(parsed)


def test_an_unknown_name_stays_without_label_and_names_the_nearest(tmp_path: Path) -> None:
    parsed = parse(entry_of(kpf(tmp_path, "vehicle_stopps", 0, {0: (1, 1, 9, 9)})))
    assert parsed.activities["labels"].tolist() == [()]
    assert reasons(parsed) == [("unknown_label", "noted", 1)]
    assert "nearest: vehicle_stops" in parsed.issues["detail"].iloc[0]
    assert balanced(parsed)


def test_boxes_are_clipped_to_the_picture_once_an_actor(tmp_path: Path) -> None:
    boxes = {0: (-5, 10, 20, 90), 1: (90, 10, 130, 20), 2: (200, 1, 210, 9), 3: (1, 1, 9, 9)}
    files = kpf(tmp_path, "vehicle_stops", 0, boxes)
    parsed = parse(entry_of(files))
    corners = parsed.boxes[["x1", "y1", "x2", "y2"]].to_numpy().tolist()
    assert corners == [[0, 10, 20, 80], [90, 10, 100, 20], [1, 1, 9, 9]]
    assert reasons(parsed) == [("outside_picture", "clipped", 2), ("empty_box", "clipped", 1)]
    assert balanced(parsed)
    whole = parse(entry_of(files), "parse.clip_boxes=false")
    assert len(whole.boxes) == 4
    assert reasons(whole) == []


def test_an_activity_without_a_box_in_the_picture_falls(tmp_path: Path) -> None:
    files = kpf(tmp_path, "vehicle_stops", 0, {0: (200, 1, 210, 9)})
    parsed = parse(entry_of(files))
    assert parsed.activities.empty
    assert parsed.without_geometry["labels"].tolist() == [("vehicle_stopping",)]
    assert ("empty_box", "dropped", 1) in reasons(parsed)
    assert balanced(parsed)


def test_geometry_that_is_missing_leaves_the_activity_for_the_partition(tmp_path: Path) -> None:
    files = kpf(tmp_path, "vehicle_stops", 0, {0: (1, 1, 9, 9)})[:1]
    parsed = parse(entry_of(files))
    assert parsed.activities.empty
    assert parsed.without_geometry["labels"].tolist() == [("vehicle_stopping",)]
    assert reasons(parsed) == [("no_geometry", "dropped", 1)]
    assert balanced(parsed)


def test_an_unreadable_file_is_one_issue(tmp_path: Path) -> None:
    path = tmp_path / "clip.activities.yml"
    path.write_bytes(b"- { act: \x00\n")
    parsed = parse(entry_of((path,)))
    assert reasons(parsed) == [("unreadable", "quarantined", 1)]
    assert parsed.issues["file"].tolist() == ["clip.activities.yml"]
    assert parsed.activities.empty
    assert balanced(parsed)
    gone = parse(entry_of((tmp_path / "clip.activities.yaml",)))
    assert reasons(gone) == [("unreadable", "quarantined", 1)]


def test_a_wrong_map_is_the_users_error_not_an_issue(tmp_path: Path) -> None:
    entry = entry_of(kpf(tmp_path, "vehicle_stops", 0, {0: (1, 1, 9, 9)}))
    with pytest.raises(SettingsError, match="no label map 'nonesuch'"):
        parse(entry, "labels.meva=nonesuch")


LEFT = Region("ignore", ((0, 0), (50, 0), (50, 80), (0, 80)))


@pytest.mark.parametrize(
    ("regions", "kept"),
    [
        ((LEFT,), False),  # three of four boxes stand on the left
        ((replace(LEFT, kind="only"),), True),
        ((Region("only", ((50, 0), (100, 0), (100, 80), (50, 80))),), False),
        ((Region("ignore", ((0, 0), (50, 0), (50, 10), (0, 10))),), True),  # above the feet
        ((), True),
    ],
)
def test_regions_judge_by_where_most_boxes_stand(
    tmp_path: Path, regions: tuple[Region, ...], kept: bool
) -> None:
    boxes = {0: (1, 2, 9, 30), 1: (2, 2, 10, 30), 2: (3, 2, 11, 30), 3: (60, 2, 70, 30)}
    entry = replace(entry_of(kpf(tmp_path, "vehicle_stops", 0, boxes)), regions=regions)
    parsed = parse(entry)
    assert (len(parsed.activities) == 1) is kept
    assert reasons(parsed) == ([] if kept else [("region", "dropped", 1)])
    assert balanced(parsed)


def test_two_sets_are_united_without_what_both_hold(tmp_path: Path) -> None:
    near = dict.fromkeys(range(20), (10, 10, 30, 50))
    far = dict.fromkeys(range(5, 15), (60, 10, 80, 50))
    first = kpf(tmp_path / "a", "person_talks_to_person", 0, near)
    again = kpf(
        tmp_path / "b", "Talking", 5, dict.fromkeys(range(5, 25), (11, 10, 30, 51)), actor=1
    )
    other = kpf(tmp_path / "c", "Talking", 5, far, actor=1)
    entry = entry_of((*first, *again, *other))
    parts = tuple(Part(name, "kpf", "meva", "", 3) for name in ("kitware", "CMU-v2", "UMD-v1"))
    parsed = parse(replace(entry, parts=parts))
    assert parsed.activities["activity_id"].tolist() == ["5", "UMD-v1.5"]
    assert parsed.activities["actors"].tolist() == [("7",), ("UMD-v1.1",)]
    assert reasons(parsed) == [("duplicate", "dropped", 1)]
    assert parsed.activities["file_order"].is_unique
    boxes = parsed.boxes.groupby("actor_id", observed=True)["frame"].agg(["min", "max", "size"])
    assert boxes.loc["7"].tolist() == [0, 24, 25]  # the second set goes on where the first ends
    assert boxes.loc["UMD-v1.1"].tolist() == [5, 14, 10]
    assert balanced(parsed)


def annotation(boxes: list[tuple[str, int, int]], side: int = 20) -> VideoAnnotation:
    """Square boxes (actor, frame, x); one activity an actor over all of its frames."""
    boxes = sorted(set(boxes))
    actors = sorted({a for a, _, _ in boxes})
    x = np.array([b[2] for b in boxes], float)
    frames = pd.Series([b[1] for b in boxes], dtype="int32")
    table = pd.DataFrame(
        {
            "actor_id": pd.Categorical([b[0] for b in boxes]),
            "frame": frames,
            "x1": x,
            "y1": 0.0,
            "x2": x + side,
            "y2": float(side),
            "keyframe": True,
        },
        index=range(len(boxes)),
    ).drop_duplicates(["actor_id", "frame"], ignore_index=True)
    rows = [
        (f"on {a}", "Talking", min(t), max(t) + 1, (a,), "", i)
        for i, a in enumerate(actors)
        for t in [[b[1] for b in boxes if b[0] == a]]
    ]
    names = ["activity_id", "name", "start", "end", "actors", "status", "file_order"]
    kinds = pd.DataFrame({"actor_id": actors, "type": ["person"] * len(actors)})
    activities = pd.DataFrame(rows, columns=names)
    return VideoAnnotation("v", activities, table, kinds, records_in=len(rows))


rows = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 8), st.integers(0, 12)), max_size=18
)


def slow_same(first: VideoAnnotation, second: VideoAnnotation) -> dict[str, str]:
    """The rule box by box: pairs of a median IoU >= 0.7 over enough frames, the best first."""

    def tracks(v: VideoAnnotation) -> dict[str, dict[int, float]]:
        found: dict[str, dict[int, float]] = {}
        for b in v.boxes.itertuples():
            found.setdefault(str(b.actor_id), {})[int(b.frame)] = float(b.x1)
        return found

    pairs = []
    for b, there in tracks(second).items():
        for a, here in tracks(first).items():
            common = [max(0.0, 20 - abs(here[t] - there[t])) for t in here if t in there]
            if common and len(common) >= min(5, len(here), len(there)):
                pairs.append((-np.median([c / (40 - c) for c in common]), -len(common), a, b))
    same: dict[str, str] = {}
    for median, _, a, b in sorted(pairs):
        if median <= -0.7 and a not in same.values() and b not in same:
            same[b] = a
    return same


@settings(max_examples=60, deadline=None)
@given(rows, rows)
def test_same_person_follows_the_rule(
    one: list[tuple[str, int, int]], two: list[tuple[str, int, int]]
) -> None:
    first, second = annotation(one), annotation(two)
    assert same_actors(first, second) == slow_same(first, second)
    united = unite([("A", first), ("B", second)])
    dropped = sum(i.count for i in united.issues if i.action == "dropped")
    assert united.records_in == len(united.activities) + dropped
    keys = united.boxes[["actor_id", "frame"]]
    assert not keys.duplicated().any()
    assert set(united.actors["actor_id"]) == set(united.boxes["actor_id"].astype(str))
    assert {a for actors in united.activities["actors"] for a in actors} <= set(
        united.actors["actor_id"]
    )


@settings(max_examples=30, deadline=None)
@given(rows)
def test_a_set_united_with_itself_is_itself(one: list[tuple[str, int, int]]) -> None:
    alone = annotation(one)
    united = unite([("A", alone), ("B", alone)])
    assert united.activities["activity_id"].tolist() == alone.activities["activity_id"].tolist()
    assert len(united.boxes) == len(alone.boxes)


def test_a_later_set_may_keep_no_activity(tmp_path: Path) -> None:
    first = kpf(tmp_path / "a", "Talking", 0, dict.fromkeys(range(20), (10, 10, 30, 50)))
    bare = kpf(tmp_path / "b", "Talking", 0, {0: (10, 10, 30, 50)})[:1]
    empty = tmp_path / "b" / "clip.types.yml"
    empty.write_text('- { meta: "empty" }\n')
    entry = entry_of((*first, *bare, *bare, empty))
    parts = tuple(Part(name, "kpf", "meva", "", n) for name, n in (("A", 3), ("B", 1), ("C", 2)))
    parsed = parse(replace(entry, parts=parts))
    assert parsed.activities["activity_id"].tolist() == ["5"]
    assert parsed.without_geometry["activity_id"].tolist() == ["B.5", "C.5"]
    assert balanced(parsed)
    turned = replace(entry, files=(*bare, *first), parts=(parts[1], parts[0]))
    assert parse(turned).activities["activity_id"].tolist() == ["A.5"]


def test_a_set_that_cannot_be_read_costs_that_set(tmp_path: Path) -> None:
    first = kpf(tmp_path / "a", "Talking", 0, dict.fromkeys(range(20), (10, 10, 30, 50)))
    broken = tmp_path / "clip.activities.yml"
    broken.write_text("{")
    parts = (Part("A", "kpf", "meva", "", 3), Part("B", "kpf", "meva", "", 1))
    for files, sets in (((*first, broken), parts), ((broken, *first), parts[::-1])):
        parsed = parse(replace(entry_of(files), parts=sets))
        assert parsed.activities["activity_id"].tolist() == ["5"]
        assert reasons(parsed) == [("unreadable", "quarantined", 1)]
        assert balanced(parsed)


def test_a_glimpse_or_a_moment_in_common_is_not_the_same() -> None:
    here, still = annotation([("a", t, 0) for t in range(20)]), [("b", t, 0) for t in range(16, 36)]
    assert not same_actors(here, annotation(still))  # four frames of twenty
    both = annotation([("b", t, 0) for t in range(15, 35)])
    assert same_actors(here, both) == {"b": "a"}
    assert len(unite([("A", here), ("B", both)]).activities) == 2  # a quarter of the time
    again = annotation([("b", t, 0) for t in range(8, 28)])
    assert len(unite([("A", here), ("B", again)]).activities) == 1


def test_a_thing_without_a_type_may_be_a_person() -> None:
    here, there = (
        annotation([("a", t, 0) for t in range(9)]),
        annotation([("b", t, 0) for t in range(9)]),
    )
    for kind, same in (("", {"b": "a"}), ("person", {"b": "a"}), ("vehicle", {})):
        assert same_actors(here, replace(there, actors=there.actors.assign(type=kind))) == same


def test_the_kitware_set_is_accounted_for(shared: Path) -> None:
    """One folder of it here; the whole set is the business of the acceptance test."""
    data = shared / "data" / "meva" / "annotation" / "kitware" / "2018-03-13"
    found = sources.get("meva").discover(data, Settings.load())
    totals = np.zeros(4, int)
    for entry in found.entries:
        parsed = parse_entry(entry, Settings.load(), width=entry.width, height=entry.height)
        assert balanced(parsed)
        b = parsed.boxes
        assert ((b["x1"] >= 0) & (b["x2"] <= entry.width) & (b["x1"] < b["x2"])).all()
        row = parsed.balance.iloc[0]
        bare = len(parsed.without_geometry)
        totals += (row["records_in"], row["records_out"], row["dropped"], bare)
    texts = [p.read_text() for p in data.rglob("*.activities.yml")]
    assert totals[0] == sum(t.count("act2:") for t in texts)
    empty = sum(t.count("empty_37: 1.0") for t in texts)
    assert totals[2] == totals[3] + empty


def test_an_activity_without_boxes_names_the_json_that_is_missing(tmp_path: Path) -> None:
    files = kpf(tmp_path, "person_sits_down", 0, {0: (1, 1, 9, 9)})
    entry = replace(entry_of(files[:1]), no_geometry="clip.json, which is missing, has all")
    (detail,) = parse(entry).issues.query("reason == 'no_geometry'")["detail"]
    assert detail == "clip.json, which is missing, has all"
