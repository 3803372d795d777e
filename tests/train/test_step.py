"""A step of the runner on the loader's own batches: nothing is copied or cast on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from loader.synthetic import Shape, make_pack  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from tinyvirat_build.loader.ranks import Ranks  # noqa: E402
from tinyvirat_build.pack.read import open_pack  # noqa: E402
from tinyvirat_build.scoring.inference import score_clips  # noqa: E402
from tinyvirat_build.train import fit, settings  # noqa: E402
from tinyvirat_build.train.data import dense_loader, make_loaders  # noqa: E402
from tinyvirat_build.train.trainer import Trainer  # noqa: E402

CPU = torch.device("cpu")
COPIES = {"aten._to_copy.default", "aten.clone.default", "aten.copy_.default"}


class Copies(TorchDispatchMode):
    """Counts copies and casts of tensors of one shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape, self.count = shape, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if str(func) in COPIES and tuple(args[0].shape) == self.shape:
            self.count += 1
        return func(*args, **(kwargs or {}))


def chosen(*overrides: str) -> settings.TrainSettings:
    sizes = ["data.frames=2", "data.size=6", "data.batch=4", "model=resnet3d10-narrow"]
    return settings.load("paper", [*sizes, *overrides])


def tiny(classes: int) -> Any:
    nn = torch.nn
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(3, 4, 1), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, classes)
    )


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shapes = [Shape(4, 9, 8, split=split) for split in ("train", "val") for _ in range(4)]
    return make_pack(tmp_path_factory.mktemp("step") / "pack", shapes)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("last", [False, True])
def test_a_batch_is_neither_copied_nor_cast(pack: Path, precision: str, *, last: bool) -> None:
    s = chosen(f"precision={precision}", f"channels_last={last}")
    train, val = make_loaders(s, pack, CPU, Ranks())
    assert val is not None
    trainer = Trainer(tiny(len(train.classes)), s, CPU)
    [(clips, labels, _)] = train
    with Copies(tuple(clips.shape)) as copies:
        trainer.backward(clips, labels, parts=1, last=True)
        score_clips(
            trainer.predictor, [next(iter(val))], train.classes, device=CPU,
            precision=s.precision, channels_last=s.channels_last,
        )  # fmt: skip
    assert copies.count == 0
    [(plain, _, _)] = make_loaders(chosen(), pack, CPU, Ranks())[0]
    with Copies(tuple(clips.shape)) as copies:
        trainer.backward(plain, labels, parts=1, last=True)
    assert copies.count == last + (precision == "bf16")


def test_windows_to_score_have_the_runs_type_and_layout(pack: Path) -> None:
    s = chosen("precision=bf16", "channels_last=true")
    clips, _, _ = next(iter(dense_loader(s, open_pack(pack), "val", CPU)))
    assert clips.dtype == torch.bfloat16
    assert clips.is_contiguous(memory_format=torch.channels_last_3d)


def test_short_clips_that_are_left_out_are_told_at_the_end(tmp_path: Path) -> None:
    pack = make_pack(tmp_path / "pack", [Shape(n, 9, 8) for n in (1, 1, 2, 3, 4, 5)])
    s = chosen("data.drop_short=true", "epochs=1", "schedule.milestones=[]", "logger=none")
    result = fit.train(s, pack, tmp_path / "run", device="cpu", progress=False)
    assert result.dropped == 2
    assert "; left out as too short: 2 clips; " in result.text()
