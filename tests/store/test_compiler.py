"""What Triton needs of the machine, told before it fails; ``doctor`` tells it where a GPU is."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

import pytest

from tinyvirat_build.ask import machine
from tinyvirat_build.store.compiler import lacking_to_compile


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> set[str]:
    """The programs that are found; Python's headers are there."""
    found: set[str] = set()
    monkeypatch.setattr(shutil, "which", lambda name: name if name in found else None)
    monkeypatch.delenv("CC", raising=False)
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    return found


def test_a_compiler_and_headers_are_all_it_takes(
    programs: set[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "install gcc" in (lacking_to_compile() or "")
    for name in ("gcc", "clang"):
        programs.add(name)
        assert lacking_to_compile() is None
        programs.clear()
    programs.add("gcc")
    monkeypatch.setenv("CC", "none-such -m64")
    assert "CC names none-such" in (lacking_to_compile() or "")
    monkeypatch.setenv("CC", "gcc -m64")
    assert lacking_to_compile() is None
    (tmp_path / "Python.h").unlink()
    assert "python3-dev" in (lacking_to_compile() or "")


def test_the_doctor_tells_it_where_there_is_a_gpu(programs: set[str]) -> None:
    assert machine.remarks() == []
    programs.add("nvidia-smi")
    [line] = machine.remarks()
    assert line.startswith("Training on this machine's GPU needs a C compiler")
    programs.add("clang")
    assert machine.remarks() == []
