"""Partition: whole groups of videos are given to train, val and test.

What is counted is the mapped activities in the annotations, not the clips, so that neither a
missing video nor missing boxes nor ``--limit`` moves a group. Each label's share in each split
is brought near the target; a label in three or more groups reaches every split; no group is
ever in two splits (docs/semantics.md, "Partition").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args, get_type_hints

import numpy as np
import pandas as pd

from tinyvirat_build.errors import DataError, SettingsError
from tinyvirat_build.geometry.arrays import Ints
from tinyvirat_build.records import (
    KEYS,
    SPLITS,
    Balance,
    Issue,
    StageResult,
    balance_frame,
    columns,
    empty,
    issues_frame,
)
from tinyvirat_build.settings import Partition
from tinyvirat_build.stages.slices import time_slices, torn
from tinyvirat_build.stages.stratify import Counts, reach, stratify
from tinyvirat_build.stages.tables import by_video


@dataclass(frozen=True, slots=True)
class SplitList:
    """A list that fixes the split of some of a source's groups.

    ``splits`` maps a video's id (``unit="video"``) or the value that the source is grouped by
    (``unit="group"``: a MEVA time slot such as ``2018-03-07.16-55-00``) to its split.
    ``draw_val``: val is drawn from the list's train videos by the grouped rule.
    ``closed``: a video that the list does not name is left out.
    """

    name: str
    splits: Mapping[str, str]
    unit: Literal["group", "video"] = "group"
    draw_val: bool = False
    closed: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As a JSON value, for keys."""
        return asdict(self)


def assign_groups(
    videos: pd.DataFrame, settings: Partition, *, lists: Mapping[str, SplitList]
) -> pd.DataFrame:
    """The group of every video: keys and ``group``, one row a row of ``videos``.

    A group's id is ``<source>/<value>``, so that groups of two sources never collide. The value
    is the session (MEVA: the time slot over all cameras; VIRAT: ``VIRAT_S_000200``) where
    ``settings.group`` is ``auto``, ``slot`` or ``session``; else the video, scene or camera;
    where it is ``time`` the video, which :func:`partition` slices unless a list rules it. A
    video without that value is its own group, and so is every video of a source whose list names
    videos.

    Raises:
        SettingsError: an unknown grouping.
    """
    groupings = get_args(get_type_hints(Partition)["group"])
    if settings.group not in groupings:
        raise SettingsError(
            f"setting partition.group is one of {', '.join(groupings)}, found {settings.group!r}"
        )
    table = videos[list(KEYS)].astype(str).reset_index(drop=True)
    column = {"scene": "scene", "camera": "camera", "video": "video_id", "time": "video_id"}
    value = videos[column.get(settings.group, "session")].astype(object).reset_index(drop=True)
    by_video = [name for name, split_list in lists.items() if split_list.unit == "video"]
    value = value.where(value.notna() & (value != ""), table["video_id"])
    value = value.where(~table["source"].isin(by_video), table["video_id"])
    table["group"] = table["source"] + "/" + value.astype(str)
    return table


def label_counts(activities: pd.DataFrame, groups: pd.DataFrame) -> Counts:
    """How many activities of each label each group has; groups without any count 0.

    ``activities``: keys and ``labels``; ``groups``: keys and ``group``. Both axes are sorted.
    """
    names = np.unique(groups["group"].to_numpy(dtype=object).astype(str))
    own = _join(activities, groups)
    lengths = np.fromiter((len(labels) for labels in activities["labels"]), int, len(activities))
    flat = np.array([one for labels in activities["labels"] for one in labels], dtype=str)
    group = np.repeat(own, lengths)
    known = group != ""  # an activity of a video outside ``groups`` counts nowhere
    labels, column = np.unique(flat[known], return_inverse=True)
    row = pd.Index(names).get_indexer(group[known])
    table = np.bincount(row * len(labels) + column, minlength=len(names) * len(labels))
    return Counts(
        tuple(map(str, names)),
        tuple(map(str, labels)),
        table.reshape(len(names), len(labels)).astype(np.int64),
    )


