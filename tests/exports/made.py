"""Builds of a few rows, written without a source: tables, clips and texts as a build has them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

import tinyvirat_build as tvb
from tinyvirat_build import store
from tinyvirat_build.records import columns
from tinyvirat_build.settings import Settings

CLASSES = ("Opening", "Talking", "activity walking")
KEYS = {"source": "corpus", "annotation_set": "kpf"}


_SETTINGS = Settings.load(overrides=[f"classes=[{', '.join(CLASSES)}]"]).to_dict()
_BUILD = yaml.safe_dump({"format": 1, "sources": ["corpus"], "limit": None, "settings": _SETTINGS})


def made(out: Path, tables: dict[str, pd.DataFrame]) -> tvb.Build:
    """A build that holds some tables."""
    out.mkdir(parents=True)
    (out / "build.yaml").write_text(_BUILD)
    for name, table in tables.items():
        order = [c for c in columns(name) if c in table]
        parts = [store.to_arrow(name, table[order])] if len(table) else []
        store.write_table(out / "tables" / f"{name}.parquet", name, parts, key="key")
    return tvb.open_build(out)


def published(out: Path, clips: Sequence[tuple[str, str, str, tuple[str, ...]]]) -> tvb.Build:
    """A build of clips: split, id, video and labels of each; a file holds its own clip's id."""
    rows: list[dict[str, Any]] = []
    for n, (split, number, video, labels) in enumerate(clips):
        name = f"{number}.mp4" if split == "test" else f"{video}/{number}.mp4"
        path = f"TinyVIRAT_V2/videos/{split}/{name}"
        rows.append(
            {
                **KEYS,
                "video_id": video,
                "clip_id": f"{n:016x}",
                "split": split,
                "id": number,
                "path": path,
                "n_frames": 20 + n,
                "height": 32,
                "width": 34,
                "labels": labels,
                "fps": "30000/1001",
                "start": 0,
                "end": 20 + n,
            }
        )
        file = out.with_name("files") / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{split} {number}")
    build = made(out, {"clips": pd.DataFrame(rows)})
    out.with_name("files").joinpath("TinyVIRAT_V2").rename(out / "TinyVIRAT_V2")
    (out / "TinyVIRAT_V2" / "LICENSE").write_text("CC BY 4.0\n")
    (out / "TinyVIRAT_V2" / "ATTRIBUTION").write_text("Somebody.\n")
    return build
