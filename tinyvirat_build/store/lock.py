"""A folder is worked in by one process at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import filelock

from tinyvirat_build.errors import BuildError
from tinyvirat_build.store.means import lacking


@contextlib.contextmanager
def locked(folder: Path, work: str, option: str = "--out") -> Iterator[None]:
    """Hold a folder for one process; a second one is told of its ``work``.

    ``option`` is the one that names another folder.

    Raises:
        BuildError: another process works here, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except filelock.Timeout as e:
        raise BuildError(
            f"another process is {work} in {folder}; wait for it, or give another {option}"
        ) from e
    except OSError as e:
        raise lacking(e) or BuildError(
            f"cannot write to {folder}: {e.strerror or e}; give a writable {option}"
        ) from e
    try:
        yield
    finally:
        lock.release()
