"""The bytes of a build, and what several tests make once and share."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import filelock
import pytest

DEMO = {"demo.scale": 0.1, "filter.min_samples": 1, "report.previews": "none"}
"""The settings of the demo that tests share."""
DEMO_SETS = [f"--set={name}={value}" for name, value in DEMO.items()]


def bytes_of(out: Path, *, without: tuple[str, ...] = ()) -> dict[str, str]:
    """Every file of a build but its log, its lock and a corpus in it, with its hash."""
    left_out = {"log", ".lock", "data", *without}
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.relative_to(out).parts[0] not in left_out
    }


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that ``make`` fills in the first process of the session that asks for it."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # in which each worker has its own
    folder, done = base / name, base / f"{name}.done"
    with filelock.FileLock(base / f"{name}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # the rest of one that failed
            make(folder)
            done.touch()
    return folder
