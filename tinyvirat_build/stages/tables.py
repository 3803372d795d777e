"""Tables of many videos, taken apart by video and put together again.

A table may hold one video or thousands. Stages work video by video on plain arrays; pandas is
met here only, since one call of it costs more than the work on a small video.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from tinyvirat_build.geometry.arrays import Ints
from tinyvirat_build.records import (
    KEYS,
    SCHEMAS,
    Balance,
    Issue,
    Key,
    StageResult,
    empty,
    strings,
)

Rows = Ints | slice


def by_video(table: pd.DataFrame) -> dict[Key, Rows]:
    """The rows of each video, videos in the order of their keys; rows keep their order.

    Rows that lie together are a slice, so that taking them copies nothing.
    """
    n = len(table)
    if n == 0:
        return {}
    codes, names = zip(*(_codes(table[k]) for k in KEYS), strict=True)
    joint = codes[0]
    for more, known in zip(codes[1:], names[1:], strict=True):
        joint = joint * len(known) + more
    if (joint[1:] == joint[:-1]).all():
        return {_key(codes, names, 0): slice(0, n)}
    order = np.argsort(joint, kind="stable")
    ordered = joint[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    ends = np.r_[starts[1:], n]
    found: dict[Key, Rows] = {}
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        rows = order[start:end]
        together = rows[-1] - rows[0] == end - start - 1
        key = _key(codes, names, int(rows[0]))
        found[key] = slice(int(rows[0]), int(rows[-1]) + 1) if together else rows
    return dict(sorted(found.items()))


def _codes(column: pd.Series[Any]) -> tuple[Ints, Any]:
    values = column.array
    if isinstance(values, pd.Categorical):
        return values.codes.astype(np.int64), values.categories
    codes, names = pd.factorize(column.to_numpy(dtype=object))
    return codes.astype(np.int64), names


def _key(codes: Sequence[Any], names: Sequence[Any], row: int) -> Key:
    return Key(*(str(n[c[row]]) for c, n in zip(codes, names, strict=True)))


class _Columns:
    """A table's columns as arrays, each made when it is first asked for, for all videos at once.

    A categorical column stays one: its words are as many as its rows are not.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self._table = table
        self._arrays: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._arrays:
            column = self._table[name]
            categorical = isinstance(column.array, pd.Categorical)
            self._arrays[name] = column.array if categorical else column.to_numpy()
        return self._arrays[name]


class VideoRows:
    """One video's rows of a table, column by column."""

    def __init__(self, columns: _Columns, rows: Rows) -> None:
        self._columns, self._rows = columns, rows

    def __getitem__(self, name: str) -> Any:
        return self._columns[name][self._rows]

    def part(self, at: slice) -> VideoRows:
        """Those from ``at.start`` up to ``at.stop``."""
        rows = self._rows
        if isinstance(rows, slice):
            return VideoRows(self._columns, slice(rows.start + at.start, rows.start + at.stop))
        return VideoRows(self._columns, rows[at])

    def ints(self, name: str) -> Ints:
        """A column of integers."""
        found: Ints = self[name].astype(np.int64)
        return found

    def texts(self, name: str) -> list[str]:
        """A column of strings."""
        return [str(text) for text in self[name]]

    def lists(self, name: str) -> list[tuple[Any, ...]]:
        """A column of lists, as tuples of plain Python values."""
        return [
            tuple(found.tolist()) if isinstance(found, np.ndarray) else tuple(found)
            for found in self[name]
        ]


def each_video(*tables: pd.DataFrame) -> Iterator[tuple[Key, list[VideoRows]]]:
    """The videos of the first table in key order, each with its own rows of every table."""
    parted = [(_Columns(table), by_video(table)) for table in tables]
    for key in parted[0][1]:
        yield key, [VideoRows(c, rows.get(key, slice(0, 0))) for c, rows in parted]


@dataclass(frozen=True, slots=True)
class Made:
    """What a stage makes of one video: rows, one sequence a column, and issues.

    ``records_in`` and ``records_out`` are in the stage's unit; what is between them is in issues.
    """

    rows: Mapping[str, Sequence[Any]]
    records_in: int
    records_out: int
    issues: Sequence[Issue] = ()


def video_by_video(
    stage: str, table: str, unit: str, make: Callable[..., Made], *tables: pd.DataFrame
) -> StageResult:
    """A stage: ``make(key, …)`` of each video's own rows of ``tables``, all put together.

    Raises:
        AssertionError: what came of a video and its issues are not what went in.
    """
    rows, issues, balances = _Gatherer(table), _Gatherer("issues"), _Gatherer("balance")
    for key, given in each_video(*tables):
        made = make(key, *given)
        issues.add_records(key, made.issues)
        dropped = sum(i.count for i in made.issues if i.action in ("dropped", "quarantined"))
        balance = Balance(stage, unit, made.records_in, made.records_out, dropped)
        if not balance.closes:
            raise AssertionError(f"{stage} of {key.video_id} does not close: {balance}")
        balances.add_records(key, [balance])
        rows.add(key, made.rows)
    return StageResult(rows.frame(), issues.frame(), balances.frame())


_DTYPES: Final[Mapping[pa.DataType, Any]] = {
    pa.int32(): np.int32,
    pa.int64(): np.int64,
    pa.float64(): np.float64,
}


class _Gatherer:
    """The rows of one table, gathered video by video."""

    def __init__(self, table: str) -> None:
        self.table = table
        self.fields = list(SCHEMAS[table])[len(KEYS) :]
        self.counts: list[tuple[Key, int]] = []
        self.values: dict[str, list[Any]] = {field.name: [] for field in self.fields}

    def add(self, key: Key, values: Mapping[str, Sequence[Any]]) -> None:
        """Add the rows of a video; one that has none may lack columns."""
        for name, found in values.items():
            self.values[name].extend(found)
        self.counts.append((key, len(values.get(self.fields[0].name, ()))))

    def add_records(self, key: Key, records: Sequence[Issue] | Sequence[Balance]) -> None:
        if records:
            names = [field.name for field in self.fields]
            self.add(key, {name: [getattr(r, name) for r in records] for name in names})

    def frame(self) -> pd.DataFrame:
        if not any(n for _, n in self.counts):
            return empty(self.table)
        made: dict[str, Any] = self.key_columns()
        for field in self.fields:
            found = self.values[field.name]
            if field.type in _DTYPES and None not in found:
                made[field.name] = np.array(found, _DTYPES[field.type])
            elif field.type == pa.string():
                made[field.name] = strings(found)
            else:
                made[field.name] = np.fromiter(found, object, len(found))
        return pd.DataFrame(made, copy=False)

    def key_columns(self) -> dict[str, Any]:
        made: dict[str, Any] = {}
        rows = [n for _, n in self.counts]
        for i, name in enumerate(KEYS):
            words = tuple(sorted({key[i] for key, _ in self.counts}))
            place = {word: at for at, word in enumerate(words)}
            codes = np.repeat([place[key[i]] for key, _ in self.counts], rows)
            made[name] = pd.Categorical.from_codes(
                codes.astype(np.int32), dtype=_categories(words), validate=False
            )
        return made


@functools.lru_cache(maxsize=1024)
def _categories(words: tuple[str, ...]) -> pd.CategoricalDtype[str]:
    return pd.CategoricalDtype(pd.Index(words, dtype=object))