def split_of_groups(
    counts: Counts, settings: Partition, *, lists: Mapping[str, SplitList]
) -> dict[str, str | None]:
    """The split of every group, ``None`` for one that a closed list leaves out.

    In order: groups that a list names; val out of a list's train where it is drawn from there
    (val's part is its target over those of train and val); all others, counted on top of those.
    With fewer than three groups in all, those others are train.
    """
    split = _ruled(counts.groups, lists)
    train, val, _ = settings.targets
    for source in sorted(lists):
        if lists[source].draw_val and train + val > 0:
            pool = [g for g, s in split.items() if s == "train" and g.startswith(f"{source}/")]
            part = (train / (train + val), val / (train + val), 0.0)
            split.update(_named(stratify(counts.take(pool), part, {}, settings.seed)))
    kept = [g for g in counts.groups if split.get(g, "") is not None]
    if len(kept) < len(SPLITS):
        return {g: split.get(g, "train") for g in counts.groups}
    fixed = {g: SPLITS.index(s) for g, s in split.items() if s is not None}
    chosen = _named(stratify(counts.take(kept), settings.targets, fixed, settings.seed))
    return {g: chosen.get(g) for g in counts.groups}


def partition(
    clips_planned: pd.DataFrame,
    activities: pd.DataFrame,
    groups: pd.DataFrame,
    settings: Partition,
    *,
    lists: Mapping[str, SplitList] | None = None,
    classes: Sequence[str] = (),
    spans: pd.DataFrame | None = None,
) -> StageResult:
    """Give every clip its group and its split: the table ``clips_partitioned``.

    ``activities`` (keys and ``labels``) are those of *all* annotated videos, with boxes or
    without; ``groups`` (keys and ``group``, from :func:`assign_groups`) names all those videos.
    Rows stay in order; of ``clips_planned`` keys, ``clip_id``, ``segment_id``, ``start`` and
    ``end`` suffice. A clip of a video that a closed list does not name is dropped
    (``not_in_split_list``, one issue a video). Noted: ``few_groups``, where fewer than three
    groups leave everything in train, and ``scarce_label``, a label that does not reach every
    split, because it occurs in fewer than three groups or because the lists do not let it, in
    the order of ``classes``.

    Grouped by time, ``groups`` has the column ``fps`` too, and ``spans`` (keys, ``segment_id``,
    ``start``, ``end``) says where the tracks of each segment lie; a clip that touches the gap
    between two splits, or whose track lies on both sides, is dropped (``split_gap``). A video
    that a list rules stays whole.

    Raises:
        DataError: a clip's video has no row in ``groups``.
    """
    lists = lists or {}
    if spans is not None:
        whole = _ruled(groups["group"].astype(str), lists)
        groups = time_slices(activities, groups, settings.gap, whole)
    counts = label_counts(activities, groups)
    split = split_of_groups(counts, settings, lists=lists)
    group = _join(clips_planned, groups)
    if (group == "").any():
        video = clips_planned["video_id"].iloc[int(np.argmax(group == ""))]
        raise DataError(f"video {video} has clips but no group; give `groups` a row for it")
    of_clip = np.array([split[name] for name in group], dtype=object)
    table = clips_planned.assign(group=group, split=of_clip)
    kept = np.array([name is not None for name in of_clip], dtype=bool)
    issues = [_left_out(clips_planned[~kept], lists)]
    if spans is not None:
        why = np.array(torn(clips_planned, spans, groups, split), dtype=str)
        lost = kept & (why != "")
        issues.append(dropped(clips_planned[lost], "partition", "split_gap", why[lost].tolist()))
        kept &= ~lost
    issues.append(issues_frame(_notes(counts, split, settings, classes)))
    issues = [frame for frame in issues if len(frame)]
    out = columns_of("clips_partitioned", table[kept])
    return StageResult(
        out if len(out) else empty("clips_partitioned"),
        pd.concat(issues, ignore_index=True) if issues else empty("issues"),
        balance_by_source("partition", clips_planned, kept),
    )


