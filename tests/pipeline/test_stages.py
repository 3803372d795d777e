"""The table of stages: all follows from it, so that a new stage is one function and one line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

import tinyvirat_build as tvb
from tinyvirat_build.pipeline import stages
from tinyvirat_build.pipeline.keys import key_of
from tinyvirat_build.settings import BY_SOURCE, Settings

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


def test_a_stage_is_one_function_and_one_line(tmp_path: Path) -> None:
    settings = ["--set=demo.scale=0.1", "--set=filter.min_samples=1"]
    args = ["all", "--source=demo", "--out", tmp_path, *settings, "--until=filter"]
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


OTHER = {
    "parse.drop_status": [], "merge.unit": "activity", "merge.measure": "iou",
    "merge.unmapped": "include", "chunk.lengths": [20, 30], "chunk.remainder": "drop",
    "crop.mode": "static", "crop.shape": "box", "crop.scope": "segment", "crop.sides": [56],
    "crop.snap": "above", "crop.labels": "window", "crop.names": "meva-current-to-2019",
    "partition.targets": [0.5, 0.25, 0.25], "partition.group": "video",
    "encode.codec": "ffv1", "videos.max_held": 0.5, "classes": "meva-37",
}  # fmt: skip
READ_BY = {  # the stages whose own key a group's settings are in; what follows them is redone
    "parse": {"parse"}, "chunk": {"chunk"}, "crop": {"crop"}, "partition": {"partition"},
    "filter": {"filter"}, "publish": {"publish"}, "encode": {"plan", "cut"}, "merge": {"merge"},
}  # fmt: skip
MORE = {
    "merge.unit": {"merge", "segment", "crop"},
    "encode.pack": {"plan", "cut", "publish"},
    "videos.max_held": {"cut"},
    "classes": {"publish"},  # and by the label maps in parse
}


@pytest.mark.parametrize(
    "leaf",
    [
        name for name in _leaves(Settings())
        if name not in ("preset", "labels", "by_source", "expected", "partition.lists")
        and name not in ("crop.grid", "videos.missing")
        and name.split(".")[0] not in ("meva", "virat", "demo")
    ],
)  # fmt: skip
def test_a_setting_is_in_the_keys_of_just_these_stages(leaf: str) -> None:
    plain = Settings.load()
    value = plain.to_dict()
    for part in leaf.split("."):
        value = value[part]
    other = OTHER.get(leaf, not value if isinstance(value, bool) else None)
    if other is None:
        other = value + 1 if isinstance(value, int) else value / 2  # type: ignore[operator]
    changed = plain.override([f"{leaf}={other}"])
    redone = {
        s.name for s in stages.STAGES
        if key_of(s, plain, None, {}) != key_of(s, changed, None, {})
    }  # fmt: skip
    assert redone == MORE.get(leaf, READ_BY.get(leaf.split(".")[0], set()))
