"""Published checkpoints into our models, by name, with a report of what matched."""

from __future__ import annotations

import argparse
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tinyvirat_build.errors import TrainError
from tinyvirat_build.store import hash_file
from tinyvirat_build.train.models.spec import under

_KEYS: Final = (
    "state_dict_ema",
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "weights",
)  # under which published files keep their tensors; averaged ones first
_NESTED: Final = "model."  # under which i3d-112 keeps what i3d-224 has at the top
_GLOBAL: Final = re.compile(r"(?:GLOBAL|class|function) '?([A-Za-z_]\w*(?:\.\w+)+)")

# The first kind that a folder has is read; training_args.bin lies beside what is a transformer's.
_PATTERNS: Final = ("*.safetensors", "pytorch_model*.bin", "*.bin", "*.pt", "*.pth")


@dataclass(frozen=True, slots=True)
class WeightsReport:
    """What came of each entry of a file, and which entries of the model it did not have."""

    matched: tuple[str, ...]
    share: float  # of the parameters before the head
    head: tuple[str, ...]  # the model's own head, left as initialised
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    shapes: tuple[str, ...]  # same name, other shape

    def lines(self) -> list[str]:
        """One line a kind, and the names of all that did not match."""
        told = [
            f"{len(self.matched)} entries loaded by name, {self.share:.0%} of the parameters "
            "before the head"
        ]
        kinds = {
            "head of our own, not loaded": self.head,
            "not in the file": self.missing,
            "not in the model": self.unexpected,
            "of another shape": self.shapes,
        }
        told += [f"{len(v)} {kind}: {', '.join(v)}" for kind, v in kinds.items() if v]
        return told


def _scalar(dtype: npt.DTypeLike, data: bytes) -> Any:
    """A pickled numpy number as a plain one; object dtypes are refused by numpy."""
    return np.frombuffer(data, dtype, 1)[0].item()


def _named_scalar(module: str) -> Any:
    def scalar(dtype: npt.DTypeLike, data: bytes) -> Any:
        return _scalar(dtype, data)

    scalar.__module__, scalar.__name__, scalar.__qualname__ = module, "scalar", "scalar"
    return scalar


# Plain values beside the tensors of published files: numpy's numbers, as either numpy 1 or 2
# spells them, and the command line that a model was trained with.
_PLAIN: Final = (
    argparse.Namespace,
    np.dtype,
    *{type(np.dtype(code)) for code in np.typecodes["AllInteger"] + "?efd"},
    _named_scalar("numpy.core.multiarray"),
    _named_scalar("numpy._core.multiarray"),
)


def read_checkpoint(file: Path, remedy: str = "give another file") -> dict[str, Any]:
    """A checkpoint's tree, read with ``weights_only``: no code in it is ever run.

    ``remedy`` ends the text where the file is missing or broken.

    Raises:
        TrainError: the file is missing, broken, or holds more than tensors and plain values.
    """
    torch.serialization.add_safe_globals(list(_PLAIN))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of old pickles, which fail or are whole
            tree = torch.load(file, map_location="cpu", weights_only=True)
        if not _is_sound(file):
            raise ValueError("a checksum is wrong")  # which torch.load does not look at
    except FileNotFoundError as e:
        raise TrainError(f"{file}: no such file; {remedy}") from e
    except OSError as e:
        raise TrainError(f"{file}: cannot be read ({e.strerror or e}); {remedy}") from e
    except Exception as e:  # broken bytes make an unpickler raise anything
        if found := _GLOBAL.search(str(e)):
            raise TrainError(
                f"{file}: not a checkpoint of plain tensors: it holds {found[1]}, whose code is "
                "never run; where the file was made, save the model's state_dict() alone"
            ) from e
        raise TrainError(f"{file}: not a checkpoint, or broken; {remedy}") from e
    if not isinstance(tree, Mapping):
        raise TrainError(f"{file}: holds {type(tree).__name__}, not a state dict; {remedy}")
    return dict(tree)


def _is_sound(file: Path) -> bool:
    """Whether all parts of an archive have their checksums; old pickles have none."""
    if not zipfile.is_zipfile(file):
        return True
    with zipfile.ZipFile(file) as archive:
        return archive.testzip() is None


def _tensors(tree: Mapping[Any, Any]) -> dict[str, Tensor]:
    for key in _KEYS:
        if isinstance(tree.get(key), Mapping):
            tree = tree[key]
            break
    return {k: v for k, v in tree.items() if isinstance(k, str) and isinstance(v, Tensor)}


def _prefixes(name: str) -> Iterator[str]:
    """What may stand before a name: nothing, its first part, its first two ….

    >>> list(_prefixes("module.conv1.weight"))
    ['', 'module.', 'module.conv1.']
    """
    parts = name.split(".")
    return (".".join([*parts[:n], ""]) if n else "" for n in range(len(parts)))


