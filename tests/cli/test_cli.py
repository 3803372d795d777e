from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import tinyvirat_build as tvb
from tinyvirat_build.cli import main
from tinyvirat_build.cli.train import MODELS
from tinyvirat_build.pipeline.stages import STAGES, Stage, names
from tinyvirat_build.records import SPLITS
from tinyvirat_build.settings import Settings
from tinyvirat_build.settings.described import described, under

REPO = Path(__file__).resolve().parents[2]


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args], prog_name="tinyvirat-build")


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_and_option_has_help(name: str) -> None:
    command = main.commands[name]
    assert command.help
    assert command.get_short_help_str()
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts}"


def test_the_list_of_commands_is_whole_on_a_narrow_terminal() -> None:
    listed = CliRunner(env={"COLUMNS": "80"}).invoke(main, ["--help"]).output
    assert "..." not in listed[listed.index("Commands:") :]


def test_every_stage_is_a_command() -> None:
    assert set(names()) <= set(main.commands)


def test_every_split_can_be_scored() -> None:
    split = next(p for p in main.commands["evaluate"].params if p.name == "split")
    assert tuple(split.to_info_dict()["type"]["choices"]) == SPLITS


def test_the_reference_is_current() -> None:
    spec = importlib.util.spec_from_file_location("generate", REPO / "docs" / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.REFERENCE.read_text("utf-8") == module.reference(), "run `make docs`"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["all", "--out", "o"], "give --source"),
        (["all", "--source", "meva", "--out", "o"], "--data"),
        (["all", "--source", "meva", "--data", "nowhere", "--out", "o"], "nowhere"),
        (["all", "--source", "mars", "--out", "o"], "mars"),
        (["all", "--source", "corpus.yaml", "--out", "o"], "corpus.yaml"),
        (["all", "--source", "demo", "--out", "o", "--set", "crop.maxside=3"], "crop.max_side"),
        (["all", "--source", "demo", "--out", "o", "--until", "party"], "no stage 'party'"),
        (["all", "--source", "demo", "--out", "/dev/null/x"], "writable --out"),
        (["all", "--source", "demo", "--out", "o", "--preset", "v3"], "no preset 'v3'"),
        (["merge", "--out", "o"], "holds no build"),
        (["verify", "--out", "o"], "holds no build"),
        (["inspect", "abc", "--out", "o"], "holds no build"),
        (["--party"], "no such option '--party'; see `tinyvirat-build --help`"),
        (["zzz"], "no such command 'zzz'; see `tinyvirat-build --help`"),
        (["audit"], "missing option '--out'; see `tinyvirat-build audit --help`"),
        (["audit", "--out", ""], "the name is empty; give a folder, or . for this one; see"),
        (["all", "--out", "o", "--workers", "0"], "see `tinyvirat-build all --help`"),
    ],
)
def test_a_bad_call_ends_in_one_line_and_status_2(
    args: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*args)
    assert result.exit_code == 2, result.output
    assert says in result.output
    assert "Traceback" not in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert result.output.startswith("error: ")


def test_every_public_name_is_documented() -> None:
    text = (REPO / "docs" / "reference.md").read_text("utf-8")
    for name in tvb.__all__:
        assert f"### tvb.{name}\n" in text
        assert getattr(tvb, name).__doc__


def test_the_settings_of_training_can_be_printed_and_are_named_in_errors(tmp_path: Path) -> None:
    printed = run("config", "--train", "--preset", "strong", "--set", "epochs=33")
    assert printed.exit_code == 0, printed.output
    assert "epochs: 33\n" in printed.stdout
    told = run("config", "--train", "--presets").stdout.split()
    assert {"demo", "paper", "paper-i3d", "strong"} <= set(told)
    wrong = run("config", "--train", "--set", "epoch=3")
    assert wrong.exit_code == 2
    assert "did you mean epochs?); `tinyvirat-build config` lists all, with --train" in wrong.output


@pytest.mark.parametrize("args", [(), ("all",), ("train",)], ids=["", "all", "train"])
def test_the_reference_shows_the_help_that_the_program_prints(args: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "tinyvirat_build", *args, "--help"]
    environment = os.environ | {"COLUMNS": "98"}
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert f"```text\n{printed.stdout.rstrip()}\n```" in (REPO / "docs/reference.md").read_text()


def test_the_help_of_train_names_every_model() -> None:
    pytest.importorskip("torch", reason="the extra train is not installed")
    from tinyvirat_build.train import models

    assert sorted(models.NAMES) == list(MODELS)


def test_an_answer_is_scored_without_torch(tmp_path: Path) -> None:
    (tmp_path / "answer.txt").write_text("00000 1 0\n")
    (tmp_path / "class_map.json").write_text('{"run": 0, "walk": 1}')
    rows = [{"id": "00000", "dim": [1, 9, 9], "label": ["run"]}]
    (tmp_path / "test.json").write_text(json.dumps(rows))
    program = (
        "import sys\n"
        "from tinyvirat_build.cli import main\n"
        "main(['score', 'answer.txt', '--truth', 'test.json', '--class-map', 'class_map.json'],\n"
        "     standalone_mode=False)\n"
        "assert 'torch' not in sys.modules"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "macro" in done.stdout


def test_the_settings_of_training_are_printed_without_torch() -> None:
    program = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "from tinyvirat_build.cli import main\n"
        "main(['config', '--train', '--set', 'model=i3d-112'], standalone_mode=False)\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "model: i3d-112" in done.stdout


def test_config_prints_what_it_resolved() -> None:
    result = run("config", "--set", "crop.max_side=96")
    assert result.exit_code == 0
    assert "max_side: 96" in result.output
    assert "default" in run("config", "--presets").output.split()


@pytest.mark.parametrize("stage", STAGES, ids=lambda s: s.name)
def test_a_stages_help_names_its_settings_and_a_call(stage: Stage) -> None:
    told = " ".join(run(stage.name, "--help").output.split())
    named = under(described(Settings), stage.settings)
    assert [f"{s.key}=" for s in named if f"{s.key}=" not in told] == []
    example = told[told.index("Example: ") + 9 :].split()
    assert example[:4] == ["tinyvirat-build", stage.name, "--out", "OUT"]
    if "--set" in example:
        Settings.load(overrides=[example[-1]])
        assert example[-1].partition("=")[0] in {s.key for s in named}


def test_a_setting_is_explained() -> None:
    told = run("config", "crop.sides", "--preset", "tinyvirat-v2").output
    assert told.startswith("crop.sides=[56, 112]  (default [])\n    snap up to these")
    assert "Read by the stage crop." in told
    (row,) = json.loads(run("config", "crop.snap", "--json").output)
    assert (row["default"], row["choices"], row["stages"]) == (
        "at_least", ["at_least", "above"], ["crop"],
    )  # fmt: skip
    wrong = run("config", "crop.maxside")
    assert (wrong.exit_code, "did you mean crop.max_side" in wrong.output) == (2, True)
    assert "optim.lr=" in run("config", "optim", "--train").output


@pytest.mark.parametrize("more", [[], ["--train"]])
def test_each_preset_says_what_it_is(more: list[str]) -> None:
    told = json.loads(run("config", "--presets", "--json", *more).output)
    assert all(what.endswith(".") and len(what) < 160 for what in told.values()), told
    assert len(set(told.values())) == len(told)


def test_the_public_names_can_be_completed() -> None:
    assert set(tvb.__all__) <= set(dir(tvb))
