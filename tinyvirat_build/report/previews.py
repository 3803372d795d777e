"""Small films of clips whose codec no browser plays, made once.

Up to :data:`FRAMES` frames of a clip, evenly spaced from the first on, each shown when it is shown
in the clip; VP9 at a quality that takes some 5 kB. A preview is named after its clip's checksum,
so that a build that goes on makes only what it lacks.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import pandas as pd
from av.codec.context import Flags
from av.video.frame import PictureType

from tinyvirat_build.geometry.arrays import Bytes
from tinyvirat_build.geometry.planes import frame_bytes
from tinyvirat_build.report.scripts import FOLDER
from tinyvirat_build.store import PARTIAL
from tinyvirat_build.store.means import raise_if_lacking

PREVIEWS: Final = f"{FOLDER}/previews"
FRAMES: Final = 16  # of a preview at the most
_LARGE: Final = 80 * 80  # pixels; from here on a frame is coded more coarsely
_OPTIONS: Final = {
    "b": "0", "deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "auto-alt-ref": "0",
}  # fmt: skip


def plays(codec: str, width: int, height: int) -> bool:
    """Whether browsers play a clip itself; an odd window is 4:4:4, of which they know VP9 alone."""
    odd = width % 2 or height % 2
    return codec == "vp9-lossless" or (codec == "h264-crf" and not odd)


def preview_name(sha256: str) -> str:
    """The name of the preview of a clip of that checksum."""
    return sha256[:16]


def preview_path(name: str) -> str:
    """Its file, relative to the build."""
    return f"{PREVIEWS}/{name[:2]}/{name}.mp4"


def wanted(clips: pd.DataFrame, codec: str) -> pd.DataFrame:
    """The clips of the manifest that need a preview."""
    rows = clips[clips["path"].notna()]
    need = [
        not plays(codec, int(w), int(h)) for w, h in zip(rows["width"], rows["height"], strict=True)
    ]
    return rows[np.array(need, bool)]


def make_previews(clips: pd.DataFrame, root: Path) -> frozenset[str]:
    """Make the previews of clips that are not there yet; delete others. Return their names.

    ``clips`` are rows of the manifest, ``root`` what its paths are relative to. A clip that does
    not decode has none.
    """
    rows = {preview_name(str(row["sha256"])): row for row in clips.to_dict("records")}
    there = {p.stem: p for p in (root / PREVIEWS).glob("*/*.mp4") if p.stat().st_size}
    for name in there.keys() - rows.keys():
        there.pop(name).unlink()
    lacking = [name for name in rows if name not in there]
    for folder in {preview_path(name).rpartition("/")[0] for name in lacking}:
        (root / folder).mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = pool.map(lambda name: _make(rows[name], root, root / preview_path(name)), lacking)
        done = [name for name, good in zip(lacking, made, strict=True) if good]
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
    """The preview of one row of the manifest, as MP4."""
    width, height, fps = int(row["width"]), int(row["height"]), Fraction(str(row["fps"]))
    options = _OPTIONS | {"crf": "40" if width * height >= _LARGE else "32"}
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream: Any = container.add_stream("libvpx-vp9", rate=fps, options=options)
        context = stream.codec_context
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = context.time_base = tick = 1 / fps
        context.thread_count = 1
        context.flags |= Flags.bitexact
        for number, frame in _frames(row, root):
            frame.pts, frame.time_base = number, tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def step_of(n_frames: int) -> int:
    """How many frames of a clip its preview goes on at a time.

    >>> step_of(16), step_of(17), step_of(64)
    (1, 2, 4)
    """
    return max(1, -(-n_frames // FRAMES))


def _frames(row: dict[Any, Any], root: Path) -> Iterator[tuple[int, Any]]:
    """Every so many frames with their numbers: raw ones where the pack has them as they are."""
    count, width, height = int(row["n_frames"]), int(row["width"]), int(row["height"])
    even = not (width % 2 or height % 2 or int(row["x"][0]) % 2 or int(row["y"][0]) % 2)
    if isinstance(row["pack_file"], str) and even and (root / row["pack_file"]).is_file():
        size = int(frame_bytes(height, width))
        raw = np.memmap(root / row["pack_file"], np.uint8, "r", int(row["pack_offset"]))
        for number in range(0, count, step_of(count)):
            yield number, _frame(raw[number * size : (number + 1) * size], width, height)
        return
    with av.open(str(root / row["path"])) as container:
        container.streams.video[0].thread_count = 1
        for number, frame in enumerate(container.decode(video=0)):
            if number % step_of(count) == 0:
                frame.pict_type = PictureType.NONE  # else the clip's keyframes would be ours
                yield number, frame.reformat(format="yuv420p")


def _frame(data: Bytes, width: int, height: int) -> Any:
    return av.VideoFrame.from_ndarray(data.reshape(height * 3 // 2, width), format="yuv420p")
