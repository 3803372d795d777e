"""The fused step on the CPU: ragged YUV frames in, the normalised batch out, in one compiled call.

For each frame of each clip: crop, flip and scale by separable triangle weights (bilinear where
it enlarges, antialiased where it shrinks), then YUV to RGB, colour, clamp and normalisation as
one matrix. Frames are read where they lie, by address, so that mapped shards are not copied.

Chroma is scaled on its own grid with the luma weights added up in pairs, which is the same as
replicating each chroma sample over its 2×2 pixels first.
"""

# Compiled by numba: the loops over pixels below become machine code, `nogil` lets other batches
# be prepared meanwhile, and the compiled code is kept on disk (`cache`).

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import carray, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from tinyvirat_build.geometry.arrays import Bytes, Ints

_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": True, "error_model": "numpy"}


def _compiled(function: Any) -> Any:
    """Compiled when it is first called, and kept on disk where any cache folder can be written."""
    try:
        return njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # numba found no such folder; each process compiles anew
        return njit(**_OPTIONS)(function)


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(typing_context: Any, address: Any) -> Any:
    signature = types.CPointer(types.uint8)(address)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return signature, codegen


@intrinsic  # type: ignore[untyped-decorator]
def _copy(typing_context: Any, target: Any, source: Any, size: Any) -> Any:
    """``memcpy``, which numba's own slice assignment is 20 times slower than."""
    signature = types.void(target, source, size)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = context.get_value_type(types.CPointer(types.uint8))
        ends = [builder.inttoptr(address, pointer) for address in args[:2]]
        cgutils.raw_memcpy(builder, *ends, args[2], 1)
        return context.get_dummy_value()

    return signature, codegen


@_compiled
def _weights(origin, extent, count, inner, shift, flip, first, weight, half_first, half_weight):  # type: ignore[no-untyped-def]
    """Fill the taps of one axis, for luma and for chroma; returns the largest tap count of each.

    Output i looks at ``[centre - support, centre + support]`` of the window's own pixels.
    """
    scale = np.float64(extent) / count
    support = max(scale, 1.0)
    weight[:, :] = 0
    half_weight[:, :] = 0
    taps = 1
    half_taps = 1
    for i in range(count):
        centre = origin + (i + 0.5) * scale
        begin = max(0, int(np.floor(centre - support + 0.5)))
        end = min(inner, int(np.floor(centre + support + 0.5)))
        place = count - 1 - i if flip else i
        total = 0.0
        for j in range(begin, end):
            total += max(0.0, 1 - abs(j + 0.5 - centre) / support)
        half_begin = (begin + shift) >> 1
        first[place] = begin + shift
        half_first[place] = half_begin
        for j in range(begin, end):
            share = max(0.0, 1 - abs(j + 0.5 - centre) / support) / total
            weight[j - begin, place] = share
            half_weight[((j + shift) >> 1) - half_begin, place] += share
        taps = max(taps, end - begin)
        half_taps = max(half_taps, ((end - 1 + shift) >> 1) - half_begin + 1)
    return taps, half_taps


@_compiled
def _scale_rows(source, width, begin, end, first, weight, taps, row, out):  # type: ignore[no-untyped-def]
    """Scale rows ``begin`` to ``end`` of a plane to the output's width."""
    count = first.shape[0]
    for r in range(begin, end):
        for x in range(width):
            row[x] = source[r * width + x]
        to = out[r - begin]
        if taps <= 2:
            for i in range(count):
                x = first[i]
                to[i] = weight[0, i] * row[x] + weight[1, i] * row[x + np.uint32(1)]
        else:
            for i in range(count):
                to[i] = weight[0, i] * row[first[i]]
            for k in range(1, taps):
                for i in range(count):
                    to[i] += weight[k, i] * row[first[i] + np.uint32(k)]


@_compiled
def _scale_column(rows, begin, weight, place, taps, out):  # type: ignore[no-untyped-def]
    """One output row from ``taps`` scaled rows."""
    count = out.shape[0]
    share = weight[0, place]
    if taps == 2:
        other = weight[1, place]
        for i in range(count):
            out[i] = share * rows[begin, i] + other * rows[begin + 1, i]
        return
    for i in range(count):
        out[i] = share * rows[begin, i]
    for k in range(1, taps):
        share = weight[k, place]
        if share != 0:
            for i in range(count):
                out[i] += share * rows[begin + k, i]


