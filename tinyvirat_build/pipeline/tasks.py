"""The work on one video, as a worker process does it: the units of one step, in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tinyvirat_build import store
from tinyvirat_build.engine import Failure
from tinyvirat_build.pipeline.folder import unit_path
from tinyvirat_build.pipeline.given import Corpus, OwnRows, Video, VideoBatch
from tinyvirat_build.pipeline.stages import Stage, resolve
from tinyvirat_build.records import StageResult
from tinyvirat_build.settings import Settings
from tinyvirat_build.sources import Entry
from tinyvirat_build.sources.parse import SCHEMA_OF


@dataclass(frozen=True, slots=True)
class Unit:
    """One stage's work on one video, or on the whole corpus: its file and the key it must have."""

    stage: Stage
    at: str  # not a Path, which takes four times the memory: a run has several units a video
    key: str
    stale: bool

    @property
    def path(self) -> Path:
        """The unit's file."""
        return Path(self.at)


@dataclass(frozen=True, slots=True)
class Task:
    """One video's units of one step, in the order of the stages, and what these are given."""

    entry: Entry
    settings: Settings
    classes: tuple[str, ...]
    out: Path
    rows: Mapping[str, OwnRows]  # the video's own of the whole corpus's tables
    held: Mapping[str, str]  # the stages of the steps before in whose units tables are, by table
    units: tuple[Unit, ...] = ()
    prove: bool = False

    def video(self) -> Video:
        """What the stages are given."""
        held = {table: self.unit_of(table) for table in self.held}
        return Video(
            self.entry, self.settings, self.classes, self.out, self.rows, held, prove=self.prove
        )

    def unit_of(self, table: str) -> Path:
        """The unit of a step before that holds a table."""
        return unit_path(self.out, self.held[table], self.entry)


def do_task(task: Task) -> None:
    """Do a video's units that are stale, each on what those before it left."""
    video = task.video()
    for unit in task.units:
        if not unit.stale and store.unit_key(unit.at) == unit.key:
            video.hold(unit.stage.writes, unit.path)
        else:
            _do_unit(unit, unit.stage.run, video)


def do_corpus(given: tuple[Unit, Corpus]) -> None:
    """Do a stage on the whole corpus."""
    unit, corpus = given
    write_result(unit, resolve(unit.stage.run)(corpus))


def give_up(task: Task, failure: Failure) -> None:
    """Leave what stands in the place of a video whose work crashed, hung or failed.

    Every unit is empty, whatever it held, and is tried again by the next run.
    """
    video = task.video()
    for unit in task.units:
        unit.path.unlink(missing_ok=True)
    for n, unit in enumerate(task.units):
        given = (video,) if n else (video, failure.reason, failure.detail)
        _do_unit(unit, unit.stage.run if n else unit.stage.instead, *given, why=failure.reason)


def do_tasks(tasks: Sequence[Task]) -> None:
    """Do the units of several videos with the same stages and settings, stage by stage.

    What comes of each video is the same as by itself.
    """
    if len(tasks) == 1:
        return do_task(tasks[0])
    videos = [task.video() for task in tasks]
    several: dict[tuple[int, ...], VideoBatch] = {}
    for units in zip(*(task.units for task in tasks), strict=True):
        stage, todo = units[0].stage, []
        for n, (unit, video) in enumerate(zip(units, videos, strict=True)):
            if not unit.stale and store.unit_key(unit.at) == unit.key:
                video.hold(stage.writes, unit.path)
            else:
                todo.append(n)
        for given in several.values():
            given.forget(stage.writes)
        if stage.together and len(todo) > 1:
            own = [videos[n] for n in todo]
            given = several.setdefault(tuple(todo), VideoBatch(own))
            _do_together([units[n] for n in todo], own, given)
        else:
            for n in todo:
                _do_unit(units[n], stage.run, videos[n])
    return None


def _do_together(units: Sequence[Unit], videos: Sequence[Video], given: VideoBatch) -> None:
    """Do one stage on several videos at once, and write the unit of each."""
    stage = units[0].stage
    result: StageResult = resolve(stage.run)(given)
    arrow = arrow_of(stage, result)
    parted = {name: store.parted(table) for name, table in arrow.items()}
    none = {name: table.schema.empty_table() for name, table in arrow.items()}
    for unit, video in zip(units, videos, strict=True):
        own = {name: by_key.get(video.entry.key, none[name]) for name, by_key in parted.items()}
        store.write_unit(unit.path, unit.key, own)
        video.hold(stage.writes, unit.path)
        video.keep({name: own[name] for name in stage.writes})
    given.update(tables_of(stage, result))


def _do_unit(unit: Unit, function: str, video: Video, *why_not: str, why: str = "") -> None:
    result: StageResult = resolve(function)(video, *why_not)
    arrow = write_result(unit, result, why or result.transient)
    video.hold(unit.stage.writes, unit.path)
    video.keep({name: arrow[name] for name in unit.stage.writes})
    if not result.written:
        video.update(tables_of(unit.stage, result))


def tables_of(stage: Stage, result: StageResult) -> dict[str, pd.DataFrame]:
    """The tables of a stage's result, by name."""
    return {**dict.fromkeys(stage.writes[:1], result.table), **result.more}


def arrow_of(stage: Stage, result: StageResult) -> dict[str, Any]:
    """All tables of a stage's result as they are written, by name."""
    tables = tables_of(stage, result)
    tables |= {"issues": result.issues, "balance": result.balance}
    own = {n: t for n, t in tables.items() if n not in result.written}
    made = {n: store.to_arrow(SCHEMA_OF.get(n, n), t) for n, t in own.items()}
    return {**made, **result.written}


def write_result(unit: Unit, result: StageResult, transient: str = "") -> dict[str, Any]:
    """Write a unit; one that failed for a reason that may pass is under no key of its own."""
    arrow = arrow_of(unit.stage, result)
    key = store.transient_key(transient) if transient else unit.key
    store.write_unit(unit.path, key, {**arrow, **result.parts})
    return arrow
