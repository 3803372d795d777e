"""The learning rate over a run, as a share of ``optim.lr``."""

from __future__ import annotations

import math

from tinyvirat_build.train.settings import Schedule


def rate_at(schedule: Schedule, epoch: float, epochs: int, step: float = 0.0) -> float:
    """The share of the learning rate at a point of the run, in epochs done (a fraction too).

    Milestones and the cosine stand at fixed epochs; the warm-up multiplies them by a linear rise
    over its first epochs, and the cosine begins after it. A step that takes ``step`` of an epoch
    has the rise of its end, so that the first one is not in vain.

    >>> step = Schedule("multistep", milestones=(50, 100))
    >>> [round(rate_at(step, e, 200), 4) for e in (0, 49.9, 50, 100)]
    [1.0, 1.0, 0.1, 0.01]
    >>> cosine = Schedule("cosine", warmup=2, floor=0.0)
    >>> [round(rate_at(cosine, e, 10), 3) for e in (0, 1, 2, 6, 10)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    >>> [round(rate_at(cosine, e, 10, 0.5), 3) for e in (0, 0.5, 1, 1.5, 2)]
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """
    rise = min((epoch + step) / schedule.warmup, 1.0) if schedule.warmup else 1.0
    if schedule.name == "multistep":
        return rise * schedule.gamma ** sum(epoch >= m for m in schedule.milestones)
    if schedule.name == "cosine":
        done = max(epoch - schedule.warmup, 0.0) / (epochs - schedule.warmup)
        share = (1 + math.cos(math.pi * min(done, 1.0))) / 2
        return rise * (schedule.floor + (1 - schedule.floor) * share)
    return rise
