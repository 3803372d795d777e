"""How tables and units lie on disk: schemas, keys, atomic writes.

A *table* is one Parquet file with a written schema. A *unit* is the work of one stage on one
source video: one file that holds its tables as Arrow IPC, with the unit's key in the file
itself, so that it is either there whole or not there. A key is a digest of everything that the
unit depends on: an equal key means an equal result.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tinyvirat_build.errors import BuildError
from tinyvirat_build.records import KEYS, SCHEMAS

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_KEY_FIELD: Final = b"tinyvirat_build.key"
PARTIAL: Final = ".partial"  # marks what is not finished; removed when a build starts


def digest(*parts: object) -> str:
    """32 hex digits that stand for the parts, which must be JSON values.

    >>> digest("merge", 1, {"b": 1, "a": 2}) == digest("merge", 1, {"a": 2, "b": 1})
    True
    """
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def passing_key(reason: str) -> str:
    """The key of a unit whose work failed for a reason that may pass.

    No digest, so that the next run tries again.

    >>> passing_key("timeout")
    '                         timeout'
    """
    return f"{reason:>32}"


def is_passing(key: str | None) -> bool:
    """Whether a unit's key says that its work failed for a reason that may pass."""
    return key is not None and key.startswith(" ")


def has_passing(out: Path) -> bool:
    """Whether any unit of a build failed for a reason that may pass."""
    units = (p for p in (out / "units").rglob("*") if p.is_file())
    return any(is_passing(unit_key(p)) for p in units)


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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, as UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any, *, indent: int | None = None) -> None:
    """Write JSON atomically, with a newline at its end."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False) + "\n")


def sync_folder(path: Path) -> None:
    """Have a folder's entries on disk before anything that relies on them is written."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def to_arrow(name: str, table: pd.DataFrame) -> pa.Table:
    """A DataFrame in the written schema of table ``name``; missing columns become null."""
    schema = SCHEMAS[name]
    if not len(table):
        return schema.empty_table()
    given = dict(table.items())
    columns = [
        _array(given[f.name], f.type) if f.name in given else pa.nulls(len(table), f.type)
        for f in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _array(column: pd.Series[Any], kind: pa.DataType) -> pa.Array:
    """A column as one Arrow array; the short ways come first, since there are many columns."""
    values: Any = column.array
    if isinstance(values, pd.arrays.NumpyExtensionArray):
        values = values.to_numpy()
        if values.dtype != object:
            return pa.array(values, kind, from_pandas=True)
    if pa.types.is_list(kind):
        return pa.array([None if v is None else list(v) for v in values], kind)
    if pa.types.is_dictionary(kind) and not isinstance(values, pd.Categorical):
        first = values[0]
        if isinstance(first, str) and (values == first).all():  # one video's key columns
            codes = pa.array(np.zeros(len(values), np.int32))
            return pa.DictionaryArray.from_arrays(codes, pa.array([first], pa.string()))
        return pa.array(np.asarray(values, dtype=object), pa.string()).dictionary_encode()
    if isinstance(values, pd.Categorical):
        words = pa.array(np.asarray(values.categories, dtype=object), pa.string())
        missing = values.codes < 0
        codes = pa.array(values.codes.astype(np.int32), mask=missing if missing.any() else None)
        array = pa.DictionaryArray.from_arrays(codes, words)
    else:
        array = pa.array(values, from_pandas=True)
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
    return array if array.type == kind else array.cast(kind)


def from_arrow(table: pa.Table) -> pd.DataFrame:
    """A DataFrame with categorical words and tuples where the schema has lists."""
    frame = {f.name: _series(c, f.type) for f, c in zip(table.schema, table.columns, strict=True)}
    return pd.DataFrame(frame, copy=False)


def _series(column: pa.ChunkedArray, kind: pa.DataType) -> Any:
    if pa.types.is_list(kind):
        lists = column.to_pylist()
        tuples = (None if v is None else tuple(v) for v in lists)
        return np.fromiter(tuples, dtype=object, count=len(lists))
    if pa.types.is_dictionary(kind):
        array = column.unify_dictionaries().combine_chunks()
        if isinstance(array, pa.ChunkedArray):
            array = array.chunk(0) if array.num_chunks else pa.array([], kind)
        codes = array.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        dtype = pd.CategoricalDtype(array.dictionary.to_pylist())
        return pd.Categorical.from_codes(codes, dtype=dtype, validate=False)
    if pa.types.is_integer(kind) and column.null_count:
        return column.to_pandas().astype("Int64")
    if pa.types.is_string(kind) or column.null_count:
        return column.to_pandas()
    return column.to_numpy()


def concat(name: str, tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Tables of many videos as one, through the written schema (categories are united)."""
    parts = [to_arrow(name, t) for t in tables]
    if not parts:
        return from_arrow(SCHEMAS[name].empty_table())
    return from_arrow(pa.concat_tables(parts).unify_dictionaries())


def read_table(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """A stage table from its Parquet file."""
    return from_arrow(_read_parquet(path, columns))


def _read_parquet(path: Path, columns: list[str] | None = None) -> pa.Table:
    try:
        return pq.read_table(path, columns=columns)
    except (OSError, KeyError, pa.ArrowInvalid) as e:  # KeyError: an empty folder stands there
        raise BuildError(f"cannot read table {path}: {e}; delete it and run again") from e


def count_rows(path: Path) -> int:
    """How many rows a table has; its rows are not read."""
    rows: int = pq.read_metadata(path).num_rows
    return rows


def table_key(path: Path) -> str | None:
    """The key that a table file was written under; None where there is no whole table."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return None
    key = metadata.get(_KEY_FIELD)
    return key.decode() if key else None


def write_table(path: Path, name: str, parts: Iterable[pa.Table], *, key: str) -> None:
    """Write a table atomically from parts in key order, one row group at a time.

    Memory holds a bounded run of parts, whatever the number of videos; the bytes depend on the
    rows alone, not on how they were parted.
    """
    schema = SCHEMAS[name].with_metadata({_KEY_FIELD: key.encode()})
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd", version="2.6") as writer,
    ):
        for group in _row_groups(parts, 1 << 17):
            writer.write_table(group.unify_dictionaries().combine_chunks().cast(schema))


def _row_groups(parts: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    held: list[pa.Table] = []
    n = 0
    for part in parts:
        if part.num_rows:
            held.append(part)
            n += part.num_rows
        while n >= rows:
            whole = pa.concat_tables(held)
            yield whole.slice(0, rows)
            held, n = [whole.slice(rows)], n - rows
    if n:
        yield pa.concat_tables(held)


def write_unit(path: Path, key: str, tables: Mapping[str, pa.Table | bytes]) -> None:
    """Write a unit: all its tables (or opaque bytes) in one file, complete or not at all."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, table in tables.items():
            data = table if isinstance(table, bytes) else _to_ipc(table)
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data)
        archive.comment = key.encode()
    write_bytes(path, buffer.getvalue())


def _to_ipc(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd" if table.num_rows > 1000 else None)
    with pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def unit_key(path: Path) -> str | None:
    """The key of a finished unit; None where there is none."""
    try:
        with path.open("rb") as f:
            f.seek(0, os.SEEK_END)
            f.seek(max(0, f.tell() - 32))
            tail = f.read()
    except FileNotFoundError:
        return None
    except IsADirectoryError as e:
        raise BuildError(f"{path} is a folder where a file belongs; delete it, run again") from e
    return tail.decode("ascii", "replace")


def read_unit(path: Path, names: Iterable[str]) -> dict[str, pa.Table]:
    """Some of a unit's tables."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {n: pa.ipc.open_file(pa.py_buffer(archive.read(n))).read_all() for n in names}
    except (OSError, KeyError, zipfile.BadZipFile, pa.ArrowInvalid) as e:
        raise BuildError(f"cannot read {path}: {e}; delete it and run again") from e


def read_unit_bytes(path: Path, name: str) -> bytes:
    """An opaque part of a unit."""
    with _archive(path) as archive:
        return archive.read(name)


def has_part(path: Path, name: str) -> bool:
    """Whether a unit holds a table of that name."""
    with _archive(path) as archive:
        return name in archive.namelist()


@contextlib.contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError as e:
        raise BuildError(f"{path} is not there; run `tinyvirat-build all` again") from e
    except (OSError, zipfile.BadZipFile) as e:
        raise BuildError(f"cannot read {path}: {e}; delete it and run again") from e


def sort_keys(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows in key order; the order within a video stays."""
    plain = frame.assign(**{k: frame[k].astype(str) for k in KEYS})
    order = plain.sort_values(list(KEYS), kind="stable").index
    return frame.loc[order].reset_index(drop=True)


class HashMemory:
    """SHA-256 of annotation files, remembered with size and time of change."""

    def __init__(self, path: Path, *, forget: bool) -> None:
        self.path = path
        self.known: dict[str, list[Any]] = {}
        if not forget and path.exists():
            try:
                self.known = json.loads(path.read_text("utf-8"))
            except (OSError, ValueError):
                self.known = {}  # only a memory: everything is hashed anew
        self.fresh = True

    def of(self, path: Path) -> str:
        """A file's SHA-256 in hex; empty where there is no such file."""
        stamp = self.stamp(path)
        if stamp is None:
            return ""
        known = self.known.get(str(path))
        if known is None or known[:2] != stamp:
            known = [*stamp, hash_file(path)]
            self.known[str(path)] = known
            self.fresh = False
        return str(known[2])

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
        if not self.fresh:
            write_json(self.path, self.known)
            self.fresh = True
