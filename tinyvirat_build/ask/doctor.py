"""What a data folder holds for a source, what it lacks, and what its annotations get wrong.

Nothing is written and no video is decoded; every annotation that a build would read is read.
"""

from __future__ import annotations

import contextlib
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

import av

from tinyvirat_build import labels, progress
from tinyvirat_build.ask.cautions import beside_known, cautions
from tinyvirat_build.errors import AnnotationError, DataError
from tinyvirat_build.formats.actev_json import dialect_of
from tinyvirat_build.formats.safety import shown
from tinyvirat_build.records import REASONS
from tinyvirat_build.settings import Settings
from tinyvirat_build.sources import Discovery, Entry, Source, settled
from tinyvirat_build.sources.files import is_folder
from tinyvirat_build.sources.parse import Parsed, map_of, parse_entry
from tinyvirat_build.store import many
from tinyvirat_build.video.opening import open_source, video_stream

_EXPECTED: Final = {
    "kpf": ("activities", "geom", "types"),
    "virat-text": ("events", "objects", "mapping"),
}
_EXAMPLES: Final = 3
_NEAREST: Final = 100  # unknown names whose likeness is sought; each takes milliseconds


@dataclass(frozen=True, slots=True)
class SetReport:
    """One annotation set: how many videos, in which formats, and whether a build reads it."""

    name: str
    videos: int
    read: int
    formats: tuple[tuple[str, int], ...]  # ("actev-json, inclusive", 5)
    lacking: tuple[tuple[str, int], ...]  # ("geom", 28): videos without that file


@dataclass(frozen=True, slots=True)
class NameReport:
    """One annotated name: its activities and what the label map says of it."""

    name: str
    activities: int
    labels: tuple[str, ...] | None  # None: unknown to the map
    nearest: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of issue: how often, in how many videos, and where first."""

    reason: str
    action: str
    count: int
    videos: int
    example: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What :func:`diagnose` found; ``problems`` is empty where a build can begin."""

    source: str
    data: Path
    sets: tuple[SetReport, ...] = ()
    annotated: int = 0  # videos that a build reads
    without_video: tuple[str, ...] = ()
    without_annotation: tuple[str, ...] = ()
    unplaced: tuple[Path, ...] = ()
    names: tuple[NameReport, ...] = ()
    faults: tuple[Fault, ...] = ()
    dialects: tuple[str, ...] = ()  # where boxes contradict the dialect
    sizes: tuple[str, ...] = ()  # where a video's size is not the one of its source
    unreadable: tuple[str, ...] = ()  # files that are no video
    known: tuple[str, ...] = ()  # inputs that the preset knows with other videos
    cautions: tuple[str, ...] = ()  # what makes the dataset of less use than it looks
    records: int = 0
    kept: int = 0
    boxes: int = 0
    problems: tuple[str, ...] = field(default=())

    def render(self) -> str:
        """The diagnosis as text for a terminal of 100 columns."""
        return "\n".join(_render(self))


def diagnose(source: Source, data: Path, settings: Settings) -> Diagnosis:
    """Read everything that a build of ``source`` would read below ``data`` and report on it.

    Raises:
        DataError: there is no such folder.
        SettingsError: the class list, a label map or a setting of the source cannot be used.
    """
    problems: list[str] = []
    if is_folder(data):
        settings = settled(source, data, settings)
    try:
        # A source may offer a survey, which also lists what its settings leave unread.
        look = cast(
            Callable[[Path, Settings], Discovery], getattr(source, "survey", source.discover)
        )
        found = look(data, settings)
        if not found.entries:
            source.discover(data, settings)
    except DataError as e:
        if not data.is_dir():
            raise
        problems.append(str(e))
        found = found if "found" in locals() else Discovery(())
    parsed: list[Parsed] = []
    sizes: list[str] = []
    unreadable: list[str] = []
    for entry in progress.counted(found.entries, len(found.entries), "annotations", "video"):
        width, height = _picture(entry, sizes, unreadable)
        parsed.append(parse_entry(entry, settings, width=width, height=height))
    faults = _faults(found, parsed)
    names = _names(found.entries, parsed, settings)
    problems += [
        f"{many(f.count, 'annotation file')} cannot be read, e.g. {f.example}"
        for f in faults
        if f.reason == "unreadable" and f.action == "quarantined"
    ]
    records = sum(int(p.balance["records_in"].sum()) for p in parsed)
    kept = sum(len(p.activities) for p in parsed)
    if records and not kept:
        problems.append(_nothing_kept(records, faults))
    elif parsed and not any(n.labels for n in names):
        problems.append("no activity has a label in the class list; see --set labels and classes")
    present = {video_id for video_id, _ in found.videos}
    read = {e.video_id for e in found.entries}
    known = read | {e.video_id for e in found.others}
    return Diagnosis(
        source=source.name,
        data=data,
        sets=_sets(found),
        annotated=len(read),
        without_video=tuple(e.video_id for e in found.entries if e.video is None),
        without_annotation=tuple(sorted(present - known)),
        unplaced=found.unplaced,
        names=names,
        faults=faults,
        dialects=_dialects(parsed),
        sizes=tuple(sizes),
        unreadable=tuple(unreadable),
        known=beside_known(found.entries, settings),
        cautions=tuple(cautions(found.entries, parsed, settings)),
        records=records,
        kept=kept,
        boxes=sum(len(p.boxes) for p in parsed),
        problems=tuple(problems),
    )


