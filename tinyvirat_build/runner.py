"""One run of the stages: what is stale is worked on, table by table, in order.

A stage is known here by its unit's key: :class:`~tinyvirat_build.keys.Keys` makes those of one
video; those of the whole corpus are made of the keys before them.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
from tqdm import tqdm

from tinyvirat_build import engine, labels, sources, splits, store, work
from tinyvirat_build.buildfolder import note_tables, write_build_file
from tinyvirat_build.dataset import tinyvirat
from tinyvirat_build.errors import BuildError, DataError, VideoError
from tinyvirat_build.keys import Keys
from tinyvirat_build.ledger import Ledger
from tinyvirat_build.records import KEYS, StageResult, issues_frame
from tinyvirat_build.report import publish_statistics
from tinyvirat_build.request import (
    Outcome,
    Request,
    data_of,
    in_order,
    order_of,
    sources_of,
    unit_path,
    videos_frame,
)
from tinyvirat_build.sources import Entry
from tinyvirat_build.stages.filter import filter_rare
from tinyvirat_build.stages.partition import assign_groups, partition
from tinyvirat_build.video.spans import Estimate, estimate

_VIDEO_TABLES: Final = (
    ("index", "videos"),
    *(("parse", t) for t in ("activities", "actors", "boxes")),
    *((s.name, s.writes) for s in work.VIDEO_STAGES),
)
_GLOBAL_VERSION: Final = 1
_REPORT_VERSION: Final = 2


class _UnfinishedError(Exception):
    """Looking ahead, the run met a stage that is not finished."""


class Run:
    """One run: the entries, the keys of their units, and the stages as methods."""

    def __init__(self, request: Request, first: str, until: str) -> None:
        self.request, self.settings, self.out = request, request.settings, request.out
        self.first, self.until = order_of(first), order_of(until)
        self.classes = labels.load_classes(self.settings.classes)
        self.sources = sources_of(request)
        self.outcome = Outcome()
        self.ledger = Ledger(request.out / "tables")
        self.entries: list[Entry] = []
        self.parsed: list[Entry] = []
        self.ahead = False  # looking at the stages after `until`
        self.file_before = b""  # build.yaml as it was found
        self.refused = False  # nothing may be done, and nothing was

    @property
    def plan_alone(self) -> bool:
        """Whether nothing but an estimate is asked for."""
        return self.first == self.until == order_of("plan")

    def execute(self) -> Outcome:
        """Run the stages that were asked for; the ledger and the log come last."""
        began = time.monotonic()
        self.discover()
        self.outcome.seconds["discover"] = time.monotonic() - began
        if self.plan_alone:  # which writes nothing, no new settings either
            return self.stages()
        self.file_before = write_build_file(self.request)
        try:
            return self.stages()
        finally:
            if not self.refused:
                with contextlib.suppress(OSError):  # of a full disk the run has told already
                    note_tables(self.out, self.ledger.tables_held)

    def stages(self) -> Outcome:
        """Work through the stages, then note what is finished after them."""
        steps: list[tuple[str, Callable[[], None]]] = [
            ("index", self.index),
            ("crop", self.plan_videos),
            ("partition", self.partition),
            ("filter", self.filter),
            ("plan", self.estimate),
            ("cut", self.cut),
            ("publish", self.publish),
            ("stats", self.stats),
        ]
        for stage, step in steps:
            begins = "parse" if stage == "crop" else stage
            if order_of(begins) > self.until:
                break
            began = time.monotonic()
            step()
            self.outcome.seconds[stage] = time.monotonic() - began
        if not self.plan_alone or not self.table("issues").exists():
            self.look_ahead(steps)
            self.ledger.write()
        issues = store.read_table(self.table("issues"), ["stage", "action", "count"])
        unread = issues["stage"].isin(["discover", "parse"]) & (issues["action"] == "quarantined")
        self.outcome.unread = int(issues["count"][unread].sum())
        if self.until >= order_of("crop"):
            self.outcome.planned = store.count_rows(self.table("clips_planned"))
        store.write_json(self.out / "log" / "last-run.json", asdict(self.outcome), indent=1)
        return self.outcome

    def look_ahead(self, steps: Sequence[tuple[str, Callable[[], None]]]) -> None:
        """Note the later stages that are finished, whose rows the ledger has and keeps."""
        if not self.table("balance").exists():
            return
        outcome, self.outcome, self.ahead = self.outcome, Outcome(), True
        with contextlib.suppress(_UnfinishedError):
            for stage, step in steps:
                if order_of(stage) > self.until and stage not in ("plan", "stats"):
                    step()
        self.outcome, self.ahead = outcome, False

    # -- discovery and keys

    def discover(self) -> None:
        """Find the entries of all sources; ``limit`` takes the first of them for planning."""
        for source in self.sources:
            data = data_of(source, self.request)
            sources.prepare(source, data, self.settings, quiet=self.request.quiet)
        found = [s.discover(data_of(s, self.request), self.settings) for s in self.sources]
        # A link that leads nowhere is a video that is not here.
        self.parsed = [
            replace(e, video=None) if e.video and not e.video.is_file() else e
            for e in in_order(found)
        ]
        self.entries = self.parsed[: self.request.limit]
        self.ledger.discovered = [
            issues_frame([issue], source=s.name, video_id=video)
            for s, d in zip(self.sources, found, strict=True)
            for video, issue in d.issues
        ]
        self.hashes = store.HashMemory(self.out / "log" / "hashes.json", forget=self.request.rehash)
        self.keys = Keys(self.settings, self.classes, self.hashes)

    def unit(self, stage: str, entry: Entry) -> Path:
        """The file of one stage's work on one video."""
        return unit_path(self.out, stage, entry)

    def is_stale(self, stage: str, unit: Path, key: str) -> bool:
        """Whether a unit has to be worked on.

        One that failed for a reason that may pass is tried again by a run that begins no later.
        """
        found = store.unit_key(unit)
        later = not self.ahead and order_of(stage) >= self.first
        return found != key and (later or not store.is_passing(found))

    def require_done(self, stage: str, stale: int) -> bool:
        """Whether a stage may be worked on; an error where it had to be finished before."""
        if not stale:
            return False
        if self.ahead:
            raise _UnfinishedError
        if order_of(stage) < self.first:
            if self.file_before:  # nothing was done: the build stays what it was
                store.write_bytes(self.out / "build.yaml", self.file_before)
            self.refused = True
            raise BuildError(
                f"stage {stage} is not finished with these settings ({stale} units); "
                f"run `tinyvirat-build {stage} --out {self.out}` first"
            )
        return True

    # -- per video

    def index(self) -> None:
        """Index the videos that are planned; those beyond ``--limit`` count as not present."""
        here = {e.video for e in self.entries if e.video is not None}
        tasks = []
        for entry in self.parsed:
            planned = entry.video in here
            shown = entry if planned else replace(entry, video=None)
            tasks.append(self.video_task(shown, {"index": self.keys.index(entry, planned=planned)}))
        stale = [
            t for t in tasks
            if self.request.rehash or self.is_stale("index", t.units["index"], t.keys["index"])
        ]  # fmt: skip
        if self.require_done("index", len(stale)):
            for task in (t for t in stale if t.entry.video is None):  # not worth a process
                work.index_entry(task)
            self.pool("index", work.index_entry, [t for t in stale if t.entry.video], self.refuse)
        self.outcome.worked["index"] = len(stale)
        self.keep("index", tasks, len(self.entries))
        self.videos = {
            (e.source, e.video_id, e.annotation_set): store.read_unit(
                self.unit("index", e), ["videos"]
            )["videos"].to_pylist()[0]
            for e in self.parsed
        }
        # What was found, not when the file was written: a copy of the data gives the same bytes.
        units = self.ledger.units["index"]
        found = [
            store.digest(self.videos[e.source, e.video_id, e.annotation_set], work.refused(u))
            for e, u in zip(self.entries, units, strict=True)
        ]
        self.ledger.note("index", found, units)

    def refuse(self, task: work.VideoTask, failure: engine.Failure) -> None:
        """Give a video up that brought the indexing worker down."""
        work.refuse_index(task, failure.reason, failure.detail)

    def plan_videos(self) -> None:
        """Parse … crop, as far as asked: one task a video, chained in one process."""
        stages = ["parse", *(s.name for s in work.VIDEO_STAGES)]
        stages = [s for s in stages if self.ahead or order_of(s) <= self.until]
        planned = {id(e) for e in self.entries}
        tasks = []
        for entry in self.parsed:
            video = self.videos[entry.source, entry.video_id, entry.annotation_set]
            keys = self.keys.chain(entry, video)
            wanted = stages if id(entry) in planned else stages[:1]
            tasks.append(self.video_task(entry, {s: keys[s] for s in wanted}))
        stale_of = [
            [s for s, k in t.keys.items() if self.is_stale(s, t.units[s], k)] for t in tasks
        ]
        whole = {s: tasks if s == "parse" else [t for t in tasks if s in t.keys] for s in stages}
        for stage in stages:
            n = sum(stage in stale for stale in stale_of)
            self.require_done(stage, n)
            self.outcome.worked[stage] = n
            if self.ahead:
                self.keep(stage, whole[stage], len(self.entries))
        todo = [t for t, stale in zip(tasks, stale_of, strict=True) if stale]
        todo.sort(key=lambda t: -sum(self.hashes.size(f) for f in t.entry.files))
        self.pool("plan", work.plan_entry, todo, work.refuse_plan)
        self.hashes.save()
        for stage in stages:
            self.keep(stage, whole[stage], len(self.entries))
        done = {"index", *stages}
        for stage, table in _VIDEO_TABLES:
            if stage in done:
                self.assemble(stage, table)

    def video_task(self, entry: Entry, keys: dict[str, str]) -> work.VideoTask:
        """One video's units and the keys that they must have."""
        names = ["index", "parse", *(s.name for s in work.VIDEO_STAGES)]
        units = {s: self.unit(s, entry) for s in names}
        return work.VideoTask(entry, self.keys.settings_of(entry), self.classes, units, keys)

    def keep(self, stage: str, tasks: Sequence[work.VideoTask], n: int) -> None:
        """Note a stage's units and keys of the planned videos; delete those of videos gone."""
        planned = {(e.source, e.video_id, e.annotation_set) for e in self.entries}
        chosen = [
            t for t in tasks
            if (t.entry.source, t.entry.video_id, t.entry.annotation_set) in planned
        ]  # fmt: skip
        if not self.ahead:
            self.remove_units(stage, [t.units[stage] for t in tasks])
        # A unit's own key, which is not the task's where its work failed.
        keys = [store.unit_key(t.units[stage]) or "" for t in chosen]
        self.ledger.note(stage, keys, [t.units[stage] for t in chosen])
        assert len(chosen) == n

    def pool(
        self,
        stage: str,
        function: Callable[[Any], Any],
        tasks: Sequence[Any],
        give_up: Callable[[Any, engine.Failure], None],
        *,
        weigh: Callable[[Any], int] = lambda task: 1,
        unit: str = "video",
    ) -> None:
        """Run tasks with a bar; a task that crashes or hangs is handed to ``give_up``."""
        if not tasks:
            return
        total = sum(map(weigh, tasks))
        outcomes = engine.run_local(
            function, tasks, workers=self.request.workers, timeout=self.request.timeout
        )
        with tqdm(
            total=total, desc=f"{stage:>9}", unit=f" {unit}", delay=2, disable=self.request.quiet,
            dynamic_ncols=True, smoothing=0.1,
        ) as bar:  # fmt: skip
            for outcome in outcomes:
                if outcome.failure:
                    give_up(outcome.task, outcome.failure)
                bar.update(weigh(outcome.task))

    def assemble(self, stage: str, name: str) -> None:
        """Write a stage's table from its units."""
        key = store.digest(name, self.ledger.keys[stage])
        self.write_table(name, key, self.ledger.units[stage])

    def write_table(self, name: str, key: str, units: Sequence[Path]) -> None:
        """Write a table from units, unless it is made of just these already."""
        path = self.table(name)
        if store.table_key(path) != key:
            if self.ahead:
                raise _UnfinishedError
            parts = (store.read_unit(u, [name])[name] for u in units)
            store.write_table(path, name, parts, key=key)
        self.ledger.tables_held[name] = key

    def table(self, name: str) -> Path:
        """The file of a table."""
        return self.out / "tables" / f"{name}.parquet"

    # -- the whole corpus

    def global_stage(
        self, stage: str, name: str, key: str, make: Callable[[], StageResult]
    ) -> None:
        """Run a stage on the whole corpus under its key."""
        unit = self.out / "units" / stage / "all"
        stale = store.unit_key(unit) != key
        self.outcome.worked[stage] = int(stale)
        work_on = self.require_done(stage, int(stale))
        if work_on:
            result = make()
            tables = {name: result.table, "issues": result.issues, "balance": result.balance}
            work.write_tables(unit, key, tables)
        self.write_table(name, key, [unit])
        self.ledger.note(stage, [key], [unit])

    def partition(self) -> None:
        """Give groups to splits, counting the activities of all videos, planned or not."""
        lists = splits.load_lists(self.settings.partition)
        groups = assign_groups(videos_frame(self.parsed), self.settings.partition, lists=lists)
        parse_units = [self.unit("parse", e) for e in self.parsed]
        key = store.digest(
            "partition", _GLOBAL_VERSION, [store.unit_key(u) for u in parse_units],
            self.ledger.keys["crop"], asdict(self.settings.partition), groups["group"].tolist(),
            {name: split.to_dict() for name, split in lists.items()},
        )  # fmt: skip

        def make() -> StageResult:
            counted = [
                t
                for unit in parse_units
                for t in store.read_unit(unit, ["activities", "without_geometry"]).values()
            ]
            return partition(
                store.read_table(self.table("clips_planned")),
                store.from_arrow(pa.concat_tables(counted).unify_dictionaries()),
                groups,
                self.settings.partition,
                lists=lists,
                classes=self.classes,
            )

        self.global_stage("partition", "clips_partitioned", key, make)

    def filter(self) -> None:
        """Drop rare labels."""
        settings = self.settings.filter
        if self.request.limit is not None:
            # In a part of the corpus every label is rare: a trial would lose its clips.
            settings = replace(settings, min_samples=0)
        key = store.digest("filter", self.ledger.keys["partition"], asdict(settings))

        def make() -> StageResult:
            clips = store.read_table(self.table("clips_partitioned"))
            return filter_rare(clips, settings, classes=self.classes)

        self.global_stage("filter", "clips_filtered", key, make)

    # -- video

    def clips_by_entry(self) -> list[tuple[Entry, pd.DataFrame]]:
        """The clips to cut, video by video."""
        clips = store.read_table(self.table("clips_filtered"))
        keys = list(zip(*(clips[k].astype(str) for k in KEYS), strict=True))
        rows: dict[tuple[str, ...], list[int]] = {}
        for i, row_key in enumerate(keys):
            rows.setdefault(row_key, []).append(i)
        return [
            (e, clips.iloc[rows[e.source, e.video_id, e.annotation_set]].reset_index(drop=True))
            for e in self.entries
            if (e.source, e.video_id, e.annotation_set) in rows
        ]

    def estimate(self) -> None:
        """Estimate the cost of cutting; writes nothing."""
        total = Estimate.zero()
        for entry, clips in self.clips_by_entry():
            if entry.video is not None:
                try:
                    index = work.load_index(self.unit("index", entry))
                    total += estimate(index, clips, self.settings.encode)
                except VideoError:
                    continue
            else:
                total += Estimate(clips_without_video=len(clips), videos_missing=1)
        self.outcome.estimate = total

    def cut(self) -> None:
        """Cut what is stale, drop what no table names any more, and join the cuts."""
        planned = self.clips_by_entry()
        self.require_videos([e for e, _ in planned if e.video is None])
        tasks = []
        for entry, clips in planned:
            video = self.videos[entry.source, entry.video_id, entry.annotation_set]
            key = self.keys.cut(video, clips["clip_id"].tolist())
            task = work.CutTask(
                entry, clips, self.out,
                self.out / "clips" / entry.source / entry.annotation_set / entry.video_id,
                self.unit("index", entry), self.unit("cut", entry), key,
                self.settings.encode, self.settings.videos.max_held,
            )  # fmt: skip
            tasks.append(task)
        stale = [t for t in tasks if self.is_stale("cut", t.unit, t.key) or not work.files_there(t)]
        if self.require_done("cut", len(stale)):
            for task in (t for t in stale if t.entry.video is None):
                work.cut_entry(task)
            here = sorted((t for t in stale if t.entry.video), key=lambda t: -len(t.clips))
            self.say_estimate(here)
            self.pool(
                "cut", work.cut_entry, here, work.refuse_cut,
                weigh=lambda t: len(t.clips), unit="clip",
            )  # fmt: skip
        self.outcome.worked["cut"] = len(stale)
        units = [t.unit for t in tasks]
        self.ledger.note("cut", [t.key for t in tasks], units)
        if not self.ahead:
            self.remove_units("cut", units)
            self.remove_unnamed({t.folder for t in tasks})
        key = store.digest("cuts", [store.hash_file(t.unit) for t in tasks])
        self.write_table("cuts", key, units)
        self.ledger.note("cuts", [key])
        reasons = store.read_table(self.table("cuts"), ["reason"])["reason"]
        self.outcome.quarantined = int(reasons.notna().sum())

    def say_estimate(self, tasks: Sequence[work.CutTask]) -> None:
        """Print what cutting will cost, before it begins."""
        if self.outcome.estimate is not None and tasks and not self.request.quiet:
            tqdm.write(str(self.outcome.estimate.describe(self.request.workers)))

    def require_videos(self, missing: Sequence[Entry]) -> None:
        """Refuse to cut a part only, unless the settings ask for it."""
        if missing and self.settings.videos.missing == "error":
            if self.ahead:
                raise _UnfinishedError
            self.ledger.write()  # of what was planned, which stands
            names = ", ".join(e.video_id for e in missing[:3]) + (", …" if len(missing) > 3 else "")
            remedy = self.ledger.of_raw_streams({e.video_id for e in missing}) or "fetch them"
            raise DataError(
                f"{len(missing)} source videos are not below --data ({names}); {remedy}, or "
                f"build without them: --set videos.missing=skip"
            )

    def remove_unnamed(self, named: set[Path]) -> None:
        """Delete the folders of clips that no table names any more."""
        root = self.out / "clips"
        for folder in sorted(p for p in root.glob("*/**/") if p != root):
            kept = folder in named or any(folder in n.parents or n in folder.parents for n in named)
            if folder.exists() and not kept:
                shutil.rmtree(folder)

    def remove_units(self, stage: str, named: Sequence[Path]) -> None:
        """Delete a stage's units of videos that are no part of this build any more."""
        known = set(named)
        for unit in (self.out / "units" / stage).rglob("*"):
            if unit.is_file() and unit not in known:
                unit.unlink()

    # -- what is given away

    def publish(self) -> None:
        """Write the released layout, the truth, the pack and the manifest."""
        key = store.digest(
            "publish", _GLOBAL_VERSION, self.ledger.keys["filter"], self.ledger.keys["cuts"],
            asdict(self.settings.publish), self.settings.encode.pack, self.classes,
        )  # fmt: skip

        def make() -> StageResult:
            return tinyvirat.publish(
                self.out,
                store.read_table(self.table("clips_filtered")),
                store.read_table(self.table("cuts")),
                self.classes,
                self.sources,
                self.settings,
            )

        if not tinyvirat.files_there(self.out, self.table("clips"), self.settings):
            if self.ahead:
                raise _UnfinishedError
            (self.out / "units" / "publish" / "all").unlink(missing_ok=True)
        self.global_stage("publish", "clips", key, make)

    def stats(self) -> None:
        """Write statistics, figures and the report."""
        self.ledger.write()
        key = store.digest("stats", _REPORT_VERSION, self.ledger.keys["publish"], self.ledger.key())
        unit = self.out / "units" / "stats" / "all"
        stale = store.unit_key(unit) != key or not all(
            (self.out / name).is_file()
            for name in ("report.html", "stats/stats.json", "stats/table1.md", "stats/table1.csv")
        )
        self.outcome.worked["stats"] = int(stale)
        if stale:
            publish_statistics(self.out, self.settings, self.classes)
            store.write_unit(unit, key, {})
