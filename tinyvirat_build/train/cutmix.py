"""CutMix for clips with several labels: a box of each clip's frames is that of its neighbour."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def cutmix(clips: Tensor, labels: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Clips (B, 3, T, H, W) with one box, in all frames, from the clip before; labels (B, C).

    Yun et al. (ICCV 2019): the share of the box is drawn from Beta(alpha, alpha), its middle
    anywhere; labels are mixed by the pixels that stayed. All is drawn from the CPU's generator,
    which the step has seeded, so that the device is never waited for.
    """
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    middle = torch.rand(2).tolist()
    (top, bottom), (left, right) = (
        _span(side, math.sqrt(1 - share), at)
        for side, at in zip(clips.shape[-2:], middle, strict=True)
    )
    mixed = clips.clone()
    mixed[..., top:bottom, left:right] = clips.roll(1, 0)[..., top:bottom, left:right]
    taken = (bottom - top) * (right - left) / (clips.shape[-2] * clips.shape[-1])
    return mixed, torch.lerp(labels.float(), labels.float().roll(1, 0), taken)


def _span(side: int, share: float, at: float) -> tuple[int, int]:
    """The pixels of a box on one side, cut off at the border.

    >>> _span(10, 0.4, 0.5), _span(10, 0.4, 0.0), _span(10, 1.0, 0.999)
    ((3, 7), (0, 2), (4, 10))
    """
    half, middle = int(side * share) // 2, int(side * at)
    return max(middle - half, 0), min(middle + half, side)
