"""Filter: labels with too few training clips go (docs/semantics.md, "Filter")."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tinyvirat_build.records import (
    KEYS,
    Issue,
    StageResult,
    columns,
    empty,
    issues_frame,
)
from tinyvirat_build.settings import Filter
from tinyvirat_build.stages.partition import balance_by_source


def filter_rare(
    clips_partitioned: pd.DataFrame, settings: Filter, *, classes: Sequence[str]
) -> StageResult:
    """Take out labels with fewer than ``min_samples`` training clips: ``clips_filtered``.

    A clip left without a label is dropped (``rare_label``, one issue a clip); each label that
    goes is noted once. The other labels keep all their clips, so one pass is enough; nothing is
    merged again. Labels stay in class order, rows in their order, and the class list is not
    renumbered: a filtered class stays in it, without clips.
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
            detail=f"{samples[label]} training clips, fewer than {settings.min_samples}",
        )
        for label in samples
        if label in rare and label in seen
    ]
    out = table[kept].reset_index(drop=True)[columns("clips_filtered")]
    issues = [issues_frame(notes), _dropped(clips_partitioned[~kept])]
    issues = [frame for frame in issues if len(frame)]
    return StageResult(
        out if len(out) else empty("clips_filtered"),
        pd.concat(issues, ignore_index=True) if issues else empty("issues"),
        balance_by_source("filter", clips_partitioned, kept),
    )


def _dropped(clips: pd.DataFrame) -> pd.DataFrame:
    """One issue for each clip that lost all of its labels."""
    if clips.empty:
        return empty("issues")
    details = [f"only {', '.join(own)}" for own in clips["labels"]]
    table = clips[list(KEYS)].astype(str).reset_index(drop=True)
    return table.assign(
        stage="filter",
        file=None,
        line=None,
        record=[f"clip {clip_id}" for clip_id in clips["clip_id"]],
        reason="rare_label",
        action="dropped",
        count=1,
        detail=details,
    )[columns("issues")]
