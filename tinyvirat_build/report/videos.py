"""What the panel of a clip is told of its video: who is where, what was cut where, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from tinyvirat_build import store
from tinyvirat_build.geometry.arrays import Floats, Ints
from tinyvirat_build.records import KEYS, REASONS, Key
from tinyvirat_build.report.timeline import clip_cuts, losses, segment_cuts

READ: Final = {
    "clips": ("clip_id", "segment_id", "start", "end", "x", "y", "activities", "seen_activities"),
    "activities": ("activity_id", "name", "labels", "start", "end", "actors", "file", "line",
                   "status"),
    "boxes": ("actor_id", "frame", "x1", "y1", "x2", "y2"),
    "actors": ("actor_id", "type"),
    "segments": ("segment_id", "start", "end", "labels", "activities"),
    "chunks": ("segment_id", "start", "end"),
}  # fmt: skip
_STRAIGHT: Final = 0.05  # pixels by which a box may leave the line between two others


def videos(tables: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The scripts of the videos that have clips, in the manifest's order; one is held at a time."""
    issues = store.read_table(tables / "issues.parquet")
    keys = [issues[k].astype(str) for k in KEYS]
    of = {Key(*map(str, k)): rows for k, rows in issues.groupby(keys, sort=False)}
    files = {name: tables / f"{name}.parquet" for name in READ}
    for i, (key, rows) in enumerate(store.read_by_video(files, columns=READ)):
        yield f"video-{i}", video(rows, of.get(key, issues.iloc[:0]))


def video(rows: Mapping[str, pd.DataFrame], issues: pd.DataFrame) -> dict[str, Any]:
    """One video's activities, actors, segments, windows and issues."""
    clips, segments = rows["clips"].to_dict("records"), rows["segments"]
    why = segment_cuts(segments)
    lost = losses(issues, REASONS)
    by_id = {int(s["segment_id"]): s for s in segments.to_dict("records")}
    cuts = clip_cuts(clips, rows["chunks"].to_dict("records"), by_id, why)
    return {
        "activities": [_activity(a) for a in rows["activities"].to_dict("records")],
        "actors": list(_actors(rows["actors"], rows["boxes"])),
        "segments": [
            {
                "id": number,
                "start": int(s["start"]),
                "end": int(s["end"]),
                "labels": list(s["labels"]),
                "activities": list(s["activities"]),
                "why": list(why[number]),
                "lost": [list(part) for part in lost.get(number, [])],
            }
            for number, s in by_id.items()
        ],
        "clips": {
            c["clip_id"]: {
                "x": _runs(c["x"]),
                "y": _runs(c["y"]),
                "segment": None if pd.isna(c["segment_id"]) else int(c["segment_id"]),
                "own": list(c["activities"]),
                "near": list(c["seen_activities"] or ()),
                "why": list(cut),
            }
            for c, cut in zip(clips, cuts, strict=True)
        },
        "issues": [
            [_plain(i[name]) for name in _TOLD] for i in issues.to_dict("records")
        ],
    }  # fmt: skip


_TOLD: Final = ("stage", "reason", "action", "count", "record", "file", "line", "detail")


def _plain(value: Any) -> Any:
    if pd.isna(value):
        return None
    return value if isinstance(value, str) else int(value)


def _activity(a: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        "id": a["activity_id"], "name": a["name"], "labels": list(a["labels"]),
        "start": int(a["start"]), "end": int(a["end"]), "actors": list(a["actors"]),
        "file": _plain(a["file"]), "line": _plain(a["line"]), "status": _plain(a["status"]),
    }  # fmt: skip


def _runs(values: tuple[int, ...]) -> list[int]:
    """Numbers as runs: a value, how often, the next one, how often, ….

    >>> _runs((7, 7, 7, 9))
    [7, 3, 9, 1]
    """
    found = np.asarray(values, np.int64)
    starts = np.flatnonzero(np.r_[True, found[1:] != found[:-1]][: len(found)])
    counts = np.diff(np.r_[starts, len(found)])
    return np.stack([found[starts], counts], axis=1).ravel().tolist()


def _actors(actors: pd.DataFrame, boxes: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Each actor with its boxes: runs of [frame, x1, y1, x2, y2, …], straight between them."""
    kinds = dict(zip(actors["actor_id"], actors["type"], strict=True))
    names = boxes["actor_id"].astype(str).to_numpy(object)
    frames = boxes["frame"].to_numpy(np.int64)
    sides = boxes[["x1", "y1", "x2", "y2"]].to_numpy(np.float64)
    order = np.lexsort((frames, names.astype(str)))
    names, frames, sides = names[order], frames[order], sides[order]
    starts = np.flatnonzero(np.r_[True, names[1:] != names[:-1]][: len(names)])
    for low, high in zip(starts, np.r_[starts[1:], len(names)][: len(starts)], strict=True):
        name = str(names[low])
        yield {
            "id": name,
            "type": _plain(kinds.get(name)) or "",
            "runs": _courses(frames[low:high], sides[low:high]),
        }


def _courses(frames: Ints, sides: Floats) -> list[list[float]]:
    """The boxes at which an actor's course bends, run by run of frames without a gap."""
    gap = np.diff(frames) != 1
    bends = np.zeros(len(frames), bool)
    away = np.abs(sides[2:] - 2 * sides[1:-1] + sides[:-2]).max(axis=1, initial=0)
    bends[1:-1] = away > _STRAIGHT
    first, last = np.r_[True, gap], np.r_[gap, True]
    kept = bends | first | last
    table: Floats = np.column_stack([frames, sides]).astype(np.float64).round(1)[kept]
    parts = np.split(table, np.flatnonzero(first[kept])[1:])
    return [[int(v) if v == int(v) else float(v) for v in part.ravel()] for part in parts]
