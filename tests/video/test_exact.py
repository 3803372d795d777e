"""Every kind of file that the cutter takes: the right frames, pixel for pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tinyvirat_build.settings import Encode
from tinyvirat_build.video.cutter import cut_video
from tinyvirat_build.video.index import VideoIndex, index_video
from tinyvirat_build.video.verify import verify_video

from .stamped import (
    NO_B,
    OPEN_GOP,
    WITH_B,
    clips_frame,
    decode_luma,
    make_video,
    random_clips,
    read_number,
    run_ffmpeg,
)

FRAMES = 60
LONG = 300  # its clips lie so far apart that the reader seeks
MPEG4 = {"g": "12", "qmin": "2", "qmax": "2"}


def cut_and_verify(
    video: Path, clips: pd.DataFrame, *, max_held: float = 0.1, index: VideoIndex | None = None
) -> tuple[VideoIndex, pd.DataFrame]:
    index = index or index_video(video)
    out = video.parent / f"{video.stem}-clips"
    out.mkdir()
    cuts = cut_video(
        video, index, clips, out, Encode(), max_held=max_held, pack_path=out / "clips.yuv"
    )
    rows = clips.merge(cuts, on="clip_id")
    kept = rows[rows["reason"].isna()]
    assert verify_video(video, index, kept, out) == []
    assert sorted(p.name for p in out.glob("*.mp4")) == sorted(kept["file"])
    return index, rows


def stamps(out: Path, row: pd.Series) -> list[int]:  # type: ignore[type-arg]
    frames = decode_luma(out / row["file"])
    return [read_number(f, x, y) for f, x, y in zip(frames, row["x"], row["y"], strict=True)]


def check_stamps(
    video: Path, rows: pd.DataFrame, stamp_of: Callable[[int], int] = lambda n: n
) -> None:
    out = video.parent / f"{video.stem}-clips"
    for _, row in rows[rows["reason"].isna()].iterrows():
        expected = [stamp_of(n) for n in range(row["start"], row["end"])]
        assert stamps(out, row) == expected


KINDS = {
    "mp4": ("a.mp4", {}),
    "mp4-b": ("a.mp4", {"options": WITH_B, "frames": LONG}),
    "mp4-open-gop": ("a.mp4", {"options": OPEN_GOP, "frames": LONG}),
    "mkv-b": ("a.mkv", {"options": WITH_B, "frames": LONG}),
    "ts-b": ("a.ts", {"options": WITH_B, "frames": LONG}),
    "avi": ("a.avi", {"frames": LONG}),
    "avi-b": ("a.avi", {"options": WITH_B, "frames": LONG}),
    "avi-open-gop": ("a.avi", {"options": OPEN_GOP, "frames": LONG}),
    "avi-mpeg4": ("a.avi", {"codec": "mpeg4", "options": MPEG4}),
    "avi-mpeg4-b": ("a.avi", {"codec": "mpeg4", "options": MPEG4 | {"bf": "2"}}),
    "avi-msmpeg4": ("a.avi", {"codec": "msmpeg4", "options": MPEG4}),
    "avi-mjpeg": ("a.avi", {"codec": "mjpeg", "options": {}, "pix_fmt": "yuvj420p"}),
    "10-fps": ("a.avi", {"fps": 10}),
    "23.976-fps": ("a.mp4", {"fps": Fraction(24000, 1001), "options": WITH_B}),
    "29.97-fps": ("a.avi", {"fps": Fraction(30000, 1001)}),
    "gray": ("a.mp4", {"pix_fmt": "gray"}),
    "full-range": ("a.mp4", {"pix_fmt": "yuvj420p", "colour": (2, 1), "options": WITH_B}),
    "tagged": ("a.mp4", {"colour": (1, 1)}),
    "odd-size": ("a.mp4", {"codec": "mpeg4", "options": MPEG4, "size": (97, 83)}),
    "odd-size-mkv": ("a.mkv", {"codec": "ffv1", "options": {}, "size": (97, 83)}),
    "portrait": ("a.mp4", {"size": (64, 112), "options": WITH_B}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_of_every_clip_is_the_sources_own(kind: str, tmp_path: Path) -> None:
    name, how = KINDS[kind]
    video = make_video(tmp_path / name, **{"frames": FRAMES} | how)  # type: ignore[arg-type]
    size, frames = how.get("size", (96, 80)), how.get("frames", FRAMES)
    count = 3 if frames == LONG else 6
    clips = random_clips(frames, size, count=count)  # type: ignore[arg-type]
    index, rows = cut_and_verify(video, clips)
    assert rows["reason"].isna().all()
    assert (rows["held"] == 0).all()
    assert index.fps == Fraction(how.get("fps", 30))  # type: ignore[arg-type]
    assert index.n_frames == frames
    check_stamps(video, rows)


def test_a_variable_rate_numbers_frames_in_the_order_shown(tmp_path: Path) -> None:
    times = np.cumsum(np.random.default_rng(0).integers(3, 40, FRAMES)).tolist()
    video = make_video(tmp_path / "a.mp4", FRAMES, times=times, options=WITH_B)
    index, rows = cut_and_verify(video, random_clips(FRAMES, (96, 80)))
    assert index.n_frames == FRAMES
    assert not len(index.lost)
    check_stamps(video, rows)


def test_time_may_start_anywhere(tmp_path: Path) -> None:
    video = make_video(
        tmp_path / "a.mp4", FRAMES, times=[10 * n + 777 for n in range(FRAMES)], options=WITH_B
    )
    _, rows = cut_and_verify(video, random_clips(FRAMES, (96, 80)))
    check_stamps(video, rows)


@pytest.mark.parametrize("options", [NO_B, WITH_B], ids=["no-b", "b"])
def test_frames_that_an_edit_list_hides_do_not_count(
    tmp_path: Path, options: dict[str, str]
) -> None:
    whole = make_video(tmp_path / "whole.mp4", FRAMES, options=options)
    video = tmp_path / "a.mp4"
    run_ffmpeg("-ss", "0.5", "-i", whole, "-c", "copy", video)
    index = index_video(video)
    assert np.any(index.frame < 0)
    first = read_number(decode_luma(video)[0], 0, 0)
    assert first > 0
    _, rows = cut_and_verify(video, random_clips(index.n_frames, (96, 80)), index=index)
    check_stamps(video, rows, lambda n: n + first)


def shown_frame(lost: Sequence[int]) -> Callable[[int], int]:
    return lambda n: max(m for m in range(n + 1) if m not in lost)


def test_an_avi_with_38_of_1500_packets_lost(tmp_path: Path) -> None:
    """Lost packets end their groups of ten, so that every picture that is left is whole."""
    lost = [*range(104, 110), *range(745, 750), *range(888, 890)]
    lost += list(range(1009, 1500, 20)) + [1499]
    lost = sorted(set(lost))[:38]
    assert len(lost) == 38
    options = NO_B | {"g": "10", "preset": "ultrafast"}
    video = make_video(tmp_path / "a.avi", 1500, options=options, size=(64, 48), lost=lost)
    clips = random_clips(1489, (64, 48), count=50, length=40)
    index, rows = cut_and_verify(video, clips, max_held=0.5)
    assert index.lost.tolist() == [n for n in lost if n < index.n_frames]
    held = [sum(n in lost for n in range(r.start, r.end)) for r in rows.itertuples()]
    assert rows["held"].tolist() == held
    assert max(held) >= 5
    check_stamps(video, rows, shown_frame(lost))
    strict = random_clips(1489, (64, 48), count=50, length=40)
    out = tmp_path / "strict"
    out.mkdir()
    cuts = cut_video(video, index, strict, out, Encode(), max_held=0.1)
    assert (cuts["reason"] == "frames_missing").tolist() == [h > 4 for h in held]
    assert len(list(out.iterdir())) == cuts["reason"].isna().sum()


def test_pictures_damaged_by_a_lost_reference_are_the_players_own(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.avi", FRAMES, lost=[5, 17, 18, 40])
    _, rows = cut_and_verify(video, random_clips(FRAMES, (96, 80)), max_held=0.5)
    assert rows["reason"].isna().all()
    assert rows["held"].sum() > 0


@pytest.mark.parametrize(
    ("codec", "options"),
    [("libx264", WITH_B), ("mpeg4", MPEG4 | {"bf": "2"})],
    ids=["h264", "mpeg4"],
)
def test_lost_packets_among_b_frames_make_a_span_uncertain(
    tmp_path: Path, codec: str, options: dict[str, str]
) -> None:
    video = make_video(tmp_path / "a.avi", FRAMES, codec=codec, options=options, lost=[30])
    index = index_video(video)
    assert len(index.uncertain) == 1
    start, end = index.uncertain[0]
    assert start <= 30 < end < FRAMES - 8
    clips = clips_frame([(s, s + 8, 48, 48, 0, 0) for s in range(0, FRAMES - 7, 4)])
    _, rows = cut_and_verify(video, clips)
    refused = rows["reason"] == "uncertain_frames"
    assert refused.tolist() == [s < end and s + 8 > start for s in rows["start"]]
    check_stamps(video, rows)


def test_a_lost_beginning_leaves_nothing_to_hold(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.avi", FRAMES)
    # FFmpeg's muxer would close the gap, so the index is told of it.
    index = index_video(video)
    index = replace(index, frame=index.frame + 4)
    clips = clips_frame([(0, 40, 48, 48, 0, 0), (4, 20, 48, 48, 0, 0), (50, 70, 48, 48, 0, 0)])
    out = tmp_path / "out"
    out.mkdir()
    cuts = cut_video(video, index, clips, out, Encode(), max_held=0.5)
    assert cuts["reason"].fillna("").tolist() == ["frames_missing", "", "beyond_end"]


def test_real_msmpeg4(tmp_path: Path, shared: Path) -> None:
    """Street surveillance, 10 fps, whose codec is exact with the bitexact flag alone."""
    source = shared / "data/pedestrians/vtest.avi"
    video = tmp_path / "vtest.avi"
    video.symlink_to(source)
    index, rows = cut_and_verify(video, random_clips(300, (768, 576), count=5, length=40))
    assert (index.n_frames, index.fps) == (795, 10)
    assert rows["reason"].isna().all()


def test_real_damage(tmp_path: Path, shared: Path) -> None:
    """Its header names 119 frames, its edit list hides two of them; the rest decode."""
    video = tmp_path / "parking_lot.mp4"
    video.symlink_to(shared / "data/faulty/parking_lot.mp4")
    index, rows = cut_and_verify(video, random_clips(117, (1280, 720), count=4, length=30))
    assert (index.n_packets, index.n_frames) == (119, 117)
    assert rows["reason"].isna().all()
    beyond = clips_frame([(100, 119, 48, 48, 0, 0)])
    out = tmp_path / "beyond"
    out.mkdir()
    cuts = cut_video(video, index, beyond, out, Encode(), max_held=0.1)
    assert cuts["reason"].tolist() == ["beyond_end"]


def test_verify_proves_that_a_video_ends_where_a_clip_does(tmp_path: Path) -> None:
    video = make_video(tmp_path / "v.mp4", FRAMES)
    clips = clips_frame([(40, FRAMES + 1, 48, 48, 0, 0)])
    index, rows = cut_and_verify(video, clips)
    assert rows["n_frames"].tolist() == [20]
    one_less = replace(index, frame=np.where(index.frame == FRAMES - 1, -1, index.frame))
    out = tmp_path / "less"
    out.mkdir()
    clips = clips_frame([(40, FRAMES, 48, 48, 0, 0)])
    rows = clips.merge(cut_video(video, one_less, clips, out, Encode(), max_held=0.1))
    (problem,) = verify_video(video, one_less, rows, out)
    assert problem.detail == "lacks frame 59, which is shown"
