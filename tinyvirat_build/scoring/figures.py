"""Figures 4 to 6 of the TinyVIRAT paper, of any runs: F1 of each class, and what it hangs on.

Made to be printed at the width of a column, Figures 5 and 6 of a page (7 inches), in colours and
marks that stay apart for the colour-blind and in grey. The same results give the same bytes, for
equal versions of matplotlib.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import StrMethodFormatter
from matplotlib.transforms import Bbox

from tinyvirat_build import plots
from tinyvirat_build.errors import DataError, TrainError
from tinyvirat_build.geometry.arrays import Floats, Ints
from tinyvirat_build.pack.read import open_pack
from tinyvirat_build.plots import COLOURS, DIM, GREY, GRID, WIDTH, new, styled
from tinyvirat_build.scoring.truth import split_truth
from tinyvirat_build.store import write_bytes

WIDE: Final = 7.0  # inches: room for the names of 26 classes
_UNSEEN: Final = 0.005  # F1 whose bar is too short to be seen
_MARKS: Final = ("o", "s", "^", "D", "v")


@dataclass(frozen=True, slots=True, eq=False)
class PerClass:
    """What the figures show: F1 (models, C), mean side and training clips of each class (C,)."""

    classes: tuple[str, ...]
    models: tuple[str, ...]
    f1: Floats
    sides: Floats  # pixels, of the training clips; 0 where there are none
    samples: Ints


def draw(results: Sequence[Path], build: Path, out: Path) -> list[Path]:
    """Write figure4, figure5 and figure6, light, dark and as PNG (300 dpi); return their paths.

    Classes without a clip in the split that was scored are left out: their F1 says nothing.

    Args:
        results: one to five results.json of ``evaluate``, of one split and build.
        build: the build, whose training rows tell resolution and samples.
        out: folder for the figures.

    Raises:
        DataError: results or training rows that cannot be read.
        TrainError: none or too many results, or results of different classes or another build.
        PackError: the build has no pack.
    """
    shown = read_results(results, build)
    with styled():
        drawn = {
            "figure4": _bars(shown),
            "figure5": _scatter(shown, shown.sides, "mean side of the training clips (pixels)"),
            "figure6": _scatter(shown, shown.samples, "training clips", log=True),
        }
        return save(drawn, out)


def save(drawn: Mapping[str, Figure], out: Path) -> list[Path]:
    """Write figures by their names, as SVG, light and dark, and PNG; return the files' paths."""
    written = []
    for name, figure in drawn.items():
        for file, data in plots.files(figure, name, png=True).items():
            written.append(out / file)
            write_bytes(written[-1], data)
    return written


def read_results(results: Sequence[Path], build: Path) -> PerClass:
    """Results and training rows as numbers of those classes that the scored split has.

    Raises:
        DataError, TrainError: see :func:`draw`.
    """
    if not 1 <= len(results) <= len(COLOURS):
        raise TrainError(f"{len(results)} results; give one to {len(COLOURS)} results.json")
    trees = [read(file) for file in results]
    classes = tuple(trees[0]["classes"])
    for file, tree in zip(results, trees, strict=True):
        if tuple(tree["classes"]) != classes or tree["split"] != trees[0]["split"]:
            raise TrainError(f"{file}: of other classes or another split than {results[0]}")
    if any(tree["origin"]["sha256"] != open_pack(build).fingerprint for tree in trees):
        raise TrainError(f"{build}: not the build that was scored; give that one with --build")
    train = split_truth(build, "train", classes)
    samples = train.labels.sum(axis=0)
    sides = (train.labels * train.sides[:, None]).sum(axis=0) / np.maximum(samples, 1)
    kept = [c for c, name in enumerate(classes) if trees[0]["classes"][name]["support"]]
    f1 = [[tree["classes"][classes[c]]["f1"] for c in kept] for tree in trees]
    return PerClass(
        tuple(classes[c] for c in kept),
        told_apart([str(tree["name"]) for tree in trees], results),
        np.array(f1, np.float64).reshape(len(trees), len(kept)),
        sides[kept],
        samples[kept],
    )


def told_apart(names: Sequence[str], files: Sequence[Path]) -> tuple[str, ...]:
    """The names, each that occurs twice with as many of its file's folders as tell them apart.

    >>> told_apart(["run", "run"], [Path("/a/run/test/r.json"), Path("/b/run/test/r.json")])
    ('run (a/run/test)', 'run (b/run/test)')
    """
    folders = [file.resolve().parent.parts for file in files]
    shown = list(names)
    for depth in range(1, max(map(len, folders), default=0) + 1):
        twice = {n for n in shown if shown.count(n) > 1}
        shown = [
            f"{name} ({'/'.join(folder[-depth:])})" if now in twice else now
            for name, folder, now in zip(names, folders, shown, strict=True)
        ]
    return tuple(shown)


def read(file: Path) -> dict[str, Any]:
    """A results.json of ``evaluate``.

    Raises:
        DataError: it cannot be read, or is none.
    """
    try:
        tree: dict[str, Any] = json.loads(file.read_text("utf-8"))
        _ = tree["name"], tree["split"], tree["origin"]["sha256"]
        _ = [c["f1"] + c["support"] for c in tree["classes"].values()]
    except OSError as e:
        raise DataError(
            f"{file}: cannot be read ({e.strerror}); give the results.json that `evaluate` writes"
        ) from e
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise DataError(f"{file}: not the results.json of `evaluate` ({e}); score anew") from e
    return tree


