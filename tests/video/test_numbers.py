"""Frames are counted as a player counts them, whatever the file looks like."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from tinyvirat_build.errors import VideoError
from tinyvirat_build.settings import Encode
from tinyvirat_build.video.cutter import cut_video
from tinyvirat_build.video.index import index_video
from tinyvirat_build.video.program import program
from tinyvirat_build.video.verify import verify_video

from .stamped import (
    NO_B,
    OPEN_GOP,
    WITH_B,
    clips_frame,
    decode_luma,
    make_video,
    read_number,
    run_ffmpeg,
)

# The annotated frames of each awkward video, and the source frame that a player shows first there.
CASES = {
    "avi-chunk-header-zeroed": (100, 132, 100),
    "clock-restarts": (180, 204, 1036),
    "h264-starts-at-open-gop": (40, 72, 64),
    "hevc-starts-at-cra": (40, 72, 64),
    "mpeg1-program-stream": (40, 72, 40),
    "vp8-hidden-frames": (40, 72, 40),
}
SIZE = (96, 80)


@pytest.mark.parametrize("name", CASES)
def test_awkward_videos(name: str, shared: Path, tmp_path: Path) -> None:
    start, end, first = CASES[name]
    (video,) = (shared / "data/cases" / name / "videos").iterdir()
    index = index_video(video)
    clips = clips_frame([(start, end, 64, 64, 64, 64)])
    cuts = cut_video(video, index, clips, tmp_path, Encode(), max_held=0.1)
    assert cuts["reason"].isna().all()
    shown = [read_number(f, 64, 64) for f in decode_luma(tmp_path / cuts["file"][0])]
    assert shown == list(range(first, first + end - start))
    assert verify_video(video, index, clips.merge(cuts, on="clip_id"), tmp_path) == []


def shown_by_player(video: Path) -> list[int]:
    """The numbers in the pictures that the ffmpeg program puts out."""
    command = [program(), "-v", "quiet", "-i", video, "-fps_mode", "passthrough"]
    command += ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]
    raw = subprocess.run(command, capture_output=True).stdout
    frame = SIZE[0] * SIZE[1]
    luma = np.frombuffer(raw, np.uint8).reshape(-1, frame * 3 // 2)[:, :frame]
    return [read_number(f.reshape(SIZE[1], SIZE[0]), 0, 0) for f in luma]


def check(video: Path, folder: Path, *, length: int = 10) -> None:
    """Every clip of every frame is what the program shows at that place."""
    shown = shown_by_player(video)
    index = index_video(video)
    assert index.n_frames == len(shown)
    spans = [(n, n + length) for n in range(0, len(shown) - length, length // 2)]
    clips = clips_frame([(a, b, 48, 48, 16, 16) for a, b in spans])
    folder.mkdir()
    cuts = cut_video(video, index, clips, folder, Encode(), max_held=0.1)
    assert cuts["reason"].isna().all()
    for (a, b), file in zip(spans, cuts["file"], strict=True):
        assert [read_number(f, 16, 16) for f in decode_luma(folder / file)] == shown[a:b]
    assert verify_video(video, index, clips.merge(cuts, on="clip_id"), folder) == []


@pytest.mark.parametrize("kind", ["ts", "mkv", "mp4"])
@pytest.mark.parametrize("options", [NO_B, WITH_B, OPEN_GOP], ids=["no-b", "b", "open-gop"])
@pytest.mark.parametrize("lost", [1, 5, 12])
def test_a_recording_that_begins_inside_a_group(
    kind: str, options: dict[str, str], lost: int, tmp_path: Path
) -> None:
    whole = make_video(tmp_path / f"whole.{kind}", 60, options=options)
    torn = tmp_path / f"a.{kind}"
    run_ffmpeg("-copyts", "-i", whole, "-c", "copy", "-bsf:v", f"noise=drop=lt(n\\,{lost})", torn)
    check(torn, tmp_path / "out")


@pytest.mark.parametrize("options", [NO_B, WITH_B, OPEN_GOP], ids=["no-b", "b", "open-gop"])
@pytest.mark.parametrize("offset", [0, -5, 3600])
def test_recordings_that_are_joined(options: dict[str, str], offset: int, tmp_path: Path) -> None:
    """The clock restarts, goes back to before, or jumps ahead."""
    one = make_video(tmp_path / "1.ts", 40, options=options)
    two = tmp_path / "2.ts"
    run_ffmpeg("-i", one, "-c", "copy", "-output_ts_offset", str(offset + 10), two)
    joined = tmp_path / "a.ts"
    joined.write_bytes(one.read_bytes() + two.read_bytes())
    check(joined, tmp_path / "out")


@pytest.mark.parametrize("kind", ["mkv", "webm"])
@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9", "libsvtav1"])
def test_packets_that_show_nothing(kind: str, codec: str, tmp_path: Path) -> None:
    options = {"auto-alt-ref": "1", "lag-in-frames": "16", "g": "40", "b:v": "300k"}
    if codec == "libsvtav1":
        options = {"preset": "10", "g": "40", "svtav1-params": "lp=1"}  # its threads may lock
    video = make_video(tmp_path / f"a.{kind}", 60, codec=codec, options=options)
    check(video, tmp_path / "out")


def test_an_edit_list_that_repeats_is_refused(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "whole.mp4", 40, options=NO_B)
    data = bytearray(whole.read_bytes())
    at = data.find(b"elst")
    assert at > 0
    size = int.from_bytes(data[at - 4 : at], "big")
    entry = bytes(data[at + 12 : at - 4 + size])
    # A second entry like the first needs room: the free box behind the index gives none, so the
    # count and the boxes around it grow, and the data move on.
    grow = len(entry)
    for name in (b"elst", b"edts", b"trak", b"moov"):
        box = data.rfind(name, 0, at + 4)
        length = int.from_bytes(data[box - 4 : box], "big") + grow
        data[box - 4 : box] = length.to_bytes(4, "big")
    data[at + 8 : at + 12] = (2).to_bytes(4, "big")
    data[at + 12 : at + 12] = entry
    video = tmp_path / "a.mp4"
    video.write_bytes(data)
    with pytest.raises(VideoError) as e:
        index_video(video)
    assert e.value.reason == "edit_list"


def test_a_hole_in_the_recording_changes_no_number(tmp_path: Path) -> None:
    times = [10 * n + (3000 if n >= 30 else 0) for n in range(60)]
    check(make_video(tmp_path / "a.mkv", 60, options=WITH_B, times=times), tmp_path / "out")


@pytest.mark.parametrize("kind", ["mkv", "ts"])
def test_a_loss_in_the_middle_leaves_nothing_certain_behind_it(kind: str, tmp_path: Path) -> None:
    """Pictures are missing from the bitstream, and time steps: nobody knows who saw them."""
    whole = make_video(tmp_path / f"whole.{kind}", 60, options=NO_B)
    torn = tmp_path / f"a.{kind}"
    run_ffmpeg(
        "-copyts", "-i", whole, "-c", "copy", "-bsf:v", "noise=drop=between(n\\,29\\,30)", torn
    )
    assert index_video(torn).uncertain.tolist() == [[29, 58]]


def test_transport_packets_that_are_gone(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "whole.ts", 60, options=NO_B)
    position = index_video(whole).pos
    data = whole.read_bytes()
    torn = tmp_path / "a.ts"
    torn.write_bytes(data[: position[20]] + data[position[23] :])
    assert index_video(torn).uncertain.tolist() == [[20, 57]]
