"""The frames of a video, decoded once, in the order in which they are shown.

The first pass decodes only what is asked for. Should the file turn out to be damaged there (a
packet that does not decode, a frame that does not appear), it is given up, and everything is
decoded with care, from the first packet on, as every player does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time
from typing import Any, TypeAlias

import av
import numpy as np

from tinyvirat_build.geometry.arrays import Bytes, Ints
from tinyvirat_build.geometry.planes import decoded_planes
from tinyvirat_build.store.means import raise_if_lacking
from tinyvirat_build.video.index import FULL_RANGE, VideoIndex, sample_range
from tinyvirat_build.video.numbering import REORDER, odd_steps
from tinyvirat_build.video.packets import PacketReader
from tinyvirat_build.video.spans import (
    Stretch,
    decoding_runs,
    shown_for,
)


@dataclass(slots=True)
class Profile:
    """Where the process's time went in a cut, in CPU seconds, and how much was decoded."""

    decode: float = 0.0
    crop: float = 0.0
    measure: float = 0.0
    encode: float = 0.0
    write: float = 0.0
    frames: int = 0
    passes: int = 0


# A needed frame's number, its planes or the reason for none, whether it is held, or damaged.
Shown: TypeAlias = tuple[int, list[Bytes] | str, bool, bool]


class DamagedError(Exception):
    """The quick pass met something that only decoding from the beginning can settle."""


@dataclass(slots=True)
class Decoding:
    """The decoding of one indexed video, once or, where it is damaged, once more."""

    path: Path
    index: VideoIndex
    profile: Profile = field(default_factory=Profile)
    opened: Callable[[], Any] | None = None  # gives the file, where it is not simply at ``path``
    doubtful: float = math.inf  # the first frame whose number the decoder contradicts

    def shown(self, frames: Ints, *, careful: bool) -> Iterator[Shown]:
        """What each of ``frames`` shows: the frame itself or, where it was lost, the one before.

        Raises:
            DamagedError: without ``careful``, where only care can settle what is shown.
        """
        index = self.index
        self.profile.passes += 1
        shows = index.present[shown_for(index, frames)]
        waiting = 0
        planes: list[Bytes] | str = "frames_missing"
        before = -1
        whole_again = 0  # the first frame after damage that refers to nothing damaged
        keys = np.sort(index.frame[index.sync])
        with PacketReader(self.path, index, self.opened) as packets:
            for number, frame in self._decode(packets, self._runs(frames, careful), careful):
                if number <= before:
                    if careful or not _among(shows, number):
                        continue
                    raise DamagedError
                while waiting < len(frames) and frames[waiting] < number:
                    if not careful and shows[waiting] != before:
                        raise DamagedError
                    yield int(frames[waiting]), planes, True, False
                    waiting += 1
                since = before if careful or not len(index.lost) else _key_before(keys, number)
                gap = index.frames_lost(since, number)
                torn = index.broken and _among(index.lost, number + 1)  # the break may begin in it
                if frame.is_corrupt or gap or torn or (careful and number > before + 1):
                    after = int(
                        np.searchsorted(
                            keys, number, "right" if frame.is_corrupt or torn else "left"
                        )
                    )
                    whole_again = int(keys[after]) if after < len(keys) else index.n_frames
                before, planes = number, self._planes(frame)
                if waiting < len(frames) and frames[waiting] == number:
                    yield number, planes, False, number < whole_again
                    waiting += 1
                if waiting == len(frames):
                    return
        while waiting < len(frames):
            if not careful and shows[waiting] != before:
                raise DamagedError
            yield int(frames[waiting]), planes, True, False
            waiting += 1

    def _runs(self, frames: Ints, careful: bool) -> list[Stretch]:
        """The packets to decode for ``frames``; with care, all from the first one on."""
        runs = decoding_runs(self.index, frames)
        if not careful:
            return runs
        last = max(r.last for r in runs)
        return [Stretch(0, last, np.zeros(last + 1, bool))]

    def _planes(self, frame: Any) -> list[Bytes] | str:
        """The frame's planes, or the reason for which the video's clips cannot hold it."""
        index = self.index
        if (frame.width, frame.height) != (index.width, index.height):
            return "size_change"
        if frame.format.name.replace("yuvj", "yuv") != index.pix_fmt.replace("yuvj", "yuv"):
            return "format_change"
        if (sample_range(frame) == FULL_RANGE) != (index.colour.range == FULL_RANGE):
            return "range_change"
        return decoded_planes(frame)

    def _decode(
        self, packets: PacketReader, runs: Sequence[Stretch], careful: bool
    ) -> Iterator[tuple[int, Any]]:
        """Decoded frames with their numbers, as the decoder puts them out."""
        index, profile = self.index, self.profile
        steps = _after_odd_steps(index)
        for run in runs:
            numbers = index.frame[run.first : run.last + 1]
            whole = index.uncertain.size == 0 and _contiguous(numbers)
            following = _Following(numbers[~run.skip]) if index.container != "avi" else None
            for place, packet in _with_end(packets.read(run.first, run.last)):
                if packet is not None and run.skip[place - run.first]:
                    continue
                began = process_time()
                frames = self._decode_packet(packets.codec, place, packet, careful)
                profile.decode += process_time() - began
                for frame in frames:
                    profile.frames += 1
                    if frame.pts is None:
                        continue
                    if frame.is_corrupt and whole and not careful:
                        raise DamagedError
                    number = int(index.frame[frame.pts])
                    if following is not None:
                        self._doubt(following.missed(number), careful)
                    if frame.is_corrupt:
                        near = np.abs(steps - number) <= REORDER
                        self.doubtful = min([self.doubtful, *steps[near].tolist()])
                    if number >= 0:
                        yield number, frame
            if following is not None:
                self._doubt(following.missed(None), careful)
            packets.codec.flush_buffers()

    def _doubt(self, missed: int | None, careful: bool) -> None:
        """Note that a player counts on without a frame, or begin again to see which."""
        if missed is None:
            return
        raise_if_lacking()
        if not careful:
            raise DamagedError
        self.doubtful = min(self.doubtful, missed)

    def _decode_packet(self, codec: Any, place: int, packet: Any, careful: bool) -> list[Any]:
        if packet is not None:
            packet.pts = packet.dts = place  # comes back as the decoded frame's pts
        try:
            frames = list(codec.decode(packet))
        except av.error.FFmpegError as e:
            if not isinstance(e, av.error.BlockingIOError):  # else VP9 that lost its references
                raise_if_lacking(e)
            if careful:
                return []
            raise DamagedError from e
        if any(f.is_corrupt for f in frames):
            raise_if_lacking()
        return frames


