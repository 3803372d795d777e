"""R(2+1)D-ResNets: every 3D convolution as a spatial and then a temporal one.

The middle width makes the pair's parameters as many as those of the 3D convolution it stands
for (Tran et al., CVPR 2018, §3.5). Names, and the blocks' own batch normalisation between the
two, are those of the 2020 checkpoints of the 3D-ResNet lineage.
"""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F  # noqa: N812 -- the field's own name
from torch import Tensor, nn

from tinyvirat_build.train.models.resnet3d import Block, ResNet3D


def middle_width(inplanes: int, planes: int, t: int, d: int) -> int:
    """The channels between a 1×d×d and a t×1×1 convolution.

    >>> middle_width(64, 64, 3, 3), middle_width(3, 64, 7, 7)
    (144, 110)
    """
    return inplanes * planes * t * d * d // (inplanes * d * d + planes * t)


def _spatial(inplanes: int, middle: int, stride: int) -> nn.Conv3d:
    return nn.Conv3d(inplanes, middle, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)


def _temporal(middle: int, planes: int, stride: int) -> nn.Conv3d:
    return nn.Conv3d(middle, planes, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False)


class BasicBlock2Plus1D(Block):
    """Two (2+1)D convolutions."""

    def __init__(self, inplanes: int, planes: int, stride: int, downsample: nn.Module | None):
        super().__init__(inplanes, planes, stride, downsample)
        middle1 = middle_width(inplanes, planes, 3, 3)
        self.conv1_s = _spatial(inplanes, middle1, stride)
        self.bn1_s = nn.BatchNorm3d(middle1)
        self.conv1_t = _temporal(middle1, planes, stride)
        self.bn1_t = nn.BatchNorm3d(planes)
        middle2 = middle_width(planes, planes, 3, 3)
        self.conv2_s = _spatial(planes, middle2, 1)
        self.bn2_s = nn.BatchNorm3d(middle2)
        self.conv2_t = _temporal(middle2, planes, 1)
        self.bn2_t = nn.BatchNorm3d(planes)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """(B, inplanes, T, H, W) -> (B, planes, T', H', W')."""
        y = F.relu(self.bn1_s(self.conv1_s(x)), inplace=True)
        y = F.relu(self.bn1_t(self.conv1_t(y)), inplace=True)
        y = F.relu(self.bn2_s(self.conv2_s(y)), inplace=True)
        y = self.bn2_t(self.conv2_t(y))
        return F.relu(
            self.drop_path(y) + (x if self.downsample is None else self.downsample(x)), inplace=True
        )


class Bottleneck2Plus1D(Block):
    """1×1×1, (2+1)D, 1×1×1 convolutions."""

    expansion: ClassVar[int] = 4

    def __init__(self, inplanes: int, planes: int, stride: int, downsample: nn.Module | None):
        super().__init__(inplanes, planes, stride, downsample)
        self.conv1 = nn.Conv3d(inplanes, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(planes)
        middle = middle_width(planes, planes, 3, 3)
        self.conv2_s = _spatial(planes, middle, stride)
        self.bn2_s = nn.BatchNorm3d(middle)
        self.conv2_t = _temporal(middle, planes, stride)
        self.bn2_t = nn.BatchNorm3d(planes)
        self.conv3 = nn.Conv3d(planes, planes * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(planes * self.expansion)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """(B, inplanes, T, H, W) -> (B, planes * expansion, T', H', W')."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2_s(self.conv2_s(y)), inplace=True)
        y = F.relu(self.bn2_t(self.conv2_t(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        return F.relu(
            self.drop_path(y) + (x if self.downsample is None else self.downsample(x)), inplace=True
        )


class ResNet2Plus1D(ResNet3D):
    """The 3D-ResNet with a (2+1)D stem; blocks as given."""

    def _build_stem(self, stem: int) -> None:
        middle = middle_width(3, stem, 7, 7)
        self.conv1_s = nn.Conv3d(3, middle, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False)
        self.bn1_s = nn.BatchNorm3d(middle)
        self.conv1_t = nn.Conv3d(middle, stem, (7, 1, 1), 1, (3, 0, 0), bias=False)
        self.bn1_t = nn.BatchNorm3d(stem)

    def _stem(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1_s(self.conv1_s(x)), inplace=True)
        return F.relu(self.bn1_t(self.conv1_t(y)), inplace=True)
