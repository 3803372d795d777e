"""Tables of many videos, taken apart by video and put together again.

A table may hold one video or thousands. Stages work video by video on plain arrays; pandas is
met here only, since one call of it costs more than the work on a small video.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from tinyvirat_build.records import (
    KEYS,
    SCHEMAS,
    Balance,
    Issue,
    StageResult,
    balance_frame,
    columns,
    empty,
    issues_frame,
)


class Key(NamedTuple):
    """What names a video's annotations in every table."""

    source: str
    video_id: str
    annotation_set: str


Rows = npt.NDArray[np.int64] | slice


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


def _codes(column: pd.Series[Any]) -> tuple[npt.NDArray[np.int64], Any]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy().astype(np.int64), column.cat.categories
    codes, names = pd.factorize(column.to_numpy(dtype=object))
    return codes.astype(np.int64), names


def _key(codes: Sequence[Any], names: Sequence[Any], row: int) -> Key:
    return Key(*(str(n[c[row]]) for c, n in zip(codes, names, strict=True)))


class Columns:
    """A table's columns as arrays, to be cut into videos: ``columns["start", rows]``."""

    def __init__(self, table: pd.DataFrame) -> None:
        self._table = table
        self._arrays: dict[str, npt.NDArray[Any]] = {}

    def __getitem__(self, at: tuple[str, Rows]) -> npt.NDArray[Any]:
        name, rows = at
        if name not in self._arrays:
            self._arrays[name] = self._table[name].to_numpy()
        return self._arrays[name][rows]

    def ints(self, name: str, rows: Rows) -> npt.NDArray[np.int64]:
        """A column of integers."""
        return self[name, rows].astype(np.int64)

    def texts(self, name: str, rows: Rows) -> list[str]:
        """A column of strings."""
        return [str(text) for text in self[name, rows]]

    def lists(self, name: str, rows: Rows) -> list[tuple[Any, ...]]:
        """A column of lists, as tuples of plain Python values."""
        return [
            tuple(found.tolist()) if isinstance(found, np.ndarray) else tuple(found)
            for found in self[name, rows]
        ]


_DTYPES: Final[Mapping[pa.DataType, Any]] = {
    pa.int32(): np.int32,
    pa.int64(): np.int64,
    pa.float64(): np.float64,
}


class Builder:
    """The rows of one table and its issues and balances, gathered video by video."""

    def __init__(self, stage: str, table: str, unit: str) -> None:
        self.stage, self.table, self.unit = stage, table, unit
        self._parts: list[tuple[Key, int]] = []
        self._values: dict[str, list[Any]] = {c: [] for c in columns(table)[len(KEYS) :]}
        self._issues: list[pd.DataFrame] = []
        self._balances: list[tuple[Key, Balance]] = []

    def add(
        self,
        key: Key,
        values: Mapping[str, Iterable[Any]],
        *,
        records_in: int,
        records_out: int,
        issues: Sequence[Issue] = (),
    ) -> None:
        """Add a video's rows, one sequence a column, its issues, and what it was given and gave."""
        n = len(self._values[next(iter(values))])
        for name, found in values.items():
            self._values[name].extend(found)
        self._parts.append((key, len(self._values[next(iter(values))]) - n))
        dropped = sum(i.count for i in issues if i.action in ("dropped", "quarantined"))
        if records_in != records_out + dropped:
            raise AssertionError(
                f"{self.stage} of {key.video_id}: {records_in} {self.unit} in, {records_out} out, "
                f"{dropped} dropped"
            )
        self._balances.append(
            (key, Balance(self.stage, self.unit, records_in, records_out, dropped))
        )
        if issues:
            self._issues.append(issues_frame(issues, **key._asdict()))

    def result(self) -> StageResult:
        """The table, the issues and the balance of all videos."""
        return StageResult(self._frame(), _concat("issues", self._issues), self._balance())

    def _frame(self) -> pd.DataFrame:
        rows = sum(n for _, n in self._parts)
        if not rows:
            return empty(self.table)
        made: dict[str, Any] = self._key_columns()
        for field in list(SCHEMAS[self.table])[len(KEYS) :]:
            found = self._values[field.name]
            made[field.name] = (
                np.array(found, _DTYPES[field.type])
                if field.type in _DTYPES
                else pd.Series(np.fromiter(found, object, len(found)), dtype=object, copy=False)
            )
        return pd.DataFrame(made)

    def _key_columns(self) -> dict[str, "pd.Categorical[str]"]:
        made = {}
        for i, name in enumerate(KEYS):
            words = sorted({key[i] for key, _ in self._parts})
            place = {word: at for at, word in enumerate(words)}
            codes = [place[key[i]] for key, n in self._parts for _ in range(n)]
            made[name] = pd.Categorical.from_codes(codes, pd.Index(words))
        return made

    def _balance(self) -> pd.DataFrame:
        return _concat(
            "balance", [balance_frame(found, **key._asdict()) for key, found in self._balances]
        )


def _concat(table: str, frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    if not frames:
        return empty(table)
    return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)


def select(rows: Mapping[Key, Rows], key: Key) -> Rows:
    """The rows of a video, none where the table does not have it."""
    return rows.get(key, slice(0, 0))


def videos_of(*tables: Mapping[Key, Rows]) -> Iterator[Key]:
    """The videos that any of the tables has, in order."""
    yield from sorted(set().union(*tables))
