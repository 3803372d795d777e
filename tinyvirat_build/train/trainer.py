"""A model with its optimiser: gradients of a batch, a step, and all of it as a state."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tinyvirat_build.errors import TrainError
from tinyvirat_build.loader.ranks import Ranks
from tinyvirat_build.train.ema import Average
from tinyvirat_build.train.layers import check_layers, freeze, groups, still_norms
from tinyvirat_build.train.losses import Frequency, LossFunction, distilled, make_loss
from tinyvirat_build.train.models.drop_path import set_drop_path
from tinyvirat_build.train.models.spec import Spec
from tinyvirat_build.train.recompute import in_place_told, recompute
from tinyvirat_build.train.settings import TrainSettings


@dataclass(slots=True)
class Trainer:
    """A model with all that changes in training, on one device."""

    model: nn.Module
    settings: TrainSettings
    device: torch.device
    ranks: Ranks = field(default_factory=Ranks)
    frequency: Frequency | None = None  # of the labels, for the losses that balance them
    teacher: Callable[[Tensor], Tensor] | None = None  # clips (B, 3, T, H, W) -> logits (B, C)
    spec: Spec = field(default_factory=Spec)  # of the model: its layers and its head
    forward: nn.Module = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)
    ema: Average | None = field(init=False, default=None)
    _loss: LossFunction = field(init=False)
    _still: list[nn.Module] = field(init=False)  # norms that keep their statistics

    def __post_init__(self) -> None:
        s = self.settings
        if s.sync_bn:
            self.model = synchronised(self.model, self.device, self.ranks)
        self.model.to(self.device)
        if s.channels_last:
            for value in (*self.model.parameters(), *self.model.buffers()):
                if value.ndim == 5:  # a network may have convolutions over pictures beside them
                    value.data = value.data.contiguous(memory_format=torch.channels_last_3d)
        if s.drop_path and not set_drop_path(self.model, s.drop_path):
            raise TrainError(f"{s.model} has no residual branches to leave out; set drop_path=0")
        check_layers(self.model, self.spec, s)
        if s.freeze:
            freeze(self.model, self.spec, s.freeze)
        self._still = still_norms(self.model, self.spec, s)
        if s.grad_checkpointing and not recompute(self.model, self.spec):
            raise TrainError(
                f"{s.model} has no blocks among its layers; set grad_checkpointing=false"
            )
        self.optimizer = make_optimizer(self.model, self.spec, s, fused=self.device.type == "cuda")
        if s.ema:
            self.ema = Average(self.model, s.ema)
        if s.compile:
            self.model.compile()
        self.forward = self.model
        if self.ranks.world_size > 1:
            ids = [self.device.index] if self.device.type == "cuda" else None
            self.forward = DistributedDataParallel(self.model, device_ids=ids)
        self._loss = make_loss(s.loss, self.frequency)

    def train_mode(self) -> None:
        """Training mode, except for batch normalisation where that is frozen."""
        self.model.train()
        for module in self._still:
            module.eval()

    def backward(
        self, clips: Tensor, labels: Tensor, *, parts: int, last: bool
    ) -> tuple[Tensor, Tensor]:
        """Gradients of one batch, a ``parts``-th of a step; gives (loss (), logits (B, C)).

        Ranks share gradients in the ``last`` part only.

        Raises:
            TrainError: the model gives no logits, or changes in place what gradients are of.
        """
        s = self.settings
        x = clips.to(self.device, non_blocking=True)
        y = labels.to(self.device, non_blocking=True)
        if s.channels_last:
            x = x.contiguous(memory_format=torch.channels_last_3d)
        if isinstance(self.forward, DistributedDataParallel):
            self.forward.require_backward_grad_sync = last
        with torch.autocast(self.device.type, torch.bfloat16, enabled=s.precision == "bf16"):
            taught = self.teacher(x) if self.teacher else None
            logits = self.forward(x)
        if logits.shape != y.shape:
            raise TrainError(
                f"{s.model} gives {tuple(logits.shape)} in training, not logits {tuple(y.shape)}; "
                "mend its forward"
            )
        losses = self._loss(logits, y)
        if taught is not None:
            soft = distilled(logits, taught, temperature=s.distil.temperature)
            losses = torch.lerp(losses, soft, s.distil.weight)
        loss = losses.mean()
        with in_place_told(s.model):
            (loss / parts).backward()  # type: ignore[no-untyped-call]
        return loss.detach(), logits.detach()

    def update(self, rate: float) -> Tensor:
        """One step of the optimiser over the gradients that have added up; gives their norm ()."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("share", 1.0)  # which a run of before did not keep
        limit = self.settings.optim.clip_norm
        norm = (
            nn.utils.clip_grad_norm_(self.model.parameters(), limit)
            if limit
            else norm_of([p.grad for p in self.model.parameters() if p.grad is not None], 2)
        )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema is not None:
            self.ema.update()
        return norm.detach()

    @property
    def rate(self) -> float:
        """The schedule's learning rate in the last step, of which layers may take a share."""
        first = self.optimizer.param_groups[0]
        return float(first["lr"]) / float(first.get("share", 1.0))

    def finite(self) -> bool:
        """Whether all weights are numbers, the averaged ones too. Waits for the device."""
        kept = [self.model, *([self.ema.module] if self.ema is not None else [])]
        values = [v for module in kept for v in module.state_dict().values()]
        return bool(norm_of([v for v in values if v.is_floating_point()], math.inf).isfinite())

    @property
    def predictor(self) -> nn.Module:
        """The weights to predict with: the averaged ones where there are any."""
        return self.model if self.ema is None else self.ema.module

    def state_dict(self) -> dict[str, Any]:
        """Weights, averaged weights and optimiser."""
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        if self.ema is not None:
            state["ema"] = self.ema.module.state_dict()
            state["ema_updates"] = self.ema.updates
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.ema is not None:
            self.ema.module.load_state_dict(state["ema"])
            self.ema.updates = int(state["ema_updates"])


def synchronised(model: nn.Module, device: torch.device, ranks: Ranks) -> nn.Module:
    """The model with batch statistics over all ranks, of the same parameters and names.

    Raises:
        TrainError: there are several ranks on CPUs, where PyTorch has no such form.
    """
    if ranks.world_size == 1:
        return model
    if device.type != "cuda":
        raise TrainError("sync_bn=true needs a GPU for each of the ranks; set sync_bn=false")
    found: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    return found


def norm_of(tensors: Sequence[Tensor], order: float) -> Tensor:
    """The norm () of all numbers in ``tensors``, in few kernels; not finite where one is not.

    >>> norm_of([torch.tensor([3.0]), torch.tensor([[0.0, -4.0]])], 2).item()
    5.0
    """
    parts = torch._foreach_norm([t for t in tensors if t.numel()], order)
    norm: Tensor = torch.linalg.vector_norm(torch.stack([p.float() for p in parts]), order)
    return norm


def make_optimizer(
    model: nn.Module, spec: Spec, s: TrainSettings, *, fused: bool
) -> torch.optim.Optimizer:
    """Adam or AdamW of what is trained."""
    kind = torch.optim.Adam if s.optim.name == "adam" else torch.optim.AdamW
    shared = groups(model, spec, s)
    return kind(shared, s.optim.lr, weight_decay=s.optim.weight_decay, fused=fused)
