"""The baselines of the paper by name, in the state-dict spelling of published checkpoints.

>>> sorted(NAMES)[:3]
['i3d-112', 'i3d-224', 'r2plus1d18']
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from tinyvirat_build.errors import SettingsError
from tinyvirat_build.store.userfiles import nearest
from tinyvirat_build.train.models.spec import Spec

if TYPE_CHECKING:  # the table is read where PyTorch is not installed too
    from torch import nn

    from tinyvirat_build.train.models.resnet3d import Block, ResNet3D

    Kind = Callable[[], tuple[type[ResNet3D], type[Block]]]


@dataclass(frozen=True, slots=True)
class Architecture:
    """How a model is made, input and batch it was published for, and the prefix of its head."""

    make: Callable[[int, float], nn.Module]  # (num_classes, dropout)
    frames: int
    size: int  # pixels, both sides
    batch: int  # clips a step in the public baseline's training
    head: str
    layers: tuple[tuple[str, ...], ...]  # from the input on
    dropout: float = 0.0

    @property
    def spec(self) -> Spec:
        """What it says of itself."""
        return Spec(self.frames, self.size, self.batch, head=self.head, layers=self.layers)


_RESNET = (
    ("conv1", "bn1", "conv1_s", "bn1_s", "conv1_t", "bn1_t"),  # the last four of R(2+1)D
    *((f"layer{i}",) for i in (1, 2, 3, 4)),
)
_I3D = (
    ("Conv3d_1a_7x7",),
    ("Conv3d_2b_1x1", "Conv3d_2c_3x3"),
    *((f"Mixed_{name}",) for name in ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c")),
)
_NESTED_I3D = tuple(tuple(f"model.{name}" for name in layer) for layer in _I3D)


def _i3d(*, deep_pool: bool) -> Callable[[int, float], nn.Module]:
    def make(classes: int, dropout: float) -> nn.Module:
        from tinyvirat_build.train.models.i3d import I3D

        return I3D(classes, deep_pool=deep_pool, dropout=dropout)

    return make


def _basic() -> tuple[type[ResNet3D], type[Block]]:
    from tinyvirat_build.train.models.resnet3d import BasicBlock, ResNet3D

    return ResNet3D, BasicBlock


def _bottleneck() -> tuple[type[ResNet3D], type[Block]]:
    from tinyvirat_build.train.models.resnet3d import Bottleneck, ResNet3D

    return ResNet3D, Bottleneck


def _wide() -> tuple[type[ResNet3D], type[Block]]:
    from tinyvirat_build.train.models.resnet3d import ResNet3D, WideBottleneck

    return ResNet3D, WideBottleneck


def _basic_2plus1d() -> tuple[type[ResNet3D], type[Block]]:
    from tinyvirat_build.train.models.r2plus1d import BasicBlock2Plus1D, ResNet2Plus1D

    return ResNet2Plus1D, BasicBlock2Plus1D


def _bottleneck_2plus1d() -> tuple[type[ResNet3D], type[Block]]:
    from tinyvirat_build.train.models.r2plus1d import Bottleneck2Plus1D, ResNet2Plus1D

    return ResNet2Plus1D, Bottleneck2Plus1D


def _resnet(
    kind: Kind,
    layers: tuple[int, ...],
    *,
    pool: bool,
    widths: tuple[int, ...] = (64, 128, 256, 512),
    stem: int = 64,
) -> Callable[[int, float], nn.Module]:
    def make(classes: int, dropout: float) -> nn.Module:
        network, block = kind()
        return network(block, layers, classes, pool=pool, widths=widths, stem=stem, dropout=dropout)

    return make


_R18, _R50 = (2, 2, 2, 2), (3, 4, 6, 3)
_WIDE = (128, 256, 512, 1024)


def _both(name: str, kind: Kind, layers: tuple[int, ...], batch: int) -> dict[str, Architecture]:
    return {
        name + suffix: Architecture(
            _resnet(kind, layers, pool=pool), 16, 112, batch, "fc.", _RESNET
        )
        for suffix, pool in (("", True), ("-nopool", False))
    }


NAMES: Final[dict[str, Architecture]] = {
    "i3d-112": Architecture(_i3d(deep_pool=False), 16, 112, 24, "logits.", _NESTED_I3D, 0.5),
    "i3d-224": Architecture(_i3d(deep_pool=True), 32, 224, 24, "logits.", _I3D, 0.5),
    **_both("resnet3d18", _basic, _R18, 96),
    **_both("resnet3d50", _bottleneck, _R50, 96),
    **_both("r2plus1d18", _basic_2plus1d, _R18, 64),
    **_both("r2plus1d50", _bottleneck_2plus1d, _R50, 64),
    "wideresnet3d50": Architecture(
        _resnet(_wide, _R50, pool=True, widths=_WIDE), 16, 112, 64, "fc.", _RESNET
    ),
    # a tenth of the depth and a quarter of the width, for two CPU cores
    "resnet3d10-narrow": Architecture(
        _resnet(_basic, (1, 1, 1, 1), pool=False, widths=(16, 32, 64, 128), stem=16),
        8,
        56,
        16,
        "fc.",
        _RESNET,
    ),
}


ENTRY_POINTS: Final = "tinyvirat_build.models"
TRANSFORMERS: Final = "transformers"  # before the colon of a name: a folder or config.json of it


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a network; no code of a user is run for it.

    Raises:
        SettingsError: it is none.
    """
    if ":" in name or name in NAMES:
        return
    others = [point.name for point in entry_points(group=ENTRY_POINTS)]
    if name not in others:
        known = sorted([*NAMES, *others])
        raise SettingsError(
            f"no model {name!r}{nearest(name, known)}; models: {', '.join(known)}, or "
            "FILE.py:factory, module:factory, transformers:FOLDER"
        )


def short_name(name: str) -> str:
    """What tables call a network: its name without folders.

    >>> short_name("/home/me/net.py:factory")
    'net.py:factory'
    """
    return ":".join(PurePath(part).name for part in name.split(":"))


def architecture(name: str) -> Architecture:
    """The baseline of that name.

    Raises:
        SettingsError: no baseline has the name.
    """
    check_name(name)
    if name not in NAMES:
        raise SettingsError(
            f"what {name} takes is not known before it is made; set data.frames, data.size and "
            "data.batch"
        )
    return NAMES[name]


def build(name: str, num_classes: int, *, dropout: float | None = None) -> nn.Module:
    """A freshly initialised baseline: clips (B, 3, T, H, W) in, logits (B, num_classes) out.

    ``dropout`` before the head; None keeps the architecture's own.

    Raises:
        SettingsError: no model has the name.

    >>> sum(p.numel() for p in build("i3d-112", 26).parameters())
    12313914
    """
    arch = architecture(name)
    return arch.make(num_classes, arch.dropout if dropout is None else dropout)
