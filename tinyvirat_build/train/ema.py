"""Averaged weights: an exponential moving average of a model, in two operations a step."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class Average:
    """The average of a model's weights and of its buffers' floats; integers are the model's own.

    The first update copies the model. Nothing waits for the device, and no step looks for the
    tensors anew: the model's parameters and buffers must stay the same objects.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(model).requires_grad_(requires_grad=False)
        self.decay, self.updates = decay, 0
        pairs = list(zip(_tensors(self.module), _tensors(model), strict=True))
        # Detached, so that neither gradients nor versions of the leaves are in the way.
        self._floats = _split([p for p in pairs if p[0].is_floating_point()])
        self._integers = _split([p for p in pairs if not p[0].is_floating_point()])

    def update(self) -> None:
        """Take the model's weights of this step into the average."""
        (averages, weights), (counts, own) = self._floats, self._integers
        if self.updates == 0:
            torch._foreach_copy_(averages, weights)
        else:
            torch._foreach_lerp_(averages, weights, 1 - self.decay)
        if counts:
            torch._foreach_copy_(counts, own)
        self.updates += 1


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def _split(pairs: list[tuple[Tensor, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
    return [a.detach() for a, _ in pairs], [b.detach() for _, b in pairs]
