"""Distillation: the loss by its formula, teachers of other sizes, runs that know their teacher."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from loader.synthetic import CLASSES, Shape, make_pack  # noqa: E402

from tinyvirat_build.errors import TrainError  # noqa: E402
from tinyvirat_build.train import fit, runs, settings  # noqa: E402
from tinyvirat_build.train.distil import Teacher  # noqa: E402
from tinyvirat_build.train.losses import distilled  # noqa: E402
from tinyvirat_build.train.trainer import Trainer  # noqa: E402

CPU = torch.device("cpu")


def small(*overrides: str) -> settings.TrainSettings:
    base = ["epochs=1", "data.frames=4", "data.size=16", "data.batch=4", "schedule.warmup=0"]
    base += ["schedule.name=constant", "data.stride=1"]
    return settings.load("demo", overrides=[*base, *overrides])


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A build with a pack, and a finished run of twice the frames and the size."""
    folder = tmp_path_factory.mktemp("taught")
    shapes = [Shape(9, 12, 14, split=s, labels=(n % 3,)) for s in ("train", "val") for n in (0, 1)]
    make_pack(folder / "build" / "pack", shapes * 4)
    big = small("data.frames=8", "data.size=32", "seed=5")
    fit.train(big, folder / "build", folder / "big", device="cpu", progress=False)
    return folder / "build", folder / "big"


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_distillation_by_its_formula(temperature: float) -> None:
    torch.manual_seed(0)
    logits, said = torch.randn(6, 5).double() * 3, torch.randn(6, 5).double() * 3
    p, q = (1 / (1 + torch.exp(-v / temperature)) for v in (logits, said))
    formula = -(temperature**2) * (q * p.log() + (1 - q) * (1 - p).log()).mean(dim=1)
    ours = distilled(logits, said, temperature=temperature)
    torch.testing.assert_close(ours.double(), formula, rtol=1e-5, atol=1e-6)


def test_a_teacher_sees_the_clips_in_its_own_size(taught: tuple[Path, Path]) -> None:
    _, big = taught
    run = runs.open_run(big)
    model = run.model()
    constant = torch.randn(2, 3, 1, 1, 1)
    said = Teacher([run], CPU, run.settings)(constant.expand(2, 3, 4, 16, 16))
    with torch.no_grad():
        own = model(constant.expand(2, 3, 8, 32, 32))
    torch.testing.assert_close(said, own)
    both = Teacher([run, run], CPU, run.settings)(constant.expand(2, 3, 4, 16, 16))
    torch.testing.assert_close(both, own)
    assert not said.requires_grad
    plain = dataclasses.replace(
        run.settings,
        data=dataclasses.replace(run.settings.data, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
    )
    mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in run.settings.normalisation)
    pixels = (constant * std + mean).expand(2, 3, 4, 16, 16)
    torch.testing.assert_close(Teacher([run], CPU, plain)(pixels), own, rtol=1e-4, atol=1e-4)


def test_the_loss_is_shared_by_labels_and_teacher() -> None:
    def loss_of(weight: float, teacher: Any) -> float:
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 2))
        chosen = small(f"distil.weight={weight}", "distil.temperature=1")
        trainer = Trainer(model, chosen, CPU, teacher=teacher)
        clips, labels = torch.ones(4, 3, 1, 1, 1), torch.tensor([[1.0, 0.0]]).expand(4, 2)
        return float(trainer.backward(clips, labels, parts=1, last=True)[0])

    def sure(clips: Any) -> Any:
        return torch.tensor([[-1e4, 1e4]]).expand(len(clips), 2)  # the contrary of the labels

    alone, contrary = loss_of(0.5, None), loss_of(1, sure)
    assert loss_of(0, sure) == pytest.approx(alone)
    assert loss_of(0.25, sure) == pytest.approx(0.75 * alone + 0.25 * contrary, rel=1e-5)
    assert contrary != pytest.approx(alone)


def test_a_run_goes_on_with_its_own_teacher_alone(
    taught: tuple[Path, Path], tmp_path: Path
) -> None:
    build, big = taught

    def go(epochs: int, *teacher: Path) -> None:
        chosen = small(f"epochs={epochs}")
        fit.train(chosen, build, tmp_path / "run", device="cpu", teacher=teacher, progress=False)

    go(1, big)
    shutil.copytree(big, tmp_path / "moved")
    go(2, tmp_path / "moved")
    for other in ((), (big, big)):
        with pytest.raises(TrainError, match="from another teacher, or none; choose"):
            go(3, *other)
    with pytest.raises(TrainError, match="not a run"):
        go(3, tmp_path / "absent")


def test_a_teacher_of_other_classes_is_refused(taught: tuple[Path, Path], tmp_path: Path) -> None:
    build, big = taught
    shutil.copytree(big, tmp_path / "other")
    about = (tmp_path / "other" / "run.json").read_text().replace(CLASSES[0], "else")
    (tmp_path / "other" / "run.json").write_text(about)
    with pytest.raises(TrainError, match="a teacher of other classes"):
        fit.train(
            small(), build, tmp_path / "run", device="cpu", teacher=[tmp_path / "other"],
            progress=False,
        )  # fmt: skip
