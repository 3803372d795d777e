"""Write training packs: from a build's raw files, or from an existing TinyVIRAT tree.

The format, and how a pack is read, is in :mod:`tinyvirat_build.dataset.packfile`.
"""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tinyvirat_build.dataset.packfile import (
    FORMAT,
    INDEX,
    SPLITS,
    VERSION,
    Pack,
    colour_of,
    frame_bytes,
    open_pack,
    read_header,
)
from tinyvirat_build.dataset.trees import Decoded, TreeClip, decode, read_tree
from tinyvirat_build.errors import DataError, PackError
from tinyvirat_build.store import PARTIAL, hash_file, sync_folder, write_json

__all__ = ["MAX_SHARD", "Pack", "TreeReport", "open_pack", "pack_tree", "write_pack"]

MAX_SHARD: Final = 1 << 30  # bytes; a clip is never split, so one clip may exceed it


def write_pack(
    build_dir: str | os.PathLike[str],
    clips: pd.DataFrame,
    classes: Sequence[str],
    *,
    public: bool = False,
    max_shard: int = MAX_SHARD,
) -> Path:
    """Write ``build_dir/pack`` from the raw files that the cutter left and the manifest.

    The raw files become shards by hard link, by copy where links fail or where a file is over
    ``max_shard`` bytes. The order is train, val, test, each by id. The same input gives the same
    bytes, and an unfinished pack never takes the place of a finished one.

    Args:
        build_dir: folder of the build; ``pack_file`` and ``path`` are relative to it.
        clips: table ``clips``; rows without a pack file, frames or id are left out.
        classes: the class list; labels are positions in it.
        public: withhold the labels and the source video of test clips.
        max_shard: bytes.

    Raises:
        PackError: a raw file is missing or shorter than the manifest says.
    """
    build = Path(build_dir)
    n_frames = pd.to_numeric(clips["n_frames"]).fillna(0).to_numpy(np.int64)
    kept = clips[(clips["pack_file"].notna() & clips["id"].notna()).to_numpy() & (n_frames > 0)]
    kept = _in_order(kept)
    columns, sources = _index_columns(build, kept, {c: i for i, c in enumerate(classes)})
    shards = _plan_shards(build, columns, sources, max_shard)
    if public:
        hidden = [split == "test" for split in columns["split"]]
        for name, replace in (("labels", [None] * len(hidden)), ("video_id", columns["id"])):
            pairs = zip(columns[name], replace, hidden, strict=True)
            columns[name] = [new if hide else old for old, new, hide in pairs]
    target = build / "pack"
    with _replacing(target) as folder:
        known = _known_checksums(target)
        entries = [_make_shard(folder, i, part, known) for i, part in enumerate(shards)]
        write_index(folder, columns, entries, classes, public=public)
    return target


def write_index(
    folder: Path,
    columns: Mapping[str, Any],
    shards: Sequence[Mapping[str, Any]],
    classes: Sequence[str],
    *,
    public: bool = False,
) -> None:
    """Write ``index.parquet`` and, last, ``pack.json``.

    ``columns`` are those of :data:`INDEX`; ``shards`` are dicts of file, bytes, sha256.
    """
    table = pa.table({f.name: pa.array(columns[f.name], f.type) for f in INDEX}, schema=INDEX)
    pq.write_table(table, folder / "index.parquet", compression="zstd", store_schema=True)
    header = {
        "format": FORMAT,
        "version": VERSION,
        "public": public,
        "clips": table.num_rows,
        "index_sha256": hash_file(folder / "index.parquet"),
        "classes": list(classes),
        "shards": list(shards),
    }
    write_json(folder / "pack.json", header, indent=1)


def _in_order(clips: pd.DataFrame) -> pd.DataFrame:
    rank = {s: i for i, s in enumerate(SPLITS)}
    splits = clips["split"].astype(str).map(rank).fillna(len(rank)).to_numpy()
    ids = clips["id"].astype(str)
    order = np.lexsort((ids.to_numpy(), ids.str.len().to_numpy(), splits))
    return clips.iloc[order]


def _index_columns(
    build: Path, clips: pd.DataFrame, position: Mapping[str, int]
) -> tuple[dict[str, Any], list[str]]:
    """The index's columns, ``shard`` and ``offset`` still those of the raw files."""
    width = clips["width"].to_numpy(np.int64)
    height = clips["height"].to_numpy(np.int64)
    # The corner's parity is constant over a clip: following windows lie on even corners.
    dx = np.array([int(x[0]) & 1 for x in clips["x"]], np.int64)
    dy = np.array([int(y[0]) & 1 for y in clips["y"]], np.int64)
    colours: dict[str, tuple[str, str]] = {}
    for file, path in zip(clips["pack_file"], clips["path"], strict=True):
        if file not in colours:  # one look a source video: its clips share its tags
            colours[file] = _colour_of_file(build / path) if isinstance(path, str) else _UNTAGGED
    columns: dict[str, Any] = {
        name: clips[name].astype(str).tolist() for name in ("clip_id", "id", "split", "video_id")
    }
    columns |= {
        "offset": clips["pack_offset"].to_numpy(np.int64),
        "frames": clips["n_frames"].to_numpy(np.int64),
        "height": height + dy + (height + dy) % 2,
        "width": width + dx + (width + dx) % 2,
        "dy": dy,
        "dx": dx,
        "inner_height": height,
        "inner_width": width,
        "matrix": [colours[f][0] for f in clips["pack_file"]],
        "range": [colours[f][1] for f in clips["pack_file"]],
        "fps": clips["fps"].astype(object).where(clips["fps"].notna(), None).tolist(),
        "labels": [[position[label] for label in labels] for labels in clips["labels"]],
    }
    return columns, clips["pack_file"].astype(str).tolist()


