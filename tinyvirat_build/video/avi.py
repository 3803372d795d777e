"""An AVI file's own clock: which slot of constant duration each chunk of video fills.

FFmpeg counts the chunks that it finds, so that a chunk whose header is torn shifts every later
one. Here the chunks are counted along the chain that they form in the file, and where the chain
breaks, the file's index (``idx1`` or OpenDML's) says on which slot it goes on. After Microsoft's
AVI RIFF reference and the OpenDML AVI extensions 1.02.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from tinyvirat_build.geometry.arrays import Ints

_NO_VIDEO: Final = frozenset((b"wb", b"pc", b"tx", b"ix"))
_HEADER: Final = 8
_PLAIN: Final = bytes(range(0x20, 0x7F))

Data = mmap.mmap | bytes


@dataclass(frozen=True, slots=True)
class Slots:
    """The slot of each packet, ``(P,)``, −1 for one that is no chunk of the file's video.

    ``sure`` has shape ``(P,)``: whether the slot is certain. ``total`` is the number of slots.
    """

    slot: Ints
    sure: np.ndarray[tuple[int], np.dtype[np.bool_]]
    total: int


@dataclass(slots=True)
class _Header:
    length: int = 0  # slots by the stream's header; 0 where it does not say
    indexes: list[int] = field(default_factory=list)  # where OpenDML's index chunks lie
    movies: list[tuple[int, int]] = field(default_factory=list)  # first chunk, end
    idx1: tuple[int, int] | None = None


@dataclass(slots=True)
class _Chain:
    """Chunks of the video in file order, as far as each follows from the one before."""

    at: list[int] = field(default_factory=list)  # of the chunk's header
    size: list[int] = field(default_factory=list)  # of its data, in bytes
    follows: list[bool] = field(default_factory=list)  # from the chunk before, without a break
    torn: bool = False  # the file ends inside a chunk


def read_slots(path: Path, stream: int, positions: Ints) -> Slots:
    """The slots of packets whose data lie at ``positions``, ascending.

    A chunk follows another where the chain of chunks between them is whole. Where it is not, the
    index must name both, in places that agree with what was counted before, and name as many slots
    as the file's header announces. What comes after a break that the index does not close is not
    sure, nor is the chunk before a break that takes several; nor is anything where an unbroken
    chain disagrees with the length that the file announces.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        header = _read_header(data, stream)
        positions = positions - _HEADER
        chain = _walk(data, stream, header, positions)
        entries = _entries(data, stream, header, chain)
    return _count(header, chain, entries, positions)


def _count(header: _Header, chain: _Chain, entries: Ints, positions: Ints) -> Slots:
    """Slots of the chunks from chain and index, then of the packets from their chunks.

    ``entries`` are the index's, ``(K, 2)``: where the chunk of each slot lies, and its size.
    """
    listed: dict[tuple[int, int], int] = {}
    for slot, (at, size) in enumerate(entries.tolist()):
        listed.setdefault((at, size), slot)
    slots: list[int] = []
    sure: list[bool] = []
    whole = header.length in (0, len(entries))  # the index; else it may lack any of its own
    for at, size, follows in zip(chain.at, chain.size, chain.follows, strict=True):
        before = slots[-1] if slots else -1
        named = listed.get((at, size))
        if named is not None and (named > before + 1 or (named > before and not follows)):
            if sure and not follows and named > before + 2:
                sure[-1] = False  # so much damage may begin in the chunk before
            slots.append(named)
            sure.append(whole)
            continue
        slots.append(before + 1)
        agrees = named == before + 1 if len(entries) else True
        if not agrees and all(sure[-1:]):  # a chunk as large may have gone before
            _doubt_equals(entries, slots, sure)
        sure.append(follows and agrees and all(sure[-1:]))
    total = slots[-1] + 1 if slots else 0
    slot_of = dict(zip(chain.at, zip(slots, sure, strict=True), strict=True))
    found = [slot_of.get(int(at), (-1, False)) for at in positions]
    certain = np.array([s for _, s in found], bool)
    if not len(entries) and header.length and not chain.torn and header.length != total:
        certain[:] = False
    return Slots(np.array([s for s, _ in found], np.int64), certain, total)


def _doubt_equals(entries: Ints, slots: list[int], sure: list[bool]) -> None:
    """Take back what was sure of the chunks before the last that are as large as its entry."""
    if slots[-1] >= len(entries):
        return
    size = entries[slots[-1], 1]
    for k in range(len(sure) - 1, -1, -1):
        if slots[k] >= len(entries) or entries[slots[k], 1] != size:
            return
        sure[k] = False


def _read_header(data: Data, stream: int) -> _Header:
    """The lists of the file: its header, its movie data, its index."""
    header = _Header()
    at = 0
    while at + 12 <= len(data) and data[at : at + 4] == b"RIFF":
        size = _u32(data, at + 4)
        end = min(at + _HEADER + size, len(data)) if size else len(data)
        _read_riff(data, stream, at + 12, end, header)
        at += _HEADER + size + size % 2
        if not size:
            break
    return header


