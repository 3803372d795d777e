"""What cannot be cut exactly is refused, with the reason; what is damaged ends well."""

from __future__ import annotations

import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from tinyvirat_build.errors import VideoError
from tinyvirat_build.records import REASONS
from tinyvirat_build.settings import Encode
from tinyvirat_build.video.cutter import Profile, cut_video
from tinyvirat_build.video.index import VideoIndex, index_video
from tinyvirat_build.video.verify import verify_video

from .stamped import NO_B, WITH_B, clips_frame, make_video, random_clips, run_ffmpeg


def reason_of(video: Path) -> str:
    with pytest.raises(VideoError) as e:
        index_video(video)
    assert e.value.reason in REASONS
    assert "\n" not in str(e.value)
    return e.value.reason


@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv420p10le", "yuv422p10le"])
def test_other_pixel_formats(tmp_path: Path, pix_fmt: str) -> None:
    plain = make_video(tmp_path / "plain.mp4", 12)
    video = tmp_path / "a.mp4"
    run_ffmpeg("-i", plain, "-pix_fmt", pix_fmt, "-c:v", "libx264", video)
    assert reason_of(video) == "pixel_format"


def test_rotation(tmp_path: Path) -> None:
    plain = make_video(tmp_path / "plain.mp4", 12)
    video = tmp_path / "a.mp4"
    run_ffmpeg("-display_rotation", "90", "-i", plain, "-c", "copy", video)
    assert reason_of(video) == "rotated"


def test_interlacing(tmp_path: Path) -> None:
    plain = make_video(tmp_path / "plain.mp4", 12)
    video = tmp_path / "a.mp4"
    run_ffmpeg("-i", plain, "-c:v", "libx264", "-x264-params", "tff=1", video)
    assert reason_of(video) == "interlaced"


