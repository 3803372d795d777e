"""Losses over logits (B, C) and labels (B, C) in [0, 1]; each gives one loss a clip, (B,)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 -- the field's own name
from torch import Tensor

from tinyvirat_build.errors import TrainError
from tinyvirat_build.geometry.arrays import Bytes
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


@dataclass(frozen=True, slots=True, eq=False)
class Frequency:
    """How often labels are in training: clips of each class (C,), on the loss's device; all clips.

    The balanced losses take a class without clips for one that has a clip, and one that all clips
    have for one that a clip lacks, so that no weight is infinite.
    """

    clips: Tensor
    total: int

    @classmethod
    def of(cls, labels: Bytes, device: torch.device) -> Frequency:
        """That of multi-hot labels (N, C)."""
        return cls(torch.from_numpy((labels > 0).sum(axis=0)).float().to(device), len(labels))


def class_balanced_weights(frequency: Frequency, beta: float) -> Tensor:
    """The weight of each class (C,): the inverse of its effective number of clips.

    Cui et al. (CVPR 2019), eq. 2, their mean 1 over the classes that have clips; a class without
    clips has the weight 1, for it can only be denied.

    >>> often = Frequency(torch.tensor([90.0, 10.0, 0.0]), 100)
    >>> [round(w, 2) for w in class_balanced_weights(often, 0.99).tolist()]
    [0.28, 1.72, 1.0]
    """
    here = frequency.clips > 0
    weights = (1 - beta) / (1 - beta ** frequency.clips.double().clamp(min=1))
    weights = weights / (weights * here).sum().clamp(min=1e-12) * here.sum()
    return torch.where(here, weights, 1.0).float()


def class_balanced(logits: Tensor, labels: Tensor, *, weights: Tensor) -> Tensor:
    """Binary cross entropy with a weight a class (C,), the mean over the classes, (B,)."""
    losses = F.binary_cross_entropy_with_logits(logits.float(), labels.float(), reduction="none")
    return (losses * weights).mean(dim=1)


def distribution_balanced(
    logits: Tensor, labels: Tensor, *, frequency: Frequency, gamma: float, scale: float
) -> Tensor:
    """The distribution-balanced focal loss of Wu et al. (ECCV 2020), the mean over classes, (B,).

    Each class of a clip weighs as it would were the clip drawn for that class alone (eq. 4 to 6,
    smoothed with alpha 0.1, beta 10 and ``gamma``); logits of negatives are ``scale`` times as
    steep and as light, about a bias from the class's frequency (eq. 8 to 10, kappa 0.05). Focal
    exponent and factor are 2, as in the authors' code.
    """
    logits, labels = logits.float(), labels.float()
    total = max(frequency.total, 2)
    clips = frequency.clips.clamp(min=1, max=total - 1)
    rate = 1 / clips
    # A clip without labels is drawn for no class: all its classes weigh alike.
    of_clip = (labels * rate).sum(dim=1, keepdim=True).clamp(min=1e-12)
    weights = torch.sigmoid(10 * (rate / of_clip - gamma)) + 0.1
    biased = logits - 0.05 / scale * torch.log(total / clips - 1)
    steep = biased * (labels + (1 - labels) * scale)
    weights = weights * (labels + (1 - labels) / scale)
    losses = F.binary_cross_entropy_with_logits(steep, labels, reduction="none")
    return (2 * weights * (1 - torch.exp(-losses)).pow(2) * losses).mean(dim=1)


def distilled(logits: Tensor, taught: Tensor, *, temperature: float) -> Tensor:
    """Cross entropy to a teacher's softened answers, logits (B, C), the mean over classes, (B,).

    Hinton et al. (2015), for labels that do not exclude each other; the square of the temperature
    keeps the gradients' size.
    """
    soft = torch.sigmoid(taught.float() / temperature)
    return temperature**2 * binary_cross_entropy(logits.float() / temperature, soft)


def make_loss(settings: Loss, frequency: Frequency | None = None) -> LossFunction:
    """The loss that the settings name; the balanced ones need the labels' ``frequency``.

    Raises:
        TrainError: a balanced loss without it.
    """
    if settings.name == "bce":
        return binary_cross_entropy
    if settings.name == "asymmetric":
        return lambda logits, labels: asymmetric(
            logits,
            labels,
            gamma_neg=settings.gamma_neg,
            gamma_pos=settings.gamma_pos,
            clip=settings.clip,
        )
    if frequency is None:
        raise TrainError(
            f"loss.name={settings.name} needs to know how often each class is; give `fit` the "
            "labels' frequency, or choose bce"
        )
    if settings.name == "class-balanced":
        weights = class_balanced_weights(frequency, settings.beta)
        return lambda logits, labels: class_balanced(logits, labels, weights=weights)
    return lambda logits, labels: distribution_balanced(
        logits, labels, frequency=frequency, gamma=settings.map_gamma, scale=settings.neg_scale
    )
