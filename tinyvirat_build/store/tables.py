"""Tables: one Parquet file each, with a written schema and the key that it was written under."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tinyvirat_build.errors import BuildError
from tinyvirat_build.records import KEYS, SCHEMAS, Key
from tinyvirat_build.store.files import atomic_path, hash_file
from tinyvirat_build.store.means import raise_if_lacking
from tinyvirat_build.store.sums import note_sum

_KEY_FIELD: Final = b"tinyvirat_build.key"


def to_arrow(name: str, table: pd.DataFrame) -> pa.Table:
    """A DataFrame in the written schema of table ``name``; missing columns become null."""
    schema = SCHEMAS[name]
    if not len(table):
        return schema.empty_table()
    columns = [
        _array(table[f.name].array, f.type) if f.name in table else pa.nulls(len(table), f.type)
        for f in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def with_columns(name: str, rows: pa.Table, own: pd.DataFrame) -> pa.Table:
    """Rows in the written schema of table ``name``, with the columns that ``own`` has of it."""
    schema = SCHEMAS[name]
    made = [
        _array(own[f.name].array, f.type)
        if f.name in own
        else rows.column(f.name).combine_chunks().cast(f.type)
        for f in schema
    ]
    return pa.Table.from_arrays(made, schema=schema)


def of_video(name: str, key: Key, columns: Mapping[str, Any] | None) -> pa.Table:
    """One video's rows of table ``name``, of its columns beside the keys; none without them."""
    schema = SCHEMAS[name]
    fields = list(schema)[len(KEYS) :]
    rows = 0 if columns is None else len(columns[fields[0].name])
    if columns is None or not rows:
        return schema.empty_table()
    own = [_array(columns[field.name], field.type) for field in fields]
    return pa.Table.from_arrays([*_words(key, rows), *own], schema=schema)


def _words(key: Key, rows: int) -> list[pa.Array]:
    """The key columns of one video's rows."""
    code = pa.array(np.zeros(rows, np.int32))
    return [pa.DictionaryArray.from_arrays(code, pa.array([word])) for word in key]


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    """A column as one Arrow array; the short ways come first, since there are many columns."""
    if isinstance(values, pd.arrays.NumpyExtensionArray):
        values = values.to_numpy()
    if isinstance(values, np.ndarray) and values.dtype != object:
        return pa.array(values, kind, from_pandas=True)
    if isinstance(values, pd.arrays.ArrowStringArray):
        return pa.array(np.asarray(values, dtype=object), kind, from_pandas=True)
    if pa.types.is_list(kind):
        return pa.array([None if v is None else list(v) for v in values], kind)
    if pa.types.is_dictionary(kind) and not isinstance(values, pd.Categorical):
        return pa.array(np.asarray(values, dtype=object), kind, from_pandas=True)
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
        tuples = _tuples(column, shared=pa.types.is_string(kind.value_type))
        return np.fromiter(tuples, dtype=object, count=len(column))
    if pa.types.is_dictionary(kind):
        return _words_of(column)
    if pa.types.is_integer(kind) and column.null_count:
        return column.to_pandas().astype("Int64")
    if pa.types.is_string(kind) or column.null_count:
        return column.to_pandas()
    return column.to_numpy()


def _words_of(column: pa.ChunkedArray) -> pd.Categorical:
    """A column of words, each of which is held once: Arrow would do so once a chunk."""
    words: dict[str, int] = {}
    codes = [np.empty(0, np.int32)]
    last = None
    for chunk in column.chunks:
        if last is None or not chunk.dictionary.equals(last):
            last = chunk.dictionary
            own = [words.setdefault(word, len(words)) for word in last.to_pylist()]
            place = np.array([*own, -1], np.int32)  # the last one for rows without a word
        codes.append(place[chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False)])
    dtype = pd.CategoricalDtype(list(words))
    return pd.Categorical.from_codes(np.concatenate(codes), dtype=dtype, validate=False)


def _tuples(
    column: pa.ChunkedArray, *, shared: bool, rows: int = 1 << 14
) -> Iterator[tuple[Any, ...] | None]:
    """The lists of a column; with ``shared`` those that are equal are one object."""
    known: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for first in range(0, len(column), rows):
        for found in column.slice(first, rows).to_pylist():
            own = None if found is None else tuple(found)
            yield known.setdefault(own, own) if shared and own else own


