"""Clips of a whole video, frame by frame beside what they should show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from tinyvirat_build.errors import VideoError
from tinyvirat_build.settings import Encode
from tinyvirat_build.video.agreed import cut_agreed
from tinyvirat_build.video.index import index_video
from tinyvirat_build.video.verify import verify_video

from .players import SIDE, Due, Number, clean_number
from .stamped import clips_frame

LENGTH = 8
_BYTES = SIDE * SIDE * 3 // 2


@dataclass(frozen=True, slots=True)
class Clip:
    """What came of a clip: its frames' numbers, or the reason that it is none."""

    start: int
    end: int
    corner: tuple[int, int]
    reason: str | None
    numbers: list[Number]
    held: int
    damaged: int
    objections: list[str]  # of verify

    def strays(self, truth: Sequence[Due]) -> list[tuple[int, int]]:
        """Frames ``(frame, number)`` that bear another number than ``truth``, without a mark.

        A number that nobody can read is noise. A frame that repeats the one before (the first one
        may) is marked by the clip's held frames, any other by its damaged ones.
        """
        repeated, others = [], []
        before: Number = None
        for frame, number in enumerate(self.numbers, self.start):
            due = truth[frame] if frame < len(truth) else set()
            if number is not None and due is not None and number not in due:
                again = frame == self.start or number == before
                (repeated if again else others).append((frame, number))
            before = number
        if len(others) <= self.damaged and len(repeated) + len(others) <= self.held + self.damaged:
            return []
        return sorted(repeated + others)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a video: refused as a whole, or its clips."""

    reason: str | None = None
    message: str = ""
    n_frames: int = 0
    clips: list[Clip] = field(default_factory=list)


def clips_over(frames: int, size: tuple[int, int]) -> pd.DataFrame:
    """Clips that hold every frame once, at corners that change from clip to clip."""
    rows = []
    for k, start in enumerate(range(0, frames, LENGTH)):
        x, y = k * 6 % (size[0] - SIDE + 1) // 2 * 2, k * 10 % (size[1] - SIDE + 1) // 2 * 2
        rows.append((start, min(start + LENGTH, frames), SIDE, SIDE, x, y))
    return clips_frame(rows)


def cut_all(video: Path, frames: int, size: tuple[int, int], out: Path) -> Outcome:
    """Index a video, cut it whole into clips, and let ``verify`` look at them."""
    clips = clips_over(frames, size)
    try:
        index = index_video(video)
        cuts = cut_agreed(
            video, index, clips, out, Encode(), max_held=1.0, pack_path=out / "clips.yuv"
        )
    except VideoError as e:
        return Outcome(e.reason, str(e))
    rows = clips.merge(cuts, on="clip_id")
    kept = rows[rows["reason"].isna()]
    objections: dict[str, list[str]] = {}
    for problem in verify_video(video, index, kept, out):
        objections.setdefault(problem.where, []).append(problem.detail)
    found = []
    for row in rows.itertuples():
        whole = pd.isna(row.reason)
        found.append(
            Clip(
                int(row.start),
                int(row.end),
                (row.x[0], row.y[0]),
                None if whole else str(row.reason),
                _numbers(out / "clips.yuv", row) if whole else [],
                int(row.held) if whole else 0,
                int(row.damaged) if whole else 0,
                objections.get(f"clip {row.clip_id}", []),
            )
        )
    return Outcome(n_frames=index.n_frames, clips=found)


def _numbers(pack: Path, row: object) -> list[Number]:
    count = int(row.n_frames)  # type: ignore[attr-defined]  # one less than planned at the end
    offset = int(row.pack_offset)  # type: ignore[attr-defined]
    raw = np.fromfile(pack, np.uint8, count * _BYTES, offset=offset).reshape(count, _BYTES)
    luma = raw[:, : SIDE * SIDE].reshape(count, SIDE, SIDE)
    corners = zip(row.x[:count], row.y[:count], strict=True)  # type: ignore[attr-defined]
    return [clean_number(f, x, y) for f, (x, y) in zip(luma, corners, strict=True)]
