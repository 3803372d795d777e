"""Small films of clips whose codec no browser plays, made once.

Up to :data:`FRAMES` frames of a clip, evenly spaced from the first on, each shown when it is shown
in the clip; VP8, whose encoder starts soonest, at a quality that takes some 5 kB. What takes more
than :data:`LARGEST` is coded again, more coarsely, and at last blurred. A preview is named after
its clip's checksum, so that a build that goes on makes only what it lacks.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import cv2
import numpy as np
import pandas as pd
from av.codec.context import Flags

from tinyvirat_build.geometry.arrays import Bytes
from tinyvirat_build.geometry.planes import Planes, decoded_planes, frame_bytes, views
from tinyvirat_build.report.scripts import FOLDER
from tinyvirat_build.store import PARTIAL
from tinyvirat_build.store.means import raise_if_lacking
from tinyvirat_build.video.encode import LOSSLESS, frame_of

PREVIEWS: Final = f"{FOLDER}/previews"
FRAMES: Final = 16  # of a preview at the most
LARGEST: Final = 10_000  # bytes of a preview
_LARGE: Final = 80 * 80  # pixels; from here on a frame is coded more coarsely
_OPTIONS: Final = {
    "b": "0", "deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "auto-alt-ref": "0",
}  # fmt: skip
_COARSER: Final[tuple[dict[str, str], ...]] = (
    {"crf": "50", "qmin": "20"},
    {"crf": "63", "qmin": "63"},
)


def plays(codec: str, width: int, height: int) -> bool:
    """Whether browsers play a clip itself; an odd window is 4:4:4, of which they know VP9 alone."""
    odd = width % 2 or height % 2
    return codec == "vp9-lossless" or (codec == "h264-crf" and not odd)


def preview_name(sha256: str) -> str:
    """The name of the preview of a clip of that checksum."""
    return sha256[:16]


def preview_path(name: str) -> str:
    """Its file, relative to the build."""
    return f"{PREVIEWS}/{name[:2]}/{name}.webm"


def wanted(clips: pd.DataFrame, codec: str) -> pd.DataFrame:
    """The clips of the manifest that need a preview; with no pack, where that shows others' pixels.

    A clip of a lossy codec is shown as it is, whether or not there is a pack beside it.
    """
    rows = clips[clips["path"].notna()]
    need = [
        not plays(codec, int(w), int(h)) for w, h in zip(rows["width"], rows["height"], strict=True)
    ]
    rows = rows[np.array(need, bool)]
    return rows if codec in LOSSLESS else rows.assign(pack_file=None)


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
    except (OSError, ValueError, av.FFmpegError) as e:
        raise_if_lacking(e)
        return False
    partial = path.with_name(f".{path.name}{PARTIAL}")
    partial.write_bytes(data)
    partial.replace(path)
    return True


def encode(row: dict[Any, Any], root: Path) -> bytes:
    """The preview of one row of the manifest, as WebM of at most :data:`LARGEST` bytes."""
    frames, fps = list(_frames(row, root)), Fraction(str(row["fps"]))
    large = int(row["width"]) * int(row["height"]) >= _LARGE
    usual = [{"crf": "52"}] if large else [{"crf": "36"}, {"crf": "44"}]
    for options in (*usual, *_COARSER):
        data = _film(frames, fps, options)
        if len(data) <= LARGEST:
            return data
    block = 2  # once it covers the window, each frame is of one colour
    while len(data) > LARGEST and block < 2 * max(int(row["width"]), int(row["height"])):
        blurred = [(n, [_blur(plane, block) for plane in planes]) for n, planes in frames]
        data, block = _film(blurred, fps, _COARSER[-1]), block * 2
    if len(data) > LARGEST:
        raise ValueError(f"a preview of {len(data)} bytes")
    return data


def _film(
    frames: Sequence[tuple[int, Sequence[Bytes]]], fps: Fraction, options: dict[str, str]
) -> bytes:
    height, width = frames[0][1][0].shape
    buffer = io.BytesIO()
    try:
        with av.open(buffer, "w", format="webm", options={"fflags": "+bitexact"}) as container:
            stream: Any = container.add_stream("libvpx", rate=fps, options=_OPTIONS | options)
            context = stream.codec_context
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.time_base = context.time_base = tick = 1 / fps
            context.thread_count = 1
            context.flags |= Flags.bitexact
            for number, planes in frames:
                frame = frame_of(planes, "yuv420p")
                frame.pts, frame.time_base = number, tick
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except av.FFmpegError as e:  # an encoder without memory says that its options are wrong
        raise_if_lacking(e)
        raise
    return buffer.getvalue()


def _blur(plane: Bytes, block: int) -> Bytes:
    """A plane without what is finer than blocks of so many pixels."""
    height, width = plane.shape
    small = (max(1, width // block), max(1, height // block))
    mean = cv2.resize(plane, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(mean, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def step_of(n_frames: int) -> int:
    """How many frames of a clip its preview goes on at a time.

    >>> step_of(16), step_of(17), step_of(64)
    (1, 2, 4)
    """
    return max(1, -(-n_frames // FRAMES))


def _frames(row: dict[Any, Any], root: Path) -> Iterator[tuple[int, Planes]]:
    """Every so many frames with their numbers, in 4:2:0: the pack's, where these are the clip's.

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
                yield number, views(data, height, width)
        return
    with av.open(str(root / row["path"])) as container:
        container.streams.video[0].thread_count = 1
        for number, frame in enumerate(container.decode(video=0)):
            if number in numbers:
                y, u, v = decoded_planes(frame)
                skip = 2 if "444" in frame.format.name else 1
                yield number, (y, u[::skip, ::skip], v[::skip, ::skip])
