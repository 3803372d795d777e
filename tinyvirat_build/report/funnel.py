"""What became of every annotated frame, drawn: how many each stage left, and what took the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tinyvirat_build.plots import BLUE, DIM, INK
from tinyvirat_build.report import canvas
from tinyvirat_build.report.canvas import LOSS, LOSS_INK

_REASONS: Final = 3  # named of a stage or a label; the others are summed up


def funnel(stats: Mapping[str, Any]) -> Figure | None:
    """A bar for what was annotated, for what each stage left that lost any, and what it lost."""
    found = stats.get("fate")
    if not found or not found["funnel"] or not found["funnel"][0]["frames_in"]:
        return None
    rows: list[tuple[str, int, dict[str, int]]] = []
    rows.append(("annotated", found["funnel"][0]["frames_in"], {}))
    kept = []
    for row in found["funnel"]:
        if row["lost"]:
            rows.append((row["stage"], row["frames_in"] - sum(row["lost"].values()), row["lost"]))
        else:
            kept.append(row["stage"])
    last = found["funnel"][-1]
    rows.append(("published", last["frames_in"] - sum(last["lost"].values()), {}))
    figure, axes = canvas.new(0.25 + 0.42 * len(rows))
    most = rows[0][1]
    for i, (name, left, lost) in enumerate(rows):
        share = f" ({100 * left / most:.1f} %)" if i else ""
        _row(axes, i, name, left, lost, f"{left:,} frames{share}")
    axes.set_xlim(0, most)
    axes.set_ylim(len(rows) - 0.45, -0.62)
    axes.axis("off")
    if kept:
        figure.supxlabel(f"nothing lost: {', '.join(kept)}", fontsize=6.5, color=DIM)
    return figure


def losses(stats: Mapping[str, Any]) -> Figure | None:
    """A bar a label: the share of its annotated frames that is published, and what took most."""
    rows = (stats.get("fate") or {}).get("labels", [])
    if not rows:
        return None
    rows = sorted(rows, key=lambda row: -row["annotated"])
    figure, axes = canvas.new(0.25 + 0.42 * len(rows))
    for i, row in enumerate(rows):
        share = 100 * row["published"] / max(row["annotated"], 1)
        told = f"{share:.1f} % of {row['annotated']:,}"
        scaled = {reason: 100 * n / max(row["annotated"], 1) for reason, n in row["lost"].items()}
        _row(axes, i, row["label"] or "without a label", share, scaled, told, percent=True)
    axes.set_xlim(0, 100)
    axes.set_ylim(len(rows) - 0.45, -0.62)
    axes.axis("off")
    return figure


def _row(
    axes: Axes,
    i: int,
    name: str,
    left: float,
    lost: Mapping[str, float],
    told: str,
    *,
    percent: bool = False,
) -> None:
    """A bar with what is left and what is lost, its name and its numbers above it."""
    axes.barh(i, left, 0.26, color=BLUE)
    axes.barh(i, sum(lost.values()), 0.26, left, color=LOSS)
    shown = name if len(name) <= 30 else name[:29] + "…"
    at = axes.get_yaxis_transform()
    axes.text(0, i - 0.17, shown.replace("$", r"\$"), transform=at, va="bottom", color=INK)
    words = _words(lost, percent=percent)
    axes.text(1, i - 0.17, told, transform=at, va="bottom", ha="right", color=INK, fontsize=6.5)
    if words:
        axes.text(
            1, i + 0.15, words, transform=at, va="top", ha="right", color=LOSS_INK, fontsize=6
        )


def _words(lost: Mapping[str, float], *, percent: bool) -> str:
    ordered = sorted(lost.items(), key=lambda pair: (-pair[1], pair[0]))
    named = [(reason, n) for reason, n in ordered[:_REASONS]]
    if rest := ordered[_REASONS:]:
        named.append((f"{len(rest)} more", sum(n for _, n in rest)))
    return ", ".join(f"{r} {n:.1f} %" if percent else f"{r} −{n:,}" for r, n in named)
