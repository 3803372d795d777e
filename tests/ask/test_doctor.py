from __future__ import annotations

import json
from pathlib import Path

import pytest
from counted import counted

from tinyvirat_build import sources
from tinyvirat_build.ask.doctor import Diagnosis, diagnose
from tinyvirat_build.errors import DataError
from tinyvirat_build.settings import Settings

CLIP = "2018-03-07.16-50-01.16-55-01.bus.G331"
BOX = {"boundingBox": {"x": 1, "y": 2, "w": 30, "h": 40}}


def examine(data: Path, *overrides: str, source: str = "meva") -> Diagnosis:
    return diagnose(sources.get(source), data, Settings.load(overrides=overrides))


def write_json(path: Path, name: str, frames: dict[str, object], off: int) -> None:
    movie = f"{CLIP}.avi"
    person = {"objectType": "Person", "objectID": 1, "localization": {movie: frames}}
    activity = {
        "activity": name,
        "activityID": 1,
        "localization": {movie: {"10": 1, str(off): 0}},
        "objects": [person],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"filesProcessed": movie, "activities": [activity]}))


def test_the_sample_is_diagnosed(shared: Path) -> None:
    data = shared / "data" / "meva"
    found = examine(data, "meva.sets=[UMD-IBM, IBM-person-vehicle]")
    sets = {s.name: s for s in found.sets}
    assert (sets["UMD-IBM"].videos, sets["UMD-IBM"].read, sets["kitware"].read) == (6, 6, 0)
    assert sets["UMD-IBM"].formats == (("actev-json, inclusive", 6),)
    assert sets["kitware"].lacking == (("geom", 28),)
    assert found.annotated == len(found.without_video) == 10
    assert not found.problems
    assert all(n.labels is not None for n in found.names)
    assert sum(n.activities for n in found.names) == found.kept
    text = found.render()
    assert "28 without their geom file" in text
    assert "no boxes contradict" in text
    assert max(map(len, text.splitlines())) < 130


def test_videos_without_annotation_and_the_reverse(tmp_path: Path) -> None:
    write_json(tmp_path / "UMD-IBM" / f"{CLIP}.json", "Talking", {"10": BOX, "12": BOX}, 12)
    (tmp_path / f"{CLIP.replace('G331', 'G340')}.r13.avi").touch()
    geometry = tmp_path / "UMD-IBM" / f"{CLIP.replace('G331', 'G341')}.geom.yml"
    geometry.touch()
    found = examine(tmp_path, "meva.sets=[UMD-IBM]")
    assert found.without_video == (CLIP,)
    assert found.without_annotation == (CLIP.replace("G331", "G340"),)
    assert found.unplaced == (geometry,)
    assert "Ready to plan" in found.render()


def test_boxes_that_contradict_the_dialect_are_told(tmp_path: Path) -> None:
    frames: dict[str, object] = {str(t): BOX for t in range(10, 21)}
    write_json(tmp_path / "UMD-v1-val" / f"{CLIP}.json", "Talking", frames, 20)
    found = examine(tmp_path, "meva.sets=[UMD-v1-val]")
    assert len(found.dialects) == 1
    assert "contradicted by boxes: 1" in found.render()
    write_json(tmp_path / "UMD-IBM" / f"{CLIP}.json", "Talking", frames, 20)
    assert not examine(tmp_path, "meva.sets=[UMD-IBM]").dialects


def test_unknown_names_and_broken_files_are_told(tmp_path: Path) -> None:
    write_json(tmp_path / "UMD-IBM" / f"{CLIP}.json", "Talkin", {"10": BOX, "11": BOX}, 11)
    broken = CLIP.replace("G331", "G340")
    (tmp_path / "UMD-IBM" / f"{broken}.json").write_text("{")
    found = examine(tmp_path, "meva.sets=[UMD-IBM]")
    assert [(n.name, n.labels, n.nearest) for n in found.names] == [("Talkin", None, "Talking")]
    assert len(found.problems) == 2  # a broken file, and no label at all
    text = found.render()
    assert "unknown; nearest: Talking" in text
    assert f"{broken}.json" in text


