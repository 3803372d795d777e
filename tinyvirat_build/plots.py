"""How every figure looks and is saved, whether of a build or of a run's scores.

Made for the width of a column in print (3.4 inches): 7 point type, colours that stay apart for the
colour-blind and in grey. Equal figures give equal bytes, for equal versions of matplotlib.
"""

from __future__ import annotations

import io
from contextlib import AbstractContextManager
from typing import Any, Final, Literal

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH: Final = 3.4  # inches
BLUE: Final = "#0072b2"
ORANGE: Final = "#e69f00"
GREY: Final = "#404040"
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
