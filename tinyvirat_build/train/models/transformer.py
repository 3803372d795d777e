"""Video networks of transformers, from a folder or a configuration that lie here; never fetched.

``transformers:FOLDER`` is what ``save_pretrained`` wrote or a repository's files as they are:
``config.json``, ``preprocessor_config.json`` for the normalisation, and the weights to begin from.
``transformers:CONFIG.json`` is a network with random weights.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from tinyvirat_build.errors import SettingsError, TrainError
from tinyvirat_build.train.models.spec import Spec, read_spec
from tinyvirat_build.train.weights import weights_in


@dataclass(frozen=True, slots=True)
class _Family:
    """A network's class, and how it and its configuration call what is asked of them."""

    network: str
    base: str  # the attribute of its backbone
    frames: str = "num_frames"
    size: str = "image_size"
    clips: str = "pixel_values"  # the argument of the clips (B, T, 3, H, W)
    embeddings: str = "embeddings"


_FAMILIES: Final = {
    "videomae": _Family("VideoMAEForVideoClassification", "videomae"),
    "timesformer": _Family("TimesformerForVideoClassification", "timesformer"),
    "vivit": _Family("VivitForVideoClassification", "vivit"),
    "vjepa2": _Family(
        "VJEPA2ForVideoClassification",
        "vjepa2",
        "frames_per_clip",
        "crop_size",
        "pixel_values_videos",
        "encoder.embeddings",
    ),
}


class VideoTransformer(nn.Module):
    """A network of transformers as ours are called: clips (B, 3, T, H, W) -> logits (B, C)."""

    def __init__(self, model: nn.Module, clips: str) -> None:
        super().__init__()
        self.model = model
        self._clips = clips

    def forward(self, clips: Tensor) -> Tensor:
        """Logits (B, C) of clips (B, 3, T, H, W)."""
        logits: Tensor = self.model(**{self._clips: clips.transpose(1, 2)}).logits
        return logits

    def spelled(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A published file's tensors under the names that this version of transformers has."""
        cls: Any = type(self.model)
        bare = {k.removeprefix("module.").removeprefix("model."): v for k, v in tensors.items()}
        with torch.random.fork_rng(devices=[]), _quiet():
            loaded, report = cls.from_pretrained(
                None,
                config=self.model.config,
                state_dict=dict(bare),
                dtype=torch.float32,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                local_files_only=True,
            )
        lacking = {*report["missing_keys"], *(m[0] for m in report["mismatched_keys"])}
        own = {k: v for k, v in loaded.state_dict().items() if k not in lacking}
        return own | {k: bare[k] for k in report["unexpected_keys"] if k in bare}


@dataclass(frozen=True, slots=True)
class Adapted:
    """A network with its spec, its origin, its configuration's file and the weights beside it."""

    module: VideoTransformer
    spec: Spec
    origin: dict[str, str]
    file: Path
    weights: Path | None


def find(path: Path, num_classes: int, kept: Path | None = None) -> Adapted:
    """The network of a folder or a configuration; ``kept`` is a copy of the latter.

    Raises:
        SettingsError: transformers is not installed, or the file is no configuration.
        TrainError: transformers refuses the configuration.
    """
    try:
        import transformers  # slow to import
    except ImportError as e:
        raise SettingsError(
            f"model transformers:{path} needs transformers; pip install transformers"
        ) from e
    is_folder = path.is_dir()
    file = kept or (path / "config.json" if is_folder else path)
    tree, text = _read(file)
    kind = _FAMILIES.get(str(tree.get("model_type")))
    if kind is None:
        raise SettingsError(
            f"{file}: model_type {tree.get('model_type')!r} is none of "
            f"{', '.join(_FAMILIES)}; give "
            "another folder, or write a factory around its network (docs/training.md)"
        )
    fields = {k: v for k, v in tree.items() if k not in ("id2label", "label2id", "num_labels")}
    network: Any = getattr(transformers, kind.network)
    try:
        config = network.config_class.from_dict({**fields, "num_labels": num_classes})
        model = network(config)
    except Exception as e:  # of a configuration they raise anything
        what = " ".join(f"{type(e).__name__}: {e}".split())
        raise TrainError(f"{file}: transformers refuses it: {what}; mend the file") from e
    if kind.base == "vjepa2":
        model.vjepa2.predictor = None  # of pretraining; no clip goes through it
    origin = {
        "file": str(path.resolve()),
        "sha256": sha256(text).hexdigest(),
        "distribution": "transformers",
        "version": metadata.version("transformers"),
    }
    weights = path if is_folder and weights_in(path) else None
    module = VideoTransformer(model, kind.clips)
    return Adapted(module, _spec(kind, module, config, file), origin, file, weights)


def _read(file: Path) -> tuple[dict[str, Any], bytes]:
    try:
        text = file.read_bytes()
        tree = json.loads(text)
    except OSError as e:
        raise SettingsError(
            f"{file}: cannot be read ({e.strerror}); give transformers:FOLDER with a config.json"
        ) from e
    except ValueError as e:
        raise SettingsError(f"{file}: not JSON ({e}); mend the file") from e
    if not isinstance(tree, dict):
        raise SettingsError(f"{file}: holds {type(tree).__name__}, not a mapping; mend the file")
    return tree, text


def _spec(kind: _Family, module: nn.Module, config: Any, file: Path) -> Spec:
    size = getattr(config, kind.size)
    said: dict[str, Any] = {
        "frames": getattr(config, kind.frames),
        "size": size if isinstance(size, int) else size[0],
        "head": "model.classifier",
    }
    base = f"model.{kind.base}"
    said["layers"] = [f"{base}.{kind.embeddings}", *_blocks(module, config.num_hidden_layers)]
    beside = file.with_name("preprocessor_config.json")
    if beside.is_file():
        tree, _ = _read(beside)
        names = (("mean", "image_mean"), ("std", "image_std"))
        said |= {own: tree[theirs] for own, theirs in names if tree.get(theirs) is not None}
    return read_spec(said)


def _blocks(module: nn.Module, count: int) -> list[str]:
    """The names of its blocks in order; where they stand changes with versions."""
    lists = (
        name
        for name, part in module.named_modules()
        if isinstance(part, nn.ModuleList) and len(part) == count
    )
    return [f"{name}.{i}" for name in [*lists][:1] for i in range(count)]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without bars and tables: our own report says what was loaded."""
    from transformers.utils import logging as theirs

    logging: Any = theirs  # without types
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
