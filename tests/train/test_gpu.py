"""The runner on a GPU that is there: steps without a wait of the host, and a whole run."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from loader.synthetic import Shape, make_pack  # noqa: E402

from tinyvirat_build.loader.ranks import Ranks  # noqa: E402
from tinyvirat_build.train import fit, models, runs, settings  # noqa: E402
from tinyvirat_build.train.data import make_loaders  # noqa: E402
from tinyvirat_build.train.meter import Meter  # noqa: E402
from tinyvirat_build.train.trainer import Trainer  # noqa: E402

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here"),
]
OPTIONS = ["model=resnet3d10-narrow", "data.batch=4", "ema=0.9", "channels_last=true"]


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shapes = [Shape(9, 40, 38, split=s) for s in ("train", "val") for _ in range(12)]
    return make_pack(tmp_path_factory.mktemp("gpu") / "pack", shapes)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_step_waits_for_the_device(pack: Path, precision: str) -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    s = settings.load("paper", [*OPTIONS, f"precision={precision}", "optim.clip_norm=1"])
    train, _ = make_loaders(s, pack, device, Ranks())
    trainer = Trainer(models.build(s.model, len(train.classes)), s, device)
    meter = Meter(len(train.classes), device)

    def epoch() -> None:
        for step, (clips, labels, ids) in enumerate(train):
            torch.manual_seed(step)
            loss, logits = trainer.backward(clips, labels, parts=1, last=True)
            meter.add(loss, logits, labels, ids)
            meter.stepped(step, trainer.update(1e-3))

    epoch()  # what is compiled and chosen once
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        epoch()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert meter.read(Ranks()).broken is None


def test_a_run_learns_and_its_log_tells_the_memory(pack: Path, tmp_path: Path) -> None:
    s = settings.load("paper", [*OPTIONS, "precision=bf16", "epochs=2", "schedule.milestones=[]"])
    result = fit.train(s, pack, tmp_path, device="cuda", progress=False)
    assert result.steps == 6
    rows = runs.read_log(tmp_path)
    assert len(rows) == 2
    assert all(0 < float(row["memory_mib"]) < 4096 for row in rows)
