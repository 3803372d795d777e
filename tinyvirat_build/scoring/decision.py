"""From scores to answers: calibration and thresholds, chosen on val alone and kept in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from tinyvirat_build.errors import TrainError
from tinyvirat_build.geometry.arrays import Bools, Floats
from tinyvirat_build.pack.read import Pack
from tinyvirat_build.scoring import calibration as calibrating
from tinyvirat_build.scoring import metrics
from tinyvirat_build.scoring.calibration import Calibration
from tinyvirat_build.scoring.ensemble import Ensemble
from tinyvirat_build.store import write_json

Thresholds = Literal["fixed", "val", "per-class"]

FIXED: Final = 0.5  # of the public baseline
FILE: Final = "decision.json"
SPLIT: Final = "val"  # what may be chosen on; test never, and on train every model is sure
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """How scores become answers: calibrated, a clip has the classes at or over their thresholds.

    ``about`` tells, as plain values, what was chosen how, on which split, and for which runs.
    """

    classes: tuple[str, ...]
    calibration: Calibration
    thresholds: Floats  # (C,)
    about: dict[str, Any]

    def said(self, calibrated: Floats) -> Bools:
        """The answers (N, C) of calibrated scores (N, C)."""
        answers: Bools = calibrated >= self.thresholds
        return answers

    def check(self, ensemble: Ensemble, pack: Pack) -> None:
        """Refuse other runs than those that this was chosen for, or the same asked otherwise.

        Raises:
            TrainError: with what differs.
        """
        own = {"classes": list(self.classes), **self.about}
        asked = {"classes": list(pack.classes), "runs": _weights_of(ensemble), **ensemble.how}
        differs = [name for name, value in asked.items() if own.get(name) != value]
        if differs:
            raise TrainError(
                f"the decision was chosen for other {' and '.join(differs)}; give it the same, or "
                "choose anew by `calibrate`"
            )


def _weights_of(ensemble: Ensemble) -> list[dict[str, Any]]:
    """Which weights the runs have; where their folders lie changes nothing."""
    return [{k: v for k, v in run.origin().items() if k != "folder"} for run in ensemble.runs]


def decide(
    ensemble: Ensemble,
    pack: Pack,
    thresholds: Thresholds = "fixed",
    calibration: calibrating.Method = "none",
    *,
    split: str = SPLIT,
) -> Decision:
    """Choose on val: the calibration, then over calibrated scores one threshold, or one a class.

    Fixed thresholds are 0.5. Without anything to choose, val is not looked at.

    Raises:
        TrainError: another split than val, or val has no clips.
    """
    if split != SPLIT:
        raise TrainError(
            f"nothing is chosen on {split}: on the clips that are scored in the end, or were "
            "trained on, any choice looks better than it is; choose on val"
        )
    count = len(pack.classes)
    found, chosen = Calibration(np.ones(count), np.zeros(count)), np.full(count, FIXED)
    about: dict[str, Any] = {"thresholds": thresholds, "calibration": calibration, "split": None}
    if (thresholds, calibration) != ("fixed", "none"):
        if SPLIT not in pack.split.tolist():
            raise TrainError(
                f"{pack.root}: no val clips to choose thresholds on; use --thresholds fixed"
            )
        val = ensemble.scores(pack, SPLIT)
        found = calibrating.fit(calibration, val.labels, val.scores)
        scores = found(val.scores)
        if thresholds == "val":
            chosen[:] = metrics.choose_threshold(val.labels, scores)
        if thresholds == "per-class":
            chosen = metrics.choose_thresholds(val.labels, scores)
        about |= {
            "split": SPLIT,
            "clips": len(val.ids),
            "build": pack.fingerprint,
            "before": _reached(val.labels, val.scores, np.full(count, FIXED)),
            "after": _reached(val.labels, scores, chosen),
        }
    return Decision(
        pack.classes, found, chosen, {**about, "runs": _weights_of(ensemble), **ensemble.how}
    )


def _reached(truth: Bools, scores: Floats, thresholds: Floats) -> dict[str, float]:
    """What is reached on the very clips that were chosen on: more than on any others."""
    return {
        "log_loss": calibrating.log_loss(truth, scores),
        "macro_present_f1": metrics.score(truth, scores >= thresholds).macro("present").f1,
    }


def write(decision: Decision, file: Path) -> None:
    """Write a decision as JSON, its numbers by the classes' names."""
    columns = (decision.calibration.scale, decision.calibration.offset, decision.thresholds)
    rows = zip(decision.classes, *(v.tolist() for v in columns), strict=True)
    tree = {
        "format": _FORMAT,
        **decision.about,
        "classes": {n: dict(zip(_COLUMNS, row, strict=True)) for n, *row in rows},
    }
    write_json(file, tree, indent=1)


_COLUMNS: Final = ("scale", "offset", "threshold")


def read(file: Path) -> Decision:
    """Read a decision, of a run where the folder of one is named.

    Raises:
        TrainError: not there, broken, or chosen on another split than val.
    """
    file = file / FILE if file.is_dir() else file
    try:
        tree = json.loads(file.read_text("utf-8"))
        about = {k: v for k, v in tree.items() if k not in ("format", "classes")}
        rows: Mapping[str, Mapping[str, float]] = tree["classes"]
        scale, offset, thresholds = (
            np.array([float(row[c]) for row in rows.values()], np.float64) for c in _COLUMNS
        )
        sound = np.isfinite([scale, offset, thresholds]).all() and (scale > 0).all()
        if tree["format"] != _FORMAT or not sound:
            raise ValueError("its numbers are none, or it is of another version")
        split = about["split"]
    except OSError as e:
        raise TrainError(f"{file}: cannot be read ({e.strerror}); `calibrate` makes one") from e
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise TrainError(f"{file}: not a decision of `calibrate` ({e}); choose anew") from e
    if split != SPLIT:
        raise TrainError(f"{file}: chosen on {split}, not on val; choose anew by `calibrate`")
    return Decision(tuple(rows), Calibration(scale, offset), thresholds, about)