class _Following:
    """Whether a run's frames come as numbered: each once, in ascending order, none left out."""

    def __init__(self, numbers: Ints) -> None:
        # Pictures shown before the run's own first may refer to what was not decoded.
        self._first = max(0, int(numbers[0]))
        self._expected = np.sort(numbers[numbers >= self._first]).tolist()
        self._at = 0

    def missed(self, number: int | None) -> int | None:
        """The first frame that is out of order once ``number`` has come; None for the end."""
        if number is not None and number < self._first:
            return None
        if self._at == len(self._expected):
            return number
        expected: int = self._expected[self._at]
        if number == expected:
            self._at += 1
            return None
        return expected if number is None else min(expected, number)


def _after_odd_steps(index: VideoIndex) -> Ints:
    """Frames before which time steps as it does not else: beside damage one may be lost there."""
    if not index.timed:
        return np.empty(0, np.int64)
    steps = np.diff(index.pts[index.packet_of_present])
    return index.present[1:][odd_steps(steps, steps > 0)]


def _key_before(keys: Ints, number: int) -> int:
    """The last picture no later than ``number`` that needs no other; 0 without one."""
    at = int(np.searchsorted(keys, number, "right"))
    return max(0, int(keys[at - 1])) if at else 0


def _among(numbers: Ints, number: int) -> bool:
    at = int(np.searchsorted(numbers, number))
    return at < len(numbers) and int(numbers[at]) == number


def _contiguous(numbers: Ints) -> bool:
    shown = numbers[numbers >= 0]
    return bool(len(shown) == 0 or shown.max() - shown.min() + 1 == len(shown))


def _with_end(packets: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    yield from packets
    yield -1, None
