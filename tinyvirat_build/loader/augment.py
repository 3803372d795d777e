"""Augmentation as numbers: a crop box, a flip and one colour matrix a clip, drawn for a batch.

Nothing here touches a pixel. Crop, flip and scale become sampling positions, and the conversion
from YUV, all colour changes and the normalisation become one 3×4 matrix a clip, so that the fused
step (``fused_cpu``, ``fused_triton``) reads each source pixel once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tinyvirat_build.errors import SettingsError
from tinyvirat_build.geometry.arrays import Bytes, Floats, Ints
from tinyvirat_build.loader.sampling import uniform
from tinyvirat_build.pack.read import MATRICES

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)

# Purposes of random numbers (see sampling.uniform).
_AREA, _RATIO, _TOP, _LEFT, _FLIP = 10, 11, 12, 13, 14
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE, _GRAY = 20, 21, 22, 23, 24
_MIXUP: Final = 30
_GRAY_WEIGHTS: Final = np.array([0.299, 0.587, 0.114])
_TO_YIQ: Final = np.array(
    [[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]]
)
_FROM_YIQ: Final = np.linalg.inv(_TO_YIQ)


@dataclass(frozen=True, slots=True)
class Augment:
    """What is varied in training, and how much; a clip's frames are all treated alike.

    The defaults are moderate: half the area at least, mirrored every second time, colours by a
    fifth. ``Augment(scale=(1, 1), ratio=(1, 1), flip=0, …)`` switches a part off.
    """

    scale: tuple[float, float] = (0.5, 1.0)  # share of the window's area that is kept
    ratio: tuple[float, float] = (3 / 4, 4 / 3)  # width over height, relative to the window's
    flip: float = 0.5  # probability of mirroring left and right
    jitter: int = 0  # frames by which each sampled frame may move, either way, in order
    brightness: float = 0.2  # factor in [1 - b, 1 + b]
    contrast: float = 0.2  # factor about mid-gray in [1 - c, 1 + c]
    saturation: float = 0.2  # factor about the pixel's own gray in [1 - s, 1 + s]
    hue: float = 0.02  # rotation in turns, in [-h, h]
    grayscale: float = 0.0  # probability of losing all colour
    mixup: float = 0.0  # parameter of Beta(m, m); 0: none

    def __post_init__(self) -> None:
        rules = [
            (0 < self.scale[0] <= self.scale[1] <= 1, "scale is a range in (0, 1]"),
            (0 < self.ratio[0] <= self.ratio[1], "ratio is a range above 0"),
            (0 <= self.flip <= 1 and 0 <= self.grayscale <= 1, "flip, grayscale are in [0, 1]"),
            (self.jitter >= 0 and self.mixup >= 0, "jitter and mixup are 0 or more"),
            (
                all(0 <= v <= 1 for v in (self.brightness, self.contrast, self.saturation)),
                "brightness, contrast and saturation are in [0, 1]",
            ),
            (0 <= self.hue <= 0.5, "hue is in [0, 0.5] turns"),
        ]
        for holds, rule in rules:
            if not holds:
                raise SettingsError(f"augment: {rule}")


NONE: Final = Augment((1, 1), (1, 1), 0.0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def check_normalisation(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    """Refuse a normalisation that is none of three channels.

    Raises:
        SettingsError: with the rule that is broken.
    """
    finite = all(math.isfinite(v) for v in (*mean, *std))
    right = len(mean) == len(std) == 3 and finite and min(std) > 0
    if not (right and min(mean) >= 0 and max(mean) <= 1):
        raise SettingsError(
            "normalisation: mean and std are three numbers each, of pixels from 0 to 1, and std is "
            f"above 0; found {mean}, {std}"
        )


def crop_boxes(
    augment: Augment, seed: int, epoch: int, positions: Ints, heights: Floats, widths: Floats
) -> tuple[npt.NDArray[np.float32], Bytes]:
    """Crop boxes ``(B, 4)`` as top, left, height, width in real pixels, and flips ``(B,)``.

    A box has the drawn area and ratio where both fit into the window, else the largest side that
    fits; it is never under one pixel.
    """
    u = uniform(seed, epoch, positions, [_AREA, _RATIO, _TOP, _LEFT, _FLIP])
    area = _between(u[:, 0], augment.scale) * heights * widths
    ratio = np.exp(_between(u[:, 1], tuple(math.log(r) for r in augment.ratio)))
    ratio = ratio * widths / heights
    width = np.clip(np.sqrt(area * ratio), np.minimum(1, widths), widths)
    height = np.clip(np.sqrt(area / ratio), np.minimum(1, heights), heights)
    box = np.stack([u[:, 2] * (heights - height), u[:, 3] * (widths - width), height, width], 1)
    return box.astype(np.float32), (u[:, 4] < augment.flip).astype(np.uint8)


def _between(draws: Floats, bounds: tuple[float, ...]) -> Floats:
    low, high = bounds
    return low + draws * (high - low)


def yuv_to_rgb(matrix: str, value_range: str) -> Floats:
    """``(4, 4)``: from ``(Y, U, V, 1)`` in 0..255 to ``(R, G, B, 1)`` in 0..1 (ITU-T H.273, 8.3).

    >>> (yuv_to_rgb("bt601", "limited") @ [235, 128, 128, 1]).round(6).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    kr, kb = MATRICES[matrix]
    kg = 1 - kr - kb
    rgb = np.array(
        [
            [1, 0, 2 * (1 - kr)],
            [1, -2 * (1 - kb) * kb / kg, -2 * (1 - kr) * kr / kg],
            [1, 2 * (1 - kb), 0],
        ]
    )
    black, luma, chroma = (16, 219, 224) if value_range == "limited" else (0, 255, 255)
    out = np.eye(4)
    out[:3, :3] = rgb / [luma, chroma, chroma]
    out[:3, 3] = out[:3, :3] @ [-black, -128, -128]
    return out


