"""TinyVIRAT's first layout: ``{"tubes": […]}``, ``classes.txt``, and a folder a source video."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final

from tinyvirat_build import store
from tinyvirat_build.exports.given import ExportClip, Given, place
from tinyvirat_build.records import SPLITS

FOLDER: Final = "TinyVIRAT"


def write(folder: Path, given: Given) -> list[str]:
    """Write lists, classes and videos below ``TinyVIRAT/``; val, which v1 had not, as the others.

    A clip's file is numbered within its source video, a test clip's of what is public in its split.
    """
    root = folder / FOLDER
    for split in SPLITS:
        within: Counter[str] = Counter()
        rows = []
        for clip in given.of(split):
            number = within[clip.video_id]
            within[clip.video_id] += 1
            hidden = clip.labels is None
            path = f"{int(clip.id)}.mp4" if hidden else f"{clip.video_id}/{number}.mp4"
            place(clip, root / "videos" / split / path)
            rows.append(_row(clip, path))
        if rows or split != "val":
            store.write_json(root / f"tiny_{split}.json", {"tubes": rows})
    store.write_text(root / "classes.txt", "".join(f"{name}\n" for name in given.classes))
    given.write_about(folder)
    return ["clip_id and rate"]


def _row(clip: ExportClip, path: str) -> dict[str, Any]:
    row: dict[str, Any] = {"id": clip.id, "path": path, "dim": clip.dim}
    return row if clip.labels is None else row | {"label": list(clip.labels)}
