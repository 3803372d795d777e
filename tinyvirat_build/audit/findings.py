"""What an audit says of single clips, so that each can be looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pandas as pd

from tinyvirat_build.audit.tables import LOADER_FRAMES, Audit
from tinyvirat_build.records import KEYS

KINDS: Final = {
    "incomplete": "someone is seen in it whose label it does not carry",
    "brief": "a label of its own is seen on under half of its frames",
    "unmapped": "an activity without a label is seen in it",
    "duplicate": "a clip of another split looks nearly the same",
    "leak": "its group, video or time slot is in another split too",
    "short": f"it has fewer than {LOADER_FRAMES} frames",
    "held": "frames of it repeat the one before",
}

Finding = tuple[str, str, str, str | None]


def findings(found: Audit, clips: pd.DataFrame, videos: pd.DataFrame) -> pd.DataFrame:
    """One row a clip and finding: clip_id, kind (of :data:`KINDS`), detail, other.

    ``other`` is the clip beside it of a near-duplicate, else null. ``clips`` and ``videos`` are
    the tables that were audited. Ordered by kind, then as the audit has them.
    """
    rows = [*_labels(found), *_pairs(found), *_leaks(found, clips, videos), *_lengths(found)]
    place = {kind: i for i, kind in enumerate(KINDS)}
    rows.sort(key=lambda row: place[row[1]])
    return pd.DataFrame(rows, columns=["clip_id", "kind", "detail", "other"], dtype=object)


def _labels(found: Audit) -> Iterator[Finding]:
    table = found.completeness
    for kind, column, said in (
        ("incomplete", "missing", "seen, but not among its labels"),
        ("brief", "brief", "seen on under half of its frames"),
        ("unmapped", "unmapped", "seen, without a label in the class list"),
    ):
        for clip_id, names in zip(table["clip_id"], table[column], strict=True):
            if names:
                yield clip_id, kind, f"{', '.join(names)}: {said}", None


def _pairs(found: Audit) -> Iterator[Finding]:
    if found.duplicates is None:
        return
    for row in found.duplicates.to_dict("records"):
        for own, other in (("a", "b"), ("b", "a")):
            beside, split = row[f"clip_id_{other}"], row[f"split_{other}"]
            said = f"{row['distance']} of 128 bits from {beside} of {split}"
            yield row[f"clip_id_{own}"], "duplicate", said, beside


def _leaks(found: Audit, clips: pd.DataFrame, videos: pd.DataFrame) -> Iterator[Finding]:
    keys = list(KEYS)
    plain = clips[[*keys, "group", "clip_id"]].astype(str).reset_index(drop=True)
    session = videos[keys].astype(str).assign(session=videos["session"].astype(object))
    plain = plain.merge(session, on=keys, how="left")
    for row in found.shared.to_dict("records"):
        column = "video_id" if row["kind"] == "video" else row["kind"]
        inside = (plain["source"] == row["source"]) & (plain[column] == row["value"])
        said = f"{row['kind']} {row['value']} is in {' and '.join(row['splits'])}"
        for clip_id in plain["clip_id"][inside]:
            yield clip_id, "leak", said, None


def _lengths(found: Audit) -> Iterator[Finding]:
    table = found.short_or_held
    for clip_id, frames, held in zip(table["clip_id"], table["frames"], table["held"], strict=True):
        if frames < LOADER_FRAMES:
            yield clip_id, "short", f"{frames} frames", None
        if held:
            yield clip_id, "held", f"{held} of {frames} frames", None
