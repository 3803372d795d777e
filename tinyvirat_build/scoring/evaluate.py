"""Scores runs by the challenge's metric: all windows of a clip, thresholds never from test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyvirat_build.errors import TrainError
from tinyvirat_build.geometry.arrays import Floats, Ints
from tinyvirat_build.pack.read import Pack, open_pack
from tinyvirat_build.scoring import metrics, table2
from tinyvirat_build.scoring.data import scored_on
from tinyvirat_build.scoring.decision import Decision, Thresholds, decide
from tinyvirat_build.scoring.ensemble import Ensemble, Scorer
from tinyvirat_build.scoring.inference import ClipScores, Reduce
from tinyvirat_build.scoring.truth import split_truth
from tinyvirat_build.store import csv_text, write_json, write_text


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
    origin: dict[str, Any]  # the build and its checksum; each run, its checkpoint and epoch
    scores: metrics.Scores
    mean_average_precision: float
    confusion: Ints

    @property
    def note(self) -> str | None:
        """What a reader of the numbers must know."""
        if self.split == self.how["chosen_on"]:
            return "the thresholds were chosen on the very clips that are scored: optimistic"
        return None

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
            "note": self.note,
            "how": self.how,
            "origin": self.origin,
            "map_present": self.mean_average_precision,
            **tree,
            "confusion": self.confusion.tolist(),
        }


def evaluate(
    runs: Sequence[Scorer],
    build: Path,
    *,
    split: str = "test",
    windows: Reduce = "max",
    thresholds: Thresholds = "fixed",
    flips: bool = False,
    weights: Sequence[float] = (),
    decision: Decision | None = None,
    device: str = "auto",
    name: str | None = None,
    out: Path | None = None,
) -> Evaluation:
    """Score a run, or the weighted mean of several, on a split of a build.

    Args:
        runs: opened runs; several make an ensemble.
        build: folder of the build.
        split: train, val or test.
        windows: how the windows of a clip become one score.
        thresholds: 0.5 (``fixed``); the best one on val; or the best one on val for each class.
        flips: average each window with its mirror image.
        weights: of the runs, in their order; none for equal ones.
        decision: calibration and thresholds that stand already (``decision.read``), in the place
            of ``thresholds``.
        device: ``auto``, ``cpu``, ``cuda:1`` ….
        name: what tables call it; default the runs' names.
        out: folder for results.json, table2.md, table2.tex and confusion.csv, or none.

    Raises:
        TrainError: no run, not runs of this build's classes, no val clips for the thresholds, or
            a decision for other runs or classes.
        DataError: the split's labels are not in the build.
    """
    pack = open_pack(build)
    ensemble = Ensemble(runs, weights, windows, flips, device)
    chosen = decided(ensemble, pack, thresholds, decision)
    clips = ensemble.scores(pack, split)
    clips = ClipScores(clips.ids, chosen.calibration(clips.scores), clips.labels)
    clips = _with_truth(clips, pack, build, split)
    said = chosen.said(clips.scores)
    about = {key: chosen.about[key] for key in ("thresholds", "calibration")}
    found = Evaluation(
        name=name or " + ".join(run.name for run in runs),
        split=split,
        classes=pack.classes,
        clips=clips,
        thresholds=chosen.thresholds,
        how={**ensemble.how, **about, "chosen_on": chosen.about["split"]},
        origin={
            "build": str(build.resolve()),
            "sha256": pack.fingerprint,
            "data": scored_on(build, split),
            "runs": [run.origin() for run in runs],
        },
        scores=metrics.score(clips.labels, said),
        mean_average_precision=metrics.mean_average_precision(clips.labels, clips.scores),
        confusion=metrics.confusion(clips.labels, said),
    )
    if out is not None:
        write(found, out)
    return found


def decided(
    ensemble: Ensemble, pack: Pack, thresholds: Thresholds, decision: Decision | None
) -> Decision:
    """The decision that is given, or one with these thresholds.

    Raises:
        TrainError: both are given, the decision is not for these runs, or val has no clips.
    """
    if decision is None:
        return decide(ensemble, pack, thresholds)
    if thresholds != "fixed":
        raise TrainError(f"a decision has thresholds already; leave out --thresholds {thresholds}")
    decision.check(ensemble, pack)
    return decision


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
    table2.write([table2.row(found.to_dict())], folder)
    counts = zip(found.classes, found.confusion.tolist(), strict=True)
    rows = [["label", *found.classes], *([name, *row] for name, row in counts)]
    write_text(folder / "confusion.csv", csv_text(rows))
