"""Videos that lie elsewhere: the local file's clips, of a part of its bytes, or of all and said."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from video.awkward import HOLDS
from video.matrix import FAULTS, cells
from video.stamped import NO_B, OPEN_GOP, WITH_B, clips_frame, make_video, run_ffmpeg

from tinyvirat_build.errors import VideoError

from .both import Both, cut_both, remote_video, small_steps
from .served import Served, serving

pytest.importorskip("obstore", reason="the extra `remote` is not installed")

X265 = "keyint=12:min-keyint=12:bframes=3:scenecut=0:log-level=none:pools=1"
HEVC = {"preset": "ultrafast", "crf": "18", "x265-params": X265}
JPEG: dict[str, Any] = {
    "codec": "mjpeg",
    "options": {"qmin": "9", "qmax": "9"},
    "pix_fmt": "yuvj420p",
}
CLIPS = clips_frame([(130, 146, 32, 32, 2, 4), (140, 156, 40, 40, 4, 4), (220, 236, 33, 33, 3, 5)])
PARTS: dict[str, dict[str, Any]] = {  # of which parts are read
    "plain.avi": {"options": NO_B},
    "reordered.avi": {"options": WITH_B},
    "lost.avi": {"options": NO_B, "lost": (135, 141, 142, 200)},
    "jpeg.avi": JPEG,
    "plain.mp4": {"options": NO_B},
    "reordered.mov": {"options": WITH_B},
    "open.mp4": {"options": OPEN_GOP},
    "uneven.mp4": {"options": WITH_B, "times": [k * 10 + k % 3 for k in range(300)]},
    "hevc.mp4": {"codec": "libx265", "options": HEVC},
}
WHOLE: dict[str, dict[str, Any]] = {  # whose index is no proof
    "open.avi": {"options": OPEN_GOP},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"g": "12"}},
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"g": "12"}},
    "plain.mkv": {"options": NO_B},
    "plain.ts": {"options": NO_B},
}


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    small_steps(monkeypatch)
    folder = tmp_path / "served"
    folder.mkdir()
    with serving(folder) as found:
        yield found


def both(served: Served, video: Path, clips: Any = CLIPS) -> Both:
    return cut_both(served, video, clips, served.folder.parent / video.name)


@pytest.mark.parametrize("name", PARTS)
def test_clips_of_a_part_of_the_bytes_are_the_local_ones(name: str, served: Served) -> None:
    found = both(served, make_video(served.folder / name, 300, **PARTS[name]))
    assert found.differ() == []
    assert found.here.cuts is not None
    assert found.here.cuts["reason"].isna().all() == (name != "lost.avi")
    assert not found.why_whole
    assert found.sent < 0.6 * found.size


@pytest.mark.parametrize("name", WHOLE)
def test_where_the_index_is_no_proof_the_whole_is_fetched_and_that_is_said(
    name: str, served: Served
) -> None:
    found = both(served, make_video(served.folder / name, 300, **WHOLE[name]))
    assert found.differ() == []
    assert found.why_whole
    assert found.sent >= found.size


@pytest.mark.parametrize("how", ["faststart", "frag_keyframe+empty_moov", "dash"])
def test_an_index_at_the_front_or_between_fragments(how: str, served: Served) -> None:
    whole = make_video(served.folder.parent / "a.mp4", 300, options=WITH_B)
    video = served.folder / "b.mp4"
    flags = "frag_keyframe+empty_moov+dash+global_sidx" if how == "dash" else how
    run_ffmpeg("-i", whole, "-c", "copy", "-movflags", flags, video)
    found = both(served, video)
    assert found.differ() == []
    assert not found.why_whole
    assert found.sent < 0.7 * found.size


def with_opendml(video: Path, path: Path) -> Path:
    """An AVI whose index is OpenDML's: ``ix00`` in the movie list, ``indx`` where room was."""
    data = bytearray(video.read_bytes())
    movi, idx1 = data.rindex(b"LIST", 0, data.index(b"movi")), data.rindex(b"idx1")
    rows = np.frombuffer(data[idx1 + 8 :], "<u4").reshape(-1, 4)
    rows = rows[rows[:, 0] == struct.unpack("<I", b"00dc")[0]]
    bits = np.where(rows[:, 1] & 16, 0, 1 << 31)
    entries = np.c_[rows[:, 2] + 8, rows[:, 3] | bits].astype("<u4").tobytes()
    body = struct.pack("<HBBI4sQI", 2, 0, 1, len(rows), b"00dc", movi + 8, 0) + entries
    chunk = b"ix00" + struct.pack("<I", len(body)) + body
    room = data.index(b"JUNK", data.index(b"strf"))
    size = struct.unpack_from("<I", data, room + 4)[0]
    indx = struct.pack("<HBBI4s12xQII", 4, 0, 0, 1, b"00dc", idx1, len(chunk), len(rows))
    data[room : room + 8 + size] = b"indx" + struct.pack("<I", size) + indx.ljust(size, b"\0")
    data[idx1:] = chunk
    struct.pack_into("<I", data, movi + 4, len(data) - movi - 8)
    struct.pack_into("<I", data, 4, len(data) - 8)
    path.write_bytes(data)
    return path


