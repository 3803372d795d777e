"""What of a build is stale: the first half of a run, which looks and changes nothing.

How a build goes on: its work is parted into *units*, each one stage's work on one video or on the
whole corpus. A unit is one file, there whole or not at all, and ends with its *key*, a digest of
all that the work depended on (:mod:`~tinyvirat_build.pipeline.keys`). It is stale where the key
that it must have now is another one: nothing is remembered but what is on disk, so a build that
was killed goes on where it stopped, a changed setting redoes what depends on it, and a finished
build does nothing. A unit whose work failed for a reason that may pass lies under a *transient*
key, which no unit must have: the next run that has its stage to do tries it again, any other
leaves it. A stage is finished where none of its units is stale and its tables were written from
just these; a stage after those asked for that is finished so keeps its rows in ``issues`` and
``balance``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from tinyvirat_build import store
from tinyvirat_build.pipeline import keys
from tinyvirat_build.pipeline.folder import package_version, unit_path
from tinyvirat_build.pipeline.given import Corpus, OwnRows, Video
from tinyvirat_build.pipeline.ledger import Ledger
from tinyvirat_build.pipeline.on_corpus import groups
from tinyvirat_build.pipeline.request import Request
from tinyvirat_build.pipeline.stages import Stage, order_of, resolve, stages_before, writer_of
from tinyvirat_build.pipeline.tasks import Task, Unit
from tinyvirat_build.records import Key
from tinyvirat_build.released.about import citation_of, differing
from tinyvirat_build.settings import Settings
from tinyvirat_build.sources import Entry, Source


@dataclass(slots=True)
class Known:
    """What a run was asked for and has found, and which stages are finished so far."""

    request: Request
    first: str
    until: str
    classes: tuple[str, ...]
    sources: Sequence[Source]
    entries: Sequence[Entry]  # every video, in key order
    of_source: Mapping[str, Settings]
    hashes: store.HashMemory
    ledger: Ledger
    planned: Sequence[Entry]  # the videos within ``--limit``
    limited: Set[Key] | None  # and their keys; None where all are
    tables: dict[tuple[Path, str], pa.Table] = field(default_factory=dict)  # of a video's units
    rows: Mapping[str, pd.DataFrame] = field(default_factory=dict)  # and its own of all videos'
    maps: dict[object, object] = field(default_factory=dict)
    settings: dict[tuple[str, str], list[Any]] = field(default_factory=dict)

    def values(self, stage: Stage, source: str) -> list[Any]:
        """What a source's settings of a stage say, worked out once."""
        place = stage.name, source
        if place not in self.settings:
            self.settings[place] = keys.values(stage, self.of_source[source])
        return self.settings[place]

    def within(self, entry: Entry) -> bool:
        """Whether a video is within ``--limit``."""
        return self.limited is None or entry.key in self.limited

    def asked(self, stage: Stage) -> bool:
        """Whether a stage is to be done, and not only looked at."""
        return order_of(self.first) <= order_of(stage.name) <= order_of(self.until)

    def corpus(self) -> Corpus:
        """What a stage on the whole corpus is given."""
        request = self.request
        return Corpus(
            request.settings, self.classes, request.out, self.entries,
            planned=self.planned, sources=self.sources, trial=request.limit is not None,
        )  # fmt: skip

    def counts(self, table: str, columns: list[str], task: Task) -> object:
        """What of one video's rows of an earlier step's table counts in a key.

        A table that counts whole may have a row for every frame: it is hashed as it lies.
        """
        if columns or table in self.rows:
            return keys.columns_of(self.rows_of(table, task), columns)
        return store.unit_digest(task.unit_of(table), [table])

    def rows_of(self, table: str, task: Task) -> pa.Table | pd.DataFrame:
        """One video's rows of a table that an earlier step wrote."""
        if table in self.rows:
            return self.rows[table]
        at = task.unit_of(table), table
        if at not in self.tables:
            self.tables[at] = store.read_unit(at[0], [table])[table]
        return self.tables[at]


def plan_videos(step: Sequence[Stage], known: Known) -> Sequence[Task]:
    """The units of a step on each of its videos, with the keys that they must have now.

    A step that reads a table of the whole corpus works on the videos that have a row in it.
    """
    return packed(_plan_videos(step, known))


