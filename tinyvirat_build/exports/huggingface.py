"""A video folder for Hugging Face's ``datasets``: a folder a split, with ``metadata.parquet``.

Labels are a sequence of the library's ``ClassLabel``; the library reads that from the metadata of
the Parquet schema.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from tinyvirat_build import store
from tinyvirat_build.exports.given import ExportClip, Given, place
from tinyvirat_build.records import SPLITS
from tinyvirat_build.released.layout import clip_path

SPLIT_NAMES: Final = {"train": "train", "val": "validation", "test": "test"}  # the library's

_FIELDS: Final[dict[str, pa.DataType]] = {
    "file_name": pa.string(),
    "id": pa.string(),
    "clip_id": pa.string(),
    "video_id": pa.string(),
    "frames": pa.int32(),
    "height": pa.int32(),
    "width": pa.int32(),
    "fps": pa.string(),
    "labels": pa.list_(pa.int64()),
}


def write(folder: Path, given: Given) -> list[str]:
    """Write a folder a split that has clips; its README.md is that of the released folder."""
    schema = pa.schema(
        list(_FIELDS.items()), metadata={"huggingface": json.dumps(_features(given.classes))}
    )
    for split in SPLITS:
        rows = []
        for clip in given.of(split):
            name = clip_path(split, clip.video_id, clip.id)
            place(clip, folder / SPLIT_NAMES[split] / name)
            rows.append(_row(clip, name, given.numbers(clip)))
        if rows:
            with store.atomic_path(folder / SPLIT_NAMES[split] / "metadata.parquet") as temporary:
                pq.write_table(pa.Table.from_pylist(rows, schema), temporary, compression="zstd")
    given.write_about(folder)
    return []


def _row(clip: ExportClip, name: str, labels: list[int] | None) -> dict[str, Any]:
    return {
        "file_name": name,
        "id": clip.id,
        "clip_id": clip.clip_id,
        "video_id": clip.video_id,
        "frames": clip.frames,
        "height": clip.height,
        "width": clip.width,
        "fps": clip.fps,
        "labels": labels,
    }


def _features(classes: Sequence[str]) -> dict[str, Any]:
    """The library's own description of the columns."""
    labels = {"feature": {"names": list(classes), "_type": "ClassLabel"}, "_type": "Sequence"}
    features = {
        name: labels if name == "labels" else {"dtype": str(kind), "_type": "Value"}
        for name, kind in _FIELDS.items()
    }
    return {"info": {"features": features}}
