"""Why segments and clips begin and end where they do, in words."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Final

import pandas as pd

# [frame, reason]: where something was cut, and why.
Cut = tuple[int, str]
# [start, end, reason]: frames of a segment that are in no clip.
Loss = tuple[int, int, str]

BEGINS: Final = "its activities begin"
ENDS: Final = "its activities end"
JOINED: Final = "activities join or part"
_LOST = re.compile(r"segment (\d+) frames \[(\d+), (\d+)\)")


def segment_cuts(segments: pd.DataFrame) -> dict[int, tuple[str, str]]:
    """Why each segment of one video begins and ends: segment_id -> (why it begins, why it ends).

    A segment ends where its labels change, where its activities join others or part from them,
    or with them; the neighbour that tells which is one that shares an activity.
    """
    rows = segments.to_dict("records")
    ending: dict[tuple[int, str], Sequence[str]] = {}
    starting: dict[tuple[int, str], Sequence[str]] = {}
    for row in rows:
        for activity in row["activities"]:
            ending[int(row["end"]), activity] = row["labels"]
            starting[int(row["start"]), activity] = row["labels"]
    found = {}
    for row in rows:
        before = _beside(ending, int(row["start"]), row["activities"])
        after = _beside(starting, int(row["end"]), row["activities"])
        found[int(row["segment_id"])] = (
            BEGINS if before is None else _change(before, row["labels"]),
            ENDS if after is None else _change(row["labels"], after),
        )
    return found


def _beside(
    known: Mapping[tuple[int, str], Sequence[str]], frame: int, activities: Iterable[str]
) -> Sequence[str] | None:
    return next((known[frame, a] for a in activities if (frame, a) in known), None)


def _change(before: Sequence[str], after: Sequence[str]) -> str:
    if tuple(before) == tuple(after):
        return JOINED
    return f"labels change from {' + '.join(before)} to {' + '.join(after)}"


def clip_cuts(
    clips: Iterable[Mapping[Any, Any]],
    chunks: Iterable[Mapping[Hashable, Any]],
    segments: Mapping[int, Mapping[Hashable, Any]],
    why: Mapping[int, tuple[str, str]],
) -> list[tuple[str, str]]:
    """Why each clip of one video begins and ends, in the order of ``clips``.

    With its segment; or where that is cut into chunks; or, within a chunk, where a neighbour that
    is seen in the window changes the labels.
    """
    of: dict[int, list[tuple[int, int]]] = {}
    for chunk in chunks:
        of.setdefault(int(chunk["segment_id"]), []).append((int(chunk["start"]), int(chunk["end"])))
    found = []
    for clip in clips:
        segment = None if pd.isna(clip["segment_id"]) else int(clip["segment_id"])
        if segment is None or segment not in segments:
            found.append(("planned on its own", "planned on its own"))
            continue
        parts, whole = of.get(segment, []), segments[segment]
        said = f"segment {segment} is cut into {len(parts)} chunks"
        edges = []
        for i, side in enumerate(("start", "end")):
            frame = int(clip[side])
            if frame == int(whole[side]):
                edges.append(why[segment][i])
            elif any(frame == part[i] for part in parts):
                edges.append(said if len(parts) > 1 else "the rest of its segment is left out")
            else:
                edges.append("a neighbour seen in the window changes the labels")
        found.append((edges[0], edges[1]))
    return found


def losses(issues: pd.DataFrame, meanings: Mapping[str, str]) -> dict[int, list[Loss]]:
    """The frames of one video's segments that are in no clip: segment_id -> start, end, reason."""
    found: dict[int, list[Loss]] = {}
    for record, reason, detail in zip(
        issues["record"], issues["reason"], issues["detail"], strict=True
    ):
        at = _LOST.match(str(record))
        if at:
            more = f" ({detail})" if isinstance(detail, str) and detail else ""
            said = f"{reason}: {meanings.get(str(reason), '')}{more}"
            segment, start, end = map(int, at.groups())
            found.setdefault(segment, []).append((start, end, said))
    return found
