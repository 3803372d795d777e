"""A file that is here in parts: whose packets are read, and what its index says of the others.

The container's index tells where every packet lies, when it is shown, and which ones need no
other. It does not tell whether a packet shows anything, is whole, or belongs to a field; that is
read of the packets that are here. Where one of them is not as its index lets expect, or where an
answer needs packets that are not here, nobody should guess: :class:`UnsureError`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from tinyvirat_build.geometry.arrays import Bools, Ints
from tinyvirat_build.video.bitstream import B, I, P, Picture

Here = Callable[[int, int], bool]
"""Whether the bytes from one place of the file to another are here."""

CONTAINERS: Final = ("avi", "mov")  # whose index names every packet
CODECS: Final = ("h264", "hevc", "mjpeg")  # of which every packet shows a picture
_CHUNK_HEADER: Final = 8  # an AVI's index names the chunk, a packet its content


class UnsureError(Exception):
    """Only the whole file can tell; the text says why."""


@dataclass(frozen=True, slots=True)
class Afar:
    """How a file is cut that is here in parts."""

    beyond: Callable[[], None]  # called before more is read than the packets that are needed
    opened: Callable[[], Any] | None = None  # gives the file that waits for these; all are here


@dataclass(slots=True)
class Glimpse:
    """What indexing reads of a file that is here in parts."""

    here: Here
    seen: Bools | None = None  # which packets are here, once they are counted

    def look_at(self, place: int) -> None:
        """Refuse to decode a packet that is not here.

        Raises:
            UnsureError: it is not.
        """
        if self.seen is None or place >= len(self.seen) or not self.seen[place]:
            raise UnsureError(f"packet {place} has to be decoded to number the frames")

    def keys(self, container: str, stream: Any, pos: Ints, parsed: Bools) -> Bools:
        """Which packets need no other: as parsed where they are here, else as the index has it.

        Raises:
            UnsureError: the index differs from a packet that is here, or the kind of file is none
                whose index tells.
        """
        if container not in CONTAINERS or stream.codec_context.name not in CODECS:
            raise UnsureError(
                f"the index of {stream.codec_context.name} in {container} is no proof"
            )
        at = _CHUNK_HEADER if container == "avi" else 0
        named = [e.pos + at for e in stream.index_entries if e.is_keyframe]
        listed = np.isin(pos, np.array(named, np.int64))
        assert self.seen is not None
        if np.any(listed[self.seen] != parsed[self.seen]):
            raise UnsureError("the file's index marks other keyframes than its packets")
        return listed

    def pictures(self, container: str, read: list[Picture | None], key: Bools) -> list[Picture]:
        """The pictures of all packets, those that are not here as any of their kind.

        In an AVI, whose index knows no order, what belongs to a group that is not here as a whole
        counts as shown in file order.

        Raises:
            UnsureError: a picture is torn, shows nothing or follows a gap, or packets are
                reordered in a way that needs more of them.
        """
        if not read:  # of a codec whose packets say nothing
            return []
        for picture in read:
            if picture is not None and _is_odd(picture, slots=container == "avi"):
                raise UnsureError("a packet does not hold exactly one whole picture")
        guessed = [
            Picture(I if k else P, reset=bool(k)) if p is None else p
            for p, k in zip(read, key.tolist(), strict=True)
        ]
        if container != "avi" or not reorders(read, key):
            return guessed
        if any(p is not None and k and not p.reset for p, k in zip(read, key, strict=True)):
            raise UnsureError("pictures are reordered across keyframes")
        group = np.cumsum(key)
        partly = np.unique(group[[p is None for p in read]])
        return [
            replace(p, kind=P if p.kind == B else p.kind, order=None) if g in partly else p
            for p, g in zip(guessed, group.tolist(), strict=True)
        ]


def _is_odd(picture: Picture, *, slots: bool) -> bool:
    """Whether a picture is not one, whole and shown; counted by slots, gaps change nothing."""
    whole = picture.shown and not picture.torn and picture.pictures == 1
    return not whole or picture.field or (picture.gap and not slots)


def reorders(read: list[Picture | None], key: Bools) -> bool:
    """Whether any picture that is here is shown before one that it follows in the file."""
    last: int | None = None
    for picture, is_key in zip(read, key.tolist(), strict=True):
        if picture is None or is_key:
            last = None
        if picture is None:
            continue
        if picture.kind == B:
            return True
        if picture.order is not None:
            if last is not None and picture.order < last:
                return True
            last = picture.order
    return False
