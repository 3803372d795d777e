"""One clip as a picture: its window on the source's frame, its frames, its track in time."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import matplotlib.style
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from tinyvirat_build.geometry.arrays import Bytes
from tinyvirat_build.report.timeline import clip_cuts, losses, segment_cuts

_OWN: Final = "#e69f00"
_NEAR: Final = "#56b4e9"
_OTHER: Final = "#9aa0a6"
_DARK: Final = "#2a2f35"
_UP: Final = (2, 10, 18, -8)  # points from the upper edge of its box to a name
_HALO: Final = [withStroke(linewidth=1.5, foreground="black")]
_STYLE: Final[dict[str, Any]] = {"font.size": 8, "axes.titlesize": 9, "savefig.facecolor": "white"}


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is drawn of a clip.

    ``clip``: its row. ``rows``: its video's ``activities``, ``boxes``, ``segments``, ``chunks`` and
    ``clips``.
    ``size``: of the source's picture. ``source``: frame ``place`` of the clip in its source
    ``(H, W, 3)``; ``frames``: some of the clip's own, each ``(h, w, 3)``, by place.
    """

    clip: Mapping[str, Any]
    rows: Mapping[str, pd.DataFrame]
    issues: pd.DataFrame
    size: tuple[int, int]
    place: int
    source: Bytes | None
    frames: Mapping[int, Bytes]


def draw_clip(scene: Drawn) -> bytes:
    """The picture as PNG; equal scenes give equal bytes, for equal versions of matplotlib."""
    clip = scene.clip
    bars = _bars(scene)
    with matplotlib.style.context(["default", _STYLE]):
        figure = Figure(figsize=(11, 7.4 + 0.22 * len(bars)), layout="constrained")
        heights = [5.2, 1.6, 0.6 + 0.22 * (len(bars) + 2)]
        grid = figure.add_gridspec(3, 1, height_ratios=heights)
        names = _draw_source(figure.add_subplot(grid[0]), scene)
        strip = grid[1].subgridspec(1, max(1, len(scene.frames)))
        for i, (place, frame) in enumerate(scene.frames.items()):
            axes = figure.add_subplot(strip[i])
            axes.imshow(frame, interpolation="nearest")
            axes.set(title=f"frame {place}", xticks=[], yticks=[])
        if not scene.frames:
            axes = figure.add_subplot(strip[0])
            axes.text(0, 0.5, "no picture: the clip is not cut", va="center")
            axes.set_axis_off()
        _draw_time(figure.add_subplot(grid[2]), scene, bars)
        number = f"{clip['split']} {clip['id']}" if isinstance(clip.get("id"), str) else "not cut"
        figure.suptitle(_plain(f"{', '.join(clip['labels'])} – {clip['clip_id']}, {number}"))
        _part(figure, names)
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=110, metadata={"Software": None})
    return out.getvalue()


def _plain(text: str) -> str:
    """A text in lines of bounded length, in which matplotlib finds no formula."""
    return "\n".join(textwrap.wrap(text.replace("$", r"\$"), 140))


def _draw_source(axes: Axes, scene: Drawn) -> list[Annotation]:
    """Draw the source's frame with window and boxes; return the names, the neighbours' first."""
    clip, (width, height) = scene.clip, scene.size
    frame = int(clip["start"]) + scene.place
    axes.set_facecolor(_DARK)
    if scene.source is not None:
        axes.imshow(scene.source)
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[], aspect="equal")
    own, near = set(clip["activities"]), set(clip["seen_activities"] or ())
    activities = scene.rows["activities"]
    doing = activities[(activities["start"] <= frame) & (activities["end"] > frame)]
    boxes = scene.rows["boxes"]
    # Who does several things at once may have a box in each, at one place.
    there = boxes[boxes["frame"] == frame].groupby(["x1", "y1", "x2", "y2"])["actor_id"]
    places: Iterable[tuple[Any, Any]] = there
    written: list[tuple[bool, Annotation]] = []
    for corners, actors in places:
        x1, y1, x2, y2 = map(float, corners)
        does = [a for a in doing.to_dict("records") if {*actors.astype(str)} & {*a["actors"]}]
        names = sorted({label for a in does for label in a["labels"]})
        mine = any(a["activity_id"] in own for a in does)
        _box(axes, x1, y1, x2 - x1, y2 - y1, _OWN if mine else _NEAR if names else _OTHER, 1.2)
        if names and not mine:
            seen = any(a["activity_id"] in near for a in does)
            text = axes.annotate(
                _plain(", ".join(names)), (x1, y1), (0, 2), textcoords="offset points",
                color="#b5dff7", fontsize=6.5, fontweight="bold" if seen else "normal",
                path_effects=_HALO,
            )  # fmt: skip
            text.set_in_layout(False)
            written.append((not seen, text))
    w, h = int(clip["width"]), int(clip["height"])
    xs, ys = ([v + side / 2 for v in clip[xy]] for xy, side in (("x", w), ("y", h)))
    axes.plot(xs, ys, color="white", linewidth=0.8)
    _box(axes, clip["x"][scene.place], clip["y"][scene.place], w, h, "white", 1.6)
    shown = "" if scene.source is not None else "; the source video is not here"
    axes.set_title(
        _plain(
            f"{clip['source']} {clip['video_id']}, frame {frame}{shown}. White: window and its "
            "path; orange: its actors; blue: others with labels; grey: others"
        )
    )
    return [text for _, text in sorted(written, key=lambda pair: pair[0])]


