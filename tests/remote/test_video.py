"""Videos that lie elsewhere: the local file's clips, of a part of its bytes, or of all and said."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from video.awkward import HOLDS
from video.matrix import FAULTS, cells
from video.stamped import NO_B, OPEN_GOP, WITH_B, clips_frame, make_video, run_ffmpeg

from tinyvirat_build.errors import VideoError
from tinyvirat_build.settings import Encode
from tinyvirat_build.video.agreed import cut_agreed
from tinyvirat_build.video.index import index_video

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


def chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def in_segments(
    video: Path, path: Path, ends: Sequence[int], *, opendml: bool = True, idx1: bool = True
) -> Path:
    """An AVI's video in ``RIFF AVI`` and ``RIFF AVIX``, which end behind the packets ``ends``.

    ``opendml``: with an index ``ix00`` a segment, and ``indx`` of them in the header;
    ``idx1``: with the index of the first segment alone, as the format has it.
    """
    data = video.read_bytes()
    movi, old = data.rindex(b"LIST", 0, data.index(b"movi")), data.rindex(b"idx1")
    rows = np.frombuffer(data[old + 8 :], "<u4").reshape(-1, 4)
    rows = rows[rows[:, 0] == struct.unpack("<I", b"00dc")[0]]
    room = data.index(b"JUNK", data.index(b"strf"))
    size = struct.unpack_from("<I", data, room + 4)[0]
    head, made, listed, first = data[12:movi], b"", b"", 0
    for last in (*ends, len(rows)):
        at = len(made) + (12 + len(head) if not made else 12)  # of the list
        body, entries = b"movi", b""
        for _, flags, start, length in rows[first:last].tolist():
            entries += struct.pack("<II", len(body) + 8, length | (0 if flags & 16 else 1 << 31))
            body += chunk(b"00dc", data[movi + 16 + start : movi + 16 + start + length])
        if opendml:
            about = struct.pack("<HBBI4sQI", 2, 0, 1, last - first, b"00dc", at + 8, 0)
            listed += struct.pack("<QII", at + 8 + len(body), 32 + len(entries), last - first)
            body += chunk(b"ix00", about + entries)
        segment = (b"AVIX" if made else b"AVI " + head) + chunk(b"LIST", body)
        if idx1 and not made:
            segment += chunk(b"idx1", rows[:last].tobytes())
        made += chunk(b"RIFF", segment)
        first = last
    if opendml:
        indx = struct.pack("<HBBI4s12x", 4, 0, 0, len(ends) + 1, b"00dc") + listed
        made = (
            made[:room]
            + b"indx"
            + made[room + 4 : room + 8]
            + indx.ljust(size, b"\0")
            + (made[room + 8 + size :])
        )
    path.write_bytes(made)
    return path


@pytest.mark.parametrize(
    ("options", "ends"),
    [(WITH_B, ()), (WITH_B, (143,)), (NO_B, (40, 143, 230))],
    ids=["reordered-1", "reordered-2", "plain-4"],
)
def test_opendml_is_read_in_all_of_its_segments(
    options: dict[str, str], ends: tuple[int, ...], served: Served
) -> None:
    """The clips lie on both sides of a segment's end, and across it."""
    plain = make_video(served.folder.parent / "a.avi", 300, options=options)
    video = in_segments(plain, served.folder / "b.avi", ends)
    assert video.read_bytes().count(b"AVIX") == len(ends)
    index = index_video(video)
    assert (index.n_frames, index.n_packets, len(index.uncertain)) == (300, 300, 0)
    found = both(served, video)
    assert found.differ() == []
    assert found.here.cuts is not None
    assert not found.here.cuts["reason"].any()
    assert not found.why_whole
    assert found.sent < 0.6 * found.size
    of_plain = served.folder.parent / "of_plain"
    of_plain.mkdir()
    cuts = cut_agreed(plain, index_video(plain), CLIPS, of_plain, Encode(), max_held=0.1)
    assert cuts["sha256"].tolist() == found.here.cuts["sha256"].tolist()


@pytest.mark.parametrize(("idx1", "ends"), [(False, ()), (True, (143,))])
def test_an_avi_whose_index_lacks_frames_is_fetched_whole_and_that_is_said(
    ends: tuple[int, ...], idx1: bool, served: Served
) -> None:
    """As it may be where a recorder knew but one index; what it names not, no file tells."""
    plain = make_video(served.folder.parent / "a.avi", 300, options=NO_B)
    video = in_segments(plain, served.folder / "b.avi", ends, opendml=False, idx1=idx1)
    clips = clips_frame([(20, 36, 32, 32, 2, 4), (130, 150, 32, 32, 2, 4)])
    found = both(served, video, clips)
    assert found.differ() == []
    assert found.here.cuts is not None
    assert found.here.cuts["reason"].tolist() == [None, "uncertain_frames" if idx1 else None]
    assert found.why_whole == "it has no index of all of its chunks"


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
