"""What existing TinyVIRAT loaders do with a tree, in a few lines each, written from their rules.

The challenge's loader sorts the class map by index, keys clips by id, drops clips with fewer
frames than it wants and asserts that OpenCV reads exactly as many frames as the container says.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

FILES = {
    "train": "tiny_train_v2.json",
    "val": "tiny_val_v2.json",
    "test": "tiny_test_v2_public.json",
}


def challenge_loader(root: Path, split: str) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """Every clip of a split: id -> (frames (T, H, W, 3), multi-hot labels or None)."""
    class_map = json.loads((root / "class_map.json").read_text())
    names = [n for n, _ in sorted(class_map.items(), key=lambda item: item[1])]
    assert [class_map[n] for n in names] == list(range(len(names)))
    rows = {row["id"]: row for row in json.loads((root / FILES[split]).read_text())}
    clips = {}
    for key, row in rows.items():
        path = root / "videos" / split / row["path"]
        capture = cv2.VideoCapture(str(path))
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        frames = []
        while True:
            ok, frame = capture.read()
            if not ok:
                break
            frames.append(frame)
        assert len(frames) == count == row["dim"][0], path
        clip = np.stack(frames)
        assert list(clip.shape[:3]) == row["dim"], path
        hot = None
        if split != "test":
            assert row["label"]
            hot = np.zeros(len(names))
            hot[[class_map[name] for name in row["label"]]] = 1
        clips[key] = (clip, hot)
    return clips
