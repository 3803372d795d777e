"""Small films of clips whose codec browsers do not play, made once.

Up to :data:`FRAMES` frames of a clip, evenly spaced from the first on, as VP9 at the clip's own
speed. What takes more than :data:`LARGEST` is coded more coarsely, and at last reduced. A preview
is named after its clip's checksum, so that a build that goes on makes only what it lacks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

import av
import cv2
import numpy as np
import pandas as pd

from tinyvirat_build.geometry.planes import Planes, decoded_planes, frame_bytes, views
from tinyvirat_build.report.scripts import FOLDER
from tinyvirat_build.settings import Settings
from tinyvirat_build.store import PARTIAL
from tinyvirat_build.store.means import raise_if_lacking
from tinyvirat_build.video.encode import LOSSLESS, film, frame_of

PREVIEWS: Final = f"{FOLDER}/previews"
PLAYED: Final = ("h264", "h264-crf", "vp9-lossless")  # codecs that browsers play themselves
FRAMES: Final = 16  # of a preview at the most
LARGEST: Final = 10_000  # bytes of a preview
_CRFS: Final = (40, 52, 63)
_OPTIONS: Final = {
    "deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "auto-alt-ref": "0", "b": "0",
}  # fmt: skip


def preview_name(sha256: str) -> str:
    """The name of the preview of a clip of that checksum."""
    return sha256[:16]


def preview_path(name: str) -> str:
    """Its file, relative to the build."""
    return f"{PREVIEWS}/{name[:2]}/{name}.webm"


def wanted(clips: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """The clips of the manifest to make previews of; with no pack, where that has others' pixels.

    Unasked, of those alone whose frames a pack has, which to read costs less than to decode a clip
    again. A clip of a lossy codec is shown as it is, whether or not there is a pack beside it.
    """
    codec, asked = settings.encode.codec, settings.report.previews
    if asked == "none" or (asked == "auto" and codec in PLAYED):
        return clips.iloc[:0]
    rows = clips[clips["path"].notna()]
    if codec not in LOSSLESS:
        rows = rows.assign(pack_file=None)
    return rows if asked == "always" else rows[rows["pack_file"].notna()]


def make_previews(clips: pd.DataFrame, root: Path) -> frozenset[str]:
    """Make the previews of clips that are not there yet; delete others. Return their names.

    ``clips`` are rows of the manifest, ``root`` what its paths are relative to. A clip that does
    not decode has none.
    """
    rows = {preview_name(str(row["sha256"])): row for row in clips.to_dict("records")}
    files = {root / preview_path(name): name for name in rows}
    there = set()
    for file in (root / PREVIEWS).glob("*/*"):
        if file in files and 0 < file.stat().st_size <= LARGEST:
            there.add(files[file])
        else:
            file.unlink()
    lacking = [name for name in rows if name not in there]
    for folder in {preview_path(name).rpartition("/")[0] for name in lacking}:
        (root / folder).mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = pool.map(lambda name: _make(rows[name], root, root / preview_path(name)), lacking)
        done = [name for name, ok in zip(lacking, made, strict=True) if ok]
    return frozenset({*there, *done})


def _make(row: dict[Any, Any], root: Path, path: Path) -> bool:
    try:
        data = encode(row, root)
    except (OSError, ValueError, cv2.error, av.FFmpegError) as e:
        raise_if_lacking(e)
        return False
    partial = path.with_name(f".{path.name}{PARTIAL}")
    partial.write_bytes(data)
    partial.replace(path)
    return True


def encode(row: dict[Any, Any], root: Path) -> bytes:
    """The preview of one row of the manifest, as WebM of at most :data:`LARGEST` bytes."""
    frames = list(_frames(row, root))
    rate = Fraction(str(row["fps"])) / step_of(int(row["n_frames"]))
    for crf in _CRFS:
        data = _film(frames, rate, crf)
        if len(data) <= LARGEST:
            return data
    while len(data) > LARGEST:
        frames = [_half(planes) for planes in frames]
        data = _film(frames, rate, _CRFS[-1])
    return data


def _half(planes: Planes) -> Planes:
    height, width = (max(1, side // 2) for side in planes[0].shape)
    sizes = [(width, height)] + [(-(-width // 2), -(-height // 2))] * 2
    y, u, v = (
        np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.uint8)
        for plane, size in zip(planes, sizes, strict=True)
    )
    return y, u, v


def _film(frames: list[Planes], rate: Fraction, crf: int) -> bytes:
    pictures = (frame_of(planes, "yuv420p") for planes in frames)
    try:
        return film("webm", "libvpx-vp9", {**_OPTIONS, "crf": str(crf)}, rate, pictures)
    except av.FFmpegError as e:  # it says "Invalid argument"
        raise MemoryError("this encoder fails for want of memory alone") from e


def step_of(n_frames: int) -> int:
    """How many frames of a clip its preview goes on at a time.

    >>> step_of(16), step_of(17), step_of(64)
    (1, 2, 4)
    """
    return max(1, -(-n_frames // FRAMES))


def _frames(row: dict[Any, Any], root: Path) -> Iterator[Planes]:
    """Every so many frames in 4:2:0: the pack's, where these are the clip's.

    Of odd windows it has more than the clip, so that these are decoded; of two rows of chroma it
    has the upper one, as is taken here of those that a clip of 4:2:2 has.
    """
    count, width, height = int(row["n_frames"]), int(row["width"]), int(row["height"])
    even = not (width % 2 or height % 2 or int(row["x"][0]) % 2 or int(row["y"][0]) % 2)
    numbers = range(0, count, step_of(count))
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
