"""The closing summary: is what was planned of a known input what its preset plans of it?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import tinyvirat_build as tvb
from tinyvirat_build.ask.summary import completeness, headlines
from tinyvirat_build.settings import Expected, Settings

KPF = """\
- {{ act: {{ act2: {{person_talks_to_person: 1.0}}, id2: {i}, timespan: [{{tsr0: [0, 99]}}], \
src_status: truth, actors: [{{id1: {i}, timespan: [{{tsr0: [0, 99]}}]}}] }} }}
"""
BOX = (
    "- {{ geom: {{id1: {i}, id0: {t}, ts0: {t}, ts1: 0.0, g0: {x} 50 {w} 90, keyframe: true }} }}\n"
)


@pytest.fixture
def planned(tmp_path: Path) -> tvb.Build:
    """A build of one video with two people far apart: four clips of 50 frames."""
    kitware = tmp_path / "data" / "kitware"
    kitware.mkdir(parents=True)
    name = "2018-03-07.16-50-01.16-55-01.bus.G331"
    geometry = [
        BOX.format(i=i, t=t, x=50 + 400 * i, w=90 + 400 * i) for i in (0, 1) for t in range(100)
    ]
    (kitware / f"{name}.activities.yml").write_text(KPF.format(i=0) + KPF.format(i=1))
    (kitware / f"{name}.geom.yml").write_text("".join(geometry))
    return tvb.build("meva", tmp_path / "out", data=tmp_path / "data", until="crop", workers=1)


def told(build: tvb.Build, monkeypatch: pytest.MonkeyPatch, *known: Expected) -> list[str]:
    """What the summary says where the preset knows these inputs."""
    preset = replace(Settings.load(), expected=known)
    monkeypatch.setattr(Settings, "load", lambda *_: preset)
    return completeness(build.path, build.settings)


@pytest.mark.parametrize(
    ("known", "line"),
    [
        (
            Expected("meva/kitware", 1, 2, 4),
            "Complete: 4 clips before the filter, as expected of MEVA kitware (1 video).",
        ),
        (
            Expected("meva/kitware", 1, 2, 5),
            "Expected 5 clips of MEVA kitware (1 video) before the filter, found 4.",
        ),
        (
            Expected("meva/kitware", 1, 2, 4, without_boxes=1, published=9),
            "4 clips before the filter; nothing is known to compare them with: all activities of "
            "MEVA kitware (1 video) have their boxes. The released set has 9 rows of it.",
        ),
    ],
)
def test_a_known_input_is_compared(
    planned: tvb.Build, monkeypatch: pytest.MonkeyPatch, known: Expected, line: str
) -> None:
    assert told(planned, monkeypatch, known) == [line]


def test_an_input_without_its_geometry_is_not_complete(
    planned: tvb.Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (geometry,) = (tmp_path / "data").rglob("*.geom.yml")
    geometry.write_text("".join(BOX.format(i=0, t=t, x=50, w=90) for t in range(100)))
    build = tvb.build("meva", tmp_path / "out", data=tmp_path / "data", until="crop", workers=1)
    part = Expected("meva/kitware", 1, 2, 2, without_boxes=1)
    (line,) = told(build, monkeypatch, part)
    assert line.startswith(
        "Not complete: 1 of 2 activities of MEVA kitware (1 video) have no boxes"
    )
    assert line.endswith("Of the others come 2 clips before the filter, as expected.")


@pytest.mark.parametrize(
    "known",
    [
        Expected("meva/kitware", 2, 2, 4),  # more videos
        Expected("meva/kitware", 1, 3, 4),  # more records
        Expected("meva/CMU-v2", 1, 2, 4),
        Expected("virat/kitware", 1, 2, 4),
    ],
)
def test_of_another_input_nothing_is_said(
    planned: tvb.Build, monkeypatch: pytest.MonkeyPatch, known: Expected
) -> None:
    assert told(planned, monkeypatch, known) == []


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("crop.max_side=96", False),
        ("by_source.meva.merge.threshold=0.5", False),
        ("labels.meva=meva-to-tinyvirat-v2", False),
        ("by_source.virat.merge.threshold=0.5", True),
        ("filter.min_samples=0", True),
        ("encode.codec=mpeg4", True),
        ("partition.seed=3", True),
    ],
)
def test_only_of_the_presets_own_plan(
    planned: tvb.Build, monkeypatch: pytest.MonkeyPatch, override: str, says: bool
) -> None:
    changed = replace(planned, settings=planned.settings.override([override]))
    lines = told(changed, monkeypatch, Expected("meva/kitware", 1, 2, 4))
    assert bool(lines) == says


def test_an_own_preset_file_expects_nothing(planned: tvb.Build) -> None:
    settings = replace(planned.settings, preset="my.yaml")
    assert completeness(planned.path, settings) == []


def test_what_is_expected_is_no_part_of_a_plan(planned: tvb.Build, tmp_path: Path) -> None:
    """A preset that learns of one more input redoes nothing."""
    expected = [{"input": "meva/x", "videos": 1, "activities": 1, "clips": 1}]
    before = {p: p.read_bytes() for p in (planned.path / "tables").iterdir()}
    again = tvb.build(
        "meva", planned.path, data=tmp_path / "data", until="crop", workers=1,
        settings={"expected": expected},
    )  # fmt: skip
    assert again.settings.expected == (Expected("meva/x", 1, 1, 1),)
    assert {p: p.read_bytes() for p in (planned.path / "tables").iterdir()} == before


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["default", "tinyvirat-v2", "meva-37"])
def test_the_presets_expect_what_they_plan(shared: Path, tmp_path: Path, preset: str) -> None:
    build = tvb.build(
        "meva", tmp_path / "out", data=shared / "data/meva", preset=preset, until="crop",
        settings={"meva.sets": ["kitware"]},
    )  # fmt: skip
    (known,) = build.settings.expected
    assert completeness(build.path, build.settings) == [
        f"Not complete: {known.without_boxes:,} of 7,127 activities of MEVA kitware (266 videos) "
        "have no boxes, as geometry files are missing (`tinyvirat-build doctor` counts them). Of "
        f"the others come {known.clips:,} clips before the filter, as expected."
        + " The released set has 13,526 rows of it."
        * (preset == "tinyvirat-v2")
    ]


def test_a_dataset_without_val_or_of_lost_labels_says_so(planned: tvb.Build) -> None:
    """First of all, each in a line, and what to do."""
    settings = planned.settings
    build = tvb.build(
        "meva", planned.path, data=planned.path.parent / "data", until="filter", workers=1
    )
    assert headlines(build.path, settings, "crop") == []
    few, rare = headlines(build.path, settings, "filter")
    assert few == (
        "All clips are train: 1 group of videos. Say in `group` which belong together, or divide "
        "their time: --set partition.group=time."
    )
    assert rare == (
        "filter.min_samples=10 left out Talking (4 training clips), and 4 clips with no other "
        "label; --set filter.min_samples=1 keeps them."
    )
    by_time = replace(settings, partition=replace(settings.partition, group="time"))
    assert headlines(build.path, by_time, "filter")[0] == (
        "All clips are train: 1 group of videos. Say in `group` which belong together; a video's "
        "time is divided from 24 activities on."
    )
    listed = replace(settings, partition=replace(settings.partition, lists={"meva": "own.csv"}))
    assert headlines(build.path, listed, "filter")[0].startswith(
        "All clips that no list fixes are train: 1 group of videos."
    )


def test_the_report_says_it_first(planned: tvb.Build, tmp_path: Path) -> None:
    settings = {"filter.min_samples": 1, "videos.missing": "skip"}
    build = tvb.build("meva", planned.path, data=tmp_path / "data", settings=settings, workers=1)
    page = (build.path / "report.html").read_text("utf-8")
    (line,) = headlines(build.path, build.settings, "stats")
    assert line.startswith("All clips are train: 1 group of videos.")
    assert page.index(line) < page.index("<h2")
