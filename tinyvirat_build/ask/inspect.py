"""What can be told of one clip."""

from __future__ import annotations

import pandas as pd

from tinyvirat_build.pipeline.opened import OpenedBuild


def describe_clip(build: OpenedBuild, clip_id: str) -> str:
    """Where a clip comes from: source, frames, window, activities, labels, file."""
    clip = build.clip(clip_id)
    activities = build.table("activities")
    own = activities[
        (activities["video_id"].astype(str) == str(clip["video_id"]))
        & (activities["source"].astype(str) == str(clip["source"]))
        & activities["activity_id"].isin(clip["activities"])
    ]
    xs, ys = clip["x"], clip["y"]
    moves = "still" if len(set(xs)) == len(set(ys)) == 1 else f"to ({xs[-1]}, {ys[-1]})"
    lines = [
        f"clip        {clip['clip_id']}",
        f"source      {clip['source']} {clip['video_id']} ({clip['annotation_set']})",
        f"frames      {clip['start']} to {clip['end'] - 1}, {clip['end'] - clip['start']} in all",
        f"window      {clip['width']}×{clip['height']} at ({xs[0]}, {ys[0]}), {moves}",
        f"actor side  {clip['actor_side']:g} pixels at the most",
        f"labels      {', '.join(clip['labels'])}",
    ]
    for a in own.to_dict("records"):
        mapped = ", ".join(a["labels"]) or "unmapped"
        span = f"[{a['start']}, {a['end']})"
        lines.append(f"activity    {a['activity_id']} {a['name']} {span} → {mapped}")
    for name in ("split", "group", "path", "held", "sha256", "released_id", "reason"):
        if name in clip and not pd.isna(clip[name]):
            lines.append(f"{name:<12}{clip[name]}")
    return "\n".join(lines)
