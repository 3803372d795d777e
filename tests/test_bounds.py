"""Files that ask for much: memory and work follow from what is there, and from nothing else."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import shapes
from shapes import SHAPES

from tinyvirat_build import errors, labels, sources
from tinyvirat_build.errors import Work
from tinyvirat_build.records import StageResult
from tinyvirat_build.settings import Settings
from tinyvirat_build.sources.parse import Parsed, parse_entry
from tinyvirat_build.stages import merge as merging
from tinyvirat_build.stages import sweep as sweeping

SETTINGS = Settings.load(overrides=["meva.sets=kitware"])


def parsed(folder: Path, shape: str, size: float) -> list[Parsed]:
    shapes.write(folder, shape, size)
    entries = sources.get("meva").discover(folder, SETTINGS).entries
    return [parse_entry(e, SETTINGS, width=1920, height=1080) for e in entries]


def merged(given: list[Parsed]) -> StageResult:
    activities = pd.concat([p.activities for p in given], ignore_index=True)
    boxes = pd.concat([p.boxes for p in given], ignore_index=True)
    return merging.merge(activities, boxes, SETTINGS.merge)


@pytest.mark.parametrize(
    ("shape", "size"),
    [("far_spans", 1), ("shared_actor", 1), ("many_runs", 0.3), ("one_id", 0.3), ("outside", 0.3)],
)
def test_a_small_file_is_planned_in_little_memory(tmp_path: Path, shape: str, size: float) -> None:
    shapes.write(tmp_path / "data", shape, size)
    found = shapes.planned(tmp_path, 1024)
    assert (found["status"], found["refused"], found["closes"]) == (0, [], True)
    assert found["clips"] >= 1
    assert found["memory"] < 300


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_each_shape_is_planned_or_refused_by_a_bound(tmp_path: Path, shape: str) -> None:
    shapes.write(tmp_path / "data", shape)
    found = shapes.planned(tmp_path, 1024)
    refused = [f"bound: more than {errors.MAX_MEMBERS:,} runs of frames of all activities"]
    assert found["refused"] == (refused if shape == "all_runs" else [])
    assert (found["status"], found["closes"]) == (0, True)
    assert found["clips"] >= 1
    assert found["memory"] < 700


@pytest.mark.parametrize(
    ("shape", "most"),
    [
        ("far_spans", 0),
        ("shared_actor", 0),  # pairs that share an actor are not compared
        ("one_id", 0),
        ("cast", 0),
        ("churn", 0),
        # 30 people, 435 pairs: by blocks of 32 frames, not by frames, and twice as activities
        ("crowd", 435 * (-(-200 // 32) + 2)),
    ],
)
def test_pairs_that_do_not_meet_are_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str, most: int
) -> None:
    works: list[Work] = []

    def counted() -> Work:
        works.append(errors.compared())
        return works[-1]

    given = parsed(tmp_path, shape, 0.1)
    monkeypatch.setattr(merging, "compared", counted)
    assert len(merged(given).table)
    assert sum(work.done for work in works) <= most


def test_the_sweep_costs_what_its_components_have_of_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    works: list[Work] = []

    class Counted(Work):
        def __init__(self, most: int, what: str) -> None:
            super().__init__(most, what)
            works.append(self)

    given = parsed(tmp_path, "shared_actor", 0.05)
    monkeypatch.setattr(sweeping, "Work", Counted)
    tracks = merged(given).table
    members = sum(map(len, tracks["activities"]))
    assert members <= 100 * 100 + 1
    assert [work.done <= 2 * members + 4 for work in works] == [True] * len(works) != []


@pytest.mark.parametrize(
    ("place", "name", "shape", "most"),
    [
        (merging, "MAX_MEMBERS", "all_runs", 2),
        (merging, "MAX_CAST_BOXES", "crowd", 64),
        (merging, "MAX_TOUCHES", "crowd", 2),
        (sweeping, "MAX_MEMBERS", "shared_actor", 2),
        (sweeping, "MAX_CHANGES", "shared_actor", 2),
        (errors, "MAX_MEETINGS", "crowd", 2),
    ],
)
def test_a_video_beyond_a_bound_is_one_issue_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: object, name: str, shape: str, most: int
) -> None:
    given = parsed(tmp_path, shape, 0.02)
    monkeypatch.setattr(place, name, most)
    found = merged(given)
    (issue,) = found.issues[found.issues["reason"] == "bound"].to_dict("records")
    assert (issue["action"], issue["count"]) == ("quarantined", len(given[0].activities))
    assert f"more than {most} " in issue["detail"]
    assert (found.balance.records_in == found.balance.records_out + found.balance.dropped).all()
    assert found.table["video_id"].astype(str).unique().tolist() == [
        shapes.NAME.replace("16-5", "17-5")
    ]


def test_a_span_without_boxes_is_bounded_where_it_would_be_cut(tmp_path: Path) -> None:
    given = parsed(tmp_path, "far_spans", 1)
    activities = pd.concat([p.activities for p in given], ignore_index=True)
    rule = Settings.load(overrides=["merge.unit=activity"]).merge
    found = merging.merge(activities, given[0].boxes, rule)
    assert found.issues["reason"].tolist() == ["bound"]
    assert len(found.table) == 1


def test_no_bound_lies_where_a_long_video_may_be() -> None:
    assert errors.MAX_BOXES >= 10_000_000
    assert errors.MAX_FRAME >= 5_000_000
    assert min(errors.MAX_CAST_BOXES, errors.MAX_SPAN) >= 10_000_000
    assert min(errors.MAX_MEMBERS, errors.MAX_TOUCHES, errors.MAX_CHANGES) >= 10 * 100_000


def test_labels_of_the_class_list_are_in_the_shapes() -> None:
    known = labels.map_of("meva", SETTINGS)
    assert all(known.labels_of(name) for name in shapes.ACTS)
