"""The stamp: every window of 10×10 pixels tells its frame and its place in the picture.

The demo's chroma samples are 128 + 24·k (the colour) plus or minus 6 (one bit of code). The
bits of U are noise that never changes: any 5×5 of them occur at one place, or at a few that the
bits of V tell apart. V carries, in tiles of 5×5 samples, the frame number in 11 bits of Gray code,
so that one bit a tile changes from frame to frame, and 14 more bits of noise. The step of 12
between the two levels outlives H.264, a crop changes nothing, and the eye sees no colour.

>>> import numpy as np
>>> u, v = np.full((20, 30), 128, np.uint8), np.full((20, 30), 104, np.uint8)
>>> write_stamp(u, v, frame=77)
>>> read_stamp(np.zeros((10, 10)), u[3:8, 6:11], v[3:8, 6:11])
(77, 12, 6)
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from tinyvirat_build.geometry.arrays import Bools, Bytes, Floats, Ints

MAX_FRAMES: Final = 2048
MAX_SIDE: Final = 1280  # pixels, either axis
COLOUR_STEP: Final = 24
_AMPLITUDE: Final = COLOUR_STEP // 4
_TILE: Final = 5
_FRAME_BITS: Final = 11
_MARGIN: Final = 64  # chroma samples around the picture, for windows that reach past its edge
_SIDE: Final = MAX_SIDE // 2 + 2 * _MARGIN
_AGREE: Final = 0.8  # share of the noise bits that must be right; chance gives 0.5
_SURE: Final = 0.97  # a share that needs no look at codes with one bit wrong
_LEVELS: Final[Bools] = (np.arange(256) - 128) % COLOUR_STEP < COLOUR_STEP // 2


@lru_cache(maxsize=1)
def _noise() -> tuple[Bools, Bools]:
    # RandomState, because its stream is frozen: a corpus stays readable under any numpy.
    u, v = np.random.RandomState(56).randint(0, 2, (2, _SIDE, _SIDE)).astype(bool)
    return u, v


@lru_cache(maxsize=1)
def _tile_index() -> Ints:
    """Of each chroma sample, its number in its tile: (_SIDE, _SIDE), 0 to 24."""
    place = (np.arange(_SIDE) - _MARGIN) % _TILE
    return (place[:, None] * _TILE + place).astype(np.int64)


@lru_cache(maxsize=1)
def _places() -> tuple[Ints, Ints]:
    """The codes of all 5×5 windows of U's noise, sorted, and where each lies (flat index)."""
    inside = slice(_MARGIN, _SIDE - _MARGIN)
    codes = _codes(_noise()[0][None, inside, inside])[0]
    rows, columns = np.indices(codes.shape) + _MARGIN
    order = np.argsort(codes, axis=None, kind="stable")
    return codes.ravel()[order], (rows * _SIDE + columns).ravel()[order]


def _codes(bits: Bools) -> Ints:
    """The 25 bits of every 5×5 window as one number: (T, H, W) -> (T, H-4, W-4)."""
    _, h, w = bits.shape
    rows = np.zeros((len(bits), h, w - _TILE + 1), np.int64)
    for k in range(_TILE):
        rows |= bits[:, :, k : k + w - _TILE + 1].astype(np.int64) << k
    codes = np.zeros((len(bits), h - _TILE + 1, w - _TILE + 1), np.int64)
    for k in range(_TILE):
        codes |= rows[:, k : k + h - _TILE + 1] << (_TILE * k)
    return codes


def write_stamp(u: Bytes, v: Bytes, frame: int) -> None:
    """Stamp a picture's chroma planes in place.

    Args:
        u: (H/2, W/2), every sample 128 + 24·k; likewise ``v``.
        v: as ``u``.
        frame: 0-based number of the frame, below 2048.

    Raises:
        ValueError: a frame number or a picture too large for the code.
    """
    h, w = u.shape
    if not 0 <= frame < MAX_FRAMES or max(h, w) > MAX_SIDE // 2:
        raise ValueError(f"the stamp holds frames below {MAX_FRAMES} and sides up to {MAX_SIDE}")
    offset_u, index = _layout(h, w)
    bits = (frame ^ (frame >> 1)) >> np.arange(_FRAME_BITS) & 1
    u += offset_u
    v += _offset(np.append(bits, [0, 1]))[index]


@lru_cache(maxsize=4)
def _layout(h: int, w: int) -> tuple[Bytes, Ints]:
    """What is added to U, and what V shows: a bit of the frame, or (11, 12) a 0 or 1 of noise."""
    part = (slice(_MARGIN, _MARGIN + h), slice(_MARGIN, _MARGIN + w))
    noise_u, noise_v = (n[part] for n in _noise())
    index = _tile_index()[part]
    return _offset(noise_u), np.where(index < _FRAME_BITS, index, _FRAME_BITS + noise_v)


def _offset(bits: npt.NDArray[np.generic]) -> Bytes:
    return np.where(bits, np.uint8(_AMPLITUDE), np.uint8(256 - _AMPLITUDE))


