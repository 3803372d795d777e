"""Statistics of a build: what Table 1 and Figures 2 and 3 of the TinyVIRAT paper show, and more.

Clips that have no file (not cut, or refused) count in ``clips_without_file`` alone; a table that
comes before cutting has no such column, and all of its clips count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from tinyvirat_build import geometry
from tinyvirat_build.geometry.arrays import Bools, Ints
from tinyvirat_build.records import KEYS, SPLITS
from tinyvirat_build.stages import counts

RESOLUTIONS: Final = ("0–20", "20–40", "40–60", "60–80", "80–100", "100–128")
BEYOND: Final = "over 128"  # only where crop.max_side allows it
_EDGES: Final = (20, 40, 60, 80, 100, 129)  # the first side of the next group


def stats(
    clips: pd.DataFrame,
    *,
    classes: Sequence[str],
    targets: Sequence[float],
    balance: pd.DataFrame | None = None,
    issues: pd.DataFrame | None = None,
    videos: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """Count a table of partitioned clips, as plain values ready for JSON.

    ``clips`` is ``clips_filtered`` or ``clips``. A clip's resolution is the longer side of its
    window (pixels, group ``20–40`` is 20 ≤ side < 40, the last one includes 128), its length the
    frames of its file or, before cutting, of its plan. A class's ``share`` in a split is the part
    of its clips that lie there; ``drift`` compares it with the target. ``frames_shared`` are the
    frames by which ``frames`` counts more than the segments have, since chunks share them.
    ``videos`` tell cameras and hours.
    """
    has_file = clips["id"].notna().to_numpy(dtype=bool) if "id" in clips else None
    used = clips if has_file is None else clips[has_file]
    split = used["split"].to_numpy(dtype=object).astype(str)
    side = np.maximum(used["width"].to_numpy(dtype=np.int64), used["height"].to_numpy(np.int64))
    frames = (used["end"] - used["start"]).to_numpy(dtype=np.int64)
    if "n_frames" in used:
        frames = used["n_frames"].to_numpy(dtype=np.int64)
    group = np.searchsorted(_EDGES, side, side="right")
    member = _membership(used["labels"], classes)
    in_split = np.array([split == name for name in SPLITS]).reshape(len(SPLITS), len(used))
    n_labels = member.sum(axis=1)
    return {
        "clips": len(used),
        "clips_without_file": len(clips) - len(used),
        "splits": _named(SPLITS, in_split.sum(axis=1)),
        "sources": {
            source: _named(SPLITS, in_split[:, used["source"].astype(str) == source].sum(axis=1))
            for source in sorted(set(used["source"].astype(str)))
        },
        "source_videos": len(used[["source", "video_id"]].astype(str).drop_duplicates()),
        "groups": {
            name: int(used["group"][in_split[i]].nunique()) for i, name in enumerate(SPLITS)
        },
        "classes": len(classes),
        "classes_with_clips": int(member.any(axis=0).sum()),
        "frames": _spread(frames),
        "frames_shared": _shared(used),
        "frames_per_split": {name: _spread(frames[in_split[i]]) for i, name in enumerate(SPLITS)},
        "sides": _spread(side),
        "labels_per_clip": {
            "mean": _mean(n_labels),
            "clips": {str(n): int((n_labels == n).sum()) for n in np.unique(n_labels)},
        },
        "resolution": _resolution(group),
        "per_class": [
            _class_row(label, i, member[:, i], in_split, group, side, frames)
            for i, label in enumerate(classes)
        ],
        "drift": _drift(member, in_split, targets, classes),
        "cooccurrence": counts.cooccurrence(member, classes),
        "lengths": counts.whole_numbers(frames, in_split),
        "side_counts": counts.whole_numbers(side, in_split),
        **counts.places(used, videos, in_split),
        "quality": counts.quality(used, in_split),
        "funnel": [] if balance is None else _funnel(balance),
        "issues": [] if issues is None else _reasons(issues),
    }


def _shared(clips: pd.DataFrame) -> int:
    """How many frames clips of one segment share (``chunk.overlap``)."""
    known = clips[clips["segment_id"].notna()]
    codes = known.groupby([*KEYS, "segment_id"], observed=True).ngroup()
    segment: Ints = np.asarray(codes, np.int64)
    start, end = (known[side].to_numpy(np.int64) for side in ("start", "end"))
    return int((end - start).sum() - geometry.new_frames(segment, start, end).sum())


def _membership(labels: pd.Series, classes: Sequence[str]) -> Bools:
    """Which clip has which class: ``(clips, classes)``."""
    index = {label: i for i, label in enumerate(classes)}
    row = [i for i, own in enumerate(labels) for _ in own]
    column = [index[label] for own in labels for label in own]
    member = np.zeros((len(labels), len(classes)), dtype=bool)
    member[row, column] = True
    return member


def _class_row(
    label: str,
    index: int,
    inside: Bools,
    in_split: Bools,
    group: Ints,
    side: Ints,
    frames: Ints,
) -> dict[str, Any]:
    return {
        "label": label,
        "index": index,
        **_named(SPLITS, (in_split & inside).sum(axis=1)),
        "clips": int(inside.sum()),
        "mean_side": _mean(side[inside]),
        "mean_frames": _mean(frames[inside]),
        "resolution": _resolution(group[inside]),
    }


def _drift(
    member: Bools,
    in_split: Bools,
    targets: Sequence[float],
    classes: Sequence[str],
) -> dict[str, Any]:
    """The share of all clips and of each class's clips in each split, beside the target."""
    together = np.concatenate([member, np.ones((len(member), 1), dtype=bool)], axis=1)
    clips = in_split.astype(np.int64) @ together.astype(np.int64)
    total = clips.sum(axis=0)
    shares = np.round(clips / np.maximum(total, 1), 4)
    return {
        "targets": dict(zip(SPLITS, map(float, targets), strict=True)),
        "all": dict(zip(SPLITS, shares[:, -1].tolist(), strict=True)),
        "per_class": {
            label: dict(zip(SPLITS, shares[:, i].tolist(), strict=True))
            for i, label in enumerate(classes)
            if total[i]
        },
    }


