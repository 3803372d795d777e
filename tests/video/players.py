"""What players show: the ffmpeg program with default flags, and OpenCV, by the numbers in the luma.

Neither knows of our index: both decode from the file's first packet and put out what comes.
"""

from __future__ import annotations

import subprocess
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from tinyvirat_build.video.source_frames import program

from .stamped import TILE

Number = int | None  # None: a picture whose tiles are torn, or do not agree
Due = set[int] | None  # the numbers that a frame may bear; None: any, for players show noise
SIDE = 48  # of the windows that are looked at


def clean_number(luma: npt.NDArray[np.uint8], x: int = 0, y: int = 0) -> Number:
    """The number that every whole tile of a window at ``x, y`` bears; None where they differ."""
    rows, cols = -y % TILE, -x % TILE
    high, wide = (luma.shape[0] - rows) // TILE, (luma.shape[1] - cols) // TILE
    tiles = luma[rows : rows + high * TILE, cols : cols + wide * TILE].astype(np.float32)
    cells = tiles.reshape(high, 4, 4, wide, 4, 4).mean((2, 5))  # (high, 4, wide, 4)
    if np.any(np.abs(cells - 130) < 25):
        return None
    bits = (cells > 130).transpose(0, 2, 1, 3).reshape(high * wide, 16)
    if np.any(bits != bits[0]):
        return None
    return int((bits[0] << np.arange(16)).sum())


@dataclass(frozen=True)
class Shown:
    """The pictures that the program puts out, luma ``(T, H, W)``, and what it said on the way."""

    pictures: npt.NDArray[np.uint8]
    said: str

    def __len__(self) -> int:
        return len(self.pictures)

    @cached_property
    def numbers(self) -> list[Number]:
        """The number of each picture."""
        return [clean_number(p) for p in self.pictures]

    def within(self, x: int, y: int) -> list[Number]:
        """The number of each picture inside the window at ``x, y``, where noise may not reach."""
        return [clean_number(p[y : y + SIDE, x : x + SIDE], x, y) for p in self.pictures]


def program_shows(video: Path, size: tuple[int, int], *, timeout: float = 60) -> Shown:
    """Decode a video from its first packet, as a player does."""
    command = [program(), "-hide_banner", "-nostdin", "-v", "warning", "-i", str(video)]
    command += ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]
    done = subprocess.run(command, capture_output=True, timeout=timeout)
    width, height = size
    whole = width * height * 3 // 2
    count = len(done.stdout) // whole
    luma = np.frombuffer(done.stdout, np.uint8, count * whole).reshape(count, whole)
    pictures = luma[:, : width * height].reshape(count, height, width)
    return Shown(pictures, done.stderr.decode(errors="replace"))


def opencv_shows(video: Path) -> list[Number]:
    """The number of each picture that OpenCV reads."""
    capture = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG)
    numbers = []
    while True:
        there, picture = capture.read()
        if not there:
            break
        numbers.append(clean_number(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)))
    capture.release()
    return numbers


def by_count(numbers: Sequence[Number]) -> list[Due]:
    """Frame n is the n-th picture that is put out."""
    return [None if n is None else {n} for n in numbers]


def by_place(shown: Shown, frames: int, x: int, y: int) -> list[Due]:
    """Frame n is the recording's own n-th, whatever became of those before it.

    A picture that was decoded without what it refers to may bear an older number, cleanly: what
    players show in the window between two pictures that are at their places is due as well.
    """
    return _placed(shown.numbers, shown.within(x, y), frames)


def _placed(numbers: Sequence[Number], within: Sequence[Number], frames: int) -> list[Due]:
    """As ``by_place``, of the numbers of whole pictures and of their windows.

    >>> _placed([0, None, 2, 3, 5], [0, 0, 2, 3, 5], 6)
    [{0}, {0, 1}, {2}, {3}, {3, 4, 5}, {5}]
    """
    due: list[set[int]] = [{n} for n in range(frames)]
    anchors = [(-1, -1), *_ascending(numbers, frames), (len(numbers), frames)]
    for (here, number), (there, after) in pairwise(anchors):
        between = within[max(here, 0) : there + 1]
        for k in range(number + 1, after):
            # As many pictures as places: each is at its own. Else any of them may be there.
            some = [within[here + k - number]] if there - here == after - number else between
            due[k].update(n for n in some if n is not None)
    return list(due)


def _ascending(shown: Sequence[Number], frames: int) -> list[tuple[int, int]]:
    """The longest ascending run of numbers among those shown, each with its position."""
    best: list[list[tuple[int, int]]] = []
    for place, number in enumerate(shown):
        if number is None or number >= frames:
            continue
        at = bisect_left([run[-1][1] for run in best], number)
        if at < len(best) and best[at][-1][1] == number:
            continue  # the same again
        best[at : at + 1] = [[*(best[at - 1] if at else []), (place, number)]]
    return best[-1] if best else []
