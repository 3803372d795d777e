"""Single frames of a source video as pictures, decoded as the cutter decodes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np

from tinyvirat_build.geometry.arrays import Bytes
from tinyvirat_build.store.means import raise_if_lacking
from tinyvirat_build.video.decoding import DamagedError, Decoding
from tinyvirat_build.video.index import VideoIndex


def picture_at(path: Path, index: VideoIndex, frame: int) -> Bytes | None:
    """Frame ``frame`` of a video as RGB ``(H, W, 3)``; None where nothing is shown there."""
    for careful in (False, True):
        try:
            shown = Decoding(path, index).shown(np.array([frame]), careful=careful)
            for _, planes, _, _ in shown:
                return None if isinstance(planes, str) else _rgb(planes)
        except DamagedError:
            continue
        except (OSError, av.FFmpegError) as e:
            raise_if_lacking(e)
            return None
    return None


def _rgb(planes: list[Bytes]) -> Bytes:
    height, width = planes[0].shape
    form = "gray" if len(planes) == 1 else "yuv422p" if len(planes[1]) == height else "yuv420p"
    picture: Any = av.VideoFrame(width, height, form)
    for plane, samples in zip(picture.planes, planes, strict=True):
        rows, columns = samples.shape
        target = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        target[:rows, :columns] = samples
    return np.asarray(picture.to_ndarray(format="rgb24"), dtype=np.uint8)
