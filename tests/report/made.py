"""Tables of a build that is none, to make reports of."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tinyvirat_build import store
from tinyvirat_build.records import columns, empty
from tinyvirat_build.stages import fate

CLASSES = ("Opening", "Talking", "Riding <b>")
HOSTILE = (
    '<img src=x onerror="alert(1)">', "</script><script>alert(1)</script>", "é\u2028{{7*7}}",
    "\" onload='alert(1)' \u202egnp.\u2066",
)  # fmt: skip


def manifest(n: int = 12) -> pd.DataFrame:
    rows = []
    for i in range(n):
        split = ("train", "train", "val", "test")[i % 4]
        rows.append(
            dict.fromkeys(columns("clips"))
            | {"source": "demo", "video_id": f"v{i % 4}", "annotation_set": "x", "group": f"g{i}",
               "clip_id": f"{i:016x}", "start": 0, "end": 6, "width": 10 + 10 * i,
               "height": 10 + 10 * i, "split": split, "id": f"{i:05d}", "n_frames": 6, "held": 0,
               "labels": CLASSES[:2] if i % 5 == 0 else (CLASSES[i % 2],),
               "path": f"videos/{i}.mp4", "x": (0,) * 6, "y": (0,) * 6, "activities": (),
               "segment_id": i, "actor_side": 5.0}
        )  # fmt: skip
    return pd.DataFrame(rows, columns=columns("clips"))


def varied() -> pd.DataFrame:
    """Clips with something for each filter and order of the gallery; the side tells one apart."""
    clips = manifest(32)
    n = range(len(clips))
    count = [6 + 3 * (i % 7) for i in n]
    clips = clips.assign(
        source=["meva" if i % 3 == 0 else "demo" for i in n], n_frames=count, end=count,
        x=[(0,) * k for k in count], y=[(0,) * k for k in count],
        held=[i % 5 if i % 3 == 1 else 0 for i in n],
        released_id=[f"VIRAT_S_{i:04d}_A{i}" if i % 2 else None for i in n],
        infrared=[None if i == 7 else i % 4 == 1 for i in n],
        path=[f"T/videos/{clips['split'][i]}/{i:05d}.mp4" for i in n],
    )  # fmt: skip
    for k, name in enumerate(("motion", "brightness", "contrast", "blur", "frozen")):
        clips[name] = [None if i == 7 else round((i * (k + 3)) % 17 / 3, 3) for i in n]
    clips.loc[28:, ["id", "path", "n_frames", "held"]] = None
    clips.loc[28:, "reason"] = ["quality", "quality", "no_video", "no_video"]
    return clips.sort_values(["source", "video_id"], kind="stable", ignore_index=True)


def write_tables(
    out: Path, clips: pd.DataFrame, *, camera: str = "", issues: pd.DataFrame | None = None
) -> None:
    """The tables of a build of these clips alone, its videos of one camera but the first."""
    videos = clips[["source", "video_id", "annotation_set"]].drop_duplicates(ignore_index=True)
    videos = videos.assign(width=640, height=360, assumed=True, fps="30", present=False)
    videos["camera"] = ["", *[camera] * (len(videos) - 1)]
    names = {*fate.READ, "issues", "balance", "activities", "boxes", "actors"}
    tables = {name: empty(name) for name in names} | {"clips": clips, "videos": videos}
    if issues is not None:
        tables["issues"] = issues
    (out / "build.yaml").write_text("limit: 5\nversions: {av: '18', ffmpeg: x86}\n")
    for name, table in tables.items():
        ordered = table.sort_values(["source", "video_id"], kind="stable", ignore_index=True)
        arrow = store.to_arrow(name, ordered)
        store.write_table(out / "tables" / f"{name}.parquet", name, [arrow], key="k")
