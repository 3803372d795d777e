"""Gradient checkpointing: what a block computed is dropped, and computed again for its gradients.

Chen et al., 2016 (arXiv 1604.06174), by PyTorch's own means. What is computed again is what was:
dropout and drop path draw the same numbers, and batch normalisation counts a batch once.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tinyvirat_build.errors import TrainError
from tinyvirat_build.train.models.spec import Spec

_IN_PLACE: Final = "modified by an inplace operation"


def recompute(model: nn.Module, spec: Spec) -> int:
    """Let each block of the layers compute again in the backward pass; how many there are."""
    found = {id(block): block for block in _blocks(model, spec)}
    for block in found.values():
        # A partial of the bound method: copies of the model (EMA) get one of their own.
        again = functools.partial(_computed_again, block, block.forward)
        setattr(block, "forward", again)  # noqa: B010 -- a method, for mypy
    return len(found)


@contextlib.contextmanager
def in_place_told(name: str) -> Iterator[None]:
    """Say in one line that a network has changed what its backward pass needs."""
    try:
        yield
    except RuntimeError as e:
        if _IN_PLACE not in str(e):
            raise
        raise TrainError(
            f"{name} changes in place what its gradients are computed from; mend the network, or "
            "set grad_checkpointing=false where that is on"
        ) from e


def _blocks(model: nn.Module, spec: Spec) -> Iterator[nn.Module]:
    """Modules of several parts: layers, or the blocks of which a layer is a sequence."""
    for name in (prefix.rstrip(".") for layer in spec.layers for prefix in layer):
        try:
            module = model.get_submodule(name)
        except AttributeError:  # a parameter
            continue
        parts = [part for part in module.children() if next(part.children(), None) is not None]
        is_row = isinstance(module, nn.Sequential) and len(parts) == len(module)
        if is_row or isinstance(module, nn.ModuleList | nn.ModuleDict):
            yield from parts
        elif next(module.children(), None) is not None:
            yield module


def _computed_again(
    block: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any
) -> Any:
    if not (block.training and torch.is_grad_enabled()):
        return forward(*args, **kwargs)
    given = [(v, v._version) for v in (*args, *kwargs.values()) if isinstance(v, Tensor)]

    def contexts() -> tuple[Any, Any]:
        return contextlib.nullcontext(), _as_before(block, given)

    return checkpoint(forward, *args, use_reentrant=False, context_fn=contexts, **kwargs)


@contextlib.contextmanager
def _as_before(block: nn.Module, given: list[tuple[Tensor, int]]) -> Iterator[None]:
    """Compute from the same input, and leave the statistics as the forward pass left them."""
    if any(value._version != version for value, version in given):
        raise RuntimeError(_IN_PLACE)  # as newer versions of PyTorch do by themselves
    statistics = [
        buffer
        for module in block.modules()
        if isinstance(module, nn.modules.batchnorm._NormBase)
        for buffer in module.buffers(recurse=False)
    ]
    kept = [buffer.clone() for buffer in statistics]
    try:
        yield
    finally:
        for buffer, value in zip(statistics, kept, strict=True):
            buffer.copy_(value)
