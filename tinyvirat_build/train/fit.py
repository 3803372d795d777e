"""The runner: trains a model on a build, goes on exactly where it was killed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from tinyvirat_build.errors import TrainError
from tinyvirat_build.loader.ranks import Ranks, join_ranks
from tinyvirat_build.pack.read import open_pack
from tinyvirat_build.progress import say
from tinyvirat_build.scoring.inference import Batches
from tinyvirat_build.store import many, printable, write_text
from tinyvirat_build.train import runs
from tinyvirat_build.train.data import make_loaders
from tinyvirat_build.train.distil import Teacher, open_teachers
from tinyvirat_build.train.loggers import LoggerFactory, logger_of
from tinyvirat_build.train.loop import Training, TrainLoader
from tinyvirat_build.train.losses import Frequency
from tinyvirat_build.train.models.network import Network, begin, told_spec
from tinyvirat_build.train.settings import TrainSettings
from tinyvirat_build.train.trainer import Trainer
from tinyvirat_build.train.weights import WeightsReport, checksum, load_weights


@dataclass(frozen=True, slots=True)
class FitResult:
    """What a run came to."""

    out: Path
    epochs: int
    steps: int
    best: float | None  # the monitored number on val; None without val clips
    best_epoch: int | None  # from 0
    weights: WeightsReport | None = None
    dropped: int = 0  # training clips that were left out, too short

    def text(self) -> str:
        """One line for the terminal."""
        best = (
            "no val clips to judge it by"
            if self.best is None or self.best_epoch is None
            else f"best on val {self.best:.3f} in epoch {self.best_epoch + 1}"
        )
        short = f"; left out as too short: {many(self.dropped, 'clip')}" if self.dropped else ""
        done = f"{many(self.epochs, 'epoch')}, {many(self.steps, 'step')}"
        return f"{done}; {best}{short}; {self.out}"


def fit(
    model: nn.Module,
    train_loader: TrainLoader,
    val_loader: Batches | None,
    settings: TrainSettings,
    out: Path,
    *,
    classes: Sequence[str],
    device: torch.device,
    ranks: Ranks | None = None,
    build: Path | None = None,
    sources: Mapping[str, str] | None = None,
    network: Network | None = None,
    frequency: Frequency | None = None,
    teacher: Callable[[Tensor], Tensor] | None = None,
    progress: bool = True,
    logger: LoggerFactory | None = None,
) -> FitResult:
    """Train ``model`` to the end of the settings' epochs, from ``out/last.pt`` where it exists.

    Args:
        model: clips (B, 3, T, H, W) -> logits (B, C).
        train_loader: equally long on all ranks.
        val_loader: all windows of the val clips (ids repeat), each rank its share; or none.
        settings: the run's settings; those of an existing run must be equal, but for what
            :func:`settings.forbidden` lets pass.
        out: the run's folder.
        classes: the class list, in the order of the labels.
        device: where the model is trained.
        ranks: this process among several; the process group exists already.
        build: what the loaders read, for the run's description.
        sources: checksums of ``build``, ``weights``, ``teacher`` and the network's code;
            those of an existing run must be equal.
        network: what ``model`` is of, for the run's description and its copy of the file.
        frequency: of the training labels, for the losses that balance them.
        teacher: clips (B, 3, T, H, W) -> logits (B, C) to learn from, beside the labels.
        progress: show a progress bar (first rank only).
        logger: where the numbers go beside log.csv; default: what the settings name.

    Raises:
        TrainError: a loss, gradient or weight is not finite (with the batch's ids), ``out`` holds
            another run, or the settings ask for what the device or the model cannot do.
    """
    spec = network.spec if network else told_spec(model, settings.model)
    training = Training(
        Trainer(model, settings, device, ranks or Ranks(), frequency, teacher, spec),
        train_loader,
        val_loader,
        out,
        tuple(classes),
        build,
        dict(sources or {}),
        network,
        progress,
        logger or logger_of(settings.logger),
    )
    place = training.run()
    judged = place.best_epoch >= 0
    return FitResult(
        out,
        place.epoch,
        place.step,
        place.best if judged else None,
        place.best_epoch if judged else None,
    )


def train(
    settings: TrainSettings,
    build: Path,
    out: Path,
    *,
    device: str = "auto",
    weights: Path | None = None,
    teacher: Sequence[Path] = (),
    progress: bool = True,
    logger: LoggerFactory | None = None,
) -> FitResult:
    """Train a network on the pack of a build; started again on the same ``out`` it goes on.

    Under ``torchrun`` each process is a rank; ``data.batch`` is shared out among them.

    Args:
        settings: of the run, see :func:`settings.load`.
        build: folder of a build, or of a pack.
        out: folder of the run.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` ….
        weights: a checkpoint to begin from, or a folder of one, loaded by name; its head where it
            has as many classes.
        teacher: folders of finished runs to learn from, beside the labels.
        progress: show a progress bar.
        logger: where the numbers go beside log.csv; default: what the settings name.

    Raises:
        TrainError: weights that do not fit, a folder with another run, a loss that is not finite;
            or another process of the run is gone.
        BuildError: another training is at work in ``out``.
        PackError: the build has no pack that can be used.
    """
    with join_ranks(device) as (ranks, chosen), runs.hold(out, ranks):
        pack = open_pack(build)
        tell = say if progress and ranks.first else _silent
        network, settings = begin(settings, len(pack.classes), chosen, tell)
        if settings.batch % ranks.world_size:
            raise TrainError(
                f"data.batch {settings.batch} cannot be shared by {ranks.world_size} ranks; "
                f"set a multiple of {ranks.world_size}"
            )
        train_loader, val_loader = make_loaders(settings, pack, chosen, ranks)
        teachers, taught_by = open_teachers(teacher, train_loader.classes)
        sources = {"build": pack.fingerprint, "network": network.identity, "teacher": taught_by}
        weights = weights or network.weights
        if weights is not None:
            sources["weights"] = checksum(weights)
        elif settings.freeze:
            tell("note: the frozen layers keep random numbers; give --weights")
        report = None
        if weights is not None and not (out / "last.pt").is_file():
            report = load_weights(network.module, weights, head=network.spec.head)
            if ranks.first:
                write_text(out / "weights.txt", "\n".join([str(weights), *report.lines(), ""]))
            tell(printable("\n".join(report.lines())))
        with network.blamed():
            result = fit(
                network.module,
                train_loader,
                val_loader,
                settings,
                out,
                classes=train_loader.classes,
                device=chosen,
                ranks=ranks,
                build=build,
                sources=sources,
                network=network,
                frequency=Frequency.of(pack.labels[pack.of_split("train")], chosen),
                teacher=Teacher(teachers, chosen, settings) if teachers else None,
                progress=progress,
                logger=logger,
            )
        return dataclasses.replace(result, weights=report, dropped=train_loader.dropped)


def _silent(text: str) -> None:
    """Say nothing."""
