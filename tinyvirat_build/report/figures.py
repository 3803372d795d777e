"""Every figure of a build: Figures 2 and 3 of the TinyVIRAT paper, and what else a look tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import StrMethodFormatter

from tinyvirat_build.plots import DIM, PAGE, WIDTH
from tinyvirat_build.records import SPLITS
from tinyvirat_build.report import canvas, drawings
from tinyvirat_build.report.canvas import SPLIT_COLOURS
from tinyvirat_build.report.funnel import funnel, losses
from tinyvirat_build.stages.stats import BEYOND, RESOLUTIONS

__all__ = ["CAPTIONS", "WIDTH", "figures"]

CAPTIONS: Final = {
    "funnel": "What became of every annotated frame, from the annotation to the published clips.",
    "losses": "Annotated frames of each label, and the reasons for which some are in no clip.",
    "figure2": "Samples of each class in each split (logarithmic axis).",
    "figure3": "Share of each class's samples by resolution.",
    "labels": "Clips by their number of labels.",
    "cooccurrence": "Clips that have two labels at once; the stronger the colour, the more.",
    "lengths": "Clips by length.",
    "sides": "Clips by the longer side of their window.",
    "drift": "Each class's share in the splits; lines mark the shares aimed at.",
    "cameras": "Clips by camera.",
    "hours": "Clips by the hour in which their recording began.",
    "quality": "Clips by what was measured of their pictures; the last bar holds all above it.",
}


def figures(stats: Mapping[str, Any]) -> dict[str, bytes]:
    """File name to content, of each of :data:`CAPTIONS` that there is something to show of.

    ``figure2`` and ``figure3`` are SVG and PNG (300 dpi), all others SVG; each SVG has a dark
    variant, whose name ends with ``-dark``. Figure 2 shows the samples of each class in each split,
    on a logarithmic axis; Figure 3 the share of each class's samples in groups of resolution.
    Classes stand by their number of samples, the largest on top; those without clips share a row.
    """
    rows = sorted(stats["per_class"], key=lambda row: (-row["clips"], row["index"]))
    with canvas.styled():
        files: dict[str, bytes] = {}
        for name, draw in (("figure2", _samples), ("figure3", _resolutions)):
            # Few rows need their legend's room too.
            figure, axes = canvas.new(max(1.5, 0.75 + 0.18 * len(_folded(rows))))
            draw(axes, rows)
            files |= canvas.save(figure, name, png=True)
        for name, part in ((name, draw(stats)) for name, draw in _MORE.items()):
            if part is not None:
                files |= canvas.save(part, name)
    return files


_MORE: Final = {
    "funnel": funnel,
    "losses": losses,
    "labels": drawings.labels,
    "cooccurrence": drawings.cooccurrence,
    "lengths": drawings.lengths,
    "sides": drawings.sides,
    "drift": drawings.drift,
    "cameras": drawings.cameras,
    "hours": drawings.hours,
    "quality": drawings.quality,
}


def _samples(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """Figure 2: three bars a class."""
    shown = [row for row in rows if row["clips"]]
    place = np.arange(len(shown))
    height = 0.27
    for i, (split, colour) in enumerate(zip(SPLITS, SPLIT_COLOURS, strict=True)):
        counts = [row[split] for row in shown]
        axes.barh(place + (i - 1) * height, counts, height, color=colour, label=split)
    axes.set_xscale("symlog", linthresh=1, linscale=0.3)
    most = max((row[split] for row in shown for split in SPLITS), default=0)
    axes.set_xlim(0, max(most, 10) * 1.2)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel("samples")
    canvas.gridded(axes, "x")
    _class_axis(axes, rows)
    axes.figure.legend(loc="outside upper center", ncols=len(SPLITS), frameon=False)


def _resolutions(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """Figure 3: one bar a class, stacked to 100 %, small windows dark and large ones light."""
    shown = [row for row in rows if row["clips"]]
    beyond = any(BEYOND in row["resolution"] for row in shown)
    groups = (*RESOLUTIONS, BEYOND) if beyond else RESOLUTIONS
    colours = canvas.groups(len(groups))
    counts = np.array([[row["resolution"].get(g, 0) for g in groups] for row in shown], dtype=float)
    counts = counts.reshape(len(shown), len(groups))
    share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    left = np.zeros(len(shown))
    for i, group in enumerate(groups):
        axes.barh(
            np.arange(len(shown)), share[:, i], 0.78, left, color=colours[i], label=group,
            edgecolor=PAGE, linewidth=0.3,
        )  # fmt: skip
        left += share[:, i]
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of samples (%)")
    _class_axis(axes, rows)
    axes.figure.legend(
        loc="outside upper center", ncols=4 if beyond else 3, frameon=False, columnspacing=1.2,
        title="side of the window (pixels)", title_fontsize=6.5,
    )  # fmt: skip


def _folded(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of the rows: each class with clips, and one for all without."""
    empty = [row["label"] for row in rows if not row["clips"]]
    named = [row["label"] for row in rows if row["clips"]]
    return named + ([empty[0] if len(empty) == 1 else f"{len(empty)} classes"] if empty else [])


def _class_axis(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    names = _folded(rows)
    canvas.named_rows(axes, names)
    if any(not row["clips"] for row in rows):
        axes.annotate(
            "without clips", (0, len(names) - 1), (3, 0), textcoords="offset points", va="center",
            color=DIM, bbox={"facecolor": PAGE, "edgecolor": "none", "pad": 0.5},
        )  # fmt: skip