def read_stamp(y: npt.NDArray[np.generic], u: Bytes, v: Bytes) -> tuple[int, int, int]:
    """The source frame and the left and top edge (pixels, even) of one clip frame.

    Args:
        y: luma (H, W), at least 10×10; only its size is used.
        u: chroma (H/2, W/2); likewise ``v``.
        v: as ``u``.

    Raises:
        ValueError: the planes do not fit together or carry no stamp.
    """
    if u.shape != v.shape or y.shape != (2 * u.shape[0], 2 * u.shape[1]):
        raise ValueError(f"not planes of 4:2:0: {y.shape}, {u.shape}, {v.shape}")
    frame, left, top = (int(a[0]) for a in read_stamps(u[None], v[None]))
    if frame < 0:
        raise ValueError("no stamp of the demo corpus in this picture")
    return frame, left, top


def read_stamps(u: Bytes, v: Bytes) -> tuple[Ints, Ints, Ints]:
    """The source frames and the left and top edges (pixels, even) of a clip.

    Args:
        u: chroma (T, H/2, W/2), windows of at least 10×10 pixels; likewise ``v``.
        v: as ``u``.

    Returns:
        frame, x and y, each (T,); frame is -1 where no stamp can be read.

    Raises:
        ValueError: windows smaller than 10×10 pixels.
    """
    count, h, w = u.shape
    if min(h, w) < _TILE:
        raise ValueError(f"a stamp needs 10×10 pixels, found {2 * w}×{2 * h}")
    bits_u, bits_v = _bits(u), _bits(v)
    score = np.zeros(count)
    row, column = np.zeros(count, np.int64), np.zeros(count, np.int64)
    corners = dict.fromkeys([(0, 0), ((h - 5) // 2, (w - 5) // 2), (h - 5, w - 5)])
    for flips in ((0,), tuple(1 << k for k in range(_TILE * _TILE))):  # then with one bit wrong
        for i, j in corners:
            codes = _codes(bits_u[:, i : i + _TILE, j : j + _TILE])[:, 0, 0]
            for flip in flips:
                todo = np.flatnonzero(score < _SURE)
                if not todo.size:
                    break
                for which, place in _candidates(codes[todo] ^ flip):
                    at = todo[which]
                    r, c = np.divmod(place, _SIDE)
                    new = _agreement(bits_u[at], bits_v[at], r - i, c - j)
                    better = new > score[at]
                    at, r, c = at[better], r[better] - i, c[better] - j
                    score[at], row[at], column[at] = new[better], r, c
    frame = np.where(score >= _AGREE, _frames(bits_v, row, column), -1)
    return frame, 2 * (column - _MARGIN), 2 * (row - _MARGIN)


def _bits(plane: Bytes) -> Bools:
    return _LEVELS[plane]


def _candidates(codes: Ints) -> list[tuple[Ints, Ints]]:
    """Places in the noise that have these codes: (which code, place), one array pair a rank."""
    known, places = _places()
    first, last = np.searchsorted(known, codes, "left"), np.searchsorted(known, codes, "right")
    ranks = range(int((last - first).max(initial=0)))
    which = [np.flatnonzero(first + k < last) for k in ranks]
    return [(w, places[first[w] + k]) for k, w in zip(ranks, which, strict=True)]


def _agreement(bits_u: Bools, bits_v: Bools, row: Ints, column: Ints) -> Floats:
    """The share of noise bits that are as they would be at this place: (T,)."""
    shape = bits_u.shape[1:]
    row, column = _clamp(row, shape[0]), _clamp(column, shape[1])
    noise_u, noise_v = (sliding_window_view(n, shape)[row, column] for n in _noise())
    fixed = sliding_window_view(_tile_index(), shape)[row, column] >= _FRAME_BITS
    right = (bits_u == noise_u).sum((1, 2)) + ((bits_v == noise_v) & fixed).sum((1, 2))
    share: Floats = right / (bits_u[0].size + fixed.sum((1, 2)))
    return share


def _clamp(place: Ints, size: int) -> Ints:
    return np.clip(place, 0, _SIDE - size)


def _frames(bits_v: Bools, row: Ints, column: Ints) -> Ints:
    """The frame numbers by a vote of all tiles in the window: (T,)."""
    count, h, w = bits_v.shape
    index = sliding_window_view(_tile_index(), (h, w))[_clamp(row, h), _clamp(column, w)]
    cell = (index + _TILE * _TILE * np.arange(count)[:, None, None]).ravel()
    size = count * _TILE * _TILE
    seen = np.bincount(cell, minlength=size).reshape(count, -1)
    lit = np.bincount(cell, bits_v.ravel(), minlength=size).reshape(count, -1)
    gray = ((2 * lit > seen)[:, :_FRAME_BITS] << np.arange(_FRAME_BITS)).sum(1)
    frame: Ints = gray.astype(np.int64)
    for shift in (1, 2, 4, 8):
        frame ^= frame >> shift
    return frame
