"""Tar shards for WebDataset: a sample is ``ID.mp4`` and ``ID.json``."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from tinyvirat_build import store
from tinyvirat_build.errors import SettingsError
from tinyvirat_build.exports.given import ExportClip, Given
from tinyvirat_build.records import SPLITS
from tinyvirat_build.released.layout import CLASS_MAP

MAX_SHARD: Final = 256 << 20  # bytes of clips
_MODE: Final = 0o644


def write(folder: Path, given: Given) -> list[str]:
    """Write ``SPLIT-000000.tar`` and on; finished shards of an earlier attempt stay.

    Clips of train are shuffled, always alike: a reader takes a shard from its start to its end.

    Raises:
        SettingsError: webdataset is not installed.
    """
    try:
        import webdataset as wds
    except ModuleNotFoundError as e:
        raise SettingsError(
            "webdataset is not installed; pip install '.[export]' in the clone brings it"
        ) from e
    for split in SPLITS:
        clips = list(given.of(split))
        if split == "train":
            random.Random(0).shuffle(clips)
        for number, shard in enumerate(_shards(clips)):
            path = folder / f"{split}-{number:06d}.tar"
            if path.exists():
                continue
            with (
                store.atomic_path(path) as temporary,
                temporary.open("wb") as stream,
                wds.TarWriter(stream, user="", group="", mode=_MODE, mtime=0) as tar,
            ):
                for clip in shard:
                    tar.write(_sample(clip, given.numbers(clip)))
    store.write_json(folder / CLASS_MAP, {name: n for n, name in enumerate(given.classes)})
    given.write_about(folder)
    return []


def _shards(clips: Sequence[ExportClip]) -> Iterator[list[ExportClip]]:
    """The clips in runs of at most ``MAX_SHARD`` bytes; a larger clip is a shard of its own."""
    shard: list[ExportClip] = []
    size = 0
    for clip in clips:
        own = clip.size()
        if shard and size + own > MAX_SHARD:
            yield shard
            shard, size = [], 0
        shard.append(clip)
        size += own
    if shard:
        yield shard


def _sample(clip: ExportClip, numbers: list[int] | None) -> dict[str, Any]:
    about: dict[str, Any] = {
        "id": clip.id,
        "clip_id": clip.clip_id,
        "video_id": clip.video_id,
        "dim": clip.dim,
        "fps": clip.fps,
    }
    if numbers is not None:
        about |= {"label": clip.labels, "label_ids": numbers}
    text = json.dumps(about, ensure_ascii=False).encode()
    return {"__key__": clip.id, "json": text, "mp4": clip.file.read_bytes()}
