"""Leakage: what two splits have in common, and how far each label is from its share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from tinyvirat_build.records import KEYS, SPLITS

_SHARED: Final = ("kind", "source", "value", "splits", "videos", "cameras", "clips")


def shared(clips: pd.DataFrame, videos: pd.DataFrame) -> pd.DataFrame:
    """The groups, videos and time slots whose clips lie in more than one split.

    One row each: ``kind`` (group, video or session; the last is MEVA's time slot, in which
    several cameras see one event), ``source``, ``value``, ``splits``, how many ``videos``, the
    ``cameras`` and how many ``clips``. Groups and videos must never show up here; sessions may
    where a list of videos rules, as DIVA's does.
    """
    keys = list(KEYS)
    plain = clips[[*keys, "group", "split"]].astype(str).reset_index(drop=True)
    plain[["start", "end"]] = clips[["start", "end"]].to_numpy()
    more = videos[[*keys, "session", "camera"]].astype(object)
    joined = plain.merge(
        more.assign(**{key: videos[key].astype(str) for key in keys}), on=keys, how="left"
    )
    rows = []
    for kind, column in (("group", "group"), ("video", "video_id"), ("session", "session")):
        known = joined[joined[column].notna() & (joined[column] != "")]
        several = known.groupby(["source", column])["split"].transform("nunique") > 1
        for (source, value), part in known[several].groupby(["source", column]):
            if kind != "group" and _apart_in_time(part):
                continue
            rows.append(
                (
                    kind,
                    source,
                    value,
                    tuple(split for split in SPLITS if (part["split"] == split).any()),
                    part["video_id"].nunique(),
                    tuple(sorted(part["camera"].dropna().unique())),
                    len(part),
                )
            )
    return pd.DataFrame(rows, columns=list(_SHARED))


def _apart_in_time(clips: pd.DataFrame) -> bool:
    """Whether one video's clips are in slices of its time, and no two splits share a frame."""
    if clips["video_id"].nunique() > 1 or not clips["group"].str.fullmatch(r".*@\d+").all():
        return False
    ordered = clips.sort_values("start", kind="stable")
    for split in ordered["split"].unique():
        own, others = ordered[ordered["split"] == split], ordered[ordered["split"] != split]
        ends = np.r_[-1, np.maximum.accumulate(own["end"].to_numpy())]
        before = np.searchsorted(own["start"].to_numpy(), others["end"].to_numpy())
        if (ends[before] > others["start"].to_numpy()).any():
            return False
    return True


def shares(clips: pd.DataFrame, classes: Sequence[str], targets: Sequence[float]) -> pd.DataFrame:
    """Each label's clips, its share in each split, and the largest distance from the target.

    Columns: label, clips, train, val, test, drift (shares from 0 to 1); the last row, ``all``,
    counts every clip once.
    """
    split = clips["split"].to_numpy(dtype=object).astype(str)
    rows = []
    for label in [*classes, None]:
        inside = np.array([label is None or label in own for own in clips["labels"]], dtype=bool)
        n = int(inside.sum())
        share = [float((split[inside] == name).mean()) if n else 0.0 for name in SPLITS]
        drift = max(abs(s - t) for s, t in zip(share, targets, strict=True)) if n else 0.0
        rows.append((label or "all", n, *share, drift))
    return pd.DataFrame(rows, columns=["label", "clips", *SPLITS, "drift"])


def short_or_held(clips: pd.DataFrame, *, least: int) -> pd.DataFrame:
    """The clips with fewer than ``least`` frames or with held ones, the shortest first.

    Columns: keys, clip_id, split, frames, held (frames that repeat the one before; 0 where
    nothing is cut).
    """
    frames = (clips["end"] - clips["start"]).to_numpy(dtype=np.int64)
    held = np.zeros(len(clips), dtype=np.int64)
    if "n_frames" in clips:
        held = clips["held"].fillna(0).to_numpy(dtype=np.int64)
        frames = clips["n_frames"].fillna(clips["end"] - clips["start"]).to_numpy(dtype=np.int64)
    table = clips[[*KEYS, "clip_id", "split"]].reset_index(drop=True)
    table = table.assign(frames=frames, held=held)[(frames < least) | (held > 0)]
    return table.sort_values(["frames", "clip_id"], ignore_index=True)