def _part(figure: Figure, names: Sequence[Annotation]) -> None:
    """Move names up until none covers another; what finds no place there is left out."""
    figure.draw_without_rendering()
    taken: list[Bbox] = []
    for text in names:
        for up in _UP:
            text.set_position((0, up))
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
        else:
            text.remove()


def _box(
    axes: Axes, x: float, y: float, width: float, height: float, colour: str, thick: float
) -> None:
    axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=colour, linewidth=thick))


Bar = tuple[str, list[tuple[int, int, str]]]  # a name; start, end and colour of its parts


def _bars(scene: Drawn) -> list[Bar]:
    """The rows of the time line: activities, then segments, then clips with what is lost."""
    clip, rows = scene.clip, scene.rows
    own, near = set(clip["activities"]), set(clip["seen_activities"] or ())
    bars: list[Bar] = []
    for a in rows["activities"].to_dict("records"):
        if a["activity_id"] in own | near:
            colour = _OWN if a["activity_id"] in own else _NEAR
            name = ", ".join(a["labels"]) or a["name"]
            bars.append((name, [(int(a["start"]), int(a["end"]), colour)]))
    segments = [s for s in rows["segments"].to_dict("records") if own.intersection(s["activities"])]
    ids = {int(s["segment_id"]) for s in segments}
    bars.append(("segments", [(int(s["start"]), int(s["end"]), _OTHER) for s in segments]))
    linked = rows["clips"][rows["clips"]["segment_id"].isin(ids)]
    parts = [
        (int(c["start"]), int(c["end"]), _OWN if c["clip_id"] == clip["clip_id"] else _OTHER)
        for c in linked.to_dict("records")
    ]
    lost = losses(scene.issues, {})
    parts += [(a, b, "none") for i in sorted(ids) for a, b, _ in lost.get(i, [])]
    return [*bars, ("clips", parts or [(int(clip["start"]), int(clip["end"]), _OWN)])]


def _draw_time(axes: Axes, scene: Drawn, bars: Sequence[Bar]) -> None:
    clip = scene.clip
    for row, (_, parts) in enumerate(bars):
        for start, end, colour in parts:
            lost = colour == "none"
            axes.barh(row, end - start, 0.7, start, color=colour, linewidth=0.8,
                      edgecolor="#b3261e" if lost else "white",
                      linestyle="--" if lost else "-")  # fmt: skip
    axes.axvline(int(clip["start"]) + scene.place, color="black", linewidth=0.8)
    axes.set_yticks(range(len(bars)), [_plain(name) for name, _ in bars])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel("frame of the source; dashed: in no clip")
    segments = {int(s["segment_id"]): s for s in scene.rows["segments"].to_dict("records")}
    chunks = scene.rows["chunks"].to_dict("records")
    ((begins, ends),) = clip_cuts([clip], chunks, segments, segment_cuts(scene.rows["segments"]))
    start, end = int(clip["start"]), int(clip["end"])
    axes.set_title(_plain(f"begins at frame {start}: {begins}; ends at {end}: {ends}"))
