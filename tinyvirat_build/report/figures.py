"""Figures 2 and 3 of the TinyVIRAT paper, of any build.

Made to be printed at the width of a column (3.4 inches): 7 point type, colours that stay apart
for the colour-blind and in grey. The same statistics give the same bytes, for equal versions of
matplotlib.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Final

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from tinyvirat_build.records import SPLITS
from tinyvirat_build.stages.stats import BEYOND, RESOLUTIONS

CAPTIONS: Final = {
    "figure2": "Samples of each class in each split (logarithmic axis).",
    "figure3": "Share of each class's samples by resolution.",
}

WIDTH: Final = 3.4  # inches
_SPLIT_COLOURS: Final = ("#0072b2", "#e69f00", "#404040")  # Okabe and Ito: blue, orange; grey
_STYLE: Final[dict[str, Any]] = {
    "font.size": 7,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "axes.linewidth": 0.5,
    "xtick.major.width": 0.5,
    "xtick.minor.width": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "svg.hashsalt": "tinyvirat-build",
    "svg.fonttype": "path",
}


def figures(stats: Mapping[str, Any]) -> dict[str, bytes]:
    """File name to content: ``figure2`` and ``figure3``, each as SVG and PNG (300 dpi).

    Figure 2 shows the samples of each class in each split, on a logarithmic axis; Figure 3 the
    share of each class's samples in six groups of resolution. Classes stand by their number of
    samples, the largest on top; a class without clips keeps its row.
    """
    files = {}
    with matplotlib.style.context(["default", _STYLE]):
        for name, draw in (("figure2", _samples), ("figure3", _resolutions)):
            rows = sorted(stats["per_class"], key=lambda row: (-row["clips"], row["index"]))
            size = WIDTH, max(1.5, 0.75 + 0.18 * len(rows))  # few rows need their legend's room too
            figure = Figure(figsize=size, layout="constrained")
            draw(figure.subplots(), rows)
            files[f"{name}.svg"] = _save(figure, "svg", {"Date": None, "Creator": None})
            files[f"{name}.png"] = _save(figure, "png", {"Software": None})
    return files


def _save(figure: Figure, kind: str, metadata: Mapping[str, None]) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format=kind, dpi=300, metadata=dict(metadata))
    return out.getvalue()


def _samples(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """Figure 2: three bars a class."""
    place = np.arange(len(rows))
    height = 0.27
    for i, (split, colour) in enumerate(zip(SPLITS, _SPLIT_COLOURS, strict=True)):
        counts = [row[split] for row in rows]
        axes.barh(place + (i - 1) * height, counts, height, color=colour, label=split)
    axes.set_xscale("symlog", linthresh=1, linscale=0.3)
    most = max((row[split] for row in rows for split in SPLITS), default=0)
    axes.set_xlim(0, max(most, 10) * 1.2)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel("samples")
    axes.grid(axis="x", linewidth=0.3, color="#cccccc")
    axes.set_axisbelow(True)
    _class_axis(axes, rows)
    axes.figure.legend(loc="outside upper center", ncols=len(SPLITS), frameon=False)


def _resolutions(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """Figure 3: one bar a class, stacked to 100 %, small windows dark and large ones light."""
    beyond = any(BEYOND in row["resolution"] for row in rows)
    groups = (*RESOLUTIONS, BEYOND) if beyond else RESOLUTIONS
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 1, len(groups)))
    counts = np.array([[row["resolution"].get(g, 0) for g in groups] for row in rows], dtype=float)
    counts = counts.reshape(len(rows), len(groups))
    share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    left = np.zeros(len(rows))
    for i, group in enumerate(groups):
        axes.barh(
            np.arange(len(rows)), share[:, i], 0.78, left, color=colours[i], label=group,
            edgecolor="white", linewidth=0.3,
        )  # fmt: skip
        left += share[:, i]
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of samples (%)")
    _class_axis(axes, rows)
    axes.figure.legend(
        loc="outside upper center", ncols=4 if beyond else 3, frameon=False, columnspacing=1.2,
        title="side of the window (pixels)", title_fontsize=6.5,
    )  # fmt: skip


def _class_axis(axes: Axes, rows: list[dict[str, Any]]) -> None:
    axes.set_yticks(range(len(rows)), [row["label"] for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(rows) - 0.45, -0.55)
    for place, row in enumerate(rows):
        if not row["clips"]:
            axes.annotate(
                "none", (0, place), (3, 0), textcoords="offset points", va="center",
                color="#767676", bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )  # fmt: skip
