"""Make a training pack from an existing TinyVIRAT tree.

The format, and how a pack is read, is in :mod:`tinyvirat_build.pack.read`.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

from tinyvirat_build.errors import DataError
from tinyvirat_build.geometry.arrays import Bytes
from tinyvirat_build.pack.decode import Decoded, decode
from tinyvirat_build.pack.read import INDEX, shard_name
from tinyvirat_build.pack.write import MAX_SHARD, replacing, write_index
from tinyvirat_build.released.read import TreeClip, read_tree
from tinyvirat_build.store import hash_file, write_json


@dataclass(frozen=True, slots=True)
class TreeReport:
    """What :func:`pack_tree` did; ``faults`` are rows of split, id, path and what was wrong."""

    path: Path
    clips: int
    faults: tuple[dict[str, str], ...]


def pack_tree(
    tree_dir: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    workers: int | None = None,
    max_shard: int = MAX_SHARD,
) -> TreeReport:
    """Make a pack in ``out`` from an existing TinyVIRAT tree, of v1 or v2.

    What decodes is packed, whatever ``dim`` says; every clip that is not as its row says is
    named in the report and in ``out/faults.json``. Rows without labels stay without.

    Args:
        tree_dir: the folder with the JSON files, or the one above it.
        out: folder of the pack; only an older pack is replaced.
        workers: decoding threads; default: one a core.
        max_shard: bytes.

    Raises:
        DataError: no tree, one that cannot be read, or one of which no clip decodes.
        PackError: ``out`` holds something else.
    """
    tree = read_tree(Path(tree_dir))
    position = {c: i for i, c in enumerate(tree.classes)}
    target = Path(out)
    columns: dict[str, list[Any]] = {name: [] for name in INDEX.names}
    faults = []
    seen: set[tuple[str, str]] = set()  # split and id, by which clips are told apart
    with replacing(target) as folder:
        shards = _ShardWriter(folder, max_shard)
        for clip, decoded in zip(tree.clips, _decode_all(tree.clips, workers), strict=True):
            twice = (clip.split, clip.id) in seen
            seen.add((clip.split, clip.id))
            fault = _TWICE if twice else decoded.fault or _dim_fault(clip, decoded)
            if fault:
                path = clip.path.relative_to(tree.root).as_posix()
                faults.append({"split": clip.split, "id": clip.id, "path": path, "what": fault})
            if twice or not decoded.frames:
                continue
            shard, offset = shards.add(decoded.raw)
            labels = None if clip.labels is None else sorted(position[x] for x in clip.labels)
            row = {
                "clip_id": clip.clip_id,
                "id": clip.id,
                "split": clip.split,
                "video_id": clip.video_id,
                "shard": shard,
                "offset": offset,
                "frames": decoded.frames,
                "labels": labels,
            }
            for name in columns:
                columns[name].append(row[name] if name in row else getattr(decoded, name))
        if not columns["id"]:
            raise DataError(
                f"{tree.root}: none of its {len(tree.clips)} clips decodes; see videos/"
            )
        write_json(folder / "faults.json", faults, indent=1)
        write_index(folder, columns, shards.close(), tree.classes)
    return TreeReport(target, len(columns["id"]), tuple(faults))


_TWICE: Final = "an earlier row has its id; this one is not packed"


def _dim_fault(clip: TreeClip, decoded: Decoded) -> str:
    found = (decoded.frames, decoded.inner_height, decoded.inner_width)
    return "" if found == clip.dim else f"dim is {list(clip.dim)}, decoded {list(found)}"


def _decode_all(clips: Sequence[TreeClip], workers: int | None) -> Iterator[Decoded]:
    """Decoded clips in order, a few ahead; FFmpeg works outside the interpreter's lock."""
    threads = workers or os.cpu_count() or 1
    todo = iter(clips)
    with ThreadPoolExecutor(threads) as pool:
        waiting = deque(pool.submit(decode, c.path) for c in islice(todo, 4 * threads))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(decode, c.path) for c in islice(todo, 1))


class _ShardWriter:
    """Writes clips end to end and begins a new shard where one would grow over the bound."""

    def __init__(self, folder: Path, max_shard: int) -> None:
        self.folder, self.max_shard = folder, max_shard
        self.sizes: list[int] = []
        self.file: IO[bytes] | None = None

    def add(self, raw: Bytes) -> tuple[int, int]:
        """Append a clip; returns shard and offset."""
        if self.file is None or self.sizes[-1] + raw.nbytes > self.max_shard:
            self._finish()
            path = self.folder / shard_name(len(self.sizes))
            path.parent.mkdir(exist_ok=True)
            self.file = path.open("wb")
            self.sizes.append(0)
        offset = self.sizes[-1]
        self.file.write(raw.data)
        self.sizes[-1] += raw.nbytes
        return len(self.sizes) - 1, offset

    def close(self) -> list[dict[str, Any]]:
        """The entries for ``pack.json``."""
        self._finish()
        names = [shard_name(i) for i in range(len(self.sizes))]
        return [
            {"file": name, "bytes": size, "sha256": hash_file(self.folder / name)}
            for name, size in zip(names, self.sizes, strict=True)
        ]

    def _finish(self) -> None:
        if self.file is not None:
            self.file.close()
