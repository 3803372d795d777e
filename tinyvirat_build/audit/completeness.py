"""Label completeness: does a clip carry the labels of all that can be seen in it, and no others?

An activity is seen in a clip on a frame if half of its box or more (by area) lies inside the
clip's window. A clip is *complete* if it has the label of every mapped activity that is seen on
one frame or more, and *pure* if each of its labels is seen on half of its frames or more.
"""

from __future__ import annotations

import sys
from collections.abc import Container
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from tinyvirat_build import geometry
from tinyvirat_build.errors import Work
from tinyvirat_build.geometry.meetings import PIECE, Courses, Runs
from tinyvirat_build.records import KEYS
from tinyvirat_build.stages.activity_boxes import (
    Activities,
    ActorBoxes,
    read_activities,
    read_boxes,
)
from tinyvirat_build.stages.reach import seen_in
from tinyvirat_build.stages.sight import inside
from tinyvirat_build.stages.tables import VideoRows, each_video


@dataclass(slots=True)
class Sights:
    """What is seen in one clip.

    ``missing``: labels that it does not carry; ``unmapped``: names without a label; ``brief``:
    labels of its own that are seen on under half of its frames.
    """

    missing: set[str] = field(default_factory=set)
    unmapped: set[str] = field(default_factory=set)
    brief: set[str] = field(default_factory=set)


def sights(clips: pd.DataFrame, activities: pd.DataFrame, boxes: pd.DataFrame) -> list[Sights]:
    """What is seen in each clip, in the order of ``clips``.

    ``clips`` is any table of clips with windows; ``activities`` and ``boxes`` are those that
    parse wrote.
    """
    found = [Sights() for _ in range(len(clips))]
    numbered = clips.assign(row=np.arange(len(clips)))
    for _, (rows, activity_rows, box_rows) in each_video(numbered, activities, boxes):
        own, given = read_activities(activity_rows), read_boxes(box_rows)
        for part in geometry.pieces(rows.ints("end") - rows.ints("start"), PIECE):
            _look(rows.part(part), own, given, found)
    return found


def completeness(
    clips: pd.DataFrame,
    activities: pd.DataFrame,
    boxes: pd.DataFrame,
    used: Container[str] | None = None,
) -> pd.DataFrame:
    """One row a clip: keys, clip_id, labels, and what its window shows.

    ``complete`` and ``pure`` say whether ``missing`` and ``brief`` are empty. ``missing`` are the
    labels of mapped activities seen in the clip that it does not carry, in order; labels that are
    not ``used``, by default those of these clips, do not count: the filter took them out.
    ``unmapped`` are the names of activities without a label that are seen in it, ``brief`` its
    labels that are seen on under half of its frames.
    """
    if used is None:
        used = {label for labels in clips["labels"] for label in labels}
    every = sights(clips, activities, boxes)
    missing = [tuple(sorted(x for x in one.missing if x in used)) for one in every]
    table = clips[[*KEYS, "clip_id", "labels"]].reset_index(drop=True)
    return table.assign(
        complete=np.array([not labels for labels in missing], dtype=bool),
        pure=np.array([not one.brief for one in every], dtype=bool),
        missing=pd.Series(missing, dtype=object),
        unmapped=pd.Series([tuple(sorted(one.unmapped)) for one in every], dtype=object),
        brief=pd.Series([tuple(sorted(one.brief)) for one in every], dtype=object),
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


def _look(rows: VideoRows, own: Activities, given: ActorBoxes, found: list[Sights]) -> None:
    """Add what is seen in some clips of one video."""
    numbers, labels = rows.ints("row").tolist(), rows.lists("labels")
    place = {name: i for i, name in enumerate(sorted({x for part in labels for x in part}))}
    clip, activity, start, end = _runs(_windows(rows), own, given)
    for row, a in {*zip(clip.tolist(), activity.tolist(), strict=True)}:
        if own.labels[a]:
            found[row].missing.update(own.labels[a])
        else:
            found[row].unmapped.add(own.names[a])
    # Each label's frames: those of all activities that have it, each frame once.
    codes = [[place[x] for x in one if x in place] for one in own.labels]
    count = np.array([len(one) for one in codes], np.int64)[activity]
    each = np.repeat(np.arange(len(activity)), count)
    label = np.array([c for a in activity.tolist() for c in codes[a]], np.int64)
    pair = clip[each] * max(len(place), 1) + label
    pairs, at = np.unique(pair, return_inverse=True)
    new = geometry.new_frames(pair, start[each], end[each])
    frames = dict(zip(pairs.tolist(), np.bincount(at, new).tolist(), strict=True))
    length = rows.ints("end") - rows.ints("start")
    for row, carried, n in zip(numbers, labels, length.tolist(), strict=True):
        seen = found[row]
        seen.missing.difference_update(carried)
        shown = {x: frames.get(row * max(len(place), 1) + place[x], 0) for x in carried}
        seen.brief.update(x for x, k in shown.items() if 2 * k < n)


def _runs(windows: Courses, own: Activities, given: ActorBoxes) -> Runs:
    """Runs of frames on which activities are seen in clips: clip, activity, start, end."""
    none = np.zeros(0, np.int64)
    work = Work(sys.maxsize, "pairs of boxes")
    found = [(none, none, none, none), *seen_in(windows, own, given, inside(0.5), work)]
    clip, activity, start, end = (np.concatenate(column) for column in zip(*found, strict=True))
    return clip, activity, start, end


def _windows(clips: VideoRows) -> Courses:
    """The windows of clips of one video, frame by frame; each clip is named by its row."""
    start = clips.ints("start")
    length = clips.ints("end") - start
    x, y = (np.concatenate([np.asarray(c, np.float64) for c in clips[xy]]) for xy in "xy")
    width = np.repeat(clips.ints("width"), length)
    height = np.repeat(clips.ints("height"), length)
    reach = np.stack([-x, -y, x + width, y + height])
    return Courses(np.repeat(clips.ints("row"), length), geometry.ranges(start, length), reach)
