"""Drop path: branches left out as often as said, never in evaluation, alike after a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tinyvirat_build.errors import TrainError  # noqa: E402
from tinyvirat_build.train import models  # noqa: E402
from tinyvirat_build.train.models.drop_path import DropPath, set_drop_path  # noqa: E402
from tinyvirat_build.train.trainer import Trainer  # noqa: E402

from .memory import cut_off, small, start, tiny, weights  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_a_branch_is_left_out_as_often_as_said() -> None:
    torch.manual_seed(0)
    clips = torch.ones(20_000, 1, 1, 1, 1)
    kept = DropPath(0.3)(clips)
    assert set(kept.unique().tolist()) == {0.0, float(torch.tensor(1.0) / 0.7)}
    assert float((kept == 0).float().mean()) == pytest.approx(0.3, abs=0.02)
    assert torch.equal(DropPath(0.3).eval()(clips), clips)


@pytest.mark.parametrize("name", ["resnet3d10-narrow", "r2plus1d18-nopool", "resnet3d50"])
def test_every_block_of_the_residual_networks_has_a_branch(name: str) -> None:
    model = models.build(name, 3)
    blocks = sum(len(getattr(model, f"layer{n}")) for n in (1, 2, 3, 4))
    assert set_drop_path(model, 0.2) == blocks


def test_a_block_without_its_branch_is_its_shortcut() -> None:
    torch.manual_seed(0)
    block = models.build("resnet3d10-narrow", 3).layer1[0]
    block.drop_path.drop_prob = 1 - 1e-9
    x = torch.rand(2, 16, 2, 4, 4)
    torch.testing.assert_close(block(x), x)


def test_networks_without_branches_are_refused() -> None:
    with pytest.raises(TrainError, match="no residual branches"):
        Trainer(tiny(), small("drop_path=0.1"), torch.device("cpu"))


def test_stopped_in_mid_epoch_and_resumed_ends_with_the_same_weights(tmp_path: Path) -> None:
    chosen = small(
        "drop_path=0.5", "cutmix=1", "save_every=1", "epochs=1", "schedule.milestones=[]"
    )

    def network() -> Any:
        torch.manual_seed(0)
        return models.build(chosen.model, 3)

    start(tmp_path / "whole", chosen, model=network())
    cut_off(tmp_path / "cut", chosen, 3, model=network())
    start(tmp_path / "cut", chosen, model=network())
    whole, cut = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())
