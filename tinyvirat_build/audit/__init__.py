"""Audits of a build: are its labels complete, and do its splits keep apart?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from tinyvirat_build import progress
from tinyvirat_build.audit.completeness import (
    completeness,
    missing_pairs,
    sights,
    unmapped_names,
)
from tinyvirat_build.audit.duplicates import duplicates
from tinyvirat_build.audit.findings import KINDS, findings
from tinyvirat_build.audit.leakage import shared, shares, short_or_held
from tinyvirat_build.audit.losses import PLANNING, lost_frames
from tinyvirat_build.audit.tables import LOADER_FRAMES, Audit
from tinyvirat_build.audit.text import render
from tinyvirat_build.records import KEYS, empty

__all__ = [
    "KINDS",
    "PLANNING",
    "Audit",
    "audit",
    "completeness",
    "duplicates",
    "findings",
    "lost_frames",
    "missing_pairs",
    "render",
    "shared",
    "shares",
    "short_or_held",
    "sights",
    "unmapped_names",
]


def audit(
    tables: Mapping[str, pd.DataFrame],
    by_video: Iterable[tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]],
    *,
    classes: Sequence[str],
    targets: Sequence[float],
    root: Path | None = None,
    workers: int = 2,
    quiet: bool = True,
) -> Audit:
    """Audit a build's tables.

    ``tables``: ``clips`` (the manifest; or ``clips_filtered`` where nothing is cut yet, under
    that name; the corners of windows are not needed), ``videos``, ``issues``, ``balance``.
    ``by_video``: the rows of clips, ``activities`` and ``boxes`` of each video, or of several.
    Near-duplicates are sought where clips are cut and ``root``, the build's folder, is given.
    """
    clips = tables["clips"]
    used = frozenset(label for labels in clips["labels"] for label in labels)
    videos = len(clips[list(KEYS)].drop_duplicates())
    told = progress.counted(by_video, videos, "audit", "video", quiet=quiet)
    parts = [completeness(*rows, used=used) for rows in told]
    found = pd.concat(parts, ignore_index=True) if parts else completeness(*_NOTHING)
    cut = root is not None and "path" in clips and bool(clips["path"].notna().any())
    return Audit(
        found,
        missing_pairs(found),
        unmapped_names(found),
        lost_frames(tables["issues"], tables["balance"]),
        shared(clips, tables["videos"]),
        duplicates(clips, root, workers=workers, quiet=quiet) if cut and root is not None else None,
        short_or_held(clips, least=LOADER_FRAMES),
        shares(clips, classes, targets),
        tuple(targets),
    )


_NOTHING = (empty("clips_filtered"), empty("activities"), empty("boxes"))
