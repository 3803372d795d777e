"""Which clips are not published for what was measured of them, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd

from tinyvirat_build.records import KEYS, columns, empty

REASON: Final = "quality"


def beyond(clips: pd.DataFrame, bounds: Mapping[str, object]) -> pd.Series[str]:
    """What is wrong with each clip, in words; empty where it keeps all bounds.

    ``bounds`` are the settings ``publish.quality``: ``min_`` or ``max_`` before a column's name
    (None: no bound), and ``infrared``, which is kept or dropped. What could not be measured is
    beyond no bound.
    """
    told: list[list[str]] = [[] for _ in range(len(clips))]
    for name, bound in bounds.items():
        side, _, column = name.partition("_")
        if name == "infrared":
            wrong = clips["infrared"].eq(True) & (bound == "drop")
        elif isinstance(bound, float):
            values = clips[column].astype(float)
            wrong = values < bound if side == "min" else values > bound
        else:
            continue
        for row in np.flatnonzero(wrong).tolist():
            if name == "infrared":
                told[row].append(name)
            else:
                sign = "<" if side == "min" else ">"
                told[row].append(f"{column} {values.iloc[row]:.4g} {sign} {bound:g}")
    return pd.Series(["; ".join(words) for words in told], clips.index, dtype=object)


def quarantine(manifest: pd.DataFrame, why: pd.Series[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The manifest without the files of clips that are beyond a bound, and an issue for each.

    ``why``: as :func:`beyond` says it. A clip that was not cut keeps the reason for that.
    """
    out = (why != "") & manifest["reason"].isna()
    if not out.any():
        return manifest, empty("issues")
    manifest = manifest.assign(reason=manifest["reason"].astype(object).mask(out, REASON))
    for column in ("source_file", "sha256", "pack_file", "pack_offset"):
        manifest[column] = manifest[column].astype(object).mask(out, None)
    lost = manifest[out]
    issues = lost[list(KEYS)].assign(
        stage="publish",
        file=lost["video_id"],
        line=None,
        record="clip " + lost["clip_id"],
        reason=REASON,
        action="quarantined",
        count=1,
        detail=why[out],
    )
    return manifest, issues[columns("issues")].reset_index(drop=True)
