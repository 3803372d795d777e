"""Runs that are scored together: the weighted mean of their models' scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tinyvirat_build.errors import TrainError
from tinyvirat_build.pack.read import Pack
from tinyvirat_build.scoring.inference import ClipScores, Reduce


class Scorer(Protocol):
    """What can be scored: a trained run (``train.runs.Run``), or another that gives scores."""

    @property
    def name(self) -> str:
        """What tables call it."""

    @property
    def architecture(self) -> str:
        """What kind of model it is."""

    def origin(self) -> dict[str, Any]:
        """Which weights these are, as plain values."""

    def scores(
        self, pack: Pack, split: str, *, windows: Reduce, flips: bool, device: str
    ) -> ClipScores:
        """Scores of all clips of a split; see :class:`Ensemble` for the arguments."""


@dataclass(frozen=True, slots=True)
class Ensemble:
    """One run or several, and how the scores of a clip come from their models.

    ``weights`` stand for the runs in their order, none for equal ones; ``windows`` is how the
    windows of a clip become one score, ``flips`` averages each window with its mirror image.
    """

    runs: Sequence[Scorer]
    weights: Sequence[float] = ()
    windows: Reduce = "max"
    flips: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        if not self.runs:
            raise TrainError("no run to score; name one or more run folders")
        if self.weights and len(self.weights) != len(self.runs):
            raise TrainError(
                f"{len(self.weights)} weights for {len(self.runs)} runs; give one a run, or none"
            )
        if not all(math.isfinite(w) and w > 0 for w in self.weights):
            raise TrainError("a run's weight is a number above 0; leave out a run that has none")

    @property
    def shares(self) -> list[float]:
        """Each run's share of the mean; together they are 1."""
        weights = list(self.weights) or [1.0] * len(self.runs)
        return [w / sum(weights) for w in weights]

    @property
    def how(self) -> dict[str, Any]:
        """How the scores are made, as plain values; without the device, which changes nothing."""
        return {
            "models": [run.architecture for run in self.runs],
            "weights": self.shares,
            "windows": self.windows,
            "flips": self.flips,
        }

    def scores(self, pack: Pack, split: str) -> ClipScores:
        """Scores of a split's clips, the weighted mean over the runs' models.

        Raises:
            TrainError: the runs' classes are not those of the pack.
        """
        parts = [
            run.scores(pack, split, windows=self.windows, flips=self.flips, device=self.device)
            for run in self.runs
        ]
        mean = np.average([part.scores for part in parts], axis=0, weights=self.shares)
        return ClipScores(parts[0].ids, mean, parts[0].labels)
