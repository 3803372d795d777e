"""An AVI is counted by its own chunks and index, whatever is missing among them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tinyvirat_build.settings import Encode
from tinyvirat_build.video import bitstream
from tinyvirat_build.video.cutter import cut_video
from tinyvirat_build.video.index import index_video
from tinyvirat_build.video.verify import verify_video

from . import surgery
from .stamped import NO_B, clips_frame, make_video, without

MPEG4 = {"g": "12", "qmin": "2", "qmax": "2"}
CODECS = {
    "libx264": NO_B,
    "mpeg4": MPEG4,
    "msmpeg4": MPEG4,
    "mpeg2video": {"g": "12", "bf": "2"},
    "mjpeg": {},
}


def video_of(codec: str, folder: Path) -> Path:
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    return make_video(folder / "a.avi", 72, codec=codec, options=CODECS[codec], pix_fmt=pix_fmt)


@pytest.mark.parametrize("codec", CODECS)
def test_nothing_is_certain_behind_a_chunk_that_is_cut_out(codec: str, tmp_path: Path) -> None:
    video = video_of(codec, tmp_path)
    video.write_bytes(surgery.avi_chunk_gone(video, 27))
    index = index_video(video)
    assert index.is_uncertain(27, 28)
    assert index.is_uncertain(60, 61)
    assert not index.is_uncertain(0, 12)


@pytest.mark.parametrize("codec", CODECS)
def test_without_its_index_the_announced_length_decides(codec: str, tmp_path: Path) -> None:
    video = video_of(codec, tmp_path)
    whole = video.read_bytes()
    video.write_bytes(surgery.avi_index_lost(video, 27))
    assert not len(index_video(video).uncertain)
    video.write_bytes(whole)
    video.write_bytes(surgery.avi_chunk_and_index_lost(video, 27))
    assert index_video(video).is_uncertain(27, 71)


def test_a_chunk_that_is_none_any_more_leaves_its_slot(tmp_path: Path) -> None:
    video = video_of("libx264", tmp_path)
    data = bytearray(video.read_bytes())
    at, _ = surgery.avi_chunks(bytes(data))[27]
    data[at : at + 4] = b"JUNK"
    video.write_bytes(data)
    index = index_video(video)
    assert index.lost.tolist() == [27]
    assert not len(index.uncertain)


def test_pictures_that_refer_to_a_lost_one_are_counted(tmp_path: Path) -> None:
    """They show what the decoder makes of the picture before, up to the next that needs none."""
    video = without(video_of("libx264", tmp_path), tmp_path / "b.avi", {27})
    clips = clips_frame([(10, 24, 48, 48, 0, 0), (24, 44, 48, 48, 0, 0), (36, 50, 48, 48, 0, 0)])
    cuts = cut_video(video, index_video(video), clips, tmp_path, Encode(), max_held=0.1)
    assert cuts["held"].tolist() == [0, 1, 0]
    assert cuts["damaged"].tolist() == [0, 8, 0]


def test_a_zeroed_packet_is_torn_and_not_hidden() -> None:
    assert bitstream.read_vp8(bytes(64)).torn
    assert bitstream.read_vp8(bytes(64)).shown


def test_verify_passes_on_packets_that_have_no_number(tmp_path: Path) -> None:
    """As where FFmpeg finds a packet that is no chunk; times that went back ended the process."""
    video = video_of("msmpeg4", tmp_path)
    index = index_video(video)
    index = replace(index, frame=np.where(index.frame == 24, -1, index.frame))
    clips = clips_frame([(0, 10, 48, 48, 0, 0), (40, 50, 48, 48, 0, 0)])
    cuts = cut_video(video, index, clips, tmp_path, Encode(), max_held=0.1)
    assert cuts["reason"].isna().all()
    assert verify_video(video, index, clips.merge(cuts, on="clip_id"), tmp_path) == []


def test_an_index_that_lost_a_row_makes_nothing_sure(tmp_path: Path) -> None:
    """All rows behind it would name the slot before their own."""
    video = video_of("libx264", tmp_path)
    data = bytearray(surgery.avi_header_zeroed(video, 27))
    row = data.find(b"idx1") + 8 + 16 * 10
    assert data[row : row + 4] == b"00dc"
    data[row : row + 4] = bytes(4)
    video.write_bytes(data)
    assert index_video(video).is_uncertain(40, 60)


def test_what_vp8_shows_behind_a_loss_is_not_certain(tmp_path: Path) -> None:
    """Two runs of one decoder differ there, up to the next picture that needs no other."""
    whole = make_video(tmp_path / "v.avi", 60, codec="libvpx", options={"g": "12"})
    index = index_video(without(whole, tmp_path / "b.avi", {27}))
    (after,) = (int(f) for f in index.frame[index.sync] if 27 < f <= 39)
    assert index.uncertain.tolist() == [[27, after]]


def test_where_no_chunk_is_found_nothing_is_certain(tmp_path: Path) -> None:
    """FFmpeg reads on where a list before the chunks is broken; there are frames, but which?"""
    video = video_of("libx264", tmp_path)
    data = bytearray(video.read_bytes())
    junk = data.rfind(b"JUNK", 0, data.find(b"movi"))
    data[junk : junk + 8] = bytes(8)
    video.write_bytes(data)
    index = index_video(video)
    assert index.n_frames == index.n_packets > 0
    assert index.is_uncertain(0, 1)
    assert index.uncertain.tolist() == [[0, index.n_frames]]


def test_damage_over_several_chunks_may_begin_in_the_one_before(tmp_path: Path) -> None:
    """Its picture then repeats another, and no decoder says so."""
    video = video_of("msmpeg4", tmp_path)
    data = bytearray(video.read_bytes())
    chunks = surgery.avi_chunks(bytes(data))
    start, end = chunks[26][0] + 12, chunks[28][0] + 12
    data[start:end] = bytes(end - start)
    video.write_bytes(data)
    index = index_video(video)
    assert index.lost.tolist() == [27, 28]
    assert index.uncertain.tolist() == [[26, 29]]
