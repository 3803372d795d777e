"""What of an AVI file is no media: its lists, and the headers of its chunks, which its index tells.

FFmpeg and :mod:`tinyvirat_build.video.avi` go from chunk to chunk. Their headers lie among the
media; but the index (``idx1``, or OpenDML's ``indx`` and ``ix##``) names each one's kind, place and
size, which is all that a header holds. What no chunk of the index covers is fetched.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from tinyvirat_build.geometry.arrays import Ints
from tinyvirat_build.remote.partial import Partial
from tinyvirat_build.remote.ranges import Span, joined
from tinyvirat_build.video.glimpse import UnsureError

_HEADER: Final = 8
_MOST_GAPS: Final = 4 << 20  # bytes between the chunks of the index
_MOST_LISTS: Final = 4096
_AHEAD: Final = 256 << 10  # bytes of the first packets, without which no decoder can be set up
_NO_CHUNK: Final = 0x7FFFFFFF


@dataclass(slots=True)
class _Lists:
    movies: list[Span] = field(default_factory=list)  # the first chunk of each, and its end
    idx1: Span | None = None
    streams: int = 0
    indexes: list[tuple[int, ...]] = field(default_factory=list)  # of a stream: its ix## chunks


def fill_avi(file: Partial) -> None:
    """Fetch a file's lists and index, and write the chunks' headers by that.

    Raises:
        UnsureError: the index does not name every chunk, once, where it is.
    """
    lists = _Lists()
    at = 0
    while at + 12 <= file.size and file.read(at, 4) == b"RIFF":
        size = _u32(file.read(at, 12), 4)
        _read_riff(file, at + 12, min(at + _HEADER + size, file.size), lists)
        at += _HEADER + size + size % 2
    if not lists.movies or at < file.size:
        raise UnsureError("its lists do not fill the file")
    file.need((lists.movies[0][0], lists.movies[0][0] + _AHEAD))
    entries = _by_opendml(file, lists) if lists.indexes else _by_idx1(file, lists)
    if not len(entries):
        raise UnsureError("it has no index")
    entries = entries[np.argsort(entries[:, 1], kind="stable")]
    places, sizes = entries[:, 1], entries[:, 2]
    ends = places + _HEADER + sizes + sizes % 2
    if np.any(places[1:] < ends[:-1]):
        raise UnsureError("its index names chunks that overlap")
    gaps = _gaps(lists.movies, places, ends)
    file.need(*gaps)
    for start, stop in gaps:
        _follow(file, start, stop)
    heads = np.ascontiguousarray(entries[:, [0, 2]].astype("<u4")).tobytes()
    file.make(places, [heads[k : k + _HEADER] for k in range(0, len(heads), _HEADER)])


def _gaps(movies: list[Span], places: Ints, ends: Ints) -> list[Span]:
    """What of the movie lists no chunk of the index covers.

    Raises:
        UnsureError: that is much, or a chunk lies outside.
    """
    gaps: list[Span] = []
    covered = 0
    for begin, stop in movies:
        a, b = np.searchsorted(places, [begin, stop]).tolist()
        starts, stops = np.r_[begin, ends[a:b]], np.r_[places[a:b], stop]
        covered += b - a
        open_ = np.flatnonzero(stops > starts)
        gaps += zip(starts[open_].tolist(), stops[open_].tolist(), strict=True)
        if b > a and ends[b - 1] > stop + 1:
            raise UnsureError("its index names chunks outside its lists")
    if covered < len(places) or sum(b - a for a, b in joined(gaps)) > _MOST_GAPS:
        raise UnsureError("its index does not name every chunk")
    return gaps


def _follow(file: Partial, at: int, stop: int) -> None:
    """Go from chunk to chunk between two that the index names.

    Raises:
        UnsureError: chunks do not fill the place.
    """
    while at + _HEADER <= stop:
        head = file.read(at, 12)
        grouped = head[:4] == b"LIST" and head[8:] == b"rec "
        at += 12 if grouped else _HEADER + _u32(head, 4) + _u32(head, 4) % 2
    if at != stop:
        raise UnsureError("its index names chunks that do not follow one another")


def _read_riff(file: Partial, at: int, end: int, lists: _Lists) -> None:
    for _ in range(_MOST_LISTS):
        if at + _HEADER > end:
            return
        head = file.read(at, min(12, end - at))
        kind, size, inner = head[:4], _u32(head, 4), head[8:12]
        stop = at + _HEADER + size
        if stop > end:
            raise UnsureError("a list ends behind the file")
        if kind == b"LIST" and inner == b"movi":
            if size <= 4:
                raise UnsureError("it was not finished")
            lists.movies.append((at + 12, stop))
        elif kind == b"LIST" and inner == b"hdrl":
            _read_streams(file.read(at, _HEADER + size), lists)
        elif kind == b"idx1" and lists.idx1 is None:
            file.need((at, stop))
            lists.idx1 = (at + _HEADER, stop)
        elif kind != b"JUNK":
            file.need((at, stop))
        at = stop + size % 2
    raise UnsureError("it has too many lists")


def _read_streams(header: bytes, lists: _Lists) -> None:
    """The number of streams, and where the chunks of OpenDML's index lie."""
    for kind, start, stop in _chunks(header, 12):
        if kind != b"LIST" or header[start : start + 4] != b"strl":
            continue
        lists.streams += 1
        for inner, a, b in _chunks(header[:stop], start + 4):
            if inner == b"indx" and b - a >= 24 and header[a + 3] == 0:
                count = min(_u32(header, a + 4), (b - a - 24) // 16)
                at = (struct.unpack_from("<Q", header, a + 24 + 16 * k)[0] for k in range(count))
                lists.indexes.append(tuple(at))


def _chunks(data: bytes, at: int) -> Iterator[tuple[bytes, int, int]]:
    while at + _HEADER <= len(data):
        size = _u32(data, at + 4)
        yield data[at : at + 4], at + _HEADER, min(at + _HEADER + size, len(data))
        at += _HEADER + size + size % 2


def _by_idx1(file: Partial, lists: _Lists) -> Ints:
    """Kind, place and size of the chunks that ``idx1`` names, ``(K, 3)``."""
    if lists.idx1 is None or len(lists.movies) > 1:
        raise UnsureError("it has no index of all of its chunks")
    raw = file.read(lists.idx1[0], (lists.idx1[1] - lists.idx1[0]) // 16 * 16)
    rows = np.frombuffer(raw, "<u4").reshape(-1, 4)[:, [0, 2, 3]].astype(np.int64)
    rows = rows[rows[:, 0] != struct.unpack("<I", b"rec ")[0]]
    begin = lists.movies[0][0]
    if not len(rows):
        return np.empty((0, 3), np.int64)
    # Offsets count from the word ``movi`` or from the file's beginning.
    for base in (begin - 4, 0):
        place = int(rows[0, 1]) + base
        if begin <= place < file.size - _HEADER:
            head = file.read(place, _HEADER)
            if head == struct.pack("<II", *rows[0, [0, 2]].tolist()):
                return np.asarray(rows + [0, base, 0], np.int64)
    raise UnsureError("its index does not name its first chunk")


def _by_opendml(file: Partial, lists: _Lists) -> Ints:
    """Kind, place and size of the chunks that the streams' own indexes name, ``(K, 3)``."""
    if len(lists.indexes) != lists.streams:
        raise UnsureError("a stream of it has no index")
    places = [at for own in lists.indexes for at in own]
    file.need(*((at, at + 32) for at in places))
    sizes = [_u32(file.read(at, _HEADER), 4) for at in places]
    file.need(*((at, at + _HEADER + size) for at, size in zip(places, sizes, strict=True)))
    found = []
    for at, size in zip(places, sizes, strict=True):
        chunk = file.read(at, _HEADER + size)
        if len(chunk) < 32:
            raise UnsureError("an index of it ends early")
        kind, count = _u32(chunk, 16), min(_u32(chunk, 12), (len(chunk) - 32) // 8)
        base = struct.unpack_from("<Q", chunk, 20)[0]
        rows = np.frombuffer(chunk[32 : 32 + 8 * count], "<u4").reshape(-1, 2).astype(np.int64)
        first = base - _HEADER + rows[:, 0]
        found.append(np.c_[np.full(count, kind), first, rows[:, 1] & _NO_CHUNK])
    return np.asarray(np.concatenate(found), np.int64)


def _u32(data: bytes, at: int) -> int:
    value: int = struct.unpack_from("<I", data, at)[0]
    return value
