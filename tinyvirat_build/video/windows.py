"""A clip's window on a decoded picture: planes in, planar bytes out.

The planes are cut as they lie in the decoder's memory. What is stored is the *enclosing even
window*, whose chroma samples are whole: a window that is odd, or at an odd corner, is widened to
even edges, and ``dx, dy`` (0 or 1) say where its own pixels begin. Outside the picture the
picture's edge pixels repeat. The bytes are those of the picture's own chroma, 4:2:0 or 4:2:2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinyvirat_build.geometry.arrays import Bytes
from tinyvirat_build.geometry.planes import Planes, frame_bytes, full_chroma, views

_GRAY = 128  # the chroma of a picture without colour


@dataclass(frozen=True, slots=True)
class Window:
    """A clip's window: its own size and, per frame, the corner of the enclosing even window.

    >>> Window.of(55, 55, [3, 3], [-2, -2]).enclosing
    (56, 56)
    """

    width: int
    height: int
    dx: int
    dy: int
    left: tuple[int, ...]  # even
    top: tuple[int, ...]
    tall: bool = False  # chroma has a row for every row of luma (4:2:2)

    @classmethod
    def of(
        cls, width: int, height: int, x: Sequence[int], y: Sequence[int], *, tall: bool = False
    ) -> Window:
        """The window of a clip whose corner at frame start + i is ``x[i], y[i]``.

        Raises:
            ValueError: an empty window, or corners that are odd at one frame and even at another
                (such a clip has no one place in its enclosing window).
        """
        dx, dy = int(x[0]) & 1, int(y[0]) & 1
        if width < 1 or height < 1:
            raise ValueError(f"a window of {width}x{height} pixels")
        if any((int(v) & 1) != dx for v in x) or any((int(v) & 1) != dy for v in y):
            raise ValueError("the corners of a window are all odd or all even")
        left, top = tuple(int(v) - dx for v in x), tuple(int(v) - dy for v in y)
        return cls(width, height, dx, dy, left, top, tall)

    @property
    def enclosing(self) -> tuple[int, int]:
        """Height and width of the enclosing even window."""
        h, w = self.height + self.dy, self.width + self.dx
        return h + h % 2, w + w % 2

    @property
    def even(self) -> bool:
        """Whether 4:2:0 holds the clip exactly: whole samples of chroma, one for two rows."""
        return self.enclosing == (self.height, self.width) and not self.tall

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame: Y, then U and V."""
        return int(frame_bytes(*self.enclosing, tall=self.tall))

    @property
    def packed_bytes(self) -> int:
        """Bytes of one frame in the pack, which is 4:2:0 always."""
        return int(frame_bytes(*self.enclosing))

    def planes(self, data: Bytes) -> Planes:
        """Views of Y, U and V in frames of ``(..., frame_bytes)``."""
        return views(data, *self.enclosing, tall=self.tall)

    def packed(self, data: Bytes) -> Bytes:
        """Frames ``(T, frame_bytes)`` as the pack has them: of two rows of chroma the upper one."""
        if not self.tall:
            return data
        y, u, v = self.planes(data)
        return np.concatenate([p.reshape(len(data), -1) for p in (y, u[:, ::2], v[:, ::2])], axis=1)

    def crop(self, picture: Sequence[Bytes], i: int, out: Sequence[Bytes]) -> None:
        """Copy the window's part of ``picture`` at the clip's frame ``i`` to the planes ``out``."""
        _crop(picture[0], self.left[i], self.top[i], out[0])
        if len(picture) == 1:
            out[1][...] = out[2][...] = _GRAY
            return
        top = self.top[i] if self.tall else self.top[i] >> 1
        _crop(picture[1], self.left[i] >> 1, top, out[1])
        _crop(picture[2], self.left[i] >> 1, top, out[2])

    def full_chroma(self, data: Bytes) -> Planes:
        """The clip's own pixels as 4:4:4, ``(..., height, width)`` each, samples repeated."""
        rows = slice(self.dy, self.dy + self.height)
        columns = slice(self.dx, self.dx + self.width)
        return full_chroma(self.planes(data), rows, columns)


def _crop(plane: Bytes, x: int, y: int, out: Bytes) -> None:
    h, w = out.shape
    high, wide = plane.shape
    if x >= 0 and y >= 0 and x + w <= wide and y + h <= high:
        out[...] = plane[y : y + h, x : x + w]
        return
    rows = np.clip(np.arange(y, y + h), 0, high - 1)
    cols = np.clip(np.arange(x, x + w), 0, wide - 1)
    out[...] = plane[rows[:, None], cols]
