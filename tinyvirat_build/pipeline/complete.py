"""Is a build complete? It is compared with what its preset expects of the inputs that it knows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from tinyvirat_build import store
from tinyvirat_build.pipeline.folder import table_path
from tinyvirat_build.settings import BY_SOURCE, Expected, Settings, presets

PLANNING: Final = ("classes", "labels", *sorted(BY_SOURCE))
"""The settings that decide which clips are planned of an input."""


def completeness(out: Path, settings: Settings) -> list[str]:
    """One line for each known input of the preset that the build reads.

    An input is known by its annotation set, its videos and its records; what is expected of it
    holds for the boxes that were found with it. Nothing is said where a setting that planning
    depends on is not the preset's own.
    """
    if settings.preset not in presets():
        return []
    preset = Settings.load(settings.preset)
    return [
        _compared(found, known)
        for known in preset.expected
        if _planning(settings, known) == _planning(preset, known)
        and (found := _found_of(out, known)) is not None
    ]


@dataclass(frozen=True, slots=True)
class _Input:
    """What a build found of an input: clips planned, and activities without boxes."""

    clips: int
    without_boxes: int


def _planning(settings: Settings, known: Expected) -> list[object]:
    own = settings.of(known.input.partition("/")[0])
    return [getattr(own, name) for name in PLANNING]


def _found_of(out: Path, known: Expected) -> _Input | None:
    """What the build found of an input; None if it read another one."""
    source, _, annotation_set = known.input.partition("/")

    def rows(name: str, *more: str) -> pd.DataFrame:
        path = table_path(out, name)
        table = store.read_table(path, ["source", "annotation_set", *more])
        return table[(table["source"] == source) & (table["annotation_set"] == annotation_set)]

    balance = rows("balance", "stage", "records_in")
    activities = balance.loc[balance["stage"] == "parse", "records_in"].sum()
    if (len(rows("videos")), activities) != (known.videos, known.activities):
        return None
    issues = rows("issues", "stage", "reason", "count")
    bare = issues["count"][(issues["stage"] == "parse") & (issues["reason"] == "no_geometry")]
    return _Input(len(rows("clips_planned")), int(bare.sum()))


def _compared(found: _Input, known: Expected) -> str:
    source, _, annotation_set = known.input.partition("/")
    whole = f"{source.upper()} {annotation_set} ({store.many(known.videos, 'video')})"
    bare, clips = found.without_boxes, f"{found.clips:,} clips before the filter"
    lacking = (
        f"{bare:,} of {known.activities:,} activities of {whole} have no boxes, as geometry files "
        "are missing (`tinyvirat-build doctor` counts them)"
    )
    beside = f" The released set has {known.published:,} rows of it." if known.published else ""
    if bare != known.without_boxes:
        what = lacking if bare else f"all activities of {whole} have their boxes"
        return f"{clips}; nothing is known to compare them with: {what}.{beside}"
    if found.clips != known.clips:
        expected = f"Expected {known.clips:,} clips of {whole} before the filter"
        return f"{expected}, found {found.clips:,}.{beside}"
    if bare:
        return f"Not complete: {lacking}. Of the others come {clips}, as expected.{beside}"
    return f"Complete: {clips}, as expected of {whole}.{beside}"
