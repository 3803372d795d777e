"""Audits of a build: are its labels complete, and do its splits keep apart?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from tinyvirat_build.ask.audit.completeness import (
    completeness,
    missing_labels,
    missing_pairs,
    unmapped_names,
)
from tinyvirat_build.ask.audit.duplicates import duplicates
from tinyvirat_build.ask.audit.leakage import shared, shares, short_or_held
from tinyvirat_build.ask.audit.tables import LOADER_FRAMES, Audit
from tinyvirat_build.ask.audit.text import render

__all__ = [
    "Audit",
    "audit",
    "completeness",
    "duplicates",
    "missing_labels",
    "missing_pairs",
    "render",
    "shared",
    "shares",
    "short_or_held",
    "unmapped_names",
]


def audit(
    tables: Mapping[str, pd.DataFrame],
    *,
    classes: Sequence[str],
    targets: Sequence[float],
    root: Path | None = None,
    workers: int = 2,
) -> Audit:
    """Audit a build's tables.

    ``tables``: ``clips`` (the manifest; or ``clips_filtered`` where nothing is cut yet, under
    that name), ``activities``, ``boxes``, ``videos``. Near-duplicates are sought where clips are
    cut and ``root``, the build's folder, is given.
    """
    clips = tables["clips"]
    found = completeness(clips, tables["activities"], tables["boxes"])
    cut = root is not None and "path" in clips and bool(clips["path"].notna().any())
    return Audit(
        found,
        missing_pairs(found),
        unmapped_names(found),
        shared(clips, tables["videos"]),
        duplicates(clips, root, workers=workers) if cut and root is not None else None,
        short_or_held(clips, least=LOADER_FRAMES),
        shares(clips, classes, targets),
        tuple(targets),
    )
