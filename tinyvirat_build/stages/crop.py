"""Crop: the window of every clip in space; a chunk with a window is a planned clip.

The window has a constant size over the clip and holds every frame's box. By default it is the
smallest even square, its centre follows the boxes, smoothed, and a window over 128 pixels is
refused (docs/semantics.md, "Crop"; TinyVIRAT, "clips spatially smaller than 128×128 are kept").
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from tinyvirat_build import geometry
from tinyvirat_build.errors import BoundError, compared
from tinyvirat_build.geometry.arrays import Floats, Ints
from tinyvirat_build.geometry.meetings import PIECE, Courses, meetings
from tinyvirat_build.records import Issue, Key, StageResult
from tinyvirat_build.settings import Crop
from tinyvirat_build.stages import window
from tinyvirat_build.stages.activity_boxes import (
    Activities,
    ActorBoxes,
    casts_of,
    read_activities,
    read_boxes,
)
from tinyvirat_build.stages.merge import Track
from tinyvirat_build.stages.segment import tracks_by_id
from tinyvirat_build.stages.tables import Made, VideoRows, video_by_video
from tinyvirat_build.stages.window import Windows


@dataclass(frozen=True, slots=True)
class _Spans:
    """Chunks or segments of one video: ``C`` of them."""

    segment_id: list[int]
    start: Ints
    end: Ints
    labels: list[tuple[str, ...]]
    activities: list[tuple[str, ...]]
    tracks: list[tuple[int, ...]]

    def __len__(self) -> int:
        return len(self.start)

    def take(self, at: Ints) -> _Spans:
        """Those at the positions ``at``."""
        return _Spans(
            [self.segment_id[i] for i in at],
            self.start[at],
            self.end[at],
            [self.labels[i] for i in at],
            [self.activities[i] for i in at],
            [self.tracks[i] for i in at],
        )


def crop(
    chunks: pd.DataFrame,
    tracks: pd.DataFrame,
    activities: pd.DataFrame,
    boxes: pd.DataFrame,
    videos: pd.DataFrame,
    settings: Crop,
    *,
    classes: Sequence[str],
    unit: Literal["component", "activity"] = "component",
    segments: pd.DataFrame | None = None,
    names: Mapping[str, str] | None = None,
) -> StageResult:
    """The clips of each video: table ``clips_planned``, in the order of the chunks.

    ``unit`` is ``merge.unit``: with ``activity`` each clip has an ``activity_id``, and a
    ``released_id`` ``<activity id>_<name>_<first frame>_<last frame>``, whose name goes through
    ``names`` (annotated to released; a name that is not in it stays). ``segments`` is needed
    with ``scope: segment``. The picture's size is that of ``videos``.

    A chunk whose window would be larger than ``max_side`` (``too_large``), that has no label
    (``unlabelled``), or no box (``no_geometry``) is an issue. The balance counts clips.

    Raises:
        ValueError: ``scope: segment`` without ``segments``.
    """
    if settings.scope == "segment" and segments is None:
        raise ValueError("crop.scope segment measures segments; pass segments=")
    make = functools.partial(
        _cropped, settings=settings, classes=tuple(classes), unit=unit, names=names or {}
    )
    tables = (chunks, tracks, activities, boxes, videos)
    measured = (segments,) if settings.scope == "segment" and segments is not None else ()
    return video_by_video("crop", "clips_planned", "clips", make, *tables, *measured)


def _cropped(
    key: Key,
    chunks: VideoRows,
    tracks: VideoRows,
    activities: VideoRows,
    boxes: VideoRows,
    videos: VideoRows,
    segments: VideoRows | None = None,
    *,
    settings: Crop,
    classes: tuple[str, ...],
    unit: Literal["component", "activity"],
    names: Mapping[str, str],
) -> Made:
    picture = int(videos.ints("width")[0]), int(videos.ints("height")[0])
    video = _Video(
        key, picture, tracks_by_id(tracks), read_activities(activities), read_boxes(boxes), settings
    )
    spans = _read_spans(chunks)
    try:
        measured = None if segments is None else _read_spans(segments)
        values, issues = video.plan(spans, measured, classes, unit, names)
    except BoundError as e:
        about = f"video {key.video_id}"
        issues = [Issue("crop", "bound", "quarantined", about, count=len(spans), detail=e.what)]
        values = {"start": []}
    return Made(values, len(spans), len(values["start"]), issues)


def _read_spans(rows: VideoRows) -> _Spans:
    return _Spans(
        rows.ints("segment_id").tolist(),
        rows.ints("start"),
        rows.ints("end"),
        rows.lists("labels"),
        rows.lists("activities"),
        rows.lists("tracks"),
    )


class _Video:
    """What the crop of one video needs."""

    def __init__(
        self,
        key: Key,
        picture: tuple[int, int],
        tracks: Mapping[int, Track],
        activities: Activities,
        boxes: ActorBoxes,
        settings: Crop,
    ) -> None:
        self.key, self.picture, self.tracks = key, picture, tracks
        self.activities, self.boxes, self.settings = activities, boxes, settings
        self.place = {name: i for i, name in enumerate(activities.ids)}
        self.codes: dict[int, list[int]] = {}

    def plan(
        self,
        chunks: _Spans,
        segments: _Spans | None,
        classes: tuple[str, ...],
        unit: Literal["component", "activity"],
        names: Mapping[str, str],
    ) -> tuple[dict[str, list[object]], list[Issue]]:
        """The columns of the clips, and the issues of the chunks that are none.

        Raises:
            BoundError: too many boxes meet the windows.
        """
        measured = None
        if segments is not None:
            sizes = [self.widest(segments.take(part)) for part in _parts(segments)]
            row = {s: i for i, s in enumerate(segments.segment_id)}
            measured = np.concatenate(sizes, axis=1)[:, [row[s] for s in chunks.segment_id]]
        values: dict[str, list[object]] = {}
        refused: dict[str, list[Issue]] = {"no_geometry": [], "too_large": [], "unlabelled": []}
        for part in _parts(chunks):
            extent = None if measured is None else measured[:, part]
            found = self.plan_part(chunks.take(part), extent, classes, unit, names, refused)
            for name, column in found.items():
                values.setdefault(name, []).extend(column)
        return values, [issue for issues in refused.values() for issue in issues]

    def widest(self, spans: _Spans) -> Floats:
        """The size ``(2, C)`` that holds the boxes of each span."""
        return window.widest(*self.pieces_of(*self.frames_of(spans)), self.settings)

    def plan_part(
        self,
        chunks: _Spans,
        extent: Floats | None,
        classes: tuple[str, ...],
        unit: Literal["component", "activity"],
        names: Mapping[str, str],
        refused: Mapping[str, list[Issue]],
    ) -> dict[str, list[object]]:
        """The columns of some chunks' clips; those that are none are added to ``refused``.

        ``extent``: what their windows have to hold, if that is not their own boxes.
        """
        settings = self.settings
        reach, at = self.frames_of(chunks)
        pieces, piece_at = self.pieces_of(reach, at)
        own = window.widest(pieces, piece_at, settings)
        there = np.isfinite(own[0])
        size = window.snap(own if extent is None else extent, settings)
        fits = size.max(axis=0) <= settings.max_side
        refused["no_geometry"].extend(
            self.issue(chunks, i, unit, "no_geometry", "no box on any frame")
            for i in np.flatnonzero(~there).tolist()
        )
        refused["too_large"].extend(
            self.issue(chunks, i, unit, "too_large", f"side {size[:, i].max():g}")
            for i in np.flatnonzero(there & ~fits).tolist()
        )
        actor_side = np.maximum.reduceat(geometry.sizes(reach).max(axis=0), at[:-1])
        kept = np.flatnonzero(there & fits)
        pieces, piece_at = _pick(pieces, piece_at, kept)
        chunks, size, actor_side = chunks.take(kept), size[:, kept], actor_side[kept]
        windows = window.place(pieces, piece_at, size, self.picture, settings)
        corner, rectangles = windows.corner, windows.crop
        frame_at = geometry.offsets(chunks.end - chunks.start)
        if settings.mode == "static":
            length = np.diff(frame_at)
            corner = np.repeat(corner, length, axis=1)
            rectangles = np.repeat(rectangles, length, axis=1)
        labels = chunks.labels
        if settings.labels == "window":
            labels = self.labels_met(chunks, rectangles, classes)
        labelled = np.fromiter(map(bool, labels), bool, len(labels))
        refused["unlabelled"].extend(
            self.issue(chunks, i, unit, "unlabelled", "")
            for i in np.flatnonzero(~labelled).tolist()
        )
        chosen = np.flatnonzero(labelled).tolist()
        windows = Windows(windows.size, corner, rectangles)
        return self.columns(chunks, windows, frame_at, actor_side, labels, chosen, unit, names)

    def frames_of(self, spans: _Spans) -> tuple[Floats, Ints]:
        """The union of the boxes of each span's activities, frame by frame, end to end.

        An actor of several activities is asked for once: all of them have a box where it has.
        """
        at = geometry.offsets(spans.end - spans.start)
        reach = geometry.no_reach(int(at[-1]))
        asked: list[tuple[int, int, int, int]] = []
        for first, start, end, within in zip(
            at[:-1].tolist(), spans.start.tolist(), spans.end.tolist(), spans.tracks, strict=True
        ):
            for track in within:
                begins, ends, _ = self.tracks[track]
                low, high = max(start, begins), min(end, ends)
                asked += [(actor, low, high, first - start) for actor in self.actors_of(track)]
        actor, low, high, shift = np.array(asked, np.int64).reshape(-1, 4).T
        begin, count = self.boxes.rows(actor, low, high)
        for part in geometry.pieces(count, PIECE):
            rows = geometry.ranges(begin[part], count[part])
            place = self.boxes.frame[rows] + np.repeat(shift[part], count[part])
            for side in range(4):
                np.maximum.at(reach[side], place, self.boxes.reach[side, rows])
        return self.in_picture(reach), at

    def actors_of(self, track: int) -> list[int]:
        """The actors of a track's activities that have boxes."""
        if track not in self.codes:
            members = self.tracks[track][2]
            names = dict.fromkeys(
                name for a in members for name in self.activities.actors[self.place[a]]
            )
            self.codes[track] = self.boxes.codes(tuple(names))
        return self.codes[track]

    def in_picture(self, reach: Floats) -> Floats:
        """Boxes as the settings' grid takes them: on the even one, inside the picture."""
        if self.settings.grid == "even":
            return geometry.clip_to(reach, *self.picture)
        return reach

    def pieces_of(self, reach: Floats, at: Ints) -> tuple[Floats, Ints]:
        """What one position of a window has to hold: a frame's box, or the whole clip's."""
        if self.settings.mode == "follow":
            return reach, at
        return np.maximum.reduceat(reach, at[:-1], axis=1), np.arange(len(at))

    def labels_met(
        self, chunks: _Spans, rectangles: Floats, classes: tuple[str, ...]
    ) -> list[tuple[str, ...]]:
        """Each chunk's labels with those of every activity whose box meets its window.

        On at least one common frame, with an area in common.
        """
        found = [set(own) for own in chunks.labels]
        length = chunks.end - chunks.start
        clip = np.repeat(np.arange(len(chunks)), length)
        windows = Courses(clip, geometry.ranges(chunks.start, length), rectangles)
        casts, work = casts_of(self.activities), compared()
        span = int(chunks.start.min(initial=0)), int(chunks.end.max(initial=0))
        for boxes in self.boxes.of_casts(casts, *span):
            seen = Courses(boxes.owner, boxes.frame, self.in_picture(boxes.reach))
            for clips, cast, start, end in meetings(windows, seen, window.meets, work):
                for at, activity in casts.playing(cast, start, end, work):
                    pairs = np.unique(clips[at] * len(self.activities) + activity)
                    for pair in pairs.tolist():
                        c, a = divmod(pair, len(self.activities))
                        found[c].update(self.activities.labels[a])
        place = {name: i for i, name in enumerate(classes)}
        return [tuple(sorted(names, key=place.__getitem__)) for names in found]

    def columns(
        self,
        chunks: _Spans,
        windows: Windows,
        at: Ints,
        actor_side: Floats,
        labels: Sequence[tuple[str, ...]],
        chosen: Sequence[int],
        unit: Literal["component", "activity"],
        names: Mapping[str, str],
    ) -> dict[str, list[object]]:
        """The clips of the chosen chunks, column by column."""
        corner = windows.corner.astype(np.int32)
        size = windows.size.T.tolist()
        lists = [corner[:, at[i] : at[i + 1]] for i in chosen]
        single = unit == "activity"
        return {
            "clip_id": [
                clip_id(
                    self.key,
                    int(chunks.start[i]),
                    int(chunks.end[i]),
                    chunks.activities[i],
                    size[i],
                    xy,
                )
                for i, xy in zip(chosen, lists, strict=True)
            ],
            "segment_id": [chunks.segment_id[i] for i in chosen],
            "start": [int(chunks.start[i]) for i in chosen],
            "end": [int(chunks.end[i]) for i in chosen],
            "width": [size[i][0] for i in chosen],
            "height": [size[i][1] for i in chosen],
            "x": [tuple(xy[0].tolist()) for xy in lists],
            "y": [tuple(xy[1].tolist()) for xy in lists],
            "actor_side": [float(actor_side[i]) for i in chosen],
            "labels": [labels[i] for i in chosen],
            "activities": [chunks.activities[i] for i in chosen],
            "activity_id": [chunks.activities[i][0] if single else None for i in chosen],
            "released_id": [self.released_id(chunks, i, names) if single else None for i in chosen],
        }

    def released_id(self, chunks: _Spans, i: int, names: Mapping[str, str]) -> str:
        """``<activity id>_<name>_<first>_<last>``, inclusive, as the released rows name clips."""
        activity = chunks.activities[i][0]
        name = self.activities.names[self.place[activity]]
        return f"{activity}_{names.get(name, name)}_{chunks.start[i]}_{chunks.end[i] - 1}"

    def issue(self, chunks: _Spans, i: int, unit: str, reason: str, detail: str) -> Issue:
        """A chunk that is no clip."""
        what = (
            f"activity {chunks.activities[i][0]}"
            if unit == "activity"
            else f"segment {chunks.segment_id[i]}"
        )
        record = f"{what} frames [{chunks.start[i]}, {chunks.end[i]})"
        return Issue("crop", reason, "dropped", record, detail=detail)


def _parts(spans: _Spans) -> list[Ints]:
    """Positions of spans, in parts of few enough frames to be worked on at once."""
    return [
        np.arange(part.start, part.stop) for part in geometry.pieces(spans.end - spans.start, PIECE)
    ]


def _pick(reach: Floats, at: Ints, chosen: Ints) -> tuple[Floats, Ints]:
    """The pieces of the chosen clips only."""
    lengths = np.diff(at)[chosen]
    return reach[:, geometry.ranges(at[:-1][chosen], lengths)], geometry.offsets(lengths)


def clip_id(
    key: Key,
    start: int,
    end: int,
    activities: Sequence[str],
    size: Sequence[int],
    corner: np.ndarray[tuple[int, int], np.dtype[np.int32]],
) -> str:
    """The id of a clip: 16 hex digits of SHA-256 over what it shows; labels take no part.

    ``corner``: left and upper edges ``(2, T)``.
    """
    head = json.dumps([*key, start, end, sorted(activities), *size], separators=(",", ":"))
    digest = hashlib.sha256(head.encode())
    digest.update(corner.astype("<i4").tobytes())
    return digest.hexdigest()[:16]
