"""The folder of a training run: what it was made with, its checkpoints, its log.

RUN/settings.yaml    resolved settings; `--preset RUN/settings.yaml` repeats the run
RUN/run.json         model and its code's version, classes, parameters, versions
RUN/network.py       the user's file that the network is of (.json: the configuration)
RUN/last.pt          all that is needed to go on: weights, optimiser, place in the epoch
RUN/best.pt          the weights of the best epoch on val (averaged ones where there are any)
RUN/log.csv          one row an epoch
RUN/tensorboard/     the same for TensorBoard, or nothing where `logger` is another
RUN/profile.json, profile.txt     where `profile` asks for them
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from tinyvirat_build.errors import TinyviratError, TrainError
from tinyvirat_build.loader.devices import choose_device
from tinyvirat_build.loader.ranks import Ranks
from tinyvirat_build.pack.read import Pack
from tinyvirat_build.scoring.inference import ClipScores, Reduce, score_clips
from tinyvirat_build.store import csv_text, hash_file, locked, write_bytes, write_json, write_text
from tinyvirat_build.train import models
from tinyvirat_build.train import settings as settings_module
from tinyvirat_build.train.data import dense_loader
from tinyvirat_build.train.loggers import Logger
from tinyvirat_build.train.models.network import Network, make
from tinyvirat_build.train.numerics import numerics
from tinyvirat_build.train.settings import TrainSettings
from tinyvirat_build.train.weights import read_checkpoint

FORMAT: Final = 2
COLUMNS: Final = (
    "epoch",
    "step",
    "lr",
    "loss",  # of training
    "train_f1",  # macro over present classes at 0.5, of the batches as they were seen
    "val_f1",  # macro over present classes at 0.5
    "val_map",
    "clips_per_s",
    "waiting",  # share of the time spent waiting for data
    "seconds",
    "memory_mib",  # at most, on the first rank: of PyTorch on a GPU, else of the process
)


def save_checkpoint(file: Path, tree: Mapping[str, Any]) -> None:
    """Write a checkpoint so that it is whole or absent, whenever the process dies."""
    # By way of memory: of a full disk PyTorch says nothing that could be understood.
    data = io.BytesIO()
    torch.save({"format": FORMAT, **tree}, data)
    write_bytes(file, data.getbuffer())


def load_checkpoint(file: Path) -> dict[str, Any]:
    """Read a checkpoint of a run.

    Raises:
        TrainError: missing, broken, or of another version.
    """
    other = file.with_name("last.pt")
    spare = file != other and other.is_file()
    remedy = "restore it" + (f", or delete it to take {other.name}" if spare else ", or train anew")
    tree = read_checkpoint(file, remedy)
    if tree.get("format") != FORMAT:
        raise TrainError(f"{file}: not a checkpoint of a run of this version; train anew")
    return tree


@contextlib.contextmanager
def hold(folder: Path, ranks: Ranks) -> Iterator[None]:
    """Hold a run's folder for the processes of one training.

    Raises:
        BuildError: another training is at work here, or the folder cannot be written.
    """
    refused = None
    with contextlib.ExitStack() as held:
        if ranks.first:
            try:
                held.enter_context(locked(folder, "training"))
            except TinyviratError as e:
                refused = e
        if (told := ranks.gather(refused)[0]) is not None:
            raise told
        yield


def create(
    folder: Path,
    settings: TrainSettings,
    classes: Sequence[str],
    model: nn.Module,
    build: Path | None = None,
    sources: Mapping[str, str] | None = None,
    network: Network | None = None,
) -> None:
    """Write a new run's settings and description; ``sources`` are checksums of what it is from."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "settings.yaml", settings.to_yaml())
    frames, size = settings.clip_shape
    about = {
        "model": settings.model,
        "build": str(build.resolve()) if build else None,
        "sha256": {name: own for name, own in (sources or {}).items() if own},
        "classes": list(classes),
        "input": [3, frames, size, size],
        "parameters": sum(p.numel() for p in model.parameters()),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "network": network.origin if network else {},
    }
    if network and network.keep:
        write_bytes(_kept(folder, network.keep.suffix), network.keep.read_bytes())
    write_json(folder / "run.json", about, indent=1)


def _kept(folder: Path, suffix: str) -> Path:
    """A run's own copy of its network's file."""
    return folder / f"network{suffix}"


def build_of(folder: Path) -> Path:
    """The build that a run was trained on.

    Raises:
        TrainError: the folder is not a run, or its build is not known or gone.
    """
    build = _about(folder).get("build")
    if not isinstance(build, str) or not Path(build).is_dir():
        raise TrainError(f"{folder}: its build {build or ''} is not there; name one with --build")
    return Path(build)


def _about(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / "run.json").read_text("utf-8"))
    except FileNotFoundError as e:
        raise TrainError(f"{folder}: not a run (no run.json); `train --out` makes one") from e
    except (OSError, ValueError) as e:
        raise TrainError(f"{folder}/run.json: cannot be read ({e}); train anew") from e
    if not isinstance(about, dict) or not isinstance(about.get("classes"), list):
        raise TrainError(f"{folder}/run.json: names no classes; train anew")
    return about


