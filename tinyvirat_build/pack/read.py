"""The training pack: raw frames of every clip in memory-mappable shards, an index, checksums.

    pack/pack.json            format, version, classes, shards with size and SHA-256
    pack/index.parquet        one row a clip, :data:`INDEX`
    pack/shards/00000.yuv     clip after clip, frame after frame, planes Y U V of 8-bit 4:2:0

A frame is the *enclosing even window* of its clip: an odd window, or one at an odd corner, is
widened to even edges, and ``dy, dx`` say where the clip's own pixels begin in it. The format is
written out byte for byte in docs/pack.md.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tinyvirat_build.errors import PackError
from tinyvirat_build.geometry.arrays import Bools, Bytes, Ints
from tinyvirat_build.geometry.planes import Planes, frame_bytes, full_chroma, views
from tinyvirat_build.records import SPLITS
from tinyvirat_build.store import hash_file
from tinyvirat_build.store.means import raise_if_lacking

FORMAT: Final = "tinyvirat-pack"
VERSION: Final = 1

_word = pa.dictionary(pa.int32(), pa.string())
INDEX: Final = pa.schema(
    [
        ("clip_id", pa.string()),
        ("id", pa.string()),
        ("split", _word),
        ("video_id", _word),
        ("shard", pa.int32()),
        ("offset", pa.int64()),  # bytes from the beginning of the shard
        ("frames", pa.int32()),
        ("height", pa.int32()),  # of the enclosing window, even
        ("width", pa.int32()),
        ("dy", pa.int32()),  # where the clip's own window begins in it: 0 or 1
        ("dx", pa.int32()),
        ("inner_height", pa.int32()),
        ("inner_width", pa.int32()),
        ("matrix", _word),  # one of MATRICES
        ("range", _word),  # limited or full
        ("fps", pa.string()),  # "30", or as a fraction "30000/1001"
        ("labels", pa.list_(pa.int16())),  # positions in the class list; null where withheld
    ]
)

MATRICES: Final[dict[str, tuple[float, float]]] = {  # Kr, Kb of ITU-T H.273, table 4
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "fcc": (0.30, 0.11),
    "smpte240m": (0.212, 0.087),
    "bt2020": (0.2627, 0.0593),
}
RANGES: Final = ("limited", "full")
_MATRIX_OF_CODE: Final = {1: "bt709", 4: "fcc", 7: "smpte240m", 9: "bt2020"}
_FULL_RANGE: Final = 2  # FFmpeg's AVCOL_RANGE_JPEG

_NUMBERS: Final = ("shard", "offset", "frames", "height", "width") + (
    "dy", "dx", "inner_height", "inner_width"
)  # fmt: skip
_TEXTS: Final = ("clip_id", "id", "split", "matrix", "range")
_NEEDED: Final = (*_NUMBERS, *_TEXTS)  # columns without gaps


def colour_of(colorspace: int, color_range: int, pix_fmt: str = "") -> tuple[str, str]:
    """Matrix and range of a stream's tags; untagged colour is read as BT.601 limited.

    >>> colour_of(2, 0), colour_of(1, 2), colour_of(5, 0, "yuvj420p")
    (('bt601', 'limited'), ('bt709', 'full'), ('bt601', 'full'))
    """
    full = color_range == _FULL_RANGE or pix_fmt.startswith("yuvj")
    return _MATRIX_OF_CODE.get(colorspace, "bt601"), "full" if full else "limited"


@dataclass(eq=False)
class Pack:
    """An opened pack. Arrays hold one entry a clip, in the order of the index.

    ``labels`` is ``(N, C)`` of 0 and 1; where ``labelled`` is false the labels are withheld (or
    were never published) and the row is 0.
    """

    root: Path
    classes: tuple[str, ...]
    table: pa.Table
    shard_files: tuple[Path, ...]
    clip_id: npt.NDArray[np.object_]
    id: npt.NDArray[np.object_]
    split: npt.NDArray[np.object_]
    shard: Ints
    offset: Ints
    frames: Ints
    height: Ints
    width: Ints
    dy: Ints
    dx: Ints
    inner_height: Ints
    inner_width: Ints
    matrix: npt.NDArray[np.object_]
    range: npt.NDArray[np.object_]
    labels: Bytes
    labelled: Bools
    _mapped: dict[int, Bytes] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.clip_id)

    def __getstate__(self) -> dict[str, Any]:
        """Without the mappings, so that a pack can be sent to another process."""
        return {**self.__dict__, "_mapped": {}}

    @property
    def nbytes(self) -> Ints:
        """Bytes of each clip's frames, ``(N,)``."""
        sizes: Ints = self.frames * frame_bytes(self.height, self.width)
        return sizes

    @property
    def fingerprint(self) -> str:
        """What the pack holds: a SHA-256 over its classes and the checksums of index and shards."""
        header = read_header(self.root)
        shards = [shard["sha256"] for shard in header["shards"]]
        content = json.dumps([header["classes"], header["index_sha256"], shards])
        return hashlib.sha256(content.encode()).hexdigest()

    def of_split(self, split: str) -> Ints:
        """Positions of a split's clips.

        Raises:
            PackError: the pack has no clip of this split.
        """
        found = np.flatnonzero(self.split == split).astype(np.int64)
        if not len(found):
            has = ", ".join(s for s in SPLITS if (self.split == s).any()) or "none"
            raise PackError(f"{self.root}: no clip of split {split!r}; splits in it: {has}")
        return found

    def map_shard(self, shard: int) -> Bytes:
        """A shard's bytes, mapped read-only; pages are read when they are touched."""
        if shard not in self._mapped:
            # Arrow's mapping, unlike Python's, keeps no file open: a pack may have more shards
            # than a process may have files.
            view = pa.memory_map(str(self.shard_files[shard])).read_buffer()
            self._mapped[shard] = np.frombuffer(view, np.uint8)
        return self._mapped[shard]

    def addresses(self, clips: Ints) -> Ints:
        """Memory address of each clip's first byte; valid as long as the pack lives."""
        base = {int(s): self.map_shard(int(s)).ctypes.data for s in np.unique(self.shard[clips])}
        bases = np.array([base.get(s, 0) for s in range(len(self.shard_files))], np.int64)
        found: Ints = bases[self.shard[clips]] + self.offset[clips]
        return found

    def raw(self, clip: int) -> Bytes:
        """One clip's bytes, mapped, flat."""
        start = int(self.offset[clip])
        return self.map_shard(int(self.shard[clip]))[start : start + int(self.nbytes[clip])]

    def planes(self, clip: int) -> Planes:
        """One clip's planes of the enclosing window: Y ``(T, H, W)``, U, V ``(T, H/2, W/2)``."""
        frames = self.raw(clip).reshape(int(self.frames[clip]), -1)
        return views(frames, int(self.height[clip]), int(self.width[clip]))

    def yuv444(self, clip: int) -> Bytes:
        """One clip's own window ``(T, 3, h, w)``, each chroma sample replicated, not resampled.

        This is what the clip's mp4 decodes to where that is 4:4:4, and what it decodes to with
        its chroma replicated where that is 4:2:0.
        """
        rows = slice(int(self.dy[clip]), int(self.dy[clip] + self.inner_height[clip]))
        columns = slice(int(self.dx[clip]), int(self.dx[clip] + self.inner_width[clip]))
        return np.stack(full_chroma(self.planes(clip), rows, columns), axis=1)

    def verify(self) -> None:
        """Compare every shard with its checksum.

        Raises:
            PackError: a shard differs.
        """
        for shard, file in zip(read_header(self.root)["shards"], self.shard_files, strict=True):
            if hash_file(file) != shard["sha256"]:
                raise PackError(f"{file}: checksum is wrong; make the pack anew")


