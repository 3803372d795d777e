"""What of an MP4 or MOV file is no media: its boxes, at either end or between fragments.

After ISO 14496-12 §4.2 (boxes), §8.8 (fragments) and §8.16.3 (the index of segments).
"""

from __future__ import annotations

from typing import Final

from tinyvirat_build.remote.partial import Partial
from tinyvirat_build.remote.ranges import Span
from tinyvirat_build.video.glimpse import UnsureError

_AHEAD: Final = 16 << 10  # bytes that are read at a box: a fragment's index and the next header
_MOST_BOXES: Final = 20_000
_MOST_INDEX: Final = 0.5  # of the file; a larger index is no gain
_PAYLOAD: Final = (b"mdat", b"free", b"skip", b"wide")


def fill_movie(file: Partial) -> None:
    """Fetch every box of a file but its media.

    Raises:
        UnsureError: a box is none, or the index is as large as the media.
    """
    at, count, index = 0, 0, 0
    while at + 8 <= file.size:
        head = file.read(at, min(16, file.size - at))
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        elif size == 0:
            size = file.size - at
        count += 1
        if size < 8 or at + size > file.size or count > _MOST_BOXES:
            raise UnsureError("its boxes do not follow one another")
        if kind not in _PAYLOAD:
            index += size
            if index > _MOST_INDEX * file.size:
                raise UnsureError("its index is as large as its media")
            file.need((at, at + size))
        if kind == b"sidx":
            file.need(*_ahead(file, at, size))
        if count == 1 and kind != b"ftyp":
            raise UnsureError("it does not begin as a movie")
        following = at + size
        if following + 8 <= file.size and not file.here(following, following + 16):
            file.need((following, following + _AHEAD))
        at = following


def _ahead(file: Partial, at: int, size: int) -> list[Span]:
    """Where the fragments begin that an index of segments names, to be read at once."""
    box = file.read(at, size)
    long = box[8] == 1
    fields = 20 + (16 if long else 8)
    first = int.from_bytes(box[fields - (8 if long else 4) : fields], "big")
    place = at + size + first
    spans = []
    for k in range(int.from_bytes(box[fields + 2 : fields + 4], "big")):
        entry = box[fields + 4 + 12 * k : fields + 8 + 12 * k]
        spans.append((place, place + _AHEAD))
        place += int.from_bytes(entry, "big") & 0x7FFFFFFF
    return spans
