"""How runs learned, and which labels they take for which: training curves and confusions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tinyvirat_build.errors import TrainError
from tinyvirat_build.geometry.arrays import Floats
from tinyvirat_build.plots import COLOURS, GRID, INK, PAGE, STEPS, WIDTH, new, scale, styled
from tinyvirat_build.scoring.figures import read, save, told_apart

_WRITTEN: Final = 0.005  # the least share that a cell writes
_CURVES: Final = {"loss": "loss", "val_f1": "macro F1 on val", "val_map": "mAP on val"}


def draw_confusions(results: Sequence[Path], out: Path) -> list[Path]:
    """Write ``confusion`` (of several results ``confusion-1``, …) as SVG, light and dark, and PNG.

    Row i, column j is the share of the clips with label i and without j that were said to have j;
    on the diagonal, of the clips with label i that were said to have it. Classes that no clip has
    are left out.

    Raises:
        DataError: results that cannot be read.
    """
    trees = [read(file) for file in results]
    names = told_apart([str(tree["name"]) for tree in trees], results)
    with styled():
        drawn = {
            "confusion" if len(trees) == 1 else f"confusion-{i}": _confusion(tree, name)
            for i, (tree, name) in enumerate(zip(trees, names, strict=True), 1)
        }
        return save(drawn, out)


def shares(tree: Mapping[str, Any]) -> tuple[list[str], Floats]:
    """The classes that some clip has, and their confusion as shares of each row's clips."""
    names = list(tree["classes"])
    support = np.array([tree["classes"][name]["support"] for name in names])
    there = np.flatnonzero(support)
    counts = np.array(tree["confusion"], float).reshape(len(names), len(names))
    found: Floats = counts[np.ix_(there, there)] / support[there, None]
    return [names[i] for i in there], found


def _confusion(tree: Mapping[str, Any], title: str) -> Figure:
    names, found = shares(tree)
    side = 0.9 + 0.17 * max(len(names), 6)
    figure, axes = new(max(WIDTH, side + 0.9), max(2.6, side + 0.6))
    colours = ListedColormap([PAGE, *scale()])
    level = np.where(found < _WRITTEN, 0, np.ceil(STEPS * np.minimum(found, 1)))
    axes.pcolormesh(
        level, cmap=colours, vmin=-0.5, vmax=STEPS + 0.5, edgecolors=GRID, linewidth=0.3
    )
    ticks = np.arange(len(names)) + 0.5
    shown = [name.replace("$", r"\$") for name in names]
    axes.set_yticks(ticks, shown)
    axes.set_xticks(ticks, shown, rotation=90)
    axes.tick_params(length=0)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.set_xlabel("said")
    axes.set_ylabel("true")
    for spine in axes.spines.values():
        spine.set_visible(False)
    for (i, j), share in np.ndenumerate(found):
        if share >= _WRITTEN:
            axes.text(
                j + 0.5, i + 0.5, f"{100 * share:.0f}", ha="center", va="center", fontsize=5,
                color=PAGE if level[i, j] > STEPS / 2 else INK,
            )  # fmt: skip
    figure.suptitle(f"{title}, {tree['split']}:\n% of the clips with the true label", fontsize=7)
    return figure


def draw_curves(logs: Mapping[str, Sequence[Mapping[str, str]]], out: Path) -> list[Path]:
    """Write ``curves`` light, dark and as PNG: loss, F1 and mAP of each run over its epochs.

    ``logs``: each run's name and the rows of its log.csv; what an epoch did not measure is empty.

    Raises:
        TrainError: no run, too many, or one without an epoch.
    """
    if not 1 <= len(logs) <= len(COLOURS):
        raise TrainError(f"{len(logs)} runs; give one to {len(COLOURS)}")
    for name, rows in logs.items():
        if not rows:
            raise TrainError(f"{name}: its log.csv has no epoch; train it first")
    with styled():
        return save({"curves": _curves(logs)}, out)


def _curves(logs: Mapping[str, Sequence[Mapping[str, str]]]) -> Figure:
    shown = [c for c in _CURVES if any(row[c] for rows in logs.values() for row in rows)]
    figure = Figure(figsize=(WIDTH, 0.4 + 1.3 * len(shown)), layout="constrained")
    parts = np.atleast_1d(figure.subplots(len(shown), sharex=True))
    for axes, column in zip(parts, shown, strict=True):
        for (name, rows), colour in zip(logs.items(), COLOURS, strict=False):
            known = [row for row in rows if row[column]]
            axes.plot(
                [int(row["epoch"]) for row in known], [float(row[column]) for row in known],
                color=colour, linewidth=1, marker="o", markersize=1.5, label=name,
                clip_on=False,
            )  # fmt: skip
        axes.set_ylabel(_CURVES[column])
        axes.grid(linewidth=0.3, color=GRID)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.set_ylim(bottom=0)
    parts[-1].set_xlabel("epoch")
    handles, names = parts[0].get_legend_handles_labels()
    columns = min(len(names), 3)
    figure.legend(handles, names, loc="outside upper center", ncols=columns, frameon=False)
    return figure
