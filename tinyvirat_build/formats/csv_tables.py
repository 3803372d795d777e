"""A pair of tables, ``boxes.csv`` and ``activities.csv``, of any number of videos.

``boxes.csv`` has the columns video, track, frame (or seconds), x1, y1, x2, y2; ``activities.csv``
video, activity, name, start, end, tracks. Columns stand in any order, others are not read. What
the first frame's number is and whether an end belongs to its span, the corpus says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Final

from tinyvirat_build.errors import AnnotationError
from tinyvirat_build.formats.assemble import STAGE, MalformedError, RawActivity, RawBoxes, assemble
from tinyvirat_build.formats.faults import Issues, none_among, one_of_each
from tinyvirat_build.formats.options import ReadOptions
from tinyvirat_build.formats.rows import BoxRows, TextRow, identity, integer, real, row_of, rows_of
from tinyvirat_build.formats.safety import read_bytes, refuse_unsafe_video
from tinyvirat_build.formats.videos import video_of
from tinyvirat_build.records import Issue, VideoAnnotation

BOXES: Final = ("video", "track", "x1", "y1", "x2", "y2")
ACTIVITIES: Final = ("video", "activity", "name", "start", "end", "tracks")

_BETWEEN = re.compile(r"[;\s]+")
_KIND = re.compile(r"(?:^|[.-])(activities|boxes)\.csv$")


def file_kind(path: Path) -> str | None:
    """Which of the two tables this is, by its name.

    >>> file_kind(Path("boxes.csv")), file_kind(Path("day1.activities.csv"))
    ('boxes', 'activities')
    """
    match = _KIND.search(path.name)
    return match.group(1) if match else None


def read(video_id: str, files: Sequence[Path], options: ReadOptions) -> VideoAnnotation:
    """Read one video's rows of the two tables; ``records_in`` counts those of activities.

    Without a table of boxes every activity becomes an issue ``no_geometry``.

    Raises:
        AnnotationError: no table of activities, or one that lacks a column or cannot be read.
    """
    refuse_unsafe_video(video_id, files)
    issues = Issues()
    paths = one_of_each(files, file_kind, issues)
    if "activities" not in paths:
        raise none_among(
            files,
            "activities.csv",
            video_id,
            f"give a table with the columns {', '.join(ACTIVITIES)}",
        )
    clock = _Clock(options.first_frame, options.inclusive, float(Fraction(options.fps)))
    boxes = RawBoxes()
    if "boxes" in paths:
        table = _Table.open(paths["boxes"], BOXES)
        clock.in_seconds = table.in_seconds()
        boxes = _boxes(table, video_id, clock, issues)
    table = _Table.open(paths["activities"], ACTIVITIES)
    activities, records_in = _activities(table, video_id, clock, issues)
    return assemble(
        video_id,
        activities,
        boxes,
        {},
        issues,
        options,
        records_in=records_in,
        file=paths["activities"].name,
        no_geometry="" if "boxes" in paths else "boxes.csv is missing",
    )


def videos_in(path: Path) -> tuple[set[str], list[Issue]]:
    """The videos that a table names, and the rows from which none can be told.

    Raises:
        AnnotationError: the table lacks a column or cannot be read.
    """
    table = _Table.open(path, ("video",))
    names: set[str] = set()
    unsure: list[tuple[str, TextRow]] = []
    for row in rows_of(table.data, 2):
        name = table.video(row)
        if row.broken or not name:
            unsure.append((name, row))
        else:
            names.add(name)
    issues = Issues()
    for row in (row for name, row in unsure if name not in names):
        issues.append(_malformed(table, row, "a row that names no video", "quarantined"))
    return names, [replace(issue, stage="discover") for issue in issues]


@dataclass(slots=True)
class _Clock:
    """How what a table says of time becomes frames."""

    first_frame: int
    inclusive: bool
    rate: float
    in_seconds: bool = False

    def frame(self, text: str, what: str) -> int:
        """The frame, 0-based, that a cell names."""
        if not self.in_seconds:
            return integer(text, what) - self.first_frame
        frame = math.floor(real(text, what) * self.rate + 0.5) if len(text) < 40 else math.inf
        if not abs(frame) < 1 << 31:
            raise MalformedError(f"{what} is out of range")
        return int(frame)

    def end(self, text: str) -> int:
        """The frame after the last one of a span."""
        return self.frame(text, "end") + self.inclusive


@dataclass(slots=True)
class _Table:
    """A table's text and where its columns stand."""

    path: Path
    data: bytes
    column: dict[str, int]

    @classmethod
    def open(cls, path: Path, needed: Sequence[str]) -> _Table:
        """Read a table whose first line names its columns."""
        data = read_bytes(path)
        head = row_of(1, data.partition(b"\n")[0].decode().rstrip("\r")).cells
        column: dict[str, int] = {}
        for at, name in enumerate(head):
            column.setdefault(name.lower(), at)
        missing = [name for name in needed if name not in column]
        if missing:
            raise AnnotationError(
                f"no column {missing[0]!r}",
                file=path,
                line=1,
                remedy=f"begin the table with a line that names {', '.join(needed)}",
            )
        return cls(path, data, column)

    def in_seconds(self) -> bool:
        """Whether times are seconds: there is no column of frames, but one of seconds."""
        if "frame" not in self.column and "seconds" not in self.column:
            raise AnnotationError(
                "no column 'frame' or 'seconds'", file=self.path, line=1, remedy="add one of them"
            )
        return "frame" not in self.column

    def video(self, row: TextRow) -> str:
        """The video that a row speaks of; empty if it is too short to name one."""
        at = self.column["video"]
        return video_of(row.cells[at]) if at < len(row.cells) else ""

    def rows(self, video_id: str) -> Iterator[TextRow]:
        """The rows of one video."""
        return (r for r in rows_of(self.data, 2, video_id) if self.video(r) == video_id)

    def cells(self, row: TextRow, names: Sequence[str]) -> list[str]:
        """Some cells of a row."""
        if row.broken:
            raise MalformedError("quotes that do not close, or stand inside a cell")
        if len(row.cells) <= max(self.column[name] for name in names):
            raise MalformedError(f"{len(row.cells)} cells in a table of {len(self.column)} columns")
        return [row.cells[self.column[name]] for name in names]


