"""Frozen layers stay to the bit, layers learn at their shares, what is recomputed is the same."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import torch.distributed as dist  # noqa: E402
from torch import nn  # noqa: E402

from tinyvirat_build.errors import SettingsError, TrainError  # noqa: E402
from tinyvirat_build.loader.ranks import Ranks  # noqa: E402
from tinyvirat_build.train import models, settings  # noqa: E402
from tinyvirat_build.train.models.drop_path import DropPath  # noqa: E402
from tinyvirat_build.train.models.spec import Spec  # noqa: E402
from tinyvirat_build.train.recompute import _as_before  # noqa: E402
from tinyvirat_build.train.trainer import Trainer  # noqa: E402

from .memory import CLASSES, cut_off, rows, small, start, weights  # noqa: E402

CPU = torch.device("cpu")
LAYERS = Spec(head="head", layers=(("stem",), ("row",), ("last",)))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def part(channels: int, dropout: float = 0.3) -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(channels, 6, 3, padding=1), nn.BatchNorm3d(6), nn.ReLU(), nn.Dropout(dropout)
    )


class Net(nn.Module):
    """Layers of every form: a block, a row of blocks, one with a branch that may be left out."""

    spec = LAYERS

    def __init__(self) -> None:
        super().__init__()
        self.stem = part(3)
        self.row = nn.Sequential(part(6), part(6))
        self.last = nn.ModuleDict({"block": part(6), "path": nn.Sequential(DropPath(), part(6))})
        self.head = nn.Linear(6, len(CLASSES))

    def forward(self, clips: Any) -> Any:
        y = self.last["block"](self.row(self.stem(clips)))
        return self.head((y + self.last["path"](y)).mean((2, 3, 4)))


def made(*overrides: str, ranks: Ranks | None = None) -> Trainer:
    torch.manual_seed(0)
    return Trainer(Net(), small(*overrides), CPU, ranks or Ranks(), spec=LAYERS)


def steps(trainer: Trainer, count: int = 2) -> dict[str, Any]:
    """The state after some steps, of two parts each."""
    trainer.train_mode()
    for step in range(count):
        torch.manual_seed(step)
        for last in (False, True):
            clips, labels = torch.randn(4, 3, 2, 5, 5), torch.ones(4, len(CLASSES))
            trainer.backward(clips, labels, parts=2, last=last)
        trainer.update(0.01)
    return copy.deepcopy(trainer.state_dict())


def test_frozen_layers_and_their_statistics_stay_to_the_bit() -> None:
    trainer = made("freeze=2", "ema=0.5", "optim.weight_decay=0.1")
    before = copy.deepcopy(trainer.model.state_dict())
    after = steps(trainer)
    for name, value in before.items():
        frozen = LAYERS.depth_of(name) < 2
        assert torch.equal(after["model"][name], value) == frozen, name
        assert torch.equal(after["ema"][name], value) == frozen, name
    held = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    for name, parameter in trainer.model.named_parameters():
        assert (id(parameter) in held) == parameter.requires_grad == (LAYERS.depth_of(name) >= 2)
        assert parameter.grad is None


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_a_layer_learns_at_its_share_of_the_next_ones_rate(name: str) -> None:
    """By the formula of BEiT and VideoMAE; Adam's first step is the rate in each direction."""
    trainer = made(f"optim.name={name}", "optim.layer_decay=0.5", "optim.weight_decay=0")
    before = copy.deepcopy(trainer.model.state_dict())
    steps(trainer, 1)
    for key, parameter in trainer.model.named_parameters():
        moved = (parameter - before[key]).abs().max().item()
        if not key.endswith(".0.bias"):  # in front of a norm, whose gradient is rounding
            wanted = 0.01 * 0.5 ** (3 - LAYERS.depth_of(key))
            assert moved == pytest.approx(wanted, rel=0.02), key
    kinds = {(g["share"], g["weight_decay"]) for g in trainer.optimizer.param_groups}
    assert len(kinds) == 4
    assert trainer.optimizer.param_groups[0]["lr"] == trainer.rate == 0.01
    plain = made(f"optim.name={name}").optimizer.param_groups
    assert len(plain) == {"adam": 1, "adamw": 2}[name]


@pytest.mark.parametrize("more", [(), ("freeze=2",), ("precision=bf16",)])
def test_what_is_computed_again_is_the_same(more: tuple[str, ...]) -> None:
    """Weights, their average and statistics; the draws of dropout and of drop path too."""
    options = ("drop_path=0.5", "ema=0.5", *more)
    plain, lean = made(*options), made(*options, "grad_checkpointing=true")
    one, two = steps(plain), steps(lean)
    for kind in ("model", "ema"):
        assert one[kind].keys() == two[kind].keys()
        for name, value in one[kind].items():
            assert torch.equal(two[kind][name], value), name
    assert int(two["model"]["last.block.1.num_batches_tracked"]) == 4
    for trainer in (plain, lean):
        trainer.predictor.eval()
    clips = torch.randn(2, 3, 2, 5, 5)
    assert torch.equal(plain.predictor(clips), lean.predictor(clips))


