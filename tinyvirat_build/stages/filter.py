"""Filter: labels with too few training clips go (docs/semantics.md, "Filter")."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tinyvirat_build.records import (
    SPLITS,
    Issue,
    StageResult,
    empty,
    issues_frame,
)
from tinyvirat_build.settings import Filter
from tinyvirat_build.stages.partition import balance_by_source, columns_of, dropped


def filter_rare(
    clips_partitioned: pd.DataFrame, settings: Filter, *, classes: Sequence[str]
) -> StageResult:
    """Take out labels with fewer than ``min_samples`` training clips: ``clips_filtered``.

    A clip left without a label is dropped (``rare_label``, one issue a clip); each label that
    goes is noted once, and so is one that stays and is in no clip of a split that has clips
    (``absent_label``). The other labels keep all their clips, so one pass is enough; nothing is
    merged again. Labels stay in class order, rows in their order, and the class list is not
    renumbered: a filtered class stays in it, without clips. Of ``clips_partitioned`` keys,
    ``clip_id``, ``split`` and ``labels`` suffice.
    """
    train = (clips_partitioned["split"] == "train").to_numpy(dtype=bool)
    labels = [tuple(one) for one in clips_partitioned["labels"]]
    samples = dict.fromkeys(classes, 0)
    for inside, own in zip(train, labels, strict=True):
        for label in own:
            samples[label] = samples.get(label, 0) + int(inside)
    rare = {label for label, n in samples.items() if n < settings.min_samples}
    left = [tuple(label for label in own if label not in rare) for own in labels]
    kept = np.fromiter((bool(own) for own in left), bool, len(left))
    table = clips_partitioned.assign(
        labels=pd.Series(left, dtype=object, index=clips_partitioned.index)
    )
    seen = {label for own in labels for label in own}
    notes = [
        Issue(
            stage="filter",
            reason="rare_label",
            action="noted",
            record=f"label {label}",
            count=samples[label],
            detail=f"{_clips(samples[label], 'training ')}, fewer than {settings.min_samples}",
        )
        for label in samples
        if label in rare and label in seen
    ]
    out = columns_of("clips_filtered", table[kept])
    gone = clips_partitioned[~kept]
    only = [f"only {', '.join(own)}" for own in gone["labels"]]
    issues = [
        issues_frame([*notes, *_absent(out)]),
        dropped(gone, "filter", "rare_label", only),
    ]
    issues = [frame for frame in issues if len(frame)]
    return StageResult(
        out if len(out) else empty("clips_filtered"),
        pd.concat(issues, ignore_index=True) if issues else empty("issues"),
        balance_by_source("filter", clips_partitioned, kept),
    )


def _clips(n: int, kind: str = "") -> str:
    return f"{n} {kind}clip{'s' * (n != 1)}"


def _absent(clips: pd.DataFrame) -> list[Issue]:
    """A note for each label that misses a split, in order of label; splits without clips apart."""
    counts = (
        clips[["split", "labels"]].explode("labels").groupby(["labels", "split"]).size().unstack()
    )
    there = [split for split in SPLITS if split in counts.columns]
    return [
        Issue(
            stage="filter",
            reason="absent_label",
            action="noted",
            record=f"label {label}",
            count=int(row.sum()),
            detail=f"{_clips(int(row.sum()))}, none in {' or '.join(row.index[row == 0])}",
        )
        for label, row in counts.reindex(columns=there).fillna(0).iterrows()
        if (row == 0).any()
    ]
