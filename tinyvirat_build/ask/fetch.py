"""What a dataset needs of a corpus, brought here: annotations, then the videos that have clips.

Annotations alone tell which videos are needed: the stages up to the filter read no pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tinyvirat_build import engine, progress, sources, store
from tinyvirat_build.ask.words import human_bytes
from tinyvirat_build.errors import DataError, SettingsError
from tinyvirat_build.pipeline import folder
from tinyvirat_build.pipeline.request import Request
from tinyvirat_build.pipeline.run import run
from tinyvirat_build.pipeline.stages import writer_of
from tinyvirat_build.records import Key
from tinyvirat_build.remote import whole
from tinyvirat_build.remote.annotations import bring_annotations
from tinyvirat_build.remote.bucket import Bucket, Listed
from tinyvirat_build.remote.client import Budget, Client, checked
from tinyvirat_build.remote.fetch import (
    Fetched,
    Job,
    Proofs,
    check_here,
    fetch,
    find,
    need_room,
    target_of,
)
from tinyvirat_build.settings import Settings
from tinyvirat_build.sources import Entry, Home, Source

STATE: Final = ".fetch"  # below the data folder; hidden, so that nothing in it is found
TRANSFERS: Final = 4  # at once
_CLIPS: Final = "clips_filtered"
_SHOWN: Final = 20  # videos that failed

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be fetched, and how; ``bucket`` and ``annotations`` are a mirror's or a copy's."""

    source: str
    data: Path
    settings: Settings
    limit: int | None = None
    dates: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()
    budget: int | None = None
    dry_run: bool = False
    bucket: str = ""
    annotations: str = ""
    transfers: int = TRANSFERS
    workers: int = field(default_factory=engine.default_workers)
    quiet: bool = False
    wait: Callable[[float], object] | None = None  # takes seconds; None is the clock's own


def fetch_corpus(asked: Asked, say: Say = print) -> Fetched:
    """Bring a corpus's annotations here, plan, and bring the videos that have clips.

    What is here already is checked and not fetched again; the report is written beside it, as
    ``fetch-SOURCE.json``.

    Raises:
        SettingsError: a source that does not say where it lies, dates or cameras that none has.
        DataError: annotations or the bucket cannot be had.
        BuildError: another process fetches into this folder.
        MeansError: the disk has no room.
    """
    source = sources.get(asked.source)
    home = sources.home_of(source)
    if home is None:
        raise SettingsError(f"nobody says where source {source.name} lies; put its files below DIR")
    client = Client(Budget(asked.budget), asked.wait)
    bucket = asked.bucket or home.bucket
    if bucket:
        checked(bucket)
    with store.locked(asked.data / STATE, "fetching"):
        say(home.terms)
        if not _bring_annotations(source, home, asked, client, say):
            nothing = Fetched(failed={"annotations": f"none of {source.name} below {asked.data}"})
            say(render(nothing))
            return nothing
        entries = _needed(source, home, asked)
        report = Fetched()
        proofs = Proofs(asked.data / STATE / "proofs.json")
        if bucket:
            _from_bucket(Bucket(client, bucket), home, entries, asked, proofs, report, say)
        else:
            _placed(entries, report)
        if not asked.dry_run:
            store.write_json(asked.data / f"fetch-{source.name}.json", report.to_dict(), indent=1)
            say(render(report))
    return report


def _bring_annotations(source: Source, home: Home, asked: Asked, client: Client, say: Say) -> bool:
    """Whether annotations are here, which may have to be fetched first."""
    where = asked.annotations
    if not where:
        try:
            source.discover(asked.data, asked.settings)
        except DataError:
            where = home.annotations
        else:
            return True
    if not where:
        return False
    with progress.counting(None, "annotations", "B", quiet=asked.quiet) as count:
        target = asked.data / (home.folder or source.name)
        files = bring_annotations(client, where, target, home.is_annotation, count.add)
    say(f"{files:,} files of annotations in {target}.")
    return True


