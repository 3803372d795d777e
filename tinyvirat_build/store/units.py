"""Units: the work of one stage on one video, or on the whole corpus, as one file.

It holds its tables as Arrow IPC and ends with its key, so that it is either there whole or not
there. A key is a digest of everything that the unit depends on: an equal key means an equal
result.

A unit is not forced to the disk, which takes longer than the work on a small video: what a power
failure leaves of it lacks its end and so its key, or fails its checksum when it is read.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import itertools
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

from tinyvirat_build.errors import BuildError
from tinyvirat_build.store.files import digest, write_unsynced
from tinyvirat_build.store.means import raise_if_lacking

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_KEY: Final = 32  # characters
_SMALL: Final = 1 << 16  # bytes of a unit that is read whole
_END: Final = struct.Struct("<4s4xHHLLH")  # of a zip archive, and a part's entry before it
_ENTRY: Final = struct.Struct("<16xL4xLHHH8xL")
_HEADER: Final = 30  # bytes before a part's name
_BLANK: Final[dict[bytes, pa.Table]] = {}  # tables without rows, of which every unit has some


def transient_key(reason: str) -> str:
    """The key of a unit whose work failed for a reason that may pass.

    No digest, so that the next run tries again.

    >>> transient_key("timeout")
    '                         timeout'
    """
    return f"{reason:>32}"


def is_transient(key: str | None) -> bool:
    """Whether a unit's key says that its work failed for a reason that may pass."""
    return key is not None and key.startswith(" ")


def has_transient(out: Path) -> bool:
    """Whether any unit of a build failed for a reason that may pass."""
    units = (p for p in (out / "units").rglob("*") if p.is_file())
    return any(is_transient(unit_key(p)) for p in units)


def write_unit(
    path: Path, key: str, tables: Mapping[str, pa.Table | bytes | Iterable[pa.Table]]
) -> None:
    """Write a unit: all its tables (or opaque bytes) in one file, complete or not at all.

    Of a table that comes in parts (one at least) each is written by itself.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, table in tables.items():
            whole = isinstance(table, bytes | pa.Table)
            for number, part in enumerate([table] if whole else table):
                data = part if isinstance(part, bytes) else _to_ipc(part)
                archive.writestr(zipfile.ZipInfo(_part(name, number), _EPOCH), data)
        archive.comment = key.encode()
    write_unsynced(path, buffer.getbuffer())


def _part(name: str, number: int) -> str:
    """The name of a table's part."""
    return f"{name}.{number}" if number else name


def _to_ipc(table: pa.Table) -> bytes:
    return _written(table) if table.num_rows else _without_rows(table.schema)


@functools.cache
def _without_rows(schema: pa.Schema) -> bytes:
    return _written(schema.empty_table())


def _written(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd" if table.num_rows > 1000 else None)
    with pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def unit_key(path: Path | str) -> str | None:
    """The key of a finished unit; None where there is none."""
    try:
        with open(path, "rb") as f:  # noqa: PTH123 - for a text a Path would be made
            f.seek(0, os.SEEK_END)
            f.seek(max(0, f.tell() - _KEY))
            tail = f.read()
    except FileNotFoundError:
        return None
    except IsADirectoryError as e:
        raise BuildError(f"{path} is a folder where a file belongs; delete it, run again") from e
    return tail.decode("ascii", "replace")


def read_unit(path: Path | str, names: Sequence[str]) -> dict[str, pa.Table]:
    """Some of a unit's tables."""
    with _reading(path):
        found = _parts(path, names)
        return {name: _table(found[name]) for name in names}


def read_unit_parts(path: Path | str, name: str) -> Iterator[pa.Table]:
    """One of a unit's tables as it was written: whole, or part by part."""
    with _reading(path):
        first = _parts(path, [name, _part(name, 1)])
        yield _table(first[name])
        if len(first) > 1:
            with zipfile.ZipFile(path) as archive:
                there = set(archive.namelist())
                for part in itertools.takewhile(there.__contains__, _numbered(name)):
                    yield _table(archive.read(part))


def _numbered(name: str) -> Iterator[str]:
    """The names of a table's parts after the first."""
    return (_part(name, number) for number in itertools.count(1))


def find_table(path: Path | str, name: str) -> pa.Table | None:
    """One of a unit's tables, None where it holds none of that name."""
    with _reading(path):
        found = _parts(path, [name])
        return _table(found[name]) if name in found else None


def read_unit_bytes(path: Path, name: str) -> bytes:
    """An opaque part of a unit."""
    with _reading(path):
        return _parts(path, [name])[name]


def unit_digest(path: Path | str, names: Sequence[str]) -> str:
    """A digest of some of a unit's parts: of what they hold, whatever the unit's key."""
    with _reading(path):
        found = _parts(path, names)
        return digest(*(hashlib.sha256(found[name]).hexdigest() for name in names))


def has_part(path: Path, name: str) -> bool:
    """Whether a unit holds a table of that name."""
    with _reading(path):
        return bool(_parts(path, [name]))


@contextlib.contextmanager
def _reading(path: Path | str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as e:
        raise BuildError(f"{path} is not there; run `tinyvirat-build all` again") from e
    except (OSError, KeyError, zipfile.BadZipFile, pa.ArrowInvalid) as e:
        raise_if_lacking(e)
        raise BuildError(f"cannot read {path}: {e}; delete it and run again") from e


def _parts(path: Path | str, names: Iterable[str]) -> dict[str, bytes]:
    """Some parts of a unit, those that it has."""
    with open(path, "rb") as file:  # noqa: PTH123 - for a text a Path would be made
        data = file.read(_SMALL)
        if len(data) < _SMALL:
            found = _parts_of(data)
            return {name: found[name] for name in names if name in found}
        with zipfile.ZipFile(file) as archive:
            there = set(archive.namelist())
            return {name: archive.read(name) for name in names if name in there}


def _parts_of(data: bytes) -> dict[str, bytes]:
    """All parts of a small unit: of thousands, zipfile would take most of the time of a build.

    Raises:
        BadZipFile: it is damaged.
    """
    found = {}
    try:
        magic, _, count, _, at, _ = _END.unpack(data[-_KEY - _END.size : -_KEY])
        if magic != b"PK\5\6":
            raise zipfile.BadZipFile("its end is missing")
        for _ in range(count):
            crc, size, named, extra, more, offset = _ENTRY.unpack_from(data, at)
            name = data[at + _ENTRY.size : at + _ENTRY.size + named].decode()
            start = offset + _HEADER + named
            found[name] = data[start : start + size]
            if zlib.crc32(found[name]) != crc:
                raise zipfile.BadZipFile(f"the checksum of {name} is another one")
            at += _ENTRY.size + named + extra + more
    except (struct.error, UnicodeDecodeError) as e:
        raise zipfile.BadZipFile("a part of it is missing") from e
    return found


def _table(data: bytes) -> pa.Table:
    if data in _BLANK:
        return _BLANK[data]
    table = pa.ipc.open_file(pa.py_buffer(data)).read_all()
    if not table.num_rows:
        _BLANK[data] = table
    return table
