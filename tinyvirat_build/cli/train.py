"""Baselines: train, evaluate, predict, score, and the figures of runs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from tinyvirat_build.cli.group import echo, options
from tinyvirat_build.errors import SubmissionError, TinyviratError

if TYPE_CHECKING:
    from tinyvirat_build.scoring.ensemble import Scorer

SHOWN = 20  # problems of an answer file that are printed

device_option = click.option(
    "--device", default="auto", metavar="DEVICE", show_default=True,
    help="auto, cpu, cuda, cuda:1 ….",
)  # fmt: skip
build_option = click.option(
    "--build", type=click.Path(path_type=Path), metavar="DIR", required=True,
    help="The folder of the build.",
)  # fmt: skip
of_run_option = click.option(
    "--build", type=click.Path(path_type=Path), metavar="DIR",
    help="The folder of the build; default: the one that the run was trained on.",
)  # fmt: skip
MODELS = (
    "i3d-112", "i3d-224", "r2plus1d18", "r2plus1d18-nopool", "r2plus1d50", "r2plus1d50-nopool",
    "resnet3d10-narrow", "resnet3d18", "resnet3d18-nopool", "resnet3d50", "resnet3d50-nopool",
    "wideresnet3d50",
)  # fmt: skip
"""The names of ``train.models``; here too, to be told where PyTorch is not installed."""

run_option = click.option(
    "--run", "runs", type=click.Path(path_type=Path), multiple=True, required=True,
    metavar="DIR|FILE",
    help="The folder of a run, or the scores-SPLIT.parquet that `evaluate` kept of one; several "
    "make an ensemble.",
)  # fmt: skip
scoring_options = options(
    click.option(
        "--windows", type=click.Choice(["max", "mean"]), default="max", show_default=True,
        help="How the windows of a clip become one score.",
    ),
    click.option("--flips", is_flag=True, help="Average each window with its mirror image."),
    click.option(
        "--weight", "weights", type=float, multiple=True, metavar="NUMBER",
        help="A run's weight in the mean, one a --run in their order; default: equal ones.",
    ),
)  # fmt: skip
thresholds_option = click.option(
    "--thresholds", type=click.Choice(["fixed", "val", "per-class"]), default="fixed",
    show_default=True, help="0.5; one chosen on val; or one a class chosen on val.",
)  # fmt: skip
decision_option = click.option(
    "--decision", type=click.Path(path_type=Path), metavar="FILE",
    help="Calibration and thresholds that `calibrate` chose on val, in the place of --thresholds.",
)  # fmt: skip


@click.command()
@click.option(
    "--model", metavar="NAME",
    help=f"{', '.join(MODELS)}; FILE.py:FACTORY, "
    "MODULE:FACTORY, transformers:FOLDER, or an entry point; default: the preset's own.",
)  # fmt: skip
@build_option
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", required=True,
    help="The folder of the run; started again on it, the run goes on.",
)  # fmt: skip
@click.option(
    "--preset", default="paper", metavar="NAME|FILE", show_default=True,
    help="paper (or paper-i3d …), strong, demo, or a YAML file of training settings.",
)  # fmt: skip
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE",
    help="One setting, e.g. optim.lr=3e-4; may repeat; see `config --train`.",
)  # fmt: skip
@click.option(
    "--weights", type=click.Path(path_type=Path), metavar="FILE|DIR",
    help="A checkpoint to begin from, loaded by name; its head if it has as many classes.",
)  # fmt: skip
@click.option(
    "--teacher", type=click.Path(path_type=Path), metavar="RUN", multiple=True,
    help="A finished run to learn from beside the labels, of any input; may repeat; see distil.*.",
)  # fmt: skip
@device_option
@click.option("--quiet", is_flag=True, help="No progress bar.")
def train(
    model: str | None,
    build: Path,
    out: Path,
    preset: str,
    overrides: tuple[str, ...],
    weights: Path | None,
    teacher: tuple[Path, ...],
    device: str,
    quiet: bool,
) -> None:
    """Train a network on a build; several GPUs by torchrun.

    \b
    torchrun --nproc-per-node 8 -m tinyvirat_build train --model i3d-112 --build OUT --out RUN
    """
    from tinyvirat_build.train import fit, settings

    chosen = [f"model={json.dumps(model)}", *overrides] if model else list(overrides)
    try:
        result = fit.train(
            settings.load(preset, chosen), build, out, device=device, weights=weights,
            teacher=teacher, progress=not quiet,
        )  # fmt: skip
    except TinyviratError as e:
        if os.environ.get("LOCAL_RANK", "0") == "0":
            raise
        raise click.exceptions.Exit(2) from e  # each machine's first process tells it
    if os.environ.get("RANK", "0") == "0":
        echo(result.text())


def _opened(path: Path) -> Scorer:
    """A run, after saying what has changed about its network, or the scores of one."""
    from tinyvirat_build.scoring.kept import open_scores
    from tinyvirat_build.train.runs import open_run

    if _is_file(path):
        return open_scores(path)
    run = open_run(path)
    if run.note:
        echo(f"note: {run.note}", err=True)
    return run


def _is_file(path: Path) -> bool:
    return path.suffix == ".parquet"


def _home(path: Path) -> Path:
    """The folder of a run that is given by itself or by its scores."""
    return path.parent if _is_file(path) else path


@click.command(short_help="Score runs by the challenge's metric.")
@run_option
@of_run_option
@click.option(
    "--split", type=click.Choice(["train", "val", "test"]), default="test", show_default=True,
    help="What is scored.",
)  # fmt: skip
@scoring_options
@thresholds_option
@decision_option
@device_option
@click.option("--name", metavar="NAME", help="What the tables call it.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR",
    help="Where results.json and Table 2 go; default: RUN/evaluation-SPLIT.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(
    runs: tuple[Path, ...],
    build: Path | None,
    split: str,
    windows: Literal["max", "mean"],
    flips: bool,
    weights: tuple[float, ...],
    thresholds: Literal["fixed", "val", "per-class"],
    decision: Path | None,
    device: str,
    name: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Score runs by the challenge's metric: macro F1, precision, recall, and mAP."""
    from tinyvirat_build.scoring import decision as decisions
    from tinyvirat_build.scoring import evaluate as evaluation
    from tinyvirat_build.scoring import table2
    from tinyvirat_build.scoring.kept import write_scores
    from tinyvirat_build.train.runs import build_of

    opened, home = [_opened(path) for path in runs], _home(runs[0])
    of, folder = build or build_of(home), out or home / f"evaluation-{split}"
    if any(_is_file(path) and _home(path).resolve() == folder.resolve() for path in runs):
        raise click.UsageError(f"{folder} has the scores that are read; name another with --out")
    found = evaluation.evaluate(
        opened, of, split=split, windows=windows, thresholds=thresholds, flips=flips,
        weights=weights, decision=decisions.read(decision) if decision else None,
        device=device, name=name, out=folder,
    )  # fmt: skip
    # Those of several runs together are no single run's, and kept ones stay as they are.
    write_scores(found, of, folder if out or len(runs) > 1 or _is_file(runs[0]) else home)
    if as_json:
        echo(json.dumps(found.to_dict(), indent=1))
    else:
        echo(table2.markdown([table2.row(found.to_dict())]))
        if found.note:
            echo(f"note: {found.note}", err=True)


