"""A run's loop over epochs and steps, and its checkpoints.

No step waits for the device: losses and counts add up there and are read every ``read_every``
steps. All randomness of a step comes from (seed, step, rank), that of a batch from the loader's
own (seed, epoch, place), so that a resumed run takes the very steps of an undisturbed one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import torch
from torch import Tensor

from tinyvirat_build.errors import TrainError
from tinyvirat_build.progress import counting
from tinyvirat_build.scoring import metrics
from tinyvirat_build.scoring.inference import Batches, score_clips
from tinyvirat_build.store import write_text
from tinyvirat_build.train import runs
from tinyvirat_build.train.cutmix import cutmix
from tinyvirat_build.train.loggers import LoggerFactory
from tinyvirat_build.train.meter import Meter
from tinyvirat_build.train.models.network import Network
from tinyvirat_build.train.numerics import numerics
from tinyvirat_build.train.schedule import rate_at
from tinyvirat_build.train.settings import TrainSettings, forbidden
from tinyvirat_build.train.trainer import Trainer
from tinyvirat_build.train.usage import peak_memory, profiled

_OTHER: Final = {  # what a run is told that goes on from another source
    "build": "on another build",
    "weights": "from other weights",
    "teacher": "from another teacher, or none",
    "network": "of a network whose code was another (network.* in it is as it was)",
}


class TrainLoader(Protocol):
    """What the runner asks of a loader; ``ClipLoader`` is one."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Sequence[str]]]:
        """The epoch's batches from where it stands: clips (B, 3, T, H, W), labels (B, C), ids."""

    def __len__(self) -> int:
        """Batches in a whole epoch, equal on all ranks."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; the one just restored keeps its place."""

    def state_dict(self) -> dict[str, Any]:
        """Where it stands, as plain values."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Stand where ``state_dict`` was taken."""


@dataclass(slots=True)
class Place:
    """How far a run is."""

    epoch: int = 0
    batch: int = 0  # batches of this epoch that are done
    step: int = 0  # optimiser steps of the run
    best: float = -1.0  # of the monitored number on val
    best_epoch: int = -1


