"""The loader on a GPU that is there: the CPU's batches, without a wait of the host."""

from __future__ import annotations

import pytest
import torch

from tinyvirat_build.loader.augment import Augment
from tinyvirat_build.loader.loader import ClipLoader

from .synthetic import Shape, make_pack
from .test_fused import in_255ths

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here"),
]
SHAPES = [Shape(3 + i % 7, 12 + 9 * i % 90, 14 + 7 * i % 80) for i in range(24)]


@pytest.mark.parametrize("mode", ["stream", "resident"])
@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize(
    ("dtype", "last", "mixup", "step"),
    [(torch.float32, False, 0.0, 0.02), (torch.bfloat16, True, 0.4, 2.0)],
)
def test_batches_are_those_of_the_cpu(tmp_path, mode, workers, dtype, last, mixup, step):
    path = make_pack(tmp_path / "p", SHAPES)
    options = {"frames": 4, "size": 32, "batch_size": 4, "augment": Augment(mixup=mixup)}
    options |= {"dtype": dtype, "channels_last": last, "workers": workers}
    wanted = list(ClipLoader(path, "train", device="cpu", **options))
    got = list(ClipLoader(path, "train", device="cuda", mode=mode, **options))
    assert len(got) == len(wanted) == 6
    for (clips, labels, ids), (clips_, labels_, ids_) in zip(got, wanted, strict=True):
        assert ids == ids_
        assert clips.stride() == clips_.stride()
        assert torch.equal(labels.cpu(), labels_)
        assert in_255ths(clips.cpu(), clips_) < step


@pytest.mark.parametrize("mode", ["stream", "resident"])
def test_the_host_never_waits_for_the_device(tmp_path, mode):
    path = make_pack(tmp_path / "p", SHAPES)
    loader = ClipLoader(path, "train", 4, size=32, batch_size=4, device="cuda", mode=mode)
    list(loader)  # the kernel is compiled
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        assert sum(len(ids) for *_, ids in loader) == len(SHAPES)
    finally:
        torch.cuda.set_sync_debug_mode("default")