def columns_of(table: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows, numbered anew, with those of a table's columns that they have."""
    return rows.reset_index(drop=True)[[name for name in columns(table) if name in rows]]


def balance_by_source(stage: str, clips: pd.DataFrame, kept: np.ndarray) -> pd.DataFrame:
    """One row of ``balance`` a source for a stage on the whole corpus that keeps some clips."""
    of_clip = clips["source"].astype(str).to_numpy(dtype=str)
    rows = [
        balance_frame(Balance(stage, "clips", n, n_kept, n - n_kept), source=str(source))
        for source in np.unique(of_clip)
        for n, n_kept in [(int((of_clip == source).sum()), int(kept[of_clip == source].sum()))]
    ]
    return pd.concat(rows, ignore_index=True) if rows else empty("balance")


def dropped(clips: pd.DataFrame, stage: str, reason: str, details: Sequence[str]) -> pd.DataFrame:
    """One issue for each clip that a stage on the whole corpus leaves out."""
    if clips.empty:
        return empty("issues")
    table = clips[list(KEYS)].astype(str).reset_index(drop=True)
    return table.assign(
        stage=stage,
        file=None,
        line=None,
        record=[f"clip {clip_id}" for clip_id in clips["clip_id"]],
        reason=reason,
        action="dropped",
        count=1,
        detail=list(details),
    )[columns("issues")]


def _ruled(groups: Iterable[str], lists: Mapping[str, SplitList]) -> dict[str, str | None]:
    """The split of each group that its source's list names, ``None`` if a closed one does not."""
    found: dict[str, str | None] = {}
    for group in groups:
        source, _, value = group.partition("/")
        known = lists.get(source)
        if known is not None and (value in known.splits or known.closed):
            found[group] = known.splits.get(value)
    return found


def _named(chosen: Mapping[str, int]) -> dict[str, str]:
    return {group: SPLITS[index] for group, index in chosen.items()}


def _join(table: pd.DataFrame, groups: pd.DataFrame) -> np.ndarray:
    """The group of each row by its keys, of slices by its middle; ``""`` where there is none."""
    if "start" not in groups:
        own: np.ndarray = np.append(groups["group"].to_numpy(dtype=object), "")
        return own[_rows_of(table, groups)]
    found = np.full(len(table), "", dtype=object)
    middle = ((table["start"] + table["end"]) // 2).to_numpy()
    slices = {key: groups.iloc[rows].sort_values("start") for key, rows in by_video(groups).items()}
    for key, rows in by_video(table).items():
        if key in slices:
            at = np.searchsorted(slices[key]["start"].to_numpy(), middle[rows], side="right") - 1
            found[rows] = slices[key]["group"].to_numpy(dtype=object)[at]
    return found


def _rows_of(table: pd.DataFrame, groups: pd.DataFrame) -> Ints:
    """Where in ``groups`` the keys of each row stand, -1 where they do not; by numbers alone."""
    number = np.zeros(len(table) + len(groups), np.int64)
    for key in KEYS:
        words = np.concatenate([t[key].to_numpy(dtype=object) for t in (table, groups)])
        codes, known = pd.factorize(words)
        number = pd.factorize(number * len(known) + codes)[0]  # as small as can be
    asked, held = np.split(number, [len(table)])
    place = np.full(number.max(initial=-1) + 1, -1, np.int64)
    place[held] = np.arange(len(groups))
    return place[asked]


def _left_out(clips: pd.DataFrame, lists: Mapping[str, SplitList]) -> pd.DataFrame:
    """One issue for each video that its source's closed list does not name."""
    keys = clips[list(KEYS)].astype(str)
    found = keys.groupby(list(KEYS)).size().reset_index(name="count")
    issues = [
        Issue(
            stage="partition",
            reason="not_in_split_list",
            action="dropped",
            record=f"video {video_id}",
            count=count,
            detail=f"list {lists[source].name}",
        )
        for source, video_id, count in zip(
            found["source"], found["video_id"], found["count"], strict=True
        )
    ]
    return issues_frame(issues).assign(**{key: found[key] for key in KEYS})


def _notes(
    counts: Counts,
    split: Mapping[str, str | None],
    settings: Partition,
    classes: Sequence[str],
) -> list[Issue]:
    """What the partition could not do: too few groups, labels that miss a split."""
    kept = [name for name in counts.groups if split[name] is not None]
    active = [s for s, target in zip(SPLITS, settings.targets, strict=True) if target > 0]
    if not kept or len(active) == 1:
        return []
    if len(kept) < len(SPLITS):
        detail = (
            f"{len(kept)} group{'s' * (len(kept) != 1)}: everything not fixed by a list is train"
        )
        return [
            Issue(
                "partition", "few_groups", "noted", record="all groups", count=len(kept),
                detail=detail,
            )
        ]  # fmt: skip
    inside = counts.take(kept)
    chosen = np.array([SPLITS.index(str(split[name])) for name in inside.groups])
    met = reach(inside.table > 0, chosen, len(SPLITS)) > 0
    rank = {label: i for i, label in enumerate(classes)}
    notes = []
    for label in sorted(inside.labels, key=lambda name: (rank.get(name, len(rank)), name)):
        column = inside.labels.index(label)
        missing = [s for s in active if not met[column, SPLITS.index(s)]]
        n_groups = int((inside.table[:, column] > 0).sum())
        if missing and n_groups:
            detail = f"in {n_groups} group{'s' * (n_groups != 1)}, none in {' or '.join(missing)}"
            notes.append(
                Issue("partition", "scarce_label", "noted", record=f"label {label}", detail=detail)
            )
    return notes
