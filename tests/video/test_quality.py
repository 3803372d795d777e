"""What cutting measures of a clip, computed again from the published clip by other means."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyvirat_build as tvb
from tinyvirat_build.geometry.arrays import Bytes, Floats
from tinyvirat_build.video import quality
from tinyvirat_build.video.quality import measure


def _decoded(path: Path) -> tuple[Bytes, Bytes]:
    """Luma ``(T, h, w)`` and chroma ``(T, 2, h, w)`` of a clip, repeated as 4:4:4."""
    luma, chroma = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            y, u, v = (
                np.frombuffer(bytes(p), np.uint8).reshape(-1, p.line_size)[: p.height, : p.width]
                for p in frame.planes
            )
            size = y.shape[::-1]
            luma.append(y)
            chroma.append([cv2.resize(c, size, interpolation=cv2.INTER_NEAREST) for c in (u, v)])
    return np.array(luma), np.array(chroma)


def _box_of(clip: pd.Series, frame: int, activities: pd.DataFrame, boxes: pd.DataFrame) -> Floats:
    """The union of the boxes that the clip's activities have at a frame: ``x1 y1 x2 y2``."""
    on = activities[
        activities["activity_id"].isin(clip["activities"])
        & (activities["start"] <= frame)
        & (frame < activities["end"])
    ]
    actors = {a for own in on["actors"] for a in own}
    seen = boxes[(boxes["frame"] == frame) & boxes["actor_id"].isin(actors)]
    if seen.empty:
        return np.zeros(4)
    return np.array([*seen[["x1", "y1"]].min(), *seen[["x2", "y2"]].max()])


def _motion(clip: pd.Series, luma: Bytes, boxes: list[Floats]) -> tuple[float, float]:
    """Motion and the frozen share, pixel by pixel in a picture as large as all windows."""
    x, y = np.array(clip["x"]), np.array(clip["y"])
    size = np.array([y.max() - y.min() + clip["height"], x.max() - x.min() + clip["width"]])
    whole = np.full((len(luma), *size), np.nan)
    inside = np.zeros(whole.shape, bool)
    for i, picture in enumerate(luma):
        top, left = y[i] - y.min(), x[i] - x.min()
        whole[i, top : top + clip["height"], left : left + clip["width"]] = picture
        x1, y1, x2, y2 = boxes[i]
        rows, cols = np.mgrid[: size[0], : size[1]] + np.array([y.min(), x.min()])[:, None, None]
        inside[i] = (np.floor(x1) <= cols) & (cols < np.ceil(x2))
        inside[i] &= (np.floor(y1) <= rows) & (rows < np.ceil(y2))
    change = np.abs(whole[1:] - whole[:-1])
    in_boxes = change[inside[1:] & ~np.isnan(change)]
    frozen = np.mean([not np.nan_to_num(c).any() for c in change])
    return float(in_boxes.mean()), float(frozen)


def test_the_measures_are_those_of_the_published_clips(demo: tvb.Build) -> None:
    clips = demo.table("clips")
    clips = clips[clips["path"].notna()]
    chosen = clips.iloc[np.linspace(0, len(clips) - 1, 12).astype(int)]
    for _, clip in chosen.iterrows():
        own = [demo.table(t) for t in ("activities", "boxes")]
        own = [t[t["video_id"].astype(str) == str(clip["video_id"])] for t in own]
        luma, chroma = _decoded(demo.path / clip["path"])
        edges = [cv2.Laplacian(y, cv2.CV_64F)[1:-1, 1:-1] for y in luma]
        boxes = [_box_of(clip, clip["start"] + i, *own) for i in range(len(luma))]
        motion, frozen = _motion(clip, luma, boxes)
        assert clip["motion"] == pytest.approx(motion)
        assert clip["frozen"] == pytest.approx(frozen)
        assert clip["brightness"] == pytest.approx(luma.mean())
        assert clip["contrast"] == pytest.approx(luma.std())
        assert clip["blur"] == pytest.approx(np.var(edges))
        grey = np.abs(chroma.astype(float) - 128).mean(axis=(0, 2, 3))
        assert clip["infrared"] == bool((grey <= 2).all())


def test_a_window_that_follows_does_not_move_what_stands() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 60), np.uint8)
    left, top = [0, 2, 6, 4], [8, 8, 6, 0]
    luma = np.stack([picture[y : y + 10, x : x + 12] for x, y in zip(left, top, strict=True)])
    grey = np.full((4, 5, 6), 128, np.uint8)
    whole = np.tile([[0], [0], [12], [10]], 4)
    found = measure((luma, grey, grey), left, top, whole)
    assert (found.motion, found.frozen, found.infrared) == (0.0, 1.0, True)
    luma = luma.copy()
    luma[2, 3, 5] ^= 64  # one pixel of one frame, seen in the windows before and after as well
    found = measure((luma, grey, grey), left, top, whole)
    assert found.frozen == 1 / 3
    shared = sum((12 - abs(dx)) * (10 - abs(dy)) for dx, dy in ((2, 0), (4, -2), (-2, -6)))
    assert found.motion == 2 * 64 / shared
    nobody = np.zeros((4, 4), np.int64)
    assert measure((luma, grey, grey), left, top, nobody).motion is None


def test_what_a_single_frame_or_a_narrow_window_does_not_tell_is_none() -> None:
    luma, colour = np.full((1, 2, 8), 16, np.uint8), np.full((1, 1, 4), 160, np.uint8)
    found = measure((luma, colour, colour), [0], [0], np.array([[0], [0], [8], [2]]))
    assert found == (None, 16.0, 0.0, None, None, False)


@settings(max_examples=20)
@given(st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_no_measure_depends_on_how_the_work_is_parted(piece: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    luma, u, v = (rng.integers(0, 256, (7, *s), np.uint8) for s in ((6, 8), (3, 4), (3, 4)))
    still, boxes = [0] * 7, np.tile([[1], [1], [7], [5]], 7)
    whole = measure((luma, u, v), still, still, boxes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quality, "_PIECE", piece * 48)
        patch.setattr(quality, "_NARROW", piece)
        assert measure((luma, u, v), still, still, boxes) == whole
