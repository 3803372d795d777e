"""Work that ends as its task says."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

from tinyvirat_build.errors import DataError


def work(task: tuple[str, int]) -> int:
    """The square of a number, or trouble."""
    kind, value = task
    if kind == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == "hang":
        time.sleep(60)
    if kind == "refuse":
        raise DataError("no such thing")
    if kind == "raise":
        raise KeyError("no such key")
    if kind == "unsendable":
        raise ValueError(lambda: value)
    if kind == "memory":
        raise MemoryError
    if kind == "full":
        raise OSError(errno.ENOSPC, "No space left on device")
    return value * value


def wait_and_note(folder: str) -> str:
    """Take a second, and leave a file in a folder for each time that this is done."""
    Path(folder).mkdir(exist_ok=True)
    Path(folder, str(time.monotonic_ns())).touch()
    time.sleep(1)
    return folder


def work_all(tasks: tuple[tuple[str, int], ...]) -> list[int]:
    """The squares of several numbers, or the trouble of one of them."""
    return [work(task) for task in tasks]