@click.command(short_help="Choose calibration and thresholds of runs, on val alone.")
@run_option
@of_run_option
@click.option(
    "--method", type=click.Choice(["none", "temperature", "platt"]), default="platt",
    show_default=True, help="One scale for all classes; or a scale and an offset a class.",
)  # fmt: skip
@click.option(
    "--thresholds", type=click.Choice(["fixed", "val", "per-class"]), default="per-class",
    show_default=True, help="Over the calibrated scores: 0.5; one for all; or one a class.",
)  # fmt: skip
@click.option(
    "--split", default="val", metavar="SPLIT", show_default=True,
    help="What is chosen on: val; another is refused.",
)  # fmt: skip
@scoring_options
@device_option
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE",
    help="The file; default: RUN/decision.json of the first run.",
)  # fmt: skip
def calibrate(
    runs: tuple[Path, ...],
    build: Path | None,
    method: Literal["none", "temperature", "platt"],
    thresholds: Literal["fixed", "val", "per-class"],
    split: str,
    windows: Literal["max", "mean"],
    flips: bool,
    weights: tuple[float, ...],
    device: str,
    out: Path | None,
) -> None:
    """Choose calibration and thresholds of runs, on val alone, for evaluate and predict."""
    from tinyvirat_build.pack.read import open_pack
    from tinyvirat_build.scoring import decision as decisions
    from tinyvirat_build.scoring.ensemble import Ensemble
    from tinyvirat_build.train.runs import build_of

    if (method, thresholds) == ("none", "fixed"):
        raise click.UsageError("nothing to choose; leave out --method none or --thresholds fixed")
    ensemble = Ensemble([_opened(path) for path in runs], weights, windows, flips, device)
    home = _home(runs[0])
    pack = open_pack(build or build_of(home))
    found = decisions.decide(ensemble, pack, thresholds, method, split=split)
    file = out or home / decisions.FILE
    decisions.write(found, file)
    before, after = found.about["before"], found.about["after"]
    echo(
        f"wrote {file}; on the {found.about['clips']} val clips that it was chosen on: log loss "
        f"{before['log_loss']:.4f}, then {after['log_loss']:.4f}; F1 (present) "
        f"{before['macro_present_f1']:.3f}, then {after['macro_present_f1']:.3f}: optimistic"
    )


