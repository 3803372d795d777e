"""A network by its name: a baseline, one of another package, of a user's file, of transformers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

from torch import nn

from tinyvirat_build.train import models
from tinyvirat_build.train.models.spec import Spec


@dataclass(frozen=True, slots=True)
class Network:
    """A network as it begins, and what it says of itself.

    ``name`` makes it again, ``origin`` says from which code: plain values. ``keep`` is the file
    that a run must keep a copy of to make it again, ``weights`` what it begins from by itself.
    """

    module: nn.Module  # clips (B, 3, T, H, W) -> logits (B, C)
    spec: Spec
    name: str
    origin: dict[str, Any] = field(default_factory=dict)
    keep: Path | None = None
    weights: Path | None = None
