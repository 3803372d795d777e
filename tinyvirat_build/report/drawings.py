"""What the clips of a build are like: labels, lengths, sides, cameras, splits, quality.

Each function draws one part of the statistics, or nothing where there is nothing to show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from tinyvirat_build.plots import BLUE, DIM, GRID, INK, PAGE, STEPS, WIDTH, scale
from tinyvirat_build.records import SPLITS
from tinyvirat_build.report import canvas
from tinyvirat_build.report.canvas import SPLIT_COLOURS

_CAMERAS: Final = 24  # that have a row of their own
_NUMBERED: Final = 10  # classes, up to which a cell has room for its number
_MEASURES: Final = {
    "motion": "motion (mean difference in the boxes)",
    "brightness": "brightness (mean luma)",
    "contrast": "contrast (deviation of luma)",
    "blur": "blur (Laplacian's variance; low: blurred)",
    "frozen": "frozen (share of equal frames)",
}


def labels(stats: Mapping[str, Any]) -> Figure | None:
    """Clips by how many labels they have; a bar with its number for each."""
    clips = stats["labels_per_clip"]["clips"]
    if not clips:
        return None
    figure, axes = canvas.new(0.45 + 0.2 * len(clips))
    bars = axes.barh(range(len(clips)), list(clips.values()), 0.7, color=BLUE)
    axes.bar_label(bars, [f"{n:,}" for n in clips.values()], padding=2, fontsize=6.5)
    canvas.named_rows(axes, [f"{n} label{'s' * (n != '1')}" for n in clips])
    axes.set_xlim(0, max(clips.values()) * 1.15)
    _bare(axes)
    return figure


def _bare(axes: Axes) -> None:
    """Without an axis below: the numbers stand beside the bars."""
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)


def cooccurrence(stats: Mapping[str, Any]) -> Figure | None:
    """A square for each pair of labels, the darker the more clips have both."""
    names = stats["cooccurrence"]["classes"]
    if len(names) < 2:
        return None
    clips = np.array(stats["cooccurrence"]["clips"])
    together = np.where(np.eye(len(names), dtype=bool), 0, clips)
    most = max(int(together.max()), 1)
    level = np.ceil(np.log1p(together) / np.log1p(most) * (STEPS - 1))
    figure, axes = canvas.new(1.0 + max(2.1 * min(1, 0.3 + len(names) / 20), 0.1 * len(names)))
    axes.pcolormesh(
        np.where(np.eye(len(names), dtype=bool), np.nan, level),
        cmap=ListedColormap(scale()), vmin=-0.5, vmax=STEPS - 0.5,
        edgecolors=PAGE, linewidth=0.3,
    )  # fmt: skip
    shown = [name if len(name) <= 26 else name[:25] + "…" for name in names]
    size = 6.5 if len(names) <= 16 else 6
    ticks = np.arange(len(names)) + 0.5
    axes.set_yticks(ticks, [s.replace("$", r"\$") for s in shown], fontsize=size)
    axes.set_xticks(ticks, [s.replace("$", r"\$") for s in shown], fontsize=size, rotation=90)
    axes.tick_params(length=0)
    axes.invert_yaxis()
    axes.spines["bottom"].set_visible(False)
    if len(names) <= _NUMBERED:
        for (i, j), n in np.ndenumerate(together):
            if n:
                dark = level[i, j] > (STEPS - 1) * 0.6
                axes.text(
                    j + 0.5, i + 0.5, f"{n:,}", ha="center", va="center", fontsize=6,
                    color=PAGE if dark else INK,
                )  # fmt: skip
    found = f"clips with both labels, up to {most:,}"
    axes.set_title(found if together.any() else "no clip has two labels")
    return figure


def lengths(stats: Mapping[str, Any]) -> Figure | None:
    """Clips by frames, split upon split."""
    return _stacked(stats["lengths"], "frames")


def sides(stats: Mapping[str, Any]) -> Figure | None:
    """Clips by the longer side of the window, split upon split."""
    return _stacked(stats["side_counts"], "side of the window (pixels)")


def _stacked(found: Mapping[str, Any], label: str) -> Figure | None:
    if not any(any(found[split]) for split in SPLITS):
        return None
    figure, axes = canvas.new(1.7)
    _histogram(axes, found)
    axes.set_xlabel(label)
    axes.set_ylabel("clips")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    canvas.legend(figure, len(SPLITS))
    return figure


def _histogram(axes: Axes, found: Mapping[str, Any]) -> None:
    edges = np.array(found["edges"], float)
    below = np.zeros(len(edges) - 1)
    for split, colour in zip(SPLITS, SPLIT_COLOURS, strict=True):
        axes.bar(
            edges[:-1], found[split], np.diff(edges), below, align="edge", color=colour,
            label=split, edgecolor=PAGE, linewidth=0.3,
        )  # fmt: skip
        below += found[split]
    axes.set_xlim(edges[0], edges[-1])
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.tick_params(axis="y", length=0)
    canvas.gridded(axes, "y")


def drift(stats: Mapping[str, Any]) -> Figure | None:
    """A point for each class and split at the class's share, and lines at the targets."""
    found = stats["drift"]
    if not found["per_class"]:
        return None
    rows = {"all clips": found["all"], **found["per_class"]}
    figure, axes = canvas.new(0.75 + 0.16 * len(rows))
    for split, colour, mark in zip(SPLITS, SPLIT_COLOURS, "osD", strict=True):
        shares = [100 * row[split] for row in rows.values()]
        axes.axvline(100 * found["targets"][split], color=colour, linewidth=0.8, alpha=0.6)
        axes.plot(
            shares, range(len(rows)), mark, color=colour, markersize=3.2, label=split,
            clip_on=False,
        )  # fmt: skip
    axes.hlines(range(len(rows)), 0, 100, color=GRID, linewidth=0.3, zorder=0)
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of the class's clips (%)")
    canvas.named_rows(axes, list(rows))
    canvas.legend(figure, len(SPLITS))
    return figure


