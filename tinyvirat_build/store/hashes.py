"""Hashes of files, remembered from run to run."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from tinyvirat_build.store.files import atomic_path, hash_file


class HashMemory:
    """SHA-256 of annotation files, remembered with size and time of change.

    It works on a copy that lies on disk beside the system's other temporary files, so that it
    takes as little memory for a million files as for one, and needs no locks. It is but a memory:
    where it cannot be read or written, files are hashed anew.
    """

    def __init__(self, path: Path, *, forget: bool) -> None:
        self.path, self.dirty = path, False
        self._known = _temporary()
        if not forget and path.is_file():
            with contextlib.suppress(sqlite3.Error), contextlib.closing(_opened(path)) as file:
                file.backup(self._known)
        try:
            self._make()
        except sqlite3.Error:  # the file held something else
            self._forget()

    def _forget(self) -> None:
        """Begin anew, and have what is damaged written over."""
        self._known, self.dirty = _temporary(), True
        self._make()

    def _make(self) -> None:
        self._known.execute(
            "CREATE TABLE IF NOT EXISTS files "
            "(path BLOB PRIMARY KEY, size INTEGER, changed INTEGER, sha256 TEXT) WITHOUT ROWID"
        )
        self._known.execute("SELECT path, size, changed, sha256 FROM files LIMIT 1").fetchone()
        if self._known.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError

    def of(self, path: Path) -> str:
        """A file's SHA-256 in hex; empty where there is no such file."""
        stamp = self.stamp(path)
        if stamp is None:
            return ""
        place = os.fsencode(path)
        known = self._ask(
            "SELECT sha256 FROM files WHERE path = ? AND size = ? AND changed = ?", place, *stamp
        )
        if known:
            return str(known[0])
        found = hash_file(path)
        self._ask("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", place, *stamp, found)
        self.dirty = True
        return found

    def _ask(self, what: str, *values: object) -> tuple[object, ...] | None:
        try:
            row: tuple[object, ...] | None = self._known.execute(what, values).fetchone()
        except sqlite3.Error:
            self._forget()
            return None
        except OverflowError:  # a time that is no time of a file
            return None
        return row

    @staticmethod
    def stamp(path: Path | None) -> list[int] | None:
        """A file's size and time of change."""
        if path is None:
            return None
        try:
            stat = path.stat()
        except OSError:
            return None
        return [stat.st_size, stat.st_mtime_ns]

    def size(self, path: Path) -> int:
        """A file's size in bytes, 0 where there is none."""
        stamp = self.stamp(path)
        return stamp[0] if stamp else 0

    def save(self) -> None:
        """Write the memory if it has learnt something."""
        if not self.dirty:
            return
        with (
            contextlib.suppress(sqlite3.Error),
            atomic_path(self.path) as temporary,
            contextlib.closing(_opened(temporary)) as file,
        ):
            file.execute("PRAGMA journal_mode = OFF")  # it leaves no file beside it
            self._known.backup(file)
        self.dirty = False


def _temporary() -> sqlite3.Connection:
    """A database that is on disk as far as it is large, and gone with the process."""
    made = sqlite3.connect("", isolation_level=None)
    made.execute("PRAGMA journal_mode = OFF")
    return made


def _opened(path: Path) -> sqlite3.Connection:
    """A database that no other process has open, on a file system without locks too."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?nolock=1", uri=True, isolation_level=None)
