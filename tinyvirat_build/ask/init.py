"""A first description of a folder of annotations and videos, as the YAML file of a corpus."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import yaml

from tinyvirat_build.errors import AnnotationError, DataError, SettingsError
from tinyvirat_build.formats import READERS
from tinyvirat_build.formats.actev_json import dialect_of
from tinyvirat_build.formats.safety import safe_name, shown
from tinyvirat_build.records import VideoAnnotation
from tinyvirat_build.settings import Settings
from tinyvirat_build.sources import BUILTIN, Entry
from tinyvirat_build.sources.custom import Custom
from tinyvirat_build.sources.files import is_folder
from tinyvirat_build.sources.parse import read
from tinyvirat_build.video.opening import open_source, video_stream

TRIED: Final = 3  # annotations of each format that are read to tell which it is
OPENED: Final = 3  # videos whose size, rate and length are looked at


@dataclass(frozen=True, slots=True)
class Facts:
    """What a video's container says of it; ``frames`` is 0 where it does not."""

    width: int
    height: int
    fps: str
    frames: int


@dataclass(frozen=True, slots=True)
class Draft:
    """What was recognised in a folder."""

    folder: Path
    format: str
    dialect: str
    entries: tuple[Entry, ...]
    names: Counter[str]
    unread: int
    pictures: dict[str, Facts]  # of some videos
    ends: dict[str, int]  # where the last activity of each of these ends

    def render(self) -> str:
        """The YAML file, with comments for whoever goes on with it."""
        return "\n".join([*_head(self), *_frames(self), *_names(self), *_rest()]) + "\n"


def recognise(folder: Path, form: str = "") -> Draft:
    """Find out what a folder holds: the format, the videos, the names, the base of the frames.

    ``form`` names the format; else it is the one in which most videos can be read.

    Raises:
        DataError: there is no such folder, or no annotation in it that a format can read.
        SettingsError: no such format.
    """
    if form and form not in READERS:
        raise SettingsError(f"--format: one of {', '.join(READERS)}, found {form!r}")
    if not is_folder(folder):
        raise DataError(f"no folder {folder}; give the folder of the annotations and videos")
    settings = Settings()
    found = {name: _entries(folder, name, settings) for name in ([form] if form else READERS)}
    scores = {name: _readable(entries, settings) for name, entries in found.items()}
    best = max(scores, key=scores.__getitem__)
    entries = found[best]
    if not scores[best][0]:
        tried = f"as {form}" if form else f"in any of the formats {', '.join(READERS)}"
        raise DataError(
            f"nothing below {folder} can be read {tried}; docs/formats.md says how files of each "
            "format are called, and `tinyvirat-build doctor` what is wrong with one"
        )
    names: Counter[str] = Counter()
    pictures: dict[str, Facts] = {}
    ends: dict[str, int] = {}
    unread, dialect = 0, ""
    for entry in entries:
        if (annotation := _read(entry, settings)) is None:
            unread += 1
            continue
        if best == "actev-json" and not dialect:
            dialect = dialect_of(entry.video_id, entry.files)
        names.update(_activities(annotation))
        if len(pictures) < OPENED and (picture := _picture(entry.video)):
            pictures[entry.video_id] = picture
            ends[entry.video_id] = int(annotation.activities["end"].to_numpy().max(initial=0))
    return Draft(folder, best, dialect, entries, names, unread, pictures, ends)


def _entries(folder: Path, form: str, settings: Settings) -> tuple[Entry, ...]:
    source = Custom(folder / "corpus.yaml", "corpus", form)
    try:
        return tuple(source.survey(folder, settings).entries)
    except DataError:
        return ()


def _readable(entries: Sequence[Entry], settings: Settings) -> tuple[int, int]:
    """How many videos of a format there seem to be, and activities in those that are tried."""
    tried = [_read(entry, settings) for entry in entries[:TRIED]]
    counts = [_activities(found).total() for found in tried if found is not None]
    good = sum(n > 0 for n in counts)
    return len(entries) * good // max(len(tried), 1), sum(counts)


def _activities(found: VideoAnnotation) -> Counter[str]:
    """How many activities there are of each name, with boxes or without."""
    tables = (found.activities, found.without_geometry)
    return Counter(str(name) for t in tables if t is not None for name in t["name"])


def _read(entry: Entry, settings: Settings) -> VideoAnnotation | None:
    try:
        return read(replace(entry, mapping=()), settings)
    except AnnotationError:
        return None


def _picture(video: Path | None) -> Facts | None:
    if video is None:
        return None
    try:
        with open_source(video) as container:
            stream = video_stream(container)
            if stream is None:
                return None
            rate = Fraction(stream.average_rate or 30)
            return Facts(stream.width, stream.height, str(rate), int(stream.frames or 0))
    except (OSError, av.FFmpegError):
        return None


def _head(draft: Draft) -> Iterable[str]:
    videos = sum(e.video is not None for e in draft.entries)
    lacking = len(draft.entries) - videos
    name = draft.folder.resolve().name
    name = name if safe_name(name) and name not in BUILTIN else "corpus"
    found = f"annotated videos ({len(draft.entries)})"
    yield f"# A corpus of {found}, described by tinyvirat-build init."
    yield "# Correct what is wrong; `tinyvirat-build doctor --source` this file checks it."
    yield f"name: {_plain(name)}"
    yield f"format: {draft.format}"
    if draft.dialect:
        yield f"dialect: {draft.dialect}  # read off the boxes of the first file"
    files = [f for e in draft.entries for f in e.files]
    yield f"annotations: {_plain(_below(draft.folder, files))}"
    if videos:
        there = [e.video for e in draft.entries if e.video]
        told = f"  # {lacking} of the annotations have none here" if lacking else ""
        yield f"videos: {_plain(_below(draft.folder, there))}{told}"
    else:
        yield "# videos: FOLDER  # none was found; a video is called as its annotation is"
    if draft.unread:
        yield f"# {draft.unread} annotations cannot be read; doctor says why."


def _frames(draft: Draft) -> Iterable[str]:
    seen = list(draft.pictures.values())
    if seen:
        common = Counter((p.width, p.height, p.fps) for p in seen).most_common(1)[0][0]
        for key, value in zip(("width", "height", "fps"), common, strict=True):
            yield f"{key}: {value}"
    for video_id, picture in draft.pictures.items():
        end = draft.ends[video_id]
        if picture.frames and end > picture.frames:
            beyond = end - picture.frames
            yield (
                f"# {shown(video_id)}: the last activity ends {beyond} frames after the video's "
                f"{picture.frames}: does the annotation count from 1, or is it another video's?"
            )


def _names(draft: Draft) -> Iterable[str]:
    yield "classes: auto  # every annotated name; or a list of names, or a .csv file"
    yield "# To give other names, or to join some, say which class each is ([] for none):"
    yield "# labels:"
    for name, count in sorted(draft.names.items()):
        yield f"#   {_plain(shown(name))}: {_plain(shown(name))}  # {count:,}"


def _rest() -> Iterable[str]:
    yield "# Videos whose names match alike never part between train, val and test:"
    yield '# group: "cam\\\\d+_(day\\\\d+)"'
    yield "# attribution: who made it"
    yield "# license: its licence"


def _below(folder: Path, files: Iterable[Path]) -> str:
    """The folder that holds all of some files, as seen from ``folder``."""
    return os.path.relpath(os.path.commonpath({str(f.parent) for f in files}), folder)


def _plain(text: str) -> str:
    """A text as YAML on one line."""
    return yaml.safe_dump(text, width=10_000, allow_unicode=True).removesuffix("...\n").strip()
