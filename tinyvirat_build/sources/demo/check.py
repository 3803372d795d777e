"""Read the stamps of built clips and compare them with the manifest."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pandas as pd

from tinyvirat_build.geometry.arrays import Bytes
from tinyvirat_build.geometry.planes import views
from tinyvirat_build.sources.demo.stamp import read_stamps


def misplaced(clips: pd.DataFrame, root: Path) -> list[str]:
    """Clips of the demo whose pixels say another frame or place than their row does.

    Args:
        clips: rows of the table ``clips``, those of other sources are passed over; windows on
            even corners (``crop.grid`` even).
        root: the build, which the rows' paths are relative to.

    Returns:
        One line a wrong clip, with the first frame at fault; empty if all is right.
    """
    here = clips[(clips["source"] == "demo") & clips["path"].notna()]
    columns = ["clip_id", "path", "start", "x", "y", "held"]
    wrong = []
    for clip_id, path, start, x, y, held in here[columns].itertuples(index=False, name=None):
        if held:
            continue
        frames, xs, ys = read_stamps(*_chroma(root / path))
        found = np.stack([frames, xs, ys], 1)
        stated = np.stack([start + np.arange(len(x)), np.asarray(x), np.asarray(y)], 1)
        if found.shape != stated.shape:
            wrong.append(f"{clip_id}: {len(found)} frames, the manifest says {len(stated)}")
            continue
        bad = np.flatnonzero((found != stated).any(1))
        if bad.size:
            k = int(bad[0])
            wrong.append(f"{clip_id}: frame {k} shows {found[k]}, the manifest says {stated[k]}")
    return wrong


def _chroma(path: Path) -> tuple[Bytes, Bytes]:
    """The chroma planes of a 4:2:0 clip, each (T, H/2, W/2)."""
    with av.open(str(path)) as container:
        stack: Bytes = np.stack([f.to_ndarray().ravel() for f in container.decode(video=0)])
        stream = container.streams.video[0]
        h, w = stream.height, stream.width
    _, u, v = views(stack, h, w)
    return u, v
