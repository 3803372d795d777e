"""What players show: the ffmpeg program with default flags, and OpenCV, by the numbers in the luma.

Neither knows of our index: both decode from the file's first packet and put out what comes.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from tinyvirat_build.video.source_frames import program

from .stamped import TILE

Number = int | None  # None: a picture whose tiles are torn, or do not agree


def clean_number(luma: npt.NDArray[np.uint8], x: int = 0, y: int = 0) -> Number:
    """The number that every whole tile of a window at ``x, y`` bears; None where they differ."""
    rows, cols = -y % TILE, -x % TILE
    high, wide = (luma.shape[0] - rows) // TILE, (luma.shape[1] - cols) // TILE
    tiles = luma[rows : rows + high * TILE, cols : cols + wide * TILE].astype(np.float32)
    cells = tiles.reshape(high, 4, 4, wide, 4, 4).mean((2, 5))  # (high, 4, wide, 4)
    if np.any(np.abs(cells - 130) < 25):
        return None
    bits = (cells > 130).transpose(0, 2, 1, 3).reshape(high * wide, 16)
    if np.any(bits != bits[0]):
        return None
    return int((bits[0] << np.arange(16)).sum())


def program_shows(
    video: Path, size: tuple[int, int], *, timeout: float = 60
) -> tuple[list[Number], str]:
    """The number of each picture that the program puts out, and what it said on the way."""
    command = [program(), "-hide_banner", "-nostdin", "-v", "warning", "-i", str(video)]
    command += ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]
    done = subprocess.run(command, capture_output=True, timeout=timeout)
    width, height = size
    whole = width * height * 3 // 2
    count = len(done.stdout) // whole
    luma = np.frombuffer(done.stdout, np.uint8, count * whole).reshape(count, whole)
    pictures = luma[:, : width * height].reshape(count, height, width)
    return [clean_number(p) for p in pictures], done.stderr.decode(errors="replace")


def opencv_shows(video: Path) -> list[Number]:
    """The number of each picture that OpenCV reads."""
    capture = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG)
    numbers = []
    while True:
        there, picture = capture.read()
        if not there:
            break
        numbers.append(clean_number(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)))
    capture.release()
    return numbers


def known(numbers: Iterable[Number]) -> list[int]:
    """The numbers that could be read."""
    return [n for n in numbers if n is not None]