def _nothing_kept(records: int, faults: Sequence[Fault]) -> str:
    """Why no activity is left, by what took most of them."""
    fallen = [f for f in faults if f.action in ("dropped", "quarantined")]
    why = f", most as {fallen[0].reason} ({REASONS[fallen[0].reason]})" if fallen else ""
    return f"none of {records:,} activity records is kept{why}"


def _picture(entry: Entry, sizes: list[str], unreadable: list[str]) -> tuple[int, int]:
    """The size of an entry's picture: of its video where that is present, else as assumed."""
    if entry.video is None:
        return entry.width, entry.height
    size = None
    with contextlib.suppress(av.FFmpegError, OSError), open_source(entry.video) as container:
        stream = video_stream(container)
        size = stream and (stream.width, stream.height)
    if size is None:
        unreadable.append(entry.video.name)
        return entry.width, entry.height
    width, height = size
    if (width, height) != (entry.width, entry.height):
        sizes.append(f"{entry.video.name}: {width}x{height}, not {entry.width}x{entry.height}")
    return width, height


def _sets(found: Discovery) -> tuple[SetReport, ...]:
    by_set: dict[str, list[tuple[Entry, bool]]] = {}
    for entries, is_read in ((found.entries, True), (found.others, False)):
        for entry in entries:
            by_set.setdefault(entry.annotation_set, []).append((entry, is_read))
    reports = []
    for name, members in by_set.items():
        formats = Counter(map(_format_of, (e for e, _ in members)))
        lacking = Counter(
            kind
            for e, _ in members
            for kind in _EXPECTED.get(e.format, ())
            if not any(kind in f.name for f in e.files)
        )
        n_read = sum(is_read for _, is_read in members)
        reports.append(
            SetReport(
                name,
                len(members),
                n_read,
                tuple(formats.most_common()),
                tuple(sorted(lacking.items())),
            )
        )
    return tuple(sorted(reports, key=lambda r: (-r.read, r.name)))


def _format_of(entry: Entry) -> str:
    """Format and dialect; one that no source tells is read off the boxes."""
    if entry.dialect or entry.format != "actev-json":
        return f"{entry.format}, {entry.dialect}" if entry.dialect else entry.format
    try:
        return f"{entry.format}, {dialect_of(entry.video_id, entry.files)} by its boxes"
    except AnnotationError:
        return entry.format


def _names(
    entries: Sequence[Entry], parsed: Sequence[Parsed], settings: Settings
) -> tuple[NameReport, ...]:
    counts: Counter[str] = Counter()
    maps: dict[str, labels.LabelMap] = {}
    for entry, p in zip(entries, parsed, strict=True):
        label_map = map_of(entry, settings)
        for name in [*p.activities["name"], *p.without_geometry["name"]]:
            counts[name] += 1
            maps.setdefault(name, label_map)
    reports = []
    sought = 0
    for name, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        found = maps[name].labels_of(name)
        near = None
        if found is None and sought < _NEAREST:
            near, sought = maps[name].nearest(name), sought + 1
        reports.append(NameReport(name, n, found, near))
    return tuple(reports)


