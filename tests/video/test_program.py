"""Which ffmpeg program is run, and what is said where it cannot be."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tinyvirat_build.errors import DataError, OutOfMemoryError
from tinyvirat_build.video import program


@pytest.fixture
def none_bundled(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    def refuse() -> str:
        raise RuntimeError("no ffmpeg exe could be found")

    monkeypatch.setattr(program.imageio_ffmpeg, "get_ffmpeg_exe", refuse)
    program.program.cache_clear()
    yield monkeypatch
    program.program.cache_clear()


def test_the_system_has_one_where_none_is_bundled(none_bundled: pytest.MonkeyPatch) -> None:
    none_bundled.setattr(program.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert program.program() == "/usr/bin/ffmpeg"


def test_without_any_the_remedy_is_told(none_bundled: pytest.MonkeyPatch) -> None:
    none_bundled.setattr(program.shutil, "which", lambda name: None)
    with pytest.raises(DataError, match="no ffmpeg program; pip install imageio-ffmpeg"):
        program.program()


def test_a_program_that_is_killed_or_lacks_memory_says_nothing_of_the_video(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ends(status: int, said: str) -> None:
        done = subprocess.CompletedProcess([], status, "", said)
        monkeypatch.setattr(program.subprocess, "run", lambda *_, **__: done)

    def first() -> Any:
        return program.first_picture(Path("a.mp4"), 0)

    ends(-9, "")
    with pytest.raises(OSError, match="could not run"):
        first()
    ends(1, "Cannot allocate memory")
    with pytest.raises(OutOfMemoryError):
        first()
    ends(1, "Invalid data found")
    assert first() is None
