"""Near-duplicate clips in different splits, by a perceptual hash of two of their frames."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tinyvirat_build import progress
from tinyvirat_build.geometry.arrays import Bytes, Ints
from tinyvirat_build.records import KEYS
from tinyvirat_build.video.frames import frames_at, packed_luma

BITS: Final = 128  # 64 of the first frame, 64 of the middle one
BANDS: Final = 8  # of 16 bits: of two hashes that differ in 7 bits, one band at least is equal
MAX_DISTANCE: Final = BANDS - 1
_SIDE: Final = 32  # pixels; a frame is reduced to this before the transform
_LOW: Final = 8  # frequencies kept, per axis

Hashes = Bytes


def duplicates(
    clips: pd.DataFrame, root: Path, *, workers: int = 2, quiet: bool = True
) -> pd.DataFrame:
    """Pairs of clips in different splits that look alike: clip, split and video of both, distance.

    ``clips`` is the manifest, ``root`` what its paths are relative to. The distance counts the
    bits, of 128, in which the hashes differ; every pair up to 7 is found. Clips without a file,
    or whose file does not decode, take no part. Chunks that share frames lie in one split.
    """
    there = clips[clips["path"].notna()].reset_index(drop=True)
    with ThreadPoolExecutor(workers) as pool:
        rows = there.to_dict("records")
        found = pool.map(lambda row: _hash_clip(row, root), rows)
        hashes = list(progress.counted(found, len(rows), "hash", "clip", quiet=quiet))
    known = np.flatnonzero([one is not None for one in hashes])
    table = np.array([hashes[i] for i in known], dtype=np.uint8).reshape(len(known), BITS // 8)
    split = there["split"].to_numpy(dtype=object)[known]
    one, other, distance = near_pairs(table, split)
    a, b = (there.iloc[known[side]].reset_index(drop=True) for side in (one, other))
    columns = ["clip_id", "split", *KEYS[:2]]
    pairs = pd.concat([a[columns].add_suffix("_a"), b[columns].add_suffix("_b")], axis=1).assign(
        distance=distance
    )
    return pairs.sort_values(["distance", "clip_id_a", "clip_id_b"], ignore_index=True)


def hash_frames(frames: Sequence[Bytes]) -> Hashes:
    """The hash ``(16,)`` of two frames (H, W) of luma: signs of low frequencies about the median.

    A DCT of the frame at 32×32, of which the 8×8 lowest frequencies are kept; so it holds against
    scaling, noise and compression, not against another place in the picture.
    """
    bits = []
    for frame in frames:
        small = cv2.resize(frame, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        low = cv2.dct(small.astype(np.float32))[:_LOW, :_LOW].ravel()
        bits.append(low > np.median(low[1:]))  # the first is the mean brightness
    return np.packbits(np.concatenate(bits))


def near_pairs(hashes: Hashes, split: NDArray[np.object_]) -> tuple[Ints, Ints, Ints]:
    """Rows ``i < j`` of different splits whose hashes ``(N, 16)`` differ in at most 7 bits.

    Also their distances. Hashes are sorted by each band of 16 bits, and only those with a band in
    common are compared, so that the cost is not quadratic.
    """
    found = [np.zeros((0, 2), dtype=np.int64)]
    _, code = np.unique(split.astype(str), return_inverse=True)
    bands = np.ascontiguousarray(hashes).view(np.uint16).reshape(len(hashes), BANDS)
    for band in bands.T:
        order = np.argsort(band, kind="stable")
        ordered = band[order]
        step = 1
        same = np.flatnonzero(ordered[step:] == ordered[:-step])
        while len(same):
            i, j = order[same], order[same + step]
            across = code[i] != code[j]
            i, j = i[across], j[across]
            near = _distance(hashes, i, j) <= MAX_DISTANCE
            found.append(np.sort(np.stack([i[near], j[near]], axis=1), axis=1))
            step += 1
            same = same[same + step < len(ordered)]
            same = same[ordered[same] == ordered[same + step]]
    pairs = np.unique(np.concatenate(found), axis=0)
    one, other = pairs[:, 0], pairs[:, 1]
    return one, other, _distance(hashes, one, other)


def _distance(hashes: Hashes, one: Ints, other: Ints) -> Ints:
    different = np.unpackbits(hashes[one] ^ hashes[other], axis=1)
    total: Ints = different.sum(axis=1, dtype=np.int64)
    return total


def _hash_clip(row: Mapping[Hashable, Any], root: Path) -> Hashes | None:
    """The hash of a row of the manifest: from its raw frames where they are, else from its file."""
    places = (0, int(row["n_frames"]) // 2)
    width, height = int(row["width"]), int(row["height"])
    frames: list[Bytes] = []
    if isinstance(row["pack_file"], str) and not (width % 2 or height % 2):
        offset = int(row["pack_offset"])
        frames = packed_luma(root / row["pack_file"], offset, width, height, places)
    frames = frames or frames_at(root / row["path"], places, luma=True)
    return hash_frames(frames) if frames else None
