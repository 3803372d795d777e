"""What the gallery is told of every clip: one column a property, in the manifest's order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd

from tinyvirat_build.audit import KINDS
from tinyvirat_build.records import KEYS, QUALITY, REASONS, SPLITS, Key
from tinyvirat_build.report.moving import FRAMES
from tinyvirat_build.report.previews import PLAYED

CHUNK: Final = 2000  # clips of one script

_UNPLAYED: Final = (
    "This browser does not play the file, or it is not where it was. VLC and FFmpeg play it; "
    "tinyvirat-build all --set report.previews=always --out OUT makes previews for any."
)


@dataclass(frozen=True, slots=True)
class Still:
    """A frame of a source video, reduced: its number and its file, relative to the build."""

    frame: int
    file: str


@dataclass(frozen=True, slots=True)
class Extras:
    """What the report is told beside the build's tables.

    ``findings``: clip_id, kind, detail, other, as the audit's own. ``indoor``: by camera.
    ``headlines``: what makes the dataset of less use than it looks. ``complete``: whether known
    inputs are all there. ``remedy``: what to do where
    clips have no file. ``codec``: of the clips.
    """

    findings: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=["clip_id", "kind", "detail", "other"])
    )
    indoor: Mapping[str, bool] = field(default_factory=dict)
    stills: Mapping[Key, Still] = field(default_factory=dict)
    remedy: str = ""
    headlines: tuple[str, ...] = ()
    complete: tuple[str, ...] = ()
    codec: str = "h264"
    previews: Mapping[str, str] = field(default_factory=dict)  # by clip, of those that are there


def keys_of(clips: pd.DataFrame) -> list[Key]:
    """The videos of a table of clips, in the table's order."""
    own = clips[list(KEYS)].astype(str).drop_duplicates()
    return [Key(*row) for row in own.itertuples(index=False, name=None)]


def head(
    clips: pd.DataFrame, videos: pd.DataFrame, classes: Sequence[str], given: Extras
) -> dict[str, Any]:
    """What all clips share: classes, videos, the kinds of findings, what quality is known."""
    known = videos.set_index([videos[k].astype(str) for k in KEYS])
    return {
        "classes": list(classes),
        "splits": list(SPLITS),
        "clips": len(clips),
        "chunks": -(-len(clips) // CHUNK),
        "codec": given.codec,
        "unplayed": _UNPLAYED,
        "frames": FRAMES,
        "kinds": KINDS,
        "reasons": {r: REASONS.get(r, "") for r in sorted(set(clips["reason"].dropna()))},
        "quality": [n for n in QUALITY if n in clips and clips[n].notna().any()],
        "videos": [_video(key, known.loc[[tuple(key)]].iloc[0], given) for key in keys_of(clips)],
    }


def _video(key: Key, row: Any, given: Extras) -> dict[str, Any]:
    camera = _text(row["camera"])
    indoor = given.indoor.get(camera)
    still = given.stills.get(key)
    return {
        "source": key.source,
        "id": key.video_id,
        "set": key.annotation_set,
        "camera": camera,
        "place": "" if indoor is None else "indoor" if indoor else "outdoor",
        "width": int(row["width"]),
        "height": int(row["height"]),
        "frames": None if pd.isna(row["frames"]) else int(row["frames"]),
        "present": bool(row["present"]),
        "still": still and [still.frame, still.file],
    }


def parts(clips: pd.DataFrame, issues: pd.DataFrame, classes: Sequence[str], given: Extras) -> (
    Iterator[tuple[str, dict[str, list[Any]]]]
):  # fmt: skip
    """The scripts of the clips: name, and columns of equal length."""
    columns = _columns(clips, issues, classes, given)
    for i in range(-(-len(clips) // CHUNK)):
        own = slice(i * CHUNK, (i + 1) * CHUNK)
        yield f"clips-{i}", {name: column[own] for name, column in columns.items()}


def _columns(
    clips: pd.DataFrame, issues: pd.DataFrame, classes: Sequence[str], given: Extras
) -> dict[str, list[Any]]:
    place = {name: i for i, name in enumerate(classes)}
    video = {key: i for i, key in enumerate(keys_of(clips))}
    keys = [clips[k].astype(str) for k in KEYS]
    frames = clips["n_frames"].where(clips["n_frames"].notna(), clips["end"] - clips["start"])
    damaged = issues[issues["reason"] == "damaged"].set_index("record")["count"].to_dict()
    found = _findings(clips, given.findings)
    columns = {
        "id": clips["clip_id"].tolist(),
        "video": [video[Key(*key)] for key in zip(*keys, strict=True)],
        "split": [SPLITS.index(s) for s in clips["split"].astype(str)],
        "labels": [[place[x] for x in own] for own in clips["labels"]],
        "start": clips["start"].astype(int).tolist(),
        "frames": frames.astype(int).tolist(),
        "width": clips["width"].astype(int).tolist(),
        "height": clips["height"].astype(int).tolist(),
        "held": clips["held"].fillna(0).astype(int).tolist(),
        "damaged": [int(damaged.get(f"clip {c}", 0)) for c in clips["clip_id"]],
        "fps": _texts(clips["fps"]),
        "number": _texts(clips["id"]),
        "released": _texts(clips["released_id"]),
        "path": _texts(clips["path"]),
        "reason": _texts(clips["reason"]),
        "film": [_film(row, given) for row in clips.to_dict("records")],
        "found": found,
    }
    for name in QUALITY:
        if name in clips and clips[name].notna().any():
            columns[name] = [_number(v) for v in clips[name]]
    return columns


def _film(row: Mapping[Any, Any], given: Extras) -> str | int:
    """What shows the clip: the name of its preview, 1 for its own file, or 0."""
    if not isinstance(row["path"], str):
        return 0
    return given.previews.get(str(row["clip_id"])) or int(given.codec in PLAYED)


def _findings(clips: pd.DataFrame, findings: pd.DataFrame) -> list[list[list[Any]]]:
    by_clip: dict[str, list[list[Any]]] = {}
    for row in findings.itertuples():
        other = [row.other] if isinstance(row.other, str) else []
        by_clip.setdefault(str(row.clip_id), []).append([row.kind, row.detail, *other])
    return [by_clip.get(clip_id, []) for clip_id in clips["clip_id"]]


def _number(value: Any) -> float | None:
    return None if pd.isna(value) or not np.isfinite(value) else round(float(value), 3)


def _texts(column: pd.Series) -> list[str]:
    return [_text(value) for value in column]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
