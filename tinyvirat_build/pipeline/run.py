"""A run: each step of stages is planned, its stale units are done, its tables written.

What is stale, and how a build goes on, stands in :mod:`~tinyvirat_build.pipeline.plan`. Stages
after those asked for are only planned: one that is finished keeps its rows in the ledger.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from tinyvirat_build import engine, labels, progress, store
from tinyvirat_build.errors import BuildError, DataError, MeansError
from tinyvirat_build.pipeline import folder
from tinyvirat_build.pipeline.batches import Batch, in_batches, singles
from tinyvirat_build.pipeline.ledger import Ledger
from tinyvirat_build.pipeline.plan import Known, packed, plan_corpus, plan_videos
from tinyvirat_build.pipeline.request import (
    Outcome,
    Request,
    Share,
    check_named,
    discover,
    placed,
    settled,
)
from tinyvirat_build.pipeline.stages import (
    STAGES,
    Stage,
    modules,
    order_of,
    resolve,
    steps,
    writer_of,
)
from tinyvirat_build.pipeline.tasks import Task, Unit, do_corpus, do_tasks, give_up
from tinyvirat_build.pipeline.trial import within_limit
from tinyvirat_build.records import issues_frame, strings
from tinyvirat_build.sources.afar import CACHE
from tinyvirat_build.sources.files import fetching
from tinyvirat_build.store.means import lacking
from tinyvirat_build.video.spans import Estimate

MANY: Final = 20_000  # videos, from which on a stage on all of them has a process of its own
_IN_MEMORY: Final = 4096  # tasks of which all are held at once
_LONG: Final = 7 * 24 * 3600.0  # seconds: no stage on the whole corpus is given up for its length


def run(
    request: Request,
    *,
    first: str = STAGES[0].name,
    until: str = STAGES[-1].name,
    before: Callable[[], object] = lambda: None,
) -> Outcome:
    """Run the stages from ``first`` to ``until``; those before ``first`` must be finished.

    ``before`` is called once the folder is locked.

    Raises:
        SettingsError: an unknown stage or source.
        DataError: the sources' data are not there, or videos are missing.
        BuildError: the folder is locked or not writable, or a stage before ``first`` is not done.
        MeansError: the disk is full, or no memory, file, thread or process can be had.
    """
    order_of(first), order_of(until)
    engine.chosen(request.engine, request.address)  # told before any work
    until = last_of(request, until)
    folder.refuse_foreign(request.out)
    with store.locked(request.out, "building"):
        try:
            folder.remove_partials(request.out)
            before()
            return _run(settled(request), first, until)
        except Exception as e:
            if (found := lacking(e)) is None:
                raise
            raise found from e


def last_of(request: Request, until: str) -> str:
    """The last stage that a request may come to: a shard is of no use beyond the cut."""
    cut = writer_of("cuts").name
    return cut if request.shard and order_of(until) > order_of(cut) else until


def _run(request: Request, first: str, until: str) -> Outcome:
    check_named(request)
    began = time.monotonic()
    known = look(request, first, until)
    outcome = Outcome(seconds={"discover": time.monotonic() - began})
    # Where an estimate alone is asked for nothing is written, no new settings either.
    writes = any(known.asked(s) and s.scope != "estimate" for step in steps() for s in step)
    file_before = folder.write_build_file(request) if writes else b""
    refusal = None
    try:
        refusal = _work_through(known, outcome)
        if refusal is None:
            _sum_up(known, outcome, writes=writes)
    finally:
        if writes and refusal is None:
            with contextlib.suppress(OSError):  # of a full disk the run has told already
                folder.note_tables(request.out, known.ledger.tables_held)
    if refusal:
        if file_before:  # nothing was done: the build stays what it was
            store.write_bytes(request.out / "build.yaml", file_before)
        raise refusal
    return outcome


def look(request: Request, first: str, until: str) -> Known:
    """Find the videos of all sources."""
    settings, found = request.settings, discover(request, prepare=True)
    ledger = Ledger(request.out / "tables")
    ledger.discovered = [
        issues_frame([i for _, i in discovery.issues], source=name).assign(
            video_id=strings([video for video, _ in discovery.issues])
        )
        for name, (_, discovery) in found.items()
        if discovery.issues
    ]
    entries = store.Packed(placed(found, request))
    chosen = [source for source, _ in found.values()]
    of_source = {name: settings.of(name) for name in {e.source for e in entries}}
    classes = labels.load_classes(settings.classes)
    planned = within_limit(entries, request.limit, of_source, classes)
    return Known(
        request, first, until, classes, chosen, entries, of_source,
        store.HashMemory(request.out / "log" / "hashes.sqlite", forget=request.rehash), ledger,
        planned, None if planned is entries else {e.key for e in planned},
    )  # fmt: skip


def _work_through(known: Known, outcome: Outcome) -> BuildError | None:
    """Plan every step and do what is asked of it; what stands in the way, if anything does."""
    for step in steps():
        began = time.monotonic()
        asked = [s for s in step if order_of(s.name) <= order_of(known.until)]
        if step[0].scope == "estimate":
            if asked and asked[0].name == known.until:
                outcome.estimate = resolve(step[0].run)(known.corpus(), known.request)
            continue
        if not asked and not (known.request.out / "units" / step[0].name).exists():
            return None  # nothing of it was ever done
        if asked and "issues" in step[0].reads:
            known.ledger.write()
        whole = step[0].scope == "corpus"
        tasks = [] if whole else plan_videos(step, known)
        own = _of_shard(step, tasks, known.request)
        unit = plan_corpus(step[0], known) if whole else None
        units = [unit] if unit else (u for t in own for u in t.units)
        stale = Counter(u.stage.name for u in units if u.stale)
        for stage in asked:
            outcome.worked[stage.name] = n = stale[stage.name]
            if n and order_of(stage.name) < order_of(known.first):
                return BuildError(
                    f"stage {stage.name} is not finished with these settings; run "
                    f"`tinyvirat-build {stage.name} --out {known.request.out}` first"
                )
        if missing := _missing_videos(step, tasks, known):
            if not asked:
                return None
            known.ledger.write()  # of what was planned, which stands
            raise missing
        if asked and unit:
            _do_corpus(unit, known)
        elif asked:
            outcome.estimate = _do_videos(asked, own, known) or outcome.estimate
            _remove_others(asked, tasks, known.request.out)
        if asked and known.request.shard and step[0].folder:
            outcome.part = _finish_part(step[0], own, tasks, known)
            return None
        for stage in step:
            ahead = stage not in asked
            if ahead and stale[stage.name]:
                return None
            if not _finish(stage, tasks, unit, known, write=not ahead):
                return None
        if asked:
            outcome.seconds[asked[-1].name] = time.monotonic() - began
    return None


def _missing_videos(step: Sequence[Stage], tasks: Sequence[Task], known: Known) -> DataError | None:
    """Why a part only could be cut, unless the settings ask for that."""
    missing = [t.entry.video_id for t in tasks if t.entry.video is None]
    if not (step[0].folder and missing) or known.request.settings.videos.missing != "error":
        return None
    names = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
    remedy = fetching(missing, known.ledger.discovered)
    return DataError(
        f"not below --data: {store.many(len(missing), 'source video')} ({names}); {remedy}, or "
        "build without them: --set videos.missing=skip"
    )


def _do_corpus(unit: Unit, known: Known) -> None:
    """Do a stage on the whole corpus.

    Raises:
        MeansError: the process that it was done in was ended, as by the system for want of memory.
        BuildError: it failed there.
    """
    if not unit.stale:
        return
    unit.path.unlink(missing_ok=True)  # what it wrote, if anything, is written over
    if not unit.stage.apart or len(known.entries) < MANY:
        do_corpus((unit, known.corpus()))
        return
    own = known.corpus()
    own.sources = ()  # which a process need not be able to be sent
    for ended in engine.run_local(
        do_corpus, [(unit, own)], workers=1, timeout=_LONG, preload=modules()
    ):
        if ended.failure and ended.failure.reason == "failed":
            raise BuildError(
                f"stage {unit.stage.name} failed ({ended.failure.detail}); please report it"
            )
        if ended.failure:
            raise MeansError(
                f"stage {unit.stage.name}: {ended.failure.detail}; free memory, and run the same "
                "command to go on"
            )


def _do_videos(asked: Sequence[Stage], tasks: Sequence[Task], known: Known) -> Estimate | None:
    """Do what is stale of a step, one task a video; returns the estimate that was told before."""
    request = known.request
    cut = (replace(t, units=tuple(u for u in t.units if u.stage in asked)) for t in tasks)
    stale = packed(t for t in cut if any(u.stale for u in t.units))

    def size(task: Task) -> int:
        return sum(map(known.hashes.size, task.entry.files))

    def absent(task: Task) -> bool:
        return task.entry.video is None

    pooled = stale
    if asked[0].scope == "file":  # one that is not here is not worth a process
        for batch in in_batches(filter(absent, stale), sum(map(absent, stale)), size, 1):
            do_tasks(batch)
        pooled = packed(itertools.filterfalse(absent, stale))
    cost = None
    if asked[0].folder and pooled and not request.quiet:
        estimate = next(s.run for s in STAGES if s.scope == "estimate")
        corpus = known.corpus()
        corpus.planned = store.Packed(t.entry for t in pooled)
        cost = resolve(estimate)(corpus, request)
        progress.say(cost.describe())
    _pool(asked[0], pooled, size, request)
    known.hashes.save()
    return cost


def _of_shard(step: Sequence[Stage], tasks: Sequence[Task], request: Request) -> Sequence[Task]:
    """The tasks of a request's shard: of those that make files every n-th, else all."""
    if request.shard is None or not step[0].folder:
        return tasks
    first, n = request.shard
    return packed(itertools.islice(tasks, first, None, n))