def open_pack(path: str | os.PathLike[str], verify: bool = False) -> Pack:
    """Open the pack at ``path``: a pack folder, or a build folder with a pack in it.

    Sizes of all shards and the checksum of the index are compared always, the checksums of the
    shards (which means reading all of them) with ``verify``.

    Raises:
        PackError: not a pack, of another version, truncated, or changed.
    """
    root = Path(path)
    if not (root / "pack.json").is_file() and (root / "pack" / "pack.json").is_file():
        root = root / "pack"
    header = read_header(root)
    table = _read_index(root, header)
    files = tuple(root / shard["file"] for shard in header["shards"])
    sizes = _check_sizes(header["shards"], files)
    numbers: dict[str, Any] = {n: table[n].to_numpy().astype(np.int64) for n in _NUMBERS}
    texts: dict[str, Any] = {
        name: np.asarray(table[name].cast(pa.string()).to_pylist(), dtype=object) for name in _TEXTS
    }
    classes = tuple(header["classes"])
    labels, labelled = _multi_hot(table["labels"], len(classes), root)
    pack = Pack(
        root=root,
        classes=classes,
        table=table,
        shard_files=files,
        labels=labels,
        labelled=labelled,
        **numbers,
        **texts,
    )
    _check_rows(pack, sizes)
    if verify:
        pack.verify()
    return pack


