"""A source's frames from the ffmpeg program, each with its number found by its timestamp.

This is the decoder that the cutter is checked against: another build of FFmpeg, another process,
no seeking, nothing left out. The program is driven through ffmpeg-python, here alone.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Final

import av
import ffmpeg
import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

from tinyvirat_build.errors import DataError
from tinyvirat_build.video.index import VideoIndex
from tinyvirat_build.video.numbering import Ints
from tinyvirat_build.video.opening import DEMUXERS, open_source, video_stream

Planes = list[npt.NDArray[np.uint8]]
_CLOSE: Final = 64  # frames apart that are asked for in one span
_MOST_SPANS: Final = 200
_OWN_BASE: Final = Fraction(1, 1000)


@cache
def program() -> str:
    """The path of the ffmpeg program: that of imageio-ffmpeg, else the system's.

    Raises:
        DataError: there is none.
    """
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        found = shutil.which("ffmpeg")
    if found is None:
        raise DataError("no ffmpeg program; pip install imageio-ffmpeg, or install ffmpeg")
    return found


@cache
def _source_time_base() -> str:
    """How this version is asked to keep the source's own time base."""
    text = subprocess.run([program(), "-version"], capture_output=True, text=True).stdout
    major = re.search(r"version n?(\d+)", text)
    return "-1" if major is not None and int(major[1]) < 7 else "demux"


def decoded_frames(path: Path, index: VideoIndex, frames: Ints) -> Iterator[tuple[int, Planes]]:
    """Decode a video once with one thread; yield ``(number, planes)``, numbers ascending.

    At least those of ``frames`` (ascending numbers) that decode are yielded; nothing after the
    last of them. The planes are Y, U, V as ``(H, W)`` and ``(ceil(H/2), ceil(W/2))``, with all
    rows ``(H, ceil(W/2))`` for 4:2:2, or Y alone for gray. The number is found by the frame's
    timestamp, never by counting.
    """
    if not len(frames):
        return
    numbers = _Numbers(index)
    # Where the program would have to guess the times, its packets are passed on with some.
    own_times = not index.timed
    stream = ffmpeg.input(
        "pipe:0" if own_times else str(path.absolute()),
        **{"flags:v": "bitexact", "threads": 1, "copyts": None},
        **({"f": "nut"} if own_times else {"format_whitelist": DEMUXERS}),
    )["v:0" if own_times else str(index.stream)]
    spans = _spans(frames)
    if len(spans) <= _MOST_SPANS:
        wanted = "+".join(numbers.between(a, b, own_times) for a, b in spans)
        stream = stream.filter("select", wanted)
    if numbers.shift:
        stream = stream.filter("setpts", f"PTS+{numbers.shift}")
    command = ffmpeg.output(
        stream,
        "pipe:1",
        format="nut",
        vcodec="rawvideo",
        fps_mode="passthrough",
        enc_time_base=_source_time_base(),
        avoid_negative_ts="disabled",
        loglevel="quiet",
    ).compile(cmd=program())
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE if own_times else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    feeder = None
    if own_times:
        feeder = threading.Thread(target=_feed, args=(path, index, process.stdin), daemon=True)
        feeder.start()
    try:
        assert process.stdout is not None
        yield from _read(process.stdout, index, numbers, int(frames[-1]), own_times)
    finally:
        process.kill()
        if process.stdout is not None:
            process.stdout.close()
        process.wait()
        if feeder is not None:
            feeder.join()


