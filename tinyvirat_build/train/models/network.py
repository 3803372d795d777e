"""A network by its name: a baseline, a user's own, or one of transformers; made and tried."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from tinyvirat_build.errors import SettingsError, TrainError
from tinyvirat_build.train import models
from tinyvirat_build.train.models import given
from tinyvirat_build.train.models.spec import Spec, read_spec
from tinyvirat_build.train.settings import TrainSettings


@dataclass(frozen=True, slots=True)
class Network:
    """A network as it begins, what it says of itself, and which code it is of.

    Args:
        module: clips (B, 3, T, H, W) -> logits (B, C).
        spec: what it says of itself.
        name: what makes it again, wherever one stands.
        origin: its code, as plain values: file and checksum, distribution and version.
        keep: the file that makes it again, of which a run keeps a copy.
        weights: what it begins from where nothing else is given.
        code: who is to blame for its errors.
        dropout: whether the setting of that name is heard.
    """

    module: nn.Module
    spec: Spec
    name: str
    origin: dict[str, str] = field(default_factory=dict)
    keep: Path | None = None
    weights: Path | None = None
    code: given.Code | None = None
    dropout: bool = True

    @property
    def identity(self) -> str:
        """Which code it is of, wherever the code lies; empty for a baseline."""
        parts = (self.origin.get(key) for key in ("distribution", "version", "sha256"))
        return " ".join(part for part in parts if part)

    @contextlib.contextmanager
    def blamed(self) -> Iterator[None]:
        """Errors of a user's code become one line with its file and line."""
        with self.code.blamed() if self.code else contextlib.nullcontext():
            yield

    def tried(self, num_classes: int, frames: int, size: int, device: torch.device) -> None:
        """See that it gives logits (2, C) for clips (2, 3, T, H, W).

        Raises:
            TrainError: it does not; with file and line.
        """
        shape = (2, 3, frames, size, size)
        training = self.module.training
        with self.blamed(), torch.no_grad():
            logits = self.module.to(device).eval()(torch.zeros(shape, device=device))
        self.module.train(training)
        found: object = type(logits).__name__
        if isinstance(logits, Tensor):
            if logits.shape == (2, num_classes) and logits.is_floating_point():
                return
            found = f"{tuple(logits.shape)} of {logits.dtype}"
        where = self.code.where(type(self.module)) if self.code else self.name
        raise TrainError(
            f"{where}: the network gives {found} for clips {shape}, not logits "
            f"{(2, num_classes)}; mend its forward"
        )


def make(
    name: str, num_classes: int, *, dropout: float | None = None, kept: Path | None = None
) -> Network:
    """The network of that name, freshly initialised; see ``docs/training.md`` for the names.

    ``kept`` is a run's own copy of the file in the name, which is read in its place.

    Raises:
        SettingsError: there is none of that name, or its ``spec`` cannot be read.
        TrainError: its code raises, or gives no network; with file and line.
    """
    if name in models.NAMES:
        module = models.build(name, num_classes, dropout=dropout)
        return Network(module, models.NAMES[name].spec, name)
    kind, _, path = name.partition(":")
    if kind == models.TRANSFORMERS:
        from tinyvirat_build.train.models import transformer

        found = transformer.find(Path(path), num_classes, kept)
        return Network(
            found.module,
            found.spec,
            f"{kind}:{Path(path).resolve()}",
            found.origin,
            keep=found.file,
            weights=found.weights,
            dropout=False,
        )
    code = given.find(name, kept)
    module, heard = code.make(num_classes, dropout)
    with code.said():
        said = getattr(module, "spec", None)
        spec = read_spec(getattr(code.factory, "spec", None) if said is None else said)
        if spec.head and not any(spec.is_head(name) for name in module.state_dict()):
            raise SettingsError(f"spec: the network has nothing under its head {spec.head!r}")
    keep = code.file if "file" in code.origin else None
    return Network(module, spec, code.name, code.origin, keep, code=code, dropout=heard)


def told_spec(module: nn.Module, name: str) -> Spec:
    """What a network that was not made by :func:`make` says of itself, or the baseline ``name``."""
    said = getattr(module, "spec", None)
    return models.NAMES[name].spec if said is None and name in models.NAMES else read_spec(said)


def begin(
    settings: TrainSettings, num_classes: int, device: torch.device, tell: Callable[[str], None]
) -> tuple[Network, TrainSettings]:
    """The network that a run begins with, tried, and the settings with what it says of itself.

    Raises:
        SettingsError, TrainError: see :func:`make` and :meth:`Network.tried`.
    """
    dropout = None if settings.dropout < 0 else settings.dropout
    torch.manual_seed(settings.seed)
    network = make(settings.model, num_classes, dropout=dropout)
    if network.name in models.NAMES:
        return network, settings
    settings = settings.settled(network.name, network.spec)
    if dropout is not None and not network.dropout:
        tell(f"note: dropout {dropout} is not used: {models.short_name(network.name)} has its own")
        settings = dataclasses.replace(settings, dropout=-1.0)
    network.tried(num_classes, *settings.clip_shape, device)
    return network, settings
