"""Trainings in memory: a loader of random clips, a network of all kinds of layers, a short run."""

from __future__ import annotations

import contextlib
import csv
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tinyvirat_build.loader.ranks import Ranks
from tinyvirat_build.train import fit as runner
from tinyvirat_build.train import runs, settings

CLASSES = ("up", "down", "still")


def fill_disk(ballast: Path) -> None:
    """Leave no space on the disk of a file."""
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(512))


class StoppedError(Exception):
    """What a loader raises where it was told to stop."""


class MemoryLoader:
    """The loader's protocol over random clips: order a pure function of (seed, epoch)."""

    def __init__(self, clips: int = 24, batch: int = 4, rank: int = 0, world: int = 1) -> None:
        random = np.random.default_rng(7)
        self.labels = random.integers(0, 2, (clips, len(CLASSES))).astype(np.float32)
        noise = random.standard_normal((clips, 3, 4, 16, 16)).astype(np.float32)
        self.clips = noise + 2 * self.labels[:, :, None, None, None]
        self.batch, self.rank, self.world = batch, rank, world
        self.epoch, self.done = 0, 0
        self.kill_at: int | None = None
        self.stop_at: int | None = None
        self.bad: int | None = None
        self.fill: tuple[int, Path] | None = None  # at this batch, with this file
        self.training = True

    def __len__(self) -> int:
        return len(self.clips) // self.batch

    def set_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.epoch, self.done = epoch, 0

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "done": self.done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.done = state["epoch"], state["done"]

    def __iter__(self) -> Iterator[tuple[Any, Any, list[str]]]:
        order = np.random.default_rng(self.epoch).permutation(len(self.clips))
        if not self.training:
            order.sort()
        part = self.batch // self.world
        epoch = self.epoch
        for i in range(self.done, len(self)):
            if self.kill_at == epoch * len(self) + i:
                os.kill(os.getpid(), signal.SIGKILL)
            if self.stop_at == epoch * len(self) + i:
                raise StoppedError
            if self.fill is not None and self.fill[0] == epoch * len(self) + i:
                fill_disk(self.fill[1])
            rows = order[i * self.batch :][self.rank * part : (self.rank + 1) * part]
            clips = torch.from_numpy(self.clips[rows])
            if self.bad is not None and self.bad in rows:
                clips = clips * float("nan")
            self.done = i + 1
            if self.done == len(self):
                self.epoch, self.done = self.epoch + 1, 0
            yield clips, torch.from_numpy(self.labels[rows]), [f"{r:05d}" for r in rows]


def tiny(dropout: float = 0.0) -> Any:
    """All kinds of layers that the baselines have, in a few thousand parameters."""
    nn = torch.nn
    return nn.Sequential(
        nn.Conv3d(3, 8, 3, 2, 1, bias=False),
        nn.BatchNorm3d(8),
        nn.ReLU(),
        nn.Conv3d(8, 16, 3, 2, 1, bias=False),
        nn.BatchNorm3d(16),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(16 * 16, len(CLASSES)),
    )


def small(*overrides: str) -> settings.TrainSettings:
    base = ["model=resnet3d10-narrow", "epochs=3", "deterministic=true", "read_every=2"]
    base += ["optim.lr=0.003", "data.frames=4", "data.size=16", "schedule.milestones=[2]"]
    return settings.load("paper", overrides=[*base, *overrides])


def start(
    out: Path,
    chosen: settings.TrainSettings,
    loader: MemoryLoader | None = None,
    ranks: Ranks | None = None,
    model: Any = None,
) -> runner.FitResult:
    torch.manual_seed(chosen.seed)
    model = model or tiny(max(chosen.dropout, 0.0))
    rank, world = (ranks.rank, ranks.world_size) if ranks else (0, 1)
    val = MemoryLoader(8, 4, rank, world)
    val.training = False
    return runner.fit(
        model,
        loader or MemoryLoader(),
        val,
        chosen,
        out,
        classes=CLASSES,
        device=torch.device("cpu"),
        ranks=ranks,
        progress=False,
    )


def killed_at(out: Path, chosen: settings.TrainSettings, at: int) -> None:
    """A run whose process is killed before a batch."""
    torch.set_num_threads(1)
    loader = MemoryLoader()
    loader.kill_at = at
    start(out, chosen, loader)


def cut_off(out: Path, chosen: settings.TrainSettings, at: int, model: Any = None) -> None:
    """A run that is broken off before a batch, in this process."""
    loader = MemoryLoader()
    loader.stop_at = at
    with contextlib.suppress(StoppedError):
        start(out, chosen, loader, model=model)


def weights(out: Path) -> dict[str, Any]:
    return runs.load_checkpoint(out / "last.pt")["model"]


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "log.csv").open() as f:
        return list(csv.DictReader(f))