def _funnel(balance: pd.DataFrame) -> list[dict[str, Any]]:
    """The balance summed over videos, a row for each stage and unit in the order of the table."""
    names = ["records_in", "records_out", "dropped"]
    keys = balance[["stage", "unit"]].astype(str)
    sums = balance[names].groupby([keys["stage"], keys["unit"]], sort=False).sum()
    return [
        {"stage": stage, "unit": unit, **dict(zip(names, map(int, row), strict=True))}
        | {"closes": bool(row[0] == row[1] + row[2])}
        for (stage, unit), row in zip(sums.index, sums.to_numpy(), strict=True)
    ]


def _reasons(issues: pd.DataFrame) -> list[dict[str, Any]]:
    """Issues summed by stage, reason and action, those that took most away first."""
    keys = ["stage", "reason", "action"]
    sums = issues["count"].groupby([issues[key].astype(str) for key in keys]).agg(["size", "sum"])
    rows = [
        {**dict(zip(keys, key, strict=True)), "issues": int(size), "count": int(count)}
        for key, size, count in zip(sums.index, sums["size"], sums["sum"], strict=True)
    ]
    return sorted(rows, key=lambda row: (-row["count"], *(str(row[key]) for key in keys)))


def _resolution(group: Ints) -> dict[str, int]:
    clips = np.bincount(group, minlength=len(RESOLUTIONS) + 1)
    names = RESOLUTIONS if not clips[-1] else (*RESOLUTIONS, BEYOND)
    return {name: int(n) for name, n in zip(names, clips, strict=False)}


def _spread(values: Ints) -> dict[str, Any]:
    if not len(values):
        return {"total": 0, "mean": None, "min": None, "median": None, "max": None}
    return {
        "total": int(values.sum()),
        "mean": _mean(values),
        "min": int(values.min()),
        "median": float(np.median(values)),
        "max": int(values.max()),
    }


def _mean(values: Ints) -> float | None:
    return round(float(values.mean()), 2) if len(values) else None


def _named(names: Sequence[str], clips: Ints) -> Mapping[str, int]:
    return {name: int(n) for name, n in zip(names, clips, strict=True)}
