"""Contact sheets: a few frames of a few clips of each class, as small pictures for the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pandas as pd

from tinyvirat_build.video.frames import frames_at

CLIPS: Final = 4  # of each class
FRAMES: Final = 3  # of each clip: the first, the middle, the last
HEIGHT: Final = 80  # pixels of a frame on the sheet
_QUALITY: Final = 82


def contact_sheets(
    clips: pd.DataFrame, root: Path, classes: Sequence[str]
) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """Each class that has clips on disk, with (caption, JPEG) of up to four of its clips.

    ``clips`` is the manifest; its paths are relative to ``root``. The clips are spread evenly
    over the class's rows. A file that is missing or does not decode is left out.
    """
    there = clips[clips["path"].notna()]
    for label in classes:
        rows = np.flatnonzero([label in own for own in there["labels"]])
        chosen = rows[np.linspace(0, len(rows) - 1, min(CLIPS, len(rows))).round().astype(int)]
        strips = []
        for row in there.iloc[chosen].itertuples():
            strip = _strip(root / str(row.path), int(row.n_frames))
            if strip is not None:
                frames = f"{int(row.n_frames)} frames of {row.width}×{row.height}"
                others = ", ".join(name for name in row.labels if name != label)
                with_others = f", also {others}" if others else ""
                caption = f"{row.clip_id} ({row.split}): {frames}{with_others}; {row.video_id}"
                strips.append((caption, strip))
        if strips:
            yield label, strips


def _strip(path: Path, n_frames: int) -> bytes | None:
    """The clip's frames side by side as one JPEG."""
    places = np.linspace(0, n_frames - 1, FRAMES).round().astype(int).tolist()
    frames = frames_at(path, places)
    if not frames:
        return None
    scale = HEIGHT / frames[0].shape[0]
    size = (max(1, round(frames[0].shape[1] * scale)), HEIGHT)
    shrink = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    strip = np.concatenate([cv2.resize(f, size, interpolation=shrink) for f in frames], axis=1)
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(strip, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    return bytes(data.tobytes())
