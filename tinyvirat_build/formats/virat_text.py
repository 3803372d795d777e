"""VIRAT Release 2.0: events, objects and mapping as columns of integers.

Three files a clip, ``CLIP.viratdata.{events,objects,mapping}.txt``; frames 0-based, ends
inclusive. An event's actors are the objects that the mapping flags; an event without any, or
whose objects have no box in its span, is followed by its own boxes (actor ``event:4``). Names of
activities are the event types as written, ``1`` to ``12``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from tinyvirat_build.formats.assemble import STAGE, RawActivity, RawBoxes, assemble
from tinyvirat_build.formats.faults import Issues, none_among, one_of_each
from tinyvirat_build.formats.options import ReadOptions
from tinyvirat_build.formats.safety import read_bytes, refuse_unsafe_video
from tinyvirat_build.geometry.arrays import Bools, Ints
from tinyvirat_build.records import Issue, VideoAnnotation

OBJECT_TYPES: Final = {1: "person", 2: "car", 3: "vehicle", 4: "object", 5: "bike"}

_KIND = re.compile(r"\.(events|objects|mapping)\.txt$")
_NUMBER = re.compile(rb"-?[0-9]{1,9}")


def file_kind(path: Path) -> str | None:
    """Which of a clip's three files this is, by its name.

    >>> file_kind(Path("VIRAT_S_000001.viratdata.mapping.txt"))
    'mapping'
    """
    match = _KIND.search(path.name)
    return match.group(1) if match else None


def read(video_id: str, files: Sequence[Path], options: ReadOptions) -> VideoAnnotation:
    """Read one clip's text files; a clip may have objects only.

    ``records_in`` counts the distinct events of the events and mapping files; rows of one id with
    another type or span are another event. A line that is no row of integers is an issue, and so
    is a box that was never written (glued triples), and a mapping that contradicts the events.

    Raises:
        AnnotationError: none of the three files is given, or one cannot be read.
    """
    refuse_unsafe_video(video_id, files)
    issues = Issues()
    paths = one_of_each(files, file_kind, issues)
    if not paths:
        raise none_among(
            files,
            "VIRAT text file",
            video_id,
            "give CLIP.viratdata.events.txt, .objects.txt and .mapping.txt",
        )
    events = _rows(paths.get("events"), 10, issues)
    objects = _rows(paths.get("objects"), 8, issues)
    mapping = _mapping(paths.get("mapping"), issues)

    spans = _events_of(events, mapping, paths.get("mapping"), issues)
    object_boxes = _boxes(objects, objects.values[:, 0], 2, paths.get("objects"))
    object_ids = [str(i) for i in object_boxes.ids]
    frames_of = _frames_of(object_boxes)
    own_boxes = _boxes(events, events.values[:, 0], 5, paths.get("events"))

    activities = []
    followed: set[str] = set()  # events that are followed by their own boxes
    for (event, event_type, start, last), (line, flags) in spans.items():
        flagged = [str(i) for i in flags]
        if not any(_meets(frames_of.get(i), start, last) for i in flagged):
            followed.add(str(event))
            flagged.append(f"event:{event}")
        activities.append(
            RawActivity(str(event), str(event_type), start, last + 1, tuple(flagged), line=line)
        )
    wanted = np.array([i in followed for i in own_boxes.ids], bool)
    own_boxes.ids = [f"event:{i}" for i in own_boxes.ids]
    own_boxes = own_boxes.take(wanted[own_boxes.code])
    boxes = object_boxes.joined(own_boxes)
    types = {
        oid: OBJECT_TYPES.get(int(object_type), "")
        for oid, object_type in zip(
            object_ids, _first(object_boxes.code, objects.values[:, 7]), strict=True
        )
    }
    source = paths.get("events") or paths.get("mapping")
    return assemble(
        video_id,
        activities,
        boxes,
        types,
        issues,
        options,
        records_in=len(spans),
        file=source.name if source else None,
    )


@dataclass(slots=True)
class _Rows:
    values: Ints  # (rows, columns)
    lines: Ints  # (rows,) 1-based


_Event = tuple[int, int, int, int]  # id, type, first and last frame


@dataclass(slots=True)
class _Flags:
    line: int
    objects: tuple[int, ...]


def _rows(path: Path | None, columns: int, issues: Issues) -> _Rows:
    """The rows of a file of integers; lines of another shape become issues."""
    if path is None:
        return _Rows(np.empty((0, columns), np.int64), np.empty(0, np.int64))
    tokens: list[bytes] = []
    lines: list[int] = []
    for number, line in enumerate(read_bytes(path).split(b"\n"), 1):
        row = line.split()
        if len(row) != columns:
            if not row:
                continue
            row = _unglued(row, columns, path, number, issues)
            if not row:
                continue
        tokens += row
        lines.append(number)
    values, good = _integers(tokens, columns)
    for number in np.array(lines, np.int64)[~good]:
        issues.append(_malformed(path, int(number), "not a row of integers"))
    return _Rows(values, np.array(lines, np.int64)[good])


def _unglued(
    row: list[bytes], columns: int, path: Path, number: int, issues: Issues
) -> list[bytes]:
    """The full row at the end of a line of ``oid duration frame`` triples, if there is one.

    Frames without a box were written as bare triples and no newline, so that they are glued to
    the next full row.
    """
    triples, rest = divmod(len(row), 3)
    if columns == 8 and rest == 8 % 3 and len(row) > 8:
        triples, full = (len(row) - 8) // 3, row[-8:]
    elif columns == 8 and rest == 0:
        full = []
    else:
        issues.append(_malformed(path, number, f"{len(row)} columns instead of {columns}"))
        return []
    if not _is_track(row[: 3 * triples]):
        issues.append(_malformed(path, number, f"{len(row)} columns that are no track's frames"))
        return []
    detail = "frames written without a box"
    record = f"actor {row[0][:20].decode('utf-8', 'replace')}"
    issues.append(
        Issue(STAGE, "malformed", "noted", record, path.name, number, count=triples, detail=detail)
    )
    return full


def _is_track(tokens: list[bytes]) -> bool:
    """Whether triples are ``oid duration frame`` of one object, frame by frame."""
    values, good = _integers(tokens, 3)
    return bool(
        good.all() and (values[:, :2] == values[0, :2]).all() and (np.diff(values[:, 2]) > 0).all()
    )


def _integers(tokens: list[bytes], columns: int) -> tuple[Ints, Bools]:
    """Tokens as rows of integers, and which rows are; the others are left out of the values."""
    n = len(tokens) // columns
    good: Bools = np.ones(n, bool)
    numeric = list(map(_NUMBER.fullmatch, tokens))
    if None in numeric:
        good = np.array([m is not None for m in numeric]).reshape(n, columns).all(axis=1, out=good)
        keep = np.repeat(good, columns).tolist()
        tokens = [t for t, k in zip(tokens, keep, strict=True) if k]
    values = np.array(list(map(int, tokens)), np.int64).reshape(-1, columns)
    return values, good


def _mapping(path: Path | None, issues: Issues) -> dict[_Event, _Flags]:
    """The flagged objects of each event, the first line of an event counting."""
    mapping: dict[_Event, _Flags] = {}
    for number, line in enumerate(read_bytes(path).split(b"\n") if path else (), 1):
        row = line.split()
        if not row:
            continue
        assert path is not None
        if len(row) < 6 or not all(map(_NUMBER.fullmatch, row)):
            issues.append(_malformed(path, number, "not a row of integers"))
            continue
        number_of_id, kind, _, start, last, count = map(int, row[:6])
        event = (number_of_id, kind, start, last)
        if event in mapping:
            issues.append(_malformed(path, number, "a second line of the event", "duplicate"))
            continue
        flags = tuple(i for i, flag in enumerate(row[6:]) if flag == b"1")
        if len(flags) != count:
            detail = f"{len(flags)} objects flagged, {count} counted; the flags are read"
            issues.append(_malformed(path, number, detail))
        mapping[event] = _Flags(number, flags)
    return mapping


def _events_of(
    events: _Rows, mapping: dict[_Event, _Flags], path: Path | None, issues: Issues
) -> dict[_Event, tuple[int, tuple[int, ...]]]:
    """Each event's line and flagged objects, in the order of its first row.

    A line of the mapping whose type or span no event has speaks of the event of its id, if that
    has no line of its own; where there is no such event, it is one.
    """
    rows, first = np.unique(events.values[:, [0, 1, 3, 4]], axis=0, return_index=True)
    order = np.argsort(first)
    keys: list[_Event] = list(map(tuple, rows[order].tolist()))
    found = {
        key: (line, mapping[key].objects if key in mapping else ())
        for key, line in zip(keys, events.lines[first[order]].tolist(), strict=True)
    }
    lacking = {key[0]: key for key in reversed(keys) if key not in mapping}
    known = {key[0] for key in keys}
    for key, flags in mapping.items():
        if key in found:
            continue
        if key[0] not in known:
            found[key] = (flags.line, flags.objects)
            continue
        assert path is not None
        detail = "type or span is not that of the events, which are read"
        issues.append(_malformed(path, flags.line, detail))
        event = lacking.pop(key[0], None)
        if event is not None:
            found[event] = (found[event][0], flags.objects)
    return found


def _boxes(rows: _Rows, owner: Ints, frame: int, path: Path | None) -> RawBoxes:
    """The boxes of rows whose columns from ``frame`` on are frame, x, y, width, height."""
    ids, code = np.unique(owner, return_inverse=True)
    corner, size = rows.values[:, frame + 1 : frame + 3], rows.values[:, frame + 3 : frame + 5]
    return RawBoxes(
        [str(i) for i in ids.tolist()],
        code.astype(np.int64),
        rows.values[:, frame],
        np.column_stack((corner, corner + size)).astype(float),
        np.ones(len(code), bool),
        rows.lines,
        path.name if path else None,
    )


def _frames_of(boxes: RawBoxes) -> dict[str, Ints]:
    """The frames of each object, ascending."""
    order = np.lexsort((boxes.frame, boxes.code))
    bounds = np.searchsorted(boxes.code[order], np.arange(1, len(boxes.ids)))
    parts = np.split(boxes.frame[order], bounds) if boxes.ids else []
    return dict(zip(boxes.ids, parts, strict=True))


def _meets(frames: Ints | None, start: int, last: int) -> bool:
    if frames is None:
        return False
    at = int(np.searchsorted(frames, start))
    return at < len(frames) and int(frames[at]) <= last


def _first(code: Ints, values: Ints) -> Ints:
    """For each code in order the value on its first row."""
    return values[np.unique(code, return_index=True)[1]]


def _malformed(path: Path, line: int, detail: str, reason: str = "malformed") -> Issue:
    return Issue(STAGE, reason, "noted", f"line {line}", path.name, line, detail=detail)
