"""The fused step on CUDA: the arithmetic of ``fused_cpu``, one launch for the whole batch.

One program computes a tile of one output frame, or of the same frame of two clips that are mixed.
Every output pixel adds up the pixels under its
triangle; tiny frames lie in the cache after the first tap, so nothing is staged between passes.
Under ``TRITON_INTERPRET=1`` the same kernel runs on host tensors, which is how it is tested.
"""

from __future__ import annotations

from typing import Any, Final

import torch
import triton
import triton.language as tl

INTS: Final = 8  # height, width, dy, dx, inner height, inner width, flip, unused
FLOATS: Final = 16  # box: top, left, height, width; then the 3×4 matrix, row by row
_TILE: Final = 256  # pixels a program


@triton.jit  # type: ignore[untyped-decorator]
def _seen(  # type: ignore[no-untyped-def]
    data, places, ints, floats, clip, frame, pixel, inside,
    frames: tl.constexpr, size: tl.constexpr, tile: tl.constexpr,
):  # fmt: skip
    """Y, U and V of a clip at output pixels."""
    row = pixel // size
    column = pixel % size
    own = ints + clip * 8
    height = tl.load(own)
    width = tl.load(own + 1)
    shift_y = tl.load(own + 2)
    shift_x = tl.load(own + 3)
    inner_height = tl.load(own + 4)
    inner_width = tl.load(own + 5)
    flip = tl.load(own + 6)
    look = floats + clip * 16
    scale_y = tl.load(look + 2) / size
    scale_x = tl.load(look + 3) / size
    support_y = tl.maximum(scale_y, 1.0)
    support_x = tl.maximum(scale_x, 1.0)
    column = tl.where(flip != 0, size - 1 - column, column)
    centre_y = tl.load(look) + (row.to(tl.float32) + 0.5) * scale_y
    centre_x = tl.load(look + 1) + (column.to(tl.float32) + 0.5) * scale_x
    first_y = tl.maximum(tl.floor(centre_y - support_y + 0.5).to(tl.int32), 0)
    first_x = tl.maximum(tl.floor(centre_x - support_x + 0.5).to(tl.int32), 0)
    taps_y = tl.ceil(2 * support_y).to(tl.int32)  # as many pixel centres as lie within 2 supports
    taps_x = tl.ceil(2 * support_x).to(tl.int32)

    plane_y = data + tl.load(places + clip * frames + frame)
    plane_u = plane_y + height * width
    plane_v = plane_u + (height // 2) * (width // 2)
    luma = tl.full([tile], 0.0, tl.float32)
    cb = tl.full([tile], 0.0, tl.float32)
    cr = tl.full([tile], 0.0, tl.float32)
    total = tl.full([tile], 0.0, tl.float32)
    for k in range(taps_y):
        y = first_y + k
        weight_y = 1.0 - tl.abs(y.to(tl.float32) + 0.5 - centre_y) / support_y
        weight_y = tl.where(y < inner_height, tl.maximum(weight_y, 0.0), 0.0)
        for m in range(taps_x):
            x = first_x + m
            weight = 1.0 - tl.abs(x.to(tl.float32) + 0.5 - centre_x) / support_x
            weight = tl.where(x < inner_width, tl.maximum(weight, 0.0), 0.0) * weight_y
            seen = inside & (weight > 0.0)
            at_y = y + shift_y
            at_x = x + shift_x
            half = (at_y // 2) * (width // 2) + at_x // 2
            luma += weight * tl.load(plane_y + at_y * width + at_x, seen, 0).to(tl.float32)
            cb += weight * tl.load(plane_u + half, seen, 0).to(tl.float32)
            cr += weight * tl.load(plane_v + half, seen, 0).to(tl.float32)
            total += weight
    total = tl.where(inside, total, 1.0)
    return luma / total, cb / total, cr / total


@triton.jit
def _channel(floats, low_high, clip, channel, luma, cb, cr):  # type: ignore[no-untyped-def]
    """One channel of RGB, augmented, clamped and normalised."""
    look = floats + clip * 16 + 4 + 4 * channel
    value = luma * tl.load(look) + cb * tl.load(look + 1)
    value += cr * tl.load(look + 2) + tl.load(look + 3)
    low = tl.load(low_high + channel)
    return tl.minimum(tl.maximum(value, low), tl.load(low_high + 3 + channel))


@triton.jit  # type: ignore[untyped-decorator]
def _kernel(  # type: ignore[no-untyped-def]
    data, places, ints, floats, low_high, mixup, out,
    frames: tl.constexpr, size: tl.constexpr, tile: tl.constexpr, mixes: tl.constexpr,
    last: tl.constexpr,
):  # fmt: skip
    item = tl.program_id(0) // frames  # a clip, or a pair of clips that are mixed
    frame = tl.program_id(0) % frames
    pixel = tl.program_id(1) * tile + tl.arange(0, tile)
    inside = pixel < size * size
    clip = item * 2 if mixes else item
    luma, cb, cr = _seen(
        data, places, ints, floats, clip, frame, pixel, inside, frames, size, tile
    )  # fmt: skip
    if mixes:
        keep = tl.load(mixup + item)
        give = 1.0 - keep
        luma2, cb2, cr2 = _seen(
            data, places, ints, floats, clip + 1, frame, pixel, inside, frames, size, tile
        )  # fmt: skip
    for c in tl.static_range(3):
        # Where a pixel stands: (B, 3, T, S, S), or (B, T, S, S, 3) where channels are last.
        if last:
            at = ((clip * frames + frame).to(tl.int64) * size * size + pixel) * 3 + c
        else:
            at = ((clip * 3 + c) * frames + frame).to(tl.int64) * size * size + pixel
        value = _channel(floats, low_high, clip, c, luma, cb, cr)
        if mixes:
            other = _channel(floats, low_high, clip + 1, c, luma2, cb2, cr2)
            mixed = keep * other + give * value
            of_a_clip = 3 * frames * size * size
            tl.store(out + at + of_a_clip, mixed.to(out.dtype.element_ty), inside)
            value = keep * value + give * other
        tl.store(out + at, value.to(out.dtype.element_ty), inside)


def fused(
    data: torch.Tensor,
    places: torch.Tensor,
    ints: torch.Tensor,
    floats: torch.Tensor,
    low_high: torch.Tensor,
    mixup: torch.Tensor,
    out: torch.Tensor,
) -> None:
    """Fill ``out`` ``(B, 3, T, S, S)``, float32, bfloat16 or float16, on the current stream.

    ``out`` is contiguous, or contiguous in ``channels_last_3d``.

    Args:
        data: flat uint8; frames of planes Y, U, V.
        places: where in ``data`` each frame begins, int64 ``(B, T)``.
        ints: int32 ``(B, INTS)``. floats: float32 ``(B, FLOATS)``.
        low_high: float32 ``(6,)``: what 0 becomes, what 1 becomes.
        mixup: float32, what each clip of the pairs 0 and 1, 2 and 3, … keeps, ``(B / 2,)``; empty
            where nothing is mixed.
    """
    clips, _, frames, size, _ = out.shape
    mixes = len(mixup) > 0
    items = clips // 2 if mixes else clips
    kernel: Any = _kernel
    kernel[items * frames, triton.cdiv(size * size, _TILE)](
        data, places, ints, floats, low_high, mixup, out, frames, size, _TILE, mixes,
        not out.is_contiguous(),
        enable_fp_fusion=True,
    )  # fmt: skip