def test_opendml_is_read(served: Served) -> None:
    plain = make_video(served.folder.parent / "a.avi", 300, options=WITH_B)
    found = both(served, with_opendml(plain, served.folder / "b.avi"))
    assert found.differ() == []
    assert not found.why_whole
    assert found.sent < 0.6 * found.size


@pytest.mark.parametrize("consistent", [False, True])
def test_an_index_that_lies_of_what_is_needed_is_found_out(
    consistent: bool, served: Served
) -> None:
    """At once where its chunks leave a gap, else when the real chunks come."""
    video = make_video(served.folder / "a.avi", 300, options=NO_B)
    data = bytearray(video.read_bytes())
    place = data.rindex(b"idx1") + 8 + 16 * 133  # the entry of a packet that is needed
    at, size, *_, at_next, size_next = struct.unpack_from("<6I", data, place + 8)
    struct.pack_into("<II", data, place + 8, at, size - 2)
    if consistent:
        struct.pack_into("<II", data, place + 24, at_next - 2, size_next + 2)
    video.write_bytes(data)
    found = both(served, video)
    assert found.differ() == (["fingerprint"] if consistent else [])
    assert found.why_whole


def test_a_mark_of_a_keyframe_that_is_none_is_found_out(served: Served) -> None:
    video = make_video(served.folder / "a.avi", 300, options=NO_B)
    data = bytearray(video.read_bytes())
    struct.pack_into("<I", data, data.rindex(b"idx1") + 8 + 16 * 5 + 4, 16)
    video.write_bytes(data)
    found = both(served, video)
    assert found.differ() == []
    assert "keyframes" in found.why_whole


@pytest.mark.parametrize("name", ["a.avi", "a.mp4"])
def test_damage_among_the_needed_packets_has_the_local_verdict(name: str, served: Served) -> None:
    video = make_video(served.folder / name, 300, options=NO_B)
    data = bytearray(video.read_bytes())
    middle = int(remote_video(served, video, served.folder.parent / "p").index().pos[133])
    data[middle : middle + 60] = bytes(60)
    video.write_bytes(data)
    found = both(served, video)
    assert found.differ() == []
    assert found.why_whole


@pytest.mark.parametrize("fault", ["500", "cut"])
def test_an_answer_that_fails_is_asked_for_again(fault: str, served: Served) -> None:
    video = make_video(served.folder / "a.mp4", 300, options=NO_B)
    served.faults = [fault] * 2
    assert both(served, video).differ() == []
    assert served.faults == []


def test_what_is_refused_is_told_with_its_remedy(served: Served) -> None:
    video = make_video(served.folder / "a.mp4", 300, options=NO_B)
    remote = remote_video(served, video, served.folder.parent / "parts")
    served.faults = ["403"] * 9
    with pytest.raises(VideoError, match=r"a\.mp4: .* answers 403 .*; see that .*open to all") as e:
        remote.index()
    assert e.value.reason == "unreadable"
    assert isinstance(e.value.__cause__, OSError)  # so that the next run tries again
    served.faults = []
    assert remote_video(served, video, served.folder.parent / "parts").index().n_frames == 300


def test_a_file_that_changes_between_index_and_cut_is_none(served: Served) -> None:
    video = make_video(served.folder / "a.mp4", 300, options=NO_B)
    remote = remote_video(served, video, served.folder.parent / "parts")
    index = remote.index()
    video.write_bytes(video.read_bytes())  # at another time
    out = served.folder.parent / "out"
    out.mkdir()
    from tinyvirat_build.settings import Encode

    with pytest.raises(VideoError) as e:
        remote.cut(index, CLIPS, out, Encode(), max_held=0.1)
    assert e.value.reason == "source_changed"
    assert [p for p in out.iterdir() if p.suffix == ".mp4"] == []


_SOUND = [f for f in FAULTS if not FAULTS[f].damages]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("container", ["avi", "mp4", "fmp4", "mov"])
def test_every_awkward_kind_has_the_local_verdict(
    container: str, served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where every packet is needed whatever befell the file, else of a file that is whole."""
    small_steps(monkeypatch, start=52)
    everything = clips_frame([(k, k + 8, 32, 32, 2, 4) for k in range(0, 72, 8)])
    later = clips_frame([(50, 58, 32, 32, 2, 4)])
    codecs = [c for c in HOLDS[container] if c.startswith(("h264", "hevc", "mjpeg"))]
    for cell in cells():
        if cell.container != container or cell.codec not in codecs:
            continue
        made = FAULTS[cell.fault].make(cell, tmp_path, served.folder)
        for clips in (everything, *([later] if cell.fault in _SOUND else [])):
            found = cut_both(served, made.video, clips, tmp_path / f"{cell.name}-{len(clips)}")
            assert found.differ() == [], (cell.name, found.why_whole)