def packed(tasks: Iterable[Task]) -> Sequence[Task]:
    """Tasks in little memory, however many."""
    return store.Packed(tasks, shared=(Settings, Stage))


def _plan_videos(step: Sequence[Stage], known: Known) -> Iterator[Task]:
    out, corpus = known.request.out, known.corpus()
    writers = {t: s for s in stages_before(step[0]) for t in s.writes}
    read = {t for s in step for t in s.reads_of()}
    whole = [t for t in read if t in writers and writers[t].scope == "corpus"]
    videos: Iterable[tuple[Entry, dict[str, OwnRows], dict[str, pd.DataFrame]]]
    videos = ((entry, {}, {}) for entry in known.entries)
    if whole:
        (name,) = whole
        of_all = corpus.with_rows(known.entries, name)
        videos = ((entry, {name: own}, {name: frame}) for entry, own, frame in of_all)
    held = {t: s.name for t, s in writers.items() if s.scope != "corpus"}
    here = None if known.limited is None else {e.video for e in known.planned}
    for entry, rows, frames in videos:
        known.rows = frames
        task = Task(
            entry if here is None or entry.video in here else replace(entry, video=None),
            known.of_source[entry.source],
            known.classes,
            out,
            rows,
            held,
            prove=entry.key in known.request.prove,
        )
        stages = [s for s in step if s.beyond_limit or known.within(entry)]
        yield replace(task, units=tuple(_units(task, stages, known)))
        known.tables.clear()  # one video's at a time, however many there are


def _units(task: Task, stages: Sequence[Stage], known: Known) -> Iterator[Unit]:
    """The units of one video; the key of each holds the key before it."""
    key = None
    for stage in stages:
        inputs = keys.inputs_of_video(task.entry, task.settings, known.hashes, known.maps)
        inputs |= {
            read: functools.partial(known.counts, name, columns, task)
            for read, (name, columns) in zip(stage.reads, stage.reads_of().items(), strict=True)
            if name in task.rows or name in task.held
        }
        key = keys.key_of(stage, known.values(stage, task.entry.source), key, inputs)
        path = unit_path(task.out, stage.name, task.entry)
        held = {**task.held, **dict.fromkeys(stage.writes, stage.name)}
        given = replace(task, held=held).video
        yield Unit(stage, str(path), key, is_stale(stage, path, key, known, given))


def plan_corpus(stage: Stage, known: Known) -> Unit:
    """The unit of a stage on the whole corpus, with the key that it must have now."""
    out, ledger = known.request.out, known.ledger
    writers = {t: s.name for s in stages_before(stage) for t in s.writes}
    annotated = functools.partial(unit_path, out, writer_of("activities").name)
    inputs: dict[str, Callable[[], object]] = {
        **{t: functools.partial(ledger.keys.get, name) for t, name in writers.items()},
        "issues": ledger.key,
        "balance": ledger.key,
        "all_activities": lambda: [store.unit_key(annotated(e)) for e in known.entries],
        "groups": lambda: _groups(known.corpus()),
        "release": functools.partial(_told, known),
        "trial": lambda: known.request.limit is not None,
    }
    key = keys.key_of(stage, keys.values(stage, known.request.settings), None, inputs)
    path = out / "units" / stage.name / "all"
    return Unit(stage, str(path), key, is_stale(stage, path, key, known, known.corpus))


def _told(known: Known) -> object:
    """What a release says of itself beside its rows."""
    terms = [[s.name, s.license_text, s.attribution, citation_of(s)] for s in known.sources]
    return [package_version(), differing(known.request.settings), terms]


def _groups(corpus: Corpus) -> object:
    group_of, lists = groups(corpus)
    own = [group_of[name].tolist() for name in ("group", "fps") if name in group_of]
    return [*own, {name: one.to_dict() for name, one in lists.items()}]


def is_stale(
    stage: Stage, path: Path, key: str, known: Known, given: Callable[[], Video | Corpus]
) -> bool:
    """Whether a unit has to be worked on: its key is another one, or its files are not there."""
    found = store.unit_key(path)
    if known.request.rehash and "video" in stage.reads and known.asked(stage):
        return True
    if found == key:
        return bool(stage.there) and not resolve(stage.there)(given())
    return known.asked(stage) or not store.is_transient(found)
