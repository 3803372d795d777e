"""What the documentation tells one to type is typed."""

from __future__ import annotations

import configparser
import os
import re
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path

import crossing
import pytest
import yaml
from blocks import PAGES, REPO, RUN, SHOWN, Block, blocks, is_said, left_over, program, run, typed
from builds import made_once

import tinyvirat_build as tvb
from tinyvirat_build.records import REASONS
from tinyvirat_build.sources import ENTRY_POINTS

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


def test_ini_is_of_entry_points() -> None:
    for block in (block for block in ALL if block.language == "ini"):
        parsed = configparser.ConfigParser()
        parsed.read_string(block.text)
        assert parsed.sections() == ["options.entry_points"]
        (group,) = parsed["options.entry_points"]
        assert group == ENTRY_POINTS


def test_what_can_be_typed_is_no_text() -> None:
    texts = (block for block in ALL if block.language == "text" and block.mark != "output")
    lines = ((block, line) for block in texts for line in block.text.splitlines())
    typed_ = re.compile(r"(\$ )?(tinyvirat-build|python|pip|make) ")
    assert [block.name for block, line in lines if typed_.match(line)] == []


def test_an_output_is_held_against_its_lines_without_times() -> None:
    assert left_over(["a 3 s", "…", "c"], "a 11.5 s\nb\nc\n") == []
    assert left_over(["c", "a"], "a\nb\nc\n") == ["a"]


FAQ = REPO / "docs" / "faq.md"


def test_the_questions_quote_what_the_program_says() -> None:
    quoted = [b for b in blocks(FAQ) if b.language == "text" and b.mark != "output"]
    assert [b.name for b in quoted if not is_said(b.text.strip())] == []
    assert is_said("too many open files; raise the limit (ulimit -n)")
    assert not is_said("too many open doors; raise the limit (ulimit -n)")


def test_the_questions_name_reasons_that_there_are() -> None:
    named = re.findall(r"^(`.*`)$\n:   ", FAQ.read_text(), re.MULTILINE)
    reasons = [reason for line in named for reason in re.findall("`(.*?)`", line)]
    assert len(reasons) > 9
    assert set(reasons) <= set(REASONS)


TRAINED = ("docs/submit.md", "docs/training.md")  # pages that find a training run, ``RUN``
TORCH = (*TRAINED, "docs/corpus.md", "docs/pack.md")


@pytest.fixture
def place(
    page: Path, demo: tvb.Build, demo_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Where a page is typed: ``OUT``, a build of the demo, ``DIR``, its data, and what else."""
    if name(page) in TORCH:
        pytest.importorskip("torch", reason="the extra train is not installed")
    where = tmp_path_factory.mktemp("place")
    shutil.copytree(demo.path, where / "OUT")
    shutil.copytree(demo_data, where / "DIR")
    for out in ("demo", "own", "small"):  # is rendered once for all of them
        shutil.copytree(demo_data, where / out / "data")
    if name(page) == "docs/corpus.md":
        crossing.make(where / "crossing")
    if name(page) in TRAINED:
        shutil.copytree(made_once(tmp_path_factory, "docs-run", train_on(demo)), where / "RUN")
        for run in ("RUN1", "RUN2"):
            (where / run).symlink_to("RUN")
    return where


def train_on(build: tvb.Build) -> Callable[[Path], object]:
    from tinyvirat_build.train import fit, settings

    short = settings.load("demo", ["epochs=1", "schedule.warmup=0"])
    return lambda out: fit.train(short, build.path, out)


@pytest.mark.slow
@pytest.mark.parametrize("page", TYPED, ids=name)
def test_what_a_page_types_runs(page: Path, place: Path, tmp_path: Path) -> None:
    program(tmp_path)
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "COLUMNS": "100"}
    for block, told in typed(page):
        assert left_over(told, run(block, place, env)) == [], block.name


@pytest.mark.slow
@pytest.mark.parametrize("block", MARKED, ids=name)
def test_what_is_not_typed(block: Block) -> None:
    pytest.skip(f"{block.name}: {block.no_run}")