def read_header(root: Path) -> dict[str, Any]:
    """The content of a pack's ``pack.json``; raises PackError where it is not one."""
    file = root / "pack.json"
    try:
        header = json.loads(file.read_text("utf-8"))
    except FileNotFoundError as e:
        raise PackError(
            f"{root}: no training pack here; `tinyvirat-build all` makes one with a build, "
            "`pack --from DIR` one of a tree"
        ) from e
    except (OSError, ValueError) as e:
        raise_if_lacking(e)
        raise PackError(f"{file}: cannot be read ({e}); make the pack anew") from e
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise PackError(f"{file}: not a {FORMAT}; name the folder of a pack")
    version = header.get("version")
    if type(version) is not int or version != VERSION:
        raise PackError(
            f"{file}: pack of version {version}, this program reads {VERSION}; make the pack anew"
        )
    shards = header.get("shards")
    entries = shards if isinstance(shards, list) else [None]
    if not _has(header, _HEADER) or not all(_has(entry, _SHARD) for entry in entries):
        raise PackError(f"{file}: its entries are not those of a pack; make the pack anew")
    for number, entry in enumerate(entries):
        if entry["file"] != shard_name(number):
            raise PackError(
                f"{file}: shard {number} is {entry['file'][:80]!r}, not {shard_name(number)}; "
                "make the pack anew"
            )
    return header


def shard_name(number: int) -> str:
    """A shard's file in the folder of its pack; a pack names no other.

    >>> shard_name(3)
    'shards/00003.yuv'
    """
    return f"shards/{number:05d}.yuv"


_HEADER: Final = {"classes": list, "clips": int, "index_sha256": str, "shards": list}
_SHARD: Final = {"file": str, "bytes": int, "sha256": str}


def _has(tree: Any, kinds: Mapping[str, type]) -> bool:
    return isinstance(tree, dict) and all(type(tree.get(k)) is kind for k, kind in kinds.items())


def _read_index(root: Path, header: Mapping[str, Any]) -> pa.Table:
    file = root / "index.parquet"
    if not file.is_file():
        raise PackError(f"{file}: missing; make the pack anew")
    if hash_file(file) != header["index_sha256"]:
        raise PackError(f"{file}: checksum is wrong; make the pack anew")
    try:
        table = pq.read_table(file, schema=INDEX)
    except (OSError, pa.ArrowException) as e:
        raise_if_lacking(e)
        raise PackError(f"{file}: not the index of a pack ({e}); make the pack anew") from e
    if table.num_rows != header["clips"]:
        raise PackError(
            f"{file}: {table.num_rows} clips, pack.json says {header['clips']}; make the pack anew"
        )
    for name in (n for n in _NEEDED if table[n].null_count):
        raise PackError(f"{file}: column {name} has gaps; make the pack anew")
    return table


def _check_sizes(shards: Sequence[Mapping[str, Any]], files: Sequence[Path]) -> Ints:
    sizes = np.array([s["bytes"] for s in shards], np.int64)
    for file, expected in zip(files, sizes, strict=True):
        found = file.stat().st_size if file.is_file() else None
        if found is None:
            raise PackError(f"{file}: missing; make the pack anew")
        if found != expected:
            raise PackError(
                f"{file}: truncated or changed, {found} bytes instead of {expected}; "
                "make the pack anew"
            )
    return sizes


def _check_rows(pack: Pack, sizes: Ints) -> None:
    """Refuse an index that points outside its shards: mapped reads are not checked later."""
    fits = (pack.shard >= 0) & (pack.shard < len(sizes)) & (pack.offset >= 0)
    fits &= (pack.frames > 0) & (pack.height > 0) & (pack.width > 0)
    fits &= (pack.height % 2 == 0) & (pack.width % 2 == 0)
    fits &= (pack.inner_height > 0) & (pack.dy >= 0)
    fits &= pack.dy + pack.inner_height <= pack.height
    fits &= (pack.inner_width > 0) & (pack.dx >= 0) & (pack.dx + pack.inner_width <= pack.width)
    known = np.isin(pack.matrix, tuple(MATRICES)) & np.isin(pack.range, RANGES)
    if not known.all():
        i = int(np.argmin(known))
        raise PackError(
            f"{pack.root}: clip {pack.clip_id[i]} has colour {pack.matrix[i]} {pack.range[i]}, "
            "which this program does not know; make the pack anew"
        )
    if fits.all():
        fits &= pack.offset + pack.nbytes <= sizes[pack.shard] if len(sizes) else False
    if not fits.all():
        clip = pack.clip_id[int(np.argmin(fits))]
        raise PackError(f"{pack.root}: clip {clip} lies outside its shard; make the pack anew")


def _multi_hot(column: pa.ChunkedArray, classes: int, root: Path) -> tuple[Bytes, Bools]:
    lists = column.combine_chunks()
    labelled = lists.is_valid().to_numpy(zero_copy_only=False)
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    values = lists.flatten().to_numpy(zero_copy_only=False).astype(np.int64)
    if ((values < 0) | (values >= classes)).any():
        raise PackError(f"{root}: a label outside the {classes} classes; make the pack anew")
    hot = np.zeros((len(lists), classes), np.uint8)
    hot[np.repeat(np.arange(len(lists)), lengths), values] = 1
    return hot, labelled