def _remove_others(asked: Sequence[Stage], tasks: Sequence[Task], out: Path) -> None:
    """Delete what belongs to videos that are no part of this build any more."""
    for stage in asked:
        named = {u.at for t in tasks for u in t.units if u.stage == stage}
        _remove_units(out / "units" / stage.name, named)
        if stage.folder:
            shutil.rmtree(out / CACHE, ignore_errors=True)
            root = out / stage.folder
            _remove_folders(root, {folder.of_video(root, t.entry) for t in tasks})


def _clips(task: Task) -> int:
    return sum(rows.count for rows in task.rows.values())


def _largest_first(tasks: Sequence[Task], size: Callable[[Task], int]) -> Iterator[Task]:
    """Tasks, the larger ones first, of many only to a factor of two, that few are in memory."""
    if len(tasks) <= _IN_MEMORY:
        return iter(sorted(tasks, key=lambda t: -size(t)))
    doublings = np.array([size(t).bit_length() for t in tasks], np.int8)
    return (tasks[i] for i in np.argsort(-doublings, kind="stable"))


def _pool(
    stage: Stage, tasks: Sequence[Task], size: Callable[[Task], int], request: Request
) -> None:
    """Do tasks in processes, with a bar; one that crashes or hangs is given up."""
    if not tasks:
        return
    by_clip = any(t.rows for t in tasks)
    ordered = _largest_first(tasks, lambda t: _clips(t) or size(t))
    batches: Iterator[Batch] = ((task,) for task in ordered)
    if stage.scope == "video":
        workers = request.workers or engine.processors(request.engine)
        batches = in_batches(ordered, len(tasks), size, workers)
    ended = engine.chosen(request.engine, request.address)(
        do_tasks,
        batches,
        workers=request.workers,
        timeout=request.timeout,
        preload=modules(),
        parts=singles,
    )
    total, unit = (sum(map(_clips, tasks)), "clip") if by_clip else (len(tasks), "video")
    with progress.counting(total, stage.name, unit, quiet=request.quiet) as count:
        for one in ended:
            if one.failure:
                (task,) = one.task
                give_up(task, one.failure)
            count.add(sum(map(_clips, one.task)) if by_clip else len(one.task))


