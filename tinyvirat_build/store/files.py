"""Files: written whole or not at all, and known by their hashes."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

PARTIAL: Final = ".partial"  # marks what is not finished; removed when a build starts


def digest(*parts: object) -> str:
    """32 hex digits that stand for the parts, which must be JSON values.

    >>> digest("merge", 1, {"b": 1, "a": 2}) == digest("merge", 1, {"a": 2, "b": 1})
    True
    """
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def hash_file(path: Path) -> str:
    """SHA-256 of a whole file, in hex."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place once it is complete on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PARTIAL, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as f:
            os.fsync(f.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A folder beside ``path`` that takes its place once it is written; of an empty one, none does.

    Its name is this process's own, of all machines that share the disk: a worker of a killed
    build, or of a machine that is taken for lost, may be about to end.
    """
    temporary = path.with_name(f"{path.name}.{_process(os.getpid())}{PARTIAL}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    yield temporary
    shutil.rmtree(path, ignore_errors=True)
    if any(temporary.iterdir()):
        sync_folder(temporary)
        temporary.rename(path)
    else:
        temporary.rmdir()
    sync_folder(path.parent)


@functools.cache
def _process(number: int) -> str:
    """What tells a process of this machine from all others."""
    return digest(platform.node(), number)[:8]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write a file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_unsynced(path: Path, data: bytes | memoryview) -> None:
    """Write a file atomically, but for a power failure: its reader must tell what that left."""
    temporary = path.with_name(f".{path.name}.{_process(os.getpid())}{PARTIAL}")
    try:
        try:
            file = temporary.open("wb")
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = temporary.open("wb")
        with file:
            file.write(data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, as UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any, *, indent: int | None = None) -> None:
    """Write JSON atomically, with a newline at its end."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False) + "\n")


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name: a hard link, or a copy where the file system has none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def sync_folder(path: Path) -> None:
    """Have a folder's entries on disk before anything that relies on them is written."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
