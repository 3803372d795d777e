"""What spans of one video reach: the boxes of their activities, and whose boxes they meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from tinyvirat_build import geometry
from tinyvirat_build.errors import Work, compared
from tinyvirat_build.geometry.arrays import Floats, Ints
from tinyvirat_build.geometry.meetings import PIECE, Courses, Hits, Runs, meetings
from tinyvirat_build.stages.activity_boxes import Activities, ActorBoxes, casts_of
from tinyvirat_build.stages.merge import Track


@dataclass(frozen=True, slots=True)
class Spans:
    """Chunks or segments of one video: ``C`` of them."""

    segment_id: list[int]
    start: Ints
    end: Ints
    labels: list[tuple[str, ...]]
    activities: list[tuple[str, ...]]
    tracks: list[tuple[int, ...]]

    def __len__(self) -> int:
        return len(self.start)

    def take(self, at: Ints) -> Spans:
        """Those at the positions ``at``."""
        return Spans(
            [self.segment_id[i] for i in at],
            self.start[at],
            self.end[at],
            [self.labels[i] for i in at],
            [self.activities[i] for i in at],
            [self.tracks[i] for i in at],
        )


def seen_in(
    windows: Courses,
    activities: Activities,
    boxes: ActorBoxes,
    hits: Hits,
    work: Work,
    taken: Callable[[Floats], Floats] = lambda reach: reach,
) -> Iterator[Runs]:
    """Runs of frames on which activities' boxes hit windows: window, activity, start, end.

    ``taken``: how boxes ``(4, N)`` count. The pairs compared are added to ``work``.
    """
    casts = casts_of(activities)
    span = int(windows.frame.min(initial=0)), int(windows.frame.max(initial=-1)) + 1
    for given in boxes.of_casts(casts, *span):
        seen = Courses(given.owner, given.frame, taken(given.reach))
        for window, cast, start, end in meetings(windows, seen, hits, work):
            for at, activity in casts.playing(cast, start, end, work):
                low = np.maximum(start[at], casts.start[activity])
                high = np.minimum(end[at], casts.end[activity])
                yield window[at], activity, low, high


@dataclass(slots=True)
class Reaches:
    """The tracks, activities and boxes of one video.

    ``picture``: width and height to which boxes are clipped; None where they are taken whole.
    """

    tracks: Mapping[int, Track]
    activities: Activities
    boxes: ActorBoxes
    picture: tuple[int, int] | None
    place: dict[str, int] = field(init=False)  # of each activity, by its id
    codes: dict[int, list[int]] = field(default_factory=dict)  # of each track's actors

    def __post_init__(self) -> None:
        self.place = {name: i for i, name in enumerate(self.activities.ids)}

    def met(self, chunks: Spans, rectangles: Floats, hits: Hits) -> Iterator[Runs]:
        """Runs of frames on which activities' boxes hit the chunks' windows."""
        length = chunks.end - chunks.start
        clip = np.repeat(np.arange(len(chunks)), length)
        windows = Courses(clip, geometry.ranges(chunks.start, length), rectangles)
        return seen_in(windows, self.activities, self.boxes, hits, compared(), self.in_picture)

    def frames_of(self, spans: Spans) -> tuple[Floats, Ints]:
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
            # Each box for itself: two that lie beside the picture may have it between them.
            own = self.in_picture(self.boxes.reach[:, rows])
            for side in range(4):
                np.maximum.at(reach[side], place, own[side])
        return reach, at

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
        """Boxes as they count: clipped to the picture, where that is asked for."""
        return reach if self.picture is None else geometry.clip_to(reach, *self.picture)