@click.command()
@run_option
@of_run_option
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", default=Path("answer.txt"),
    show_default=True, help="The answer file, or a folder for it.",
)  # fmt: skip
@scoring_options
@thresholds_option
@decision_option
@device_option
def predict(
    runs: tuple[Path, ...],
    build: Path | None,
    out: Path,
    windows: Literal["max", "mean"],
    flips: bool,
    weights: tuple[float, ...],
    thresholds: Literal["fixed", "val", "per-class"],
    decision: Path | None,
    device: str,
) -> None:
    """Write the challenge's answer.txt for every test clip."""
    from tinyvirat_build.scoring import decision as decisions
    from tinyvirat_build.scoring import submission
    from tinyvirat_build.train.runs import build_of

    opened = [_opened(path) for path in runs]
    file = submission.predict(
        opened, build or build_of(_home(runs[0])), out, windows=windows, thresholds=thresholds,
        flips=flips, weights=weights, decision=decisions.read(decision) if decision else None,
        device=device,
    )  # fmt: skip
    echo(f"wrote {file}")


@click.command(short_help="Score an answer file as the evaluation server does.")
@click.argument("submission", type=click.Path(path_type=Path))
@click.option(
    "--truth", type=click.Path(path_type=Path), metavar="FILE", required=True,
    help="Rows with labels, as in truth/test.json of a build.",
)  # fmt: skip
@click.option(
    "--class-map", type=click.Path(path_type=Path), metavar="FILE",
    help="class_map.json, or classes.txt; default: that of the truth's build.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def score(submission: Path, truth: Path, class_map: Path | None, as_json: bool) -> None:
    """Score an answer file as the evaluation server does: strictly, with line numbers."""
    from tinyvirat_build.scoring.submission import score as score_file

    try:
        report = score_file(submission, truth, class_map=class_map)
    except SubmissionError as e:
        _tell_problems(e, as_json=as_json)
        raise click.exceptions.Exit(2) from e
    echo(json.dumps(report.to_dict(), indent=1) if as_json else report.text())


def _tell_problems(error: SubmissionError, *, as_json: bool) -> None:
    """All problems of an answer file as JSON, or the first of them in lines."""
    if as_json:
        problems = [{"line": line, "problem": what} for line, what in error.problems]
        echo(json.dumps({"file": error.file, "problems": problems}, indent=1))
        return
    for line, what in error.problems[:SHOWN]:
        echo(f"error: {error.file}:{line}: {what}", fg="red", err=True)
    more = len(error.problems) - SHOWN
    told = f"{more:,} more; see --json; " if more > 0 else ""
    echo(f"{told}mend the file", fg="red", err=True)


@click.command(short_help="Draw the paper's Figures 4 to 6, confusions and training curves.")
@click.argument("results", type=click.Path(path_type=Path), nargs=-1, required=True)
@build_option
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", required=True,
    help="The folder of the figures.",
)  # fmt: skip
@click.option(
    "--run", "runs", type=click.Path(path_type=Path), metavar="RUN", multiple=True,
    help="A run whose training curves are drawn too; may repeat.",
)  # fmt: skip
def figures(results: tuple[Path, ...], build: Path, out: Path, runs: tuple[Path, ...]) -> None:
    """Draw the paper's Figures 4 to 6 from one to five results.json of evaluate.

    F1 a class, against the class's mean resolution, and against its training clips; which labels
    are said for which, a picture for each of the results.
    """
    from tinyvirat_build.scoring import pictures
    from tinyvirat_build.scoring.figures import draw, told_apart

    files = draw(results, build, out) + pictures.draw_confusions(results, out)
    if runs:
        from tinyvirat_build.train.runs import open_run, read_log

        opened = [open_run(folder) for folder in runs]
        names = told_apart([run.name for run in opened], [r.folder / "log.csv" for r in opened])
        logs = {name: read_log(r.folder) for name, r in zip(names, opened, strict=True)}
        files += pictures.draw_curves(logs, out)
    for file in files:
        echo(f"wrote {file}")


@click.command("table2", short_help="Write the paper's Table 2 with a row for each result.")
@click.argument("results", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", required=True,
    help="The folder of table2.md and table2.tex.",
)  # fmt: skip
def table2_(results: tuple[Path, ...], out: Path) -> None:
    """Write the paper's Table 2 with a row for each results.json of evaluate."""
    from tinyvirat_build.scoring import table2

    rows = table2.read_rows(results)
    echo(table2.markdown(rows))
    for file in table2.write(rows, out):
        echo(f"wrote {file}")


COMMANDS = [train, calibrate, evaluate, predict, score, figures, table2_]
