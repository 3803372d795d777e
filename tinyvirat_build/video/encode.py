"""One clip's frames to one file's bytes.

Every encoder runs with one thread and every muxer without clocks or random ids, so that equal
frames give equal bytes. FFV1 has no place in MP4: such a clip is Matroska under the name
``.mp4``, which readers that look at the content (FFmpeg's, OpenCV's, PyAV's) open alike.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

import av
import numpy as np
from av.codec.context import Flags

from tinyvirat_build.errors import VideoError
from tinyvirat_build.geometry.arrays import Bytes
from tinyvirat_build.geometry.planes import Planes
from tinyvirat_build.settings import Encode
from tinyvirat_build.store.means import raise_if_lacking
from tinyvirat_build.video.index import Colour
from tinyvirat_build.video.windows import Window

LOSSLESS: Final = ("h264", "vp9-lossless", "ffv1")

_UNTAGGED: Final = Colour()
_SQUARE: Final = Fraction(1)
_BT601: Final = 5
# Primaries and transfer of a matrix: BT.709, BT.601 of 625 and of 525 lines, BT.2020.
_USUAL: Final = {1: (1, 1), _BT601: (5, 6), 6: (6, 6), 9: (9, 14)}
_CODECS: Final = {
    "h264": "libx264",
    "h264-crf": "libx264",
    "vp9-lossless": "libvpx-vp9",
    "mpeg4": "mpeg4",
    "ffv1": "ffv1",
}


def _options(encode: Encode) -> dict[str, str]:
    quality = str(encode.quality)
    # x264's macroblock tree reads memory that nobody wrote when a picture is a few macroblocks
    # wide: equal 56x56 clips then differ from run to run.
    return {
        "h264": {"preset": "ultrafast", "qp": "0"},
        "h264-crf": {"preset": "veryfast", "crf": quality, "x264-params": "mbtree=0"},
        # Each picture is shown: without a look ahead there are no hidden ones.
        "vp9-lossless": {
            "lossless": "1", "deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0",
            "auto-alt-ref": "0",
        },
        "mpeg4": {"qmin": quality, "qmax": quality},  # one quantiser for all
        "ffv1": {"level": "3", "slicecrc": "1", "g": "1"},
    }[encode.codec]  # fmt: skip


def encode_clip(
    data: Bytes,
    window: Window,
    fps: Fraction,
    colour: Colour,
    encode: Encode,
    sar: Fraction = _SQUARE,
) -> bytes:
    """Encode a clip; frame i is shown at i / fps, without audio.

    ``data`` is ``(T, window.frame_bytes)``: the enclosing even window, planar. An odd window, and
    one of 4:2:2, becomes 4:4:4 with the source's chroma samples repeated (MPEG-4, which knows
    4:2:0 alone, takes every second of them). Tags of colour that the source has are carried over;
    MP4 writes all of them beside MPEG-4 or none, so the usual ones complete them there. ``sar`` is
    the aspect ratio of the source's samples; square ones are not mentioned, and none are beside
    FFV1, for PyAV cannot have Matroska say it.

    Raises:
        VideoError: ``encode_error``, with the encoder's words.
    """
    planes, pix_fmt = _planes(data, window, encode)
    colour = _completed(colour) if encode.codec == "mpeg4" else colour
    frames = (frame_of([p[i] for p in planes], pix_fmt) for i in range(len(data)))

    def prepare(context: Any) -> None:
        _tag(context, colour)
        if sar != _SQUARE:
            context.sample_aspect_ratio = sar

    try:
        return film(
            "matroska" if encode.codec == "ffv1" else "mp4", _CODECS[encode.codec],
            _options(encode), fps, (_tagged(frame, colour) for frame in frames), prepare,
        )  # fmt: skip
    except (av.error.FFmpegError, ValueError) as e:
        raise_if_lacking(e)
        raise VideoError("encode_error", f"{encode.codec} at {fps} frames a second: {e}") from e


def film(
    container: str,
    codec: str,
    options: Mapping[str, str],
    fps: Fraction,
    frames: Iterable[Any],
    prepare: Callable[[Any], None] = lambda context: None,
) -> bytes:
    """Frames of one size and format as the bytes of a file; frame i is shown at i / ``fps``.

    ``container``, ``codec`` and ``options`` are FFmpeg's; ``prepare`` sets what else the codec's
    context is to say.

    Raises:
        av.FFmpegError: the encoder or the muxer refuses.
    """
    buffer, tick = io.BytesIO(), 1 / fps
    with av.open(buffer, "w", format=container, options={"fflags": "+bitexact"}) as out:
        stream: Any = out.add_stream(codec, rate=fps, options=dict(options))
        context = stream.codec_context
        stream.time_base = context.time_base = tick
        context.thread_count = 1
        context.flags |= Flags.bitexact
        prepare(context)
        for i, frame in enumerate(frames):
            if i == 0:
                stream.width, stream.height = frame.width, frame.height
                stream.pix_fmt = frame.format.name
            frame.pts, frame.time_base = i, tick
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return buffer.getvalue()


def _planes(data: Bytes, window: Window, encode: Encode) -> tuple[Planes, str]:
    if window.even:
        return window.planes(data), "yuv420p"
    y, u, v = window.full_chroma(data)
    if encode.codec == "mpeg4":
        return (y, u[..., ::2, ::2], v[..., ::2, ::2]), "yuv420p"
    return (y, u, v), "yuv444p"


def frame_of(planes: Sequence[Bytes], pix_fmt: str) -> Any:
    """A frame to encode, of planes ``(rows, columns)``, which are copied."""
    height, width = planes[0].shape
    frame: Any = av.VideoFrame(width, height, pix_fmt)
    for plane, samples in zip(frame.planes, planes, strict=True):
        h, w = samples.shape
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:h, :w] = samples
    return frame


def _completed(colour: Colour) -> Colour:
    """All tags, where one says more than that the video is untagged: limited BT.601.

    >>> _completed(Colour(range=2))
    Colour(range=2, matrix=5, primaries=5, transfer=6)
    """
    if colour.range < 2 and colour.matrix == _UNTAGGED.matrix:
        return colour
    matrix = _BT601 if colour.matrix == _UNTAGGED.matrix else colour.matrix
    primaries, transfer = _USUAL.get(matrix, _USUAL[_BT601])
    return Colour(
        colour.range or 1,
        matrix,
        primaries if colour.primaries == _UNTAGGED.primaries else colour.primaries,
        transfer if colour.transfer == _UNTAGGED.transfer else colour.transfer,
    )


def _tagged(frame: Any, colour: Colour) -> Any:
    _tag(frame, colour)
    return frame


def _tag(target: Any, colour: Colour) -> None:
    if colour.range:
        target.color_range = colour.range
    if colour.matrix != _UNTAGGED.matrix:
        target.colorspace = colour.matrix
    if colour.primaries != _UNTAGGED.primaries:
        target.color_primaries = colour.primaries
    if colour.transfer != _UNTAGGED.transfer:
        target.color_trc = colour.transfer
