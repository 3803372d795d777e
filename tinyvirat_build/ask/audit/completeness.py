"""Label completeness: does a clip carry the labels of all that can be seen in it?

An activity is seen in a clip if on at least one frame half of its box or more (by area) lies
inside the clip's window.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tinyvirat_build import geometry
from tinyvirat_build.errors import Work
from tinyvirat_build.geometry.arrays import Bools, Floats
from tinyvirat_build.geometry.meetings import PIECE, Courses, meetings
from tinyvirat_build.records import KEYS
from tinyvirat_build.stages.activity_boxes import (
    Activities,
    ActorBoxes,
    casts_of,
    read_activities,
    read_boxes,
)
from tinyvirat_build.stages.tables import VideoRows, each_video


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
    found = []
    numbered = clips.assign(row=np.arange(len(clips)))
    for _, (rows, activity_rows, box_rows) in each_video(numbered, activities, boxes):
        own, given = read_activities(activity_rows), read_boxes(box_rows)
        pairs: set[tuple[int, int]] = set()
        for part in geometry.pieces(rows.ints("end") - rows.ints("start"), PIECE):
            pairs |= _seen_in(_windows(rows.part(part)), own, given)
        found.append(_Seen(sorted(pairs), own))
    return found


def _seen_in(windows: Courses, own: Activities, given: ActorBoxes) -> set[tuple[int, int]]:
    """The clips, by their windows, with the activities that are seen in each."""
    casts, work = casts_of(own), Work(sys.maxsize, "pairs of boxes")
    span = int(windows.frame.min()), int(windows.frame.max()) + 1
    found: set[tuple[int, int]] = set()
    for boxes in given.of_casts(casts, *span):
        for clip, cast, start, end in meetings(windows, boxes, _half_inside, work):
            for at, activity in casts.playing(cast, start, end, work):
                found.update(zip(clip[at].tolist(), activity.tolist(), strict=True))
    return found


def _half_inside(window: Floats, box: Floats) -> Bools:
    """Whether half of each box or more, by area, lies inside the window beside it."""
    area = geometry.areas(box)
    found: Bools = (area > 0) & (2 * geometry.common_area(box, window) >= area)
    return found


def _windows(clips: VideoRows) -> Courses:
    """The windows of clips of one video, frame by frame; each clip is named by its row."""
    start = clips.ints("start")
    length = clips.ints("end") - start
    x, y = (np.concatenate([np.asarray(c, np.float64) for c in clips[xy]]) for xy in "xy")
    width = np.repeat(clips.ints("width"), length)
    height = np.repeat(clips.ints("height"), length)
    reach = np.stack([-x, -y, x + width, y + height])
    return Courses(np.repeat(clips.ints("row"), length), geometry.ranges(start, length), reach)
