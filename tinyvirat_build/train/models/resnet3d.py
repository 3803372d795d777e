"""3D-ResNets of the 2018 lineage: a 7×7×7 stem with stride (1, 2, 2) and shortcut B.

Names and shapes of every entry are those of the checkpoints published with "Can Spatiotemporal
3D CNNs Retrace the History of 2D CNNs and ImageNet?" (Hara et al., CVPR 2018). This lineage
differs fivefold in cost from the one in torchvision: 8.3 GMAC for ResNet-18 at 16×112².
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812 -- the field's own name
from torch import Tensor, nn

from tinyvirat_build.train.models.drop_path import DropPath


class Block(nn.Module):
    """A residual block; ``expansion`` is its output's width over its ``planes``."""

    expansion: ClassVar[int] = 1

    def __init__(self, inplanes: int, planes: int, stride: int, downsample: nn.Module | None):
        super().__init__()
        self.drop_path = DropPath()


class BasicBlock(Block):
    """Two 3×3×3 convolutions."""

    def __init__(self, inplanes: int, planes: int, stride: int, downsample: nn.Module | None):
        super().__init__(inplanes, planes, stride, downsample)
        self.conv1 = nn.Conv3d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(planes)
        self.conv2 = nn.Conv3d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm3d(planes)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """(B, inplanes, T, H, W) -> (B, planes, T', H', W')."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        return F.relu(
            self.drop_path(y) + (x if self.downsample is None else self.downsample(x)), inplace=True
        )


class Bottleneck(Block):
    """1×1×1, 3×3×3, 1×1×1 convolutions."""

    expansion: ClassVar[int] = 4

    def __init__(self, inplanes: int, planes: int, stride: int, downsample: nn.Module | None):
        super().__init__(inplanes, planes, stride, downsample)
        self.conv1 = nn.Conv3d(inplanes, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(planes)
        self.conv2 = nn.Conv3d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm3d(planes)
        self.conv3 = nn.Conv3d(planes, planes * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(planes * self.expansion)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """(B, inplanes, T, H, W) -> (B, planes * expansion, T', H', W')."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        return F.relu(
            self.drop_path(y) + (x if self.downsample is None else self.downsample(x)), inplace=True
        )


class WideBottleneck(Bottleneck):
    """A bottleneck whose inner width is twice as large, the outer one the same (k = 2)."""

    expansion: ClassVar[int] = 2


class ResNet3D(nn.Module):
    """Stem, four stages of residual blocks, global average, linear head.

    ``widths`` are the planes of the four stages and ``stem`` the channels of the first
    convolution; ``pool`` keeps the max pool after it (the low-resolution variants do not).
    """

    def __init__(
        self,
        block: type[Block],
        layers: Sequence[int],
        num_classes: int,
        *,
        pool: bool = True,
        widths: Sequence[int] = (64, 128, 256, 512),
        stem: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.inplanes = stem
        self._build_stem(stem)
        self.maxpool = nn.MaxPool3d(3, 2, 1) if pool else nn.Identity()
        strides = (1, 2, 2, 2)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            self._stage(block, planes, count, stride)
            for planes, count, stride in zip(widths, layers, strides, strict=True)
        )
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(widths[-1] * block.expansion, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def _build_stem(self, stem: int) -> None:
        self.conv1 = nn.Conv3d(3, stem, 7, (1, 2, 2), 3, bias=False)
        self.bn1 = nn.BatchNorm3d(stem)

    def _stem(self, x: Tensor) -> Tensor:
        return F.relu(self.bn1(self.conv1(x)), inplace=True)

    def _stage(self, block: type[Block], planes: int, count: int, stride: int) -> nn.Sequential:
        out = planes * block.expansion
        downsample = None
        if stride != 1 or self.inplanes != out:
            downsample = nn.Sequential(
                nn.Conv3d(self.inplanes, out, 1, stride, bias=False), nn.BatchNorm3d(out)
            )
        blocks = [block(self.inplanes, planes, stride, downsample)]
        blocks += [block(out, planes, 1, None) for _ in range(count - 1)]
        self.inplanes = out
        return nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Clips (B, 3, T, H, W) -> logits (B, num_classes)."""
        y = self.maxpool(self._stem(x))
        y = self.layer4(self.layer3(self.layer2(self.layer1(y))))
        y = torch.mean(y, dim=(2, 3, 4))
        logits: Tensor = self.fc(self.dropout(y))
        return logits