def _finish(
    stage: Stage, tasks: Sequence[Task], unit: Unit | None, known: Known, *, write: bool
) -> bool:
    """Note a stage that is finished, once its tables are; False where one is not and may not be.

    ``unit`` is that of a stage on the whole corpus.
    """
    own: Sequence[str]
    if unit:
        keys, own = [unit.key], [unit.at]
    else:
        within = (u for t in tasks if known.within(t.entry) for u in t.units)
        own = store.Packed(u.at for u in within if u.stage == stage)
        # What was found, not when its file was written: a copy of the data gives the same bytes.
        # Else a unit's own key, which is not the one it must have where its work failed.
        names = [*stage.writes, "issues"]
        by_file = stage.scope == "file"
        key_of = partial(store.unit_digest, names=names) if by_file else store.unit_key
        keys = [key_of(u) or "" for u in own]
    return known.ledger.finish(stage, keys, own, write=write)


def _finish_part(stage: Stage, own: Sequence[Task], tasks: Sequence[Task], known: Known) -> Share:
    """Note what a shard has done of a stage: its issues and its balance, but no table."""
    assert known.request.shard is not None
    units = store.Packed(u.at for t in own for u in t.units)
    known.ledger.hold(stage, [store.unit_key(u) or "" for u in units], units)
    reasons = (store.read_unit(u, ["cuts"])["cuts"]["reason"] for u in units)
    lost = sum(len(column) - column.null_count for column in reasons)
    return Share(
        known.request.shard, len(own), len(tasks), sum(map(_clips, own)), sum(map(_clips, tasks)),
        lost,
    )  # fmt: skip


