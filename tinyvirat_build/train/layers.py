"""What each layer of a network does in training: it stays as it is, or learns at its own rate."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from torch import nn

from tinyvirat_build.errors import TrainError
from tinyvirat_build.store import many
from tinyvirat_build.train.models.spec import Spec
from tinyvirat_build.train.settings import TrainSettings


def check_layers(model: nn.Module, spec: Spec, s: TrainSettings) -> None:
    """See that the network tells the layers that the settings speak of.

    Raises:
        TrainError: it tells none, too few, or one that it does not have.
    """
    asked = [
        (bool(s.freeze), f"freeze={s.freeze}", "freeze=0"),
        (s.optim.layer_decay < 1, f"optim.layer_decay={s.optim.layer_decay}", "1"),
        (s.grad_checkpointing, "grad_checkpointing=true", "false"),
    ]
    for wanted, setting, off in asked:
        if not wanted:
            continue
        if not spec.layers:
            raise TrainError(
                f"{setting}: {s.model} tells no layers; give it a spec with them "
                f"(docs/training.md), or set {off}"
            )
        depths = {spec.depth_of(name) for name, _ in model.named_parameters()}
        for depth, layer in enumerate(spec.layers):
            if depth not in depths:
                raise TrainError(
                    f"{setting}: {s.model} has no parameter of the layer {', '.join(layer)}; "
                    f"mend its spec, or set {off}"
                )
    if s.freeze > len(spec.layers):
        raise TrainError(
            f"freeze={s.freeze}: {s.model} has {many(len(spec.layers), 'layer')} before its head; "
            "set that or less"
        )


def freeze(model: nn.Module, spec: Spec, count: int) -> None:
    """Take the parameters of the first ``count`` layers out of training."""
    for name, parameter in model.named_parameters():
        if spec.depth_of(name) < count:
            parameter.requires_grad = False


def still_norms(model: nn.Module, spec: Spec, s: TrainSettings) -> list[nn.Module]:
    """The batch normalisation that keeps its statistics: of frozen layers, or all of it."""
    return [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        and (s.freeze_bn or spec.depth_of(f"{name}.running_mean") < s.freeze)
    ]


def groups(model: nn.Module, spec: Spec, s: TrainSettings) -> list[dict[str, Any]]:
    """The optimiser's groups, each with its ``share`` of the rate, the head's first.

    A layer learns at ``layer_decay`` of the rate of the one after it, up to the head's, which is
    the schedule's. AdamW decays neither biases nor batch normalisation (1-d parameters).

    Raises:
        TrainError: there is nothing to train.
    """
    found: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            below = len(spec.layers) - spec.depth_of(name) if s.optim.layer_decay < 1 else 0
            plain = s.optim.name == "adamw" and parameter.ndim <= 1
            found.setdefault((below, plain), []).append(parameter)
    if not found:
        raise TrainError(f"{s.model}: no parameter is left to train; freeze fewer layers")
    return [
        {"params": parameters, "share": s.optim.layer_decay**below}
        | ({"weight_decay": 0.0} if plain else {})
        for (below, plain), parameters in sorted(found.items(), key=itemgetter(0))
    ]