class _Numbers:
    """Between frame numbers and times in the source's time base."""

    def __init__(self, index: VideoIndex) -> None:
        self._index = index
        self.delay = _delay(index)
        # What the program writes (NUT) knows no time before 0: a clock that wraps has such.
        self.shift = max(0, -int(index.pts[index.frame >= 0].min())) if index.timed else 0
        if index.timed:
            self._of_time = dict(
                zip(
                    index.pts[index.packet_of_present].tolist(), index.present.tolist(), strict=True
                )
            )

    def between(self, first: int, last: int, own_times: bool) -> str:
        """What selects frames ``[first, last]`` in a filter."""
        if own_times:  # in seconds, for the container chooses its own clock
            ends = [float((n + self.delay) * _OWN_BASE) for n in (first, last)]
            margin = float(_OWN_BASE) / 2
            return f"between(t,{ends[0] - margin:.6f},{ends[1] + margin:.6f})"
        return f"between(pts,{self._time(first)},{self._time(last)})"

    def _time(self, number: int) -> int:
        index = self._index
        if not index.timed:
            return number
        place = int(np.searchsorted(index.present, number, "right")) - 1
        return int(index.pts[index.packet_of_present[max(place, 0)]])

    def number(self, time: int, own_times: bool) -> int | None:
        if own_times:
            return time - self.delay
        if not self._index.timed:
            return time
        return self._of_time.get(time - self.shift)


def reorders(index: VideoIndex) -> bool:
    """Whether pictures are shown in another order than they are decoded in."""
    shown = index.frame[index.frame >= 0]
    return bool(np.any(np.diff(shown) < 0))


def _delay(index: VideoIndex) -> int:
    return max(0, int(np.max(np.arange(index.n_packets) - index.frame)))


def _spans(frames: Ints) -> list[tuple[int, int]]:
    breaks = np.flatnonzero(np.diff(frames) > _CLOSE)
    firsts, lasts = frames[np.r_[0, breaks + 1]], frames[np.r_[breaks, len(frames) - 1]]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def _read(
    pipe: Any, index: VideoIndex, numbers: _Numbers, last: int, own_times: bool
) -> Iterator[tuple[int, Planes]]:
    base = _OWN_BASE if own_times else index.time_base
    try:
        container: Any = av.open(pipe, format="nut", metadata_errors="replace")
    except (OSError, av.error.FFmpegError):
        return  # the program put nothing out; the caller misses its frames
    with container:
        stream = container.streams.video[0]
        for packet in container.demux(stream):
            if not packet.size or packet.pts is None:
                continue
            time = Fraction(packet.pts) * packet.time_base / base
            number = numbers.number(round(time), own_times)
            if number is None or (time.denominator != 1 and not own_times):
                continue
            planes = _planes(bytes(packet), index)
            if planes:
                yield number, planes
            if number >= last:
                return


def _planes(data: bytes, index: VideoIndex) -> Planes:
    """A raw picture's planes; none where its size is not the video's."""
    h, w = index.height, index.width
    shapes = [(h, w)]
    if index.pix_fmt != "gray":
        shapes += [(h if index.tall else (h + 1) // 2, (w + 1) // 2)] * 2
    if len(data) != sum(a * b for a, b in shapes):
        return []
    planes, at = [], 0
    for a, b in shapes:
        planes.append(np.frombuffer(data, np.uint8, a * b, at).reshape(a, b))
        at += a * b
    return planes


def _feed(path: Path, index: VideoIndex, pipe: Any) -> None:
    """Pass the video's packets on with frame numbers as presentation times.

    Decoded in the order shown, an AVI's pictures are named by the file's own slots; where
    pictures are reordered it is the index that says which slot is whose.
    """
    delay = _delay(index)
    slots = index.container == "avi" and not reorders(index)
    try:
        with open_source(path) as source, av.open(pipe, "w", format="nut") as out:
            stream = video_stream(source)
            copy = out.add_stream_from_template(stream)
            copy.time_base = _OWN_BASE
            place = 0
            for packet in source.demux(stream):
                if not packet.size:
                    continue
                number = int(packet.dts if slots else index.frame[place])
                packet.pts, packet.dts = number + delay, place
                packet.time_base, packet.stream = _OWN_BASE, copy
                out.mux(packet)
                place += 1
        pipe.close()
    except (OSError, ValueError, av.error.FFmpegError):
        return  # the reader had enough and closed the pipe
