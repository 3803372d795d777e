"""Draw docs/drawings/*.svg: small worlds, and what the stages themselves make of them.

``make docs`` writes them; a test fails while a committed file differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tinyvirat_build.settings import Chunk, Crop, Merge
from tinyvirat_build.stages.chunk import chunk
from tinyvirat_build.stages.crop import crop
from tinyvirat_build.stages.merge import merge
from tinyvirat_build.stages.segment import segment

FOLDER = Path(__file__).with_name("drawings")
CLASSES = ("talking", "carrying", "opening")
KEY = {"source": "drawn", "video_id": "v", "annotation_set": "own"}
WIDTH, LEFT, ROW = 720, 150, 34
COLOURS = {"activity": "#7fb7be", "track": "#d3d3d3", "segment": "#f2b134", "window": "#ed553b"}

Boxes = Mapping[str, Mapping[int, tuple[float, float, float, float]]]


class World:
    """A video of actors with boxes; ``activities`` are (id, label, actor, start, end)."""

    def __init__(self, activities: Sequence[tuple[str, str, str, int, int]], boxes: Boxes) -> None:
        about = [
            {**KEY, "activity_id": i, "name": label, "labels": (label,), "start": start, "end": end}
            | {"actors": (actor,), "status": "", "file_order": n}
            for n, (i, label, actor, start, end) in enumerate(activities)
        ]
        rows = [
            {**KEY, "actor_id": actor, "frame": t, "keyframe": True}
            | dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))
            for actor, line in boxes.items()
            for t, box in line.items()
        ]
        self.activities, self.boxes = pd.DataFrame(about), pd.DataFrame(rows)
        self.videos = pd.DataFrame([{**KEY, "width": 640, "height": 360}])

    def tracks(self) -> pd.DataFrame:
        """What merge makes of it."""
        return merge(self.activities, self.boxes, Merge()).table

    def segments(self) -> pd.DataFrame:
        """What segment makes of the tracks."""
        return segment(self.tracks(), self.activities, Merge(), classes=CLASSES).table

    def chunks(self, chunking: Chunk) -> pd.DataFrame:
        """What chunk makes of the segments."""
        return chunk(self.segments(), self.tracks(), chunking).table

    def clips(self, cropping: Crop) -> pd.DataFrame:
        """What crop makes of the chunks."""
        return crop(
            self.chunks(Chunk()), self.tracks(), self.activities, self.boxes, self.videos,
            cropping, classes=CLASSES,
        ).table  # fmt: skip


def walk(x: float, y: float, frames: Iterable[int], vx: float = 0, vy: float = 0) -> dict[Any, Any]:
    """The boxes of somebody 20 pixels wide and 50 high who moves evenly."""
    return {t: (x + vx * t, y + vy * t, x + vx * t + 20, y + vy * t + 50) for t in frames}


def bars(groups: Sequence[tuple[str, str, Sequence[tuple[int, int, str]]]], last: int) -> str:
    """Rows of spans over time; a row is its name, its kind, and (start, end, text) in frames."""
    scale = (WIDTH - LEFT - 20) / last
    height = ROW * len(groups) + 40
    parts = []
    for n, (name, kind, spans) in enumerate(groups):
        y = 12 + ROW * n
        parts.append(_text(8, y + 17, name))
        for start, end, text in spans:
            x, width = LEFT + start * scale, (end - start) * scale
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="24" rx="3" '
                f'fill="{COLOURS[kind]}" stroke="#fff"/>'
            )
            parts.append(_text(x + width / 2, y + 17, text, middle=True))
    y = 12 + ROW * len(groups)
    for frame in range(0, last + 1, last // 5):
        parts.append(_text(LEFT + frame * scale, y + 14, str(frame), middle=True))
    parts.append(_text(8, y + 14, "frame"))
    return _svg(height, parts)


def _text(x: float, y: float, text: str, *, middle: bool = False) -> str:
    anchor = ' text-anchor="middle"' if middle else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{anchor}>{text}</text>'


def _svg(height: int, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="13" fill="#222">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>\n'
    )
    return head + "\n".join(parts) + "\n</svg>\n"


def _spans(table: pd.DataFrame, words: str) -> list[tuple[int, int, str]]:
    rows = zip(table["start"], table["end"], table[words], strict=True)
    return [(int(a), int(b), " + ".join(w)) for a, b, w in rows]


def segments() -> str:
    """Activities that touch become tracks; tracks with one set of labels become segments."""
    world = World(
        [("A", "talking", "a", 0, 200), ("B", "carrying", "b", 60, 300),
         ("C", "carrying", "c", 110, 160)],
        {"a": walk(100, 100, range(200)), "b": walk(110, 100, range(60, 300)),
         "c": walk(120, 100, range(110, 160))},
    )  # fmt: skip
    rows = [
        (f"activity {i}", "activity", [(int(s), int(e), label)])
        for i, s, e, (label,) in world.activities[["activity_id", "start", "end", "labels"]].values
    ]
    rows.append(("tracks", "track", _spans(world.tracks(), "activities")))
    rows.append(("segments", "segment", _spans(world.segments(), "labels")))
    return bars(rows, 300)


def chunks() -> str:
    """One segment of 150 frames under each remainder policy, and with shared frames."""
    world = World([("A", "talking", "a", 0, 150)], {"a": walk(100, 100, range(150))})
    settings: dict[str, dict[str, Any]] = {
        name: {"remainder": name} for name in ("balance", "keep", "drop", "merge")
    }
    settings["keep, overlap: 16"] = {"remainder": "keep", "overlap": 16}
    rows = [("segment", "activity", _spans(world.segments(), "labels"))]
    for name, given in settings.items():
        table = world.chunks(Chunk(**given))
        spans = [(int(s), int(e), str(e - s)) for s, e in table[["start", "end"]].values]
        even, odd = spans[::2], spans[1::2]
        if given.get("overlap"):
            rows += [(name, "segment", even), ("", "segment", odd)]
        else:
            rows.append((name, "segment", spans))
    return bars(rows, 150)


def windows() -> str:
    """Where the window of one clip stands while its actors walk apart."""
    world = World(
        [("A", "talking", "a", 0, 60), ("B", "carrying", "b", 0, 60)],
        {"a": walk(22, 60, range(60), 5), "b": walk(28, 44, range(60), 5.1, 0.3)},
    )
    clip = world.clips(Crop()).iloc[0]
    parts = []
    for t in range(0, int(clip["end"]), 14):
        faint = 0.35 + 0.65 * t / 60
        for actor, colour in (("a", COLOURS["activity"]), ("b", COLOURS["segment"])):
            here = (world.boxes["actor_id"] == actor) & (world.boxes["frame"] == t)
            x1, y1, x2, y2 = world.boxes.loc[here, ["x1", "y1", "x2", "y2"]].iloc[0]
            parts.append(_box(x1, y1, x2 - x1, y2 - y1, colour, fill=colour, opacity=faint))
        x, y = clip["x"][t - clip["start"]], clip["y"][t - clip["start"]]
        parts.append(_box(x, y, clip["width"], clip["height"], COLOURS["window"], opacity=faint))
        parts.append(_text(float(x) * 2 + 4, float(y) * 2 - 66, f"frame {t}"))
    return _svg(220, parts)


def _box(
    x: float, y: float, w: float, h: float, stroke: str, *, opacity: float, fill: str = "none"
) -> str:
    return (
        f'<rect x="{x * 2:.1f}" y="{y * 2 - 60:.1f}" width="{w * 2:.1f}" '
        f'height="{h * 2:.1f}" fill="{fill}" stroke="{stroke}" stroke-width="2" '
        f'opacity="{opacity:.2f}"/>'
    )


DRAWINGS = {"segments": segments, "chunks": chunks, "windows": windows}


def write() -> None:
    """Write every drawing."""
    FOLDER.mkdir(exist_ok=True)
    for name, draw in DRAWINGS.items():
        (FOLDER / f"{name}.svg").write_text(draw(), "utf-8")


if __name__ == "__main__":
    write()