def _faults(found: Discovery, parsed: Sequence[Parsed]) -> tuple[Fault, ...]:
    counts: Counter[tuple[str, str]] = Counter()
    videos: dict[tuple[str, str], set[str]] = {}
    examples: dict[tuple[str, str], str] = {}

    def note(video: str, reason: str, action: str, count: int, file: object, line: object) -> None:
        key = (reason, action)
        counts[key] += count
        videos.setdefault(key, set()).add(video)
        place = str(file) if isinstance(file, str) else video
        if isinstance(line, int | float) and line == line and line:
            place += f":{int(line)}"
        examples.setdefault(key, place)

    for video, issue in found.issues:
        note(video, issue.reason, issue.action, issue.count, issue.file, issue.line)
    columns = ("video_id", "reason", "action", "count", "file", "line")
    for p in parsed:
        for row in zip(*(p.issues[c].tolist() for c in columns), strict=True):
            note(*row)
    return tuple(
        Fault(*key, count, len(videos[key]), examples[key])
        for key, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


def _dialects(parsed: Iterable[Parsed]) -> tuple[str, ...]:
    return tuple(
        f"{video}: {detail}"
        for p in parsed
        if (p.issues["reason"] == "dialect").any()
        for video, reason, detail in zip(
            p.issues["video_id"], p.issues["reason"], p.issues["detail"], strict=True
        )
        if reason == "dialect"
    )


def _render(d: Diagnosis) -> Iterable[str]:
    yield f"Source {d.source} below {shown(str(d.data))}"
    for caution in d.cautions:
        yield from textwrap.wrap(caution, 98, subsequent_indent="  ")
    yield from _render_sets(d)
    yield from _render_videos(d)
    if d.annotated:
        yield from _render_labels(d)
        yield from _render_faults(d)
        yield ""
        yield "Dialects"
        yield from _listed(
            d.dialects,
            "contradicted by boxes:",
            "no boxes contradict the dialect of their set",
        )
    elif d.faults:
        yield from _render_faults(d)
    yield ""
    if not d.problems:
        missing = len(d.without_video)
        yield (
            "Ready to build."
            if not missing
            else f"Ready to plan. Cutting needs the {many(missing, 'missing video')}, or --set "
            "videos.missing=skip."
        )
    for problem in d.problems:
        yield from textwrap.wrap(f"Problem: {problem}", 98, subsequent_indent="  ")


def _render_sets(d: Diagnosis) -> Iterable[str]:
    if not d.sets:
        return
    yield ""
    yield f"{'Annotation sets':<26}{'videos':>8}{'read':>8}   format, dialect"
    for s in d.sets:
        formats = "; ".join(f"{n:,} {f}" if len(s.formats) > 1 else f for f, n in s.formats)
        yield f"  {s.name:<24}{s.videos:>8,}{s.read:>8,}   {formats}"
        for kind, n in s.lacking:
            yield f"{'':45}{n:,} without their {kind} file"


def _render_videos(d: Diagnosis) -> Iterable[str]:
    yield ""
    yield "Videos"
    present = d.annotated - len(set(d.without_video))
    yield f"  {d.annotated:,} annotated, {present:,} of them with their video file"
    yield from (f"  {line}" for line in d.known)
    yield from _listed(d.without_video, "no video file for", "")
    yield from _listed(d.without_annotation, "no annotation for", "")
    yield from _listed(d.unreadable, "files that are no readable video:", "")
    yield from _listed(
        d.sizes, "measured, and used instead of the size of the source's cameras:", ""
    )
    unplaced = [str(_below(p, d.data)) for p in d.unplaced]
    yield from _listed(unplaced, "annotation files that belong to no set or are incomplete:", "")


def _render_labels(d: Diagnosis) -> Iterable[str]:
    mapped = [n for n in d.names if n.labels]
    none = [n for n in d.names if n.labels == ()]
    unknown = [n for n in d.names if n.labels is None]
    total = sum(n.activities for n in d.names) or 1
    yield ""
    yield "Labels"
    for text, group in (
        ("with a class", mapped),
        ("expressly without", none),
        ("unknown to the map", unknown),
    ):
        count = sum(x.activities for x in group)
        names = "name " if len(group) == 1 else "names"
        yield f"  {len(group):>3} {names} {text:<20}{count:>8,} activities{count / total:>7.1%}"
    width = max((len(n.name) for n in d.names), default=0)
    for n in d.names:
        if n.labels is None:
            means = "unknown" + (f"; nearest: {n.nearest}" if n.nearest else "")
        else:
            means = ", ".join(n.labels) or "–"
        yield f"    {n.activities:>7,}  {n.name:<{width}}  {means}"


def _render_faults(d: Diagnosis) -> Iterable[str]:
    yield ""
    yield "Annotations"
    yield f"  {d.records:,} activity records, {d.kept:,} kept, {d.records - d.kept:,} left out"
    yield f"  {d.boxes:,} boxes"
    width = max((len(f.reason) for f in d.faults), default=0)
    for f in d.faults:
        videos = f"in {many(f.videos, 'video')}"
        yield f"    {f.count:>7,}  {f.action:<12}{f.reason:<{width}}  {videos}: {REASONS[f.reason]}"
        yield f"{'':25}first {f.example}"


def _listed(items: Sequence[str], what: str, nothing: str) -> Iterable[str]:
    if not items:
        if nothing:
            yield f"  {nothing}"
        return
    yield f"  {what} {len(items):,}"
    for item in items[:_EXAMPLES]:
        yield f"    {shown(item)}"
    if len(items) > _EXAMPLES:
        yield f"    … and {len(items) - _EXAMPLES:,} more"


def _below(path: Path, data: Path) -> Path:
    return path.relative_to(data) if path.is_relative_to(data) else path
