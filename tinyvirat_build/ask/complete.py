"""Is a build complete? It is compared with what its preset expects of the inputs that it knows."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from tinyvirat_build import store
from tinyvirat_build.pipeline.folder import table_path
from tinyvirat_build.settings import BY_SOURCE, Expected, Settings, presets

PLANNING: Final = ("classes", "labels", *sorted(BY_SOURCE))
"""The settings that decide which clips are planned of an input."""


def completeness(out: Path, settings: Settings) -> list[str]:
    """One line for each known input of the preset that the build reads whole.

    An input is known by its annotation set, its videos and its records; nothing is said where a
    setting that planning depends on is not the preset's own.
    """
    if settings.preset not in presets():
        return []
    preset = Settings.load(settings.preset)
    return [
        _compared(clips, known)
        for known in preset.expected
        if _planning(settings, known) == _planning(preset, known)
        and (clips := _clips_of(out, known)) is not None
    ]


def _planning(settings: Settings, known: Expected) -> list[object]:
    own = settings.of(known.input.partition("/")[0])
    return [getattr(own, name) for name in PLANNING]


def _clips_of(out: Path, known: Expected) -> int | None:
    """How many clips the build planned of an input; None if it read another one."""
    source, _, annotation_set = known.input.partition("/")

    def rows(name: str, *more: str) -> pd.DataFrame:
        path = table_path(out, name)
        table = store.read_table(path, ["source", "annotation_set", *more])
        return table[(table["source"] == source) & (table["annotation_set"] == annotation_set)]

    balance = rows("balance", "stage", "records_in")
    activities = balance.loc[balance["stage"] == "parse", "records_in"].sum()
    if (len(rows("videos")), activities) != (known.videos, known.activities):
        return None
    return len(rows("clips_planned"))


def _compared(clips: int, known: Expected) -> str:
    source, _, annotation_set = known.input.partition("/")
    whole = f"{source.upper()} {annotation_set} ({known.videos:,} video{'s' * (known.videos != 1)})"
    if clips == known.clips:
        return f"Complete: {clips:,} clips before the filter, as expected of {whole}."
    return f"Expected {known.clips:,} clips of {whole} before the filter, found {clips:,}."
