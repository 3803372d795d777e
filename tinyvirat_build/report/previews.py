"""Previews of clips whose codec browsers do not play: of which, of what kind, made once.

A preview is named after its clip's checksum, so that a build that goes on makes only what it lacks.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import av
import cv2
import numpy as np
import pandas as pd

from tinyvirat_build.geometry import new_frames
from tinyvirat_build.records import KEYS
from tinyvirat_build.report.moving import FILM, LARGEST, STRIP, encode
from tinyvirat_build.report.scripts import FOLDER
from tinyvirat_build.settings import Settings
from tinyvirat_build.store import PARTIAL
from tinyvirat_build.store.means import raise_if_lacking
from tinyvirat_build.video.encode import LOSSLESS

PREVIEWS: Final = f"{FOLDER}/previews"
PLAYED: Final = ("h264", "h264-crf", "vp9-lossless")  # codecs that browsers play themselves
# A film takes 2 to 6 ms; this many pixels of a source take over 60 ms to decode, more than ten
# times as much, and what the clip's own encoder takes comes to it.
DEAR: Final = 48_000_000


def preview_path(name: str) -> str:
    """The file of the preview of that name, relative to the build."""
    return f"{PREVIEWS}/{name[:2]}/{name}"


def wanted(clips: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """The clips of the manifest to make previews of; with no pack, where that has others' pixels.

    Unasked, of those alone whose frames a pack has, which to read costs less than to decode a clip
    again. A clip of a lossy codec is shown as it is, whether or not there is a pack beside it.
    """
    codec, asked = settings.encode.codec, settings.report.previews
    if asked == "none" or (asked == "auto" and codec in PLAYED):
        return clips.iloc[:0]
    rows = clips[clips["path"].notna()]
    if codec not in LOSSLESS:
        rows = rows.assign(pack_file=None)
    return rows if asked == "always" else rows[rows["pack_file"].notna()]


def named(clips: pd.DataFrame, videos: pd.DataFrame) -> pd.DataFrame:
    """The clips with the names of their previews, ``preview``, which end in their kinds.

    Films where they cost less than a tenth of cutting: in videos of which each clip has
    :data:`DEAR` pixels to decode, a frame that several need counted once. Strips elsewhere.
    """
    group = pd.MultiIndex.from_frame(clips[list(KEYS)].astype(str))
    area = videos["width"].fillna(0).astype(int) * videos["height"].fillna(0).astype(int)
    area.index = pd.MultiIndex.from_frame(videos[list(KEYS)].astype(str))
    codes, keys = pd.factorize(group)
    spans = (clips[name].to_numpy(np.int64) for name in ("start", "end"))
    frames = pd.Series(new_frames(codes.astype(np.int64), *spans)).groupby(codes).mean()
    dear = frames.to_numpy() * area.reindex(keys).to_numpy() >= DEAR
    kinds = np.where(dear[codes], FILM, STRIP)
    return clips.assign(preview=clips["sha256"].astype(str).str[:16] + "." + kinds)


def make_previews(clips: pd.DataFrame, root: Path) -> dict[str, str]:
    """Make the previews of :func:`named` clips that are not there yet; delete others.

    ``root`` is what the paths of the clips are relative to. Returns the names of those that there
    are, by clip: one that does not decode has none.
    """
    rows = {str(row["preview"]): row for row in clips.to_dict("records")}
    files = {root / preview_path(name): name for name in rows}
    there = set()
    for file in (root / PREVIEWS).glob("*/*"):
        if file in files and 0 < file.stat().st_size <= LARGEST:
            there.add(files[file])
        else:
            file.unlink()
    lacking = [name for name in rows if name not in there]
    for folder in {preview_path(name).rpartition("/")[0] for name in lacking}:
        (root / folder).mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = pool.map(lambda name: _make(rows[name], root, root / preview_path(name)), lacking)
        done = [name for name, ok in zip(lacking, made, strict=True) if ok]
    there.update(done)
    by_clip = zip(clips["clip_id"].astype(str), clips["preview"], strict=True)
    return {clip: name for clip, name in by_clip if name in there}


def _make(row: dict[Any, Any], root: Path, path: Path) -> bool:
    try:
        data = encode(row, root)
    except (OSError, ValueError, cv2.error, av.FFmpegError) as e:
        raise_if_lacking(e)
        return False
    partial = path.with_name(f".{path.name}{PARTIAL}")
    partial.write_bytes(data)
    partial.replace(path)
    return True
