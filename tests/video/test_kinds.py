"""Files of kinds that people have: 4:2:2, oblong samples, crops, several streams, lists."""

from __future__ import annotations

import shutil
import struct
import subprocess
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from av.stream import Disposition

from tinyvirat_build.errors import VideoError
from tinyvirat_build.formats.videos import VIDEO_SUFFIXES
from tinyvirat_build.pack.decode import decode
from tinyvirat_build.records import REASONS
from tinyvirat_build.settings import Encode
from tinyvirat_build.video.cutter import cut_video
from tinyvirat_build.video.encode import LOSSLESS
from tinyvirat_build.video.index import VideoIndex, index_video
from tinyvirat_build.video.opening import video_stream, video_streams
from tinyvirat_build.video.source_frames import decoded_frames, program
from tinyvirat_build.video.verify import verify_video

from .stamped import (
    NO_B,
    WITH_B,
    clips_frame,
    decode_luma,
    make_video,
    random_clips,
    read_number,
    run_ffmpeg,
)

SIZE = (96, 80)
FULL = {"codec": "mjpeg", "options": {"qmin": "2", "qmax": "2"}, "pix_fmt": "yuvj422p"}
TALL = {
    "mjpeg.avi": FULL,
    "mjpeg.mov": FULL,
    "h264.mp4": {"pix_fmt": "yuv422p", "options": NO_B},
    "ffv1.mkv": {"codec": "ffv1", "options": {}, "pix_fmt": "yuv422p", "size": (97, 83)},
}


def cut(
    video: Path, clips: pd.DataFrame, encode: Encode | None = None
) -> tuple[VideoIndex, pd.DataFrame, Path]:
    index = index_video(video)
    out = video.with_name(f"{video.name}-out")
    out.mkdir()
    cuts = cut_video(
        video, index, clips, out, encode or Encode(), max_held=0.1, pack_path=out / "clips.yuv"
    )
    return index, clips.merge(cuts, on="clip_id"), out


def program_planes(video: Path, stream: str = "v:0") -> npt.NDArray[np.uint8]:
    """Every frame's bytes as the ffmpeg program puts them out, ``(T, frame bytes)``."""
    head = [program(), "-v", "error", "-i", video, "-map", f"0:{stream}", "-f"]
    raw = subprocess.run(
        [*head, "rawvideo", "-fps_mode", "passthrough", "-"], capture_output=True, check=True
    ).stdout
    text = subprocess.run(
        [*head, "framecrc", "-fps_mode", "passthrough", "-"], capture_output=True, check=True
    ).stdout.decode()
    count = sum(not line.startswith("#") for line in text.splitlines())
    return np.frombuffer(raw, np.uint8).reshape(count, -1)


