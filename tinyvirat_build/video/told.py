"""What indexing and cutting a video tell: rows of ``videos`` and ``cuts``, and issues."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from tinyvirat_build.records import (
    KEYS,
    Balance,
    Issue,
    Key,
    StageResult,
    balance_frame,
    issues_frame,
)
from tinyvirat_build.video.cutter import COLUMNS
from tinyvirat_build.video.index import VideoIndex

_ASSUMED: Final = {"assumed": True, "frames": None, "fingerprint": None}


def indexed(about: Mapping[str, Any], found: VideoIndex | None) -> StageResult:
    """The row of a video, with its packet index where it is here."""
    if found is None:
        return _row(about)
    measured = {"width": found.width, "height": found.height, "fps": str(found.fps)}
    measured |= {"frames": found.n_frames, "fingerprint": found.fingerprint, "assumed": False}
    issues = []
    if found.streams > 1:
        detail = f"{found.streams} videos in the file; stream {found.stream} is taken"
        issues.append(_noted(about, "streams", detail))
    return _row({**about, **measured}, issues, {"packets": found.to_bytes()})


def absent(about: Sequence[Mapping[str, Any]]) -> StageResult:
    """The rows of videos that are not here."""
    return StageResult(pd.DataFrame([{**_ASSUMED, **one} for one in about]))


def refused(about: Mapping[str, Any], reason: str, detail: str) -> StageResult:
    """The row of a video that cannot be indexed, and why."""
    parts = {"refused": json.dumps((reason, detail)).encode()}
    return _row(about, [_noted(about, reason, detail)], parts)


def _row(
    about: Mapping[str, Any],
    issues: Sequence[Issue] = (),
    parts: Mapping[str, bytes] | None = None,
) -> StageResult:
    told = issues_frame(issues, **{name: about[name] for name in KEYS})
    return StageResult(pd.DataFrame([{**_ASSUMED, **about}]), told, parts=dict(parts or {}))


def _noted(about: Mapping[str, Any], reason: str, detail: str) -> Issue:
    return Issue(
        "index", reason, "noted", f"video {about['video_id']}", about["path"], detail=detail
    )


def no_cuts(clips: pd.DataFrame, reason: str) -> pd.DataFrame:
    """The table ``cuts`` of clips none of which is cut."""
    cuts = pd.DataFrame({"clip_id": clips["clip_id"], "reason": reason})
    return cuts.assign(**{c: None for c in COLUMNS if c not in cuts})


def told(key: Key, clips: pd.DataFrame, cuts: pd.DataFrame, detail: str = "") -> StageResult:
    """The table ``cuts``, with an issue for each clip that has no file or not all its frames."""
    lost, kept = cuts[cuts["reason"].notna()], cuts[cuts["reason"].isna()]

    def issue(clip: str, reason: str, action: str, count: int = 1, detail: str = "") -> Issue:
        record = f"clip {clip}"
        return Issue("cut", reason, action, record, key.video_id, count=count, detail=detail)

    issues = [
        issue(clip, str(reason), "quarantined", detail=detail)
        for clip, reason in zip(lost["clip_id"], lost["reason"], strict=True)
    ]
    for reason, action in (("held", "held"), ("damaged", "noted")):
        issues += [
            issue(clip, reason, action, int(n))
            for clip, n in zip(kept["clip_id"], kept[reason], strict=True)
            if n
        ]
    planned = (clips["end"] - clips["start"]).set_axis(clips["clip_id"])
    issues += [
        issue(clip, "past_end", "clipped", short)
        for clip, n in zip(kept["clip_id"], kept["n_frames"], strict=True)
        if (short := int(planned[clip]) - int(n))
    ]
    balance = Balance("cut", "clips", len(cuts), len(kept), len(lost))
    return StageResult(
        cuts.assign(**key._asdict()),
        issues_frame(issues, **key._asdict()),
        balance_frame(balance, **key._asdict()),
    )
