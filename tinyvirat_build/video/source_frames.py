"""A source's frames from the ffmpeg program, counted as a player counts them.

This is the decoder that the cutter is checked against: another build of FFmpeg, another process,
from the first packet on, nothing left out. Of what it shows the k-th picture is frame k, whatever
the index says. An AVI alone is counted by its own clock: its packets are passed on with their
slots as times. The program is driven through ffmpeg-python, here alone.
"""

from __future__ import annotations

import errno
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import ffmpeg
import numpy as np

from tinyvirat_build.errors import OutOfMemoryError
from tinyvirat_build.geometry.arrays import Bytes, Ints
from tinyvirat_build.store.means import has_room, lacking_by_words, raise_if_lacking
from tinyvirat_build.video.avi import read_slots
from tinyvirat_build.video.index import VideoIndex
from tinyvirat_build.video.opening import DEMUXERS, open_source, video_stream
from tinyvirat_build.video.program import program

_CLOSE: Final = 64  # frames apart that are asked for in one span
_MOST_SPANS: Final = 200
_CLOCK: Final = Fraction(1, 2000)  # two ticks a frame: odd ones are of packets without a number


def decoded_frames(
    path: Path, index: VideoIndex, frames: Ints, *, threads: int = 1
) -> Iterator[tuple[int, list[Bytes]]]:
    """Decode a video once; yield ``(number, planes)`` in the order shown.

    At least those of ``frames`` (ascending numbers) that are shown are yielded; nothing after the
    last of them. The planes are Y, U, V as ``(H, W)`` and ``(ceil(H/2), ceil(W/2))``, with all
    rows ``(H, ceil(W/2))`` for 4:2:2, or Y alone for gray; none where the picture's size is not
    the video's.

    Raises:
        MeansError: memory, file handles or threads ran out, or the program was killed.
    """
    if not len(frames):
        return
    slots = index.container == "avi"
    delay = _delay(index) if slots else 0
    stream = ffmpeg.input(
        "pipe:0" if slots else str(path.absolute()),
        **{"flags:v": "bitexact", "threads": threads},
        # A change of size or range must not begin the count anew.
        **(
            {"f": "nut", "copyts": None}
            if slots
            else {"reinit_filter": 0, "format_whitelist": DEMUXERS}
        ),
    )["v:0" if slots else str(index.stream)]
    stream = stream.filter("settb", str(_CLOCK))
    if not slots:
        stream = stream.filter("setpts", "2*N")
    spans = _spans(frames)
    if len(spans) <= _MOST_SPANS:
        wanted = "+".join(f"between(pts,{2 * (a + delay)},{2 * (b + delay)})" for a, b in spans)
        stream = stream.filter("select", wanted)
    command = ffmpeg.output(
        stream,
        "pipe:1",
        format="nut",
        vcodec="rawvideo",
        fps_mode="passthrough",
        enc_time_base=str(_CLOCK),
        avoid_negative_ts="disabled",
        loglevel="error",
    ).compile(cmd=program())
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if slots else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=told,
        )
        feeder = None
        try:
            if slots:
                feeder = threading.Thread(
                    target=_feed, args=(path, index, process.stdin), daemon=True
                )
                feeder.start()
            assert process.stdout is not None
            yield from _read(process.stdout, index, delay, int(frames[-1]))
            _refuse_killed(process, path)
        finally:
            process.kill()
            if process.stdout is not None:
                process.stdout.close()
            process.wait()
            if feeder is not None and feeder.ident is not None:
                feeder.join()
        told.seek(0)
        found = lacking_by_words(told.read().decode(errors="replace"))
        # A damaged file may have the program ask for more memory than any file needs.
        if found is not None and not (isinstance(found, OutOfMemoryError) and has_room()):
            raise found


def _refuse_killed(process: subprocess.Popen[bytes], path: Path) -> None:
    """Tell a program that the system killed from one that had nothing to show."""
    if process.stdout is not None:
        process.stdout.close()  # it ends, whatever it was doing
    if process.wait() == -signal.SIGKILL:
        raise_if_lacking(OSError(errno.ENOMEM, "the ffmpeg program was killed", str(path)))


def reorders(index: VideoIndex) -> bool:
    """Whether pictures are shown in another order than they are decoded in."""
    shown = index.frame[index.frame >= 0]
    return bool(np.any(np.diff(shown) < 0))


def _delay(index: VideoIndex) -> int:
    late = (np.arange(index.n_packets) - index.frame)[index.frame >= 0]
    return max(0, int(late.max(initial=0)))


def _spans(frames: Ints) -> list[tuple[int, int]]:
    breaks = np.flatnonzero(np.diff(frames) > _CLOSE)
    firsts, lasts = frames[np.r_[0, breaks + 1]], frames[np.r_[breaks, len(frames) - 1]]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def _read(pipe: Any, index: VideoIndex, delay: int, last: int) -> Iterator[tuple[int, list[Bytes]]]:
    try:
        container: Any = av.open(pipe, format="nut", metadata_errors="replace")
    except (OSError, av.error.FFmpegError) as e:
        raise_if_lacking(e)
        return  # the program put nothing out; the caller misses its frames
    with container:
        stream = container.streams.video[0]
        for packet in container.demux(stream):
            if not packet.size or packet.pts is None:
                continue
            ticks = round(Fraction(packet.pts) * packet.time_base / _CLOCK)
            number = ticks // 2 - delay
            if ticks % 2 == 0 and number >= 0:
                yield number, _planes(bytes(packet), index)
            if number >= last:
                return


def _planes(data: bytes, index: VideoIndex) -> list[Bytes]:
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
    """Pass an AVI's packets on with slots of its clock as presentation times.

    The slots are counted in the file once more. Where pictures are reordered it is the index that
    says which slot of a group is whose; that the decoder shows them in that order is the proof.
    """
    delay = _delay(index)
    slots = index.frame
    try:
        # An index, which nobody reads, would end the process where keyframes go back in time.
        bare = {"write_index": "0"}
        with open_source(path) as source, av.open(pipe, "w", format="nut", options=bare) as out:
            stream = video_stream(source)
            if not reorders(index) and np.all(index.frame >= 0):
                slots = read_slots(path, stream.index, index.pos).slot
            copy = out.add_stream_from_template(stream)
            copy.time_base = _CLOCK
            place = time = 0
            for packet in source.demux(stream):
                if not packet.size:
                    continue
                number = int(slots[place])
                time = 2 * (number + delay) if number >= 0 else max(time, place) | 1
                packet.pts, packet.dts = time, place
                packet.time_base, packet.stream = _CLOCK, copy
                out.mux(packet)
                place += 1
        pipe.close()
    except (OSError, ValueError, IndexError, av.error.FFmpegError):
        return  # the reader had enough and closed the pipe
