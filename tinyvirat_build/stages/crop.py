"""Crop: the window of every clip in space; a chunk with a window is a planned clip.

The window has a constant size over the clip and holds every frame's box. By default it is the
smallest even square, its centre follows the boxes, smoothed, and a window over 128 pixels is
refused (docs/semantics.md, "Crop"; TinyVIRAT, "clips spatially smaller than 128×128 are kept").
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from tinyvirat_build import geometry
from tinyvirat_build.errors import BoundError
from tinyvirat_build.geometry.arrays import Floats, Ints
from tinyvirat_build.geometry.meetings import PIECE, Runs
from tinyvirat_build.records import Issue, Key, StageResult
from tinyvirat_build.settings import Chunk, Crop, Merge
from tinyvirat_build.stages import window
from tinyvirat_build.stages.activity_boxes import (
    read_activities,
    read_boxes,
)
from tinyvirat_build.stages.reach import Reaches, Spans
from tinyvirat_build.stages.segment import tracks_by_id
from tinyvirat_build.stages.sight import Sighting, by_clip, inside, parts
from tinyvirat_build.stages.tables import Made, VideoRows, video_by_video
from tinyvirat_build.stages.window import Windows

Span: TypeAlias = tuple[int, int, int]  # segment, start, end
_REFUSALS: Final = ("no_geometry", "too_large", "unlabelled", "short", "half_seen")


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
    bridge: int = Merge().bridge,
    min_frames: int = Chunk().min_frames,
) -> StageResult:
    """The clips of each video: table ``clips_planned``, in the order of the chunks.

    ``unit`` is ``merge.unit``: with ``activity`` each clip has an ``activity_id``, and a
    ``released_id`` ``<activity id>_<name>_<first frame>_<last frame>``, whose name goes through
    ``names`` (annotated to released; a name that is not in it stays). ``segments`` is needed
    with ``scope: segment``. The picture's size is that of ``videos``.

    A chunk whose window would be larger than ``max_side`` (``too_large``), that has no label
    (``unlabelled``), or no box (``no_geometry``) is an issue. The balance counts the frames of
    segments, those that several of their chunks share once.

    With ``labels: split`` a chunk is cut where the labels that can be seen in its window change,
    smoothed with ``bridge`` (``merge.bridge``). Its parts keep its window; those under
    ``min_frames`` (``chunk.min_frames``) are issues (``short``), and so are those with a label
    that is seen on under half of their frames (``half_seen``).

    Raises:
        ValueError: ``scope: segment`` without ``segments``.
    """
    if settings.scope == "segment" and segments is None:
        raise ValueError("crop.scope segment measures segments; pass segments=")
    make = functools.partial(
        _cropped,
        settings=settings,
        rule=_Rule(tuple(classes), unit, names or {}, bridge, min_frames),
    )
    tables = (chunks, tracks, activities, boxes, videos)
    measured = (segments,) if settings.scope == "segment" and segments is not None else ()
    return video_by_video("crop", "clips_planned", "frames", make, *tables, *measured)


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a crop depends on beside its own settings."""

    classes: tuple[str, ...]
    unit: Literal["component", "activity"]
    names: Mapping[str, str]
    bridge: int
    min_frames: int


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
    rule: _Rule,
) -> Made:
    picture = int(videos.ints("width")[0]), int(videos.ints("height")[0])
    clipped = picture if settings.grid != "truncate" else None
    reaches = Reaches(tracks_by_id(tracks), read_activities(activities), read_boxes(boxes), clipped)
    video = _Video(key, picture, reaches, settings, rule)
    spans = _read_spans(chunks)
    given = list(zip(spans.segment_id, spans.start.tolist(), spans.end.tolist(), strict=True))
    try:
        measured = None if segments is None else _read_spans(segments)
        values, refused = video.plan(spans, measured)
    except BoundError as e:
        about = f"video {key.video_id}"
        refused = [_Refused(Issue("crop", "bound", "quarantined", about, detail=e.what), given)]
        values = {name: [] for name in ("segment_id", "start", "end")}
    count = _frames_of(given)
    kept = sum(map(count, zip(*(values[n] for n in ("segment_id", "start", "end")), strict=True)))
    issues = [replace(one.issue, count=sum(map(count, one.spans))) for one in refused]
    return Made(values, sum(map(_frames_of(given), given)), kept, issues)


class _Refused(NamedTuple):
    """An issue, and the spans that are no clips by it."""

    issue: Issue
    spans: Sequence[Span]


def _frames_of(spans: Iterable[Span]) -> Callable[[Span], int]:
    """A function that counts the frames of a span that no span before it had."""
    bounds: dict[int, tuple[int, int]] = {}
    for segment, start, end in spans:
        low, high = bounds.get(segment, (start, end))
        bounds[segment] = min(low, start), max(high, end)
    covered = {segment: geometry.Covered(*bound) for segment, bound in bounds.items()}
    return lambda span: covered[span[0]].add(*span[1:])


