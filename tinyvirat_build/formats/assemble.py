"""From what a reader found to a ``VideoAnnotation``: dense boxes, checked activities, issues.

Every format ends here, so that gaps, swapped axes, duplicates and activities without boxes are
judged alike, and so that the balance of activity records closes in one place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd

from tinyvirat_build import geometry
from tinyvirat_build.errors import MAX_BOXES, MAX_FRAME, MAX_MEMBERS, Work
from tinyvirat_build.formats.coverage import Coverage
from tinyvirat_build.formats.faults import Issues
from tinyvirat_build.formats.options import ReadOptions
from tinyvirat_build.formats.safety import MAX_COORDINATE, safe_name
from tinyvirat_build.geometry.arrays import Bools, Floats, Ints
from tinyvirat_build.records import Issue, VideoAnnotation, strings

STAGE: Final = "parse"
_PIECE: Final = 1 << 18  # rows that are filled in at once


class MalformedError(Exception):
    """One record cannot be used: the reader makes it an issue and goes on."""


@dataclass(slots=True)
class RawActivity:
    """An activity record as read; ``line`` is 1-based, None where the format has no lines."""

    activity_id: str
    name: str
    start: int
    end: int  # exclusive
    actors: tuple[str, ...]
    status: str = ""
    line: int | None = None


@dataclass(slots=True)
class RawBoxes:
    """Boxes as read, in file order: n rows, sparse or dense, axes perhaps swapped."""

    ids: Sequence[str] = ()  # the actors
    code: Ints = field(default_factory=lambda: np.empty(0, np.int64))  # (n,)
    frame: Ints = field(default_factory=lambda: np.empty(0, np.int64))  # (n,)
    xyxy: Floats = field(default_factory=lambda: np.empty((0, 4)))  # (n, 4)
    keyframe: Bools = field(default_factory=lambda: np.empty(0, bool))  # (n,)
    line: Ints = field(default_factory=lambda: np.empty(0, np.int64))  # (n,) 0 none
    file: str | None = None

    def take(self, rows: Bools | Ints) -> RawBoxes:
        """Some of the rows."""
        return RawBoxes(
            self.ids,
            self.code[rows],
            self.frame[rows],
            self.xyxy[rows],
            self.keyframe[rows],
            self.line[rows],
            self.file,
        )

    def joined(self, more: RawBoxes) -> RawBoxes:
        """Both, these first, so that of two boxes on one frame this one's counts."""
        code_of = {actor: i for i, actor in enumerate(dict.fromkeys((*self.ids, *more.ids)))}
        mine = np.array([code_of[a] for a in self.ids], np.int64)
        theirs = np.array([code_of[a] for a in more.ids], np.int64)
        return RawBoxes(
            tuple(code_of),
            np.concatenate((mine[self.code], theirs[more.code])),
            np.concatenate((self.frame, more.frame)),
            np.concatenate((self.xyxy, more.xyxy)),
            np.concatenate((self.keyframe, more.keyframe)),
            np.concatenate((self.line, more.line)),
            self.file or more.file,
        )


def assemble(
    video_id: str,
    activities: Sequence[RawActivity],
    boxes: RawBoxes,
    types: Mapping[str, str],
    issues: Issues,
    options: ReadOptions,
    *,
    records_in: int,
    file: str | None,
    no_geometry: str = "",
    interpolate: bool = True,
    regions: pd.DataFrame | None = None,
) -> VideoAnnotation:
    """Fill gaps, check every activity against its boxes and make the tables.

    ``records_in`` counts the activity records of the files; those that ``activities`` lacks must
    stand in ``issues`` as dropped. ``file`` is where the activities are from, ``no_geometry`` a
    remark for activities without boxes (for instance that the geometry file is missing), and
    ``interpolate`` false where the format holds boxes instead and the reader has done so.

    Raises:
        BoundError: the boxes, made dense, would be more than ``MAX_BOXES``, or activities of
            several actors have more than ``MAX_MEMBERS`` runs of frames with a box.
    """
    boxes = checked(boxes, issues)
    if interpolate:
        boxes = fill_gaps(boxes, options.max_gap, issues)
    work = Work(MAX_MEMBERS, "runs of boxes of activities", file=file or video_id)
    runs = Coverage(boxes.ids, boxes.code, boxes.frame, work)
    rows = []
    bare = []  # without a box
    seen: dict[str, RawActivity] = {}
    copies: Counter[str] = Counter()
    for order, a in enumerate(activities):
        refusal = _refusal(a, seen, options)
        if refusal is not None:
            issues.append(_dropped(a, file, *refusal))
            continue
        a = _distinct(a, seen, copies, file, issues)
        issue = _coverage(a, runs, no_geometry, file, issues)
        seen[a.activity_id] = a
        row = (a.activity_id, a.name, a.start, a.end, a.actors, a.status, order, file, a.line)
        if issue is None:
            rows.append(row)
            continue
        issues.append(issue)
        bare.append(row)
    return VideoAnnotation(
        video_id=video_id,
        activities=_activity_table(rows),
        boxes=pd.DataFrame(
            {
                "actor_id": pd.Categorical.from_codes(
                    boxes.code.astype(np.int32),
                    categories=pd.Index(strings(boxes.ids)),
                    validate=False,
                ),
                "frame": boxes.frame.astype(np.int32),
                "x1": boxes.xyxy[:, 0],
                "y1": boxes.xyxy[:, 1],
                "x2": boxes.xyxy[:, 2],
                "y2": boxes.xyxy[:, 3],
                "keyframe": boxes.keyframe,
            },
            copy=False,
        ),
        actors=_actor_table(activities, boxes.ids, types),
        issues=tuple(issues),
        records_in=records_in,
        regions=regions,
        without_geometry=_activity_table(bare) if bare else None,
    )