@dataclass(frozen=True, slots=True)
class Run:
    """A run read back from its folder."""

    folder: Path
    settings: TrainSettings
    classes: tuple[str, ...]

    @property
    def name(self) -> str:
        """The folder's name, by which tables and figures call the run."""
        return self.folder.resolve().name

    @property
    def checkpoint(self) -> Path:
        """The checkpoint to predict with: the best on val, the last where the run has no best."""
        best = self.folder / "best.pt"
        return best if best.is_file() else self.folder / "last.pt"

    def origin(self) -> dict[str, Any]:
        """Which weights these are: folder, model, checkpoint, its checksum, epoch (from 1).

        Raises:
            TrainError: the run has no checkpoint.
        """
        tree = load_checkpoint(self.checkpoint)
        done = tree["epoch"] + 1 if "epoch" in tree else tree["place"]["epoch"]
        return {
            "folder": str(self.folder.resolve()),
            "model": self.architecture,
            "checkpoint": self.checkpoint.name,
            "sha256": hash_file(self.checkpoint),
            "epoch": done,
        }

    @property
    def architecture(self) -> str:
        """The name of its model."""
        return models.short_name(self.settings.model)

    @property
    def note(self) -> str | None:
        """What has changed about its network's code since it was trained, as far as is told."""
        was = self._network.get("version")
        now = metadata.version(str(self._network["distribution"])) if was else None
        if was == now:
            return None
        return f"{self.folder}: trained with {self._network['distribution']} {was}, here is {now}"

    @property
    def _network(self) -> dict[str, Any]:
        return dict(_about(self.folder).get("network") or {})

    def _made(self) -> Network:
        """Its network from its own copy of the code, where it has one."""
        name, origin = self.settings.model, self._network
        kept = None
        if "file" in origin:
            is_code = origin["file"].endswith(".py")
            kept = _kept(self.folder, ".py" if is_code else ".json")
            if kept.is_file() and hash_file(kept) != origin["sha256"]:
                raise TrainError(f"{kept}: changed since the run was trained; restore it")
        return make(name, len(self.classes), kept=kept)

    def scores(
        self, pack: Pack, split: str, *, windows: Reduce, flips: bool, device: str
    ) -> ClipScores:
        """The model's scores of all clips of a split.

        Raises:
            TrainError: the run's classes are not those of the pack, or it has no checkpoint.
            SettingsError: there is no such device here.
        """
        if self.classes != pack.classes:
            raise TrainError(f"{self.folder}: trained on other classes than {pack.root} has")
        chosen = choose_device(device)
        network = self._loaded()
        with numerics(self.settings, chosen), network.blamed():
            return score_clips(
                network.module.to(chosen),
                dense_loader(self.settings, pack, split, chosen),
                self.classes,
                device=chosen,
                precision=self.settings.precision,
                channels_last=self.settings.channels_last,
                flips=flips,
                reduce=windows,
            )

    def model(self) -> nn.Module:
        """The trained model, ready to predict.

        Raises:
            TrainError: the run has no checkpoint, or one of another model.
        """
        return self._loaded().module

    def _loaded(self) -> Network:
        file = self.checkpoint
        tree = load_checkpoint(file)
        network = self._made()
        try:
            network.module.load_state_dict(tree["model"])
        except (RuntimeError, KeyError, TypeError, AttributeError) as e:
            raise TrainError(f"{file}: not of {self.settings.model}; train anew") from e
        network.module.eval()
        return network


def open_run(folder: Path) -> Run:
    """Read a run's settings and classes.

    Raises:
        TrainError: the folder is not a run.
        SettingsError: its settings are broken.
    """
    classes = tuple(_about(folder)["classes"])
    file = folder / "settings.yaml"
    if not file.is_file():
        raise TrainError(f"{folder}: not a run (no settings.yaml); `train --out` makes one")
    return Run(folder, settings_module.load(file), classes)


class Log:
    """A run's numbers: a row an epoch in CSV, and the same and more to a logger.

    Rows of steps after ``step`` (of a run that was killed after its last checkpoint) are taken
    out first, so that a resumed run's log has each epoch once.
    """

    def __init__(self, folder: Path, logger: Logger, *, step: int = 0) -> None:
        self.file = folder / "log.csv"
        kept = [row for row in read_log(folder) if int(row["step"]) <= step]
        write_text(self.file, csv_text([COLUMNS, *(row.values() for row in kept)]))
        self._logger = logger

    def epoch(self, row: Mapping[str, float | None]) -> None:
        """Add a row; ``None`` stands for what was not measured in this epoch."""
        with self.file.open("a", encoding="utf-8", newline="") as f:
            f.write(csv_text([[_number(row.get(k)) for k in COLUMNS]]))
        values = {name: row.get(name) for name in COLUMNS[2:]}
        known = {name: value for name, value in values.items() if value is not None}
        self._logger.scalars(known, int(row["step"] or 0))

    def step(self, step: int, loss: float, rate: float) -> None:
        """Note a step's loss and learning rate."""
        self._logger.scalars({"step/loss": loss, "step/lr": rate}, step)

    def close(self) -> None:
        """Finish the files."""
        self._logger.close()


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def read_log(folder: Path) -> list[dict[str, str]]:
    """The whole rows of a run's log.csv, none where there is no log.

    A row is whole with its newline: a process that dies leaves at most the beginning of one. What
    a run of before did not measure is empty.
    """
    file = folder / "log.csv"
    if not file.is_file():
        return []
    whole, end, _ = file.read_bytes().decode("utf-8", errors="replace").rpartition("\n")
    rows = csv.DictReader(io.StringIO(whole + end))
    if rows.fieldnames is None or set(rows.fieldnames) - set(COLUMNS):
        return []
    return [
        {name: row.get(name, "") for name in COLUMNS}
        for row in rows
        if None not in row and None not in row.values() and row["step"].isdecimal()
    ]
