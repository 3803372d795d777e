"""Settings that change nothing where another one has some value."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinyvirat_build.settings import Settings


def idle(settings: Settings) -> dict[str, str]:
    """Each setting without effect, with what takes it away.

    >>> from tinyvirat_build.settings import Settings
    >>> idle(Settings.load(overrides=["chunk.lengths=[40, 150]"]))["chunk.length"]
    'chunk.lengths=[40, 150]'
    """
    merge, chunk, crop = settings.merge, settings.chunk, settings.crop
    of_merge = [f"merge.{k}" for k in ("touch", "measure", "threshold")]
    rules = [
        (merge.unit == "activity", "merge.unit=activity", of_merge),
        (
            merge.unit == "activity" and crop.labels != "split",
            f"merge.unit=activity and crop.labels={crop.labels}",
            ["merge.bridge"],
        ),
        (merge.touch == "actor", "merge.touch=actor", ["merge.measure", "merge.threshold"]),
        (bool(chunk.lengths), f"chunk.lengths={list(chunk.lengths)}", ["chunk.length"]),
        (not chunk.lengths, "chunk.lengths=[]", ["chunk.seed"]),
        (crop.mode == "static", "crop.mode=static", ["crop.smooth"]),
        (not crop.sides, "crop.sides=[]", ["crop.snap"]),
        (crop.enlarge == 1, "crop.enlarge=1", ["crop.enlarge_under"]),
        (crop.labels != "split", f"crop.labels={crop.labels}", ["crop.seen"]),
        (settings.partition.group != "time", "partition.group is not time", ["partition.gap"]),
    ]
    found: dict[str, str] = {}
    for holds, why, names in rules:
        for name in names if holds else ():
            found.setdefault(name, why)
    return found
