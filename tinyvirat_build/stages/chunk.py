"""Chunk: segments are cut to the length of clips.

``chunk.length`` frames, or lengths drawn uniformly from ``chunk.lengths``, ``chunk.overlap`` of
them shared with the chunk before; what becomes of the rest is ``chunk.remainder``
(docs/semantics.md, "Chunk"; TinyVIRAT, "long videos are split into chunks").
"""

from __future__ import annotations

import functools
import hashlib
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Final

import pandas as pd

from tinyvirat_build.geometry import Covered
from tinyvirat_build.records import Issue, Key, StageResult
from tinyvirat_build.settings import Chunk
from tinyvirat_build.stages.segment import tracks_by_id
from tinyvirat_build.stages.tables import Made, VideoRows, video_by_video


def chunk(segments: pd.DataFrame, tracks: pd.DataFrame, settings: Chunk) -> StageResult:
    """The chunks of each video: table ``chunks``, by segment and time.

    A chunk keeps its segment's labels, and names the tracks and activities of its own frames.
    Chunks under ``min_frames`` are issues (``short``), the rest of a segment under
    ``remainder: drop`` is one too (``remainder``). The balance counts the frames of segments,
    each once, also where chunks share some.
    """
    make = functools.partial(_chunked, settings=settings)
    return video_by_video("chunk", "chunks", "frames", make, segments, tracks)


def _chunked(key: Key, segments: VideoRows, tracks: VideoRows, *, settings: Chunk) -> Made:
    track_of = tracks_by_id(tracks)
    values: dict[str, list[object]] = {
        name: [] for name in ("segment_id", "start", "end", "labels", "activities", "tracks")
    }
    issues: list[Issue] = []
    frames = kept = 0
    integers = (segments.ints(name).tolist() for name in ("segment_id", "start", "end"))
    lists = (segments.lists(name) for name in ("labels", "activities", "tracks"))
    given = list(zip(*integers, *lists, strict=True))
    alike = _times_before([(start, end - start, m) for _, start, end, _, m, _ in given])
    for (segment_id, start, end, labels, members, within), before in zip(given, alike, strict=True):
        frames += end - start
        # Not the frames themselves: a corpus whose frames are counted from elsewhere has the
        # same clips.
        seed = (settings.seed, *key, end - start, before, *members)
        spans = [
            (start + low, start + high) for low, high in chunk_spans(end - start, settings, seed)
        ]
        rest = (spans[-1][1] if spans else start, end)
        long = [span for span in spans if span[1] - span[0] >= settings.min_frames]
        starts, ends = ([track_of[t][side] for t in within] for side in (0, 1))
        for low, high in long:
            touched = within[bisect_right(ends, low) : bisect_left(starts, high)]
            own = tuple(sorted({a for t in touched for a in track_of[t][2]}))
            row = (segment_id, low, high, labels, own, touched)
            for column, value in zip(values.values(), row, strict=True):
                column.append(value)
        covered = Covered(start, end)
        kept += sum(covered.add(*span) for span in long)
        lost = [("short", span) for span in spans if span[1] - span[0] < settings.min_frames]
        lost += [("remainder", rest)] if rest[0] < end else []
        issues += [
            _issue(reason, segment_id, *span, members, covered.add(*span)) for reason, span in lost
        ]
    return Made(values, frames, kept, issues)


def _times_before(segments: Sequence[tuple[int, int, tuple[str, ...]]]) -> list[int]:
    """How many earlier segments have the same length and activities, for each (start, n, members).

    >>> _times_before([(50, 9, ("a",)), (0, 9, ("a",)), (20, 8, ("a",))])
    [1, 0, 0]
    """
    counts: Counter[tuple[int, tuple[str, ...]]] = Counter()
    found = [0] * len(segments)
    for i in sorted(range(len(segments)), key=lambda i: segments[i][0]):
        found[i] = counts[segments[i][1:]]
        counts[segments[i][1:]] += 1
    return found


def _issue(
    reason: str, segment_id: int, start: int, end: int, members: Sequence[str], count: int
) -> Issue:
    return Issue(
        "chunk",
        reason,
        "dropped",
        f"segment {segment_id} frames [{start}, {end})",
        count=count,
        detail="activities " + " ".join(members),
    )


