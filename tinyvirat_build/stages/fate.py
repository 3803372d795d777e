"""What became of every annotated frame, from the annotation to the published clips.

The one unit is a frame of an activity: an activity of 90 frames counts 90, and two at once count
twice. Each table holds fewer of them than the one before it, so a frame was lost at the first
stage whose table does not hold it, for the reason that the stage's issues, or the row of its clip,
tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from tinyvirat_build.geometry.arrays import Bools
from tinyvirat_build.records import Key
from tinyvirat_build.stages.tables import by_video

_HELD: Final = ("activities", "start", "end")
READ: Final = {  # and the issues
    "activities": ("activity_id", "labels", "start", "end"),
    "tracks": _HELD,
    "segments": ("segment_id", "activities"),
    "chunks": _HELD,
    "clips_planned": ("clip_id", *_HELD),
    "clips_partitioned": _HELD,
    "clips_filtered": _HELD,
    "clips": ("reason", *_HELD),
}
STAGES: Final = ("merge", "chunk", "crop", "partition", "filter", "cut", "publish")
PUBLISHED: Final = "published"
COLUMNS: Final = ("activity_id", "labels", "stage", "reason", "frames")
_HELD_BY: Final = ("tracks", "chunks", "clips_planned", "clips_partitioned", "clips_filtered")
_TAKEN: Final = ("dropped", "quarantined")
_SPAN: Final = re.compile(r"(segment|activity) (\S+) frames \[(\d+), (\d+)\)")
_UNTOLD: Final = {"merge": "no_geometry", "chunk": "remainder", "partition": "not_in_split_list"}


def fates(
    videos: Iterable[tuple[Key, Mapping[str, pd.DataFrame]]],
    issues: pd.DataFrame,
    *,
    trial: bool = False,
) -> pd.DataFrame:
    """The frames of all activities by what became of them, columns :data:`COLUMNS`.

    ``videos``: each video's rows of the tables :data:`READ`, with the columns that it names. A row
    says how many frames of an activity were lost at a stage for a reason, or with the stage
    ``published`` and an empty reason, how many a published clip holds; ``activity_id`` is unique in
    its video alone.
    ``trial``: whether ``--limit`` left videos out.
    """
    told = {key: issues.iloc[rows] for key, rows in by_video(issues).items()}
    rows = [
        row
        for key, tables in videos
        for row in _of_video({**tables, "issues": told.get(key, issues.iloc[:0])}, trial)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _of_video(
    tables: Mapping[str, pd.DataFrame], trial: bool
) -> Iterator[tuple[str, tuple[str, ...], str, str, int]]:
    spans = _Spans(tables["activities"])
    stage = np.zeros(spans.total, np.int64)  # at which each frame is lost, a place in STAGES
    for place, name in enumerate(_HELD_BY, 1):
        stage[spans.marked(tables[name]) & (stage == place - 1)] = place
    clips = tables["clips"]
    at_last = clips["reason"].isna().to_numpy(bool)
    by_publish = clips["reason"].eq("quality").to_numpy(bool)
    for place, kept in ((len(_HELD_BY) + 1, at_last | by_publish), (len(STAGES), at_last)):
        stage[spans.marked(clips[kept]) & (stage == place - 1)] = place
    reason = np.full(spans.total, -1, np.int64)
    names: list[str] = []
    for name, place, own, low, high in _reasons(tables):
        if name not in names:
            names.append(name)
        for at in spans.parts(own, low, high):
            untold = (stage[at] == place) & (reason[at] < 0)
            reason[at][untold] = names.index(name)
    none_planned = trial and tables["tracks"].empty
    for i, (activity, labels) in enumerate(zip(spans.ids, spans.labels, strict=True)):
        frames = slice(spans.first[i], spans.first[i + 1])
        code = stage[frames] * (len(names) + 1) + reason[frames] + 1
        codes, counts = np.unique(code, return_counts=True)
        for which, n in zip(codes.tolist(), counts.tolist(), strict=True):
            place, why = divmod(which, len(names) + 1)
            if place == len(STAGES):
                yield activity, labels, PUBLISHED, "", n
                continue
            untold = _UNTOLD.get(STAGES[place], "failed")
            if place == 0:
                untold = "unmapped" if not labels else "limit" if none_planned else untold
            yield activity, labels, STAGES[place], names[why - 1] if why else untold, n


class _Spans:
    """The frames of a video's activities, laid end to end."""

    def __init__(self, activities: pd.DataFrame) -> None:
        self.ids = [str(a) for a in activities["activity_id"]]
        self.labels = [tuple(map(str, own)) for own in activities["labels"]]
        self.start = activities["start"].to_numpy(np.int64)
        self.end = np.maximum(activities["end"].to_numpy(np.int64), self.start)
        self.first = np.concatenate([[0], np.cumsum(self.end - self.start)]).astype(np.int64)
        self.total = int(self.first[-1])
        self.place: dict[str, int] = {name: i for i, name in enumerate(self.ids)}

    def parts(self, activities: Iterable[str], start: int, end: int) -> Iterator[slice]:
        """Where the frames of a span lie that some activities have."""
        for activity in activities:
            i = self.place[str(activity)]
            low, high = max(start, int(self.start[i])), min(end, int(self.end[i]))
            if low < high:
                shift = int(self.first[i] - self.start[i])
                yield slice(low + shift, high + shift)

    def marked(self, rows: pd.DataFrame) -> Bools:
        """Which frames lie in the spans of the activities that each row has."""
        found = np.zeros(self.total, bool)
        for own, low, high in zip(
            rows["activities"], rows["start"].tolist(), rows["end"].tolist(), strict=True
        ):
            for at in self.parts(own, low, high):
                found[at] = True
        return found


