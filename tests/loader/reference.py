"""The fused step, pixel by pixel: slow, obvious, and the specification of what is fast."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

KR_KB = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "fcc": (0.30, 0.11),
    "smpte240m": (0.212, 0.087),
    "bt2020": (0.2627, 0.0593),
}


@dataclass
class Look:
    """What is done to one clip."""

    top: float
    left: float
    height: float
    width: float
    flip: bool
    brightness: float
    contrast: float
    saturation: float
    hue: float  # radians
    matrix: str
    range: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


def triangle(origin: float, extent: float, count: int, place: int, pixels: int) -> np.ndarray:
    """Weights of a window's pixels for one output pixel: bilinear, wider where it shrinks."""
    scale = extent / count
    centre = origin + (place + 0.5) * scale
    support = max(scale, 1.0)
    weights = np.array([max(0.0, 1 - abs(j + 0.5 - centre) / support) for j in range(pixels)])
    return weights / weights.sum()


def to_rgb(y: float, u: float, v: float, matrix: str, value_range: str) -> list[float]:
    """ITU-T H.273: Y'CbCr in 0..255 to R'G'B' in 0..1."""
    kr, kb = KR_KB[matrix]
    if value_range == "limited":
        luma, pb, pr = (y - 16) / 219, (u - 128) / 224, (v - 128) / 224
    else:
        luma, pb, pr = y / 255, (u - 128) / 255, (v - 128) / 255
    red = luma + 2 * (1 - kr) * pr
    blue = luma + 2 * (1 - kb) * pb
    return [red, (luma - kr * red - kb * blue) / (1 - kr - kb), blue]


def change_colour(rgb: list[float], look: Look) -> list[float]:
    rgb = [c * look.brightness for c in rgb]
    rgb = [(c - 0.5) * look.contrast + 0.5 for c in rgb]
    gray = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]
    r, g, b = (gray + look.saturation * (c - gray) for c in rgb)
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    i = 0.595716 * r - 0.274453 * g - 0.321263 * b
    q = 0.211456 * r - 0.522591 * g + 0.311135 * b
    cos, sin = math.cos(look.hue), math.sin(look.hue)
    i, q = i * cos - q * sin, i * sin + q * cos
    back = np.linalg.inv(
        [[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]]
    )
    return list(back @ [luma, i, q])


def fused(yuv444: npt.NDArray[np.uint8], frames: list[int], size: int, look: Look) -> np.ndarray:
    """One clip's own window ``(T, 3, h, w)``, chroma replicated, as ``(3, frames, S, S)``."""
    _, _, height, width = yuv444.shape
    out = np.zeros((3, len(frames), size, size))
    for row in range(size):
        rows = triangle(look.top, look.height, size, row, height)
        for column in range(size):
            place = size - 1 - column if look.flip else column
            columns = triangle(look.left, look.width, size, place, width)
            for t, frame in enumerate(frames):
                y, u, v = (rows @ plane @ columns for plane in yuv444[frame].astype(float))
                rgb = change_colour(to_rgb(y, u, v, look.matrix, look.range), look)
                for c in range(3):
                    value = min(max(rgb[c], 0.0), 1.0)
                    out[c, t, row, column] = (value - look.mean[c]) / look.std[c]
    return out
