"""What demuxing tells of a video's packets, and the frames that they are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from tinyvirat_build.geometry.arrays import Bools, Ints
from tinyvirat_build.video.bitstream import Picture
from tinyvirat_build.video.structure import Break

NO_TIME: Final = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Packets:
    """What demuxing tells of a video's packets, in file order; arrays of shape ``(P,)``."""

    path: Path
    container: str  # FFmpeg's first name of the format
    codec: str
    announced: int  # frames by the container's header; 0 where it does not say
    pts: Ints  # NO_TIME where there is none
    dts: Ints
    pos: Ints
    hidden: Bools  # by an edit list
    sync: Bools
    pictures: list[Picture]  # what the bitstream says; empty for codecs that are not read
    breaks: list[Break] = field(default_factory=list)

    @property
    def torn(self) -> Bools:
        """Packets whose own framing is broken, or that hold no picture that can be told."""
        return self.of_pictures(lambda p: p.torn, False)

    def of_pictures(self, what: Callable[[Picture], bool], default: bool) -> Bools:
        """A flag a packet, from its picture."""
        if not self.pictures:
            return np.full(len(self.pts), default)
        return np.array([what(p) for p in self.pictures], bool)


@dataclass(frozen=True, slots=True)
class Numbers:
    """The frame of each packet, −1 for one that is not shown, ``(P,)``.

    ``uncertain`` is ``(K, 2)``, half-open spans of frame numbers that no rule makes certain;
    ``timed``: presentation times order the frames; ``broken``: the file, or a packet, is torn.
    """

    frame: Ints
    uncertain: Ints
    timed: bool
    broken: bool = False


def as_spans(*spans: tuple[int, int]) -> Ints:
    """Half-open spans as an array ``(K, 2)``."""
    return np.array(spans, np.int64).reshape(-1, 2)


def join_spans(*parts: Ints) -> Ints:
    """Half-open spans ``(K, 2)`` as ordered ones that neither overlap nor touch.

    >>> join_spans(np.array([[4, 6]]), np.array([[0, 2], [5, 9]])).tolist()
    [[0, 2], [4, 9]]
    """
    joined: list[list[int]] = []
    for start, end in sorted(np.concatenate(parts).tolist()):
        if joined and start <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], end)
        elif start < end:
            joined.append([start, end])
    return np.array(joined, np.int64).reshape(-1, 2)
