"""Whether a video's file is whole, by its own container: what tells a cut-off AVI or MP4.

An AVI's chunks say how long they are, and its index (``idx1``, or the ``indx`` of OpenDML) where
the frames lie; an MP4 needs its ``moov``, and no box may go past the end. After Microsoft's AVI
RIFF reference, the OpenDML AVI extensions 1.02 and ISO 14496-12.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final

_HEAD: Final = 4096  # bytes of an AVI's header that are looked at


def fault(path: Path) -> str | None:
    """What is wrong with a file, "" where it is whole, None of a container that is not known here.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(12)
        for known, check in _CHECKS:
            if known(head):
                return check(file, size)
    return "the file is empty" if not size else None


def _avi(file: IO[bytes], size: int) -> str:
    """The chunks of every RIFF, and an index."""
    at, indexed = 0, False
    while at < size:
        kind, length, _ = _chunk(file, at)
        if kind != b"RIFF":
            break  # what stands behind the last RIFF is no part of it
        end = at + 8 + length
        if end > size:
            return f"cut off: {end:,} bytes announced, {size:,} there"
        for inner, start, stop, form in _chunks(file, at + 12, end):
            if stop > end:
                return f"cut off in the chunk at {start:,}"
            if inner == b"idx1":
                indexed = True
            elif form == b"hdrl":
                file.seek(start)
                indexed |= b"indx" in file.read(min(_HEAD, stop - start))
        at = end + length % 2
    return "" if indexed else "cut off: the container's index is missing"


def _chunks(file: IO[bytes], at: int, end: int) -> Iterator[tuple[bytes, int, int, bytes]]:
    """Chunks in ``[at, end)``: kind, where it begins and ends, and the form of a list."""
    while at + 8 <= end:
        kind, length, form = _chunk(file, at)
        if not (kind.isascii() and kind.decode("ascii").isprintable()):
            return  # no chunk: whatever stands here, an index does not
        yield kind, at, at + 8 + length, form
        at += 8 + length + length % 2


def _chunk(file: IO[bytes], at: int) -> tuple[bytes, int, bytes]:
    file.seek(at)
    head = file.read(12).ljust(12, b"\0")
    return head[:4], struct.unpack("<I", head[4:8])[0], head[8:]


def _movie(file: IO[bytes], size: int) -> str:
    """The boxes at the top, one after the other."""
    at, kinds = 0, set[bytes]()
    while at < size:
        file.seek(at)
        head = file.read(16).ljust(16, b"\0")
        length, kind = struct.unpack(">I", head[:4])[0], head[4:8]
        if length == 1:
            length = struct.unpack(">Q", head[8:])[0]
        elif length == 0:
            length = size - at
        if length < 8:
            return f"damaged: no box at {at:,}"
        if at + length > size:
            return f"cut off: {at + length:,} bytes announced, {size:,} there"
        kinds.add(kind)
        at += length
    return "" if b"moov" in kinds else "cut off: the container's index (moov) is missing"


_CHECKS: Final[tuple[tuple[Callable[[bytes], bool], Callable[[IO[bytes], int], str]], ...]] = (
    (lambda head: head[:4] == b"RIFF" and head[8:12] == b"AVI ", _avi),
    (lambda head: head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"), _movie),
)
