"""What a clip's own frames show of its quality, measured while they are at hand.

Every measure is a quotient of sums of whole numbers, so that it is the same whatever the worker
and the order of the work. Luma is as it is stored, 0 to 255.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt
from typing import Any, Final, NamedTuple

import numpy as np

from tinyvirat_build.geometry.arrays import Bytes, Ints
from tinyvirat_build.geometry.planes import Planes

_PIECE: Final = 1 << 15  # pixels at a time, few enough to stay in the processor's cache
_NARROW: Final = 2048  # a row whose Laplacian's squares, 1020² at most, sum up within 32 bits
_GREY: Final = 128  # chroma without colour
_NEAR_GREY: Final = 2  # chroma this far from it, in the mean, is noise


class Measured(NamedTuple):
    """The quality of one clip, named as in the tables; None where its frames do not tell."""

    motion: float | None  # mean absolute difference in luma to the frame before, inside the boxes
    brightness: float  # mean luma
    contrast: float  # standard deviation of luma
    blur: float | None  # variance of the Laplacian of luma: the less, the more blurred
    frozen: float | None  # share of the frames after the first that equal the one before
    infrared: bool  # whether chroma is all but neutral


def measure(planes: Planes, left: Sequence[int], top: Sequence[int], boxes: Ints) -> Measured:
    """Measure a clip of ``T`` frames.

    ``planes``: luma ``(T, height, width)`` and chroma of any size; ``left, top``: the window's
    corner on each frame; ``boxes``: the actors' box on each frame, ``x1 y1 x2 y2 (4, T)`` in whole
    pixels of the window, without area where there is none. Frames are compared where the windows
    of both show the same place of the picture, so that a window that follows its actors does not
    by itself move anything.
    """
    luma, *chroma = planes
    total, squares = _sums(part for part in _pieces(luma))
    edges, edge_squares = _sums(map(_laplacian, _pieces(luma)))
    n_edges = len(luma) * max(luma.shape[1] - 2, 0) * max(luma.shape[2] - 2, 0)
    motion, frozen = _compared(luma, left, top, boxes)
    return Measured(
        motion,
        total / luma.size,
        sqrt(_variance(luma.size, total, squares)),
        _variance(n_edges, edges, edge_squares) if n_edges else None,
        frozen,
        all(_off_grey(c) <= _NEAR_GREY * c.size for c in chroma),
    )


def _pieces(plane: Bytes) -> Iterator[Bytes]:
    step = max(1, _PIECE // (plane.shape[1] * plane.shape[2]))
    for i in range(0, len(plane), step):
        yield plane[i : i + step]


def _sums(parts: Iterator[np.ndarray[tuple[int, ...], np.dtype[np.integer]]]) -> tuple[int, int]:
    """The sum of whole numbers and that of their squares."""
    total = squares = 0
    for part in parts:
        wide: Any = part.astype(np.int32 if part.shape[-1] <= _NARROW else np.int64)
        total += int(wide.sum(dtype=np.int64))
        squares += int(np.einsum("...i,...i->...", wide, wide).sum(dtype=np.int64))
    return total, squares


def _variance(n: int, total: int, squares: int) -> float:
    return (n * squares - total * total) / (n * n)


def _laplacian(frames: Bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    """The four neighbours of each inner pixel less four times itself, ``(T, height - 2, …)``."""
    wide = frames.astype(np.int16)
    found = wide[:, 1:-1, :-2] + wide[:, 1:-1, 2:]
    found += wide[:, :-2, 1:-1]
    found += wide[:, 2:, 1:-1]
    found -= 4 * wide[:, 1:-1, 1:-1]
    return found


def _compared(
    luma: Bytes, left: Sequence[int], top: Sequence[int], boxes: Ints
) -> tuple[float | None, float | None]:
    """The motion inside the boxes, and the share of frames that equal the one before."""
    n, height, width = luma.shape
    total = pixels = equal = 0
    for i in range(1, n):
        dx, dy = left[i] - left[i - 1], top[i] - top[i - 1]
        x, y = max(0, -dx), max(0, -dy)  # where the part that both show begins in this frame
        w, h = width - abs(dx), height - abs(dy)
        if w <= 0 or h <= 0:
            continue
        here = luma[i, y : y + h, x : x + w]
        before = luma[i - 1, y + dy : y + dy + h, x + dx : x + dx + w]
        change = np.maximum(here, before)
        change -= np.minimum(here, before)
        x1, y1, x2, y2 = boxes[:, i].tolist()
        inside = change[max(y1 - y, 0) : max(y2 - y, 0), max(x1 - x, 0) : max(x2 - x, 0)]
        moved = int(inside.sum(dtype=np.int64))
        total, pixels = total + moved, pixels + inside.size
        equal += not moved and not change.any()
    return total / pixels if pixels else None, equal / (n - 1) if n > 1 else None


def _off_grey(chroma: Bytes) -> int:
    """The sum of the distances from grey."""
    return sum(
        int(np.abs(part.astype(np.int16) - _GREY).sum(dtype=np.int64)) for part in _pieces(chroma)
    )
