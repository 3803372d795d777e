"""What several GPUs are told, without any: the process group, and batch statistics over all."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

import torch.distributed as dist  # noqa: E402

from tinyvirat_build.errors import TrainError  # noqa: E402
from tinyvirat_build.loader.ranks import Ranks, join_ranks  # noqa: E402
from tinyvirat_build.train import models, settings  # noqa: E402
from tinyvirat_build.train.trainer import Trainer, synchronised  # noqa: E402

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
TWO = Ranks(rank=1, world_size=2, local_rank=1)


def test_the_group_is_told_the_ranks_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", told.append)
    monkeypatch.setattr(dist, "init_process_group", lambda *a, **k: told.append((a, k)))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: None)
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "1"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    with join_ranks("cuda") as (ranks, device):
        assert (ranks, device) == (TWO, torch.device("cuda:1"))
    assert told == [device, (("nccl",), {"device_id": device})]
    told.clear()
    with join_ranks("cpu"):
        pass
    assert told == [(("gloo",), {})]


def test_statistics_over_all_ranks_are_of_the_same_parameters() -> None:
    plain = models.build("resnet3d10-narrow", 5)
    before = list(plain.named_parameters())
    names = list(plain.state_dict())
    found = synchronised(plain, CUDA, TWO)
    norms = [m for m in found.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert all(isinstance(m, torch.nn.SyncBatchNorm) for m in norms)
    assert list(found.state_dict()) == names
    assert all(a is b for (_, a), (_, b) in zip(before, found.named_parameters(), strict=True))


def test_alone_they_are_the_plain_ones_and_on_cpus_refused() -> None:
    s = settings.load("paper", ["sync_bn=true", "model=resnet3d10-narrow"])
    trainer = Trainer(models.build(s.model, 5), s, CPU)
    assert not any(isinstance(m, torch.nn.SyncBatchNorm) for m in trainer.model.modules())
    with pytest.raises(TrainError, match="sync_bn=true needs a GPU for each of the ranks"):
        Trainer(models.build(s.model, 5), s, CPU, TWO)
