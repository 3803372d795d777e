"""Windows of every parity, in and out of the picture, in every codec."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyvirat_build.settings import Encode
from tinyvirat_build.video.cutter import cut_video, estimate
from tinyvirat_build.video.encode import LOSSLESS
from tinyvirat_build.video.index import VideoIndex, index_video
from tinyvirat_build.video.program import program
from tinyvirat_build.video.spans import Estimate, decoding_runs, needed_frames
from tinyvirat_build.video.verify import verify_video
from tinyvirat_build.video.windows import Window

from .stamped import WITH_B, clips_frame, make_video, random_clips

SIZE = (97, 83)


@pytest.fixture(scope="module")
def odd_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("odd") / "a.mkv"
    return make_video(path, 24, codec="ffv1", options={}, size=SIZE, colour=(1, 1))


@pytest.fixture(scope="module")
def odd_index(odd_video: Path) -> VideoIndex:
    return index_video(odd_video)


@pytest.fixture(scope="module")
def odd_windows() -> pd.DataFrame:
    """Inside and over every edge, static and moving, even and odd; the last covers it all."""
    rng = np.random.default_rng(3)
    moving = rng.integers(-10, 40, 12) * 2
    return clips_frame(
        [
            (0, 8, 55, 55, 3, 2),
            (2, 10, 55, 55, -7, -9),
            (2, 12, 56, 56, 61, 47),
            (4, 12, 56, 56, 61, 46),
            (4, 16, 40, 40, moving, moving[::-1]),
            (5, 17, 41, 33, moving + 1, moving),
            (8, 20, 1, 1, 96, 82),
            (8, 24, 128, 128, -16, -20),
            (20, 24, 10, 10, -30, 100),
        ]
    )


def test_windows_of_every_kind_are_exact(
    odd_video: Path, odd_index: VideoIndex, odd_windows: pd.DataFrame, tmp_path: Path
) -> None:
    cuts = cut_video(
        odd_video, odd_index, odd_windows, tmp_path, Encode(),
        max_held=0.0, pack_path=tmp_path / "clips.yuv",
    )  # fmt: skip
    rows = odd_windows.merge(cuts, on="clip_id")
    assert rows["reason"].isna().all()
    assert verify_video(odd_video, odd_index, rows, tmp_path) == []
    formats = []
    for file in rows["file"]:
        with av.open(str(tmp_path / file)) as clip:
            formats.append(clip.streams.video[0].codec_context.pix_fmt)
    even = [w % 2 == h % 2 == 0 for w, h in zip(rows["width"], rows["height"], strict=True)]
    even[2] = even[3] = False  # even sides at odd corners share chroma samples with no one
    assert formats == ["yuv420p" if e else "yuv444p" for e in even]


@given(
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    x=st.integers(-60, 90),
    y=st.integers(-60, 90),
    high=st.integers(1, 40),
    wide=st.integers(1, 40),
)
@settings(max_examples=100, deadline=None)
def test_a_window_holds_the_nearest_samples_of_the_picture(
    width: int, height: int, x: int, y: int, high: int, wide: int
) -> None:
    rng = np.random.default_rng(0)
    half = ((high + 1) // 2, (wide + 1) // 2)
    picture = [rng.integers(0, 256, s, np.uint8) for s in ((high, wide), half, half)]
    window = Window.of(width, height, [x], [y])
    data = np.empty(window.frame_bytes, np.uint8)
    window.crop(picture, 0, window.planes(data))
    planes = window.full_chroma(data)
    for i in range(height):
        for j in range(width):
            row, col = min(max(y + i, 0), high - 1), min(max(x + j, 0), wide - 1)
            expected = [picture[0][row, col], *(p[row // 2, col // 2] for p in picture[1:])]
            assert [p[i, j] for p in planes] == expected


@pytest.mark.parametrize("codec", ["h264", "h264-crf", "vp9-lossless", "mpeg4", "ffv1"])
def test_every_codec_keeps_frames_size_rate_and_colour(
    odd_video: Path,
    odd_index: VideoIndex,
    odd_windows: pd.DataFrame,
    tmp_path: Path,
    codec: str,
) -> None:
    encode = Encode(codec=codec, quality=4)  # type: ignore[arg-type]
    wide_enough = odd_windows[odd_windows["width"] > 1]  # x264 in 4:2:0 and MPEG-4 need some room
    outputs = []
    for name in ("one", "two"):
        out = tmp_path / name
        out.mkdir()
        cuts = cut_video(
            odd_video, odd_index, wide_enough, out, encode,
            max_held=0.0, pack_path=out / "clips.yuv",
        )  # fmt: skip
        rows = wide_enough.merge(cuts, on="clip_id")
        assert rows["reason"].isna().all()
        problems = verify_video(odd_video, odd_index, rows, out, lossless=codec in LOSSLESS)
        assert problems == []
        outputs.append({p.name: p.read_bytes() for p in out.iterdir()})
    assert outputs[0] == outputs[1]


def test_a_clip_of_the_crf_setting_plays_in_a_browser(
    odd_video: Path, odd_index: VideoIndex, tmp_path: Path
) -> None:
    """Browsers play 8-bit 4:2:0 H.264 of the common profiles in MP4."""
    clips = clips_frame([(0, 20, 56, 56, 2, 4)])
    encode = Encode(codec="h264-crf")
    cut_video(odd_video, odd_index, clips, tmp_path, encode, max_held=0.0)
    with av.open(str(tmp_path / f"{clips['clip_id'][0]}.mp4")) as clip:
        context = clip.streams.video[0].codec_context
        assert clip.format.name.startswith("mov,mp4")
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert context.profile in ("Constrained Baseline", "Main", "High")


def test_clips_carry_no_clock_and_no_version(
    odd_video: Path, odd_index: VideoIndex, tmp_path: Path
) -> None:
    clips = clips_frame([(0, 20, 56, 56, 2, 4)])
    cut_video(odd_video, odd_index, clips, tmp_path, Encode(), max_held=0.0)
    data = (tmp_path / f"{clips['clip_id'][0]}.mp4").read_bytes()
    assert b"Lavf" not in data
    with av.open(str(tmp_path / f"{clips['clip_id'][0]}.mp4")) as clip:
        assert "creation_time" not in clip.metadata


def test_verify_names_what_is_wrong(
    odd_video: Path, odd_index: VideoIndex, odd_windows: pd.DataFrame, tmp_path: Path
) -> None:
    cuts = cut_video(
        odd_video, odd_index, odd_windows, tmp_path, Encode(),
        max_held=0.0, pack_path=tmp_path / "clips.yuv",
    )  # fmt: skip
    rows = odd_windows.merge(cuts, on="clip_id")

    def checks(table: pd.DataFrame) -> set[tuple[str, str]]:
        problems = verify_video(odd_video, odd_index, table, tmp_path)
        return {(p.check, p.where.removeprefix("clip ")) for p in problems}

    first = rows["clip_id"][0]
    shifted = rows.copy()
    shifted.at[0, "x"] = [v + 2 for v in rows.at[0, "x"]]
    assert checks(shifted) == {("pixels", first), ("pack", first)}
    late = rows.copy()
    late.loc[0, ["start", "end"]] += 1
    assert checks(late) == {("pixels", first), ("pack", first)}
    long = rows.copy()
    long.loc[0, "end"] += 1
    long.at[0, "x"], long.at[0, "y"] = [3] * 9, [2] * 9
    assert ("frames", first) in checks(long)
    held = rows.copy()
    held.loc[0, "held"] = 1
    assert checks(held) == {("held", first)}
    swapped = rows.copy()
    swapped.loc[0, "file"] = rows["file"][1]
    assert {("checksum", first), ("pixels", first)} <= checks(swapped)
    with (tmp_path / "clips.yuv").open("r+b") as pack:
        pack.seek(int(rows["pack_offset"][0]) + 60 * 2 + 10)
        pack.write(b"\0\1\2")
    assert checks(rows) == {("pack", first)}
    (tmp_path / rows["file"][0]).unlink()
    assert ("file", first) in checks(rows)


def test_a_clip_is_what_opencv_and_ffprobe_expect(
    odd_video: Path, odd_index: VideoIndex, tmp_path: Path
) -> None:
    clips = clips_frame([(0, 20, 56, 56, 2, 4)])
    cut_video(odd_video, odd_index, clips, tmp_path, Encode(), max_held=0.0)
    file = tmp_path / f"{clips['clip_id'][0]}.mp4"
    capture = cv2.VideoCapture(str(file))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 20
    assert capture.get(cv2.CAP_PROP_FPS) == 30
    text = subprocess.run(
        [program(), "-i", file, "-f", "framecrc", "-c", "copy", "-"], capture_output=True, text=True
    ).stdout
    times = [int(line.split(",")[2]) for line in text.splitlines() if not line.startswith("#")]
    assert times[0] == 0
    assert len(set(np.diff(times).tolist())) == 1


def test_only_what_is_needed_is_decoded(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", 240, options=WITH_B)
    index = index_video(video)
    assert index.disposable.any()
    clips = clips_frame([(30, 40, 48, 48, 0, 0), (200, 204, 48, 48, 0, 0)])
    runs = decoding_runs(index, needed_frames(240, clips["start"], clips["end"]))
    assert [r.first for r in runs] == [24, 192]
    assert all(r.last < r.first + 24 for r in runs)
    assert any(r.skip.any() for r in runs)
    cost = estimate(index, clips)
    assert (cost.clips, cost.gops) == (2, 3)
    assert cost.frames_to_decode < 30
    assert (cost + Estimate.zero()) == cost
    bare = estimate(index, clips, Encode(pack=False))
    assert cost.bytes_out - bare.bytes_out == 14 * 48 * 48 * 3 // 2
    small = estimate(index, clips, Encode(codec="mpeg4", pack=False))
    assert small.bytes_out < bare.bytes_out
    assert small.seconds < bare.seconds
    assert json.dumps(cost.describe())
    both = (cost + small).slower(1e6 / cost.longest)
    assert both.longest == pytest.approx(1e6)
    assert (
        replace(both, workers=99).describe().endswith(f"{1e6 / 3600:.1f} h")
    )  # a worker helps no other


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc/self/status")
def test_memory_depends_neither_on_length_nor_on_clips(tmp_path: Path) -> None:
    """The peak of a process that cuts, in MiB, for few and many clips of a short and long video."""
    # not getrusage: its ru_maxrss survives exec, so a child starts with the peak of this process
    script = """
import re, sys
import pandas as pd
from pathlib import Path
from tinyvirat_build.settings import Encode
from tinyvirat_build.video.cutter import cut_video
from tinyvirat_build.video.index import index_video
video, clips, out = sys.argv[1:]
cut_video(video, index_video(video), pd.read_pickle(clips), Path(out), Encode(), max_held=0.1)
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024)
"""
    peaks = []
    for frames, count in ((300, 3), (3000, 300)):
        video = make_video(
            tmp_path / f"{frames}.mp4", frames, size=(640, 368), options={"preset": "ultrafast"}
        )
        out = tmp_path / f"out-{frames}"
        out.mkdir()
        clips = random_clips(frames, (640, 368), count=count, length=64)
        clips.to_pickle(out / "clips.pkl")
        command = [sys.executable, "-c", script, video, out / "clips.pkl", out]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(float(done.stdout))
    assert peaks[1] < 500
    assert peaks[1] - peaks[0] < 60
