"""Chunk: segments are cut to the length of clips.

``chunk.length`` frames, or lengths drawn uniformly from ``chunk.lengths``; what becomes of the
rest is ``chunk.remainder`` (docs/semantics.md, "Chunk"; TinyVIRAT, "long videos are split into
chunks").
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

from tinyvirat_build.records import Issue, Key, StageResult
from tinyvirat_build.settings import Chunk
from tinyvirat_build.stages.segment import tracks_by_id
from tinyvirat_build.stages.tables import Made, VideoRows, video_by_video


def chunk(segments: pd.DataFrame, tracks: pd.DataFrame, settings: Chunk) -> StageResult:
    """The chunks of each video: table ``chunks``, by segment and time.

    A chunk keeps its segment's labels, and names the tracks and activities of its own frames.
    Chunks under ``min_frames`` are issues (``short``), the rest of a segment under
    ``remainder: drop`` is one too (``remainder``). The balance counts frames.
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
        cuts = [start + at for at in cut_points(end - start, settings, seed)]
        starts, ends = ([track_of[t][side] for t in within] for side in (0, 1))
        for low, high in pairwise(cuts):
            if high - low < settings.min_frames:
                issues.append(_issue("short", segment_id, low, high, members))
                continue
            touched = within[bisect_right(ends, low) : bisect_left(starts, high)]
            own = tuple(sorted({a for t in touched for a in track_of[t][2]}))
            row = (segment_id, low, high, labels, own, touched)
            for column, value in zip(values.values(), row, strict=True):
                column.append(value)
            kept += high - low
        if cuts[-1] < end:
            issues.append(_issue("remainder", segment_id, cuts[-1], end, members))
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


def _issue(reason: str, segment_id: int, start: int, end: int, members: Sequence[str]) -> Issue:
    return Issue(
        "chunk",
        reason,
        "dropped",
        f"segment {segment_id} frames [{start}, {end})",
        count=end - start,
        detail="activities " + " ".join(members),
    )


def cut_points(frames: int, settings: Chunk, seed: Sequence[object] = ()) -> list[int]:
    """Where a segment of ``frames`` frames is cut: ascending, the first 0, the last the end.

    The last is less than ``frames`` where a rest is dropped.

    >>> cut_points(150, Chunk()), cut_points(150, Chunk(remainder="keep"))
    ([0, 50, 100, 150], [0, 64, 128, 150])
    >>> cut_points(150, Chunk(remainder="drop")), cut_points(150, Chunk(remainder="merge"))
    ([0, 64, 128], [0, 64, 150])
    """
    lengths = draw_lengths(frames, settings, seed)
    return _REMAINDERS[settings.remainder](frames, lengths, settings)


def draw_lengths(frames: int, settings: Chunk, seed: Sequence[object]) -> list[int]:
    """Lengths of chunks until they reach ``frames``.

    Each is drawn from SHA-256 of the seed and its number, so that it depends on nothing else:
    neither on other segments nor on a library's generator.
    """
    if not settings.lengths:
        return [settings.length] * -(-frames // settings.length)
    low, high = settings.lengths
    seeded = hashlib.sha256("\x1f".join(map(str, seed)).encode())
    found: list[int] = []
    left = frames
    while left > 0:
        drawn = seeded.copy()
        drawn.update(f"\x1f{len(found)}".encode())
        found.append(low + int.from_bytes(drawn.digest()[:8], "big") % (high - low + 1))
        left -= found[-1]
    return found


def _balance(frames: int, lengths: list[int], settings: Chunk) -> list[int]:
    """All frames, in as many parts as there are lengths; equal lengths give equal parts.

    Of drawn lengths there are no more than the least one fits into the segment, and they are
    shortened in proportion to what they have above it, so that all stay within bounds. Parts are
    equal where that leaves too few to reach the end, or where no number of parts is in bounds.

    >>> [_balance(n, [50, 45, 90], Chunk(lengths=(40, 150))) for n in (60, 100, 170)]
    [[0, 60], [0, 50, 100], [0, 47, 91, 170]]
    """
    least, most = settings.lengths or (settings.length, settings.length)
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


_REMAINDERS: Final[dict[str, Callable[[int, list[int], Chunk], list[int]]]] = {
    "balance": _balance,
    "keep": _keep,
    "drop": _drop,
    "merge": _merge,
}
