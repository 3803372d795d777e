"""The frames of a clip's file as a pack holds them: planes of 8-bit 4:2:0, exact where they can be.

The released files have faults (``dim`` larger than the frames that decode, files that do not
open), so what is decoded counts, and faults are told.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tinyvirat_build.geometry.arrays import Bytes
from tinyvirat_build.geometry.planes import decoded_planes
from tinyvirat_build.pack.read import colour_of
from tinyvirat_build.store.means import raise_if_lacking


@dataclass(frozen=True, slots=True)
class Decoded:
    """A clip's frames as a pack holds them.

    ``raw`` is ``(T, frame bytes)`` of the enclosing even window; ``fault`` is what was wrong, or
    empty.
    """

    raw: Bytes
    height: int
    width: int
    dy: int
    dx: int
    inner_height: int
    inner_width: int
    matrix: str
    range: str
    fps: str | None
    fault: str

    @property
    def frames(self) -> int:
        """Frames that decoded."""
        return len(self.raw)


def decode(path: Path) -> Decoded:
    """Decode a clip's planes without any conversion where it is 8-bit 4:2:0.

    4:4:4 whose chroma is replicated (an odd window of ours) goes back to the 4:2:0 it came from,
    and of a source in 4:2:2 to what the build's own pack has; there, and where other formats are
    converted, a fault says so. A clip that breaks off keeps the frames before.
    """
    import av  # not needed to read a pack

    frames: list[tuple[Bytes, ...]] = []
    fault, kind, colour, fps = "", "", ("bt601", "limited"), None
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            context = stream.codec_context
            context.thread_count = 1
            context.flags |= av.codec.context.Flags.bitexact  # MPEG-4 is exact only so
            if stream.average_rate:
                fps = f"{stream.average_rate.numerator}/{stream.average_rate.denominator}"
            for frame in container.decode(stream):
                if not frames:
                    kind = frame.format.name
                    colour = colour_of(frame.colorspace, frame.color_range, kind)
                planes = _planes(frame)
                if frames and planes[0].shape != frames[0][0].shape:
                    fault = "the picture's size changes, cut off there"
                    break
                frames.append(planes)
    except (av.error.FFmpegError, IndexError, OSError) as e:
        raise_if_lacking(e)
        what = getattr(e, "strerror", None) or e  # not the path: faults.json names it
        fault = f"decoding failed after {len(frames)} frames ({what})"
    if not frames:
        raw, height, width, dy, dx, inner_height, inner_width = _NOTHING
        return Decoded(
            raw, height, width, dy, dx, inner_height, inner_width, *colour, fps,
            fault or "no frame decodes",
        )  # fmt: skip
    if kind not in _EXACT:
        fault = fault or f"pixel format {kind} was converted to 4:2:0"
    y, u, v = (np.stack(p) for p in zip(*frames, strict=True))
    inner_height, inner_width = y.shape[1:]
    dy = dx = 0
    if u.shape == y.shape:
        dy, dx, y, u, v, lost = _halve(y, u, v)
        fault = fault or lost
    y = _even(y, 0, 0)
    raw = np.concatenate([p.reshape(len(p), -1) for p in (y, u, v)], axis=1)
    height, width = y.shape[1:]
    return Decoded(raw, height, width, dy, dx, inner_height, inner_width, *colour, fps, fault)


_NOTHING: Final = (np.empty((0, 0), np.uint8), 0, 0, 0, 0, 0, 0)
_EXACT: Final = ("yuv420p", "yuvj420p", "yuv444p", "yuvj444p", "gray")


def _planes(frame: Any) -> tuple[Bytes, ...]:
    """Copies of a frame's Y, U, V planes; gray gets neutral chroma."""
    if frame.format.name not in _EXACT:
        frame = frame.reformat(format="yuv420p")
    planes = tuple(plane.copy() for plane in decoded_planes(frame))
    if frame.format.name != "gray":
        return planes
    half = np.full([-(-n // 2) for n in planes[0].shape], 128, np.uint8)
    return planes[0], half, half


def _even(plane: Bytes, dy: int, dx: int) -> Bytes:
    """Widen ``(T, H, W)`` to even edges by its own edge pixels."""
    _, height, width = plane.shape
    edges = ((0, 0), (dy, (height + dy) % 2), (dx, (width + dx) % 2))
    return np.pad(plane, edges, mode="edge") if any(map(any, edges)) else plane


def _halve(y: Bytes, u: Bytes, v: Bytes) -> tuple[int, int, Bytes, Bytes, Bytes, str]:
    """Undo the replication of chroma: the window's corner parity, planes, what was lost by it."""
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
        whole = [_even(p, dy, dx) for p in (u, v)]
        halves = [p[:, ::2, ::2] for p in whole]
        if all(
            (h.repeat(2, 1).repeat(2, 2) == p).all() for h, p in zip(halves, whole, strict=True)
        ):
            return dy, dx, _even(y, dy, dx), halves[0], halves[1], ""
    for dx in (0, 1):
        whole = [_even(p, 0, dx) for p in (u, v)]
        halves = [p[:, :, ::2] for p in whole]
        if all((h.repeat(2, 2) == p).all() for h, p in zip(halves, whole, strict=True)):
            lost = "of two rows of 4:2:2 chroma the upper one was taken"
            return 0, dx, _even(y, 0, dx), halves[0][:, ::2], halves[1][:, ::2], lost
    means = []
    for plane in (u, v):
        even = _even(plane, 0, 0)
        t, height, width = even.shape
        blocks = even.reshape(t, height // 2, 2, width // 2, 2).mean(axis=(2, 4))
        means.append((blocks + 0.5).astype(np.uint8))
    return 0, 0, _even(y, 0, 0), means[0], means[1], "4:4:4 chroma was averaged to 4:2:0"
