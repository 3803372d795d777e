"""An audit as text for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from tinyvirat_build import store
from tinyvirat_build.audit.tables import LOADER_FRAMES, Audit
from tinyvirat_build.records import SPLITS

Form = Callable[[Any], str]


def render(found: Audit, most: int = 12) -> str:
    """An audit as text; of long tables the first ``most`` rows."""
    parts = [
        *_completeness(found, most),
        *_lost(found),
        *_shared(found, most),
        *_duplicates(found, most),
    ]
    odd = found.short_or_held
    short, held = int((odd["frames"] < LOADER_FRAMES).sum()), int((odd["held"] > 0).sum())
    parts.append(
        f"Clips with fewer than {LOADER_FRAMES} frames: {short:,}; with held frames: {held:,}."
    )
    aim = " / ".join(f"{100 * t:.0f}" for t in found.targets)
    parts.append(f"Shares per label in per cent (target {aim}), drift in points:")
    shares = found.shares[found.shares["clips"] > 0]
    forms: dict[str, Form] = {"label": str, "clips": _count}
    forms |= dict.fromkeys((*SPLITS, "drift"), _percent)
    parts.append(_table(shares, forms, len(shares)))
    return "\n".join(parts)


def _completeness(found: Audit, most: int) -> list[str]:
    table = found.completeness
    lacking = len(table) - int(table["complete"].sum())
    others = int(table["unmapped"].map(bool).sum())
    parts = [
        f"Label completeness: {found.complete:.2%} of {len(table):,} clips have every label that "
        f"is seen in them; lacking one: {lacking:,}. A label is seen where half of the box of "
        "one of its activities is in the window; labels that the filter took out do not count."
    ]
    if lacking:
        forms: dict[str, Form] = {"label": str, "missing": str, "clips": _count}
        parts.append(_table(found.missing_pairs, {**forms, "clip_ids": _first}, most))
    brief = len(table) - int(table["pure"].sum())
    parts.append(
        f"Label purity: {found.pure:.2%} of them have no label that is seen on under half of "
        f"their frames; with one: {brief:,}."
    )
    if brief:
        counts = Counter(label for labels in table["brief"] for label in labels)
        names = pd.DataFrame(counts.most_common(), columns=["label", "clips"])
        parts.append(_table(names, {"label": str, "clips": _count}, most))
    parts.append(f"Activities that no label stands for are seen in {store.many(others, 'clip')}.")
    if others:
        parts.append(_table(found.unmapped_names, {"name": str, "clips": _count}, most))
    return parts


def _lost(found: Audit) -> list[str]:
    table = found.lost_frames
    total, kept = int(table["frames"].sum()), int(table["frames"].iloc[-1])
    parts = [f"Clips were planned of {kept:,} of the {total:,} frames of labelled segments."]
    if len(table) > 1:
        parts[0] += " Lost, in per cent of all:"
        forms: dict[str, Form] = {"reason": str, "frames": _count, "share": _percent}
        parts.append(_table(table.iloc[:-1], forms, len(table)))
    return parts


def _shared(found: Audit, most: int) -> list[str]:
    counts = {
        kind: int((found.shared["kind"] == kind).sum()) for kind in ("group", "video", "session")
    }
    kinds = ", ".join(store.many(n, kind) for kind, n in counts.items())
    parts = [f"In more than one split: {kinds}."]
    if len(found.shared):
        forms: dict[str, Form] = {"kind": str, "value": str, "splits": " ".join, "clips": _count}
        parts.append(_table(found.shared, {**forms, "cameras": " ".join}, most))
    return parts


def _duplicates(found: Audit, most: int) -> list[str]:
    pairs = found.duplicates
    if pairs is None:
        return ["Near-duplicates across splits: not sought, as no clip is cut."]
    parts = [f"Near-duplicates across splits: {store.many(len(pairs), 'pair')}."]
    if len(pairs):
        names = ("clip_id_a", "split_a", "clip_id_b", "split_b", "distance")
        parts.append(_table(pairs, dict.fromkeys(names, str), most))
    return parts


def _table(table: pd.DataFrame, forms: dict[str, Form], most: int) -> str:
    """Some columns of a table, each written by its form, numbers to the right."""
    columns = [[name, *map(form, table[name].tolist()[:most])] for name, form in forms.items()]
    right = [form in (_count, _percent) for form in forms.values()]
    widths = [max(map(len, column)) for column in columns]
    lines = [
        "  " + "  ".join(_cell(*at) for at in zip(row, widths, right, strict=True)).rstrip()
        for row in zip(*columns, strict=True)
    ]
    if len(table) > most:
        lines.append(f"  … and {len(table) - most:,} more")
    return "\n".join(lines)


def _cell(text: str, width: int, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)


def _count(n: int) -> str:
    return f"{n:,}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _first(names: Sequence[str]) -> str:
    return " ".join(names[:2]) + " …" * (len(names) > 2)
