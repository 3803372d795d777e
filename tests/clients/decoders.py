"""What decord and OpenCV decode of clips: per file and decoder the shape, and how far they differ.

A frame that decord takes for one of other channels has its shape told, a batch that it refuses has
none.
"""

import json
import sys
from pathlib import Path

import cv2
import decord
import numpy as np


def by_opencv(path: Path) -> np.ndarray:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1][..., ::-1])
    return np.stack(frames)


def by_decord(path: Path) -> np.ndarray | None:
    reader = decord.VideoReader(str(path))
    try:
        return reader.get_batch(range(len(reader))).asnumpy()
    except decord.DECORDError:
        return None


found = {}
for path in sorted(Path(sys.argv[1]).rglob("*.mp4")):
    plain, batch = by_opencv(path), by_decord(path)
    same = batch is not None and batch.shape == plain.shape
    found[path.relative_to(sys.argv[1]).as_posix()] = {
        "opencv": plain.shape,
        "decord": None if batch is None else batch.shape,
        "decord frame": decord.VideoReader(str(path))[0].shape,
        "differ": int(np.abs(batch.astype(int) - plain).max()) if same else None,
    }
print(json.dumps(found))
