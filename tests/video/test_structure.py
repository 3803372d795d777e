"""Breaks of a file's structure, and the losses that they are evidence of."""

from __future__ import annotations

from pathlib import Path

from tinyvirat_build.video.index import index_video
from tinyvirat_build.video.structure import breaks

from . import surgery
from .stamped import make_video


def test_a_cluster_that_ends_early_may_lack_any_of_its_blocks(tmp_path: Path) -> None:
    video = make_video(tmp_path / "v.mkv", 60, codec="mpeg4", options={"g": "60"})
    assert breaks(video, "matroska", 0) == []
    places = [place for place, _ in surgery.payloads(video)]
    video.write_bytes(surgery.mkv_block_gone(video, 5))
    (found,) = breaks(video, "matroska", 0)
    assert found.at < places[0] < places[5] < found.end
    assert index_video(video).uncertain.tolist() == [[5, 59]]


def test_a_block_of_absurd_size_is_no_torn_end(tmp_path: Path) -> None:
    video = make_video(tmp_path / "v.mkv", 60, codec="mpeg4", options={"g": "60"})
    data = bytearray(video.read_bytes())
    at, payload = surgery.payloads(video)[5]
    head = data.rfind(b"\xa3", 0, data.find(payload, at))
    data[head + 1 : head + 9] = b"\x01\x00\xff\xff\xff\xff\xff\xff"
    video.write_bytes(data)
    assert [b.end for b in breaks(video, "matroska", 0)] == [head]


def test_what_follows_a_break_of_a_chain_is_not_walked(tmp_path: Path) -> None:
    video = make_video(tmp_path / "v.flv", 60, codec="flv1", options={"g": "12"})
    assert breaks(video, "flv", 0) == []
    data = bytearray(surgery.flv_tag_zeroed(video, 5))
    video.write_bytes(data)
    first, rest = breaks(video, "flv", 0)
    assert first.at == rest.at < rest.end == len(data)


def test_another_length_behind_a_tag_is_no_break(tmp_path: Path) -> None:
    """Some recorders write it wrong, and no reader needs it."""
    video = make_video(tmp_path / "v.flv", 60, codec="flv1", options={"g": "12"})
    data = bytearray(video.read_bytes())
    at, payload = surgery.payloads(video)[5]
    end = data.find(payload, at) + len(payload)
    data[end : end + 4] = bytes(4)
    video.write_bytes(data)
    assert breaks(video, "flv", 0) == []
