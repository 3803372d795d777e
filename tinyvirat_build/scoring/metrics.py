"""The challenge's metric and its kin, over truth and predictions (N clips, C classes).

A zero division counts as 0 everywhere. Macro averages come in two kinds: ``all`` is the mean
over every class of the class map (the challenge's own), ``present`` over the classes with at
least one clip in the truth: a class that no clip has can only count 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from tinyvirat_build.geometry.arrays import Bools, Floats, Ints

Over = Literal["all", "present"]


@dataclass(frozen=True, slots=True, eq=False)
class Macro:
    """Precision, recall and F1 averaged over classes; F1 is the mean of the classes' F1."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Per class, each (C,): precision, recall, F1, clips that have it, clips said to have it."""

    precision: Floats
    recall: Floats
    f1: Floats
    support: Ints
    predicted: Ints

    def macro(self, over: Over = "all") -> Macro:
        """The averages over all classes, or over those with at least one clip in the truth."""
        kept = self.support > 0 if over == "present" else np.ones(len(self.f1), bool)
        if not kept.any():
            return Macro(0.0, 0.0, 0.0)
        return Macro(*(float(v[kept].mean()) for v in (self.precision, self.recall, self.f1)))

    def to_dict(self, classes: Sequence[str]) -> dict[str, Any]:
        """As plain numbers: both macros, and every class by its name."""
        macros = {f"macro_{over}": self.macro(over) for over in ("all", "present")}
        return {
            **{
                name: {"precision": m.precision, "recall": m.recall, "f1": m.f1}
                for name, m in macros.items()
            },
            "classes": {
                name: {
                    "precision": float(self.precision[c]),
                    "recall": float(self.recall[c]),
                    "f1": float(self.f1[c]),
                    "support": int(self.support[c]),
                    "predicted": int(self.predicted[c]),
                }
                for c, name in enumerate(classes)
            },
        }


def score(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Scores:
    """Precision, recall and F1 per class of multi-hot truth and predictions, both (N, C)."""
    true, said = np.asarray(truth, bool), np.asarray(predicted, bool)
    if true.shape != said.shape or true.ndim != 2:
        raise ValueError(f"truth {true.shape} and predictions {said.shape} differ; both (N, C)")
    # Class by class: scikit-learn takes a single column for one of two classes.
    classes = [
        precision_recall_fscore_support(*pair, average="binary", zero_division=0)[:3]
        for pair in zip(true.T, said.T, strict=True)
    ]
    precision, recall, f1 = np.array(classes, np.float64).reshape(-1, 3).T
    return Scores(precision, recall, f1, support=true.sum(axis=0), predicted=said.sum(axis=0))


def f1_of_counts(hits: Ints, predicted: Ints, support: Ints) -> Floats:
    """F1 of counts: true positives, predicted positives, true clips, all of one shape."""
    clips = predicted + support
    f1: Floats = np.divide(2 * hits, clips, out=np.zeros(clips.shape), where=clips != 0)
    return f1


def table(scores: Scores, classes: Sequence[str]) -> str:
    """A table for a terminal: every class, and both macro averages."""
    width = max(len(name) for name in (*classes, "macro (present)"))
    head = f"{'class':<{width}}  precision  recall      F1  clips   said"
    lines = [head]
    for c, name in enumerate(classes):
        lines.append(
            f"{name:<{width}}  {scores.precision[c]:9.4f}  {scores.recall[c]:6.4f}  "
            f"{scores.f1[c]:6.4f}  {scores.support[c]:5d}  {scores.predicted[c]:5d}"
        )
    for label, macro in (("all", scores.macro("all")), ("present", scores.macro("present"))):
        lines.append(
            f"{f'macro ({label})':<{width}}  {macro.precision:9.4f}  {macro.recall:6.4f}  "
            f"{macro.f1:6.4f}"
        )
    return "\n".join(lines)


def average_precision(truth: npt.ArrayLike, scores: npt.ArrayLike) -> Floats:
    """Average precision per class (C,) of truth and scores (N, C); 0 where no clip has the class.

    The step sum of precision over recall, without interpolation.
    """
    true, values = np.asarray(truth, bool), np.asarray(scores, np.float64)
    found = np.zeros(true.shape[1])
    for c in np.flatnonzero(true.any(axis=0)):
        found[c] = average_precision_score(true[:, c], values[:, c])
    return found


def mean_average_precision(truth: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """The mean of the average precisions over the classes that some clip has; 0 with none."""
    present = np.asarray(truth, bool).any(axis=0)
    if not present.any():
        return 0.0
    return float(average_precision(truth, scores)[present].mean())


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """F1 per class as a step function: row k holds for ``score >= candidates[k]``."""

    candidates: Floats  # (K,), ascending
    f1: Floats  # (K, C)


def _steps(true: Bools, values: Floats) -> _Steps:
    distinct = np.unique(np.append(values, (0.0, 1.0)))
    candidates = np.unique(np.append((distinct[1:] + distinct[:-1]) / 2, (0.0, 0.5)))
    f1 = np.zeros((len(candidates), true.shape[1]))
    for c in range(true.shape[1]):
        every, hits = np.sort(values[:, c]), np.sort(values[true[:, c], c])
        said = len(every) - np.searchsorted(every, candidates)
        right = len(hits) - np.searchsorted(hits, candidates)
        f1[:, c] = f1_of_counts(right, said, np.array(len(hits)))
    return _Steps(candidates, f1)


def _nearest_half(candidates: Floats, values: Floats) -> int:
    """The best candidate; of equals the one nearest 0.5, of those the lowest."""
    best = np.flatnonzero(values >= values.max() - 1e-12)
    return int(best[np.argmin(np.abs(candidates[best] - 0.5))])


def choose_threshold(truth: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """The one threshold with the highest macro F1 (it is the same for all and for present).

    Scores lie in [0, 1]. Candidates are 0, 0.5 and the middles between neighbouring scores, 0 and
    1 among them; of equally good ones the nearest to 0.5. A clip has the class where its score is
    at least the threshold.
    """
    true, values = np.asarray(truth, bool), np.asarray(scores, np.float64)
    steps = _steps(true, values)
    return float(steps.candidates[_nearest_half(steps.candidates, steps.f1.mean(axis=1))])


def choose_thresholds(truth: npt.ArrayLike, scores: npt.ArrayLike) -> Floats:
    """One threshold a class, (C,), each with the class's highest F1.

    A class that no clip has gets the one threshold chosen over all classes.
    """
    true, values = np.asarray(truth, bool), np.asarray(scores, np.float64)
    chosen = np.full(true.shape[1], choose_threshold(true, values))
    for c in np.flatnonzero(true.any(axis=0)):
        steps = _steps(true[:, c : c + 1], values[:, c : c + 1])
        chosen[c] = steps.candidates[_nearest_half(steps.candidates, steps.f1[:, 0])]
    return chosen


def confusion(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Ints:
    """Confusion by co-occurrence, (C, C).

    Entry (i, j) counts the clips with label i, without label j, that were said to have j; the
    diagonal counts the clips with label i that were said to have i.
    """
    true, said = np.asarray(truth, bool), np.asarray(predicted, bool)
    table: Ints = true.astype(np.int64).T @ (said & ~true).astype(np.int64)
    np.fill_diagonal(table, (true & said).sum(axis=0))
    return table
