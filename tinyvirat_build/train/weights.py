"""Published checkpoints into our models, by name, with a report of what matched."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tinyvirat_build.errors import TrainError

_WRAPPERS = ("module.", "_orig_mod.", "model.", "backbone.")


@dataclass(frozen=True, slots=True)
class WeightsReport:
    """What came of each entry of a file, and which entries of the model it did not have."""

    matched: tuple[str, ...]
    head: tuple[str, ...]  # the model's own head, left as initialised
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    shapes: tuple[str, ...]  # same name, other shape

    def lines(self) -> list[str]:
        """One line a kind, and the names of all that did not match."""
        told = [f"{len(self.matched)} entries loaded by name"]
        kinds = {
            "head of our own, not loaded": self.head,
            "not in the file": self.missing,
            "not in the model": self.unexpected,
            "of another shape": self.shapes,
        }
        told += [f"{len(v)} {kind}: {', '.join(v)}" for kind, v in kinds.items() if v]
        return told


def read_checkpoint(file: Path) -> dict[str, Any]:
    """A checkpoint's tree, read with ``weights_only``: no code in it is ever run.

    Raises:
        TrainError: the file is missing, broken, or holds more than tensors and plain values.
    """
    try:
        tree = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as e:
        raise TrainError(f"{file}: no such file; give a checkpoint") from e
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as e:
        what = (str(e).splitlines() or [type(e).__name__])[0]
        raise TrainError(f"{file}: not a checkpoint of plain tensors ({what}); convert it") from e
    if not isinstance(tree, Mapping):
        raise TrainError(f"{file}: holds {type(tree).__name__}, not a state dict; convert it")
    return dict(tree)


def _tensors(file: Path) -> dict[str, Tensor]:
    tree = read_checkpoint(file)
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(tree.get(key), Mapping):
            tree = dict(tree[key])
            break
    return {k: v for k, v in tree.items() if isinstance(v, Tensor)}


def _own_name(name: str, known: Mapping[str, Tensor]) -> str:
    """The model's name of an entry: as it is, without wrappers' prefixes, or under ``model.``."""
    bare = name
    while bare not in known:
        if f"model.{bare}" in known:
            return f"model.{bare}"
        prefix = next((p for p in _WRAPPERS if bare.startswith(p)), None)
        if prefix is None:
            return name
        bare = bare.removeprefix(prefix)
    return bare


def load_weights(model: nn.Module, file: Path, *, head: str) -> WeightsReport:
    """Load every entry of ``file`` whose name and shape the model has, in place.

    ``head`` is the prefix of the model's head, which stays as initialised unless every entry
    of it fits. Wrappers' prefixes (``module.``) are looked through.

    Raises:
        TrainError: the file cannot be read, or nothing but the head matches.
    """
    own = model.state_dict()
    given = {_own_name(k, own): v for k, v in _tensors(file).items()}
    same = {k for k, v in given.items() if k in own and v.shape == own[k].shape}
    in_head = {k for k in own if k.startswith(head)}
    kept_head = set() if in_head <= same else in_head
    matched = {k: given[k] for k in own if k in same - kept_head}
    if not matched.keys() - in_head:
        raise TrainError(f"{file}: no entry fits the model by name and shape; choose its --model")
    model.load_state_dict(matched, strict=False)
    return WeightsReport(
        matched=tuple(matched),
        head=tuple(k for k in own if k in kept_head),
        missing=tuple(k for k in own if k not in given and k not in kept_head),
        unexpected=tuple(k for k in given if k not in own),
        shapes=tuple(k for k in own if k in given and k not in same and k not in kept_head),
    )