_UNTAGGED: Final = colour_of(2, 0)


def _colour_of_file(path: Path) -> tuple[str, str]:
    import av  # only needed here: a pack is read without a decoder

    try:
        with av.open(str(path)) as container:
            context = container.streams.video[0].codec_context
            return colour_of(context.colorspace, context.color_range, context.pix_fmt or "")
    except (OSError, IndexError) as e:
        raise PackError(f"{path}: the clip cannot be opened ({e}); cut it anew") from e


@dataclass(frozen=True, slots=True)
class _Part:
    """A shard to be: a raw file, or the byte ranges of some of its clips."""

    source: Path
    ranges: tuple[tuple[int, int], ...] | None  # None: the whole file


def _plan_shards(
    build: Path, columns: dict[str, Any], sources: Sequence[str], max_shard: int
) -> list[_Part]:
    """Assign clips to shards, in the order of the raw files' names; sets shard and offset."""
    of_source: dict[str, list[int]] = {}
    for row, name in enumerate(sources):
        of_source.setdefault(name, []).append(row)
    shard = np.zeros(len(sources), np.int64)
    offset = columns["offset"].copy()
    size = columns["frames"] * frame_bytes(columns["height"], columns["width"])
    parts: list[_Part] = []
    for name in sorted(of_source):
        rows = np.array(of_source[name])
        file = build / name
        found = file.stat().st_size if file.is_file() else -1
        if found < (columns["offset"][rows] + size[rows]).max():
            what = "missing" if found < 0 else f"truncated, {found} bytes"
            raise PackError(f"{file}: {what}; run the stage cut again")
        if found <= max_shard:
            shard[rows] = len(parts)
            parts.append(_Part(file, None))
            continue
        rows = rows[np.argsort(columns["offset"][rows], kind="stable")]
        ranges: list[tuple[int, int]] = []
        filled = 0
        for row in rows:
            start, length = int(columns["offset"][row]), int(size[row])
            if ranges and filled + length > max_shard:
                parts.append(_Part(file, tuple(ranges)))
                ranges, filled = [], 0
            shard[row], offset[row] = len(parts), filled
            ranges.append((start, length))
            filled += length
        parts.append(_Part(file, tuple(ranges)))
    columns["shard"], columns["offset"] = shard, offset
    return parts


def _make_shard(
    folder: Path, number: int, part: _Part, known: Mapping[tuple[int, int], str]
) -> dict[str, Any]:
    name = _shard_name(number)
    target = folder / name
    target.parent.mkdir(exist_ok=True)
    stat = part.source.stat()
    checksum = None
    if part.ranges is None:
        checksum = known.get((stat.st_dev, stat.st_ino))
        try:
            target.hardlink_to(part.source)
        except OSError:
            shutil.copyfile(part.source, target)
    else:
        with part.source.open("rb") as source, target.open("wb") as out:
            for start, length in part.ranges:
                source.seek(start)
                out.write(source.read(length))
    return {
        "file": name,
        "bytes": target.stat().st_size,
        "sha256": checksum or hash_file(target),
    }


def _known_checksums(target: Path) -> dict[tuple[int, int], str]:
    """Checksums of the finished pack's shards by inode.

    A shard that is the very file it would be made from need not be read again, which turns the
    second writing of 15 GB into no reading at all; the link keeps the inode from being reused.
    """
    try:
        shards = read_header(target)["shards"]
    except PackError:
        return {}
    known = {}
    for shard in shards:
        file = target / shard["file"]
        if file.is_file() and file.stat().st_size == shard["bytes"]:
            stat = file.stat()
            known[stat.st_dev, stat.st_ino] = shard["sha256"]
    return known


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
    with _replacing(target) as folder:
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

    def add(self, raw: npt.NDArray[np.uint8]) -> tuple[int, int]:
        """Append a clip; returns shard and offset."""
        if self.file is None or self.sizes[-1] + raw.nbytes > self.max_shard:
            self._finish()
            path = self.folder / _shard_name(len(self.sizes))
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
        names = [_shard_name(i) for i in range(len(self.sizes))]
        return [
            {"file": name, "bytes": size, "sha256": hash_file(self.folder / name)}
            for name, size in zip(names, self.sizes, strict=True)
        ]

    def _finish(self) -> None:
        if self.file is not None:
            self.file.close()


def _shard_name(number: int) -> str:
    return f"shards/{number:05d}.yuv"


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """A new folder beside ``target`` that takes its place when the block ends well.

    Where ``target`` is a link, to a larger disk perhaps, it is the folder it leads to.
    """
    target = target.resolve()
    new = target.with_name(f".{target.name}.new{PARTIAL}")
    old = target.with_name(f".{target.name}.old{PARTIAL}")
    for left_over in (new, old):
        if left_over.exists():
            shutil.rmtree(left_over)
    if target.exists() and not (target / "pack.json").is_file() and any(target.iterdir()):
        raise PackError(f"{target}: holds something that is no pack; name a new folder")
    new.mkdir(parents=True)
    try:
        yield new
    except BaseException:
        shutil.rmtree(new)
        raise
    if target.exists():
        target.rename(old)
    new.rename(target)
    sync_folder(target.parent)
    if old.exists():
        shutil.rmtree(old)
