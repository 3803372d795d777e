"""``make gpu-check`` on a machine without a GPU, and where a part of it fails."""

from __future__ import annotations

import runpy
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

SCRIPT = Path(__file__).parents[1] / "bench" / "gpu_check.py"


def run() -> int:
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    return int(str(ended.value.code))


def test_without_a_gpu_it_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run() == 2
    [line] = capsys.readouterr().out.splitlines()
    assert line == "no CUDA device here: `make gpu-check` needs a GPU that PyTorch sees"


@pytest.mark.parametrize(("failing", "status"), [(None, 0), ("bench/load.py", 1)])
def test_it_runs_every_part_and_says_what_to_look_at(
    failing: str | None,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ran = []

    def fake(command: list[str], **_: Any) -> SimpleNamespace:
        ran.append(command)
        if failing == command[1]:
            raise subprocess.TimeoutExpired(command, 1)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(subprocess, "run", fake)
    assert run() == status
    assert [c[1] for c in ran] == ["-m", "bench/load.py", "bench/train.py"]
    text = capsys.readouterr().out
    assert text.count("ended well") == 3 - status
    assert text.count("not done after") == status
    assert "runner / bare loop is 1.05 at most" in text
