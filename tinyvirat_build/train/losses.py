"""Losses over logits (B, C) and labels (B, C) in [0, 1]; each gives one loss a clip, (B,)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 -- the field's own name
from torch import Tensor

from tinyvirat_build.train.settings import Loss

LossFunction = Callable[[Tensor, Tensor], Tensor]


def binary_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross entropy with logits, the mean over the classes, (B,)."""
    losses = F.binary_cross_entropy_with_logits(logits.float(), labels.float(), reduction="none")
    return losses.mean(dim=1)


def asymmetric(
    logits: Tensor, labels: Tensor, *, gamma_neg: float, gamma_pos: float, clip: float
) -> Tensor:
    """The asymmetric loss of Ben-Baruch et al. (ICCV 2021), eq. 7, the mean over the classes, (B,).

    A negative's probability is shifted down by ``clip`` (and is 0 below it), so that easy
    negatives are dropped altogether; positives and negatives have focal exponents of their own.
    With both exponents and the shift 0 it is the binary cross entropy.
    """
    logits, labels = logits.float(), labels.float()
    p = torch.sigmoid(logits)
    shifted = (p - clip).clamp(min=0)
    tiny = torch.finfo(p.dtype).tiny
    positive = F.logsigmoid(logits) * (1 - p).clamp(min=tiny).pow(gamma_pos)
    log_negative = torch.log1p(-shifted.clamp(max=1 - 1e-7)) if clip else F.logsigmoid(-logits)
    negative = log_negative * shifted.clamp(min=tiny).pow(gamma_neg)
    return -(labels * positive + (1 - labels) * negative).mean(dim=1)


def make_loss(settings: Loss) -> LossFunction:
    """The loss that the settings name."""
    if settings.name == "bce":
        return binary_cross_entropy
    return lambda logits, labels: asymmetric(
        logits,
        labels,
        gamma_neg=settings.gamma_neg,
        gamma_pos=settings.gamma_pos,
        clip=settings.clip,
    )
