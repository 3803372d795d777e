"""A remote video: indexed by what its container says, cut by the bytes of the needed packets.

What is here of the file (:mod:`~tinyvirat_build.remote.partial`) is read by the same code as any
local file. Where what is here does not tell, the whole file is fetched, and that is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import pandas as pd

from tinyvirat_build.errors import VideoError
from tinyvirat_build.geometry.arrays import Ints
from tinyvirat_build.remote.arriving import Arriving
from tinyvirat_build.remote.avi import fill_avi
from tinyvirat_build.remote.movie import fill_movie
from tinyvirat_build.remote.objects import RemoteFile
from tinyvirat_build.remote.partial import Partial
from tinyvirat_build.remote.ranges import RemoteError, Span, joined
from tinyvirat_build.settings import Encode
from tinyvirat_build.store.means import raise_if_lacking
from tinyvirat_build.video.agreed import cut_agreed
from tinyvirat_build.video.demuxed import picture_reader
from tinyvirat_build.video.glimpse import Afar, Glimpse, UnsureError, reorders
from tinyvirat_build.video.index import VideoIndex, index_video
from tinyvirat_build.video.opening import open_source, video_stream
from tinyvirat_build.video.spans import decoding_runs, needed_frames

_MIB: Final = 1 << 20  # of either end, which a fingerprint holds
_START: Final = 80  # packets that are decoded, or may be, to see what the video shows first
_ROUNDS: Final = 4  # of looking what a packet refers to
_BLOCK: Final = 512  # bytes, of which a file's use of a disk is told
MOST_CACHED: Final = 20 << 30  # bytes of all remote videos' parts between index and cut
_OTHER_FRAMES: Final = "packets show other frames than its index says"
_CERTAIN: Final = ("pixel_format", "rotated", "interlaced")  # of the first picture, or the header


@dataclass(slots=True)
class RemoteVideo:
    """A remote file's index, and what of the file is here; ``why_whole`` if all of it is."""

    parts: Partial
    why_whole: str = ""

    @classmethod
    def at(cls, folder: Path, file: RemoteFile) -> RemoteVideo:
        """A remote video whose parts lie in a folder of their own."""
        return cls(Partial.at(folder, file))

    def index(self) -> VideoIndex:
        """The video's index, as that of a local file as far as packets are here.

        Raises:
            VideoError: as :func:`index_video`, or the file cannot be read or was changed.
        """
        try:
            self._fill()
            found = self._look()
        except UnsureError as e:
            return self._whole(str(e))
        except VideoError as e:
            if e.reason in _CERTAIN or isinstance(e, RemoteError):
                raise
            return self._whole(e.reason)
        self.parts.save()
        return found

    def cut(
        self, index: VideoIndex, clips: pd.DataFrame, out: Path, encode: Encode, **how: Any
    ) -> pd.DataFrame:
        """Cut as :func:`cut_agreed` does, by the bytes of the needed packets.

        Raises:
            VideoError: as :func:`cut_agreed`, or the file cannot be read or was changed.
        """
        try:
            if how.get("prove"):  # which decodes the file from its start
                return cut_agreed(self.parts.path, self.whole(), clips, out, encode, **how)
            self._fill()
            if self.parts.lacking(needed_spans(index, clips)) and _tells_order(self.parts.path):
                cuts, index = self._cut_arriving(index, clips, out, encode, how)
                if cuts is not None:
                    return cuts
                _clear(out)
            index = self._needed(index, clips)
            how["afar"] = Afar(_beyond)
            return cut_agreed(self.parts.path, index, clips, out, encode, **how)
        except UnsureError as e:
            index = self._whole(str(e))
            _clear(out)
            how["afar"] = None
            return cut_agreed(self.parts.path, index, clips, out, encode, **how)

    def _cut_arriving(
        self, index: VideoIndex, clips: pd.DataFrame, out: Path, encode: Encode, how: dict[str, Any]
    ) -> tuple[pd.DataFrame | None, VideoIndex]:
        """Cut while the packets arrive, and see by all of them whether the index was right.

        None where it was not; and the index as the packets have it.
        """
        cuts, damage = None, None
        with Arriving(self.parts, needed_spans(index, clips)) as arriving:
            afar = Afar(_beyond, arriving.open)
            try:
                cuts = cut_agreed(self.parts.path, index, clips, out, encode, afar=afar, **how)
            except UnsureError as e:
                damage = e
            finally:
                if arriving.failure is not None:
                    raise arriving.failure
            arriving.rest()
        found = self._look()
        if found.n_frames != index.n_frames:
            raise UnsureError(_OTHER_FRAMES)
        if not _alike(found, index):
            return None, found
        if damage is not None:
            raise damage
        return cuts, found

    @property
    def name(self) -> str:
        """The file's name without folders."""
        return self.parts.ranges.file.name

    def keep_within(self, cache: Path) -> None:
        """Leave what is here for the cut, unless the parts of all videos fill the cache."""
        used = 0
        for file in cache.rglob("*"):
            with suppress(OSError):  # of another process, which deletes its own meanwhile
                used += file.stat().st_blocks * _BLOCK
        if used > MOST_CACHED:
            self.remove()

    def remove(self) -> None:
        """Delete what is here of the file."""
        self.parts.remove()

    def whole(self) -> VideoIndex:
        """Fetch the whole file, and index it as any local one."""
        self.parts.whole()
        return index_video(self.parts.path)

    def _whole(self, why: str) -> VideoIndex:
        self.why_whole = why
        return self.whole()

    def _fill(self) -> None:
        """Fetch what the container's index is, and the packets of the start."""
        parts = self.parts
        if parts.here(0, parts.size):
            return
        if parts.size <= 4 * _MIB:  # most of which is index, or asked for with it
            parts.whole()
            return
        parts.need((0, _MIB), (parts.size - _MIB, parts.size))
        if parts.read(0, 4) == b"RIFF":
            fill_avi(parts)
        elif parts.read(4, 4) == b"ftyp":
            fill_movie(parts)
        else:
            raise UnsureError("its kind has no index of all packets")
        parts.need(*_packets_of_start(parts.path))

    def _look(self) -> VideoIndex:
        if self.parts.here(0, self.parts.size):
            return index_video(self.parts.path)
        index = index_video(self.parts.path, Glimpse(self.parts.here))
        if index.broken or len(index.uncertain):
            raise UnsureError("numbers of frames are not certain")
        return index

    def _needed(self, index: VideoIndex, clips: pd.DataFrame) -> VideoIndex:
        """The index once every packet that the clips need is here and read.

        Raises:
            UnsureError: the packets do not settle which they need.
        """
        before = index
        for _ in range(_ROUNDS):
            spans = needed_spans(index, clips)
            if not self.parts.lacking(spans):
                if index.n_frames != before.n_frames:
                    raise UnsureError(_OTHER_FRAMES)
                return index
            self.parts.need(*spans)
            index = self._look()
        raise UnsureError("packets refer to ever more packets")


