"""What a plain decode shows of packets, where packets alone do not tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import av
import numpy as np
from av.codec.context import Flags

from tinyvirat_build.geometry.arrays import Ints
from tinyvirat_build.store.means import raise_if_lacking

_BEYOND: Final = 48  # packets after which no picture is shown before an earlier one

Open = Callable[[], tuple[Any, Any]]
"""Opens the source: the container, and the stream of its video."""


@dataclass(slots=True)
class Observer:
    """Decodes parts of a video as a player does; keeps the first picture that it sees."""

    open: Open
    look_at: Callable[[int], None] | None = None  # is told of each packet before it is decoded
    first: Any = None

    def look(self, windows: Sequence[tuple[int, int]]) -> list[Ints]:
        """For each ``(first, last)``, in file order, the packets shown, in the order shown.

        Decoding begins afresh at packet ``first`` and goes on beyond ``last`` until no later
        packet can be shown before it.
        """
        seen: list[Ints] = []
        container = None
        place = 0
        packets: Iterator[Any] = iter(())
        try:
            for first, last in windows:
                if container is None or place > first:
                    if container is not None:
                        container.close()
                    container, stream = self.open()
                    packets, place = _packets(container, stream), 0
                shown, place = self._decode(stream.codec_context, packets, place, first, last)
                seen.append(shown)
        finally:
            if container is not None:
                container.close()
        return seen

    def _decode(
        self, codec: Any, packets: Iterator[Any], place: int, first: int, last: int
    ) -> tuple[Ints, int]:
        """The packets shown from ``first`` on, and the place of the next packet to be read."""
        shown: list[int] = []
        end = None
        for packet in packets:
            at, place = place, place + 1
            if at < first:
                continue
            if self.look_at is not None:
                self.look_at(at)
            packet.pts = packet.dts = at  # comes back as the picture's
            shown += self._pictures(codec, packet)
            if end is None and shown:
                end = max(last, at) + _BEYOND
            if end is not None and at >= end:
                break
        shown += self._pictures(codec, None)
        codec.flush_buffers()
        return np.array(shown, np.int64), place

    def _pictures(self, codec: Any, packet: Any) -> list[int]:
        try:
            frames = codec.decode(packet)
        except av.error.FFmpegError as e:
            if not isinstance(e, av.error.BlockingIOError):  # else VP9 that lost its references
                raise_if_lacking(e)
            return []  # a damaged packet; a later one may decode
        if frames and self.first is None:
            self.first = frames[0]
        return [int(f.pts) for f in frames if f.pts is not None]


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """The packets that hold something, as far as the file can be read."""
    stream.codec_context.thread_count = 1
    stream.codec_context.flags |= Flags.bitexact
    try:
        yield from (p for p in container.demux(stream) if p.size)
    except av.error.FFmpegError as e:
        raise_if_lacking(e)
