"""What makes a dataset of less use than it looks: summary and report say it first."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from tinyvirat_build import store
from tinyvirat_build.settings import Settings
from tinyvirat_build.stages.slices import EACH


def headlines_of(issues: pd.DataFrame, settings: Settings) -> list[str]:
    """What makes a dataset of less use than it looks, each in one line, with the remedy."""
    lines = []
    few = issues[issues["reason"] == "few_groups"]
    if len(few):
        by_list = " that no list fixes" if settings.partition.lists else ""
        remedy = ", or divide their time: --set partition.group=time."
        if settings.partition.group == "time":
            remedy = f"; a video's time is divided from {2 * EACH} activities on."
        n = int(few["count"].sum())
        lines.append(
            f"All clips{by_list} are train: {store.many(n, 'group')} of videos. "
            f"Say in `group` which belong together{remedy}"
        )
    rare = issues[issues["reason"] == "rare_label"]
    gone = rare[rare["action"] == "noted"]
    if len(gone):
        least = settings.filter.min_samples
        lost = int(rare[rare["action"] == "dropped"]["count"].sum())
        clips = [store.many(n, "training clip") for n in gone["count"]]
        lines.append(
            f"filter.min_samples={least} left out {_labels(gone, clips)}, and "
            f"{store.many(lost, 'clip')} with no other label; --set filter.min_samples=1 keeps "
            "them."
        )
    absent = issues[issues["reason"] == "absent_label"]
    if len(absent):
        lines.append(f"In no clip of some split: {_labels(absent, absent['detail'])}.")
    return lines


def _labels(issues: pd.DataFrame, about: Iterable[str], most: int = 5) -> str:
    """Labels with what there is to say of each, the first few."""
    names = issues["record"].str.removeprefix("label ")
    told = [f"{name} ({words})" for name, words in zip(names, about, strict=True)]
    more = f" and {len(told) - most} more" if len(told) > most else ""
    return ", ".join(told[:most]) + more