def _activity_table(
    rows: list[tuple[str, str, int, int, tuple[str, ...], str, int, str | None, int | None]],
) -> pd.DataFrame:
    ids, names, starts, ends, actors, statuses, order, files, lines = (
        zip(*rows, strict=True) if rows else ((),) * 9
    )
    objects = np.empty(len(rows), object)
    objects[:] = actors
    return pd.DataFrame(
        {
            "activity_id": strings(ids),
            "name": strings(names),
            "start": np.array(starts, np.int32),
            "end": np.array(ends, np.int32),
            "actors": objects,
            "status": strings(statuses),
            "file_order": np.array(order, np.int32),
            "file": strings(files),
            "line": pd.arrays.IntegerArray(
                np.array([line or 0 for line in lines], np.int32),
                np.array([line is None for line in lines], bool),
            ),
        },
        copy=False,
    )


def _actor_table(
    activities: Sequence[RawActivity], ids: Sequence[str], types: Mapping[str, str]
) -> pd.DataFrame:
    names = sorted({*ids, *types, *(actor for a in activities for actor in a.actors)})
    return pd.DataFrame(
        {
            "actor_id": strings(names),
            "type": strings([object_type(types.get(name, "")) for name in names]),
        },
        copy=False,
    )


def object_type(text: str) -> str:
    """The name of an object's type, lower case; ``Null`` (UMD's) is none.

    >>> object_type("Person"), object_type("Null")
    ('person', '')
    """
    lower = text.lower()
    return "" if lower in ("null", "~") else lower


def checked(boxes: RawBoxes, issues: Issues) -> RawBoxes:
    """In order of actor and frame, axes in order, nothing impossible, nothing twice."""
    if not len(boxes.frame):
        return RawBoxes()
    boxes = _ranked(boxes)
    low, high = boxes.xyxy.min(), boxes.xyxy.max()
    if not (
        -MAX_COORDINATE <= low <= high <= MAX_COORDINATE
        and boxes.frame.min() >= 0
        and boxes.frame.max() < MAX_FRAME
    ):
        # NaN compares false, so it is not possible either
        possible = (np.abs(boxes.xyxy) <= MAX_COORDINATE).all(axis=1)
        possible &= (boxes.frame >= 0) & (boxes.frame < MAX_FRAME)
        _per_actor(
            boxes,
            ~possible,
            "malformed",
            "noted",
            "frame or coordinates out of range, left out",
            issues,
        )
        boxes = boxes.take(possible)
    swapped = (boxes.xyxy[:, 0] > boxes.xyxy[:, 2]) | (boxes.xyxy[:, 1] > boxes.xyxy[:, 3])
    if swapped.any():
        _per_actor(boxes, swapped, "swapped_axes", "swapped", "", issues)
        b = boxes.xyxy
        boxes.xyxy = np.column_stack(
            (np.minimum(b[:, :2], b[:, 2:]), np.maximum(b[:, :2], b[:, 2:]))
        )
    step = np.diff(boxes.code)
    if (step < 0).any() or (np.diff(boxes.frame)[step == 0] < 0).any():
        boxes = boxes.take(np.lexsort((boxes.frame, boxes.code)))
    again = np.zeros(len(boxes.frame), bool)
    again[1:] = (boxes.code[1:] == boxes.code[:-1]) & (boxes.frame[1:] == boxes.frame[:-1])
    if again.any():
        _per_actor(boxes, again, "duplicate", "noted", "a second box on a frame, left out", issues)
        boxes = boxes.take(~again)
    return boxes


def _ranked(boxes: RawBoxes) -> RawBoxes:
    """The same rows with the actors that have boxes numbered by their ids."""
    used = np.flatnonzero(np.bincount(boxes.code, minlength=len(boxes.ids))).tolist()
    order = sorted(used, key=boxes.ids.__getitem__)
    rank = np.zeros(len(boxes.ids), np.int64)
    rank[order] = np.arange(len(order))
    boxes.code = rank[boxes.code]
    boxes.ids = [boxes.ids[i] for i in order]
    return boxes