@dataclass(slots=True)
class Training:
    """A run as it goes on: epochs of steps, looked at and saved at intervals."""

    trainer: Trainer
    loader: TrainLoader
    val: Batches | None
    out: Path
    classes: tuple[str, ...]
    build: Path | None
    sources: dict[str, str]
    network: Network | None
    progress: bool
    logger: LoggerFactory
    place: Place = field(default_factory=Place)
    meter: Meter = field(init=False)
    log: runs.Log | None = field(init=False, default=None)
    stepped: Callable[[], None] = field(init=False)

    def run(self) -> Place:
        """Go on to the end of the settings' epochs; how far it then is."""
        with numerics(self.settings, self.trainer.device):
            return self._run()

    def _run(self) -> Place:
        s, first = self.settings, self.trainer.ranks.first
        self.meter = Meter(len(self.classes), self.trainer.device)
        resumed = self._resume()
        if first:
            if not resumed:
                runs.create(
                    self.out,
                    s,
                    self.classes,
                    self.trainer.model,
                    self.build,
                    self.sources,
                    self.network,
                )
            step = self.place.step
            self.log = runs.Log(self.out, self.logger(self.out, s.to_dict(), step), step=step)
        try:
            with profiled(s.profile if first else 0, self.out, self.trainer.device) as self.stepped:
                while self.place.epoch < s.epochs:
                    self._epoch()
        finally:
            if self.log:
                self.log.close()
        return self.place

    @property
    def settings(self) -> TrainSettings:
        """The run's settings."""
        return self.trainer.settings

    def _resume(self) -> bool:
        file = self.out / "last.pt"
        if not file.is_file():
            return False
        state = runs.load_checkpoint(file)
        ranks = self.trainer.ranks
        try:
            self._same_run(state)
            self.trainer.load_state_dict(state["trainer"])
            self.loader.load_state_dict(state["loader"])
            self.meter.load_state_dict(state["meters"][ranks.rank :: ranks.world_size])
            self.place = Place(**state["place"])
        except (RuntimeError, KeyError, TypeError, ValueError, AttributeError) as e:
            raise TrainError(f"{file}: not of this model, or broken; choose another --out") from e
        self.sources = state["sources"]
        if ranks.first:
            write_text(self.out / "settings.yaml", self.settings.to_yaml())
        return True

    def _same_run(self, state: dict[str, Any]) -> None:
        differs = [f"on other {name}" for name in ("classes",) if state[name] != [*self.classes]]
        differs += [
            _OTHER[name]
            for name, own in self.sources.items()
            if state["sources"].get(name, "") != own
        ]
        if changed := forbidden(state["settings"], self.settings):
            differs.append(f"with other settings, not {', '.join(changed)}")
        if differs:
            raise TrainError(
                f"{self.out}: holds a run {' and '.join(differs)}; choose another --out"
            )

    def _save(self) -> None:
        """Everything needed to go on; call after :meth:`_look`."""
        meters = self.trainer.ranks.gather(self.meter.state_dict())
        if self.trainer.ranks.first:
            tree = {
                "trainer": self.trainer.state_dict(),
                "loader": self.loader.state_dict(),
                "meters": meters,
                "place": {name: getattr(self.place, name) for name in Place.__slots__},
                "settings": self.settings.to_dict(),
                "classes": list(self.classes),
                "sources": self.sources,
                "model": self.trainer.predictor.state_dict(),
            }
            runs.save_checkpoint(self.out / "last.pt", tree)

    def _epoch(self) -> None:
        s, place, trainer = self.settings, self.place, self.trainer
        trainer.train_mode()
        self.loader.set_epoch(place.epoch)
        total = len(self.loader)
        batches = iter(self.loader)
        shown = self.progress and trainer.ranks.first
        name = f"epoch {place.epoch + 1}/{s.epochs}"
        with counting(total, name, "step", done=place.batch, quiet=not shown) as count:
            while place.batch < total:
                self._step(batches, total)
                count.add(place.batch - count.done)
                if place.step % s.read_every == 0:
                    count.note(self._read())
                if place.step % s.save_every == 0 and place.batch < total:
                    self._look()
                    self._save()
        self._end_of_epoch()

    def _step(self, batches: Iterator[tuple[Tensor, Tensor, Sequence[str]]], total: int) -> None:
        """One step of the optimiser: ``accumulate`` batches, fewer at the end of an epoch."""
        s, place, trainer = self.settings, self.place, self.trainer
        parts = min(s.optim.accumulate, total - place.batch)
        torch.manual_seed(step_seed(s.seed, place.step, trainer.ranks.rank))
        for part in range(parts):
            asked = time.perf_counter()
            clips, labels, ids = next(batches)
            self.meter.waited(time.perf_counter() - asked)
            if s.cutmix:
                clips, labels = cutmix(clips, labels, s.cutmix)
            loss, logits = trainer.backward(clips, labels, parts=parts, last=part == parts - 1)
            self.meter.add(loss, logits, labels, ids)
            place.batch += 1
        begun = place.epoch + (place.batch - parts) / total
        rate = rate_at(s.schedule, begun, s.epochs, parts / total)
        place.step += 1
        self.meter.stepped(place.step, trainer.update(rate * s.optim.lr))
        self.stepped()

    def _read(self) -> str:
        """Look at the device: stop where a number is not finite, else tell how it goes."""
        reading = self.meter.read(self.trainer.ranks)
        if broken := reading.broken:
            raise self._not_finite(
                f"{broken.what} is not finite at step {broken.step}, "
                f"batch of clips {', '.join(broken.ids)}"
            )
        if self.log and reading.losses:
            loss = sum(reading.losses) / len(reading.losses)
            self.log.step(self.place.step, loss, self.trainer.rate)
        return reading.text()

    def _look(self) -> None:
        """Stop unless all is finite, the weights too: nothing else is ever saved."""
        self._read()
        if not all(self.trainer.ranks.gather(self.trainer.finite())):
            raise self._not_finite(f"a weight is not finite after step {self.place.step}")

    def _not_finite(self, what: str) -> TrainError:
        last = self.out / "last.pt"
        before = f"; {last} is from before it" if last.is_file() else ""
        return TrainError(
            f"{what} (epoch {self.place.epoch + 1}); lower optim.lr or set optim.clip_norm in a "
            f"new run, or look at the clips{before}"
        )

    def _end_of_epoch(self) -> None:
        s, place, trainer = self.settings, self.place, self.trainer
        self._look()
        reading = self.meter.epoch(trainer.ranks)
        row: dict[str, float | None] = {
            "epoch": place.epoch,
            "step": place.step,
            "lr": trainer.rate,
            "loss": reading.loss,
            "train_f1": reading.f1,
            "clips_per_s": reading.clips_per_s,
            "waiting": reading.waiting,
            "seconds": reading.seconds,
        }
        place.epoch, place.batch = place.epoch + 1, 0
        if self.val is not None and (place.epoch % s.eval_every == 0 or place.epoch == s.epochs):
            row |= self._validate()
        row["memory_mib"] = peak_memory(self.trainer.device)
        self.meter.reset()
        self.loader.set_epoch(place.epoch)
        if self.log:
            self.log.epoch(row)
        self._save()
        self.trainer.ranks.barrier()

    def _validate(self) -> dict[str, float | None]:
        s, place, trainer = self.settings, self.place, self.trainer
        assert self.val is not None
        trainer.ranks.share(trainer.predictor.buffers())  # batch statistics are each rank's own
        found = score_clips(
            trainer.predictor,
            self.val,
            self.classes,
            device=trainer.device,
            precision=s.precision,
            channels_last=s.channels_last,
            ranks=trainer.ranks,
        )
        f1 = metrics.score(found.labels, found.scores >= 0.5).macro("present").f1
        mean_ap = metrics.mean_average_precision(found.labels, found.scores)
        value = f1 if s.monitor == "f1" else mean_ap
        if value > place.best:
            place.best, place.best_epoch = value, place.epoch - 1
            if trainer.ranks.first:
                tree = {"model": trainer.predictor.state_dict(), "epoch": place.epoch - 1}
                runs.save_checkpoint(self.out / "best.pt", {**tree, "score": value})
        return {"val_f1": f1, "val_map": mean_ap}


def step_seed(seed: int, step: int, rank: int) -> int:
    """The seed of a step's dropout: a pure function, so that nothing needs to be remembered."""
    return ((seed * 1_000_003 + step) * 4_099 + rank) % 2**63
