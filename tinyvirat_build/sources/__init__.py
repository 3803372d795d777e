"""What a corpus is: its files, dialects, labels, cameras and videos.

:func:`get` finds a source by name, or makes one of a user's YAML file. A new corpus is one module
with an object ``SOURCE`` that follows :class:`Source`, registered as an entry point of the group
``tinyvirat_build.sources``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final, Literal, Protocol, cast

from tinyvirat_build.errors import SettingsError
from tinyvirat_build.formats import Dialect
from tinyvirat_build.records import Issue, Key
from tinyvirat_build.remote.objects import RemoteFile
from tinyvirat_build.settings import Settings
from tinyvirat_build.store.userfiles import nearest

BUILTIN: Final = ("demo", "meva", "virat")
ENTRY_POINTS: Final = "tinyvirat_build.sources"


@dataclass(frozen=True, slots=True)
class Region:
    """A polygon (pixels) in which activities are ignored, or to which they are restricted."""

    kind: Literal["ignore", "only"]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """One annotation set of an entry that unites several; ``files`` of them are its own."""

    annotation_set: str
    format: str
    namespace: str
    dialect: Dialect
    files: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One video of a corpus in one annotation set: everything that parse needs to know of it."""

    source: str
    video_id: str
    annotation_set: str
    format: str  # one of formats.READERS
    files: tuple[Path, ...]
    video: Path | None  # the video's file, if it is present
    namespace: str  # which label map reads its names: "meva", "virat", "virat-text", …
    camera: str = ""
    scene: str = ""
    session: str = ""  # the default group of the partition: MEVA's time slot, VIRAT's session
    width: int = 1920  # assumed until the video is indexed
    height: int = 1080
    fps: str = "30"
    dialect: Dialect = ""
    mapping: tuple[tuple[str, tuple[str, ...]], ...] | None = None  # a user's own label map
    regions: tuple[Region, ...] = ()
    parts: tuple[Part, ...] = ()  # where several annotation sets are united, in order of priority
    same_boxes: bool = False  # whether actors with the same boxes are one
    first_frame: int = 0  # of tables: the number of the first frame
    inclusive: bool = False  # and whether an end belongs to its span
    remote: RemoteFile | None = None  # where the video lies; what is here of it is at ``video``
    no_geometry: str = ""  # what to tell of activities without a box, where that has a known cause

    @property
    def key(self) -> Key:
        """What names it in every table."""
        return Key(self.source, self.video_id, self.annotation_set)


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a source found below the data folder; the entries are ordered by their keys.

    ``others`` are annotations that are there but not read: sets that the settings do not name,
    or of lower priority. ``videos`` are all video files of the corpus, annotated or not, and
    ``unplaced`` annotation files that belong to no known set.
    """

    entries: Sequence[Entry]
    issues: tuple[tuple[str, Issue], ...] = ()  # (video_id, issue)
    others: tuple[Entry, ...] = ()
    videos: tuple[tuple[str, Path], ...] = ()
    unplaced: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Home:
    """Where a corpus lies for all; or, without a bucket, how each user gets it."""

    terms: str  # what is told of its use, and where each user gets what cannot be fetched
    bucket: str = ""  # the address of its videos' bucket
    annotations: str = ""  # and of the archive of its annotations
    folder: str = ""  # in which the archive is unpacked below the data folder
    prefixes: Callable[[str], tuple[str, ...]] = lambda video_id: ()
    """video_id -> where in the bucket it may lie, in order; a last one is below any folder"""
    file_of: Callable[[str], tuple[str, int] | None] = lambda name: None
    """name of a file -> the video_id that it holds, and its rank: the lowest is fetched"""
    date_of: Callable[[str], str] = lambda video_id: ""  # YYYY-MM-DD
    is_annotation: Callable[[str], bool] = lambda name: False  # by its name


class Source(Protocol):
    """A corpus. A new one is one file in ``sources/`` or an entry point.

    It may have a ``citation`` too, its own paper in BibTeX, for the card of what is built of it.
    """

    @property
    def name(self) -> str:
        """The word that ``--source`` takes, and the key column of every table."""
        ...

    @property
    def attribution(self) -> str:
        """The text of the ATTRIBUTION file for this corpus."""
        ...

    @property
    def license_text(self) -> str:
        """The name or a short text of the annotations' licence."""
        ...

    def discover(self, data: Path, settings: Settings) -> Discovery:
        """Find annotations and videos by their known names at any depth below ``data``.

        Raises:
            DataError: nothing of the corpus lies there; the message says what was looked for.
        """
        ...

    def default_data(self, out: Path) -> Path | None:
        """The data folder where the user names none; None if they must name one."""
        ...


def prepare(source: Source, data: Path, settings: Settings, *, quiet: bool) -> None:
    """Make what a source makes itself, before it is discovered; only a build does this.

    A source that has something to make has a method ``prepare(data, settings, quiet=…)``.
    """
    make = getattr(source, "prepare", None)
    if make is not None:
        make(data, settings, quiet=quiet)


def settled(source: Source, data: Path, settings: Settings) -> Settings:
    """The settings with what a corpus says itself, where nothing else was asked for.

    A source that has something to say has a method ``settle(data, settings)``.
    """
    settle = getattr(source, "settle", None)
    return settings if settle is None else cast(Settings, settle(data, settings))


def home_of(source: Source) -> Home | None:
    """Where a corpus lies for all; a source that knows it has an attribute ``home``."""
    return getattr(source, "home", None)


def names() -> list[str]:
    """The names of all sources: those of the package and those of entry points."""
    return sorted({*BUILTIN, *(p.name for p in entry_points(group=ENTRY_POINTS))})


def get(name: str) -> Source:
    """The source of that name, or the one that a YAML file describes.

    Raises:
        SettingsError: no such source, or the YAML file cannot be used; with file and key.
    """
    if name.endswith((".yaml", ".yml")):
        load = importlib.import_module("tinyvirat_build.sources.described").load
        return cast(Callable[[Path], Source], load)(Path(name))
    if name in BUILTIN:
        return cast(Source, importlib.import_module(f"tinyvirat_build.sources.{name}").SOURCE)
    for point in entry_points(group=ENTRY_POINTS):
        if point.name == name:
            return cast(Source, point.load())
    raise SettingsError(
        f"no source {name!r}{nearest(name, names())}; the sources are {', '.join(names())}, or a "
        ".yaml file"
    )
