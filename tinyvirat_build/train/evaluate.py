"""Scores runs by the challenge's metric: all windows of a clip, thresholds never from test."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from tinyvirat_build.dataset.packfile import Pack, open_pack
from tinyvirat_build.errors import TrainError
from tinyvirat_build.store import write_json, write_text
from tinyvirat_build.train import metrics
from tinyvirat_build.train.data import dense_loader
from tinyvirat_build.train.inference import ClipScores, Reduce, score_clips
from tinyvirat_build.train.labels import split_truth
from tinyvirat_build.train.ranks import choose_device
from tinyvirat_build.train.runs import Run, open_run

Thresholds = Literal["fixed", "val", "per-class"]
Floats = npt.NDArray[np.float64]

FIXED: Final = 0.5  # of the public baseline

# Table 2 of the TinyAction challenge's report, and its winners: F1, precision, recall (macro).
PAPER: Final = (
    ("I3D (paper)", 0.31, 0.36, 0.32),
    ("ResNet-3D (paper)", 0.25, 0.24, 0.36),
    ("R(2+1)D (paper)", 0.32, 0.34, 0.37),
    ("WideResNet-3D (paper)", 0.29, 0.29, 0.33),
    ("DeepBlue (challenge, 1st)", 0.47, 0.51, 0.49),
    ("ALONG (challenge, 2nd)", 0.44, 0.50, 0.42),
    ("third place (challenge)", 0.41, 0.34, 0.37),
)


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What a run, or several together, reach on a split.

    ``clips`` are scores (N, C) and labels (N, C); ``thresholds`` (C,); ``said`` (N, C).
    """

    name: str
    split: str
    classes: tuple[str, ...]
    clips: ClipScores
    thresholds: Floats
    how: dict[str, Any]
    scores: metrics.Scores
    mean_average_precision: float
    confusion: npt.NDArray[np.int64]

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        average = metrics.average_precision(self.clips.labels, self.clips.scores)
        tree = self.scores.to_dict(self.classes)
        for c, name in enumerate(self.classes):
            tree["classes"][name] |= {
                "average_precision": float(average[c]),
                "threshold": float(self.thresholds[c]),
            }
        return {
            "name": self.name,
            "split": self.split,
            "clips": len(self.clips.ids),
            "how": self.how,
            "map_present": self.mean_average_precision,
            **tree,
            "confusion": self.confusion.tolist(),
        }


def ensemble_scores(
    runs: Sequence[Run],
    pack: Pack,
    split: str,
    *,
    windows: Reduce = "max",
    flips: bool = False,
    device: str = "auto",
) -> ClipScores:
    """Scores of a split's clips, the mean over the runs' models.

    Raises:
        TrainError: the runs' classes are not those of the pack.
    """
    chosen = choose_device(device)
    parts = []
    for run in runs:
        if run.classes != pack.classes:
            raise TrainError(f"{run.folder}: trained on other classes than {pack.root} has")
        s = run.settings
        model = run.model().to(chosen)
        parts.append(
            score_clips(
                model,
                dense_loader(s, pack, split, chosen),
                run.classes,
                device=chosen,
                precision=s.precision,
                channels_last=s.channels_last,
                flips=flips,
                reduce=windows,
            )
        )
    mean = np.mean([part.scores for part in parts], axis=0)
    return ClipScores(parts[0].ids, mean, parts[0].labels)


def choose(
    method: Thresholds,
    runs: Sequence[Run],
    pack: Pack,
    *,
    windows: Reduce = "max",
    flips: bool = False,
    device: str = "auto",
) -> Floats:
    """Thresholds (C,): 0.5; or the best one on val; or the best one on val for each class.

    Raises:
        TrainError: they are to be chosen on val, and val has no clips.
    """
    classes = len(pack.classes)
    if method == "fixed":
        return np.full(classes, FIXED)
    if "val" not in pack.split.tolist():
        raise TrainError(
            f"{pack.root}: no val clips to choose thresholds on; use --thresholds fixed"
        )
    val = ensemble_scores(runs, pack, "val", windows=windows, flips=flips, device=device)
    if method == "val":
        return np.full(classes, metrics.choose_threshold(val.labels, val.scores))
    return metrics.choose_thresholds(val.labels, val.scores)


