"""Rate and colour of a clip are its source's, and verify takes them as a reader does."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import PictureType

from tinyvirat_build.settings import Encode
from tinyvirat_build.video.cutter import cut_video
from tinyvirat_build.video.encode import LOSSLESS
from tinyvirat_build.video.index import Colour, VideoIndex, index_video
from tinyvirat_build.video.verify import Problem, verify_video

from .stamped import WITH_B, make_video, picture, random_clips, run_ffmpeg

FRAMES = 40
FFV1 = Encode(codec="ffv1")
MPEG2 = {"g": "12", "qmin": "2", "qmax": "2", "bf": "2"}
SOURCES: dict[str, dict[str, Any]] = {
    "hevc": {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
    "vp9": {"codec": "libvpx-vp9", "options": {}},
    "mpeg2": {"codec": "mpeg2video", "options": MPEG2},
    "full": {"pix_fmt": "yuvj420p", "colour": (2, 2)},
    "full-709": {"pix_fmt": "yuvj420p", "colour": (2, 1)},
    "limited-601": {"colour": (1, 5)},
}


def problems_of(
    video: Path, encode: Encode, index: VideoIndex | None = None
) -> tuple[VideoIndex, list[Problem], Path]:
    index = index or index_video(video)
    out = video.with_name(f"{video.stem}-{encode.codec}")
    out.mkdir()
    clips = random_clips(index.n_frames, (96, 80), count=2)
    cuts = cut_video(video, index, clips, out, encode, max_held=0.1)
    assert cuts["reason"].isna().all()
    rows = clips.merge(cuts, on="clip_id")
    lossless = encode.codec in LOSSLESS
    return index, verify_video(video, index, rows, out, lossless=lossless), out / cuts["file"][0]


@pytest.mark.parametrize("codec", ["h264", "h264-crf", "vp9-lossless", "mpeg4", "ffv1"])
@pytest.mark.parametrize("kind", SOURCES)
def test_colour_is_carried_over(kind: str, codec: str, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mkv", FRAMES, **SOURCES[kind])
    encode = Encode(codec=codec)  # type: ignore[arg-type]
    index, problems, clip = problems_of(video, encode)
    assert problems == []
    with av.open(str(clip)) as container:
        context: Any = container.streams.video[0].codec_context
        assert (context.color_range == 2) == (index.colour.range == 2)
        if index.colour.matrix != Colour().matrix:
            assert context.colorspace == index.colour.matrix


@pytest.mark.parametrize("codec", ["h264", "mpeg4"])
def test_another_range_is_a_problem(codec: str, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", FRAMES, colour=(1, 5))
    index = index_video(video)
    full = replace(index, colour=replace(index.colour, range=2))
    out = tmp_path / "out"
    out.mkdir()
    clips = random_clips(FRAMES, (96, 80), count=1)
    encode = Encode(codec=codec)  # type: ignore[arg-type]
    cuts = cut_video(video, index, clips, out, encode, max_held=0.1)
    rows = clips.merge(cuts, on="clip_id")
    assert {p.check for p in verify_video(video, full, rows, out, lossless=False)} == {"colour"}


@pytest.mark.parametrize("fps", [Fraction(60000, 1001), Fraction(24000, 1001), 10])
def test_matroska_rounds_a_rate_and_verify_knows(fps: Fraction, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", FRAMES, fps=fps)
    index, problems, _ = problems_of(video, FFV1)
    assert problems == []
    clips = random_clips(FRAMES, (96, 80), count=1)
    rows = clips.merge(cut_video(video, index, clips, tmp_path, FFV1, max_held=0), on="clip_id")
    other = rows.assign(fps=str(index.fps * Fraction(1001, 1000)))
    assert "rate" in {p.check for p in verify_video(video, index, other, tmp_path)}


@pytest.mark.parametrize("kind", ["mp4", "ts", "mkv"])
@pytest.mark.parametrize("codec", ["h264", "mpeg4"])
def test_a_variable_rate_has_a_clock_that_every_codec_ticks(
    kind: str, codec: str, tmp_path: Path
) -> None:
    times = np.cumsum(np.random.default_rng(0).integers(3, 40, FRAMES)).tolist()
    video = make_video(tmp_path / f"a.{kind}", FRAMES, times=times, options=WITH_B)
    index, problems, _ = problems_of(video, Encode(codec=codec))  # type: ignore[arg-type]
    assert problems == []
    mean = (FRAMES - 1) / ((times[-1] - times[0]) / 300)
    assert mean / 2 < index.fps < mean * 2
    assert index.fps.numerator <= 65535


def test_a_transport_stream_whose_clock_wraps(tmp_path: Path) -> None:
    plain = make_video(tmp_path / "plain.ts", 300, options=WITH_B)
    video = tmp_path / "a.ts"
    run_ffmpeg("-i", plain, "-c", "copy", "-output_ts_offset", f"{2**33 / 90000 - 5}", video)
    index, problems, _ = problems_of(video, Encode())
    assert (index.pts[0] < 0) or np.any(np.diff(index.pts) < -(2**32))
    assert problems == []


def test_an_avi_that_may_reorder_but_does_not(tmp_path: Path) -> None:
    """Its parameter sets allow B pictures, so that FFmpeg guesses presentation times."""
    options = {"preset": "medium", "crf": "12", "g": "24", "bf": "1", "x264-params": "b-adapt=0"}
    video = tmp_path / "a.avi"
    with av.open(str(video), "w") as out:
        stream: Any = out.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 80, "yuv420p"
        stream.codec_context.thread_count = 1
        for number in range(FRAMES + 1):
            frame = None
            if number < FRAMES:
                frame = picture(number, 96, 80)
                frame.pts, frame.time_base = number, Fraction(1, 30)
                frame.pict_type = PictureType.I if number % 24 == 0 else PictureType.P
            for packet in stream.encode(frame):
                out.mux(packet)
    _, problems, _ = problems_of(video, Encode())
    assert problems == []
