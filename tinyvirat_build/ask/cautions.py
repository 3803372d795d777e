"""What makes a dataset of less use than it looks, told before it is built."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import pandas as pd

from tinyvirat_build.records import SPLITS
from tinyvirat_build.settings import Settings
from tinyvirat_build.sources import Entry
from tinyvirat_build.sources.parse import Parsed
from tinyvirat_build.sources.splits import load_lists
from tinyvirat_build.stages.partition import assign_groups
from tinyvirat_build.store import many


def beside_known(entries: Sequence[Entry], settings: Settings) -> tuple[str, ...]:
    """Where an input that the preset knows has another number of videos here."""
    here = Counter(f"{e.source}/{e.annotation_set}" for e in entries)
    return tuple(
        f"{k.input}: {here[k.input]:,} of the {k.videos:,} that the preset {settings.preset} knows"
        for k in settings.expected
        if here[k.input] not in (0, k.videos)
    )


def _groups(entries: Sequence[Entry], settings: Settings) -> int:
    """How many groups the videos form that splits keep together."""
    rows = [(e.source, e.video_id, e.annotation_set, e.session, e.scene, e.camera) for e in entries]
    names = ["source", "video_id", "annotation_set", "session", "scene", "camera"]
    lists = load_lists(settings.partition)
    table = assign_groups(pd.DataFrame(rows, columns=names), settings.partition, lists=lists)
    return int(table["group"].nunique())


def cautions(
    entries: Sequence[Entry], parsed: Sequence[Parsed], settings: Settings
) -> Iterable[str]:
    """What makes a dataset of less use than it looks, each with its remedy."""
    if entries and settings.partition.group != "time":
        n = _groups(entries, settings)
        if n < len(SPLITS):
            yield (
                f"Few groups: the videos form {many(n, 'group')}, and three splits need "
                "three: all clips that no list fixes will be train. Say in `group` which videos "
                "belong together, or divide their time: --set partition.group=time."
            )
    counts: Counter[str] = Counter()
    for p in parsed:
        counts.update(label for own in p.activities["labels"] for label in own)
    least = settings.filter.min_samples
    rare = [f"{label} ({n})" for label, n in counts.items() if n < least]
    if rare:
        more = f" and {len(rare) - 5} more" * (len(rare) > 5)
        yield (
            f"Rare classes: fewer than {least} activities each, so that filter.min_samples={least} "
            f"is likely to leave them out: {', '.join(rare[:5])}{more}; --set "
            "filter.min_samples=1 keeps them."
        )
