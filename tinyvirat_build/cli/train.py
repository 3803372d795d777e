"""Baselines: train, evaluate, predict, score, and the figures of runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import click

from tinyvirat_build.cli.group import needs_extra, options

device_option = click.option(
    "--device",
    default="auto",
    metavar="DEVICE",
    help="auto, cpu, cuda, cuda:1 ….",
    show_default=True,
)
build_option = click.option(
    "--build",
    type=click.Path(path_type=Path),
    metavar="DIR",
    required=True,
    help="The folder of the build.",
)
of_run_option = click.option(
    "--build",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder of the build; default: the one that the run was trained on.",
)
run_option = click.option(
    "--run", "runs", type=click.Path(path_type=Path), multiple=True, required=True, metavar="DIR",
    help="The folder of a run; several make an ensemble.",
)  # fmt: skip
scoring_options = options(
    click.option(
        "--windows", type=click.Choice(["max", "mean"]), default="max", show_default=True,
        help="How the windows of a clip become one score.",
    ),
    click.option(
        "--thresholds", type=click.Choice(["fixed", "val", "per-class"]), default="fixed",
        show_default=True, help="0.5; one chosen on val; or one a class chosen on val.",
    ),
    click.option("--flips", is_flag=True, help="Average each window with its mirror image."),
)  # fmt: skip


@click.command()
@click.option("--model", metavar="NAME", help="A baseline, e.g. r2plus1d18 or i3d-112.")
@build_option
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", required=True,
    help="The folder of the run; started again on it, the run goes on.",
)  # fmt: skip
@click.option(
    "--preset", default="paper", metavar="NAME|FILE", show_default=True,
    help="paper, strong, demo, or a YAML file of training settings.",
)  # fmt: skip
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting; may repeat."
)
@click.option(
    "--weights", type=click.Path(path_type=Path), metavar="FILE",
    help="A checkpoint to begin from, loaded by name; its head if it has as many classes.",
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
    device: str,
    quiet: bool,
) -> None:
    """Train a baseline on a build; several GPUs by torchrun.

    \b
    torchrun --nproc-per-node 8 -m tinyvirat_build train --model i3d-112 --build OUT --out RUN
    """

    def work() -> None:
        from tinyvirat_build.train import fit, settings

        chosen = [f"model={model}", *overrides] if model else list(overrides)
        result = fit.train(
            settings.load(preset, chosen), build, out, device=device, weights=weights,
            progress=not quiet,
        )  # fmt: skip
        click.echo(result.text())

    needs_extra(work)


@click.command()
@run_option
@of_run_option
@click.option(
    "--split", type=click.Choice(["train", "val", "test"]), default="test", show_default=True,
    help="What is scored.",
)  # fmt: skip
@scoring_options
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
    thresholds: Literal["fixed", "val", "per-class"],
    flips: bool,
    device: str,
    name: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Score runs by the challenge's metric: macro F1, precision, recall, and mAP."""

    def work() -> None:
        from tinyvirat_build.train import evaluate as evaluation
        from tinyvirat_build.train.runs import build_of

        found = evaluation.evaluate(
            runs, build or build_of(runs[0]), split=split, windows=windows,
            thresholds=thresholds, flips=flips, device=device, name=name,
            out=out or runs[0] / f"evaluation-{split}",
        )  # fmt: skip
        if as_json:
            click.echo(json.dumps(found.to_dict(), indent=1))
        else:
            click.echo(evaluation.table2_markdown([found]))

    needs_extra(work)


@click.command()
@run_option
@of_run_option
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", default=Path("answer.txt"),
    show_default=True, help="The answer file, or a folder for it.",
)  # fmt: skip
@scoring_options
@device_option
def predict(
    runs: tuple[Path, ...],
    build: Path | None,
    out: Path,
    windows: Literal["max", "mean"],
    thresholds: Literal["fixed", "val", "per-class"],
    flips: bool,
    device: str,
) -> None:
    """Write the challenge's answer.txt for every test clip."""

    def work() -> None:
        from tinyvirat_build.train import submission
        from tinyvirat_build.train.runs import build_of

        file = submission.predict(
            runs, build or build_of(runs[0]), out, windows=windows,
            thresholds=thresholds, flips=flips, device=device,
        )  # fmt: skip
        click.echo(f"wrote {file}")

    needs_extra(work)


@click.command()
@click.argument("submission", type=click.Path(path_type=Path))
@click.option(
    "--truth", type=click.Path(path_type=Path), metavar="FILE", required=True,
    help="Rows with labels, as in truth/test.json of a build.",
)  # fmt: skip
@click.option(
    "--class-map", type=click.Path(path_type=Path), metavar="FILE",
    help="class_map.json; default: that of the truth's build.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def score(submission: Path, truth: Path, class_map: Path | None, as_json: bool) -> None:
    """Score an answer file as the evaluation server does: strictly, with line numbers."""

    def work() -> None:
        from tinyvirat_build.train.submission import score as score_file

        report = score_file(submission, truth, class_map=class_map)
        click.echo(json.dumps(report.to_dict(), indent=1) if as_json else report.text())

    needs_extra(work)


@click.command()
@click.argument("results", type=click.Path(path_type=Path), nargs=-1, required=True)
@build_option
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", required=True,
    help="The folder of the figures.",
)  # fmt: skip
def figures(results: tuple[Path, ...], build: Path, out: Path) -> None:
    """Draw the paper's Figures 4 to 6 from one to five results.json of evaluate.

    F1 a class, against the class's mean resolution, and against its training clips.
    """

    def work() -> None:
        from tinyvirat_build.train.figures import draw

        for file in draw(results, build, out):
            click.echo(f"wrote {file}")

    needs_extra(work)


COMMANDS = [train, evaluate, predict, score, figures]