def test_less_is_kept_for_the_backward_pass() -> None:
    def kept(*overrides: str) -> int:
        trainer, total = made(*overrides), [0]

        def pack(value: Any) -> Any:
            total[0] += value.numel()
            return value

        trainer.train_mode()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
            trainer.forward(torch.randn(4, 3, 4, 9, 9))
        return total[0]

    assert kept("grad_checkpointing=true") < kept() / 4


def test_ranks_compute_again_what_one_computes(tmp_path: Path) -> None:
    """Through DistributedDataParallel, whose group is of one process here."""
    one = steps(made("drop_path=0.5", "freeze=1"))
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        options = ("drop_path=0.5", "freeze=1", "grad_checkpointing=true")
        two = steps(made(*options, ranks=Ranks(0, 2)))
    finally:
        dist.destroy_process_group()
    for name, value in one["model"].items():
        assert torch.equal(two["model"][name], value), name


def test_broken_off_and_resumed_ends_with_the_same_weights(tmp_path: Path) -> None:
    """With all three; to compute again is no other run, and may begin in the middle."""
    chosen = small("freeze=1", "optim.layer_decay=0.7", "ema=0.9", "save_every=2", "epochs=2")
    lean = dataclasses.replace(chosen, grad_checkpointing=True)

    def network() -> Net:
        torch.manual_seed(0)
        return Net()

    start(tmp_path / "whole", chosen, model=network())
    cut_off(tmp_path / "cut", chosen, 9, model=network())
    start(tmp_path / "cut", lean, model=network())
    whole, cut = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())
    assert [row["lr"] for row in rows(tmp_path / "cut")] == ["0.003", "0.003"]
    with pytest.raises(TrainError, match=r"not freeze=2 \(was 1\)"):
        start(tmp_path / "cut", dataclasses.replace(chosen, freeze=2), model=network())


@pytest.mark.parametrize("name", ["resnet3d10-narrow", "r2plus1d18", "i3d-112"])
def test_a_baseline_has_layers_to_freeze_and_blocks_to_compute_again(name: str) -> None:
    spec = models.NAMES[name].spec
    chosen = settings.load("paper", [f"model={name}", "grad_checkpointing=true"])
    chosen = dataclasses.replace(chosen, freeze=len(spec.layers), model=name)
    with torch.device("meta"):
        trainer = Trainer(models.build(name, 3), chosen, torch.device("meta"), spec=spec)
    left = [n for n, p in trainer.model.named_parameters() if p.requires_grad]
    assert left
    assert all(spec.is_head(n) for n in left)
    trainer.train_mode()
    norms = [m for m in trainer.model.modules() if isinstance(m, nn.BatchNorm3d)]
    assert norms
    assert not any(m.training for m in norms)


class Careless(Net):
    """Changes a block's input in place, after the block has seen it."""

    def forward(self, clips: Any) -> Any:
        y = self.stem(clips)
        z = self.row[0](y)
        y += 1
        return self.head((self.row[1](z) + y).mean((2, 3, 4)))


@pytest.mark.parametrize(
    ("spec", "option", "told"),
    [
        (Spec(), "freeze=1", "freeze=1: .* tells no layers; give it a spec"),
        (Spec(), "optim.layer_decay=0.5", "layer_decay=0.5: .* tells no layers"),
        (Spec(), "grad_checkpointing=true", "grad_checkpointing=true: .* tells no layers"),
        (
            Spec(layers=(("stem",), ("nope", "no"))),
            "freeze=1",
            "no parameter of the layer nope",
        ),
        (LAYERS, "freeze=4", "freeze=4: .* has 3 layers before its head"),
        (
            Spec(layers=(("stem", "row", "last", "head"),)),
            "freeze=1",
            "no parameter is left",
        ),
        (Spec(layers=(("stem.0",),)), "grad_checkpointing=true", "no blocks among its layers"),
    ],
)
def test_layers_that_are_not_there_are_told(spec: Spec, option: str, told: str) -> None:
    with pytest.raises(TrainError, match=told) as caught:
        Trainer(Net(), small(option), CPU, spec=spec)
    assert "\n" not in str(caught.value)


def test_an_input_that_is_changed_in_place_is_told() -> None:
    trainer = Trainer(Careless(), small("grad_checkpointing=true"), CPU, spec=LAYERS)
    with pytest.raises(TrainError, match="changes in place what its gradients are computed from"):
        steps(trainer)
    block, value = part(3), torch.zeros(2)
    again = _as_before(block, [(value, value._version)])
    value += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"), again:
        pass


def test_settings_of_layers_are_bounded() -> None:
    for override in ("freeze=-1", "optim.layer_decay=0", "optim.layer_decay=1.1"):
        with pytest.raises(SettingsError, match=f"out of range: {override.split('=')[0]}"):
            settings.load("paper", [override])
    with pytest.raises(SettingsError, match="grad_checkpointing goes without compile"):
        settings.load("paper", ["grad_checkpointing=true", "compile=true"])


def test_a_head_inside_a_layers_module_is_the_head() -> None:
    spec = Spec(head="net.head", layers=(("net",),))
    assert [spec.depth_of(n) for n in ("net.body.weight", "net.head.weight")] == [0, 1]