def _found(bare: str, known: Mapping[str, Tensor]) -> str | None:
    return next((n for n in (bare, _NESTED + bare) if n in known), None)


def own_names(given: Mapping[str, Tensor], known: Mapping[str, Tensor]) -> dict[str, str]:
    """The model's name of each given entry, or the entry's own where the model has none.

    Wrappers put a prefix before all names (``module.``, ``encoder.``): it is the one without
    which most entries are known. What stands under a shorter part of it is found as well.

    >>> model = dict.fromkeys(["conv1.weight", "layer1.conv1.weight", "fc.bias"], torch.ones(1))
    >>> file = {"net.conv1.weight": 0, "net.layer1.conv1.weight": 0, "epoch": 0}
    >>> own_names(file, model) == {
    ...     "net.conv1.weight": "conv1.weight",
    ...     "net.layer1.conv1.weight": "layer1.conv1.weight",
    ...     "epoch": "epoch",
    ... }
    True
    """
    votes = Counter(
        prefix
        for name in given
        for prefix in _prefixes(name)
        if _found(name.removeprefix(prefix), known)
    )
    best = max(votes, key=lambda prefix: (votes[prefix], -len(prefix)), default="")
    parts = [*reversed([*_prefixes(best + "x")])]

    def own(name: str) -> str:
        bare = (_found(name.removeprefix(p), known) for p in parts if name.startswith(p))
        return next((b for b in bare if b), name)

    return {name: own(name) for name in given}


def files_of(weights: Path) -> list[Path]:
    """The files of weights given as a file, or as a folder that holds one or several parts.

    Raises:
        TrainError: a folder without any.
    """
    if not weights.is_dir():
        return [weights]
    if found := weights_in(weights):
        return found
    raise TrainError(f"{weights}: no weights in it (*.safetensors, *.bin, *.pt); give another")


def weights_in(folder: Path) -> list[Path]:
    """The files of a folder that hold weights, of the best kind that is there."""
    for pattern in _PATTERNS:
        if found := sorted(folder.glob(pattern)):
            return found
    return []


def checksum(weights: Path) -> str:
    """The checksum of a file, or those of a folder's files.

    Raises:
        TrainError: they cannot be read.
    """
    try:
        return " ".join(hash_file(file) for file in files_of(weights))
    except OSError as e:
        raise TrainError(f"{weights}: cannot be read ({e.strerror}); give another file") from e


def _read_tensors(weights: Path) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for file in files_of(weights):
        safe = file.suffix == ".safetensors"
        tensors |= _read_safetensors(file) if safe else _tensors(read_checkpoint(file))
    return tensors


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as e:
        raise TrainError(
            f"{file}: needs safetensors; pip install '.[train]' in the clone brings it"
        ) from e
    try:
        return load_file(file)
    except FileNotFoundError as e:
        raise TrainError(f"{file}: no such file; give another file") from e
    except (OSError, SafetensorError) as e:
        raise TrainError(f"{file}: not safetensors, or broken ({e}); give another file") from e


def load_weights(model: nn.Module, weights: Path, *, head: str) -> WeightsReport:
    """Load every entry of ``weights`` whose name and shape the model has, in place.

    ``head`` is the prefix of the model's head, which stays as initialised unless every entry
    of it fits, that is, unless the file's model has as many classes; empty where it is not known.
    Wrappers' prefixes (``module.``) are looked through.

    Raises:
        TrainError: the file cannot be read, or is of another model: of the parameters before the
            head fewer than two thirds match, or none where the head is not known.
    """
    own = model.state_dict()
    tensors = _read_tensors(weights)
    spelled = getattr(model, "spelled", None)
    if spelled is not None:
        tensors = spelled(tensors)
    given = {name: tensors[k] for k, name in own_names(tensors, own).items()}
    same = {k for k, v in given.items() if k in own and v.shape == own[k].shape}
    in_head = {k for k in own if head and under(k, head)}
    kept_head = set() if in_head <= same else in_head
    counts = {k: p.numel() for k, p in model.named_parameters() if k not in in_head}
    fit, whole = sum(n for k, n in counts.items() if k in same), sum(counts.values())
    # A ResNet of other depth shares up to 57 % with ours, by names and shapes.
    if not fit or (head and 3 * fit < 2 * whole):
        what = f"only {fit:,} of {whole:,} parameters fit" if fit else "no entry fits"
        raise TrainError(f"{weights}: {what} the model by name and shape; choose its --model")
    matched = {k: given[k] for k in own if k in same - kept_head}
    model.load_state_dict(matched, strict=False)
    return WeightsReport(
        matched=tuple(matched),
        share=fit / whole,
        head=tuple(k for k in own if k in kept_head),
        missing=tuple(k for k in own if k not in given and k not in kept_head),
        unexpected=tuple(k for k in given if k not in own),
        shapes=tuple(k for k in own if k in given and k not in same and k not in kept_head),
    )
