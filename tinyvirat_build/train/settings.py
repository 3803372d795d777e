"""The runner's settings: frozen dataclasses, presets under ``annotations/train-presets``.

>>> load("paper", overrides=["optim.lr=3e-4"]).optim.lr
0.0003
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from tinyvirat_build.errors import SettingsError
from tinyvirat_build.loader.augment import IMAGENET_MEAN, IMAGENET_STD, Augment
from tinyvirat_build.settings import annotations_dir
from tinyvirat_build.settings.described import presets_told
from tinyvirat_build.settings.tree import load_group, plain
from tinyvirat_build.train.models import architecture, check_name
from tinyvirat_build.train.models.spec import Spec


@dataclass(frozen=True, slots=True)
class Data:
    """What the loader is asked for."""

    frames: int = 0  # 0: the model's own
    size: int = 0  # pixels; 0: the model's own
    stride: int = 1
    batch: int = 0  # clips a step, over all ranks and before accumulation; 0: the model's own
    mode: Literal["auto", "stream", "resident"] = "auto"
    temporal: Literal["random", "center", "uniform", "segments"] = "random"  # frames in training
    short: Literal["loop", "pad"] = "loop"  # shorter clips: begin again, or repeat the last frame
    mean: tuple[
        float, ...
    ] = ()  # of the normalisation, per channel, in 0..1; none: the model's own
    std: tuple[float, ...] = ()  # likewise
    augment: bool = True  # by the settings of augment
    sampler: Literal["shuffled", "balanced"] = "shuffled"
    drop_short: bool = False  # leave shorter clips out of training; else they are looped
    workers: int = 1  # threads that read and prepare batches; more where the storage is far away


@dataclass(frozen=True, slots=True)
class Optim:
    """The optimiser; one step takes ``accumulate`` batches."""

    name: Literal["adam", "adamw"] = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    accumulate: int = 1
    clip_norm: float = 0.0  # of the whole gradient; 0: none
    layer_decay: float = 1.0  # a layer's rate as a share of the next one's, up to the head


@dataclass(frozen=True, slots=True)
class Schedule:
    """The learning rate over the epochs."""

    name: Literal["multistep", "cosine", "constant"] = "multistep"
    milestones: tuple[int, ...] = (50, 100, 150)  # epochs
    gamma: float = 0.1
    warmup: float = 0.0  # epochs of linear rise; the first step is above 0
    floor: float = 0.0  # of the cosine, as a share of lr


@dataclass(frozen=True, slots=True)
class Loss:
    """Binary cross entropy, or one of the losses for long tails; their sources: training.md."""

    name: Literal["bce", "asymmetric", "class-balanced", "distribution-balanced"] = "bce"
    gamma_neg: float = 4.0  # of the asymmetric loss, as the next two
    gamma_pos: float = 1.0
    clip: float = 0.05  # shift of the negatives' probability
    beta: float = 0.999  # of the class-balanced loss; 0 weighs all classes alike
    map_gamma: float = 0.2  # of the distribution-balanced loss: where a label is rare in its clip
    neg_scale: float = 2.0  # of the distribution-balanced loss: steepness of the negatives


@dataclass(frozen=True, slots=True)
class Distil:
    """What a teacher (``train --teacher``) counts; nothing without one."""

    weight: float = 0.5  # of the teacher's answers in the loss; the labels have the rest
    temperature: float = 2.0  # above 1: softer answers


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """All settings of a training run."""

    preset: str = "paper"
    model: str = "r2plus1d50"
    epochs: int = 200
    seed: int = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    tf32: bool = True  # what is fp32 in TF32 where a GPU has it: faster, 10 bits of mantissa
    dropout: float = -1.0  # before the head; -1: the model's own
    ema: float = 0.0  # decay of the averaged weights; 0: none
    cutmix: float = 0.0  # alpha of the Beta distribution of CutMix's box; 0: none
    drop_path: float = 0.0  # how often the last residual branch is left out; the others less
    freeze: int = 0  # layers, from the input on, that stay as they are
    freeze_bn: bool = False
    sync_bn: bool = False  # batch statistics over all ranks, on GPUs; alone it is the plain form
    channels_last: bool = False
    grad_checkpointing: bool = False  # compute blocks again for their gradients: less memory
    compile: bool = False
    deterministic: bool = False
    monitor: Literal["map", "f1"] = "map"  # on val, names the best epoch
    eval_every: int = 1  # epochs
    read_every: int = 20  # steps between two looks at the device
    save_every: int = 500  # steps; an epoch's end is saved always
    logger: str = "tensorboard"  # beside log.csv: tensorboard, none, or MODULE:FACTORY
    profile: int = 0  # steps that the profiler records, after six that warm up
    data: Data = Data()
    augment: Augment = field(default_factory=Augment)
    optim: Optim = Optim()
    schedule: Schedule = Schedule()
    loss: Loss = Loss()
    distil: Distil = Distil()

    def to_dict(self) -> dict[str, Any]:
        """As plain dicts and lists, every setting spelled out."""
        plain: dict[str, Any] = yaml.safe_load(self.to_yaml())
        return plain

    def to_yaml(self) -> str:
        """As YAML that :func:`load` reads back."""
        return yaml.safe_dump(plain(dataclasses.asdict(self)), sort_keys=False)

    def settled(self, name: str, spec: Spec) -> TrainSettings:
        """The same with what is left to the network as ``spec`` has it, and ``name`` for it."""
        own = {
            key: getattr(self.data, key) or getattr(spec, key)
            for key in ("frames", "size", "batch", "mean", "std")
        }
        return dataclasses.replace(self, model=name, data=dataclasses.replace(self.data, **own))

    @property
    def clip_shape(self) -> tuple[int, int]:
        """Frames and pixels a side of the model's input."""
        d = self.data
        if d.frames and d.size:
            return d.frames, d.size
        arch = architecture(self.model)
        return d.frames or arch.frames, d.size or arch.size

    @property
    def batch(self) -> int:
        """Clips a step, over all ranks and before accumulation."""
        return self.data.batch or architecture(self.model).batch

    @property
    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation per channel, in 0..1."""
        return self.data.mean or IMAGENET_MEAN, self.data.std or IMAGENET_STD


# What may change in a run that goes on: it does not change what is learned.
_FREE = frozenset(
    {
        "preset",
        "read_every",
        "save_every",
        "data.workers",
        "logger",
        "profile",
        "grad_checkpointing",
    }
)


def forbidden(old: Mapping[str, Any], new: TrainSettings) -> list[str]:
    """The settings, as ``key=value``, that a run begun with ``old`` cannot go on with.

    More epochs are no other run where the schedule does not hang on their number.

    >>> paper = TrainSettings()
    >>> forbidden(paper.to_dict(), dataclasses.replace(paper, epochs=300, save_every=9))
    []
    >>> forbidden(paper.to_dict(), dataclasses.replace(paper, epochs=100, ema=0.9))
    ['epochs=100 (was 200)', 'ema=0.9 (was 0.0)']
    """
    # A run of before a setting was there did what its default does.
    was, now = _flat(TrainSettings().to_dict()) | _flat(old), _flat(new.to_dict())
    free = set(_FREE)
    if new.schedule.name != "cosine" and new.epochs > was.get("epochs", 0):
        free.add("epochs")
    return [
        f"{key}={now.get(key)} (was {was.get(key)})"
        for key in dict.fromkeys([*now, *was])
        if key not in free and now.get(key) != was.get(key)
    ]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def preset_lines() -> list[tuple[str, str]]:
    """The shipped presets, each with what it is in one line."""
    return presets_told([*_folder().glob("*.yaml")])


def presets() -> list[str]:
    """The names of the shipped presets."""
    return sorted(p.stem for p in _folder().glob("*.yaml"))


def load(preset: str | Path = "paper", overrides: Sequence[str] = ()) -> TrainSettings:
    """A preset by name, or a YAML file by path, and ``key=value`` overrides over it.

    Raises:
        SettingsError: no such preset, an unknown key, or a value of the wrong type or range.
    """
    is_file = str(preset).endswith((".yaml", ".yml"))
    file = Path(preset) if is_file else _folder() / f"{preset}.yaml"
    if not is_file and not file.is_file():
        raise SettingsError(f"no train preset {preset!r}; presets: {', '.join(presets())}")
    settings = load_group(TrainSettings, [file], overrides)
    _check(settings)
    return settings


def _folder() -> Path:
    return annotations_dir() / "train-presets"


def _check(s: TrainSettings) -> None:
    check_name(s.model)
    for key, value in _flat(s.to_dict()).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise SettingsError(f"setting out of range: {key} is a finite number")
    rules = [
        (s.epochs >= 1, "epochs is 1 or more"),
        (0 <= s.seed < 2**63, "seed is 0 or more, below 2^63"),
        (s.data.batch >= 0, "data.batch is 0 (the model's own) or more clips"),
        (s.data.stride >= 1, "data.stride is 1 or more frames"),
        (s.profile >= 0, "profile is 0 (none) or more steps"),
        (s.data.workers >= 1, "data.workers is 1 or more threads"),
        (s.data.frames >= 0 and s.data.size >= 0, "data.frames and data.size are 0 or more"),
        (0 < s.optim.lr <= 1e6, "optim.lr is above 0, up to 1e6"),
        (s.optim.weight_decay >= 0, "optim.weight_decay is 0 or more"),
        (s.optim.accumulate >= 1, "optim.accumulate is 1 or more batches"),
        (s.optim.clip_norm >= 0, "optim.clip_norm is 0 or more"),
        (0 < s.optim.layer_decay <= 1, "optim.layer_decay is above 0, up to 1"),
        (s.freeze >= 0, "freeze is 0 or more layers"),
        (
            not (s.grad_checkpointing and s.compile),
            "grad_checkpointing goes without compile, which itself computes again what it can",
        ),
        (0 <= s.ema < 1, "ema is in [0, 1)"),
        (
            s.data.augment or not s.augment.mixup,
            "augment.mixup is part of the augmentation: it needs data.augment",
        ),
        (
            len(s.data.mean) == len(s.data.std) and len(s.data.mean) in (0, 3),
            "data.mean and data.std are three numbers each, or both none",
        ),
        (min(s.data.std, default=1) > 0, "data.std is above 0"),
        (s.dropout == -1 or 0 <= s.dropout < 1, "dropout is -1 or in [0, 1)"),
        (min(s.schedule.milestones, default=0) >= 0, "schedule.milestones are 0 or more epochs"),
        (0 < s.schedule.gamma <= 1, "schedule.gamma is above 0, up to 1"),
        (0 <= s.schedule.floor <= 1, "schedule.floor is from 0 to 1"),
        (0 <= s.loss.clip < 1, "loss.clip is in [0, 1)"),
        (0 <= s.loss.beta < 1, "loss.beta is in [0, 1)"),
        (0 <= s.loss.map_gamma <= 1, "loss.map_gamma is in [0, 1]"),
        (s.loss.neg_scale >= 1, "loss.neg_scale is 1 or more"),
        (
            min(s.loss.gamma_neg, s.loss.gamma_pos) >= 0,
            "loss.gamma_neg and loss.gamma_pos are 0 or more",
        ),
        (0 <= s.drop_path < 1, "drop_path is in [0, 1)"),
        (0 <= s.cutmix <= 100, "cutmix is from 0 to 100"),
        (0 <= s.distil.weight <= 1, "distil.weight is from 0 to 1"),
        (0.1 <= s.distil.temperature <= 100, "distil.temperature is from 0.1 to 100"),
        (0 <= s.schedule.warmup < s.epochs, "schedule.warmup is shorter than the epochs"),
        (
            min(s.eval_every, s.read_every, s.save_every) >= 1,
            "eval_every, read_every and save_every are 1 or more",
        ),
    ]
    for holds, rule in rules:
        if not holds:
            raise SettingsError(f"setting out of range: {rule}")