def _boxes(table: _Table, video_id: str, clock: _Clock, issues: Issues) -> RawBoxes:
    found = BoxRows(table.path)
    names = (*BOXES[1:], "seconds" if clock.in_seconds else "frame")
    for row in table.rows(video_id):
        try:
            track, *corners, time = table.cells(row, names)
            box = [real(c, n) for c, n in zip(corners, BOXES[2:], strict=True)]
            found.add(identity(track, "track"), clock.frame(time, names[-1]), box, row.line)
        except MalformedError as e:
            issues.append(_malformed(table, row, str(e), "noted"))
    return found.boxes()


def _activities(
    table: _Table, video_id: str, clock: _Clock, issues: Issues
) -> tuple[list[RawActivity], int]:
    """The activities of a video and the number of its rows."""
    found: list[RawActivity] = []
    count = 0
    for row in table.rows(video_id):
        count += 1
        try:
            activity, name, start, end, tracks = table.cells(row, ACTIVITIES[1:])
            if not activity or not name:
                raise MalformedError("no activity or no name")
            actors = dict.fromkeys(identity(t, "track") for t in _BETWEEN.split(tracks) if t)
            span = clock.frame(start, "start"), clock.end(end)
        except MalformedError as e:
            issues.append(_malformed(table, row, str(e), "dropped"))
            continue
        found.append(RawActivity(activity, name, *span, tuple(actors), line=row.line))
    return found, count


def _malformed(table: _Table, row: TextRow, detail: str, action: str) -> Issue:
    record = f"line {row.line}"
    return Issue(STAGE, "malformed", action, record, table.path.name, row.line, detail=detail)
