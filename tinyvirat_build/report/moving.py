"""One clip's preview: some of its frames, evenly spaced from the first on, in a small file.

A film is VP9, at the clip's own speed; what takes more than :data:`LARGEST` is coded more coarsely,
and at last reduced. Its encoder takes a millisecond to begin, more than a tenth of what it takes
to cut a tiny clip out of a small video. A strip has fewer frames, one below the other in a lossless
WebP, with as few of the colours' bits, and reduced by as much, as that bound asks for.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

import av
import cv2
import numpy as np
from PIL import Image, WebPImagePlugin

from tinyvirat_build.geometry.arrays import Bytes
from tinyvirat_build.geometry.planes import Planes, decoded_planes, frame_bytes, views
from tinyvirat_build.video.encode import film, frame_of

FILM: Final = "webm"
STRIP: Final = "webp"
FRAMES: Final = {FILM: 16, STRIP: 8}  # of a preview at the most
LARGEST: Final = 10_000  # bytes of a preview
_WEBP: Final = WebPImagePlugin.WebPImageFile.format  # which is then known without a search
_CRFS: Final = (46, 60)  # the first is enough for nine in ten clips of a restless street
_OPTIONS: Final = {
    "deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "auto-alt-ref": "0", "b": "0",
}  # fmt: skip
# Bits of a colour that a strip keeps, and of how many pixels these are tried: more hardly ever fit.
_DEPTHS: Final = {8: 5_000, 6: 9_000, 5: 14_000}


def encode(row: dict[Any, Any], root: Path) -> bytes:
    """The preview of one row of the manifest, of :data:`LARGEST` bytes at most.

    Of the kind that the name ``preview`` of :func:`~tinyvirat_build.report.previews.named` ends in.
    """
    kind = str(row["preview"]).rpartition(".")[2]
    step = step_of(int(row["n_frames"]), kind)
    frames = list(_frames(row, root, step))
    return _strip(frames) if kind == STRIP else _film(frames, Fraction(str(row["fps"])) / step)


def step_of(n_frames: int, kind: str) -> int:
    """How many frames of a clip its preview goes on at a time.

    >>> step_of(16, FILM), step_of(17, FILM), step_of(64, FILM), step_of(64, STRIP)
    (1, 2, 4, 8)
    """
    return max(1, -(-n_frames // FRAMES[kind]))


def _film(frames: list[Planes], rate: Fraction) -> bytes:
    for crf in _CRFS:
        data = _vp9(frames, rate, crf)
        if len(data) <= LARGEST:
            return data
    while len(data) > LARGEST:
        frames = [_half(planes) for planes in frames]
        data = _vp9(frames, rate, _CRFS[-1])
    return data


def _vp9(frames: list[Planes], rate: Fraction, crf: int) -> bytes:
    pictures = (frame_of(planes, "yuv420p") for planes in frames)
    try:
        return film(FILM, "libvpx-vp9", {**_OPTIONS, "crf": str(crf)}, rate, pictures)
    except av.FFmpegError as e:  # it says "Invalid argument"
        raise MemoryError("this encoder fails for want of memory alone") from e


def _half(planes: Planes) -> Planes:
    height, width = (max(1, side // 2) for side in planes[0].shape)
    sizes = [(width, height)] + [(-(-width // 2), -(-height // 2))] * 2
    y, u, v = (
        np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.uint8)
        for plane, size in zip(planes, sizes, strict=True)
    )
    return y, u, v


def _strip(frames: list[Planes]) -> bytes:
    pictures = [_picture(planes) for planes in frames]
    height, width = pictures[0].shape[:2]
    for factor in range(1, max(height, width) + 1):
        pixels = len(pictures) * -(-height // factor) * -(-width // factor)
        depths = [bits for bits, most in _DEPTHS.items() if pixels <= most]
        small = [_reduced(picture, factor) for picture in pictures if depths]
        for bits in depths:
            data = _webp(_coarse(np.concatenate(small), bits))
            if len(data) <= LARGEST:
                return data
    raise AssertionError("a few pixels are over the bound")


def _picture(planes: Planes) -> Bytes:
    """The picture ``(H, W, 3)`` in red, green and blue, of planes in 4:2:0.

    Of limited BT.601, as browsers take a film of this size that does not say what it is.
    """
    height, width = planes[0].shape
    y = _padded(planes[0], 2)
    data = np.concatenate([plane.ravel() for plane in (y, *planes[1:])])
    picture = cv2.cvtColor(data.reshape(-1, y.shape[1]), cv2.COLOR_YUV2RGB_I420)
    return np.asarray(picture[:height, :width], np.uint8)


def _padded(picture: Bytes, to: int) -> Bytes:
    """With the last row and column repeated, up to multiples of a number."""
    rows, columns = (-side % to for side in picture.shape[:2])
    if not (rows or columns):
        return picture
    border = cv2.copyMakeBorder(picture, 0, rows, 0, columns, cv2.BORDER_REPLICATE)
    return np.asarray(border, np.uint8)


def _reduced(picture: Bytes, factor: int) -> Bytes:
    """Each pixel the mean of as many as the factor says, each way."""
    if factor == 1:
        return picture
    padded = _padded(picture, factor)
    size = (padded.shape[1] // factor, padded.shape[0] // factor)
    return np.asarray(cv2.resize(padded, size, interpolation=cv2.INTER_AREA), np.uint8)


def _coarse(picture: Bytes, bits: int) -> Bytes:
    """The colours' first bits alone, and the middle of what these leave open.

    >>> _coarse(np.array([0, 9, 255], np.uint8), 5).tolist()
    [4, 12, 252]
    """
    step = 1 << (8 - bits)
    return picture & np.uint8(256 - step) | np.uint8(step // 2)


def _webp(picture: Bytes) -> bytes:
    buffer = io.BytesIO()
    try:  # the least effort: more takes ten times as long, for files that are hardly smaller
        Image.fromarray(picture).save(buffer, _WEBP, lossless=True, quality=0, method=0)
    except (OSError, ValueError) as e:  # it tells a number
        raise MemoryError("this encoder fails for want of memory alone") from e
    return buffer.getvalue()


def _frames(row: dict[Any, Any], root: Path, step: int) -> Iterator[Planes]:
    """Every so many frames in 4:2:0: the pack's, where these are the clip's.

    Of odd windows it has more than the clip, so that these are decoded; of two rows of chroma it
    has the upper one, as is taken here of those that a clip of 4:2:2 has.
    """
    count, width, height = int(row["n_frames"]), int(row["width"]), int(row["height"])
    even = not (width % 2 or height % 2 or int(row["x"][0]) % 2 or int(row["y"][0]) % 2)
    numbers = range(0, count, step)
    if isinstance(row["pack_file"], str) and even and (root / row["pack_file"]).is_file():
        size = int(frame_bytes(height, width))
        with (root / row["pack_file"]).open("rb") as file:
            for number in numbers:
                file.seek(int(row["pack_offset"]) + number * size)
                data = np.frombuffer(file.read(size), np.uint8)
                yield views(data, height, width)
        return
    with av.open(str(root / row["path"])) as container:
        for frame in _decoded(container, numbers):
            y, u, v = decoded_planes(frame)
            skip = 2 if "444" in frame.format.name else 1
            yield (y, u[::skip, ::skip], v[::skip, ::skip])


def _decoded(container: av.container.InputContainer, numbers: range) -> list[av.VideoFrame]:
    """Some frames of a clip; of a codec whose frames all stand alone no others are decoded.

    Raises:
        ValueError: the clip lacks some of them.
    """
    stream = container.streams.video[0]
    stream.thread_count = 1
    packets = [packet for packet in container.demux(stream) if packet.size]
    chosen = slice(numbers.start, numbers.stop, numbers.step)
    if all(packet.is_keyframe for packet in packets):
        packets, chosen = packets[chosen], slice(len(numbers))
    frames = chain.from_iterable(stream.decode(packet) for packet in [*packets, None])
    found = list(islice(frames, chosen.start, chosen.stop, chosen.step))
    if len(found) < len(numbers):
        raise ValueError(f"{container.name}: {len(found)} of {len(numbers)} frames")
    return found
