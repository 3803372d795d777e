"""Segment: tracks are joined while they continue with equal labels, and cut where labels change.

A component *continues* from one frame to the next if it shares an activity with exactly one
component of the next frame, and that one with exactly it (docs/semantics.md, "Segment";
TinyVIRAT, "clips are split where the labels change in time").
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence

import pandas as pd

from tinyvirat_build.records import Key, StageResult
from tinyvirat_build.settings import Merge
from tinyvirat_build.stages.merge import Track
from tinyvirat_build.stages.tables import Made, VideoRows, video_by_video


def segment(
    tracks: pd.DataFrame, activities: pd.DataFrame, settings: Merge, *, classes: Sequence[str]
) -> StageResult:
    """The segments of each video: table ``segments``, in the order of their first tracks.

    A segment is a chain of tracks, each continuing the one before it, with one label set: the
    union of their activities' labels, in the order of ``classes``. Where two components join or
    one parts, all segments end and begin anew, even with equal labels. With
    ``settings.unit == "activity"`` every track is a segment. The balance counts frames.
    """
    place = {name: i for i, name in enumerate(classes)}
    make = functools.partial(_segmented, settings=settings, place=place)
    return video_by_video("segment", "segments", "frames", make, tracks, activities)


def _segmented(
    key: Key, tracks: VideoRows, activities: VideoRows, *, settings: Merge, place: Mapping[str, int]
) -> Made:
    ids, given = tracks.ints("track_id").tolist(), read_tracks(tracks)
    names, lists = activities.texts("activity_id"), activities.lists("labels")
    labels_of = dict(zip(names, lists, strict=True))
    labels = [
        tuple(sorted({name for a in members for name in labels_of[a]}, key=place.__getitem__))
        for _, _, members in given
    ]
    follows = continuations(given) if settings.unit == "component" else {}
    chains: list[list[int]] = []
    chain_of: dict[int, list[int]] = {}
    for i in sorted(range(len(given)), key=lambda i: (given[i][0], ids[i])):
        before = follows.get(i)
        if before is not None and labels[before] == labels[i]:
            chain = chain_of[before]
        else:
            chain = []
            chains.append(chain)
        chain.append(i)
        chain_of[i] = chain
    chains.sort(key=lambda chain: ids[chain[0]])
    rows = {
        "segment_id": range(len(chains)),
        "start": [given[chain[0]][0] for chain in chains],
        "end": [given[chain[-1]][1] for chain in chains],
        "labels": [labels[chain[0]] for chain in chains],
        "activities": [tuple(sorted({a for i in chain for a in given[i][2]})) for chain in chains],
        "tracks": [tuple(ids[i] for i in chain) for chain in chains],
    }
    frames = sum(end - start for start, end, _ in given)
    return Made(rows, frames, frames)


def read_tracks(tracks: VideoRows) -> list[Track]:
    """One video's rows of the table ``tracks``."""
    start, end = tracks.ints("start").tolist(), tracks.ints("end").tolist()
    return list(zip(start, end, tracks.lists("activities"), strict=True))


def tracks_by_id(tracks: VideoRows) -> dict[int, Track]:
    """One video's tracks by their ids."""
    return dict(zip(tracks.ints("track_id").tolist(), read_tracks(tracks), strict=True))


def continuations(tracks: Sequence[Track]) -> dict[int, int]:
    """Which track continues which: position of the later to position of the earlier one.

    >>> tracks = [(0, 5, ("a",)), (0, 5, ("b",)), (5, 9, ("a", "b")), (9, 12, ("b",))]
    >>> continuations(tracks)
    {3: 2}
    """
    befores: list[set[int]] = [set() for _ in tracks]
    latest: dict[str, int] = {}  # the last track of each activity so far; it is in one at a time
    for i in sorted(range(len(tracks)), key=lambda i: tracks[i][0]):
        start, _, members = tracks[i]
        known = (latest[a] for a in members if a in latest)
        befores[i] = {before for before in known if tracks[before][1] == start}
        latest.update(dict.fromkeys(members, i))
    afters: dict[int, int] = defaultdict(int)
    for found in befores:
        for i in found:
            afters[i] += 1
    return {
        i: before
        for i, found in enumerate(befores)
        for before in found
        if len(found) == 1 and afters[before] == 1
    }
