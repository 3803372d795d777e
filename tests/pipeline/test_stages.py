"""The table of stages: all follows from it, so that a new stage is one function and one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest
from builds import DEMO_SETS

import tinyvirat_build as tvb
from tinyvirat_build import store
from tinyvirat_build.labels import load_classes
from tinyvirat_build.pipeline import stages
from tinyvirat_build.pipeline.keys import inputs_of_video, key_of, values
from tinyvirat_build.settings import BY_SOURCE, Settings
from tinyvirat_build.sources import Entry

TESTS = Path(__file__).resolve().parents[1]


def call(*args: str | Path, program: str = "example_stage.py") -> str:
    """What the command line says that has the example in its table."""
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    done = subprocess.run(
        [sys.executable, TESTS / program, *args],
        env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_stage_is_one_function_and_one_line(demo_data: Path, tmp_path: Path) -> None:
    args = ["all", "--source=demo", "--data", demo_data, "--out", tmp_path, *DEMO_SETS]
    args += ["--until=filter"]
    lines = [line.split() for line in call(*args).splitlines()]
    (balance,) = (line for line in lines if line[:1] == ["lone"])
    assert int(balance[1]) == int(balance[2]) + int(balance[3])
    clips = tvb.open_build(tmp_path).table("clips_planned")
    assert len(clips) == int(balance[2]) > 0
    assert (clips["activities"].map(len) == 1).all()
    assert "Nothing to do" in call(*args)
    next((tmp_path / "units" / "lone").rglob("*/*/*")).unlink()
    assert "Nothing to do" not in call("lone", "--out", tmp_path)
    assert "Nothing to do" in call("filter", "--out", tmp_path)
    assert "Drop clips of several activities." in call("--help")


def test_the_example_is_in_the_reference() -> None:
    program = (
        "import sys; sys.path[:0] = sys.argv[1:]; import example_stage; example_stage.add(); "
        "import generate; print(generate.reference())"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, TESTS, TESTS.parent, TESTS.parent / "docs"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "| lone | video | `clips_planned` | `clips_planned` | `merge.unit` |" in found
    assert "### lone" in found


@pytest.mark.parametrize("stage", stages.STAGES, ids=lambda s: s.name)
def test_every_function_of_the_table_is_there(stage: stages.Stage) -> None:
    for place in (stage.run, stage.instead, stage.there):
        assert not place or callable(stages.resolve(place))


def test_a_video_stage_reads_only_settings_that_a_source_may_have_for_itself() -> None:
    read = {n.split(".")[0] for s in stages.STAGES if s.scope == "video" for n in s.settings}
    assert read == BY_SOURCE


def _leaves(group: object, prefix: str = "") -> Iterator[str]:
    for field in fields(group):  # type: ignore[arg-type]
        value = getattr(group, field.name)
        if is_dataclass(value):
            yield from _leaves(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}"


OTHER = {  # another value, where none follows from the one that the setting has
    "preset": "meva-37", "classes": "more.csv", "labels": {"virat": "meva-to-tinyvirat"},
    "meva.sets": ["kitware"], "meva.unite": "union", "virat.prefer": ["text"],
    "parse.drop_status": [], "parse.last": "off_frame", "virat.same_boxes": "join",
    "merge.touch": "actor", "crop.enlarge": 1.1, "merge.unit": "activity", "merge.measure": "iou",
    "merge.unmapped": "include", "chunk.lengths": [20, 30], "chunk.remainder": "drop",
    "crop.mode": "static", "crop.shape": "box", "crop.scope": "segment", "crop.sides": [56],
    "crop.avoid_widths": [24], "publish.date": "2026-01-31",
    "crop.snap": "above", "crop.labels": "window", "crop.names": "meva-current-to-2019",
    "crop.grid": "truncate", "partition.targets": [0.5, 0.25, 0.25], "partition.group": "video",
    "partition.lists": {"virat": "official"}, "videos.missing": "skip", "videos.max_held": 0.5,
    "encode.codec": "ffv1", "report.previews": "none",
    "by_source": {"virat": {"chunk": {"length": 19}}},
    "expected": [{"input": "virat/kpf", "videos": 1, "activities": 1, "clips": 1}],
    **{f"publish.quality.{bound}": 0.5 for bound in (
        "min_motion", "min_brightness", "max_brightness", "min_contrast", "min_blur", "max_frozen",
    )}, "publish.quality.infrared": "drop",
}  # fmt: skip
FIRST = {  # the first stage that a setting has redone; all after it follow
    "classes": "parse", "labels": "parse", "by_source": "chunk", "encode": "plan",
    "videos.max_held": "cut", "preset": "publish", "report": "stats",  # the card names the preset
    # Which files are read, and what the preset expects: no stage's own affair.
    **dict.fromkeys(("expected", "videos.missing", "meva", "virat", "demo"), ""),
}  # fmt: skip


def redone(before: Settings, after: Settings, files: Path) -> list[str]:
    """The stages whose keys differ, or that read what such a stage wrote."""
    annotated = files / "a.activities.yml"
    entry = Entry("virat", "VIRAT_S_1", "kpf", "kpf", (annotated,), None, "virat")
    hashes = store.HashMemory(files / "hashes.json", forget=True)
    found: list[str] = []
    stale: set[str] = set()
    for stage in stages.STAGES:
        of_video = stage.scope in ("file", "video")
        keys = set()
        for settings in (before, after):
            own = settings.of("virat") if of_video else settings
            inputs = inputs_of_video(entry, own, hashes, {}) if of_video else {}
            keys.add(key_of(stage, values(stage, own), None, inputs))
        if len(keys) > 1 or stale & stage.reads_of().keys():
            found.append(stage.name)
            stale |= set(stage.writes)
    return found


@pytest.mark.parametrize("leaf", list(_leaves(Settings())))
def test_a_setting_redoes_just_these_stages(leaf: str, tmp_path: Path) -> None:
    plain = Settings.load(overrides=["crop.mode=static"] if leaf == "crop.grid" else [])
    value = plain.to_dict()
    for part in leaf.split("."):
        value = value[part]
    other = OTHER.get(leaf, not value if isinstance(value, bool) else None)
    if other is None:
        other = value + 1 if isinstance(value, int) else value / 2  # type: ignore[operator]
    if leaf == "classes":
        other = str(tmp_path / other)
        Path(other).write_text("\n".join(["name", *load_classes(plain.classes), "Waving"]), "utf-8")
    if leaf == "preset":
        changed = replace(plain, preset=other)
    else:
        changed = plain.override([f"{leaf}={json.dumps(other)}"])
    assert plain != changed
    group = leaf.split(".")[0]
    first = FIRST.get(leaf, FIRST.get(group, group))
    expected = stages.names()[stages.order_of(first) :] if first else []
    assert redone(plain, changed, tmp_path) == expected
