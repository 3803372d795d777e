"""Small videos that carry each frame's number in its pixels, and the numbers read back."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pandas as pd

from tinyvirat_build.video.program import program

TILE = 16  # a tile of 4x4 cells of 4 pixels holds the number's 16 bits, everywhere in the picture
X264 = {"preset": "medium", "crf": "12", "g": "12", "sc_threshold": "0"}
NO_B = X264 | {"bf": "0"}
WITH_B = X264 | {"bf": "3", "x264-params": "b-adapt=0:b-pyramid=normal"}
OPEN_GOP = X264 | {"bf": "3", "x264-params": "b-adapt=0:open-gop=1"}


def picture(number: int, width: int, height: int, pix_fmt: str = "yuv420p") -> Any:
    """A frame with its number in the luma and a slope that moves in the chroma."""
    cells = np.where(number >> np.arange(16) & 1, 200, 60).reshape(4, 4).repeat(4, 0).repeat(4, 1)
    tiles = np.tile(cells, (height // TILE + 1, width // TILE + 1))[:height, :width]
    frame: Any = av.VideoFrame(width, height, pix_fmt)
    for k, plane in enumerate(frame.planes):
        data = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        h, w = plane.height, plane.width
        if k == 0:
            data[:h, :w] = tiles[:h, :w]
        else:
            slope = np.add.outer(np.arange(h) * k, np.arange(w)) + number * 3
            data[:h, :w] = slope % 160 + 48
    return frame


def read_number(luma: npt.NDArray[np.uint8], x: int, y: int) -> int:
    """The number in a window whose corner lies at ``x, y`` of the picture; 32 pixels or more."""
    rows, cols = -y % TILE, -x % TILE
    tile = luma[rows : rows + TILE, cols : cols + TILE].astype(float)
    bits = tile.reshape(4, 4, 4, 4).mean((1, 3)).ravel() > 130
    return int((bits << np.arange(16)).sum())


def make_video(
    path: Path,
    frames: int = 60,
    *,
    codec: str = "libx264",
    options: dict[str, str] = NO_B,
    fps: Fraction | int = 30,
    size: tuple[int, int] = (96, 80),
    pix_fmt: str = "yuv420p",
    lost: Collection[int] = (),
    times: Sequence[int] | None = None,
    colour: tuple[int, int] | None = None,
    container: str | None = None,
) -> Path:
    """Encode stamped frames; ``lost`` are packets (in file order) that never reach the file.

    ``times`` are presentation times in frames (or parts: 1/10 of a frame each), ``colour`` the
    tags of range and matrix.
    """
    rate = Fraction(fps)
    with av.open(str(path), "w", format=container) as out:
        stream: Any = out.add_stream(codec, rate=rate, options=dict(options))
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        unit = 1 / rate if times is None else 1 / (10 * rate)
        stream.time_base = stream.codec_context.time_base = unit
        stream.codec_context.thread_count = 1
        if colour:
            stream.codec_context.color_range, stream.codec_context.colorspace = colour
        sent = 0
        for number in range(frames + 1):
            frame = None
            if number < frames:
                frame = picture(number, *size, pix_fmt)
                frame.pts = number if times is None else times[number]
                frame.time_base = unit
                if colour:
                    frame.color_range, frame.colorspace = colour
            for packet in stream.encode(frame):
                if sent not in lost:
                    out.mux(packet)
                sent += 1
    return path


def run_ffmpeg(*arguments: str | Path) -> None:
    """Run the ffmpeg program."""
    command = [program(), "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


def clips_frame(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """Clips of ``(start, end, width, height, x, y)``; a corner may be one number or one a frame."""
    out = []
    for k, (start, end, width, height, x, y) in enumerate(rows):
        n = end - start
        corners = [[int(v)] * n if np.isscalar(v) else list(map(int, v)) for v in (x, y)]
        out.append((f"{k:016x}", start, end, width, height, *corners))
    names = ["clip_id", "start", "end", "width", "height", "x", "y"]
    return pd.DataFrame(out, columns=names)


def random_clips(
    frames: int, size: tuple[int, int], *, count: int = 6, length: int = 16, seed: int = 0
) -> pd.DataFrame:
    """Even windows that wander over the picture, in spans all over the video."""
    rng = np.random.default_rng(seed)
    rows = []
    for start in np.linspace(0, frames - length, count).astype(int).tolist():
        side = int(rng.integers(16, 25)) * 2
        x = rng.integers(0, (size[0] - side) // 2 + 1, length) * 2
        y = rng.integers(0, (size[1] - side) // 2 + 1, length) * 2
        rows.append((start, start + length, side, side, x, y))
    return clips_frame(rows)


def decode_luma(file: Path) -> list[npt.NDArray[np.uint8]]:
    """The luma of every frame of a file."""
    with av.open(str(file)) as container:
        out = []
        for frame in container.decode(video=0):
            plane: Any = frame.planes[0]
            data = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
            out.append(data[: frame.height, : frame.width].copy())
        return out


def without(whole: Path, path: Path, lost: Collection[int]) -> Path:
    """A copy of an AVI that never got the packets ``lost`` (in file order)."""
    with av.open(str(whole)) as source, av.open(str(path), "w") as out:
        stream = source.streams.video[0]
        copy = out.add_stream_from_template(stream)
        for place, packet in enumerate(p for p in source.demux(stream) if p.size):
            if place not in lost:
                packet.pts, packet.stream = packet.dts, copy
                out.mux(packet)
    return path
