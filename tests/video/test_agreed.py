"""Where a source is damaged, a clip that another decoder shows otherwise is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tinyvirat_build.geometry.arrays import Bytes, Ints
from tinyvirat_build.settings import Encode
from tinyvirat_build.video import verify
from tinyvirat_build.video.agreed import DISPUTED, cut_agreed
from tinyvirat_build.video.index import VideoIndex, index_video
from tinyvirat_build.video.source_frames import decoded_frames

from .judged import clips_over
from .stamped import make_video

ODD = 20  # the frame that the other decoder shows otherwise
SIZE = 96, 80


class Program:
    """The ffmpeg program as it were if it showed another picture of one frame."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(
        self, path: Path, index: VideoIndex, frames: Ints, *, threads: int
    ) -> Iterator[tuple[int, list[Bytes]]]:
        self.asked += 1
        for number, planes in decoded_frames(path, index, frames, threads=threads):
            yield number, [255 - p for p in planes] if number == ODD else planes


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Program:
    other = Program()
    monkeypatch.setattr(verify, "decoded_frames", other)
    return other


@pytest.mark.parametrize("asked", ["damaged", "prove"])
def test_a_clip_that_decoders_show_differently_is_disputed(
    asked: str, program: Program, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "v.mp4", 40)
    index = replace(index_video(video), broken=asked == "damaged")
    clips = clips_over(40, SIZE)
    pack = tmp_path / "clips.yuv"
    cuts = cut_agreed(
        video, index, clips, tmp_path, Encode(), max_held=0, pack_path=pack,
        prove=asked == "prove",
    )  # fmt: skip
    assert cuts["clip_id"].tolist() == clips["clip_id"].tolist()
    odd = (clips["start"] <= ODD) & (clips["end"] > ODD)
    assert (cuts["reason"] == DISPUTED).tolist() == odd.tolist()
    assert cuts["file"].isna().tolist() == odd.tolist()
    kept = clips.merge(cuts[cuts["reason"].isna()], on="clip_id")
    assert sorted(p.name for p in tmp_path.glob("*.mp4")) == sorted([*kept["file"], "v.mp4"])
    assert kept["pack_offset"].diff().dropna().nunique() == 1  # clip after clip
    assert verify.verify_video(video, index, kept, tmp_path) == []


def test_a_whole_source_is_not_decoded_twice(program: Program, tmp_path: Path) -> None:
    video = make_video(tmp_path / "v.mp4", 40)
    cuts = cut_agreed(
        video, index_video(video), clips_over(40, SIZE), tmp_path, Encode(), max_held=0
    )
    assert cuts["reason"].isna().all()
    assert program.asked == 0


def test_where_all_is_disputed_nothing_is_left(program: Program, tmp_path: Path) -> None:
    video = make_video(tmp_path / "v.mp4", 40)
    clips = clips_over(40, SIZE)[2:3]
    pack = tmp_path / "clips.yuv"
    cuts = cut_agreed(
        video, index_video(video), clips, tmp_path, Encode(), max_held=0, pack_path=pack,
        prove=True,
    )  # fmt: skip
    assert cuts["reason"].tolist() == [DISPUTED]
    assert not pack.exists()
    assert not list(tmp_path.glob("0*.mp4"))
