"""How the figures of a build look and are saved: the style of all figures, light and dark.

They have the width of a column in print, which is that of a phone's screen as well. The same
statistics give the same bytes, for equal versions of matplotlib. The dark variant is the light one
in other colours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from tinyvirat_build import plots
from tinyvirat_build.plots import BLUE, GREY, ORANGE, WIDTH

INK: Final = "#000000"
DIM: Final = "#767676"
GRID: Final = "#cccccc"
PAGE: Final = "#ffffff"
LOSS: Final = "#d55e00"
LOSS_INK: Final = "#b04a00"  # of words, which need more contrast than bars
SPLIT_COLOURS: Final = (BLUE, ORANGE, GREY)
STEPS: Final = 9  # colours of a scale, from nothing to most

_MORE: Final[dict[str, Any]] = {"xtick.minor.width": 0.3, "axes.spines.left": False}


def scale(colours: int, *, dark: bool = False) -> list[str]:
    """Colours from few to many, the many farthest from the page's own."""
    low, high = ("#1c2c38", "#9bd5fb") if dark else ("#e8f1f8", "#08457e")
    ends = np.array([[int(end[i : i + 2], 16) / 255 for i in (1, 3, 5)] for end in (low, high)])
    parts = np.linspace(0, 1, colours)[:, None]
    return [str(to_hex(c)) for c in ends[0] * (1 - parts) + ends[1] * parts]


def groups(colours: int, *, dark: bool = False) -> list[str]:
    """Colours of ordered groups that stand side by side."""
    found = matplotlib.colormaps["viridis"](np.linspace(0.25 if dark else 0, 1, colours))
    return [str(to_hex(c)) for c in found]


def _in_the_dark() -> dict[str, str]:
    pairs = {
        INK: "#e6e8ea", DIM: "#9ba1a8", GRID: "#3a4047", PAGE: "#15181b", BLUE: "#56b4e9",
        LOSS: "#ff9150", LOSS_INK: "#ff9150", SPLIT_COLOURS[2]: "#c9ccd0",
    }  # fmt: skip
    pairs |= dict(zip(scale(STEPS), scale(STEPS, dark=True), strict=True))
    for n in (6, 7):
        pairs |= dict(zip(groups(n), groups(n, dark=True), strict=True))
    return pairs


_DARK: Final = _in_the_dark()
_COLOUR: Final = re.compile(r"#[0-9a-f]{6}\b")


def styled() -> AbstractContextManager[None]:
    """The style of the figures of a build."""
    return plots.styled(_MORE)


def new(height: float) -> tuple[Figure, Axes]:
    """A figure of the one width, with one part; ``height`` in inches."""
    return plots.new(WIDTH, height)


def save(figure: Figure, name: str, *, png: bool = False) -> dict[str, bytes]:
    """A figure as files by name: SVG, light and dark, and if asked for, PNG of 300 dpi."""
    light = plots.saved(figure, "svg")
    files = {f"{name}.svg": light, f"{name}-dark.svg": darkened(light)}
    return files | ({f"{name}.png": plots.saved(figure, "png")} if png else {})


def darkened(svg: bytes) -> bytes:
    """An SVG of these figures in the colours of a dark page."""
    # What has no colour of its own, such as text, is black.
    text = svg.decode().replace("<defs>", f'<g style="fill: {INK}">\n<defs>', 1)
    text = text.replace("</svg>", "</g>\n</svg>")
    return _COLOUR.sub(lambda found: _DARK.get(found[0], found[0]), text).encode()


def legend(figure: Figure, columns: int, title: str | None = None) -> None:
    """What the colours mean, above the figure."""
    figure.legend(
        loc="outside upper center", ncols=columns, frameon=False, columnspacing=1.2,
        title=title, title_fontsize=6.5,
    )  # fmt: skip


def gridded(axes: Axes, side: str) -> None:
    """Thin lines behind what is drawn, across the axis ``side``."""
    axes.grid(axis=side, linewidth=0.3, color=GRID)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def named_rows(axes: Axes, names: Sequence[str], most: int = 26) -> None:
    """Rows from the top, each with its name, shortened to ``most`` letters."""
    shown = [name if len(name) <= most else name[: most - 1] + "…" for name in names]
    # A dollar sign begins no formula.
    axes.set_yticks(range(len(shown)), [name.replace("$", r"\$") for name in shown])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(shown) - 0.45, -0.55)