def fill_gaps(boxes: RawBoxes, max_gap: int, issues: Issues) -> RawBoxes:
    """Interpolate linearly where at most ``max_gap`` frames of an actor lack a box.

    ``boxes`` are ordered by actor and frame. A longer gap becomes one issue an actor.
    """
    n = len(boxes.frame)
    if n < 2:
        return boxes
    lack = np.zeros(n, np.int64)  # frames without a box after each row
    lack[:-1] = np.where(boxes.code[1:] == boxes.code[:-1], np.diff(boxes.frame) - 1, 0)
    long = lack > max_gap
    if long.any():
        _per_actor(boxes, long, "gap", "noted", f"longer than {max_gap} frames", issues)
        lack[long] = 0
    if not lack.any():
        return boxes
    work = Work(MAX_BOXES, "boxes, those between others filled in", file=boxes.file or "boxes")
    work.add(n + int(lack.sum()))
    rows = np.repeat(np.arange(n), lack + 1)
    step = np.arange(len(rows)) - np.repeat(geometry.offsets(lack + 1)[:-1], lack + 1)
    xyxy = np.empty((len(rows), 4))
    for part in (slice(at, at + _PIECE) for at in range(0, len(rows), _PIECE)):
        share = (step[part] / (lack[rows[part]] + 1))[:, None]
        here, there = boxes.xyxy[rows[part]], boxes.xyxy[np.minimum(rows[part] + 1, n - 1)]
        xyxy[part] = np.where(share == 0, here, here + (there - here) * share)
    return RawBoxes(
        boxes.ids,
        boxes.code[rows],
        boxes.frame[rows] + step,
        xyxy,
        boxes.keyframe[rows] & (step == 0),
        boxes.line[rows],
        boxes.file,
    )


def _per_actor(
    boxes: RawBoxes,
    which: Bools,
    reason: str,
    action: str,
    detail: str,
    issues: Issues,
) -> None:
    """One issue for each actor with such boxes, at the first of them, with their number."""
    rows = np.flatnonzero(which)
    codes, first, counts = np.unique(boxes.code[rows], return_index=True, return_counts=True)
    for code, at, count in zip(codes, rows[first], counts, strict=True):
        issues.append(
            Issue(
                STAGE,
                reason,
                action,
                record=f"actor {boxes.ids[code]} frame {boxes.frame[at]}",
                file=boxes.file,
                line=int(boxes.line[at]) or None,
                count=int(count),
                detail=detail,
            )
        )


def _refusal(
    a: RawActivity, seen: Mapping[str, RawActivity], options: ReadOptions
) -> tuple[str, str] | None:
    """Why an activity is left out whatever its boxes: (reason, detail), or None."""
    if a.status in options.drop_status and a.status:
        return "status", a.status
    if not safe_name(a.activity_id) or not safe_name(a.name):
        return "unsafe_name", repr(a.activity_id if not safe_name(a.activity_id) else a.name)[:80]
    if a.end <= a.start:
        return "empty_span", f"from frame {a.start} to {a.end - 1}"
    if a.start < 0 or a.end > MAX_FRAME:
        return "malformed", f"frames {a.start} to {a.end - 1}"
    first = seen.get(a.activity_id)
    if first is not None and (first.name, first.start, first.end, first.actors) == (
        a.name,
        a.start,
        a.end,
        a.actors,
    ):
        return "duplicate", "the same record again"
    return None


def _dropped(a: RawActivity, file: str | None, reason: str, detail: str) -> Issue:
    record = f"activity {a.activity_id}"[:200]
    return Issue(STAGE, reason, "dropped", record=record, file=file, line=a.line, detail=detail)


def _distinct(
    a: RawActivity,
    seen: Mapping[str, RawActivity],
    copies: Counter[str],
    file: str | None,
    issues: Issues,
) -> RawActivity:
    """The activity under an id that no other one of the video has."""
    if a.activity_id not in seen:
        return a
    new_id = a.activity_id
    while new_id in seen:
        copies[a.activity_id] += 1
        new_id = f"{a.activity_id}#{copies[a.activity_id] + 1}"
    issues.append(
        Issue(
            STAGE,
            "duplicate",
            "noted",
            record=f"activity {a.activity_id}",
            file=file,
            line=a.line,
            detail=f"the id of another activity; named {new_id}",
        )
    )
    return RawActivity(new_id, a.name, a.start, a.end, a.actors, a.status, a.line)


def _coverage(
    a: RawActivity, runs: Coverage, no_geometry: str, file: str | None, issues: Issues
) -> Issue | None:
    """The refusal of an activity without any box; lesser lacks are noted."""
    covered = runs.frames(a.actors, a.start, a.end)
    if not covered:
        detail = no_geometry or ("no actor is named" if not a.actors else "")
        return _dropped(a, file, "no_geometry", detail)
    record = f"activity {a.activity_id}"
    lack = a.end - a.start - covered
    if lack:
        detail = f"{lack} of {a.end - a.start} frames without a box"
        issues.append(
            Issue(STAGE, "partial_geometry", "noted", record, file, a.line, detail=detail)
        )
    for actor in a.actors:
        if actor not in runs.of:
            issues.append(
                Issue(
                    STAGE, "actor_missing", "noted", record, file, a.line, detail=f"actor {actor}"
                )
            )
    return None