def test_files_that_are_no_video(tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    assert reason_of(video) == "unreadable"
    video.write_bytes(b"")
    assert reason_of(video) == "unreadable"
    video.write_bytes(bytes(range(256)) * 64)
    assert reason_of(video) == "unreadable"
    run_ffmpeg("-f", "lavfi", "-i", "sine=duration=1", video)
    assert reason_of(video) == "no_frames"


def test_a_codec_that_nobody_knows(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.avi", 12)
    video.write_bytes(video.read_bytes().replace(b"H264", b"ZZZZ"))
    assert reason_of(video) == "unreadable"


def test_a_change_of_size_in_mid_stream(tmp_path: Path) -> None:
    parts = [
        make_video(tmp_path / "1.h264", 24, options=NO_B),
        make_video(tmp_path / "2.h264", 24, options=NO_B, size=(128, 96)),
    ]
    raw = tmp_path / "both.h264"
    raw.write_bytes(b"".join(p.read_bytes() for p in parts))
    clips = clips_frame([(0, 16, 48, 48, 0, 0), (16, 32, 48, 48, 0, 0), (30, 46, 48, 48, 0, 0)])
    out = tmp_path / "out"
    out.mkdir()
    cuts = cut_video(raw, index_video(raw), clips, out, Encode(), max_held=0.1)
    assert cuts["reason"].fillna("").tolist() == ["", "size_change", "size_change"]
    assert [p.name for p in out.iterdir()] == [cuts["file"][0]]


def test_a_file_that_is_not_the_one_indexed(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", 60)
    index = index_video(video)
    make_video(video, 60, size=(128, 96), options=WITH_B)
    with pytest.raises(VideoError, match="source_changed"):
        cut_video(video, index, random_clips(60, (96, 80)), tmp_path, Encode(), max_held=0.1)
    video.unlink()
    with pytest.raises(VideoError, match="unreadable"):
        cut_video(video, index, random_clips(60, (96, 80)), tmp_path, Encode(), max_held=0.1)


def damage(video: Path, packets: list[int]) -> VideoIndex:
    """Overwrite the bytes of some packets, the index telling where they are."""
    index = index_video(video)
    data = bytearray(video.read_bytes())
    for k in packets:
        start = int(index.pos[k]) + 5
        data[start : start + int(index.size[k]) - 5] = b"\xff" * (int(index.size[k]) - 5)
    video.write_bytes(data)
    return index_video(video)


def test_nothing_is_cut_behind_packets_that_do_not_decode(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", 60, options=NO_B | {"g": "10"})
    index = damage(video, [37, 38, 39])
    clips = random_clips(60, (96, 80), count=6)
    out = tmp_path / "out"
    out.mkdir()
    profile = Profile()
    cuts = cut_video(
        video, index, clips, out, Encode(), max_held=0.1,
        pack_path=out / "clips.yuv", profile=profile,
    )  # fmt: skip
    rows = clips.merge(cuts, on="clip_id")
    before = rows["end"] <= 37
    assert rows["reason"][before].isna().all()
    assert set(rows["reason"][~before]) == {"uncertain_frames"}  # a player counts on without them
    kept = rows[rows["reason"].isna()]
    assert verify_video(video, index, kept, out) == []
    size = sum((r.end - r.start) * r.width * r.height * 3 // 2 for r in kept.itertuples())
    assert (out / "clips.yuv").stat().st_size == size


@pytest.mark.parametrize("kind", ["mkv", "avi", "mp4"])
def test_a_truncated_file(tmp_path: Path, kind: str) -> None:
    plain = make_video(tmp_path / f"plain.{kind}", 60, options=NO_B)
    whole, video = tmp_path / f"whole.{kind}", tmp_path / f"a.{kind}"
    run_ffmpeg("-i", plain, "-c", "copy", "-movflags", "faststart", whole)
    video.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    index = index_video(video)
    assert 10 < index.n_frames < 60
    clips = clips_frame([(0, 8, 48, 48, 0, 0), (50, 58, 48, 48, 0, 0)])
    out = tmp_path / "out"
    out.mkdir()
    cuts = cut_video(video, index, clips, out, Encode(), max_held=0.1, pack_path=out / "p.yuv")
    assert cuts["reason"].fillna("").tolist() == ["", "beyond_end"]


def test_nothing_cut_leaves_no_file(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", 20)
    out = tmp_path / "out"
    out.mkdir()
    clips = clips_frame([(10, 30, 48, 48, 0, 0)])
    cuts = cut_video(
        video, index_video(video), clips, out, Encode(), max_held=0.1, pack_path=out / "p.yuv"
    )
    assert cuts["reason"].tolist() == ["beyond_end"]
    assert list(out.iterdir()) == []
    empty = cut_video(
        video, index_video(video), clips[:0], out, Encode(), max_held=0.1, pack_path=out / "p.yuv"
    )
    assert empty.empty
    assert list(out.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_is_an_error_of_the_system(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", 20)
    out = tmp_path / "out"
    out.mkdir()
    clips = clips_frame([(0, 16, 48, 48, 0, 0)])
    (out / f"{clips['clip_id'][0]}.mp4.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space"):
        cut_video(video, index_video(video), clips, out, Encode(), max_held=0.1)


def test_windows_must_fit_their_frames(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", 20)
    clips = clips_frame([(0, 16, 48, 48, 0, 0)])
    clips["x"] = [[0] * 15]
    with pytest.raises(ValueError, match="corners"):
        cut_video(video, index_video(video), clips, tmp_path, Encode(), max_held=0.1)
    clips["x"] = [[0, 1] * 8]
    with pytest.raises(ValueError, match="odd"):
        cut_video(video, index_video(video), clips, tmp_path, Encode(), max_held=0.1)


def test_audio_does_not_disturb(tmp_path: Path) -> None:
    plain = make_video(tmp_path / "plain.mp4", 60, options=WITH_B)
    video = tmp_path / "a.mp4"
    run_ffmpeg(
        "-f", "lavfi", "-i", "sine=duration=2", "-i", plain,
        "-map", "0:a", "-map", "1:v", "-c:v", "copy", video,
    )  # fmt: skip
    index = index_video(video)
    out = tmp_path / "out"
    out.mkdir()
    clips = random_clips(60, (96, 80))
    rows = clips.merge(cut_video(video, index, clips, out, Encode(), max_held=0.1), on="clip_id")
    assert verify_video(video, index, rows, out) == []
    with av.open(str(out / rows["file"][0])) as clip:
        assert [s.type for s in clip.streams] == ["video"]


def test_the_index_survives_its_bytes(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.avi", 60, options=WITH_B, lost=[30])
    index = index_video(video)
    data = index.to_bytes()
    again = VideoIndex.from_bytes(data)
    assert again.to_bytes() == data
    assert again.fps == index.fps
    assert again.colour == index.colour
    assert np.array_equal(again.frame, index.frame)
    copy = shutil.copy(video, tmp_path / "b.avi")
    assert index_video(copy).to_bytes() == data
    other = make_video(tmp_path / "c.avi", 60, options=WITH_B, lost=[31])
    assert index_video(other).fingerprint != index.fingerprint


@pytest.mark.parametrize("mark", ["-display_vflip", "-display_hflip"])
def test_a_mirrored_picture(tmp_path: Path, mark: str) -> None:
    plain = make_video(tmp_path / "plain.mp4", 12)
    video = tmp_path / "a.mp4"
    run_ffmpeg(mark, "-i", plain, "-c", "copy", video)
    assert reason_of(video) == "rotated"


@pytest.mark.parametrize("kind", ["avi", "mp4"])
def test_a_title_in_another_encoding_does_no_harm(tmp_path: Path, kind: str) -> None:
    plain = make_video(tmp_path / f"plain.{kind}", 40)
    video = tmp_path / f"a.{kind}"
    run_ffmpeg("-i", plain, "-c", "copy", "-metadata", "title=nameYYYY", video)
    video.write_bytes(video.read_bytes().replace(b"nameYYYY", b"caf\xe9YYYY"))
    index = index_video(video)
    clips = random_clips(40, (96, 80), count=2)
    out = tmp_path / "out"
    out.mkdir()
    rows = clips.merge(cut_video(video, index, clips, out, Encode(), max_held=0.1), on="clip_id")
    assert verify_video(video, index, rows, out) == []


def test_a_folder_that_looks_like_a_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    video = Path("cam:1/a.mp4")
    video.parent.mkdir()
    make_video(video.absolute(), 20)
    index = index_video(video)
    clips = random_clips(20, (96, 80), count=1)
    rows = clips.merge(
        cut_video(video, index, clips, tmp_path, Encode(), max_held=0.1), on="clip_id"
    )
    assert verify_video(video, index, rows, tmp_path) == []


def test_no_clip_needs_no_verification(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", 20)
    assert verify_video(video, index_video(video), random_clips(20, (96, 80))[:0], tmp_path) == []


def test_pictures_that_the_decoder_mended_are_counted(tmp_path: Path) -> None:
    """A player shows them so, but they are not what was filmed."""
    video = make_video(tmp_path / "a.mp4", 60, options=NO_B | {"g": "20"}, size=(320, 240))
    whole = index_video(video)
    data = bytearray(video.read_bytes())
    middle = int(whole.pos[25] + whole.size[25] // 2)
    data[middle : middle + 8] = b"\x55" * 8
    video.write_bytes(data)
    clips = clips_frame([(0, 16, 48, 48, 0, 0), (26, 36, 48, 48, 0, 0), (40, 60, 48, 48, 0, 0)])
    out = tmp_path / "out"
    out.mkdir()
    index = index_video(video)
    cuts = cut_video(video, index, clips, out, Encode(), max_held=0.1)
    assert cuts["reason"].isna().all()
    assert cuts["damaged"].tolist() == [0, 10, 0]
    assert verify_video(video, index, clips.merge(cuts, on="clip_id"), out) == []
