"""How every figure looks and is saved, whether of a build or of a run's scores.

Made for the width of a column in print (3.4 inches): 7 point type, colours that stay apart for the
colour-blind and in grey. Equal figures give equal bytes, for equal versions of matplotlib. The dark
variant is the light one in other colours.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Final, Literal

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

WIDTH: Final = 3.4  # inches
BLUE: Final = "#0072b2"
ORANGE: Final = "#e69f00"
GREY: Final = "#404040"
INK: Final = "#000000"
DIM: Final = "#767676"
GRID: Final = "#cccccc"
PAGE: Final = "#ffffff"
STEPS: Final = 9  # colours of a scale, from nothing to most
COLOURS: Final = (BLUE, ORANGE, GREY, "#009e73", "#cc79a7")  # Okabe and Ito; grey
_STYLE: Final[dict[str, Any]] = {
    "font.size": 7,
    "axes.labelsize": 7,
    "axes.titlesize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "axes.linewidth": 0.5,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "tinyvirat-build",
    "svg.fonttype": "path",
}
_COLOUR: Final = re.compile(r"#[0-9a-f]{6}\b")
Kind = Literal["svg", "png"]
KINDS: Final[dict[Kind, dict[str, None]]] = {  # with their metadata, which tells no date or version
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}


def styled(more: dict[str, Any] | None = None) -> AbstractContextManager[None]:
    """The style of all figures, and ``more`` of it, whatever the user's own is."""
    style: list[str | dict[str, Any]] = ["default", _STYLE | (more or {})]
    found: AbstractContextManager[None] = matplotlib.style.context(style)
    return found


def new(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of one part; width and height in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def saved(figure: Figure, kind: Kind) -> bytes:
    """A figure as SVG or as PNG of 300 dpi."""
    out = io.BytesIO()
    figure.savefig(out, format=kind, dpi=300, metadata=KINDS[kind])
    return out.getvalue()


def scale(*, dark: bool = False) -> list[str]:
    """:data:`STEPS` colours from few to many, the many farthest from the page's own."""
    low, high = ("#1c2c38", "#9bd5fb") if dark else ("#e8f1f8", "#08457e")
    ends = np.array([[int(end[i : i + 2], 16) / 255 for i in (1, 3, 5)] for end in (low, high)])
    parts = np.linspace(0, 1, STEPS)[:, None]
    return [str(to_hex(c)) for c in ends[0] * (1 - parts) + ends[1] * parts]


_DARK: Final = {
    INK: "#e6e8ea", DIM: "#9ba1a8", GRID: "#3a4047", PAGE: "#15181b", BLUE: "#56b4e9",
    GREY: "#c9ccd0",
} | dict(zip(scale(), scale(dark=True), strict=True))  # fmt: skip


def files(
    figure: Figure, name: str, *, png: bool = False, dark: Mapping[str, str] | None = None
) -> dict[str, bytes]:
    """A figure as files by name: SVG, light and dark, and if asked for, PNG of 300 dpi.

    ``dark``: what colours of its own become on a dark page.
    """
    light = saved(figure, "svg")
    found = {f"{name}.svg": light, f"{name}-dark.svg": _darkened(light, _DARK | dict(dark or {}))}
    return found | ({f"{name}.png": saved(figure, "png")} if png else {})


def _darkened(svg: bytes, colours: Mapping[str, str]) -> bytes:
    # What has no colour of its own, such as text, is black.
    text = svg.decode().replace("<defs>", f'<g style="fill: {INK}">\n<defs>', 1)
    text = text.replace("</svg>", "</g>\n</svg>")
    return _COLOUR.sub(lambda found: colours.get(found[0], found[0]), text).encode()