def _beyond() -> None:
    raise UnsureError("damage: what a player shows of it takes a decoding from the start")


def _clear(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


def _alike(one: VideoIndex, other: VideoIndex) -> bool:
    """Whether frames are decoded alike by two indexes; which packets may be left out aside."""
    return one.to_bytes() == replace(other, disposable=one.disposable).to_bytes()


def needed_spans(index: VideoIndex, clips: pd.DataFrame) -> list[Span]:
    """The bytes of the packets from which clips (rows of ``clips_planned``) are decoded.

    Of an AVI, whose order only whole groups tell, up to each group's end.
    """
    starts, ends = clips["start"].to_numpy(np.int64), clips["end"].to_numpy(np.int64)
    frames = needed_frames(index.n_frames, starts, ends)
    keys = np.append(np.flatnonzero(index.sync), index.n_packets)
    spans: list[Span] = []
    for run in decoding_runs(index, frames):
        last = run.last
        if index.container == "avi":
            last = int(keys[np.searchsorted(keys, last, "right")]) - 1
        spans += _joined_packets(index.pos[run.first : last + 1], index.size[run.first : last + 1])
    return joined(spans)


def _joined_packets(pos: Ints, size: Ints) -> list[Span]:
    return joined(list(zip(pos.tolist(), (pos + size).tolist(), strict=True)))


def bytes_to_read(index: VideoIndex, clips: pd.DataFrame) -> int:
    """About how many bytes cutting these clips reads of a remote file; its index not counted."""
    return sum(b - a for a, b in needed_spans(index, clips))


def _packets_of_start(path: Path) -> Sequence[Span]:
    """Where the first packets of a file's video lie, up to the last of them."""
    try:
        with open_source(path) as container:
            stream = video_stream(container)
            if stream is None:
                raise UnsureError("its index names no video")
            found = [
                (p.pos, p.pos + p.size) for p in _first(container, stream) if p.pos is not None
            ]
    except (OSError, av.error.FFmpegError) as e:
        raise_if_lacking(e)
        raise UnsureError("its index does not open") from e
    if not found:
        raise UnsureError("its index names no packet")
    return joined(found)


def _tells_order(path: Path) -> bool:
    """Whether a file's index orders its pictures, as far as its start shows.

    That of an AVI says nothing of it, so that reordered pictures have to be read for it.
    """
    with open_source(path) as container:
        stream = video_stream(container)
        reader = picture_reader(stream.codec_context)
        if container.format.name != "avi" or reader is None:
            return True
        read = [(reader(bytes(p)), p.is_keyframe) for p in _first(container, stream)]
    pictures, keys = zip(*read, strict=True)
    return not reorders(list(pictures), np.array(keys))


def _first(container: Any, stream: Any) -> Iterator[Any]:
    count = 0
    for packet in container.demux(stream):
        if packet.size:
            yield packet
            count += 1
        if count == _START:
            return
