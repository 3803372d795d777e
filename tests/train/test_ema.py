"""Averaged weights: equal to PyTorch's, in as few operations, from checkpoints of before too."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from tinyvirat_build.train import settings  # noqa: E402
from tinyvirat_build.train.ema import Average  # noqa: E402
from tinyvirat_build.train.trainer import Trainer  # noqa: E402


def tiny(layers: int = 1) -> Any:
    nn = torch.nn
    torch.manual_seed(0)
    inner = [m for _ in range(layers) for m in (nn.Conv3d(4, 4, 1), nn.BatchNorm3d(4))]
    return nn.Sequential(nn.Conv3d(3, 4, 1), *inner, nn.AdaptiveAvgPool3d(1), nn.Flatten())


def step(model: Any) -> None:
    """Change every parameter and buffer, as a step of training does."""
    model(torch.randn(2, 3, 2, 4, 4))
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p))


class Operations(TorchDispatchMode):
    """Counts what is dispatched."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen[str(func)] += 1
        return func(*args, **(kwargs or {}))


def test_equal_to_pytorchs_average_but_for_counts_which_are_the_models() -> None:
    model = tiny()
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    ours = Average(model, 0.9)
    for _ in range(5):
        step(model)
        theirs.update_parameters(model)
        ours.update()
    for name, value in theirs.module.state_dict().items():
        own = ours.module.state_dict()[name]
        wanted = value if value.is_floating_point() else model.state_dict()[name]
        assert torch.equal(own, wanted), name
    assert not any(p.requires_grad for p in ours.module.parameters())
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("layers", [1, 7])
def test_two_operations_a_step_however_many_layers(layers: int) -> None:
    chosen = settings.load("paper", overrides=["ema=0.9", "optim.lr=0.1"])
    seen = []
    for s in (chosen, settings.load("paper", overrides=["optim.lr=0.1"])):
        trainer = Trainer(tiny(layers), s, torch.device("cpu"))
        for _ in range(2):
            clips, labels = torch.randn(2, 3, 2, 4, 4), torch.zeros(2, 4)
            trainer.backward(clips, labels, parts=1, last=True)
            with Operations() as operations:
                trainer.update(0.1)
        seen.append(operations.seen)
    assert seen[0] - seen[1] == {"aten._foreach_lerp_.Scalar": 1, "aten._foreach_copy_.default": 1}


def test_checkpoints_of_before_count_their_steps_in_a_tensor() -> None:
    s = settings.load("paper", overrides=["ema=0.9"])
    trainer: Any = Trainer(tiny(), s, torch.device("cpu"))
    for _ in range(3):
        step(trainer.model)
        trainer.ema.update()
    state = copy.deepcopy(trainer.state_dict())
    assert state["ema_updates"] == 3
    resumed: Any = Trainer(tiny(), s, torch.device("cpu"))
    resumed.load_state_dict({**state, "ema_updates": torch.tensor(3)})
    for each in (trainer, resumed):
        torch.manual_seed(1)
        step(each.model)
        each.ema.update()
    assert resumed.ema.updates == 4
    for name, value in trainer.ema.module.state_dict().items():
        assert torch.equal(resumed.ema.module.state_dict()[name], value), name


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
def test_no_update_waits_for_the_device() -> None:
    model = tiny().cuda()
    average = Average(model, 0.9)
    average.update()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        average.update()
    finally:
        torch.cuda.set_sync_debug_mode("default")
