"""The videos of a corpus from its public bucket: found, brought in parallel, proved, reported."""

from __future__ import annotations

import json
import queue
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from tinyvirat_build.errors import DataError, MeansError, TinyviratError
from tinyvirat_build.formats.safety import safe_name
from tinyvirat_build.remote.bucket import Bucket, Listed
from tinyvirat_build.remote.client import BudgetError, ChangedError, StoppedError
from tinyvirat_build.remote.transfer import Advance, part_of, proof, size_there, transfer
from tinyvirat_build.store import HashMemory, write_json
from tinyvirat_build.store.means import lacking

_LISTINGS: Final = 8  # at once
_CHANGES: Final = 3  # times that a file may be another one than was listed


class Keys(Protocol):
    """How a corpus names its videos in a bucket."""

    @property
    def prefixes(self) -> Callable[[str], tuple[str, ...]]:
        """video_id -> where it may lie, in order; a last one is below any folder."""

    @property
    def file_of(self) -> Callable[[str], tuple[str, int] | None]:
        """Name of a file -> the video_id that it holds, and its rank."""


@dataclass(frozen=True, slots=True)
class Job:
    """A video to be brought here."""

    video_id: str
    listed: Listed
    target: Path

    @property
    def bytes_left(self) -> int:
        """Bytes that are not here yet."""
        return max(0, self.listed.size - size_there(part_of(self.target, self.listed)))


@dataclass(slots=True)
class Fetched:
    """What came of each video that is needed, by its name."""

    fetched: dict[str, str] = field(default_factory=dict)  # -> by what it was found whole
    here: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)  # -> why
    beyond_budget: list[str] = field(default_factory=list)
    bytes_received: int = 0

    @property
    def status(self) -> int:
        """The exit status: 0 all are here, 1 some are not."""
        return 1 if self.failed or self.beyond_budget else 0

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it, in the order of the videos' names."""
        tree = asdict(self)
        tree["fetched"], tree["failed"] = (
            dict(sorted(tree[n].items())) for n in ("fetched", "failed")
        )
        tree["beyond_budget"].sort()
        return tree


def find(bucket: Bucket, keys: Keys, videos: Iterable[str]) -> dict[str, Listed]:
    """The file of each video that the bucket has, of several the one of the lowest rank.

    Where a video is not at its place, wider ones are looked at; the last of its prefixes is then
    looked for below every folder of the bucket.

    Raises:
        DataError: the bucket cannot be listed.
    """
    places = {video: keys.prefixes(video) for video in videos}
    listings: dict[str, list[Listed]] = {}
    found: dict[str, Listed] = {}

    def look(prefixes: Mapping[str, str]) -> None:
        new = sorted(set(prefixes.values()) - listings.keys())
        with ThreadPoolExecutor(_LISTINGS) as pool:
            listings.update(zip(new, pool.map(bucket.listed, new), strict=True))
        for video, prefix in prefixes.items():
            best = _best(listings[prefix], keys, video)
            if best is not None:
                found[video] = best

    def missing(nth: int) -> dict[str, str]:
        return {v: p[nth] for v, p in places.items() if p[nth:] and v not in found}

    for nth in range(max((len(p) - 1 for p in places.values()), default=0)):
        look(missing(nth))
    if missing(-1):
        for folder in bucket.folders():
            look({video: folder + prefix for video, prefix in missing(-1).items()})
    return found


def _best(listing: Iterable[Listed], keys: Keys, video: str) -> Listed | None:
    ranked = []
    for one in listing:
        named = keys.file_of(one.name)
        if named is not None and named[0] == video and one.size > 0:
            ranked.append((named[1], one.key, one))
    return min(ranked)[2] if ranked else None


def target_of(root: Path, key: str) -> Path:
    """Where a file of a bucket is put: under its own key.

    Raises:
        DataError: the key leads out of the folder, or no table or terminal can take it.
    """
    parts = key.split("/")
    if not all(map(safe_name, parts)):
        raise DataError(f"the bucket's key {key[:200]!r} would leave {root}; it is refused")
    return root.joinpath(*parts)


