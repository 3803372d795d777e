"""A training that is killed in mid-epoch and goes on, beside one that nothing disturbs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from tinyvirat_build.train import fit, runs
from tinyvirat_build.train.settings import TrainSettings


def whole_and_resumed(chosen: TrainSettings, build: Path, folder: Path) -> tuple[Path, Path]:
    """The two runs, which end at the same place with the same weights; the settings save often."""
    whole, cut = folder / "whole", folder / "cut"
    (folder / "own.yaml").write_text(chosen.to_yaml())
    command = [sys.executable, "-m", "tinyvirat_build", "train", "--quiet", "--device", "cpu"]
    command += ["--preset", str(folder / "own.yaml"), "--build", str(build), "--out", str(cut)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment)
    while process.poll() is None and not _in_mid_epoch(cut):
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert _place(cut)["epoch"] < chosen.epochs
    subprocess.run(command, env=environment, check=True)
    fit.train(chosen, build, whole, device="cpu", progress=False)
    trees = [runs.load_checkpoint(out / "last.pt") for out in (whole, cut)]
    assert trees[0]["place"] == trees[1]["place"]
    for name, value in trees[0]["model"].items():
        assert torch.equal(value, trees[1]["model"][name]), name
    return whole, cut


def _place(out: Path) -> dict[str, Any]:
    place: dict[str, Any] = runs.load_checkpoint(out / "last.pt")["place"]
    return place


def _in_mid_epoch(out: Path) -> bool:
    return (out / "last.pt").is_file() and _place(out)["batch"] > 0
