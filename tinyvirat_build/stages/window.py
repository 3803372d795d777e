"""Windows: where the crop of a clip lies on every frame.

The arithmetic of :mod:`tinyvirat_build.stages.crop`, on arrays of many clips at once. A *piece*
is what one position of a window has to hold: one frame's box where the window follows, the union
of a clip's boxes where it is static. The pieces of clip ``c`` are ``at[c] … at[c + 1] - 1``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from tinyvirat_build import geometry
from tinyvirat_build.geometry import SUBPIXELS
from tinyvirat_build.geometry.arrays import Bools, Floats, Ints
from tinyvirat_build.settings import Crop

ROUNDING: Final = 1e-6
"""Pixels by which a product of decimal numbers may miss the whole number that it stands for."""


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of ``C`` clips, a corner a piece.

    ``size``: width and height ``(2, C)``; ``corner``: left and upper edges ``(2, P)``;
    ``crop``: the exact rectangle that labels are looked for in, a reach ``(4, P)``; it differs
    from the window only where that was truncated.
    """

    size: Ints
    corner: Ints
    crop: Floats


def widest(reach: Floats, at: Ints, settings: Crop) -> Floats:
    """The size ``(2, C)`` that holds every piece of a clip, margins included, not yet snapped.

    On the even grid boxes are widened to even corners. One of which no side reaches
    ``enlarge_under`` is enlarged; on the grid ``floor`` sides are then made even downwards.
    ``-inf`` for a clip without a box.
    """
    wide = reach + settings.margin
    if settings.grid == "even":
        wide = _even(wide)
    found: Floats = np.maximum.reduceat(geometry.sizes(wide), at[:-1], axis=1)
    small = found.max(axis=0) < settings.enlarge_under
    found = np.where(small, found * settings.enlarge, found)
    if settings.grid == "floor":
        return 2 * np.floor(found / 2 + ROUNDING)
    if settings.grid == "even" and settings.enlarge != 1:
        return 2 * np.ceil(found / 2 - ROUNDING)
    return found


def _even(reach: Floats) -> Floats:
    found: Floats = 2 * np.ceil(
        reach / 2
    )  # outwards on all four sides, since x1 and y1 are negated
    return found


def snap(extent: Floats, settings: Crop) -> Floats:
    """The size of the windows ``(2, C)`` for the sizes that they have to hold ``(2, C)``.

    Square or not, enlarged to ``min_side``, and up to the next of ``sides``; a window over the
    largest of these keeps its own side. In the end a width of ``avoid_widths`` grows to the next
    even one that is not among them, and a square with it.

    >>> snap(np.array([[8.0, 56.0], [4.0, 30.0]]), Crop(sides=(56, 112), snap="above")).tolist()
    [[56.0, 112.0], [56.0, 112.0]]
    >>> snap(np.array([[22.0, 24.0], [8.0, 8.0]]), Crop(avoid_widths=(24, 26))).tolist()
    [[22.0, 28.0], [22.0, 28.0]]
    """
    if settings.shape == "square":
        extent = np.broadcast_to(extent.max(axis=0), extent.shape)
    least, steps = float(settings.min_side), np.sort(np.array(settings.sides, np.float64))
    if settings.grid != "truncate":
        least, steps = 2 * np.ceil(least / 2), 2 * np.ceil(steps / 2)
    found = np.maximum(extent, least)
    if len(steps):
        side: Literal["left", "right"] = "left" if settings.snap == "at_least" else "right"
        step = np.searchsorted(steps, found, side=side)
        found = np.where(step < len(steps), steps[np.minimum(step, len(steps) - 1)], found)
    for width in sorted(settings.avoid_widths):  # upwards, so that none grows to another
        grown = found + 2 * (found[0] == width)
        found = grown if settings.shape == "square" else np.stack([grown[0], found[1]])
    return found


def place(
    reach: Floats, at: Ints, size: Floats, picture: tuple[int, int], settings: Crop
) -> Windows:
    """Put windows of the given ``size`` ``(2, C)`` over their pieces; each clip has a box."""
    clip = np.repeat(np.arange(len(at) - 1), np.diff(at))
    if settings.grid == "truncate":
        return _truncated(reach, size[:, clip], at, square=settings.shape == "square")
    sides = size.astype(np.int64)
    centre = _smooth(_filled_centres(reach, at), at, settings.smooth)
    corner = np.stack(
        [
            _corners(axis, reach, sides[axis, clip], centre, picture[axis], settings.margin)
            for axis in (0, 1)
        ]
    )
    crop = np.concatenate([-corner, corner + sides[:, clip]]).astype(np.float64)
    return Windows(sides, corner, crop)


