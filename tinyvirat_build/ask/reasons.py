"""Why a build lacks a clip: a look into its table of issues."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import pandas as pd

_TAKEN: Final = ("dropped", "quarantined")
_SPAN: Final = re.compile(r"frames \[(\d+), (\d+)\)")


@dataclass(frozen=True, slots=True)
class _Issue:
    record: str
    reason: str
    detail: str
    span: tuple[int, int] | None

    def names(self, activities: Collection[str]) -> bool:
        """Whether it speaks of one of these activities."""
        words = f"{self.record} {self.detail}".split()
        return any(activity in words for activity in activities)


@dataclass(frozen=True, slots=True)
class Reasons:
    """The issues of a build that took something away, by video; and its filtered labels."""

    videos: Mapping[str, tuple[_Issue, ...]]
    filtered: frozenset[str]

    @classmethod
    def of(cls, issues: pd.DataFrame | None) -> Reasons:
        """From the table ``issues``; knows nothing without one."""
        videos: dict[str, list[_Issue]] = {}
        filtered = set()
        if issues is not None:
            names = ("video_id", "record", "reason", "action", "detail")
            for video, record, reason, action, detail in zip(
                *(issues[name].astype(object).fillna("").astype(str) for name in names), strict=True
            ):
                if reason == "rare_label" and record.startswith("label "):
                    filtered.add(record.removeprefix("label "))
                if action in _TAKEN:
                    at = _SPAN.search(record)
                    span = (int(at[1]), int(at[2])) if at else None
                    videos.setdefault(video, []).append(_Issue(record, reason, detail, span))
        return cls({video: tuple(own) for video, own in videos.items()}, frozenset(filtered))

    def of_labels(self, labels: Collection[str]) -> str:
        """``rare_label`` if all these labels were filtered."""
        return "rare_label" if self.filtered.issuperset(labels) else ""

    def of_clip(
        self,
        video_id: str,
        activities: Collection[str],
        span: tuple[int, int] | None,
        clip_id: str | None,
    ) -> str:
        """The reason why there is no such clip, empty if the issues do not tell.

        The nearest is taken: an issue of the clip itself; one of its activity that covers at
        least half of its frames; one of its activity as a whole; one of the video.
        """
        own = self.videos.get(video_id, ())
        for issue in own:
            if issue.record == f"clip {clip_id}":
                return issue.reason
        of_activity = [issue for issue in own if issue.names(activities)]
        if span is not None:
            common = [
                (min(issue.span[1], span[1]) - max(issue.span[0], span[0]), issue.reason)
                for issue in of_activity
                if issue.span is not None
            ]
            frames, reason = max(common, default=(0, ""))
            if 2 * frames >= span[1] - span[0]:
                return reason
        for issue in of_activity:
            if issue.span is None:
                return issue.reason
        for issue in own:
            if issue.record in (f"video {video_id}", ""):
                return issue.reason
        return ""
