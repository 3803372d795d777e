"""The rate of a clip: the container's where its frames keep it, whatever lies between them.

What counts is the median step of the clip's own frames, so that neither a hole in the recording
nor another clip's stretch of it has a say.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np

from tinyvirat_build.geometry.arrays import Ints

if TYPE_CHECKING:
    from tinyvirat_build.video.index import VideoIndex

FINEST_RATE: Final = 65535  # the numerator that MPEG-4, the coarsest of the clocks, can tick
_NTSC: Final = Fraction(1000, 1001)


def clip_rate(index: VideoIndex, start: int, end: int) -> Fraction:
    """The exact rate of frames ``[start, end)``: the video's, or that of their median step.

    Where the container's times do not order the frames (AVI) the rate is that of its clock.
    """
    if not index.timed:
        return index.fps
    numbers = index.present
    first, last = np.searchsorted(numbers, [start, end])
    numbers = numbers[first:last]
    times = index.pts[index.packet_of_present[first:last]]
    steps = np.diff(times)[np.diff(numbers) == 1]
    return agreed_rate([index.fps], steps, index.time_base)


def agreed_rate(announced: Iterable[Fraction], steps: Ints, tick: Fraction) -> Fraction:
    """The first announced rate whose frames last the median step, to one tick of the clock.

    Where none does, the simplest rate within one tick. ``steps`` are the ticks from each frame
    to the next; those backwards, where a clock restarts, do not count. Without any step the first
    announced rate stands, or 25.

    >>> agreed_rate([Fraction(30)], np.array([33, 33, 34, 3_600_000]), Fraction(1, 1000))
    Fraction(30, 1)
    >>> agreed_rate([Fraction(30)], np.array([66, 67, 67]), Fraction(1, 1000))
    Fraction(15, 1)
    """
    rates = list(announced)
    steps = np.sort(steps[steps > 0])
    if not len(steps):
        return rates[0] if rates else Fraction(25)
    middle = steps[(len(steps) - 1) // 2], steps[len(steps) // 2]
    median = Fraction(int(middle[0]) + int(middle[1]), 2)
    for rate in rates:
        if abs(1 / (rate * tick) - median) <= 1:
            return rate
    near = steps[np.abs(steps - float(median)) <= 1]
    mean = Fraction(int(near.sum()), len(near)) if len(near) else median
    # A step of one tick may last anything up to two, but not nothing.
    shortest = max(median - 1, median / 2)
    return simplest_rate(1 / ((median + 1) * tick), 1 / (shortest * tick), 1 / (mean * tick))


def simplest_rate(slowest: Fraction, fastest: Fraction, wanted: Fraction) -> Fraction:
    """The simplest rate in ``[slowest, fastest]``, of several as simple the nearest to ``wanted``.

    Whole numbers come first, then television's (30000/1001 and its kin), then fractions of the
    least denominator. Where no clock can tick any of them, it is the nearest that one can.

    >>> str(simplest_rate(Fraction(2996, 100), Fraction(2998, 100), Fraction(2997, 100)))
    '30000/1001'
    >>> str(simplest_rate(Fraction(124, 10), Fraction(126, 10), Fraction(125, 10)))
    '25/2'
    """
    whole = _of_denominator(1, slowest, fastest, wanted)
    if whole is not None:
        return whole
    television = round(wanted / _NTSC) * _NTSC
    if slowest <= television <= fastest and television.numerator <= FINEST_RATE:
        return television
    most = max(1, int(FINEST_RATE / wanted))
    for denominator in range(2, most + 1):
        found = _of_denominator(denominator, slowest, fastest, wanted)
        if found is not None:
            return found
    return wanted.limit_denominator(most)


def _of_denominator(
    denominator: int, slowest: Fraction, fastest: Fraction, wanted: Fraction
) -> Fraction | None:
    low, high = math.ceil(slowest * denominator), math.floor(fastest * denominator)
    if max(low, 1) > high:
        return None
    return Fraction(min(max(round(wanted * denominator), low, 1), high), denominator)
