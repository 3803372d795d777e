"""Cutting where a file is damaged: only what another decoder shows alike becomes a clip.

Decoders differ in what they make of damage. Where the index or the decoder met some, each clip is
compared at once with what the ffmpeg program shows, as ``verify`` does, and one that it shows
otherwise is no clip. It is asked twice, with one thread and with several, as players have them: a
decoder that leaves part of a picture as its memory was then shows something else. The verdict
depends on nothing but the source, so that equal builds agree.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from tinyvirat_build.settings import Encode
from tinyvirat_build.video.cutter import Profile, cut_video
from tinyvirat_build.video.encode import LOSSLESS
from tinyvirat_build.video.glimpse import Afar
from tinyvirat_build.video.index import VideoIndex
from tinyvirat_build.video.verify import verify_video

DISPUTED = "disputed"
_THREADS: Final = (1, 4)  # of the program: verify's own count, and one as players have it


def cut_agreed(
    path: Path,
    index: VideoIndex,
    clips: pd.DataFrame,
    out_dir: Path,
    encode: Encode,
    *,
    max_held: float,
    pack_path: Path | None = None,
    prove: bool = False,
    afar: Afar | None = None,
) -> pd.DataFrame:
    """Cut as :func:`cut_video` does; a clip that the ffmpeg program shows otherwise is disputed.

    Only a damaged source is compared, or with ``prove`` any. The rest is cut again without the
    disputed clips, until nothing is left to dispute. ``afar`` is of a source that is here in
    parts.

    Raises:
        VideoError: as :func:`cut_video`.
        MeansError: memory, disk, file handles or threads ran out, or the program was killed.
    """
    disputed: set[str] = set()
    while True:
        wanted = clips[~clips["clip_id"].isin(disputed)]
        profile = Profile()
        cuts = cut_video(
            path, index, wanted, out_dir, encode,
            max_held=max_held, pack_path=pack_path, profile=profile, afar=afar,
        )  # fmt: skip
        if not (prove or index.broken or profile.passes > 1):
            return cuts
        if afar is not None:
            afar.beyond()
        rows = wanted.merge(cuts[cuts["reason"].isna()], on="clip_id")
        lossless = encode.codec in LOSSLESS
        found = {
            problem.where.removeprefix("clip ")
            for threads in _THREADS
            for problem in verify_video(
                path, index, rows, out_dir, lossless=lossless, threads=threads
            )
        }
        if not found:
            return _in_order(clips, cuts, disputed)
        for file in rows["file"][rows["clip_id"].isin(found)]:
            (out_dir / file).unlink()
        disputed |= found


def _in_order(clips: pd.DataFrame, cuts: pd.DataFrame, disputed: set[str]) -> pd.DataFrame:
    """The table of all clips, in the order in which they were asked for."""
    rows = cuts.set_index("clip_id").reindex(clips["clip_id"]).reset_index()
    rows.loc[rows["clip_id"].isin(disputed), "reason"] = DISPUTED
    return rows.where(rows.notna(), None)
