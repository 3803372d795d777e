"""Scores that mean what they say: calibrated on clips that were not trained on.

A calibrated score is ``sigmoid(scale * logit(score) + offset)``, with numbers of a class's own
(Platt 1999) or one scale for all of them, the inverse of a temperature (Guo et al., ICML 2017).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from tinyvirat_build.geometry.arrays import Bools, Floats

Method = Literal["none", "temperature", "platt"]

_TINY: Final = 1e-7  # a sigmoid in float32 ends in 0 and 1
_STEEPEST: Final = 20.0  # what a temperature may do where val is told apart without a fault


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """A scale and an offset a class, each (C,); 1 and 0 leave its scores as they are."""

    scale: Floats
    offset: Floats

    def __call__(self, scores: Floats) -> Floats:
        """Calibrated scores (N, C) of scores (N, C), both in [0, 1].

        >>> half = Calibration(np.array([0.5]), np.array([0.0]))
        >>> half(np.array([[0.5], [0.9]])).round(3).tolist()
        [[0.5], [0.75]]
        """
        moved: Floats = expit(self.scale * _logits(scores) + self.offset)
        return np.where((self.scale == 1) & (self.offset == 0), scores, moved)


def fit(method: Method, truth: Bools, scores: Floats) -> Calibration:
    """The calibration of scores (N, C) whose truth (N, C) is known, by the method of that name."""
    classes = truth.shape[1]
    scale, offset = np.ones(classes), np.zeros(classes)
    if method == "temperature":
        scale[:] = _temperature(truth, _logits(scores))
    if method == "platt":
        for c in range(classes):
            scale[c], offset[c] = _platt(truth[:, c], _logits(scores[:, c]))
    return Calibration(scale, offset)


def log_loss(truth: Bools, scores: Floats) -> float:
    """Binary cross entropy of scores, the mean over clips and classes."""
    said = np.clip(scores, _TINY, 1 - _TINY)
    return float(-np.where(truth, np.log(said), np.log1p(-said)).mean())


def _logits(scores: Floats) -> Floats:
    found: Floats = logit(np.clip(scores, _TINY, 1 - _TINY))
    return found


def _temperature(truth: Bools, logits: Floats) -> float:
    """The one scale over all classes under which the log loss is least."""
    signed = np.where(truth, -logits, logits)
    bound = math.log(_STEEPEST)
    found = minimize_scalar(
        lambda log_scale: float(np.logaddexp(0, math.exp(log_scale) * signed).mean()),
        bounds=(-bound, bound),
        method="bounded",
        options={"xatol": 1e-7},
    )
    return math.exp(found.x)


def _platt(truth: Bools, logits: Floats) -> tuple[float, float]:
    """Platt's scale and offset of a class, with his targets, that few clips do not overfit.

    A class that all clips or none have, and one whose scores are the higher the less clips have
    it, keeps its scores.
    """
    have, lack = int(truth.sum()), int((~truth).sum())
    if not have or not lack:
        return 1.0, 0.0
    target = np.where(truth, (have + 1) / (have + 2), 1 / (lack + 2))
    # A target between 0 and 1 is a clip that has the class and lacks it, each with its weight.
    twice = np.concatenate([logits, logits])[:, None]
    answers = np.repeat([1, 0], len(logits))
    model = LogisticRegression(C=math.inf, solver="newton-cholesky", tol=1e-8)
    model.fit(twice, answers, sample_weight=np.concatenate([target, 1 - target]))
    scale, offset = float(model.coef_[0, 0]), float(model.intercept_[0])
    return (scale, offset) if scale > 0 else (1.0, 0.0)