@dataclass(frozen=True, slots=True)
class ColourShift:
    """Colour changes of a batch: three factors and a rotation in radians, each ``(B,)``."""

    brightness: Floats
    contrast: Floats
    saturation: Floats
    hue: Floats


def draw_colour(augment: Augment, seed: int, epoch: int, positions: Ints) -> ColourShift:
    """Draw the colour changes of the clips at ``positions``."""
    u = uniform(seed, epoch, positions, [_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE, _GRAY])
    saturation = 1 + augment.saturation * (2 * u[:, 2] - 1)
    return ColourShift(
        brightness=1 + augment.brightness * (2 * u[:, 0] - 1),
        contrast=1 + augment.contrast * (2 * u[:, 1] - 1),
        saturation=np.where(u[:, 4] < augment.grayscale, 0.0, saturation),
        hue=2 * math.pi * augment.hue * (2 * u[:, 3] - 1),
    )


def colour_matrices(drawn: ColourShift) -> Floats:
    """Colour changes as matrices on ``(R, G, B, 1)``, ``(B, 4, 4)``.

    In this order: brightness (a factor), contrast (about 0.5), saturation (about the pixel's
    gray), hue (a rotation of YIQ's chroma). Nothing is clamped between them; the result is, once.
    """
    clips = len(drawn.hue)
    rotate = np.zeros((clips, 3, 3))
    rotate[:, 0, 0] = 1
    rotate[:, 1, 1] = rotate[:, 2, 2] = np.cos(drawn.hue)
    rotate[:, 2, 1] = np.sin(drawn.hue)
    rotate[:, 1, 2] = -np.sin(drawn.hue)
    gray = np.tile(_GRAY_WEIGHTS, (3, 1))
    keep = drawn.saturation[:, None, None]
    colour = _FROM_YIQ @ rotate @ _TO_YIQ @ (keep * np.eye(3) + (1 - keep) * gray)
    out = np.zeros((clips, 4, 4))
    out[:, :3, :3] = colour * (drawn.brightness * drawn.contrast)[:, None, None]
    out[:, :3, 3] = (colour @ np.ones(3)) * (0.5 * (1 - drawn.contrast))[:, None]
    out[:, 3, 3] = 1
    return out


def mixup_weights(augment: Augment, seed: int, epoch: int, pairs: Ints) -> Floats:
    """The share that each clip of a pair keeps, drawn from Beta(m, m), ``(P,)``.

    Pairs are neighbours in the epoch's order, which is shuffled: 0 and 1, 2 and 3, …, so that a
    pair never spans two ranks.
    """
    from scipy.special import betaincinv  # slow to import, rarely wanted

    draws = uniform(seed, epoch, pairs, [_MIXUP])[:, 0]
    weights: Floats = betaincinv(augment.mixup, augment.mixup, draws)
    return weights