def _legend(figure: Figure, models: Sequence[str]) -> None:
    columns = 1 if max(map(len, models)) > 24 else min(len(models), 3)
    figure.legend(loc="outside upper center", ncols=columns, frameon=False)


def _bars(shown: PerClass) -> Figure:
    """Figure 4: a bar a model for each class, the class of the best F1 on top."""
    order = np.argsort(-shown.f1.max(axis=0, initial=0), kind="stable")
    row = 0.1 + 0.09 * len(shown.models)  # inches
    figure, axes = new(WIDTH, 0.75 + row * max(len(order), 1))
    thick = 0.8 / len(shown.models)
    for m, model in enumerate(shown.models):
        place = np.arange(len(order)) + (m - (len(shown.models) - 1) / 2) * thick
        axes.barh(place, shown.f1[m, order], thick, color=COLOURS[m], label=model)
        for i in np.flatnonzero(shown.f1[m, order] < _UNSEEN):  # else it looks as if left out
            axes.annotate(
                f"{shown.f1[m, order[i]]:.2g}", (0, place[i]), (2, 0), textcoords="offset points",
                va="center", fontsize=min(6.0, 0.8 * thick * row * 72), color=GREY,
            )  # fmt: skip
    axes.set_yticks(range(len(order)), [shown.classes[c] for c in order])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(order) - 0.45, -0.55)
    axes.set_xlim(0, 1)
    axes.set_xlabel("F1")
    axes.grid(axis="x", linewidth=0.3, color=GRID)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    _legend(figure, shown.models)
    return figure


def _scatter(shown: PerClass, x: npt.NDArray[Any], label: str, *, log: bool = False) -> Figure:
    """Figures 5 and 6: F1 over a property of the class; one mark a model, a name a class."""
    figure, axes = new(WIDE, 3.2)
    if log:
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xlim(max(x.min(initial=10) * 0.7, 0), max(x.max(initial=1), 10) * 1.5)
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    else:
        low, high = x.min(initial=128), x.max(initial=0)
        room = max((high - low) * 0.15, 4)
        axes.set_xlim(max(low - room, 0), high + room)
    axes.set_ylim(-0.04, 1.04)
    axes.set_xlabel(label)
    axes.set_ylabel("F1")
    axes.grid(linewidth=0.3, color=GRID)
    axes.set_axisbelow(True)
    if len(shown.models) > 1:
        axes.vlines(x, shown.f1.min(axis=0), shown.f1.max(axis=0), color=DIM, linewidth=0.5)
    for m, model in enumerate(shown.models):
        size = 3 + 1.2 * (len(shown.models) - 1 - m)  # equal values show around the later mark
        axes.plot(
            x, shown.f1[m], _MARKS[m], color=COLOURS[m], markersize=size, label=model,
            clip_on=False,
        )  # fmt: skip
    _legend(figure, shown.models)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]  # the layout is known from here on
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
    _name_points(axes, x, shown, renderer)
    return figure


_OFFSETS: Final = tuple(  # points; nearest first
    sorted(
        (
            (sign * dx, dy, side)
            for dy in (0, *(up * step for step in range(5, 90, 5) for up in (1, -1)))
            for dx in (4, 20, 40, 65, 95)
            for sign, side in ((1, "left"), (-1, "right"))
            if dy or dx == 4
        ),
        key=lambda at: (abs(at[0]) + 1.5 * abs(at[1]), at),
    )
)


def _name_points(axes: Axes, x: npt.NDArray[Any], shown: PerClass, renderer: RendererAgg) -> None:
    """Names beside each class's best point, where they cover no mark, line or other name.

    A class for which no free place is near stays unnamed; Figure 4 has its F1.
    """
    best = shown.f1.max(axis=0, initial=0)
    reach = axes.figure.dpi / 72 * 2  # pixels around a mark
    marks = axes.transData.transform(
        np.column_stack([np.tile(x, len(shown.models)), shown.f1.ravel()])
    )
    taken = [Bbox.from_extents(*(p - reach), *(p + reach)) for p in marks]
    if len(shown.models) > 1:
        ends = marks.reshape(len(shown.models), -1, 2)
        taken += [Bbox([*line]) for line in zip(ends.min(axis=0), ends.max(axis=0), strict=True)]
    frame = axes.get_window_extent()
    for c in np.argsort(-best, kind="stable"):
        for dx, dy, side in _OFFSETS:
            text = axes.annotate(
                shown.classes[c],
                (float(x[c]), float(best[c])),
                (dx, dy),
                textcoords="offset points",
                ha=side,
                va="center",
                fontsize=5.5,
                color=GREY,
                annotation_clip=False,
                arrowprops={"arrowstyle": "-", "linewidth": 0.3, "color": DIM} if dy else None,
            )
            text.set_in_layout(False)
            text.update_positions(renderer)
            box = Text.get_window_extent(text)  # of the name alone, without its line
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            text.remove()