def _reasons(
    tables: Mapping[str, pd.DataFrame],
) -> Iterator[tuple[str, int, Sequence[str], int, int]]:
    """Reasons, at which stage they took frames, and of which activities' spans they speak."""
    segments, clips = tables["segments"], tables["clips_planned"]
    members = dict(zip(segments["segment_id"].tolist(), segments["activities"], strict=True))
    spans = {
        clip: (own, low, high)
        for clip, own, low, high in zip(
            *(clips[n].tolist() for n in ("clip_id", "activities", "start", "end")), strict=True
        )
    }
    issues = tables["issues"][tables["issues"]["action"].isin(_TAKEN)]
    for stage, record, reason in zip(
        *(issues[name].astype(str).tolist() for name in ("stage", "record", "reason")), strict=True
    ):
        if stage not in STAGES:
            continue
        place = STAGES.index(stage)
        if told := _SPAN.match(record):
            kind, name, start, end = told.groups()
            own = members[int(name)] if kind == "segment" else (name,)
            yield reason, place, own, int(start), int(end)
        elif (clip := record.removeprefix("clip ")) in spans:
            yield reason, place, *spans[clip]


def by_label(
    found: pd.DataFrame, classes: Sequence[str], issues: pd.DataFrame
) -> list[dict[str, object]]:
    """A row a label with its annotated frames, those published, and those lost by reason.

    An activity of several labels counts for each; the last row is that of activities without one.
    A clip may be published without a label that was filtered: that label has lost its frames.
    """
    noted = issues[(issues["reason"] == "rare_label") & (issues["action"] == "noted")]
    rare = {str(record).removeprefix("label ") for record in noted["record"]}
    rows: list[dict[str, object]] = []
    for label in (*classes, None):
        mine = [label in own if label else not own for own in found["labels"]]
        part = found[np.array(mine, bool)]
        if part.empty:
            continue
        if label in rare:
            gone = part["stage"] == PUBLISHED
            part = part.assign(
                stage=part["stage"].mask(gone, "filter"),
                reason=part["reason"].mask(gone, "rare_label"),
            )
        lost = part[part["stage"] != PUBLISHED]
        sums = lost.groupby("reason", sort=True)["frames"].sum()
        rows.append(
            {
                "label": label,
                "annotated": int(part["frames"].sum()),
                PUBLISHED: int(part.loc[part["stage"] == PUBLISHED, "frames"].sum()),
                "lost": {str(reason): int(n) for reason, n in sums.items()},
            }
        )
    return rows


def funnel(found: pd.DataFrame) -> list[dict[str, object]]:
    """A row a stage: the frames that came in, and those that it lost by reason."""
    rows: list[dict[str, object]] = []
    left = int(found["frames"].sum())
    for stage in STAGES:
        sums = found[found["stage"] == stage].groupby("reason", sort=True)["frames"].sum()
        lost = {str(reason): int(n) for reason, n in sums.items()}
        rows.append({"stage": stage, "frames_in": left, "lost": lost})
        left -= sum(lost.values())
    return rows
