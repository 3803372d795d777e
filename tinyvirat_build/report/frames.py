"""Single frames of a cut clip, for pictures and hashes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


def frames_at(path: Path, places: Sequence[int]) -> list[NDArray[np.uint8]]:
    """Frames of a clip, ``(H, W, 3)`` RGB, by their ascending places; a place too far is the last.

    Nothing is decoded past the last place. Empty where the file is missing or does not decode.
    """
    found: list[NDArray[np.uint8]] = []
    try:
        with av.open(str(path)) as container:
            frame = None
            for i, frame in enumerate(container.decode(video=0)):
                found += [_rgb(frame)] * (places.count(i))
                if i >= places[-1]:
                    break
            if frame is not None:
                found += [_rgb(frame)] * (len(places) - len(found))
    except (OSError, av.FFmpegError):
        return []
    return found


def _rgb(frame: av.VideoFrame) -> NDArray[np.uint8]:
    return np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
