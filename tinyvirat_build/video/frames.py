"""Single frames of a cut clip, for pictures and hashes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np

from tinyvirat_build.geometry.arrays import Bytes
from tinyvirat_build.geometry.planes import decoded_planes, frame_bytes
from tinyvirat_build.store.means import raise_if_lacking


def frames_at(path: Path, places: Sequence[int], *, luma: bool = False) -> list[Bytes]:
    """Frames of a clip by their ascending places; a place too far is the last.

    ``(H, W, 3)`` RGB, or with ``luma`` the Y plane ``(H, W)`` as it is stored (a conversion to gray
    would stretch its range). Nothing is decoded past the last place. Empty where the file is
    missing or does not decode.
    """
    try:
        with av.open(str(path)) as container:
            container.streams.video[0].thread_count = 1  # a few small frames
            frames = _pick(container.decode(video=0), places)
            return [_luma(frame) if luma else _rgb(frame) for frame in frames]
    except (OSError, av.FFmpegError) as e:
        raise_if_lacking(e)
        return []


def _rgb(frame: av.VideoFrame) -> Bytes:
    return np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)


def _luma(frame: av.VideoFrame) -> Bytes:
    return decoded_planes(frame)[0].copy()


def _pick(frames: Iterator[av.VideoFrame], places: Sequence[int]) -> list[av.VideoFrame]:
    found: list[av.VideoFrame] = []
    last = None
    for i, last in enumerate(frames):
        found += [last] * places.count(i)
        if i >= places[-1]:
            break
    if last is not None:
        found += [last] * (len(places) - len(found))
    return found


def packed_luma(
    path: Path, offset: int, width: int, height: int, places: Sequence[int]
) -> list[Bytes]:
    """The luma ``(H, W)`` of frames of a clip of even size in a file of raw 4:2:0 frames.

    Empty where the file is missing or ends before.
    """
    size, found = width * height, []
    try:
        with path.open("rb") as file:
            for place in places:
                file.seek(offset + place * frame_bytes(height, width))
                plane = np.frombuffer(file.read(size), dtype=np.uint8)
                found.append(plane.reshape(height, width))
    except (OSError, ValueError) as e:
        raise_if_lacking(e)
        return []
    return found
