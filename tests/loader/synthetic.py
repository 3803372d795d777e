"""Packs made of random or given planes, without any video."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyvirat_build.geometry.planes import frame_bytes
from tinyvirat_build.pack.write import write_index
from tinyvirat_build.store import hash_file

CLASSES = ("walk", "run", "turn", "wait")


@dataclass
class Shape:
    """A clip to make: its own window and the parity of its corner."""

    frames: int
    height: int
    width: int
    dy: int = 0
    dx: int = 0
    matrix: str = "bt601"
    range: str = "limited"
    split: str = "train"
    labels: tuple[int, ...] | None = (0,)

    @property
    def enclosing(self) -> tuple[int, int]:
        return tuple(
            n + d + (n + d) % 2 for n, d in ((self.height, self.dy), (self.width, self.dx))
        )


def make_pack(
    folder: Path,
    shapes: Sequence[Shape],
    *,
    seed: int = 0,
    sparse: bool = False,
    classes: Sequence[str] = CLASSES,
) -> Path:
    """A pack of noise (or zeros that take no room on disk) with one shard."""
    rng = np.random.default_rng(seed)
    (folder / "shards").mkdir(parents=True)
    file = folder / "shards" / "00000.yuv"
    sizes = np.array([s.frames * frame_bytes(*s.enclosing) for s in shapes], np.int64)
    if sparse:
        file.touch()
        os.truncate(file, int(sizes.sum()))
    else:
        file.write_bytes(rng.integers(0, 256, int(sizes.sum()), np.uint8).tobytes())
    counters: dict[str, int] = {}
    ids = []
    for s in shapes:
        ids.append(f"{counters.get(s.split, 0):05d}")
        counters[s.split] = counters.get(s.split, 0) + 1
    columns = {
        "clip_id": [f"{i:016x}" for i in range(len(shapes))],
        "id": ids,
        "split": [s.split for s in shapes],
        "video_id": ["v"] * len(shapes),
        "shard": np.zeros(len(shapes), int),
        "offset": np.cumsum(sizes) - sizes,
        "frames": [s.frames for s in shapes],
        "height": [s.enclosing[0] for s in shapes],
        "width": [s.enclosing[1] for s in shapes],
        "dy": [s.dy for s in shapes],
        "dx": [s.dx for s in shapes],
        "inner_height": [s.height for s in shapes],
        "inner_width": [s.width for s in shapes],
        "matrix": [s.matrix for s in shapes],
        "range": [s.range for s in shapes],
        "fps": ["30/1"] * len(shapes),
        "labels": [s.labels for s in shapes],
    }
    shard = {
        "file": "shards/00000.yuv",
        "bytes": int(sizes.sum()),
        "sha256": "0" * 64 if sparse else hash_file(file),
    }
    write_index(folder, columns, [shard], classes)
    return folder