@pytest.mark.parametrize("kind", TALL)
def test_chroma_of_4_2_2_is_exact(kind: str, tmp_path: Path) -> None:
    """In every window, even, odd, moving, over the edges; of two rows the pack has the upper."""
    moving = np.random.default_rng(3).integers(-10, 30, 12) * 2
    clips = clips_frame(
        [
            (0, 10, 48, 48, 2, 4),
            (2, 12, 47, 33, 3, 7),
            (4, 16, 40, 40, moving, moving[::-1]),
            (6, 18, 41, 33, moving + 1, moving),
            (8, 20, 128, 128, -16, -20),
        ]
    )
    spec: dict[str, Any] = TALL[kind]
    video = make_video(tmp_path / f"a.{kind.split('.')[1]}", 24, **spec)
    index, rows, out = cut(video, clips)
    assert index.pix_fmt == spec["pix_fmt"]
    assert rows["reason"].isna().all()
    assert verify_video(video, index, rows, out) == []
    width, height = spec.get("size", SIZE)
    source = program_planes(video)
    chroma = height * -(-width // 2)
    u = source[:, width * height : width * height + chroma].reshape(len(source), height, -1)
    with av.open(str(out / rows["file"][0])) as clip:
        frames = list(clip.decode(video=0))
    assert {f.format.name.replace("yuvj", "yuv") for f in frames} == {"yuv444p"}
    shown = np.stack([f.to_ndarray()[1] for f in frames])
    assert np.array_equal(shown, u[:10, 4:52, 1:25].repeat(2, 2))
    packed = np.fromfile(out / "clips.yuv", np.uint8, 10 * 48 * 72).reshape(10, -1)
    upper = packed[:, 48 * 48 : 48 * 60].reshape(10, 24, 24)
    assert np.array_equal(upper, u[:10, 4:52:2, 1:25])
    assert (u[:10, 4:52:2] != u[:10, 5:53:2]).any()  # or the rows would tell nothing


def test_a_wrong_row_of_chroma_is_told(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mkv", 24, codec="ffv1", options={}, pix_fmt="yuv422p")
    index, rows, out = cut(video, clips_frame([(0, 10, 48, 48, 2, 4)]))
    data = bytearray((out / "clips.yuv").read_bytes())
    row = data[48 * 48 : 48 * 48 + 24]
    data[48 * 48 : 48 * 48 + 24] = bytes(v ^ 1 for v in row)
    (out / "clips.yuv").write_bytes(data)
    assert [p.check for p in verify_video(video, index, rows, out)] == ["pack"]


@pytest.mark.parametrize("codec", ["h264-crf", "mpeg4", "ffv1"])
def test_every_codec_takes_4_2_2(codec: str, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.avi", 24, **FULL)  # type: ignore[arg-type]
    encode = Encode(codec=codec)  # type: ignore[arg-type]
    index, rows, out = cut(video, random_clips(24, SIZE, count=2), encode)
    assert rows["reason"].isna().all()
    assert verify_video(video, index, rows, out, lossless=codec == "ffv1") == []


def test_a_failed_clip_of_4_2_2_leaves_no_gap(tmp_path: Path) -> None:
    """The pack's bytes of a clip do not depend on its neighbours."""
    parts = [
        make_video(tmp_path / f"{n}.ts", 24, pix_fmt="yuv422p", size=size)
        for n, size in enumerate([SIZE, (128, 96), SIZE])
    ]
    video = tmp_path / "a.ts"
    run_ffmpeg(
        "-i", f"concat:{'|'.join(map(str, parts))}", "-c", "copy", "-fflags", "+genpts", video
    )
    clips = clips_frame([(20, 36, 48, 48, 0, 0), (2, 18, 48, 48, 0, 0)])
    index, rows, out = cut(video, clips)
    assert rows["reason"].fillna("").tolist() == ["size_change", ""]
    assert (out / "clips.yuv").stat().st_size == 16 * 48 * 72
    assert verify_video(video, index, rows[rows["reason"].isna()], out) == []


def test_a_tree_of_4_2_2_clips_packs_as_the_build_did(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mkv", 24, codec="ffv1", options={}, pix_fmt="yuv422p")
    _, rows, out = cut(video, clips_frame([(0, 10, 48, 48, 2, 4)]))
    again = decode(out / rows["file"][0])
    assert again.raw.tobytes() == (out / "clips.yuv").read_bytes()
    assert "chroma" in again.fault


def test_a_change_of_range_in_mid_stream(tmp_path: Path) -> None:
    """Of limited and full range in one stream, as a camera that is set anew leaves it."""
    raw = b""
    for n, colour in enumerate([(1, 5), (2, 5)]):
        part = make_video(
            tmp_path / f"{n}.h264", 24, options=NO_B, colour=colour,
            pix_fmt="yuvj420p" if n else "yuv420p",
        )  # fmt: skip
        raw += part.read_bytes()
    video = tmp_path / "both.h264"
    video.write_bytes(raw)
    clips = clips_frame([(0, 16, 48, 48, 0, 0), (16, 32, 48, 48, 0, 0), (30, 46, 48, 48, 0, 0)])
    index, rows, out = cut(video, clips)
    assert rows["reason"].fillna("").tolist() == ["", "range_change", "range_change"]
    assert verify_video(video, index, rows[:1], out) == []


@pytest.mark.parametrize("past", [0, 1, 2, 20])
def test_a_clip_past_the_end(past: int, tmp_path: Path) -> None:
    """One frame is what exporters add that count from 1; more than that is another video."""
    video = make_video(tmp_path / "a.mp4", 40, options=WITH_B)
    clips = clips_frame([(24, 40 + past, 48, 48, 2, 4), (0, 16, 48, 48, 2, 4)])
    index, rows, out = cut(video, clips)
    assert rows["reason"].fillna("").tolist() == ["beyond_end" if past > 1 else "", ""]
    kept = rows[rows["reason"].isna()]
    assert kept["n_frames"].tolist() == [16] * len(kept)
    assert verify_video(video, index, kept, out) == []
    assert (out / "clips.yuv").stat().st_size == len(kept) * 16 * 48 * 72
    if past == 1:
        with av.open(str(out / rows["file"][0])) as clip:
            luma = [f.to_ndarray()[:48] for f in clip.decode(video=0)]
        assert [read_number(y, 2, 4) for y in luma] == list(range(24, 40))


def test_a_clip_after_the_end_is_none(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", 40)
    _, rows, _ = cut(video, clips_frame([(40, 41, 48, 48, 2, 4)]))
    assert rows["reason"].tolist() == ["beyond_end"]


@pytest.mark.parametrize("codec", ["h264", "h264-crf", "vp9-lossless", "mpeg4", "ffv1"])
@pytest.mark.parametrize("sar", ["16/11", "12/11", "4/3", "513/256"])
def test_the_aspect_of_samples_is_carried_over(sar: str, codec: str, tmp_path: Path) -> None:
    plain = make_video(tmp_path / "plain.mp4", 24)
    video = tmp_path / "a.mp4"
    run_ffmpeg("-i", plain, "-vf", f"setsar={sar}:max=999", "-c:v", "libx264", "-bf", "0", video)
    encode = Encode(codec=codec)  # type: ignore[arg-type]
    clips = clips_frame([(0, 16, 48, 48, 2, 4), (4, 20, 47, 33, 3, 7)])
    index, rows, out = cut(video, clips, encode)
    assert index.sar == Fraction(sar)
    lossless = codec in LOSSLESS
    assert verify_video(video, index, rows, out, lossless=lossless) == []
    data = [(out / f).read_bytes() for f in rows["file"]]
    for file in out.iterdir():
        file.unlink()
    out.rmdir()
    _, again, out = cut(video, clips, encode)
    assert [(out / f).read_bytes() for f in again["file"]] == data
    square = VideoIndex.from_bytes(index.to_bytes())
    object.__setattr__(square, "sar", Fraction(1))
    checks = {p.check for p in verify_video(video, square, rows, out, lossless=lossless)}
    assert ("aspect" in checks) == (codec != "ffv1")  # whose container does not tell


def test_square_samples_change_no_byte(tmp_path: Path) -> None:
    plain = make_video(tmp_path / "plain.mp4", 24)
    video = tmp_path / "a.mp4"
    run_ffmpeg("-i", plain, "-c", "copy", "-aspect", "96:80", video)
    clips = clips_frame([(0, 16, 48, 48, 2, 4)])
    files = [out / rows["file"][0] for _, rows, out in (cut(plain, clips), cut(video, clips))]
    assert files[0].read_bytes() == files[1].read_bytes()


CROPS = {
    "h264": ("libx264", NO_B, "h264_metadata=crop_left=6:crop_top=10:crop_right=4:crop_bottom=2"),
    "h264-wide": ("libx264", WITH_B, "h264_metadata=crop_left=32:crop_top=16"),
    "hevc": ("libx265", {"x265-params": "log-level=none"}, "hevc_metadata=crop_left=6:crop_top=10"),
}


@pytest.mark.parametrize("kind", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("codec", CROPS)
def test_what_the_codec_crops_is_cropped(codec: str, kind: str, tmp_path: Path) -> None:
    """At the left and the top too, as the ffmpeg program and OpenCV show it."""
    name, options, crop = CROPS[codec]
    plain = make_video(tmp_path / f"plain.{kind}", 40, codec=name, options=options, size=(192, 160))
    video = tmp_path / f"a.{kind}"
    run_ffmpeg("-i", plain, "-c", "copy", "-bsf:v", crop, video)
    index, rows, out = cut(video, random_clips(40, (160, 144), count=3))
    assert verify_video(video, index, rows, out) == []
    numbers = dict(re_crop(crop))
    left, top = numbers["crop_left"], numbers["crop_top"]
    assert index.width == 192 - left - numbers.get("crop_right", 0)
    assert index.height == 160 - top - numbers.get("crop_bottom", 0)
    for row in rows.itertuples():
        with av.open(str(out / str(row.file))) as clip:
            luma = [f.to_ndarray()[: row.height] for f in clip.decode(video=0)]
        seen = [
            read_number(y, a + left, b + top) for y, a, b in zip(luma, row.x, row.y, strict=True)
        ]
        assert seen == list(range(row.start, row.end))


def test_what_a_container_alone_crops_is_refused(tmp_path: Path) -> None:
    """The program cuts eight pixels off at the left and the top, OpenCV shows them."""
    video = make_video(tmp_path / "a.mp4", 24)
    data = video.read_bytes()
    aperture = struct.pack(">I4s8I", 40, b"clap", 88, 1, 72, 1, 4, 1, 4, 1)
    at = data.rindex(b"moov")
    head, tables = data[: at - 4], data[at - 4 :]  # the last box, after which nothing moves
    entry = tables.index(b"avc1") - 4
    end = entry + int.from_bytes(tables[entry : entry + 4], "big")
    tables = tables[:end] + aperture + tables[end:]
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        box = tables.index(name) - 4
        size = int.from_bytes(tables[box : box + 4], "big") + len(aperture)
        tables = tables[:box] + size.to_bytes(4, "big") + tables[box + 4 :]
    video.write_bytes(head + tables)
    text = subprocess.run([program(), "-i", video], capture_output=True, text=True).stderr
    if "Frame Cropping: 8/0/8/0" not in text:
        pytest.skip("this ffmpeg program does not crop so")
    with pytest.raises(VideoError, match="first_picture"):
        index_video(video)


def re_crop(text: str) -> list[tuple[str, int]]:
    parts = text.split("=", 1)[1].split(":")
    return [(name, int(value)) for name, value in (p.split("=") for p in parts)]


def several(path: Path, *arguments: str, marks: tuple[str, str]) -> Path:
    """A small video and a large one in one file, with the marks of each."""
    small = make_video(path.with_name("small.mkv"), 30, size=(96, 80))
    large = make_video(path.with_name("large.mkv"), 40, size=(192, 160))
    run_ffmpeg(
        "-i", small, "-i", large, "-map", "0:v", "-map", "1:v", "-c", "copy", *arguments,
        "-disposition:v:0", marks[0], "-disposition:v:1", marks[1], path,
    )  # fmt: skip
    return path


@pytest.mark.parametrize(
    ("marks", "taken"), [(("default", "0"), 0), (("0", "default"), 1), (("0", "0"), 1)]
)
@pytest.mark.parametrize("kind", ["mkv", "mp4", "ts"])
def test_of_several_videos_the_program_s_is_taken(
    kind: str, marks: tuple[str, str], taken: int, tmp_path: Path
) -> None:
    video = several(tmp_path / f"a.{kind}", marks=marks)
    text = subprocess.run(
        [program(), "-i", video, "-f", "null", "-"], capture_output=True, text=True
    ).stderr
    shown = 0 if "Stream #0:0 -> #0:0" in text else 1
    if kind == "mkv":
        assert shown == taken
    index, rows, out = cut(video, random_clips(30, SIZE, count=3))
    assert (index.streams, index.stream) == (2, shown)
    assert index.width == (96, 192)[shown]
    assert rows["reason"].isna().all()
    assert verify_video(video, index, rows, out) == []


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    """Larger than the video and before it."""
    cover = tmp_path / "cover.jpg"
    run_ffmpeg("-f", "lavfi", "-i", "color=red:s=640x480", "-frames:v", "1", cover)
    plain = make_video(tmp_path / "plain.mp4", 40, options=WITH_B)
    video = tmp_path / "a.mp4"
    run_ffmpeg(
        "-i", cover, "-i", plain, "-map", "0", "-map", "1", "-c", "copy",
        "-disposition:v:0", "attached_pic", video,
    )  # fmt: skip
    index, rows, out = cut(video, random_clips(40, SIZE, count=3))
    assert (index.streams, index.width) == (1, 96)
    assert verify_video(video, index, rows, out) == []


def test_a_cover_before_the_video(shared: Path, tmp_path: Path) -> None:
    video = shutil.copy(shared / "data/cases/cover-picture-first/videos/cam.mp4", tmp_path)
    index, rows, out = cut(Path(video), clips_frame([(40, 72, 64, 64, 64, 64)]))
    assert (index.stream, index.streams) == (1, 1)
    shown = [read_number(y, 64, 64) for y in decode_luma(out / rows["file"][0])]
    assert shown == list(range(40, 72))
    assert verify_video(Path(video), index, rows, out) == []


@pytest.mark.parametrize("mark", ["attached_pic", "timed_thumbnails", "still_image"])
def test_pictures_are_never_taken(mark: str) -> None:
    """Of a container that FFmpeg marks so; writing each of the marks is not in its gift."""

    def stream(width: int, disposition: Disposition) -> Any:
        codec = SimpleNamespace(thread_count=0, flags=0)
        return SimpleNamespace(
            width=width, height=100, disposition=disposition, codec_context=codec
        )

    picture = stream(4000, Disposition[mark] | Disposition.default)
    videos = [stream(100, Disposition(0)), stream(200, Disposition(0))]
    container = SimpleNamespace(streams=SimpleNamespace(video=[picture, *videos]))
    assert video_streams(container) == videos
    assert video_stream(container) is videos[1]
    videos[0].disposition = Disposition.default
    assert video_stream(container) is videos[0]
    container.streams.video = [picture]
    assert video_stream(container) is None


def test_a_cover_alone_is_no_video(tmp_path: Path) -> None:
    cover = tmp_path / "cover.jpg"
    run_ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", "1", cover)
    video = tmp_path / "a.mp4"
    run_ffmpeg(
        "-i", cover, "-f", "lavfi", "-i", "sine=duration=1", "-map", "0", "-map", "1",
        "-c:v", "copy", "-disposition:v:0", "attached_pic", video,
    )  # fmt: skip
    with pytest.raises(VideoError, match="no_frames"):
        index_video(video)


MPEG: dict[str, Any] = {"options": {"g": "12", "qmin": "2", "qmax": "2"}}
CONTAINERS: dict[str, dict[str, Any]] = {
    ".m4v": {"container": "mp4"},
    ".3gp": {},
    ".3g2": {},
    ".m2ts": {"container": "mpegts"},
    ".MTS": {"container": "mpegts"},
    ".m2t": {"container": "mpegts"},
    ".flv": {},
    ".f4v": {},
    ".webm": {"codec": "libvpx-vp9", "options": {}},
    ".mpeg": {"codec": "mpeg2video"} | MPEG,
    ".vob": {"codec": "mpeg2video"} | MPEG,
    ".WMV": {"codec": "wmv2", "container": "asf"} | MPEG,
    ".asf": {"codec": "msmpeg4"} | MPEG,
    ".ogv": {"codec": "ffv1", "options": {}, "container": "matroska"},
    ".mxf": {"codec": "mpeg2video", "fps": 25} | MPEG,
}


def test_the_containers_are_those_that_are_found() -> None:
    known = {".avi", ".mp4", ".mkv", ".mov", ".mpg", ".ts"}  # see test_exact.py
    assert {s.lower() for s in CONTAINERS} | known == set(VIDEO_SUFFIXES)


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_every_container_is_read(suffix: str, tmp_path: Path) -> None:
    kind = {"container": suffix.lstrip(".")} | CONTAINERS[suffix]
    video = make_video(tmp_path / f"a{suffix}", 40, **kind)
    index, rows, out = cut(video, random_clips(40, SIZE, count=3))
    assert rows["reason"].isna().all()
    assert verify_video(video, index, rows, out) == []


LISTS = {
    "ffconcat": "ffconcat version 1.0\nfile plain.mp4\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\nplain.ts\n#EXT-X-ENDLIST\n",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>\n',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=video 5004 RTP/AVP 96\n",
}


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("suffix", [".mp4", ".ts", ".m3u8", ".avi"])
def test_a_list_is_no_video(kind: str, suffix: str, tmp_path: Path) -> None:
    make_video(tmp_path / "plain.mp4", 20)
    make_video(tmp_path / "plain.ts", 20)
    video = tmp_path / f"a{suffix}"
    video.write_text(LISTS[kind])
    with pytest.raises(VideoError) as e:
        index_video(video)
    assert e.value.reason == "no_container"
    assert e.value.reason in REASONS
    assert any(word in e.value.detail for word in ("list", "manifest", "description"))


@pytest.mark.parametrize("name", ["a.png", "a.mp4"])
def test_an_image_is_no_video(name: str, tmp_path: Path) -> None:
    image = tmp_path / "image.png"
    run_ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", "1", image)
    with pytest.raises(VideoError, match="no_container"):
        index_video(image.rename(tmp_path / name))


def test_the_program_follows_no_list_either(tmp_path: Path) -> None:
    """A source that became a list since it was indexed."""
    video = make_video(tmp_path / "a.mp4", 20)
    index = index_video(video)
    video.rename(tmp_path / "b.mp4")
    video.write_text("ffconcat version 1.0\nfile b.mp4\n")
    assert list(decoded_frames(video, index, np.arange(5))) == []
