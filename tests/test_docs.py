"""What the documentation tells one to type is typed."""

from __future__ import annotations

import os
import re
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path

import crossing
import pytest
import yaml
from blocks import PAGES, REPO, RUN, SHOWN, Block, blocks, left_over, program, run, typed

import tinyvirat_build as tvb

ALL = [block for page in PAGES for block in blocks(page)]
MARKED = [block for block in ALL if block.no_run]
TYPED = [page for page in PAGES if any(typed(page))]


def name(given: Path | Block) -> str:
    return given.name if isinstance(given, Block) else given.relative_to(REPO).as_posix()


def test_every_block_says_what_it_is() -> None:
    fences = sum(len(re.findall("^```", page.read_text(), re.MULTILINE)) for page in PAGES)
    assert fences == 2 * len(ALL)
    assert [b.name for b in ALL if b.language not in RUN + SHOWN] == []


def test_only_what_could_run_is_marked_with_a_reason() -> None:
    assert [b.name for b in MARKED if b.language not in RUN or len(b.no_run) < 8] == []


def test_the_drawings_are_what_the_stages_make() -> None:
    drawn = runpy.run_path(str(REPO / "docs" / "drawings.py"))
    for what, draw in drawn["DRAWINGS"].items():
        assert (drawn["FOLDER"] / f"{what}.svg").read_text() == draw(), "run `make docs`"


def test_yaml_is_yaml() -> None:
    assert all(yaml.safe_load(block.text) for block in ALL if block.language == "yaml")


def test_an_output_is_held_against_its_lines_without_times() -> None:
    assert left_over(["a 3 s", "…", "c"], "a 11.5 s\nb\nc\n") == []
    assert left_over(["c", "a"], "a\nb\nc\n") == ["a"]


def crossing_(folder: Path) -> None:
    pytest.importorskip("torch", reason="the extra train is not installed")
    crossing.make(folder / "crossing")


def trained(folder: Path) -> None:
    pytest.importorskip("torch", reason="the extra train is not installed")
    from tinyvirat_build.train import fit, settings

    fit.train(settings.load("demo", ["epochs=1"]), folder / "OUT", folder / "RUN")
    for name in ("RUN1", "RUN2"):
        (folder / name).symlink_to("RUN")


def torch(folder: Path) -> None:
    pytest.importorskip("torch", reason="the extra train is not installed")


SETTINGS: dict[str, Callable[[Path], None]] = {
    "docs/corpus.md": crossing_,
    "docs/pack.md": torch,
    "docs/submit.md": trained,
    "docs/training.md": trained,
}
"""What a page finds beside ``OUT``, a build of the demo, and ``DIR``, its data."""


@pytest.mark.slow
@pytest.mark.parametrize("page", TYPED, ids=name)
def test_what_a_page_types_runs(
    page: Path, demo: tvb.Build, demo_data: Path, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin")
    where = tmp_path / "where"
    shutil.copytree(demo.path, where / "OUT")
    shutil.copytree(demo_data, where / "DIR")
    SETTINGS.get(name(page), lambda folder: None)(where)
    env = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "COLUMNS": "100"}
    for block, told in typed(page):
        assert left_over(told, run(block, where, env)) == [], block.name


@pytest.mark.slow
@pytest.mark.parametrize("block", MARKED, ids=name)
def test_what_is_not_typed(block: Block) -> None:
    pytest.skip(block.no_run)