def read_table(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """A stage table from its Parquet file."""
    return from_arrow(read_arrow(path, columns))


def read_arrow(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A table as it is written."""
    with _reading(path):
        return pq.read_table(path, columns=columns)


def read_batches(path: Path, rows: int = 1 << 14) -> Iterator[pa.Table]:
    """A table as it is written, some rows after the others; one batch at least."""
    with _reading(path), _opened(path) as file:
        found = False
        for batch in file.iter_batches(rows, use_threads=False):
            found = True
            yield pa.Table.from_batches([batch])
        if not found:
            yield file.schema_arrow.empty_table()


def read_rows(path: Path, first: int, count: int, *, of: Key, key: str) -> pd.DataFrame:
    """The rows ``of`` a video, which lie together; of others no more is read than around.

    Raises:
        BuildError: the table is not the one of this ``key``, as where a network's file system
            still shows an older one, or its rows are other ones.
    """
    with _reading(path), _opened(path) as file:
        if _key_of(file.schema_arrow) != key:
            raise _another(path)
        sizes = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
        ends = np.cumsum(sizes)
        low, high = np.searchsorted(ends, (first, first + count - 1), side="right")
        last = min(high + 1, len(sizes))
        groups = file.read_row_groups(range(low, last), use_threads=False)
        rows = groups.slice(first - int(ends[low] - sizes[low]), count) if last > low else groups
    words = [set(rows[name].to_pylist()) for name in KEYS]
    if len(rows) != count or words != [{word} for word in of]:
        raise _another(path)
    return _of(of, rows, None)


def _another(path: Path) -> BuildError:
    return BuildError(f"{path} is not the table that was planned from; run the same command again")


def read_by_video(
    paths: Mapping[str, Path],
    batch: int = 1 << 15,
    *,
    columns: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[tuple[Key, dict[str, pd.DataFrame]]]:
    """The videos of the first of some tables, one after the other, with their rows of each.

    Tables lie in the order of their keys, so that memory holds a batch of rows of each and the
    rows of one video, whatever the number of videos. ``columns``: of each table those that are
    read, without the keys; else all.
    """
    own_columns = columns or {}
    runs = {name: _runs(path, batch, own_columns.get(name)) for name, path in paths.items()}
    first, *others = paths
    ahead = {name: next(runs[name], None) for name in others}
    for key, rows in runs[first]:
        found = {first: _of(key, rows, own_columns.get(first))}
        for name in others:
            while (own := ahead[name]) is not None and own[0] < key:
                ahead[name] = next(runs[name], None)
            there = own is not None and own[0] == key
            rows = own[1] if own and there else SCHEMAS[name].empty_table()
            found[name] = _of(key, rows, own_columns.get(name))
        yield key, found


def _of(key: Key, rows: pa.Table, columns: Sequence[str] | None) -> pd.DataFrame:
    """One video's rows, without the names of all the others that their batch has."""
    if columns is not None:
        return from_arrow(rows.select(columns))
    code = pa.array(np.zeros(len(rows), np.int32))
    for i, word in enumerate(key):
        column = pa.DictionaryArray.from_arrays(code, pa.array([word]))
        rows = rows.set_column(i, rows.schema.field(i), column)
    return from_arrow(rows)


def _runs(path: Path, size: int, columns: Sequence[str] | None) -> Iterator[tuple[Key, pa.Table]]:
    """The rows of a table, video by video."""
    held: list[pa.Table] = []
    of: Key | None = None
    with _reading(path), _opened(path) as file:
        read = None if columns is None else [*KEYS, *columns]
        for batch in file.iter_batches(batch_size=size, columns=read):
            table = pa.Table.from_batches([batch])
            for key, low, high in _stretches(batch):
                if of is not None and key != of:
                    yield of, pa.concat_tables(held)
                    held = []
                of = key
                held.append(table.slice(low, high - low))
    if of is not None:
        yield of, pa.concat_tables(held)


def _stretches(batch: pa.RecordBatch) -> Iterator[tuple[Key, int, int]]:
    """The runs of rows of one video, from a row up to another."""
    keys = [batch.column(name) for name in KEYS]
    codes = np.stack([key.indices.to_numpy(zero_copy_only=False) for key in keys])
    breaks = np.flatnonzero((codes[:, 1:] != codes[:, :-1]).any(axis=0)) + 1
    words = [key.dictionary.to_pylist() for key in keys]
    for low, high in pairwise([0, *breaks.tolist(), len(batch)]):
        own = zip(words, codes[:, low].tolist(), strict=True)
        yield Key(*(known[code] for known, code in own)), low, high


def parted(table: pa.Table) -> dict[Key, pa.Table]:
    """The tables of the videos of one table, in which each one's rows lie together.

    They are copies: what stands behind a part of an array would be written with it.
    """
    found = {}
    for batch in table.combine_chunks().to_batches():
        for key, low, high in _stretches(batch):
            more = (
                pa.concat_arrays([column.slice(low, high - low), column.slice(0, 0)])
                for column in batch.columns[len(KEYS) :]
            )
            found[key] = pa.Table.from_arrays(
                [*_words(key, high - low), *more], schema=table.schema
            )
    return found


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Tell of a table that cannot be read with its name and the remedy."""
    try:
        yield
    except (OSError, KeyError, pa.ArrowInvalid) as e:  # KeyError: an empty folder stands there
        raise_if_lacking(e)
        raise _unreadable(path, e) from e


def _opened(path: Path) -> pq.ParquetFile:
    with _reading(path):
        return pq.ParquetFile(path)


def _unreadable(path: Path, error: Exception) -> BuildError:
    what = " ".join(str(error).split())
    return BuildError(f"cannot read table {path}: {what}; delete it and run again")


def count_rows(path: Path) -> int:
    """How many rows a table has; its rows are not read."""
    rows: int = pq.read_metadata(path).num_rows
    return rows


def table_key(path: Path) -> str | None:
    """The key that a table file was written under; None where there is no whole table."""
    try:
        return _key_of(pq.read_schema(path))
    except (OSError, pa.ArrowInvalid):
        return None


def _key_of(schema: pa.Schema) -> str | None:
    key = (schema.metadata or {}).get(_KEY_FIELD)
    return key.decode() if key else None


def write_table(path: Path, name: str, parts: Iterable[pa.Table], *, key: str) -> None:
    """Write a table atomically from parts in key order, one row group at a time.

    Memory holds a bounded run of parts, whatever the number of videos; the bytes depend on the
    rows alone, not on how they were parted. The table's checksum is noted beside it.
    """
    note_sum(path, None)
    schema = SCHEMAS[name].with_metadata({_KEY_FIELD: key.encode()})
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd", version="2.6") as writer,
    ):
        wide = any(pa.types.is_list(f.type) or pa.types.is_string(f.type) for f in schema)
        rows = 1 << 14 if wide else 1 << 17
        for group in _row_groups(_gathered(part for part in parts if part.num_rows), rows):
            writer.write_table(_with_own_words(group).cast(schema))
            pa.default_memory_pool().release_unused()
    note_sum(path, hash_file(path))


def _with_own_words(table: pa.Table) -> pa.Table:
    """The same rows, whose words are numbered as they come, whatever tables they came from."""
    made = []
    for field, column in zip(table.schema, table.columns, strict=True):
        if pa.types.is_dictionary(field.type):
            column = column.cast(field.type.value_type).combine_chunks().dictionary_encode()
        made.append(column)
    return pa.Table.from_arrays(made, schema=table.schema).combine_chunks()


def concat(parts: Iterable[pa.Table]) -> pa.Table:
    """One table of many, one at least."""
    return pa.concat_tables(list(_gathered(parts)))


def _gathered(parts: Iterable[pa.Table], rows: int = 1 << 14) -> Iterator[pa.Table]:
    """The same rows in fewer tables: one of few rows takes a hundred times their memory."""
    held: list[pa.Table] = []
    n = 0
    for part in parts:
        held.append(part)
        n += part.num_rows
        if n >= rows or len(held) == 256:
            yield pa.concat_tables(held).unify_dictionaries().combine_chunks()
            held, n = [], 0
    if held:
        yield pa.concat_tables(held).unify_dictionaries().combine_chunks()


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
