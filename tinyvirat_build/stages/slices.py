"""Slices of time: a video's activities parted where few of them go on.

A corpus of one or two videos has no groups to give to three splits; its time has. Every slice is
a group, and where two neighbours go to different splits, a gap between them is left out, with
every clip that touches it and every track that goes on beyond it (docs/semantics.md,
"Partition").
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from fractions import Fraction
from typing import Final

import numpy as np
import pandas as pd

from tinyvirat_build.geometry.arrays import Ints
from tinyvirat_build.records import KEYS
from tinyvirat_build.stages.tables import by_video

MOST: Final = 6  # slices of a video
EACH: Final = 12  # activities that a slice has on average, at least

_VIDEO: Final = list(KEYS[:2])  # an annotation set is no other time


def slice_starts(start: Ints, end: Ints, gap: int) -> Ints:
    """The first frame of each slice of a video, the first one's 0.

    ``start``, ``end``: spans of its activities ``(n,)``. Slices have about equally many of them;
    a border moves, up to half the way to the next, to where the fewest touch a gap of ``gap``
    frames around it, of these to the nearest.

    >>> span = np.arange(24) * 100
    >>> slice_starts(span, span + 60, 20)
    array([   0, 1190])
    """
    count = min(MOST, len(start) // EACH)
    if count < 2:
        return np.zeros(1, np.int64)
    middle = np.sort((start + end) // 2)
    even = middle[np.arange(1, count) * len(middle) // count]
    between = np.concatenate([[even[0] - middle[0]], np.diff(even), [middle[-1] - even[-1]]]) // 2
    begun, ended = np.sort(start), np.sort(end)
    borders = [0]
    for at, near in enumerate(even.tolist()):
        low, high = near - between[at], near + between[at + 1]
        tried = np.unique(np.concatenate([start - gap + gap // 2, end + gap // 2, [near]]))
        tried = tried[(tried >= low) & (tried < max(high, low + 1))]
        tried = tried if len(tried) else np.array([near])
        touch = np.searchsorted(begun, tried - gap // 2 + gap) - np.searchsorted(
            ended, tried - gap // 2, side="right"
        )
        borders.append(int(tried[np.lexsort((tried, np.abs(tried - near), touch))[0]]))
    return np.unique(np.array(borders, np.int64))


def time_slices(
    activities: pd.DataFrame, groups: pd.DataFrame, gap: float, whole: Container[str] = ()
) -> pd.DataFrame:
    """The slices of every video: keys, ``group`` (``…@k``), ``start``, ``gap``; frames.

    ``groups``: keys, ``group`` and ``fps``, one row a video and annotation set; ``gap`` is in
    seconds. The sets of a video share its slices. A group of ``whole`` is one, and keeps its name.
    """
    names = [*_VIDEO, "start", "end"]
    spans = activities[names].astype(dict.fromkeys(_VIDEO, str)).groupby(_VIDEO)
    of_video = dict(iter(spans))
    parts = []
    for row in groups.to_dict("records"):
        sliced = row["group"] not in whole
        own = of_video.get((row["source"], row["video_id"])) if sliced else None
        frames = int(np.ceil(gap * float(Fraction(str(row["fps"])))))
        starts = np.zeros(1, np.int64)
        if own is not None:
            starts = slice_starts(own["start"].to_numpy(), own["end"].to_numpy(), frames)
        table = pd.DataFrame({"start": starts, "gap": frames})
        table[list(KEYS)] = [row[key] for key in KEYS]
        table["group"] = [
            f"{row['group']}@{k}" if sliced else row["group"] for k in range(len(starts))
        ]
        parts.append(table)
    columns = [*KEYS, "group", "start", "gap"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def torn(
    clips: pd.DataFrame,
    spans: pd.DataFrame,
    slices: pd.DataFrame,
    split: Mapping[str, str | None],
) -> list[str]:
    """Why each clip lies in no slice alone, empty for those that do.

    ``spans``: keys, ``segment_id``, ``start`` and ``end`` of the tracks behind each segment.
    Between neighbours of one split there is no gap.
    """
    why = np.full(len(clips), "", dtype=object)
    track = clips[[*KEYS, "segment_id"]].astype(dict.fromkeys(KEYS, str))
    track = track.merge(
        spans.astype(dict.fromkeys(KEYS, str)), on=[*KEYS, "segment_id"], how="left"
    )
    borders = by_video(slices)
    for key, where_in in by_video(clips).items():
        rows = np.arange(len(clips))[where_in]
        own = slices.iloc[borders[key]].sort_values("start")
        to = [split.get(group) for group in own["group"]]
        for k in range(1, len(own)):
            if to[k] == to[k - 1]:
                continue
            gap = int(own["gap"].iloc[k])
            low = int(own["start"].iloc[k]) - gap // 2
            high = low + gap
            where = f"the gap at frame {low + gap // 2} between {to[k - 1]} and {to[k]}"
            start, end = (clips[name].to_numpy()[rows] for name in ("start", "end"))
            why[rows[(start < high) & (end > low)]] = f"touches {where}"
            start, end = (track[name].to_numpy()[rows] for name in ("start", "end"))
            beyond = rows[(start < low) & (end > high)]
            why[beyond[why[beyond] == ""]] = f"its track lies on both sides of {where}"
    return [str(one) for one in why]
