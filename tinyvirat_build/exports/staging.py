"""Folders that an export owns: put in place whole, done once, and never over anything else.

An export carries a mark: what it was made from, and its files with their sizes. By it a second
call knows that there is nothing to do, and that a folder holds this export and nothing else. What
a killed call had written is taken up by the next one, if it is made from the same.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tinyvirat_build import store
from tinyvirat_build.errors import BuildError

MARK: Final = ".tinyvirat-export.json"
_LOCK: Final = ".lock"
_REMEDY: Final = "move it away, or give another --dest"


@dataclass(frozen=True, slots=True)
class Exported:
    """An export in its folder; ``notes`` say what its format cannot hold, a line each."""

    path: Path
    notes: tuple[str, ...]
    files: int
    written: bool  # false where it stood there already


@dataclass(frozen=True, slots=True)
class _Mark:
    key: str
    notes: tuple[str, ...]
    files: dict[str, int]  # path in the folder -> bytes


def stage(folder: Path, key: str, write: Callable[[Path], list[str]]) -> Exported:
    """Have ``folder`` hold what ``write`` writes; ``key`` stands for all that it depends on.

    ``write`` gets a folder, which may hold part of what it wrote there before, and returns notes.

    Raises:
        BuildError: the folder holds something else, or another process exports to it.
    """
    shown, folder = folder, folder.resolve()  # which may be "." or a link
    known = _known(folder)
    if known is not None and known.key == key:
        return Exported(shown, known.notes, len(known.files), written=False)
    partial = folder.with_name(f"{folder.name}{store.PARTIAL}")
    if _files(partial) and _read(partial / "key") is None:
        raise BuildError(f"{partial} holds something, where {folder} would be made; {_REMEDY}")
    with store.locked(partial, "exporting", "--dest"):
        if _read(partial / "key") != key:
            _clear(partial)
            store.write_text(partial / "key", key)
        inner = partial / "export"
        inner.mkdir(exist_ok=True)
        notes = write(inner)
        files = _files(inner)
        mark = {"key": key, "notes": notes, "files": files}
        store.write_json(inner / MARK, mark, indent=0)
        _known(folder)  # what came meanwhile is not removed either
        _replace(folder, inner, partial / "before")
        shutil.rmtree(partial, ignore_errors=True)
    return Exported(shown, tuple(notes), len(files), written=True)


def _known(folder: Path) -> _Mark | None:
    """The export that a folder holds whole; None where there is none, or files of it are missing.

    Raises:
        BuildError: the folder holds something else.
    """
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise BuildError(f"{folder} is a file; {_REMEDY}")
    there = _files(folder)
    try:
        tree = json.loads((folder / MARK).read_text("utf-8"))
        mark = _Mark(tree["key"], tuple(tree["notes"]), dict(tree["files"]))
    except (OSError, ValueError, KeyError, TypeError):
        if there:
            raise BuildError(f"{folder} holds {min(there)!r} but no export; {_REMEDY}") from None
        return None
    for name, size in there.items():
        if name not in mark.files:
            raise BuildError(f"{folder / name} is not of the export that stands there; {_REMEDY}")
        if size != mark.files[name]:
            raise BuildError(f"{folder / name} was changed since it was exported; {_REMEDY}")
    return mark if len(there) == len(mark.files) else None


def _files(folder: Path) -> dict[str, int]:
    """The files of a folder, in order, with their sizes; its own mark and lock are none."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            found[path.relative_to(folder).as_posix()] = path.lstat().st_size
    return {name: found[name] for name in sorted(found) if name not in (MARK, _LOCK)}


def _read(file: Path) -> str | None:
    try:
        return file.read_text("utf-8")
    except (OSError, ValueError):
        return None


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != _LOCK:
            path.unlink()


def _replace(folder: Path, new: Path, before: Path) -> None:
    """Put a folder in the place of another, which is moved out of the way first."""
    store.sync_folder(new)
    if folder.exists():
        folder.rename(before)
    new.rename(folder)
    store.sync_folder(folder.parent)
