"""Where a file's own structure is broken: bytes that no demuxer can have read as they were meant.

Demuxers look for the next thing they know and say nothing. Outside AVI, whose clock is counted in
:mod:`tinyvirat_build.video.avi`, a step in time counts as a loss only beside such a break. After
ISO 13818-1 (transport and program streams), RFC 8794 and RFC 9559 (Matroska), ISO 14496-12
(movie fragments) and Adobe's FLV 10.1.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

Data = mmap.mmap | bytes


@dataclass(frozen=True, slots=True)
class Break:
    """A place in the file, in bytes; ``joint`` where two whole recordings may meet.

    Where it cannot be told more closely, bytes may be wrong or missing anywhere from ``at`` to
    ``end``.
    """

    at: int
    joint: bool = False
    end: int = 0


def breaks(path: Path, container: str, stream_id: int) -> list[Break]:
    """The breaks of a file, ascending; none for containers that are not walked.

    ``container`` is FFmpeg's first name of the format, ``stream_id`` the video's own (a transport
    stream's PID).
    """
    walk = _WALKS.get(container)
    if walk is None or path.stat().st_size == 0:
        return []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return list(walk(data, stream_id))


_TS: Final = 188
_SYNC: Final = 0x47
_BLOCK: Final = 1 << 16  # packets that are looked at in one go


def _transport(data: Data, pid: int) -> Iterator[Break]:
    """Lost alignment, and gaps in the continuity counter of one PID."""
    at, count, tables = 0, -1, False
    aligned = _align(data, 0)
    if aligned is None:
        return
    at, size = aligned
    while at + size <= len(data):
        raw = np.frombuffer(data, np.uint8, min(_BLOCK, (len(data) - at) // size) * size, at)
        rows = raw.reshape(-1, size)[:, size - _TS if size == 192 else 0 :]
        good = rows[:, 0] == _SYNC
        whole = len(good) if good.all() else int(np.argmin(good))
        gaps, count, tables = _continuity(rows[:whole], pid, count, tables)
        yield from (Break(at + k * size, joint) for k, joint in gaps)
        at += whole * size
        if whole < len(good):
            yield Break(at)
            found = _align(data, at)
            if found is None:
                return
            at, size = found
            count = -1


def _align(data: Data, at: int) -> tuple[int, int] | None:
    """The next place from which packets of one size follow one another, and that size."""
    end = min(len(data), at + (1 << 20))
    window = np.frombuffer(data, np.uint8, max(0, end - at), at) == _SYNC
    for size, lead in ((_TS, 0), (192, 4), (204, 0)):
        span = len(window) - 3 * size - lead
        if span <= 0:
            continue
        hits = np.logical_and.reduce([window[lead + k * size :][:span] for k in range(4)])
        if hits.any() and (first := int(np.argmax(hits))) < 3 * size:
            return at + first, size
    return None


def _continuity(
    rows: np.ndarray[tuple[int, int], np.dtype[np.uint8]], pid: int, count: int, tables: bool
) -> tuple[list[tuple[int, bool]], int, bool]:
    """Packets at which the counter jumps (and whether tables came before), the last count."""
    of = (rows[:, 1].astype(np.int64) & 31) << 8 | rows[:, 2]
    pats = np.flatnonzero(of == 0)
    payload = rows[:, 3] & 16 > 0
    mine = np.flatnonzero((of == pid) & payload)
    if not len(mine):
        return [], count, tables or bool(len(pats))
    counts = rows[mine, 3].astype(np.int64) & 15
    before = np.r_[count if count >= 0 else (counts[0] - 1) % 16, counts[:-1]]
    steps = (counts - before) % 16
    adaptation = (rows[mine, 3] & 32 > 0) & (rows[mine, 4] > 0)
    announced = adaptation & (rows[mine, 5] & 128 > 0)
    odd = (steps > 1) & ~announced | (rows[mine, 1] & 128 > 0)
    places = np.r_[-1, mine[:-1]]
    gaps = []
    for k in np.flatnonzero(odd).tolist():
        between = np.searchsorted(pats, mine[k]) - np.searchsorted(pats, places[k], "right")
        gaps.append((int(mine[k]), bool(between or (k == 0 and tables))))
    return gaps, int(counts[-1]), bool(len(pats) and pats[-1] > mine[-1])


_PACK, _END = 0xBA, 0xB9
_ZEROS: Final = 4096


def _program(data: Data, _: int) -> Iterator[Break]:
    """Packets of a program stream that do not begin where the one before ends."""
    at = data.find(b"\0\0\1\xba")
    while at >= 0 and at + 6 <= len(data):
        if data[at : at + 3] != b"\0\0\1" or data[at + 3] < _END:
            if data[at : at + _ZEROS].strip(b"\0"):  # zeros are allowed between packets
                yield Break(at)
            at = data.find(b"\0\0\1\xba", at)
            continue
        kind = data[at + 3]
        if kind == _END:
            at += 4
        elif kind == _PACK:
            at += 12 if data[at + 4] >> 6 != 1 else 14 + (data[at + 13] & 7)
        else:
            at += 6 + int.from_bytes(data[at + 4 : at + 6], "big")


_SEGMENT: Final = 0x18538067
_CLUSTER: Final = 0x1F43B675
_TRACKS: Final = 0x1654AE6B
_SIMPLE, _GROUP, _BLOCK_ID, _ENTRY, _NUMBER = 0xA3, 0xA0, 0xA1, 0xAE, 0xD7
_IN_CLUSTER: Final = frozenset({0xE7, 0x5854, 0xA7, 0xAB, _SIMPLE, _GROUP, 0xEC, 0xBF, 0xAF})
_IN_SEGMENT: Final = frozenset(
    {_CLUSTER, _TRACKS, 0x114D9B74, 0x1549A966, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367}
    | {0xEC, 0xBF, 0x1A45DFA3, _SEGMENT}
)


def _matroska(data: Data, _: int) -> Iterator[Break]:
    """Elements that are none, blocks of no track, clusters that do not end where they say."""
    at, cluster, cluster_end, tracks = 0, 0, 0, set[int]()
    while at < len(data):
        found = _element(data, at)
        inside = at < cluster_end
        known = _IN_CLUSTER if inside else _IN_SEGMENT
        if found is not None and inside and cluster_end == len(data):  # of unknown size
            known = _IN_CLUSTER | _IN_SEGMENT
        ok = found is not None and found[0] in known
        if found is not None and ok:
            kind, start, end = found
            ok = end <= (cluster_end if inside and kind in _IN_CLUSTER else len(data))
            torn = end > len(data) > start and not (inside and cluster_end < len(data))
            ok = ok or torn  # at the file's end
            if ok and kind in (_SIMPLE, _GROUP):
                ok = _track(data, kind, start, end) in tracks
        if found is None or not ok:
            if inside and cluster_end != len(data) and at + 1 >= len(data):
                return
            # A cluster that ends early lacks a block, which may have been any of its own.
            yield Break(cluster, end=at) if inside else Break(at)
            at = data.find(_CLUSTER.to_bytes(4, "big"), at if inside else at + 1)
            cluster_end = 0
            if at < 0:
                return
            continue
        if kind == _CLUSTER:
            at, cluster, cluster_end = start, at, end
        elif kind == _SEGMENT:
            at = start
        else:
            if kind == _TRACKS:
                tracks |= _track_numbers(data, start, end)
            at = end


def _element(data: Data, at: int) -> tuple[int, int, int] | None:
    """An element's id, and where its content begins and ends; None where there is none."""
    head = _number(data, at, marked=True)
    size = _number(data, head[1]) if head is not None else None
    if head is None or size is None or head[1] - at > 4:
        return None
    value, start = size
    if value == (1 << 7 * (start - head[1])) - 1:  # unknown: to the end
        return head[0], start, len(data)
    return head[0], start, start + value


def _number(data: Data, at: int, *, marked: bool = False) -> tuple[int, int] | None:
    """A number of variable length and where it ends; ``marked`` leaves its length bit in."""
    if at >= len(data) or data[at] == 0:
        return None
    length = 9 - data[at].bit_length()
    if at + length > len(data):
        return None
    value = int.from_bytes(data[at : at + length], "big")
    return value if marked else value & ((1 << 7 * length) - 1), at + length


def _track(data: Data, kind: int, start: int, end: int) -> int | None:
    """The track of a block, or of the block in a group."""
    while kind == _GROUP:
        inner = _element(data, start)
        if inner is None or inner[2] > end:
            return None
        kind = inner[0] if inner[0] == _BLOCK_ID else _GROUP
        start = inner[1] if inner[0] == _BLOCK_ID else inner[2]
    number = _number(data, start)
    return None if number is None else number[0]


def _track_numbers(data: Data, start: int, end: int) -> set[int]:
    numbers = set()
    at = start
    while at < end and (entry := _element(data, at)) is not None:
        inner = entry[1]
        while entry[0] == _ENTRY and inner < entry[2]:
            found = _element(data, inner)
            if found is None:
                break
            if found[0] == _NUMBER:
                numbers.add(int.from_bytes(data[found[1] : found[2]], "big"))
            inner = found[2]
        at = entry[2]
    return numbers


_TAGS: Final = (8, 9, 18)  # sound, video, script


def _flash(data: Data, _: int) -> Iterator[Break]:
    """The first tag that no tag follows: the chain ends there."""
    at = 13  # behind the header and the length of no tag
    while at + 11 <= len(data):
        if data[at] & 31 not in _TAGS:
            yield from (Break(at), Break(at, end=len(data)))  # what follows is not walked
            return
        at += 15 + int.from_bytes(data[at + 1 : at + 4], "big")


def _movie(data: Data, _: int) -> Iterator[Break]:
    """Boxes that are none, and fragments missing from their count."""
    at, count = 0, 0
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        head = 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        elif size == 0:
            return
        if size < head or not all(32 <= c < 127 or c == 0xA9 for c in kind):
            yield from (Break(at), Break(at, end=len(data)))  # what follows is not walked
            return
        if kind == b"moof" and data[at + head + 4 : at + head + 8] == b"mfhd":
            number = int.from_bytes(data[at + head + 12 : at + head + 16], "big")
            if count and number != count + 1:
                yield Break(at)
            count = number
        at += size


_WALKS: Final[dict[str, Callable[[Data, int], Iterator[Break]]]] = {
    "mpegts": _transport,
    "mpeg": _program,
    "matroska": _matroska,
    "flv": _flash,
    "mov": _movie,
}
