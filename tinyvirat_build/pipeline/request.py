"""What a run is asked for, and which videos that means."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tinyvirat_build import engine, labels, sources
from tinyvirat_build.errors import SettingsError
from tinyvirat_build.records import Key
from tinyvirat_build.settings import Settings
from tinyvirat_build.sources import Discovery, Entry, Source, afar, splits
from tinyvirat_build.video.spans import Estimate


@dataclass(frozen=True, slots=True)
class Request:
    """What a run was asked for."""

    sources: tuple[str, ...]  # names, or YAML files of own corpora
    data: Path | None
    out: Path
    settings: Settings
    workers: int | None = None  # at once; by default one a processor
    timeout: float = engine.DEFAULT_TIMEOUT
    limit: int | None = None
    rehash: bool = False
    quiet: bool = False
    engine: str = "local"
    address: str | None = None  # of a cluster, for an engine that has one
    shard: tuple[int, int] | None = None  # cut the videos i of every n alone
    without_videos: bool = False  # plan as if none were here, from annotations alone
    videos: str = ""  # another place of the videos: a folder, or a URL
    prove: frozenset[Key] = frozenset()  # videos whose clips another decoder has to confirm

    def __post_init__(self) -> None:
        if not self.sources:
            known = ", ".join(sources.BUILTIN)
            raise SettingsError(f"no source: give {known} or the YAML file of a corpus")
        for name in ("workers", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingsError(f"{name} is 1 or more, found {value}")
        if self.shard and not 0 <= self.shard[0] < self.shard[1]:
            raise SettingsError(
                f"shard {self.shard[0]}/{self.shard[1]}: the shards of {self.shard[1]} are "
                f"0/{self.shard[1]} to {self.shard[1] - 1}/{self.shard[1]}"
            )


@dataclass(frozen=True, slots=True)
class Share:
    """What a shard, i of n, is of the whole: its videos and clips."""

    shard: tuple[int, int]
    videos: int
    of_videos: int
    clips: int
    of_clips: int
    quarantined: int  # clips of its own without a file


@dataclass(slots=True)
class Outcome:
    """What a run did: the units worked on per stage, seconds per stage, and the estimate."""

    worked: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    estimate: Estimate | None = None
    quarantined: int = 0  # clips without a file
    unread: int = 0  # videos whose annotations could not be read
    planned: int | None = None  # clips, where planning came so far
    part: Share | None = None  # of a shard

    @property
    def status(self) -> int:
        """The exit status: 0 built, 1 built with clips or annotation files missing, or empty."""
        return 1 if self.quarantined or self.unread or self.planned == 0 else 0


def settled(request: Request) -> Request:
    """The request with what its corpus says itself, such as its classes.

    Of several sources none speaks for the others.
    """
    found = _sources_of(request)
    data = request.data or found[0].default_data(request.out)
    if len(found) > 1 or data is None:
        return request
    return replace(request, settings=sources.settled(found[0], data, request.settings))


def discover(request: Request, *, prepare: bool = False) -> dict[str, tuple[Source, Discovery]]:
    """The sources of a request by name, and what lies in the data folder of each.

    With ``prepare`` a source that makes its files itself does so before.

    Raises:
        SettingsError: a source that needs ``--data`` has none, or as :func:`_sources_of`.
        DataError: nothing of a source lies in its data folder.
    """
    found = {}
    for source in _sources_of(request):
        data = request.data or source.default_data(request.out)
        if data is None:
            raise SettingsError(f"source {source.name} needs --data, the folder of its files")
        if prepare:
            sources.prepare(source, data, request.settings, quiet=request.quiet)
        found[source.name] = source, source.discover(data, request.settings)
    return found


def placed(found: Mapping[str, tuple[Source, Discovery]], request: Request) -> Iterable[Entry]:
    """The videos of several sources, in key order, those that lie elsewhere looked up there.

    Raises:
        SettingsError: ``videos`` is no place.
        DataError: nothing lies there.
    """
    # A link that leads nowhere is a video that is not here.
    entries = (
        replace(e, video=None)
        if e.video and (request.without_videos or not e.video.is_file())
        else e
        for e in entries_of(found)
    )
    if request.without_videos or not request.videos:
        return entries
    named = {name: source for name, (source, _) in found.items()}
    return afar.placed(entries, named, request.videos, request.out)


def entries_of(found: Mapping[str, tuple[Source, Discovery]]) -> Iterator[Entry]:
    """The videos of several sources, in key order, one after the other."""

    def key(entry: Entry) -> Key:
        return entry.key

    def ordered(entries: Sequence[Entry]) -> Iterable[Entry]:
        pairs = itertools.pairwise(map(key, entries))
        return entries if all(a <= b for a, b in pairs) else sorted(entries, key=key)

    return heapq.merge(*(ordered(d.entries) for _, d in found.values()), key=key)


def check_named(request: Request) -> None:
    """Read the lists and maps that settings name, before any work: what is wrong is told at once.

    Raises:
        SettingsError: one that is not there or cannot be used.
        AnnotationError: a split list that cannot be read.
    """
    settings, names = request.settings, {s.name for s in _sources_of(request)}
    classes = labels.load_classes(settings.classes)
    for space, label_map in settings.labels.items():
        if space in names or space not in sources.BUILTIN:  # a preset's for another corpus is idle
            labels.load_map(label_map, classes)
    for name in names:
        labels.load_names(settings.of(name).crop.names)
    splits.load_lists(settings.partition)


def _sources_of(request: Request) -> list[Source]:
    """The sources of a request, each once.

    Raises:
        SettingsError: no such source, one given twice, or a setting for a source of no such name.
    """
    found = [sources.get(name) for name in request.sources]
    names = [s.name for s in found]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(
                f"source {name!r} is given {names.count(name)} times; give it once, or another "
                "`name` to one of the YAML files"
            )
    known = {*sources.names(), *names}
    settings = request.settings
    for setting, asked, meant in (
        ("by_source", settings.by_source, known),
        ("partition.lists", settings.partition.lists, known),
        ("labels", settings.labels, known | labels.DEFAULTS.keys()),
    ):
        for name in sorted(asked.keys() - meant):
            raise SettingsError(
                f"setting {setting}.{name}: nothing has this name; known are "
                f"{', '.join(sorted(meant))}"
            )
    return found
