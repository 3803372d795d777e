"""A folder is worked in by one process at a time."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import filelock

from tinyvirat_build.errors import BuildError
from tinyvirat_build.store.means import lacking

_NO_LOCKS: Final = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextlib.contextmanager
def locked(folder: Path, work: str, option: str = "--out") -> Iterator[None]:
    """Hold a folder for one process; a second one is told of its ``work``.

    ``option`` is the one that names another folder.

    Raises:
        BuildError: another process works here, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = acquire(folder / ".lock", wait=False)
    except filelock.Timeout as e:
        raise BuildError(_told(folder, work, Path(e.lock_file), option)) from e
    except OSError as e:
        raise lacking(e) or BuildError(
            f"cannot write to {folder}: {e.strerror or e}; give a writable {option}"
        ) from e
    try:
        yield
    finally:
        lock.release()


def acquire(path: Path, *, wait: bool) -> filelock.BaseFileLock:
    """Acquire the lock that is a file, which the caller has to release.

    On a file system without locks, as clusters have them, a file beside it names the holder. A
    holder that was killed on this machine is noticed; of other machines that cannot be told.

    Raises:
        filelock.Timeout: another process has it, and is not waited for.
        OSError: the file cannot be written.
    """
    timeout = -1 if wait else 0
    try:
        lock = filelock.FileLock(path, timeout=timeout, fallback_to_soft=False)
        lock.acquire()
    except OSError as e:
        if e.errno not in _NO_LOCKS:
            raise
        soft = filelock.SoftFileLock(_holder(path), timeout=timeout)
        soft.acquire()
        return soft
    return lock


def _holder(path: Path) -> Path:
    return path.with_name(f"{path.name}-holder")


def _told(folder: Path, work: str, lock: Path, option: str) -> str:
    """What is said of a folder that is held."""
    if lock.name == ".lock":
        return f"another process is {work} in {folder}; wait for it, or give another {option}"
    try:
        process, machine, *_ = lock.read_text("utf-8").split()
        who = f"process {process} on {machine}"
    except (OSError, ValueError):
        who = "another process"
    return f"{who} is {work} in {folder}; wait for it, or delete {lock} if it has ended"