def _needed(source: Source, home: Home, asked: Asked) -> list[Entry]:
    """The videos that have clips with these settings, of the dates and cameras asked for."""
    out = asked.data / STATE / "plan"
    request = Request(
        (asked.source,), asked.data, out, asked.settings, asked.workers, limit=asked.limit,
        quiet=asked.quiet, without_videos=True,
    )  # fmt: skip
    run(request, until=writer_of(_CLIPS).name)
    columns = list(Key._fields)
    rows = store.read_table(folder.table_path(out, _CLIPS), columns).drop_duplicates()
    keys = {Key(*map(str, row)) for row in rows.itertuples(index=False)}
    entries = [e for e in source.discover(asked.data, asked.settings).entries if e.key in keys]
    entries = _only(entries, "camera", asked.cameras, lambda entry: entry.camera)
    return _only(entries, "date", asked.dates, lambda entry: home.date_of(entry.video_id))


def _only(
    entries: list[Entry], what: str, wanted: Collection[str], of: Callable[[Entry], str]
) -> list[Entry]:
    """The videos that have one of the names that are wanted, all of them where none is."""
    known = sorted({of(entry) for entry in entries})
    for name in wanted:
        if name not in known:
            raise SettingsError(
                f"no video that is needed has the {what} {name!r}; there are "
                f"{', '.join(known[:_SHOWN])}"
            )
    return [entry for entry in entries if not wanted or of(entry) in wanted]


def _from_bucket(
    bucket: Bucket, home: Home, entries: list[Entry], asked: Asked, proofs: Proofs,
    report: Fetched, say: Say,
) -> None:  # fmt: skip
    unproved = [e for e in entries if e.video is None or not proofs.hold(e.video)]
    found = find(bucket, home, (e.video_id for e in unproved))
    jobs = list(_jobs(entries, found, asked.data, proofs, report))
    to_come = sum(job.bytes_left for job in jobs)
    say(
        f"Videos that are needed: {len(entries):,}; here: {len(report.here):,}; to be fetched: "
        f"{len(jobs):,}, {to_come:,} bytes ({human_bytes(to_come)})."
    )
    if asked.dry_run:
        _say_failed(report, say)
        return
    need_room(asked.data, jobs, bucket.client.budget.left)
    total = sum(job.listed.size for job in jobs)
    with progress.counting(total, "fetch", "B", done=total - to_come, quiet=asked.quiet) as count:
        fetch(
            bucket, jobs, workers=asked.transfers, proofs=proofs, report=report,
            advance=count.add,
        )  # fmt: skip


def _jobs(
    entries: Iterable[Entry], found: dict[str, Listed], data: Path, proofs: Proofs, report: Fetched
) -> Iterator[Job]:
    """What is to be fetched; what is here, or cannot be had, is noted in the report."""
    for entry in entries:
        video, listed = entry.video_id, found.get(entry.video_id)
        try:
            if entry.video is not None:
                if fault := check_here(entry.video, listed, proofs):
                    raise DataError(fault)
                report.here.append(video)
                continue
            if listed is None:
                raise DataError("the bucket has no file of this video")
            yield Job(video, listed, target_of(data, listed.key))
        except DataError as e:
            report.failed[video] = str(e)


def _placed(entries: Iterable[Entry], report: Fetched) -> None:
    """Check what a user placed, of a corpus that cannot be fetched."""
    for entry in entries:
        fault = "not here yet" if entry.video is None else whole.fault(entry.video)
        if fault:
            report.failed[entry.video_id] = fault
        else:
            report.here.append(entry.video_id)


def render(report: Fetched) -> str:
    """What a fetch says when it ends."""
    lines: list[str] = []
    _say_failed(report, lines.append)
    if report.beyond_budget:
        lines.append(
            f"Left out for the budget: {store.many(len(report.beyond_budget), 'video')}; run again "
            "to go on."
        )
    lines.append(
        f"{len(report.fetched):,} fetched, {len(report.here):,} here before, "
        f"{len(report.failed):,} failed; {human_bytes(report.bytes_received)} received."
    )
    by_size = sum(by == "size" for by in report.fetched.values())
    if by_size:
        lines.append(f"Of {by_size:,} the size alone tells that they are whole.")
    return "\n".join(lines)


def _say_failed(report: Fetched, say: Say) -> None:
    for video, why in list(report.failed.items())[:_SHOWN]:
        say(f"  {video}: {why}")
    if len(report.failed) > _SHOWN:
        say(f"  … and {len(report.failed) - _SHOWN:,} more, in fetch-*.json")