class Proofs:
    """Which files were found whole, remembered with size and time of change."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.known: dict[str, list[Any]] = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            self.known = {}  # only a memory: everything is proved anew

    def hold(self, path: Path) -> bool:
        """Whether a file was found whole as it is now."""
        return self.known.get(str(path)) == HashMemory.stamp(path)

    def note(self, path: Path) -> None:
        """Remember that a file was found whole."""
        stamp = HashMemory.stamp(path)
        if stamp is not None:
            self.known[str(path)] = list(stamp)

    def save(self) -> None:
        """Write the memory."""
        write_json(self.path, self.known)


def check_here(path: Path, listed: Listed | None, proofs: Proofs) -> str:
    """What speaks against a video that is here already, "" if nothing.

    It is held against the bucket's file of the same name.
    """
    if proofs.hold(path) or listed is None or listed.name != path.name:
        return ""
    fault = proof(path, listed)[1]
    if fault:
        return f"{path} is here, but {fault}; move it away to have it fetched"
    proofs.note(path)
    return ""


def need_room(root: Path, jobs: Sequence[Job], most: int | None) -> None:
    """Make sure that what is to come has room on the disk.

    Raises:
        MeansError: it has not.
    """
    wanted = sum(job.bytes_left for job in jobs)
    wanted = wanted if most is None else min(wanted, most)
    free = shutil.disk_usage(root).free
    if wanted > free:
        raise MeansError(
            f"{root}: {wanted:,} bytes are to come, its disk has {free:,} left; free some, or "
            "fetch less (--dates, --cameras, --limit, --budget)"
        )


def bring(
    bucket: Bucket, jobs: Sequence[Job], workers: int, advance: Advance
) -> Iterator[tuple[Job, str | TinyviratError]]:
    """Bring videos here, several at once; yields each with its proof or what went wrong.

    Raises:
        MeansError: the disk is full, or no file or thread can be had; the transfers end.
    """
    todo: queue.SimpleQueue[Job] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Job, str | Exception]] = queue.SimpleQueue()
    lock = threading.Lock()
    for job in jobs:
        todo.put(job)

    def advance_one(n: int) -> None:
        with lock:  # a bar counts for one thread
            advance(n)

    def work() -> None:
        while not bucket.client.stop.is_set():
            try:
                job = todo.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((job, _bring(bucket, job, advance_one)))
            except StoppedError:
                return
            except Exception as e:
                done.put((job, lacking(e) or e))

    # As daemons they do not hold an interrupted program: what they leave is a part.
    for _ in range(min(workers, len(jobs))):
        threading.Thread(target=work, daemon=True).start()
    try:
        for _ in jobs:
            job, outcome = done.get()
            if isinstance(outcome, MeansError) or not isinstance(outcome, str | TinyviratError):
                raise outcome
            yield job, outcome
    finally:
        bucket.client.end()


def _bring(bucket: Bucket, job: Job, advance: Advance) -> str:
    listed = job.listed
    for _ in range(_CHANGES):
        try:
            return transfer(bucket, listed, job.target, advance)
        except ChangedError:
            now = [one for one in bucket.listed(listed.key) if one.key == listed.key]
            if not now:
                raise DataError(f"{listed.key} is not in the bucket any more") from None
            advance(-size_there(part_of(job.target, listed)))
            listed = now[0]
    raise DataError(f"{listed.key} changes while it is fetched; run the same command later")


def fetch(
    bucket: Bucket,
    jobs: Sequence[Job],
    *,
    workers: int,
    proofs: Proofs,
    report: Fetched,
    advance: Advance,
) -> None:
    """Bring videos here, and note in the report what came of each.

    Raises:
        MeansError: as of :func:`bring`.
    """
    try:
        for job, outcome in bring(bucket, jobs, workers, advance):
            if isinstance(outcome, str):
                proofs.note(job.target)
                report.fetched[job.video_id] = outcome
            elif isinstance(outcome, BudgetError):
                report.beyond_budget.append(job.video_id)
            else:
                report.failed[job.video_id] = str(outcome)
    finally:
        report.bytes_received = bucket.client.budget.received
        proofs.save()
