"""I3D: Inception-v1 inflated to three dimensions (Carreira and Zisserman, CVPR 2017).

``I3D(deep_pool=True)`` is the original for 32×224², ``I3D(deep_pool=False)`` the low-resolution
one for 16×112², which leaves out ``MaxPool3d_2a_3x3``. Padding is TensorFlow's "same": where
the pad is odd, the extra zero goes behind. The two differ in their state dict: published
low-resolution checkpoints keep the trunk under ``model.``.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F  # noqa: N812 -- the field's own name
from torch import Tensor, nn

_MIXED = {  # output widths of the branches: b0, b1a, b1b, b2a, b2b, b3b
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
_WIDTH = 1024  # channels after Mixed_5c

Triple = tuple[int, int, int]


def same_padding(size: Triple, kernel: Triple, stride: Triple) -> tuple[int, ...]:
    """Zeros before and after for ``F.pad``, last axis first: ceil(size / stride) outputs.

    >>> same_padding((16, 112, 112), (7, 7, 7), (2, 2, 2))
    (2, 3, 2, 3, 2, 3)
    """
    pads: list[int] = []
    for n, k, s in zip(reversed(size), reversed(kernel), reversed(stride), strict=True):
        total = max(k - (s if n % s == 0 else n % s), 0)
        pads += [total // 2, total - total // 2]
    return tuple(pads)


class Unit3D(nn.Module):
    """Convolution with "same" padding, batch normalisation and ReLU."""

    def __init__(
        self, inplanes: int, planes: int, kernel: int = 1, stride: int = 1, *, head: bool = False
    ) -> None:
        super().__init__()
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3
        self.conv3d = nn.Conv3d(inplanes, planes, self.kernel, self.stride, bias=head)
        self.bn = nn.Identity() if head else nn.BatchNorm3d(planes, eps=1e-3, momentum=1e-2)
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """(B, inplanes, T, H, W) -> (B, planes, ⌈T/s⌉, ⌈H/s⌉, ⌈W/s⌉)."""
        if self.kernel != (1, 1, 1):
            t, h, w = x.shape[2:]
            x = F.pad(x, same_padding((t, h, w), self.kernel, self.stride))
        y: Tensor = self.conv3d(x)
        return y if self.head else F.relu(self.bn(y))


class SamePool(nn.Module):
    """Max pooling with "same" padding; its input is never negative, so zeros are neutral."""

    def __init__(self, kernel: Triple, stride: Triple) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, C, ⌈T/s⌉, ⌈H/s⌉, ⌈W/s⌉)."""
        t, h, w = x.shape[2:]
        x = F.pad(x, same_padding((t, h, w), self.kernel, self.stride))
        return F.max_pool3d(x, self.kernel, self.stride)


class Inception(nn.Module):
    """Four branches, joined over the channels."""

    def __init__(self, inplanes: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3b = widths
        self.b0 = Unit3D(inplanes, b0)
        self.b1a = Unit3D(inplanes, b1a)
        self.b1b = Unit3D(b1a, b1b, 3)
        self.b2a = Unit3D(inplanes, b2a)
        self.b2b = Unit3D(b2a, b2b, 3)
        self.b3a = SamePool((3, 3, 3), (1, 1, 1))
        self.b3b = Unit3D(inplanes, b3b)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inplanes, T, H, W) -> (B, b0 + b1b + b2b + b3b, T, H, W)."""
        branches = (self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x)))
        return torch.cat(branches, dim=1)


def _trunk(*, deep_pool: bool) -> OrderedDict[str, nn.Module]:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["Conv3d_1a_7x7"] = Unit3D(3, 64, 7, 2)
    if deep_pool:
        layers["MaxPool3d_2a_3x3"] = SamePool((1, 3, 3), (1, 2, 2))
    layers["Conv3d_2b_1x1"] = Unit3D(64, 64)
    layers["Conv3d_2c_3x3"] = Unit3D(64, 192, 3)
    layers["MaxPool3d_3a_3x3"] = SamePool((1, 3, 3), (1, 2, 2))
    width = 192
    for name, widths in _MIXED.items():
        if name == "Mixed_4b":
            layers["MaxPool3d_4a_3x3"] = SamePool((3, 3, 3), (2, 2, 2))
        if name == "Mixed_5b":
            layers["MaxPool3d_5a_2x2"] = SamePool((2, 2, 2), (2, 2, 2))
        layers[name] = Inception(width, widths)
        width = widths[0] + widths[2] + widths[4] + widths[5]
    return layers


class I3D(nn.Module):
    """The Inception trunk, a 2×7×7 average, dropout and a 1×1×1 head."""

    def __init__(self, num_classes: int, *, deep_pool: bool, dropout: float = 0.5) -> None:
        super().__init__()
        self.logits = Unit3D(_WIDTH, num_classes, head=True)
        self.dropout = nn.Dropout(dropout)
        self._nested = not deep_pool
        trunk = _trunk(deep_pool=deep_pool)
        if self._nested:
            self.model = nn.Sequential(trunk)
        else:
            for name, layer in trunk.items():
                self.add_module(name, layer)
        self._names = tuple(trunk)

    def frame_logits(self, x: Tensor) -> Tensor:
        """Clips (B, 3, T, H, W) -> logits over time (B, num_classes, T / 8 - 1 at least 1)."""
        layers = self.model if self._nested else [self.get_submodule(n) for n in self._names]
        for layer in layers:
            x = layer(x)
        t, h, w = x.shape[2:]
        x = F.avg_pool3d(x, (min(2, t), min(7, h), min(7, w)), stride=1)
        logits: Tensor = self.logits(self.dropout(x))
        return logits.mean(dim=(3, 4))

    def forward(self, x: Tensor) -> Tensor:
        """Clips (B, 3, T, H, W) -> logits (B, num_classes), the maximum over time.

        So does the public baseline. At 16 frames there is one place in time, and nothing to choose.
        """
        return self.frame_logits(x).amax(dim=2)