def _read_spans(rows: VideoRows) -> Spans:
    return Spans(
        rows.ints("segment_id").tolist(),
        rows.ints("start"),
        rows.ints("end"),
        rows.lists("labels"),
        rows.lists("activities"),
        rows.lists("tracks"),
    )


@dataclass(frozen=True, slots=True)
class _Video:
    """What the crop of one video needs; ``picture`` is its width and height."""

    key: Key
    picture: tuple[int, int]
    reaches: Reaches
    settings: Crop
    rule: _Rule

    def plan(
        self, chunks: Spans, segments: Spans | None
    ) -> tuple[dict[str, list[Any]], list[_Refused]]:
        """The columns of the clips, and the chunks that are none.

        Raises:
            BoundError: too many boxes meet the windows.
        """
        measured = None
        if segments is not None:
            sizes = [self.widest(segments.take(part)) for part in _parts(segments)]
            row = {s: i for i, s in enumerate(segments.segment_id)}
            measured = np.concatenate(sizes, axis=1)[:, [row[s] for s in chunks.segment_id]]
        values: dict[str, list[Any]] = {name: [] for name in ("segment_id", "start", "end")}
        refused: dict[str, list[_Refused]] = {reason: [] for reason in _REFUSALS}
        for part in _parts(chunks):
            extent = None if measured is None else measured[:, part]
            found = self.plan_part(chunks.take(part), extent, refused)
            for name, column in found.items():
                values.setdefault(name, []).extend(column)
        return values, [one for found in refused.values() for one in found]

    def widest(self, spans: Spans) -> Floats:
        """The size ``(2, C)`` that holds the boxes of each span."""
        return window.widest(*self.pieces_of(*self.reaches.frames_of(spans)), self.settings)

    def plan_part(
        self,
        chunks: Spans,
        extent: Floats | None,
        refused: Mapping[str, list[_Refused]],
    ) -> dict[str, list[Any]]:
        """The columns of some chunks' clips; those that are none are added to ``refused``.

        ``extent``: what their windows have to hold, if that is not their own boxes.
        """
        settings = self.settings
        reach, at = self.reaches.frames_of(chunks)
        pieces, piece_at = self.pieces_of(reach, at)
        own = window.widest(pieces, piece_at, settings)
        there = np.isfinite(own[0])
        size = window.snap(own if extent is None else extent, settings)
        fits = size.max(axis=0) <= settings.max_side
        refused["no_geometry"].extend(
            self.refusal(chunks, i, "no_geometry", "no box on any frame")
            for i in np.flatnonzero(~there).tolist()
        )
        refused["too_large"].extend(
            self.refusal(chunks, i, "too_large", f"side {size[:, i].max():g}")
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
        windows = Windows(windows.size, corner, rectangles)
        if settings.labels == "split":
            clips = self.seen_apart(chunks, rectangles, refused)
        else:
            labels = chunks.labels
            if settings.labels == "window":
                labels = self.labels_met(chunks, rectangles)
            clips = [
                (i, Sighting(start, end, own, (), ()))
                for i, (start, end, own) in enumerate(
                    zip(chunks.start.tolist(), chunks.end.tolist(), labels, strict=True)
                )
            ]
        refused["unlabelled"].extend(
            self.refusal(chunks, i, "unlabelled", "", part) for i, part in clips if not part.labels
        )
        clips = [(i, part) for i, part in clips if part.labels]
        return self.columns(chunks, windows, frame_at, actor_side, clips)

    def seen_apart(
        self, chunks: Spans, rectangles: Floats, refused: Mapping[str, list[_Refused]]
    ) -> list[tuple[int, Sighting]]:
        """The parts of chunks over which the labels seen stay the same, each with its chunk."""
        seen = by_clip(self.neighbours(chunks, rectangles))
        place = {name: i for i, name in enumerate(self.rule.classes)}
        clips = []
        for i in range(len(chunks)):
            span = int(chunks.start[i]), int(chunks.end[i])
            for part in parts(
                span, chunks.labels[i], seen.get(i, ()), self.reaches.activities,
                place=place, bridge=self.rule.bridge,
            ):  # fmt: skip
                if part.end - part.start < self.rule.min_frames:
                    refused["short"].append(self.refusal(chunks, i, "short", "", part))
                elif part.briefly:
                    names = " ".join(part.briefly)
                    refused["half_seen"].append(self.refusal(chunks, i, "half_seen", names, part))
                else:
                    clips.append((i, part))
        return clips

    def neighbours(self, chunks: Spans, rectangles: Floats) -> Iterator[Runs]:
        """Runs of frames on which activities that are not a chunk's own are seen in its window.

        Yields positions of chunks, activities, starts and ends.
        """
        own = [{self.reaches.place[a] for a in members} for members in chunks.activities]
        mapped = np.fromiter(
            map(bool, self.reaches.activities.labels), bool, len(self.reaches.activities)
        )
        for clip, activity, start, end in self.reaches.met(
            chunks, rectangles, inside(self.settings.seen)
        ):
            other = [a not in own[c] for c, a in zip(clip.tolist(), activity.tolist(), strict=True)]
            at = np.flatnonzero(mapped[activity] & np.array(other, bool))
            yield clip[at], activity[at], start[at], end[at]

    def pieces_of(self, reach: Floats, at: Ints) -> tuple[Floats, Ints]:
        """What one position of a window has to hold: a frame's box, or the whole clip's."""
        if self.settings.mode == "follow":
            return reach, at
        return np.maximum.reduceat(reach, at[:-1], axis=1), np.arange(len(at))

    def labels_met(self, chunks: Spans, rectangles: Floats) -> list[tuple[str, ...]]:
        """Each chunk's labels with those of every activity whose box meets its window.

        On at least one common frame, with an area in common.
        """
        found = [set(own) for own in chunks.labels]
        for clip, activity, _, _ in self.reaches.met(chunks, rectangles, window.meets):
            for pair in np.unique(clip * len(self.reaches.activities) + activity).tolist():
                c, a = divmod(pair, len(self.reaches.activities))
                found[c].update(self.reaches.activities.labels[a])
        place = {name: i for i, name in enumerate(self.rule.classes)}
        return [tuple(sorted(names, key=place.__getitem__)) for names in found]

    def columns(
        self,
        chunks: Spans,
        windows: Windows,
        at: Ints,
        actor_side: Floats,
        clips: Sequence[tuple[int, Sighting]],
    ) -> dict[str, list[Any]]:
        """The clips, each a part of a chunk, column by column."""
        corner = windows.corner.astype(np.int32)
        size = windows.size.T.tolist()
        first = at[:-1] - chunks.start  # where a frame's corner stands, less the frame
        lists = [corner[:, first[i] + p.start : first[i] + p.end] for i, p in clips]
        members = [self.members(chunks, i, part) for i, part in clips]
        single = self.rule.unit == "activity"
        return {
            "clip_id": [
                clip_id(self.key, part.start, part.end, own, size[i], xy)
                for (i, part), own, xy in zip(clips, members, lists, strict=True)
            ],
            "segment_id": [chunks.segment_id[i] for i, _ in clips],
            "start": [part.start for _, part in clips],
            "end": [part.end for _, part in clips],
            "width": [size[i][0] for i, _ in clips],
            "height": [size[i][1] for i, _ in clips],
            "x": [tuple(xy[0].tolist()) for xy in lists],
            "y": [tuple(xy[1].tolist()) for xy in lists],
            "actor_side": [float(actor_side[i]) for i, _ in clips],
            "labels": [part.labels for _, part in clips],
            "activities": members,
            "seen_activities": [part.neighbours for _, part in clips],
            "activity_id": [own[0] if single else None for own in members],
            "released_id": [
                self.released_id(own[0], part) if single else None
                for (_, part), own in zip(clips, members, strict=True)
            ],
        }

    def members(self, chunks: Spans, i: int, part: Sighting) -> tuple[str, ...]:
        """The activities of the frames of a chunk's part."""
        if (part.start, part.end) == (chunks.start[i], chunks.end[i]):
            return chunks.activities[i]
        tracks = (self.reaches.tracks[t] for t in chunks.tracks[i])
        found = {a for s, e, own in tracks if s < part.end and e > part.start for a in own}
        return tuple(sorted(found))

    def released_id(self, activity: str, part: Sighting) -> str:
        """``<activity id>_<name>_<first>_<last>``, inclusive, as the released rows name clips."""
        name = self.reaches.activities.names[self.reaches.place[activity]]
        return f"{activity}_{self.rule.names.get(name, name)}_{part.start}_{part.end - 1}"

    def refusal(
        self, chunks: Spans, i: int, reason: str, detail: str, part: Sighting | None = None
    ) -> _Refused:
        """A chunk, or a part of one, that is no clip."""
        single = self.rule.unit == "activity"
        what = (
            f"activity {chunks.activities[i][0]}" if single else f"segment {chunks.segment_id[i]}"
        )
        start, end = (part.start, part.end) if part else (chunks.start[i], chunks.end[i])
        record = f"{what} frames [{start}, {end})"
        issue = Issue("crop", reason, "dropped", record, detail=detail)
        return _Refused(issue, [(chunks.segment_id[i], int(start), int(end))])


def _parts(spans: Spans) -> list[Ints]:
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