@_compiled
def _colour(luma, cb, cr, matrix, low, high, red, green, blue):  # type: ignore[no-untyped-def]
    r0, r1, r2, r3 = matrix[0, 0], matrix[0, 1], matrix[0, 2], matrix[0, 3]
    g0, g1, g2, g3 = matrix[1, 0], matrix[1, 1], matrix[1, 2], matrix[1, 3]
    b0, b1, b2, b3 = matrix[2, 0], matrix[2, 1], matrix[2, 2], matrix[2, 3]
    low_r, low_g, low_b = low[0], low[1], low[2]
    high_r, high_g, high_b = high[0], high[1], high[2]
    for i in range(luma.shape[0]):
        y, u, v = luma[i], cb[i], cr[i]
        red[i] = min(max(r0 * y + r1 * u + r2 * v + r3, low_r), high_r)
        green[i] = min(max(g0 * y + g1 * u + g2 * v + g3, low_g), high_g)
        blue[i] = min(max(b0 * y + b1 * u + b2 * v + b3, low_b), high_b)


@_compiled
def _write(values, at, step, out):  # type: ignore[no-untyped-def]
    """A row of one channel into every ``step``-th place from ``at``."""
    if step == 1:
        for i in range(values.shape[0]):
            out[at + i] = values[i]
        return
    for i in range(values.shape[0]):
        out[at + i * step] = values[i]


@_compiled
def _rounded(word):  # type: ignore[no-untyped-def]
    """The upper half of a float32 word, rounded to nearest, ties to even."""
    even = (word >> np.uint32(16)) & np.uint32(1)
    return np.uint16((word + np.uint32(0x7FFF) + even) >> np.uint32(16))


@_compiled
def _write_bfloat16(words, at, step, out):  # type: ignore[no-untyped-def]
    """The same of float32 words in bfloat16."""
    if step == 1:
        for i in range(words.shape[0]):
            out[at + i] = _rounded(words[i])
        return
    for i in range(words.shape[0]):
        out[at + i * step] = _rounded(words[i])


@_compiled
def _fused(addresses, geometry, box, flip, matrix, low, high, max_taps, half, last, size, out):  # type: ignore[no-untyped-def]
    clips, frames = addresses.shape
    # Where a value stands in ``out``: pixels, channels, rows and clips, in elements.
    area = frames * size * size
    step, of_channel, of_row = (3, 1, 3 * size) if last else (1, area, size)
    floats, halves = out.view(np.float32), out.view(np.uint16)
    tallest = geometry[:, 0].max()
    widest = geometry[:, 1].max()
    x_first, x_half = np.empty(size, np.uint32), np.empty(size, np.uint32)
    y_first, y_half = np.empty(size, np.uint32), np.empty(size, np.uint32)
    x_weight = np.empty((max_taps, size), np.float32)
    x_half_weight = np.empty((max_taps, size), np.float32)
    y_weight = np.empty((max_taps, size), np.float32)
    y_half_weight = np.empty((max_taps, size), np.float32)
    row = np.zeros(widest + max_taps, np.float32)  # taps of weight 0 may lie past the plane
    luma_rows = np.zeros((tallest + max_taps, size), np.float32)
    u_rows = np.zeros((tallest + max_taps, size), np.float32)
    v_rows = np.zeros((tallest + max_taps, size), np.float32)
    luma, cb, cr = (
        np.empty(size, np.float32),
        np.empty(size, np.float32),
        np.empty(size, np.float32),
    )
    rgb = np.empty((3, size), np.float32)
    words = rgb.view(np.uint32)
    for b in range(clips):
        height, width = geometry[b, 0], geometry[b, 1]
        half_height, half_width = height // 2, width // 2
        chroma_at = height * width
        chroma = half_height * half_width
        x_taps, x_half_taps = _weights(
            box[b, 1], box[b, 3], size, geometry[b, 5], geometry[b, 3], flip[b] != 0,
            x_first, x_weight, x_half, x_half_weight,
        )  # fmt: skip
        y_taps, y_half_taps = _weights(
            box[b, 0], box[b, 2], size, geometry[b, 4], geometry[b, 2], False,
            y_first, y_weight, y_half, y_half_weight,
        )  # fmt: skip
        begin, end = int(y_first[0]), min(height, int(y_first[size - 1]) + y_taps)
        half_begin = int(y_half[0])
        half_end = min(half_height, int(y_half[size - 1]) + y_half_taps)
        for t in range(frames):
            frame = carray(_pointer(addresses[b, t]), chroma_at + 2 * chroma)
            u_plane = frame[chroma_at : chroma_at + chroma]
            v_plane = frame[chroma_at + chroma :]
            _scale_rows(frame, width, begin, end, x_first, x_weight, x_taps, row, luma_rows)
            _scale_rows(
                u_plane, half_width, half_begin, half_end, x_half, x_half_weight, x_half_taps,
                row, u_rows,
            )  # fmt: skip
            _scale_rows(
                v_plane, half_width, half_begin, half_end, x_half, x_half_weight, x_half_taps,
                row, v_rows,
            )  # fmt: skip
            for i in range(size):
                _scale_column(luma_rows, int(y_first[i]) - begin, y_weight, i, y_taps, luma)
                at = int(y_half[i]) - half_begin
                _scale_column(u_rows, at, y_half_weight, i, y_half_taps, cb)
                _scale_column(v_rows, at, y_half_weight, i, y_half_taps, cr)
                # One place computes the colours, so that all types and layouts hold the same.
                _colour(luma, cb, cr, matrix[b], low, high, rgb[0], rgb[1], rgb[2])
                row_at = 3 * area * b + of_row * (t * size + i)
                for c in range(3):
                    at = row_at + of_channel * c
                    if half:
                        _write_bfloat16(words[c], at, step, halves)
                    else:
                        _write(rgb[c], at, step, floats)


