"""From the command line: teach, calibrate, decide, and weigh runs of an ensemble."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="the extra train is not installed")

from loader.synthetic import CLASSES, Shape, make_pack  # noqa: E402

from tinyvirat_build.cli import main  # noqa: E402
from tinyvirat_build.train import runs  # noqa: E402

NETWORK = """
from torch import nn

class Net(nn.Module):
    spec = {"frames": 2, "size": 8, "batch": 8, "head": "head", "layers": ["frame"]}

    def __init__(self, num_classes):
        super().__init__()
        self.frame = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Flatten())
        self.head = nn.Linear(36, num_classes)

    def forward(self, clips):  # a frame at a time, as networks of pictures see clips
        frames = clips.transpose(1, 2).flatten(0, 1)
        return self.head(self.frame(frames)).unflatten(0, (len(clips), -1)).mean(1)
"""
Command = Callable[..., str]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """A command in a folder with a build and a network; what it prints, after it has succeeded."""
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NETWORK)
    rng = np.random.default_rng(0)
    shapes = [
        Shape(3, 8, 8, split=split, labels=tuple({int(rng.integers(3)), int(rng.integers(3))}))
        for split, count in (("train", 16), ("val", 20), ("test", 12))
        for _ in range(count)
    ]
    make_pack(tmp_path / "build" / "pack", shapes)

    def run(text: str, status: int = 0) -> str:
        done = CliRunner().invoke(main, text.split())
        assert done.exit_code == status, done.output
        return done.output

    return run


def scores(folder: str) -> Any:
    """Scores (N, C) of the test clips that an evaluation has kept."""
    return np.array(pq.read_table(Path(folder) / "scores-test.parquet")["scores"].to_pylist())


def results(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(folder) / "results.json").read_text())
    return found


def test_two_runs_are_taught_weighed_calibrated_and_answer(command: Command) -> None:
    train = "train --model net.py:Net --build build --preset demo --quiet --device cpu"
    train += " --set epochs=1 --set schedule.warmup=0 --set logger=none --out"
    command(f"{train} one")
    said = command(f"{train} two --teacher one --set seed=1")
    assert "1 epoch, 1 step;" in said
    sources = json.loads(Path("two/run.json").read_text())["sha256"]
    assert sources["teacher"]
    assert "teacher" not in json.loads(Path("one/run.json").read_text())["sha256"]
    both = "--run one --run two --weight 3 --weight 1 --device cpu"
    command("evaluate --run one --device cpu")
    command("evaluate --run two --device cpu --out e2")
    command(f"evaluate {both} --out e")
    mean = 0.75 * scores("one") + 0.25 * scores("e2")
    np.testing.assert_allclose(scores("e"), mean, atol=1e-6)

    said = command(f"calibrate {both} --out own.json")
    assert said.startswith("wrote own.json; on the 20 val clips")
    chosen = json.loads(Path("own.json").read_text())
    command(f"evaluate {both} --decision own.json --out d")
    found = results("d")
    logits = np.log(mean / (1 - mean))
    for c, name in enumerate(CLASSES):
        own = chosen["classes"][name]
        expected = 1 / (1 + np.exp(-(own["scale"] * logits[:, c] + own["offset"])))
        np.testing.assert_allclose(scores("d")[:, c], expected, atol=1e-5, err_msg=name)
        said_of = int((scores("d")[:, c] >= own["threshold"]).sum())
        assert found["classes"][name]["predicted"] == said_of
    assert found["how"]["chosen_on"] == "val"

    command(f"predict {both} --decision own.json --build build --out answer.txt")
    rows = [line.split() for line in Path("answer.txt").read_text().splitlines()]
    thresholds = [chosen["classes"][name]["threshold"] for name in CLASSES]
    decided = (scores("d") >= thresholds).astype(int)
    assert [[int(v) for v in row[1:]] for row in rows] == decided.tolist()

    # The scores that were kept do for all of it, without a network.
    Path("two").rename("gone")
    kept = "--run one/scores-test.parquet --run e2/scores-test.parquet --weight 3 --weight 1"
    kept += " --build build"
    assert "scores-val.parquet: not there" in command(f"calibrate {kept}", 2)
    command("evaluate --run one --device cpu --split val --build build")
    command("evaluate --run gone --device cpu --split val --out e2 --build build")
    command(f"calibrate {kept} --out kept.json")
    assert json.loads(Path("kept.json").read_text()) == chosen
    command(f"evaluate {kept} --decision own.json --out k")
    assert results("k")["classes"] == found["classes"]
    np.testing.assert_array_equal(scores("k"), scores("d"))
    for asked, told in (
        (f"{kept} --windows mean", "scores of --windows max"),
        ("--run d/scores-test.parquet --build build", "scores of a calibration"),
        ("--run own.json.parquet --build build", "own.json.parquet: not there"),
        ("--run net.parquet --build build", "net.parquet: cannot be read"),
    ):
        Path("net.parquet").write_text("none")
        assert told in command(f"evaluate {asked} --out r", 2)
    assert "name another" in command(f"evaluate {kept} --decision own.json --out e2", 2)


def test_what_does_not_fit_is_one_line(command: Command) -> None:
    train = "train --model net.py:Net --build build --preset demo --quiet --device cpu"
    train += " --set epochs=1 --set schedule.warmup=0 --set logger=none --out"
    for out, seed in (("one", 0), ("two", 1)):
        command(f"{train} {out} --set seed={seed}")
    command("calibrate --run one --method temperature --thresholds val --device cpu")
    for text, told in (
        (f"{train} new --teacher none", "none: not a run"),
        (f"{train} one --teacher two", "from another teacher, or none; choose another --out"),
        ("evaluate --run two --decision one/decision.json", "chosen for other runs"),
        ("evaluate --run one --decision one --flips", "chosen for other flips"),
        ("evaluate --run one --decision nowhere.json", "nowhere.json: cannot be read"),
        ("evaluate --run one --run two --weight 1 --out e", "weight"),
        ("predict --run one --run two --weight 1 --weight -1", "weight"),
        ("calibrate --run one --split test", "nothing is chosen on test"),
        ("calibrate --run one --method none --thresholds fixed", "nothing to choose"),
    ):
        said = command(text, status=2)
        assert told in said, said
        assert "Traceback" not in said
    assert runs.open_run(Path("one")).classes == CLASSES