def cameras(stats: Mapping[str, Any]) -> Figure | None:
    """A row a camera, split beside split; the rest in one row."""
    rows = stats["cameras"]
    if not rows:
        return None
    rest = rows[_CAMERAS:]
    shown = rows[:_CAMERAS]
    if rest:
        others = {split: sum(row[split] for row in rest) for split in SPLITS}
        shown = [*shown, {"name": f"{len(rest)} others", **others}]
    return _by_name(shown)


def _by_name(rows: Sequence[Mapping[str, Any]]) -> Figure:
    figure, axes = canvas.new(0.75 + 0.16 * len(rows))
    left = np.zeros(len(rows))
    for split, colour in zip(SPLITS, SPLIT_COLOURS, strict=True):
        counts = [row[split] for row in rows]
        axes.barh(range(len(rows)), counts, 0.75, left, color=colour, label=split)
        left += counts
    for i, n in enumerate(left.astype(int).tolist()):
        axes.annotate(
            f"{n:,}", (n, i), (2, 0), textcoords="offset points", va="center", fontsize=6.5
        )
    axes.set_xlim(0, max(left.max(), 1) * 1.15)
    canvas.named_rows(axes, [row["name"] for row in rows])
    _bare(axes)
    canvas.legend(figure, len(SPLITS))
    return figure


def hours(stats: Mapping[str, Any]) -> Figure | None:
    """Bars over the hours of a day, split upon split."""
    rows = {int(row["name"]): row for row in stats["hours"]}
    if not rows:
        return None
    none = dict.fromkeys(SPLITS, 0)
    found: dict[str, Any] = {
        split: [rows.get(hour, none)[split] for hour in range(24)] for split in SPLITS
    }
    figure, axes = canvas.new(1.6)
    _histogram(axes, found | {"edges": range(25)})
    axes.set_xticks(range(0, 25, 3))
    axes.set_xlabel("hour of the day")
    axes.set_ylabel("clips")
    canvas.legend(figure, len(SPLITS))
    return figure


def quality(stats: Mapping[str, Any]) -> Figure | None:
    """A histogram for each measure, one below the other, and the clips in infrared."""
    found = stats["quality"]
    shown = [name for name in _MEASURES if name in found]
    if not shown:
        return None
    figure = Figure(figsize=(WIDTH, 0.5 + 0.95 * len(shown)), layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(len(shown))), shown, strict=True):
        _histogram(axes, found[name])
        axes.set_title(_MEASURES[name], loc="left", pad=3)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    if "infrared" in found:
        figure.supxlabel(f"{found['infrared']:,} clips in infrared", fontsize=6.5, color=DIM)
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(SPLITS), frameon=False)
    return figure
