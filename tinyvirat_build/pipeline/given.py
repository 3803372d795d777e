"""What a stage is given: the tables that it reads, by name, with settings and classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from tinyvirat_build import store
from tinyvirat_build.pipeline.folder import table_path, unit_path
from tinyvirat_build.pipeline.stages import writer_of
from tinyvirat_build.records import KEYS, Key
from tinyvirat_build.settings import Settings
from tinyvirat_build.sources import Entry, Source


class Video(dict[str, pd.DataFrame]):
    """One video: each table is read from the unit that holds it when it is first asked for."""

    def __init__(
        self,
        entry: Entry,
        settings: Settings,
        classes: tuple[str, ...],
        out: Path,
        rows: Mapping[str, OwnRows],
        held: Mapping[str, Path],
        *,
        prove: bool = False,
    ) -> None:
        super().__init__()
        self.entry, self.settings, self.classes, self.out = entry, settings, classes, out
        self.prove = prove  # its clips by another decoder, damaged or not
        self._rows, self._held = rows, dict(held)
        self._arrow: dict[str, pa.Table] = {}

    def hold(self, names: Iterable[str], unit: Path) -> None:
        """Note that these tables are now those of another unit."""
        for name in names:
            self.pop(name, None)
            self._arrow.pop(name, None)
            self._held[name] = unit

    def keep(self, tables: Mapping[str, pa.Table]) -> None:
        """Have tables at hand as they are written, for stages on several videos at once."""
        self._arrow |= tables

    def arrow(self, name: str) -> pa.Table:
        """A table as it is written."""
        if name in self._arrow:
            return self._arrow[name]
        return store.read_unit(self._held[name], [name])[name]

    def unit(self, stage: str) -> Path:
        """The file of an earlier stage's work on this video."""
        return unit_path(self.out, stage, self.entry)

    def __missing__(self, name: str) -> pd.DataFrame:
        rows = self._rows.get(name)
        self[name] = rows.frame() if rows else store.from_arrow(self.arrow(name))
        return self[name]


class VideoBatch(dict[str, pd.DataFrame]):
    """Several videos with the same settings: each table has the rows of all of them.

    A call of pandas takes longer than a stage does for a small video.
    """

    def __init__(self, videos: Sequence[Video]) -> None:
        super().__init__()
        self._videos = videos
        self.entries = [video.entry for video in videos]
        self.settings, self.classes = videos[0].settings, videos[0].classes

    def forget(self, names: Iterable[str]) -> None:
        """Note that these tables are now other ones."""
        for name in names:
            self.pop(name, None)

    def __missing__(self, name: str) -> pd.DataFrame:
        self[name] = store.from_arrow(store.concat(v.arrow(name) for v in self._videos))
        return self[name]


@dataclass(frozen=True, slots=True)
class OwnRows:
    """One video's rows of a table of all videos: where they lie, until they are asked for."""

    file: Path
    key: str  # of the table, which another one has not
    of: Key
    first: int
    count: int

    def frame(self) -> pd.DataFrame:
        """The rows.

        Raises:
            BuildError: another table is there now.
        """
        return store.read_rows(self.file, self.first, self.count, of=self.of, key=self.key)


class Corpus(dict[str, pd.DataFrame]):
    """All videos: each table is read from its file when it is first asked for."""

    def __init__(
        self,
        settings: Settings,
        classes: tuple[str, ...],
        out: Path,
        entries: Sequence[Entry],
        *,
        planned: Sequence[Entry] = (),
        sources: Sequence[Source] = (),
        trial: bool = False,
        tables: Mapping[str, pd.DataFrame] | None = None,
    ) -> None:
        super().__init__(tables or {})
        self.settings, self.classes, self.out = settings, classes, out
        self.entries, self.planned, self.sources = entries, planned, sources
        self.trial = trial  # of a part of the corpus

    def __missing__(self, name: str) -> pd.DataFrame:
        read = self._all_activities if name == "all_activities" else self._table
        self[name] = read(name)
        return self[name]

    def _table(self, name: str) -> pd.DataFrame:
        return store.read_table(table_path(self.out, name))

    def _all_activities(self, _: str) -> pd.DataFrame:
        """Of all videos, planned or not, and with those that fell for want of a box.

        Of each activity no more than what a partition counts.
        """
        stage = writer_of("activities").name
        parts = (
            part.select([*KEYS, "start", "end", "labels"])
            for e in self.entries
            for part in store.read_unit(
                unit_path(self.out, stage, e), ["activities", "without_geometry"]
            ).values()
        )
        return store.from_arrow(store.concat(parts))

    def with_rows(
        self, entries: Iterable[Entry], name: str
    ) -> Iterator[tuple[Entry, OwnRows, pd.DataFrame]]:
        """Those of some videos, in key order, that have rows in a table of all, and these."""
        file, first = table_path(self.out, name), 0
        written = store.table_key(file) or ""
        by_key = store.read_by_video({name: file})
        key, own = next(by_key, (None, {}))
        for entry in entries:
            while key is not None and key < entry.key:
                first += len(own[name])
                key, own = next(by_key, (None, {}))
            if key == entry.key:
                yield entry, OwnRows(file, written, key, first, len(own[name])), own[name]
