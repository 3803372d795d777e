"""What the figures of a build show beside its statistics: clips by all that is known of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from tinyvirat_build.geometry.arrays import Bools, Floats, Ints
from tinyvirat_build.records import KEYS, QUALITY, SPLITS

BINS: Final = 20  # of a histogram, at most
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[.T_ ](\d\d)-\d\d")  # of a session
_MOST: Final = 99.0  # per cent of the values that lie before a histogram's last bin


def cooccurrence(member: Bools, classes: Sequence[str]) -> dict[str, Any]:
    """How many clips have two labels at once, ``(C, C)`` over the ``C`` classes with clips.

    ``member``: which clip has which class. The diagonal counts the clips of a class.
    """
    there = np.flatnonzero(member.any(axis=0)).tolist()
    own = member[:, there].astype(np.int64)
    return {"classes": [classes[i] for i in there], "clips": (own.T @ own).tolist()}


def whole_numbers(values: Ints, in_split: Bools) -> dict[str, Any]:
    """A histogram of whole numbers ``(clips,)``: edges, half-open, and clips by split.

    >>> whole_numbers(np.array([3, 4, 4]), np.array([[True, True, False], [False] * 3,
    ...                                              [False, False, True]]))
    {'edges': [3, 4, 5], 'train': [1, 1], 'val': [0, 0], 'test': [0, 1]}
    """
    if not len(values):
        return {"edges": [0, 1], **{split: [0] for split in SPLITS}}
    low, high = int(values.min()), int(values.max()) + 1
    width = -(-(high - low) // BINS)
    edges = np.arange(low, high + width, width)
    return _histogram(values, edges, in_split)


def _histogram(values: Ints | Floats, edges: Ints | Floats, in_split: Bools) -> dict[str, Any]:
    counts = {
        split: np.histogram(values[inside], edges)[0].tolist()
        for split, inside in zip(SPLITS, in_split, strict=True)
    }
    return {"edges": edges.tolist(), **counts}


def quality(clips: pd.DataFrame, in_split: Bools) -> dict[str, Any]:
    """A histogram of each measure, and how many clips are infrared; empty where none was cut.

    The last bin holds whatever lies above it too, so that a few odd clips do not press all others
    into one.
    """
    found: dict[str, Any] = {}
    for name in QUALITY:
        known = clips[name].notna().to_numpy(bool) if name in clips else np.zeros(0, bool)
        if not known.any():
            continue
        if name == "infrared":
            found[name] = int(clips[name].eq(True).sum())
            continue
        values = clips[name].to_numpy(dtype=float, na_value=0.0)
        top = 1.0 if name == "frozen" else float(np.percentile(values[known], _MOST))
        low = 0.0 if name == "frozen" else float(values[known].min())
        edges = np.linspace(low, max(top, low + BINS * 1e-6), BINS + 1).round(6)
        clipped = np.clip(values, edges[0], edges[-1])
        found[name] = _histogram(clipped, edges, in_split & known)
    return found


def places(clips: pd.DataFrame, videos: pd.DataFrame | None, in_split: Bools) -> dict[str, Any]:
    """Clips by camera, those with most first, and by the hour at which a session begins.

    A camera or an hour that nobody knows is left out.
    """
    if videos is None:
        return {"cameras": [], "hours": []}
    keys = list(KEYS)
    known = videos[[*keys, "camera", "session"]].astype(object).drop_duplicates(keys)
    joined = clips[keys].astype(object).merge(known, on=keys, how="left")
    hours = [
        told[1] if isinstance(s, str) and (told := _TIME.search(s)) else None
        for s in joined["session"]
    ]
    cameras = _by(joined["camera"], in_split)
    return {
        "cameras": sorted(cameras, key=lambda r: (-sum(r[s] for s in SPLITS), r["name"])),
        "hours": _by(pd.Series(hours, dtype=object), in_split),
    }


def _by(names: pd.Series[Any], in_split: Bools) -> list[dict[str, Any]]:
    """Clips by name and split, in order of the names."""
    values = names.to_numpy(dtype=object)
    there = sorted({str(v) for v in values[names.notna().to_numpy(bool)]} - {""})
    return [
        {"name": name}
        | {
            s: int((inside & (values == name)).sum())
            for s, inside in zip(SPLITS, in_split, strict=True)
        }
        for name in there
    ]