def _truncated(reach: Floats, size: Floats, at: Ints, *, square: bool) -> Windows:
    """Real squares around the pieces, cut to whole pixels toward zero.

    The released MEVA part was cut so: a window over the picture's edge loses one pixel, and
    with it the other axis too.
    """
    box = geometry.corners(reach)
    centre = (box[:2] + box[2:]) / 2
    low, high = centre - size / 2, centre + size / 2
    whole = np.trunc(high).astype(np.int64) - np.trunc(low).astype(np.int64)
    side = np.minimum.reduceat(whole, at[:-1], axis=1)
    if square:
        side[:] = side.min(axis=0)
    return Windows(side, np.trunc(low).astype(np.int64), np.concatenate([-low, high]))


def _filled_centres(reach: Floats, at: Ints) -> Ints:
    """Twice the centres ``(2, P)`` in whole subpixels; a piece without a box is interpolated."""
    there = geometry.present(reach)
    centre = np.zeros((2, reach.shape[1]), np.int64)
    twice = reach[2:, there] - reach[:2, there]
    centre[:, there] = np.rint(twice * SUBPIXELS).astype(np.int64)
    lacking = np.unique(np.searchsorted(at, np.flatnonzero(~there), side="right") - 1)
    for clip in lacking:
        part = slice(at[clip], at[clip + 1])
        known = np.flatnonzero(there[part])
        for axis in (0, 1):
            own = centre[axis, part]
            own[:] = np.rint(np.interp(np.arange(len(own)), known, own[known]))
    return centre


def _smooth(twice: Ints, at: Ints, frames: int) -> tuple[Ints, Ints]:
    """Sums over up to ``frames`` pieces around each one within its clip, and their counts."""
    first = np.repeat(at[:-1], np.diff(at))
    last = np.repeat(at[1:], np.diff(at))
    piece = np.arange(twice.shape[1])
    low = np.maximum(first, piece - (frames - 1) // 2)
    high = np.minimum(last, piece + frames // 2 + 1)
    total = np.zeros((2, twice.shape[1] + 1), np.int64)
    np.cumsum(twice, axis=1, out=total[:, 1:])
    return total[:, high] - total[:, low], high - low


def _corners(
    axis: int, reach: Floats, side: Ints, centre: tuple[Ints, Ints], picture: int, margin: int
) -> Ints:
    """The even corners of the windows along one axis: ``(P,)``.

    The corner nearest the smoothed centre, moved by the least amount that holds the box. The
    window stays in the picture, or, if it is the larger of the two, holds all of it. A box that
    no even corner lets into the window, as on the grid ``floor``, sticks out evenly: by less
    than two pixels a side.
    """
    sums, counts = centre
    # corner / 2 = (mean of twice the centre / 2 - side / 2) / 2, in whole numbers
    divisor = 4 * SUBPIXELS * counts
    half, rest = np.divmod(sums[axis] - SUBPIXELS * counts * side, divisor)
    # A tie goes to the picture's middle, so that a mirrored world has mirrored windows.
    toward_middle = 2 * (2 * half + 1) < picture - side
    corner = 2 * (half + ((2 * rest > divisor) | ((2 * rest == divisor) & toward_middle)))
    room = (picture - side).astype(np.float64)
    low = np.where(room < 0, geometry.even_ceil(room), 0)
    high = np.where(room < 0, 0, geometry.even_floor(room))
    there = geometry.present(reach)
    box = np.where(there, reach, 0.0)
    edge = float(2 * np.ceil(picture / 2))
    wide_low = np.maximum(-_even(box[axis] + margin), 0.0).astype(np.int64)
    wide_high = np.minimum(_even(box[axis + 2] + margin), edge).astype(np.int64)
    fits = wide_high - wide_low <= side
    held = np.clip(corner, wide_high - side, wide_low)
    ideal = (box[axis + 2] - box[axis] - side) / 2
    under = geometry.even_floor(ideal)
    beyond = (ideal - under > 1) | ((ideal - under == 1) & (2 * (under + 1) < picture - side))
    middle = under + 2 * beyond
    kept = np.clip(np.where(there, np.where(fits, held, middle), corner), low, high)
    # In a picture of odd size the last column is reached by hanging one pixel over the edge.
    again = np.clip(kept, wide_high - side, wide_low)
    final: Ints = np.where(there & fits, again, kept)
    return final


def meets(windows: Floats, boxes: Floats) -> Bools:
    """Whether boxes and windows, pair by pair, have an area in common."""
    return geometry.present(np.minimum(windows, boxes))
