"""A video's packets as demuxing gives them, and the picture that each one holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from pathlib import Path
from typing import Any

import av
import numpy as np

from tinyvirat_build.errors import VideoError
from tinyvirat_build.geometry.arrays import Bools, Ints
from tinyvirat_build.store.means import raise_if_lacking
from tinyvirat_build.video import bitstream
from tinyvirat_build.video.bitstream import Picture
from tinyvirat_build.video.glimpse import Glimpse
from tinyvirat_build.video.numbers import NO_TIME


def read_packets(
    path: Path, container: Any, stream: Any, glimpse: Glimpse | None
) -> tuple[Ints, Ints, Ints, Ints, Bools, Bools, list[Picture]]:
    """Of each packet its times, place, size, whether it is key or hidden, and its picture."""
    reader = picture_reader(stream.codec_context)
    rows: list[tuple[int, int, int, int, bool, bool]] = []
    pictures: list[Picture | None] = []
    seen: list[bool] = []
    for packet in _packets(container, stream, rows):
        if packet.size == 0:  # the end, or a slot whose packet was lost
            continue
        pos = -1 if packet.pos is None else packet.pos
        rows.append(
            (
                NO_TIME if packet.pts is None else packet.pts,
                NO_TIME if packet.dts is None else packet.dts,
                pos,
                packet.size,
                packet.is_keyframe,
                packet.is_discard,
            )
        )
        seen.append(glimpse is None or glimpse.here(pos, pos + packet.size))
        if seen[-1] and not all(seen[-2:]):
            reader = picture_reader(stream.codec_context)  # what lies between is not known
        if reader is not None:
            pictures.append(reader(bytes(packet)) if seen[-1] else None)
    if not rows:
        raise VideoError("no_frames", f"{path}: no frame decodes; replace the file")
    pts, dts, places, size = (np.array([r[k] for r in rows], np.int64) for k in range(4))
    key, hidden = (np.array([r[k] for r in rows], bool) for k in (4, 5))
    if glimpse is not None:
        name = container.format.name.split(",")[0]
        glimpse.seen = np.array(seen, bool)
        key = glimpse.keys(name, stream, places, key)
        pictures = [*glimpse.pictures(name, pictures, key)]
    return pts, dts, places, size, key, hidden, [p for p in pictures if p is not None]


def _packets(container: Any, stream: Any, read: Sized) -> Iterator[Any]:
    """The packets as far as the file can be read: a torn file ends early."""
    try:
        yield from container.demux(stream)
    except av.error.FFmpegError as e:
        raise_if_lacking(e)
        if not len(read):
            raise


def picture_reader(codec: Any) -> Callable[[bytes], Picture] | None:
    """What reads a packet's picture from its bytes; None for a codec whose packets say nothing."""
    if codec.name == "h264":
        return bitstream.H264Reader(codec.extradata).read
    if codec.name == "mpeg4":
        return bitstream.Mpeg4Reader(codec.extradata).read
    if codec.name in ("mpeg1video", "mpeg2video"):
        return bitstream.read_mpeg12
    if codec.name in ("av1", "libdav1d"):
        return bitstream.Av1Reader(codec.extradata).read
    return {"vp8": bitstream.read_vp8, "vp9": bitstream.read_vp9}.get(codec.name)
