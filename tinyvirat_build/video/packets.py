"""Reads a video's packets again, each known by its place in the index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.codec.context import Flags
from av.stream import Discard

from tinyvirat_build.errors import VideoError
from tinyvirat_build.store.means import raise_if_lacking
from tinyvirat_build.video.index import VideoIndex
from tinyvirat_build.video.numbers import NO_TIME
from tinyvirat_build.video.opening import open_source, unreadable, video_stream

_READ_ON = 64  # packets that are cheaper to read past than to seek over


class PacketReader:
    """Packets of an indexed video, from any place on; a context manager.

    A packet is recognised by its position in the file, or by its timestamp where the container
    has no positions; a seek that lands too late is repaired by reading from the beginning.
    """

    def __init__(
        self, path: Path, index: VideoIndex, opened: Callable[[], Any] | None = None
    ) -> None:
        self._path, self._index, self._opened = path, index, opened
        self._place = _places(index)
        self._named = frozenset(self._place.values())
        self._open()

    def _open(self) -> None:
        try:
            self._container = open_source(self._path, self._opened and self._opened())
        except (OSError, av.error.FFmpegError) as e:
            raise_if_lacking(e)
            raise unreadable(self._path, e) from e
        self._stream = video_stream(self._container)
        if self._stream is None or self._stream.index != self._index.stream:
            raise VideoError(
                "source_changed", f"{self._path}: other streams than were indexed; build again"
            )
        for other in self._container.streams:
            if other.index != self._stream.index:
                other.discard = Discard.all
        self.codec: Any = self._stream.codec_context
        # MPEG-4 and its kin are exact between decoders only with this flag; others ignore it.
        self.codec.flags |= Flags.bitexact
        self._packets = self._demux()
        self._next = 0

    def __enter__(self) -> PacketReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._container.close()

    def _demux(self) -> Iterator[Any]:
        try:
            yield from (p for p in self._container.demux(self._stream) if p.size)
        except av.error.FFmpegError as e:
            raise_if_lacking(e)
            return  # a torn file; the index ends here too, or the file was changed

    def read(self, first: int, last: int) -> Iterator[tuple[int, Any]]:
        """Packets ``first`` to ``last``, both included, with their places.

        Raises:
            VideoError: ``source_changed`` where the file is not the one that was indexed.
        """
        ahead = first - self._next
        if ahead < 0 or (ahead > _READ_ON and self._place):
            self._seek(first)
        for place, packet in self._following():
            if place >= first:
                yield place, packet
            if place >= last:
                return
        raise VideoError(
            "source_changed", f"{self._path} ends before packet {last} of its index; build again"
        )

    def _following(self) -> Iterator[tuple[int, Any]]:
        for packet in self._packets:
            place = self._next
            if self._place and not self._is_at(packet, place):
                raise VideoError(
                    "source_changed",
                    f"{self._path}: packet {place} is not the one that was indexed; build again",
                )
            self._next = place + 1
            yield place, packet

    def _is_at(self, packet: Any, place: int) -> bool:
        """Whether a packet may be the one that was indexed at a place."""
        index = self._index
        if place >= index.n_packets or packet.size != index.size[place]:
            return False
        found = self._place.get(_name(index, packet))
        return found == place or (found is None and place not in self._named)

    def _seek(self, first: int) -> None:
        index = self._index
        time = next((int(t[first]) for t in (index.dts, index.pts) if t[first] != NO_TIME), None)
        if self._place and time is not None and first:
            try:
                self._container.seek(time, stream=self._stream, backward=True)
                self._packets = self._demux()
                packet = next(self._packets, None)
            except av.error.FFmpegError as e:
                raise_if_lacking(e)
                packet = None
            place = self._place.get(_name(index, packet)) if packet is not None else None
            if packet is not None and place is not None and place <= first:
                self._packets = _prepend(packet, self._packets)
                self._next = place
                return
        self._container.close()
        self._open()


def _prepend(packet: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield packet
    yield from rest


def _places(index: VideoIndex) -> dict[int, int]:
    """From what names a packet to its place, for the packets that have a name of their own."""
    names = index.pos if _positioned(index) else index.dts
    known, first, count = np.unique(names, return_index=True, return_counts=True)
    own = (count == 1) & (known >= 0 if _positioned(index) else known != NO_TIME)
    return dict(zip(known[own].tolist(), first[own].tolist(), strict=True))


def _positioned(index: VideoIndex) -> bool:
    return bool(index.pos[0] >= 0)


def _name(index: VideoIndex, packet: Any) -> int:
    value = packet.pos if _positioned(index) else packet.dts
    return NO_TIME if value is None else int(value)