def fused(
    addresses: Ints,
    geometry: npt.NDArray[np.int32],
    box: npt.NDArray[np.float32],
    flip: Bytes,
    matrix: npt.NDArray[np.float32],
    low: npt.NDArray[np.float32],
    high: npt.NDArray[np.float32],
    out: npt.NDArray[np.float32] | npt.NDArray[np.int16],
    *,
    channels_last: bool = False,
) -> None:
    """Fill ``out``, C-contiguous: float32, or int16 that holds bfloat16's bits.

    It is ``(B, 3, T, S, S)``, or with ``channels_last`` ``(B, T, S, S, 3)``.

    Args:
        addresses: memory address of every frame, ``(B, T)``; the frames must stay alive.
        geometry: ``(B, 6)``: height, width of the enclosing window, dy, dx, height, width of the
            clip's own window.
        box: ``(B, 4)``: top, left, height, width of the crop in the clip's own window, pixels.
        flip: ``(B,)``: mirror left and right.
        matrix: ``(B, 3, 4)``: from ``(Y, U, V, 1)`` to normalised R, G, B.
        low, high: ``(3,)``: what 0 and 1 become by the normalisation; values are clamped to it.
    """
    if not len(addresses):
        return
    size = out.shape[3]
    support = max(float(box[:, 2:].max()) / size, 1.0)
    max_taps = math.ceil(2 * support) + 1  # one more where a border is rounded
    _fused(
        addresses, geometry, box, flip, matrix, low, high, max_taps,
        out.dtype != np.float32, channels_last, size, out.reshape(-1).view(np.uint8),
    )  # fmt: skip


@_compiled
def _mix(values, weights):  # type: ignore[no-untyped-def]
    for pair in range(weights.shape[0]):
        keep = weights[pair]
        give = np.float32(1) - keep
        one, other = values[2 * pair], values[2 * pair + 1]
        for i in range(values.shape[1]):
            a, b = one[i], other[i]
            one[i] = keep * a + give * b
            other[i] = keep * b + give * a


def mix(values: npt.NDArray[np.float32], weights: npt.NDArray[np.float32]) -> None:
    """Mix neighbours of ``(B, N)`` in place: each keeps its pair's share, ``(B / 2,)``."""
    _mix(values, weights)


@_compiled
def _gather(addresses, frames, sizes, start, out, places):  # type: ignore[no-untyped-def]
    end = start
    for b in range(addresses.shape[0]):
        size = sizes[b]
        for t in range(addresses.shape[1]):
            seen = -1
            for earlier in range(t):
                if frames[b, earlier] == frames[b, t]:
                    seen = earlier
                    break
            if seen >= 0:
                places[b, t] = places[b, seen]
                continue
            _copy(out + end, addresses[b, t], size)
            places[b, t] = end
            end += size
    return end


def gather(
    addresses: Ints,
    frames: Ints,
    sizes: Ints,
    start: int,
    out: Bytes,
    places: Ints,
) -> int:
    """Copy the frames of a batch end to end into ``out`` from ``start``; returns the end.

    A frame that a clip shows twice is copied once. ``addresses`` and ``frames`` (the numbers)
    are ``(B, T)``, ``sizes`` bytes a frame ``(B,)``; ``places`` ``(B, T)`` takes where each frame
    begins in ``out``, which must have room for all.
    """
    if start + int(sizes.sum()) * addresses.shape[1] > len(out):
        raise ValueError(f"{len(out)} bytes are too few for the frames of this batch")
    return int(_gather(addresses, frames, sizes, start, out.ctypes.data, places))
