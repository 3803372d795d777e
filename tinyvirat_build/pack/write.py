"""Write a build's training pack from its raw files, and check it against them.

The format, and how a pack is read, is in :mod:`tinyvirat_build.pack.read`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tinyvirat_build.errors import PackError
from tinyvirat_build.geometry.planes import frame_bytes
from tinyvirat_build.pack.read import (
    FORMAT,
    INDEX,
    VERSION,
    colour_of,
    open_pack,
    read_header,
    shard_name,
)
from tinyvirat_build.records import SPLITS
from tinyvirat_build.store import PARTIAL, hash_file, link_or_copy, sync_folder, write_json
from tinyvirat_build.store.means import raise_if_lacking

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
    columns, parts = _plan(build, clips, classes, public, max_shard)
    target = build / "pack"
    with replacing(target) as folder:
        known = _known_checksums(target)
        entries = [_make_shard(folder, i, part, known) for i, part in enumerate(parts)]
        write_index(folder, columns, entries, classes, public=public)
    return target


def check_pack(
    build_dir: str | os.PathLike[str],
    clips: pd.DataFrame,
    classes: Sequence[str],
    *,
    public: bool = False,
    advance: Callable[[int], object] = lambda n: None,
) -> Iterator[tuple[str, str]]:
    """Where a build's pack is not what :func:`write_pack` makes of it: (clip, video or file, what).

    Files are compared with their checksums, the index row by row with the manifest, shards with
    the raw files. ``advance`` is told the bytes of each shard that has been read.

    Raises:
        PackError: the pack cannot be used, or a raw file is missing.
    """
    build = Path(build_dir)
    columns, parts = _plan(build, clips, classes, public, MAX_SHARD)
    pack = open_pack(build / "pack")
    header = read_header(pack.root)
    for name, own in (("classes", list(classes)), ("public", public)):
        if header.get(name) != own:
            yield "pack.json", f"{name} is not the build's"
    expected = _index(columns)
    if not pack.table.equals(expected):
        differences = list(_row_differences(pack.table.to_pylist(), expected.to_pylist()))
        yield from differences or [("index.parquet", "the rows are in another order")]
    for entry, file, part in zip(header["shards"], pack.shard_files, parts, strict=False):
        video = part.source.parent.name
        if hash_file(file) != entry["sha256"]:
            yield video, f"{entry['file']}: its checksum is wrong"
        elif not file.samefile(part.source) and part.sha256() != entry["sha256"]:
            yield video, f"{entry['file']} is not {part.source.relative_to(build)} any more"
        advance(int(entry["bytes"]))
    own_files = {shard_name(i) for i in range(len(parts))} | {"pack.json", "index.parquet"}
    for path in sorted(p for p in pack.root.rglob("*") if p.is_file()):
        name = path.relative_to(pack.root).as_posix()
        if name not in own_files:
            yield name, "is no part of the pack"


def _row_differences(
    found: Sequence[Mapping[str, Any]], expected: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    rows = {row["clip_id"]: row for row in found}
    for clip_id, n in Counter(row["clip_id"] for row in found).items():
        if n > 1:
            yield f"clip {clip_id}", f"the pack has it {n} times"
    for own in expected:
        where = f"clip {own['clip_id']}"
        row = rows.pop(own["clip_id"], None)
        if row is None:
            yield where, "the pack has no such clip"
        elif differ := [f"{k} {row[k]} is not {own[k]}" for k in own if row[k] != own[k]]:
            yield where, ", ".join(differ)
    for clip_id in rows:
        yield f"clip {clip_id}", "the manifest has no such clip"


def _plan(
    build: Path, clips: pd.DataFrame, classes: Sequence[str], public: bool, max_shard: int
) -> tuple[dict[str, Any], list[_Part]]:
    """The index's columns and the shards of a build's pack."""
    n_frames = pd.to_numeric(clips["n_frames"]).fillna(0).to_numpy(np.int64)
    kept = clips[(clips["pack_file"].notna() & clips["id"].notna()).to_numpy() & (n_frames > 0)]
    kept = _in_order(kept)
    columns, sources = _index_columns(build, kept, {c: i for i, c in enumerate(classes)})
    parts = _plan_shards(build, columns, sources, max_shard)
    if public:
        hidden = [split == "test" for split in columns["split"]]
        for name, replace in (("labels", [None] * len(hidden)), ("video_id", columns["id"])):
            pairs = zip(columns[name], replace, hidden, strict=True)
            columns[name] = [new if hide else old for old, new, hide in pairs]
    return columns, parts


def _index(columns: Mapping[str, Any]) -> pa.Table:
    return pa.table({f.name: pa.array(columns[f.name], f.type) for f in INDEX}, schema=INDEX)


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
    table = _index(columns)
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
    except (av.error.FFmpegError, OSError, IndexError) as e:
        raise_if_lacking(e)
        raise PackError(f"{path}: the clip cannot be opened ({e}); cut it anew") from e


@dataclass(frozen=True, slots=True)
class _Part:
    """A shard to be: a raw file, or the byte ranges of some of its clips."""

    source: Path
    ranges: tuple[tuple[int, int], ...] | None  # None: the whole file

    def pieces(self) -> Iterator[bytes]:
        """The ranges' bytes."""
        with self.source.open("rb") as source:
            for start, length in self.ranges or ():
                source.seek(start)
                yield source.read(length)

    def sha256(self) -> str:
        """The checksum of the shard that is made of this."""
        if self.ranges is None:
            return hash_file(self.source)
        digest = hashlib.sha256()
        for piece in self.pieces():
            digest.update(piece)
        return digest.hexdigest()


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
            raise PackError(f"{file}: {what}; run `tinyvirat-build cut` again")
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
    name = shard_name(number)
    target = folder / name
    target.parent.mkdir(exist_ok=True)
    stat = part.source.stat()
    checksum = None
    if part.ranges is None:
        checksum = known.get((stat.st_dev, stat.st_ino))
        link_or_copy(part.source, target)
    else:
        with target.open("wb") as out:
            out.writelines(part.pieces())
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


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
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
