"""How the figures of a build look and are saved: the style of all figures, light and dark.

They have the width of a column in print, which is that of a phone's screen as well. The same
statistics give the same bytes, for equal versions of matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from tinyvirat_build import plots
from tinyvirat_build.plots import BLUE, GREY, GRID, ORANGE, WIDTH

LOSS: Final = "#d55e00"
LOSS_INK: Final = "#b04a00"  # of words, which need more contrast than bars
SPLIT_COLOURS: Final = (BLUE, ORANGE, GREY)

_MORE: Final[dict[str, Any]] = {"xtick.minor.width": 0.3, "axes.spines.left": False}


def groups(colours: int, *, dark: bool = False) -> list[str]:
    """Colours of ordered groups that stand side by side."""
    found = matplotlib.colormaps["viridis"](np.linspace(0.25 if dark else 0, 1, colours))
    return [str(to_hex(c)) for c in found]


_DARK: Final = {LOSS: "#ff9150", LOSS_INK: "#ff9150"} | {
    light: dark for n in (6, 7) for light, dark in zip(groups(n), groups(n, dark=True), strict=True)
}


def styled() -> AbstractContextManager[None]:
    """The style of the figures of a build."""
    return plots.styled(_MORE)


def new(height: float) -> tuple[Figure, Axes]:
    """A figure of the one width, with one part; ``height`` in inches."""
    return plots.new(WIDTH, height)


def save(figure: Figure, name: str, *, png: bool = False) -> dict[str, bytes]:
    """A figure as files by name: SVG, light and dark, and if asked for, PNG of 300 dpi."""
    return plots.files(figure, name, png=png, dark=_DARK)


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