def evaluate(
    runs: Sequence[Path],
    build: Path,
    *,
    split: str = "test",
    windows: Reduce = "max",
    thresholds: Thresholds = "fixed",
    flips: bool = False,
    device: str = "auto",
    name: str | None = None,
    out: Path | None = None,
) -> Evaluation:
    """Score a run, or the mean of several, on a split of a build.

    Args:
        runs: folders of runs; several make an ensemble.
        build: folder of the build.
        split: train, val or test.
        windows: how the windows of a clip become one score.
        thresholds: see :func:`choose`; never chosen on the split that is scored as test.
        flips: average each window with its mirror image.
        device: ``auto``, ``cpu``, ``cuda:1`` ….
        name: what tables call it; default the folders' names.
        out: folder for results.json, table2.md, table2.tex and confusion.csv, or none.

    Raises:
        TrainError: not runs of this build's classes, or no val clips for the thresholds.
        DataError: the split's labels are not in the build.
    """
    if not runs:
        raise TrainError("no run to evaluate; name one or more run folders")
    opened = [open_run(folder) for folder in runs]
    pack = open_pack(build)
    chosen = choose(thresholds, opened, pack, windows=windows, flips=flips, device=device)
    clips = ensemble_scores(opened, pack, split, windows=windows, flips=flips, device=device)
    clips = _with_truth(clips, pack, build, split)
    said = clips.scores >= chosen
    found = Evaluation(
        name=name or " + ".join(run.name for run in opened),
        split=split,
        classes=pack.classes,
        clips=clips,
        thresholds=chosen,
        how={
            "models": [run.settings.model for run in opened],
            "windows": windows,
            "thresholds": thresholds,
            "flips": flips,
        },
        scores=metrics.score(clips.labels, said),
        mean_average_precision=metrics.mean_average_precision(clips.labels, clips.scores),
        confusion=metrics.confusion(clips.labels, said),
    )
    if out is not None:
        write(found, out)
    return found


def _with_truth(clips: ClipScores, pack: Pack, build: Path, split: str) -> ClipScores:
    """The pack's own labels, or where it withholds them, those of the build's truth."""
    if pack.labelled[pack.of_split(split)].all():
        return clips
    truth = split_truth(build, split, pack.classes)
    if truth.ids != clips.ids:
        raise TrainError(
            f"{build}: truth and pack name other {split} clips; publish the build anew"
        )
    return ClipScores(clips.ids, clips.scores, truth.labels)


def write(found: Evaluation, folder: Path) -> None:
    """Write results.json, table2.md, table2.tex and confusion.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "results.json", found.to_dict(), indent=1)
    write_text(folder / "table2.md", table2_markdown([found]))
    write_text(folder / "table2.tex", table2_latex([found]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["label", *found.classes])
    writer.writerows(
        [name, *row] for name, row in zip(found.classes, found.confusion.tolist(), strict=True)
    )
    write_text(folder / "confusion.csv", text.getvalue())


def _rows(evaluations: Sequence[Evaluation]) -> list[tuple[str, list[float | None]]]:
    rows: list[tuple[str, list[float | None]]] = [
        (name, [f1, precision, recall, None, None]) for name, f1, precision, recall in PAPER
    ]
    for e in evaluations:
        over_all, present = e.scores.macro("all"), e.scores.macro("present")
        numbers = [over_all.f1, over_all.precision, over_all.recall, present.f1]
        rows.append((e.name, [*numbers, e.mean_average_precision]))
    return rows


_HEAD: Final = ("Model", "F1", "Precision", "Recall", "F1 (present)", "mAP (present)")


def table2_markdown(evaluations: Sequence[Evaluation]) -> str:
    """The paper's Table 2 with rows of our own: macro over all classes, as in the challenge."""
    lines = ["| " + " | ".join(_HEAD) + " |", "|---|" + "---:|" * (len(_HEAD) - 1)]
    for name, numbers in _rows(evaluations):
        cells = ["–" if v is None else f"{v:.2f}" for v in numbers]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines) + "\n"


def table2_latex(evaluations: Sequence[Evaluation]) -> str:
    """The same as a LaTeX tabular (booktabs)."""
    lines = [r"\begin{tabular}{l" + "r" * (len(_HEAD) - 1) + "}", r"\toprule"]
    lines += [" & ".join(_HEAD) + r" \\", r"\midrule"]
    for i, (name, numbers) in enumerate(_rows(evaluations)):
        if i == len(PAPER):
            lines.append(r"\midrule")
        cells = ["--" if v is None else f"{v:.2f}" for v in numbers]
        lines.append(" & ".join([_escape(name), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


_SPECIAL: Final = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def _escape(text: str) -> str:
    return "".join(_SPECIAL.get(c, "\\" + c if c in "&%$#_{}" else c) for c in text)
