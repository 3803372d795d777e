"""Frames of 8-bit Y, U and V: their size in bytes, views of their planes, chroma repeated.

A packed frame is Y, then U, then V, row by row. Its height and width are even; chroma has half
of the columns, and half of the rows (4:2:0) or, where it is ``tall``, all of them (4:2:2).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from tinyvirat_build.geometry.arrays import Bytes

Planes: TypeAlias = tuple[Bytes, Bytes, Bytes]


def frame_bytes(height: Any, width: Any, *, tall: bool = False) -> Any:
    """Bytes of a packed frame; sides are numbers or arrays.

    >>> frame_bytes(4, 6), frame_bytes(4, 6, tall=True)
    (36, 48)
    """
    return height * width * (4 if tall else 3) // 2


def views(frames: Bytes, height: int, width: int, *, tall: bool = False) -> Planes:
    """Y, U and V ``(..., rows, columns)`` of packed frames ``(..., frame bytes)``, uncopied."""
    rows = height if tall else height // 2
    luma, chroma = height * width, rows * (width // 2)
    lead = frames.shape[:-1]
    return (
        frames[..., :luma].reshape(*lead, height, width),
        frames[..., luma : luma + chroma].reshape(*lead, rows, width // 2),
        frames[..., luma + chroma :].reshape(*lead, rows, width // 2),
    )


def full_chroma(planes: Planes, rows: slice, columns: slice) -> Planes:
    """The part of 4:2:0 or 4:2:2 planes in these rows and columns of luma, as 4:4:4.

    Every chroma sample is repeated over the pixels that it belongs to, never interpolated.
    """
    y, u, v = planes
    down = y.shape[-2] // u.shape[-2]
    return (
        y[..., rows, columns],
        u.repeat(down, -2).repeat(2, -1)[..., rows, columns],
        v.repeat(down, -2).repeat(2, -1)[..., rows, columns],
    )


def decoded_planes(frame: Any) -> list[Bytes]:
    """A decoded frame's planes as views of the decoder's memory, line padding left out."""
    return [
        np.frombuffer(p, np.uint8).reshape(-1, p.line_size)[: p.height, : p.width]
        for p in frame.planes
    ]