def _read_riff(data: Data, stream: int, at: int, end: int, header: _Header) -> None:
    while at + 12 <= end:
        kind, size = data[at : at + 4], _u32(data, at + 4)
        inner = data[at + 8 : at + 12]
        if kind == b"LIST" and inner == b"hdrl":
            _read_stream(data, stream, at + 12, min(at + _HEADER + size, end), header)
        elif kind == b"LIST" and inner == b"movi":
            stop = at + _HEADER + size
            header.movies.append((at + 12, stop if size > 4 else len(data)))
            if stop > len(data) or size <= 4:
                return
        elif kind == b"idx1":
            header.idx1 = (at + _HEADER, min(at + _HEADER + size, len(data)))
        elif not _is_plain(kind):
            return
        at += _HEADER + size + size % 2


def _read_stream(data: Data, stream: int, at: int, end: int, header: _Header) -> None:
    """The length and the OpenDML index of the stream whose list is the ``stream``-th."""
    seen = -1
    while at + 12 <= end:
        size = _u32(data, at + 4)
        if data[at : at + 4] == b"LIST" and data[at + 8 : at + 12] == b"strl":
            seen += 1
            if seen == stream:
                for kind, start, stop in _chunks(data, at + 12, min(at + _HEADER + size, end)):
                    if kind == b"strh" and start + 36 <= stop:
                        header.length = _u32(data, start + 32)
                    elif kind == b"indx":
                        header.indexes = _super_index(data, start, stop)
        at += _HEADER + size + size % 2


def _chunks(data: Data, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Chunks in ``[at, end)``: their kind, where their content begins and ends."""
    while at + _HEADER <= end:
        size = _u32(data, at + 4)
        yield data[at : at + 4], at + _HEADER, min(at + _HEADER + size, end)
        at += _HEADER + size + size % 2


def _super_index(data: Data, start: int, stop: int) -> list[int]:
    """Where the index chunks lie that an ``indx`` of indexes names."""
    if stop - start < 24 or data[start + 3] != 0:
        return []
    count = min(_u32(data, start + 4), (stop - start - 24) // 16)
    return [struct.unpack_from("<Q", data, start + 24 + 16 * k)[0] for k in range(count)]


def _walk(data: Data, stream: int, header: _Header, positions: Ints) -> _Chain:
    """Follow the chunks of every movie list; after a break go on at the next packet.

    An index inside a list ends it: bytes are missing before, and the list says that it is longer.
    """
    chain = _Chain()
    follows = True
    packets = positions.tolist()
    for begin, stop in header.movies:
        at, end = begin, min(stop, len(data))
        while at + _HEADER <= end:
            kind, size = data[at : at + 4], _u32(data, at + 4)
            if kind == b"idx1":
                header.idx1 = header.idx1 or (at + _HEADER, min(at + _HEADER + size, len(data)))
                break
            if kind == b"LIST" and data[at + 8 : at + 12] == b"rec ":
                at += 12
                continue
            if not _is_plain(kind) or (at + _HEADER + size > end and end < len(data)):
                follows = False
                later = int(np.searchsorted(positions, at, "right"))
                if later == len(packets) or packets[later] >= end:
                    break
                at = packets[later]
                continue
            if _is_video(kind, stream):
                chain.at.append(at)
                chain.size.append(size)
                chain.follows.append(follows)
                follows = True
            chain.torn |= at + _HEADER + size > len(data)
            at += _HEADER + size + size % 2
    return chain


def _is_plain(kind: bytes) -> bool:
    return len(kind) == 4 and not kind.translate(None, _PLAIN)


def _is_video(kind: bytes, stream: int) -> bool:
    return kind[:2] == b"%02d" % stream and kind[2:] not in _NO_VIDEO


def _entries(data: Data, stream: int, header: _Header, chain: _Chain) -> Ints:
    """Where the chunk of each slot lies and its size, by the file's index; none without one."""
    if header.indexes:
        return np.concatenate([_standard_index(data, at) for at in header.indexes])
    if header.idx1 and header.movies:
        return _old_index(data, stream, header, chain)
    return np.empty((0, 2), np.int64)


def _standard_index(data: Data, at: int) -> Ints:
    """Headers and sizes of the chunks that one ``ix##`` chunk names."""
    if at + 32 > len(data):
        return np.empty((0, 2), np.int64)
    count, base = _u32(data, at + 12), struct.unpack_from("<Q", data, at + 20)[0]
    count = min(count, (len(data) - at - 32) // 8)
    rows = np.frombuffer(data[at + 32 : at + 32 + 8 * count], "<u4").reshape(-1, 2).astype(np.int64)
    return np.asarray(np.c_[int(base) - _HEADER + rows[:, 0], rows[:, 1] & 0x7FFFFFFF], np.int64)


def _old_index(data: Data, stream: int, header: _Header, chain: _Chain) -> Ints:
    """Headers and sizes of the chunks that ``idx1`` names.

    Its offsets count from the word ``movi`` or from the file's beginning: whichever finds more.
    """
    assert header.idx1 is not None
    start, stop = header.idx1
    raw = data[start : start + (stop - start) // 16 * 16]
    rows = np.frombuffer(raw, "<u4").reshape(-1, 4)
    kinds = [raw[k : k + 4] for k in range(0, len(raw), 16)]
    mine = rows[np.array([_is_video(k, stream) for k in kinds], bool)][:, 2:].astype(np.int64)
    bases = (header.movies[0][0] - 4, 0)
    base = max(bases, key=lambda b: np.isin(mine[:, 0] + b, chain.at).sum())
    return np.asarray(mine + [base, 0], np.int64)


def _u32(data: Data, at: int) -> int:
    value: int = struct.unpack_from("<I", data, at)[0]
    return value