def chunk_spans(frames: int, settings: Chunk, seed: Sequence[object] = ()) -> list[tuple[int, int]]:
    """The chunks ``[start, end)`` of a segment of ``frames`` frames, in order, from its first on.

    >>> chunk_spans(150, Chunk()), chunk_spans(150, Chunk(remainder="keep"))
    ([(0, 50), (50, 100), (100, 150)], [(0, 64), (64, 128), (128, 150)])
    >>> chunk_spans(150, Chunk(remainder="drop")), chunk_spans(150, Chunk(remainder="merge"))
    ([(0, 64), (64, 128)], [(0, 64), (64, 150)])
    >>> chunk_spans(150, Chunk(remainder="keep", overlap=20))
    [(0, 64), (44, 108), (88, 150)]
    """
    shared = settings.overlap
    if frames <= shared:  # less than any chunk
        return [] if settings.remainder == "drop" else [(0, frames)]
    # A chunk is a step to the next one and the frames that it shares with it.
    steps = [length - shared for length in draw_lengths(frames, settings, seed)]
    cuts = _REMAINDERS[settings.remainder](frames - shared, steps, settings)
    return [(low, high + shared) for low, high in pairwise(cuts)]


def draw_lengths(frames: int, settings: Chunk, seed: Sequence[object]) -> list[int]:
    """Lengths of chunks until they reach ``frames``, which are more than they share.

    Each is drawn from SHA-256 of the seed and its number, so that it depends on nothing else:
    neither on other segments nor on a library's generator.
    """
    left = frames - settings.overlap
    if not settings.lengths:
        return [settings.length] * -(-left // (settings.length - settings.overlap))
    low, high = settings.lengths
    seeded = hashlib.sha256("\x1f".join(map(str, seed)).encode())
    found: list[int] = []
    while left > 0:
        drawn = seeded.copy()
        drawn.update(f"\x1f{len(found)}".encode())
        found.append(low + int.from_bytes(drawn.digest()[:8], "big") % (high - low + 1))
        left -= found[-1] - settings.overlap
    return found


def _bounds(settings: Chunk) -> tuple[int, int]:
    """The least and the longest step from one chunk to the next."""
    least, most = settings.lengths or (settings.length, settings.length)
    return least - settings.overlap, most - settings.overlap


def _balance(frames: int, lengths: list[int], settings: Chunk) -> list[int]:
    """All frames, in as many parts as there are lengths; equal lengths give equal parts.

    Of drawn lengths there are no more than the least one fits into the segment, and they are
    shortened in proportion to what they have above it, so that all stay within bounds. Parts are
    equal where that leaves too few to reach the end, or where no number of parts is in bounds.

    >>> [_balance(n, [50, 45, 90], Chunk(lengths=(40, 150))) for n in (60, 100, 170)]
    [[0, 60], [0, 50, 100], [0, 47, 91, 170]]
    """
    least, most = _bounds(settings)
    if settings.lengths:
        lengths = lengths[: max(frames // least, -(-frames // most))]
    n, total = len(lengths), sum(lengths)
    spare, wanted = frames - n * least, total - n * least
    if spare <= 0 or total < frames:
        return [i * frames // n for i in range(n + 1)]
    above = accumulate((one - least for one in lengths), initial=0)
    return [i * least + spare * over // wanted for i, over in enumerate(above)]


def _keep(frames: int, lengths: list[int], settings: Chunk) -> list[int]:
    """Whole lengths, then a shorter part."""
    return [*accumulate(lengths[:-1], initial=0), frames]


def _drop(frames: int, lengths: list[int], settings: Chunk) -> list[int]:
    """Whole lengths only."""
    return [at for at in accumulate(lengths, initial=0) if at <= frames]


def _merge(frames: int, lengths: list[int], settings: Chunk) -> list[int]:
    """Whole lengths, the last one with the rest; a segment under one length is one part."""
    whole = _drop(frames, lengths, settings)
    return [*(whole[:-1] or [0]), frames]


def _whole(frames: int, lengths: list[int], settings: Chunk) -> list[int]:
    """Whole lengths while the rest is longer than the longest; then the rest, as it is.

    >>> [_whole(n, [50, 45, 90], Chunk(lengths=(40, 150))) for n in (60, 150, 170, 230)]
    [[0, 60], [0, 150], [0, 50, 170], [0, 50, 95, 230]]
    """
    _, most = _bounds(settings)
    cuts = list(accumulate(lengths[:-1], initial=0))
    while len(cuts) > 1 and frames - cuts[-2] <= most:
        cuts.pop()
    return [*cuts, frames]


_REMAINDERS: Final[dict[str, Callable[[int, list[int], Chunk], list[int]]]] = {
    "balance": _balance,
    "keep": _keep,
    "drop": _drop,
    "merge": _merge,
    "whole": _whole,
}
