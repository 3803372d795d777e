"""What can be told of one clip, and shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tinyvirat_build import store
from tinyvirat_build.errors import DataError, VideoError
from tinyvirat_build.pipeline.folder import unit_path
from tinyvirat_build.pipeline.on_video import load_index
from tinyvirat_build.pipeline.opened import OpenedBuild
from tinyvirat_build.records import KEYS, Key
from tinyvirat_build.report.picture import Drawn, draw_clip
from tinyvirat_build.video.frames import frames_at
from tinyvirat_build.video.source_pictures import picture_at

_LISTS = ("x", "y", "labels", "activities", "seen_activities")
_SHOWN = 5  # frames of a clip on its picture


def clip_facts(build: OpenedBuild, name: str) -> dict[str, Any]:
    """Where a clip comes from, as plain values: its row, its activities, what issues say of it."""
    clip = build.clip(name)
    row = {str(k): list(v) if k in _LISTS else _plain(v) for k, v in clip.items()}
    activities = _of_video(build.table("activities"), clip)
    shown = {*clip["activities"], *(clip["seen_activities"] or ())}
    own = activities[activities["activity_id"].isin(shown)]
    issues = _of_video(build.table("issues"), clip)
    about = [f"clip {clip['clip_id']}", *(f"activity {a}" for a in sorted(shown))]
    said = issues[issues["record"].isin(about)]
    return row | {
        "records": [
            {
                k: _plain(a[k])
                for k in ("activity_id", "name", "start", "end", "status", "file", "line")
            }
            | {"labels": list(a["labels"]), "actors": list(a["actors"])}
            | {"part": "own" if a["activity_id"] in clip["activities"] else "neighbour"}
            for a in own.to_dict("records")
        ],
        "issues": [
            {
                k: _plain(i[k])
                for k in ("stage", "reason", "action", "count", "record", "file", "line", "detail")
            }
            for i in said.to_dict("records")
        ],
    }


def _plain(value: Any) -> Any:
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _of_video(table: pd.DataFrame, clip: pd.Series[Any]) -> pd.DataFrame:
    same = np.ones(len(table), bool)
    for key in KEYS:
        same &= (table[key].astype(str) == str(clip[key])).to_numpy(bool)
    return table[same]


def describe_clip(facts: dict[str, Any]) -> str:
    """The facts of a clip in lines: source, frames, window, activities, labels, file."""
    xs, ys = facts["x"], facts["y"]
    moves = "still" if len(set(xs)) == len(set(ys)) == 1 else f"to ({xs[-1]}, {ys[-1]})"
    lines = [
        f"clip        {facts['clip_id']}",
        f"source      {facts['source']} {facts['video_id']} ({facts['annotation_set']})",
        f"frames      {facts['start']} to {facts['end'] - 1}, "
        f"{facts['end'] - facts['start']} in all",
        f"window      {facts['width']}×{facts['height']} at ({xs[0]}, {ys[0]}), {moves}",
        f"actor side  {facts['actor_side']:g} pixels at the most",
        f"labels      {', '.join(facts['labels'])}",
    ]
    for a in facts["records"]:
        mapped = ", ".join(a["labels"]) or "unmapped"
        word = "activity" if a["part"] == "own" else "neighbour"
        at = f" ({a['file']}{':' + str(a['line']) if a['line'] else ''})" if a["file"] else ""
        span = f"[{a['start']}, {a['end']})"
        lines.append(f"{word:<12}{a['activity_id']} {a['name']} {span} → {mapped}{at}")
    for name in ("split", "group", "path", "held", "sha256", "released_id", "reason"):
        if facts.get(name) is not None:
            lines.append(f"{name:<12}{facts[name]}")
    for i in facts["issues"]:
        detail = f", {i['detail']}" if i["detail"] else ""
        lines.append(f"{'issue':<12}{i['stage']}: {i['reason']} ({i['action']}){detail}")
    return "\n".join(lines)


def draw_picture(build: OpenedBuild, name: str, file: Path, data: Path | None = None) -> Path:
    """Draw a clip's window on its source's frame, its frames and its track in time, as PNG.

    The source's frame is decoded where the video is at hand; else the boxes stand on an empty
    picture.
    """
    clip = build.clip(name)
    key = Key(*(str(clip[k]) for k in KEYS))
    tables = ("activities", "boxes", "segments", "chunks")
    clips = "clips" if build.published else "clips_planned"
    files = {n: build.table_file(n) for n in (clips, *tables)}
    rows = next(own for at, own in store.read_by_video(files) if at == key)
    video = _of_video(build.table("videos"), clip).iloc[0]
    count = int(clip["end"] - clip["start"])
    place = count // 2
    scene = Drawn(
        clip={str(k): v for k, v in clip.items()},
        rows=rows | {"clips": rows[clips]},
        issues=_of_video(build.table("issues"), clip),
        size=(int(video["width"]), int(video["height"])),
        place=place,
        source=_source_frame(build, key, int(clip["start"]) + place, data),
        frames=_own_frames(build, clip),
    )
    store.write_bytes(file, draw_clip(scene))
    return file


def _own_frames(build: OpenedBuild, clip: pd.Series[Any]) -> dict[int, Any]:
    if not isinstance(clip.get("path"), str):
        return {}
    spread = np.linspace(0, int(clip["n_frames"]) - 1, _SHOWN).round().astype(int)
    places = sorted(set(spread.tolist()))
    return dict(zip(places, frames_at(build.path / clip["path"], places), strict=False))


def _source_frame(build: OpenedBuild, key: Key, frame: int, data: Path | None) -> Any:
    try:
        entry = build.entries(data).get(key)
    except DataError:
        return None
    if entry is None or entry.video is None or not entry.video.is_file():
        return None
    try:
        index = load_index(unit_path(build.path, "index", entry))
    except VideoError:
        return None
    return picture_at(entry.video, index, frame)
