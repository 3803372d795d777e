"""The stages that a run knows finished: their units and keys, tables, issues and balances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from tinyvirat_build import store
from tinyvirat_build.pipeline.stages import Stage, names, writer_of


class Ledger:
    """What a run knows finished, stage by stage."""

    def __init__(self, tables: Path) -> None:
        self.tables = tables
        self.keys: dict[str, str] = {}  # one of all units' keys, by stage
        self.units: dict[str, Sequence[str]] = {}  # files
        self.tables_held: dict[str, str] = {}  # the tables that are of these units, by key
        self.discovered: list[pd.DataFrame] = []  # issues of discovery, one frame a source

    def finish(
        self, stage: Stage, keys: Sequence[str], units: Sequence[str], *, write: bool
    ) -> bool:
        """Note that a stage's units are done, and write its tables of them.

        Without ``write``: only where they are written already; whether they are.
        """
        for name in stage.writes:
            if writer_of(name) == stage:
                parts = (part for u in units for part in store.read_unit_parts(u, name))
                if not self._table(name, store.digest(name, keys), parts, write=write):
                    return False
        if stage.writes:
            self.hold(stage, keys, units)
        return True

    def hold(self, stage: Stage, keys: Sequence[str], units: Sequence[str]) -> None:
        """Note units of a stage, whose issues and balance then count."""
        self.keys[stage.name], self.units[stage.name] = store.digest(keys), units

    def key(self) -> str:
        """What the ledger depends on: every stage's keys, and what discovery found."""
        return store.digest(self.keys, [f.to_csv(index=False) for f in self.discovered])

    def write(self) -> None:
        """Write ``issues`` and ``balance``, unless they are of just these units already."""
        for name in ("issues", "balance"):
            self._table(name, store.digest(name, self.key()), self._parts(name), write=True)

    def _table(self, name: str, key: str, parts: Iterator[pa.Table], *, write: bool) -> bool:
        path = self.tables / f"{name}.parquet"
        if store.table_key(path) != key or not store.is_noted(path):
            if not write:
                return False
            store.write_table(path, name, parts, key=key)
        self.tables_held[name] = key
        return True

    def _parts(self, name: str) -> Iterator[pa.Table]:
        if name == "issues":
            for frame in self.discovered:
                yield store.to_arrow("issues", frame)
        for stage in names():
            for unit in self.units.get(stage, []):
                if (table := store.find_table(unit, name)) is not None:
                    yield table
