"""What the runner knows of its steps, added up on the device and read rarely."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinyvirat_build.loader.ranks import Ranks
from tinyvirat_build.scoring import metrics


@dataclass(frozen=True, slots=True)
class Broken:
    """A loss or gradient that is not finite: in which step, and of which clips."""

    step: int  # from 1
    of_step: bool  # the gradient of the step, not the loss of a batch
    ids: tuple[str, ...]

    @property
    def what(self) -> str:
        """What is not finite."""
        return "gradient" if self.of_step else "loss"


@dataclass(frozen=True, slots=True)
class Reading:
    """The state of an epoch: losses since the last look, and the whole epoch's numbers."""

    losses: tuple[float, ...]
    broken: Broken | None  # the first since the last look, on any rank
    loss: float
    f1: float  # macro over present classes at 0.5, of the batches as they were seen
    clips_per_s: float
    waiting: float  # share of the time spent waiting for data
    seconds: float

    def text(self) -> str:
        """For the progress bar."""
        return (
            f"loss {self.loss:.4f}, F1 {self.f1:.3f}, {self.clips_per_s:.1f} clips/s, "
            f"waiting {self.waiting:.0%}"
        )


class Meter:
    """Adds up losses and hits of an epoch's batches without waiting for the device."""

    def __init__(self, classes: int, device: torch.device) -> None:
        self._classes, self._device = classes, device
        self._recent: list[tuple[Tensor, Broken]] = []  # what it would be if it is not finite
        self._open: list[tuple[Tensor, tuple[str, ...]]] = []  # batches of the step under way
        self.reset()

    def reset(self) -> None:
        """Begin an epoch."""
        self._counts = torch.zeros(3, self._classes, device=self._device)  # hits, said, true
        self._loss, self._batches, self._clips = 0.0, 0, 0
        self._waited, self._before = 0.0, 0.0
        self._began = time.perf_counter()

    def waited(self, seconds: float) -> None:
        """Note time spent waiting for a batch."""
        self._waited += seconds

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor, ids: Sequence[str]) -> None:
        """Note a batch: loss (), logits (B, C), labels (B, C), ids. The device is not read."""
        said = logits > 0
        true = labels.to(said.device, non_blocking=True) > 0.5
        self._counts += torch.stack([(said & true).sum(0), said.sum(0), true.sum(0)])
        self._open.append((loss, tuple(ids)))
        self._batches += 1
        self._clips += len(ids)

    def stepped(self, step: int, norm: Tensor) -> None:
        """Note that the batches since the last step made this one, and its gradient's norm ().

        The device is not read.
        """
        self._recent += [(loss, Broken(step, False, ids)) for loss, ids in self._open]
        all_ids = tuple(name for _, ids in self._open for name in ids)
        self._recent.append((norm, Broken(step, True, all_ids)))
        self._open = []

    def read(self, ranks: Ranks) -> Reading:
        """Wait for the device and look; all ranks look at once, and see the same first break."""
        values: list[float] = []
        if self._recent:
            values = torch.stack([value.float() for value, _ in self._recent]).tolist()
        seen = [(value, about) for value, (_, about) in zip(values, self._recent, strict=True)]
        broken = first_broken(
            ranks.gather(next((b for v, b in seen if not math.isfinite(v)), None))
        )
        losses = [value for value, about in seen if not about.of_step]
        self._recent = []
        self._loss += sum(losses)
        return self._reading(tuple(losses), broken, self._counts, self._loss, self._batches, 1)

    def epoch(self, ranks: Ranks) -> Reading:
        """The epoch's numbers over all ranks; call after :meth:`read`."""
        own = (self._counts.cpu(), self._loss, self._batches)
        parts = ranks.gather(own)
        counts = torch.stack([p[0] for p in parts]).sum(0)
        loss, batches = sum(p[1] for p in parts), sum(p[2] for p in parts)
        return self._reading((), None, counts, loss, batches, ranks.world_size)

    def _reading(
        self,
        losses: tuple[float, ...],
        broken: Broken | None,
        counts: Tensor,
        loss: float,
        batches: int,
        world: int,
    ) -> Reading:
        seconds = self._before + time.perf_counter() - self._began
        hits, said, true = counts.cpu().numpy().astype(np.int64)
        present = metrics.f1_of_counts(hits, said, true)[true > 0]
        return Reading(
            losses=losses,
            broken=broken,
            loss=loss / max(batches, 1),
            f1=float(present.mean()) if len(present) else 0.0,
            clips_per_s=self._clips * world / max(seconds, 1e-9),
            waiting=self._waited / max(seconds, 1e-9),
            seconds=seconds,
        )

    def state_dict(self) -> dict[str, Any]:
        """The epoch so far; call after :meth:`read`."""
        return {
            "counts": self._counts.cpu(),
            "loss": self._loss,
            "batches": self._batches,
            "clips": self._clips,
            "waited": self._waited,
            "seconds": self._before + time.perf_counter() - self._began,
        }

    def load_state_dict(self, states: Sequence[dict[str, Any]]) -> None:
        """Go on with an epoch that one or several meters, or none, have begun."""
        self.reset()
        for state in states:
            self._counts += state["counts"].to(self._device)
            self._loss += state["loss"]
            self._batches += state["batches"]
            self._clips += state["clips"]
            self._waited = max(self._waited, state["waited"])
            self._before = max(self._before, state["seconds"])


def first_broken(of_ranks: Sequence[Broken | None]) -> Broken | None:
    """The first of what the ranks saw; in a step a loss, which names its batch, before a gradient.

    The gradient is shared: it names the clips of all ranks.

    >>> loss, one = Broken(7, False, ("00003",)), Broken(7, True, ("00001",))
    >>> first_broken([one, None, loss]) == loss
    True
    >>> first_broken([one, Broken(7, True, ("00002",))]).ids
    ('00001', '00002')
    """
    seen = [b for b in of_ranks if b is not None]
    if not seen:
        return None
    step, of_step = min((b.step, b.of_step) for b in seen)
    same = [b.ids for b in seen if (b.step, b.of_step) == (step, of_step)]
    return Broken(step, of_step, tuple(name for ids in same for name in ids))