def test_an_empty_folder_is_a_problem_and_a_missing_one_an_error(tmp_path: Path) -> None:
    found = examine(tmp_path)
    assert found.annotated == 0
    assert "Problem: no MEVA annotation below" in found.render()
    with pytest.raises(DataError, match="no folder"):
        examine(tmp_path / "none")


def test_a_users_video_is_measured(shared: Path, tmp_path: Path) -> None:
    path = tmp_path / "pedestrians.yaml"
    path.write_text("format: kpf\n")
    found = examine(shared / "data" / "pedestrians", source=str(path))
    assert found.sizes == ("vtest.avi: 768x576, not 1920x1080",)
    geometry = (shared / "data" / "pedestrians" / "vtest.geom.yml").read_text()
    assert (found.records, found.kept, found.boxes) == (70, 70, geometry.count("g0:"))
    assert found.render().endswith("Ready to build.")


def custom(tmp_path: Path, text: str, dialect_off: int = 12) -> Diagnosis:
    frames: dict[str, object] = {str(t): BOX for t in range(10, 13)}
    write_json(tmp_path / f"{CLIP}.json", "Talking", frames, dialect_off)
    path = tmp_path / "c.yaml"
    path.write_text(f"format: actev-json\n{text}")
    return examine(tmp_path, source=str(path))


def test_a_dialect_that_nobody_told_is_named(tmp_path: Path) -> None:
    for off, dialect in ((12, "inclusive"), (13, "exclusive")):
        (report,) = custom(tmp_path, "", off).sets
        assert report.formats == ((f"actev-json, {dialect} by its boxes", 1),)
    (report,) = custom(tmp_path, "dialect: exclusive\n", 13).sets
    assert report.formats == (("actev-json, exclusive", 1),)


def test_where_nothing_is_kept_what_took_it_is_named(tmp_path: Path) -> None:
    found = custom(tmp_path, "regions: [{ignore: [[0, 0], [99, 0], [99, 99], [0, 99]]}]\n")
    assert (found.records, found.kept) == (1, 0)
    (problem,) = found.problems
    assert problem.startswith("none of 1 activity records is kept, most as region (")
    assert "Ready" not in found.render()
    assert not custom(tmp_path, "").problems


def test_many_unknown_names_are_told_soon(tmp_path: Path) -> None:
    movie = f"{CLIP}.avi"
    activities = [
        {
            "activity": f"unknown name of an activity, number {i}",
            "activityID": i,
            "localization": {movie: {"10": 1, "12": 0}},
            "objects": [
                {"objectType": "", "objectID": 1, "localization": {movie: {"10": BOX, "12": BOX}}}
            ],
        }
        for i in range(3000)
    ]
    (tmp_path / "UMD-IBM").mkdir()
    path = tmp_path / "UMD-IBM" / f"{CLIP}.json"
    path.write_text(json.dumps({"filesProcessed": movie, "activities": activities}))
    with counted() as work:
        found = examine(tmp_path, "meva.sets=[UMD-IBM]")
    assert work.calls < 10_000_000
    (fault,) = found.faults
    assert (fault.reason, fault.count, len(found.names)) == ("unknown_label", 3000, 3000)


def test_what_makes_a_corpus_of_less_use_is_told_first(tmp_path: Path) -> None:
    data = tmp_path / "UMD-IBM"
    write_json(data / f"{CLIP}.json", "Talking", {"10": BOX, "12": BOX}, 12)
    few, rare = examine(tmp_path, "meva.sets=[UMD-IBM]").cautions
    assert few.startswith("Few groups: the videos form 1 group, and three splits need three")
    assert rare.startswith("Rare classes: fewer than 10 activities each")
    assert "Talking (1); --set filter.min_samples=1 keeps them" in rare
    settings = ["meva.sets=[UMD-IBM]", "filter.min_samples=1", "partition.group=time"]
    assert examine(tmp_path, *settings).cautions == ()
    known = "[{input: meva/UMD-IBM, videos: 3, activities: 3, clips: 3}]"
    found = examine(tmp_path, settings[0], f"expected={known}")
    assert found.known == ("meva/UMD-IBM: 1 of the 3 that the preset default knows",)
    assert "Few groups" in found.render().splitlines()[1]
