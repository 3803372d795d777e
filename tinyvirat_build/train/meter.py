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

from tinyvirat_build.train import metrics
from tinyvirat_build.train.ranks import Ranks


@dataclass(frozen=True, slots=True)
class Reading:
    """The state of an epoch: losses since the last look, and the whole epoch's numbers."""

    losses: tuple[float, ...]
    broken: tuple[str, ...] | None  # ids of the first batch whose loss is not finite
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
        self._recent: list[tuple[Tensor, tuple[str, ...]]] = []
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
        self._recent.append((loss, tuple(ids)))
        self._batches += 1
        self._clips += len(ids)

    def read(self) -> Reading:
        """Wait for the device and look."""
        losses: list[float] = []
        if self._recent:
            losses = torch.stack([loss for loss, _ in self._recent]).tolist()
        broken = next(
            (
                ids
                for value, (_, ids) in zip(losses, self._recent, strict=True)
                if not math.isfinite(value)
            ),
            None,
        )
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
        broken: tuple[str, ...] | None,
        counts: Tensor,
        loss: float,
        batches: int,
        world: int,
    ) -> Reading:
        seconds = self._before + time.perf_counter() - self._began
        hits, said, true = counts.cpu().numpy().astype(np.int64)
        return Reading(
            losses=losses,
            broken=broken,
            loss=loss / max(batches, 1),
            f1=metrics.from_counts(hits, said, true).macro("present").f1,
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

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with an epoch."""
        self.reset()
        self._counts = state["counts"].to(self._device)
        self._loss, self._batches, self._clips = state["loss"], state["batches"], state["clips"]
        self._waited, self._before = state["waited"], state["seconds"]