def _remove_units(root: Path, named: Collection[str]) -> None:
    """Delete a stage's units of videos that are no part of this build any more."""
    for place, _, files in os.walk(root):
        for file in (os.path.join(place, name) for name in files):  # noqa: PTH118 - as named
            if file not in named:
                Path(file).unlink()


def _remove_folders(root: Path, named: Collection[Path]) -> None:
    """Delete the folders of videos that no table names any more."""
    for one in sorted(p for p in root.glob("*/**/") if p != root):
        kept = one in named or any(one in n.parents or n in one.parents for n in named)
        if one.exists() and not kept:
            shutil.rmtree(one)


def _sum_up(known: Known, outcome: Outcome, *, writes: bool) -> None:
    """Write the ledger, and count what the exit status depends on."""
    out, until = known.request.out, order_of(known.until)
    if writes or not folder.table_path(out, "issues").exists():
        known.ledger.write()
    issues = store.read_table(folder.table_path(out, "issues"), ["stage", "action", "count"])
    unread = issues["stage"].isin(["discover", writer_of("activities").name])
    unread &= issues["action"] == "quarantined"
    outcome.unread = int(issues["count"][unread].sum())
    if until >= order_of(writer_of("clips_planned").name):
        outcome.planned = store.count_rows(folder.table_path(out, "clips_planned"))
    if outcome.part is not None:
        outcome.quarantined = outcome.part.quarantined
    elif until >= order_of(writer_of("cuts").name):
        reasons = store.read_table(folder.table_path(out, "cuts"), ["reason"])["reason"]
        outcome.quarantined = int(reasons.notna().sum())
    store.write_json(out / "log" / "last-run.json", asdict(outcome), indent=1)
