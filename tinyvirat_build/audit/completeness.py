"""Label completeness: does a clip carry the labels of all that can be seen in it?

An activity is seen in a clip if on at least one frame half of its box or more (by area) lies
inside the clip's window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tinyvirat_build import geometry
from tinyvirat_build.geometry import Floats, Ints
from tinyvirat_build.records import KEYS
from tinyvirat_build.stages.activity_boxes import Activities, read_activities, read_boxes
from tinyvirat_build.stages.tables import Columns, Rows, by_video, select


@dataclass(frozen=True, slots=True)
class _Seen:
    """The activities seen in each clip of one video."""

    pairs: list[tuple[int, int]]  # row of the table of clips, activity
    activities: Activities


def missing_labels(
    clips: pd.DataFrame, activities: pd.DataFrame, boxes: pd.DataFrame
) -> tuple[list[set[str]], list[set[str]]]:
    """What is seen in each clip that it does not carry: labels, and names without a label.

    ``clips`` is any table of clips with windows; ``activities`` and ``boxes`` are those that
    parse wrote.
    """
    own = [set(labels) for labels in clips["labels"]]
    missing: list[set[str]] = [set() for _ in own]
    unmapped: list[set[str]] = [set() for _ in own]
    for seen in _seen(clips, activities, boxes):
        for row, activity in seen.pairs:
            labels = seen.activities.labels[activity]
            missing[row].update(set(labels) - own[row])
            if not labels:
                unmapped[row].add(seen.activities.names[activity])
    return missing, unmapped


def completeness(
    clips: pd.DataFrame, activities: pd.DataFrame, boxes: pd.DataFrame
) -> pd.DataFrame:
    """One row a clip: keys, clip_id, labels, ``complete``, ``missing``, ``unmapped``.

    ``missing`` are the labels of mapped activities seen in the clip that it does not carry, in
    order; labels that no clip of the table has (taken out by the filter) do not count.
    ``unmapped`` are the names of activities without a label that are seen in it.
    """
    used = {label for labels in clips["labels"] for label in labels}
    every, unmapped = missing_labels(clips, activities, boxes)
    missing = [labels & used for labels in every]
    table = clips[[*KEYS, "clip_id", "labels"]].reset_index(drop=True)
    return table.assign(
        complete=np.array([not labels for labels in missing], dtype=bool),
        missing=pd.Series([tuple(sorted(labels)) for labels in missing], dtype=object),
        unmapped=pd.Series([tuple(sorted(names)) for names in unmapped], dtype=object),
    )


def missing_pairs(complete: pd.DataFrame) -> pd.DataFrame:
    """Which label misses beside which: label, missing, clips (their number), clip_ids.

    ``complete`` is the table of :func:`completeness`; the most frequent pair comes first.
    """
    pairs: dict[tuple[str, str], list[str]] = {}
    rows = complete[~complete["complete"]]
    for clip_id, labels, missing in zip(
        rows["clip_id"], rows["labels"], rows["missing"], strict=True
    ):
        for label in labels:
            for other in missing:
                pairs.setdefault((label, other), []).append(clip_id)
    ordered = sorted(pairs.items(), key=lambda item: (-len(item[1]), item[0]))
    return pd.DataFrame(
        [(*pair, len(ids), tuple(ids)) for pair, ids in ordered],
        columns=["label", "missing", "clips", "clip_ids"],
    )


def unmapped_names(complete: pd.DataFrame) -> pd.DataFrame:
    """In how many clips each unmapped name is seen: name, clips; the most frequent first."""
    counts: dict[str, int] = {}
    for names in complete["unmapped"]:
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return pd.DataFrame(ordered, columns=["name", "clips"])


def _seen(clips: pd.DataFrame, activities: pd.DataFrame, boxes: pd.DataFrame) -> list[_Seen]:
    activity_rows, box_rows = by_video(activities), by_video(boxes)
    clip_columns, activity_columns, box_columns = map(Columns, (clips, activities, boxes))
    found = []
    for key, rows in by_video(clips).items():
        own = read_activities(activity_columns, select(activity_rows, key))
        start, end = clip_columns.ints("start", rows), clip_columns.ints("end", rows)
        at = geometry.offsets(end - start)
        windows = _windows(clip_columns, rows, end - start)
        reach = read_boxes(box_columns, select(box_rows, key), own)
        clip, activity = geometry.meeting(
            start,
            end,
            np.maximum.reduceat(windows, at[:-1], axis=1),
            own.start,
            own.end,
            reach.union(),
        )
        first = np.maximum(start[clip], own.start[activity])
        length = np.minimum(end[clip], own.end[activity]) - first
        box = reach.reach[:, reach.places(activity, first, length)]
        window = windows[:, geometry.ranges(at[clip] + first - start[clip], length)]
        area = geometry.areas(box)
        half = (area > 0) & (2 * geometry.common_area(box, window) >= area)
        pair = np.unique(np.repeat(np.arange(len(clip)), length)[half])
        number = np.arange(len(clips))[rows]
        pairs = zip(number[clip[pair]].tolist(), activity[pair].tolist(), strict=True)
        found.append(_Seen(list(pairs), own))
    return found


def _windows(clips: Columns, rows: Rows, lengths: Ints) -> Floats:
    """The windows of one video's clips as a reach ``(4, frames)``, end to end."""
    x, y = (np.concatenate([np.asarray(c, np.float64) for c in clips[xy, rows]]) for xy in "xy")
    width = np.repeat(clips.ints("width", rows), lengths)
    height = np.repeat(clips.ints("height", rows), lengths)
    return np.stack([-x, -y, x + width, y + height])
