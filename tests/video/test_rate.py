"""A clip's rate: the container's where its frames keep it, else the simplest that they keep."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyvirat_build.settings import Encode
from tinyvirat_build.video.cutter import cut_video
from tinyvirat_build.video.index import index_video
from tinyvirat_build.video.rate import FINEST_RATE, agreed_rate, clip_rate
from tinyvirat_build.video.verify import verify_video

from .stamped import WITH_B, clips_frame, decode_luma, make_video, read_number

RATES = st.sampled_from(
    [Fraction(n) for n in (1, 5, 6, 10, 15, 24, 25, 30, 50, 60)]
    + [Fraction(n * 1000, 1001) for n in (24, 30, 60)]
    + [Fraction(15, 2), Fraction(25, 2)]
)
TICKS = st.sampled_from([Fraction(1, n) for n in (1000, 10_000, 12_800, 90_000, 10**9)])


def times_of(rate: Fraction, tick: Fraction, n: int) -> list[int]:
    """When frames are shown, as a muxer rounds it to its clock."""
    return [round(k / rate / tick) for k in range(n)]


@given(RATES, TICKS, st.integers(3, 60), st.data())
@settings(max_examples=200, deadline=None)
def test_holes_change_no_rate(rate: Fraction, tick: Fraction, n: int, data: Any) -> None:
    """Fewer holes than half of the steps, of any length, before or after the announced rate."""
    steps = np.diff(times_of(rate, tick, n))
    holes = data.draw(st.lists(st.integers(0, n - 2), max_size=(n - 2) // 2, unique=True))
    steps[holes] += data.draw(st.integers(1, 10**12))
    assert agreed_rate([rate], steps, tick) == rate
    assert agreed_rate([rate / 605, rate], steps, tick) == rate
    assert agreed_rate([rate], -steps, tick) == rate  # a clock that runs backwards says nothing


@given(RATES, RATES, TICKS, st.integers(3, 60))
@settings(max_examples=200, deadline=None)
def test_frames_of_another_rate_have_their_own(
    said: Fraction, kept: Fraction, tick: Fraction, n: int
) -> None:
    steps = np.diff(times_of(kept, tick, n))
    found = agreed_rate([said], steps, tick)
    median = float(np.median(steps))
    assert abs(float(1 / (found * tick)) - median) <= 1 + 1e-9
    if abs(float(1 / (said * tick)) - median) <= 1:
        assert found == said
    assert found.numerator <= FINEST_RATE
    if tick <= Fraction(1, 10**9):  # 60 and 59.94 are 1.5 ticks of 90 kHz apart, too few to tell
        assert found in (said, kept)


@given(st.integers(1, 10**7), TICKS)
@settings(max_examples=200, deadline=None)
def test_any_step_gives_a_rate_that_a_clock_can_tick(step: int, tick: Fraction) -> None:
    found = agreed_rate([], np.array([step] * 5), tick)
    assert found > 0
    assert found.numerator <= max(FINEST_RATE, int(1 / (step * tick)) + 1)


def test_a_span_that_is_not_its_video_s_rate() -> None:
    """Thirty frames a second, then fifteen; the index says thirty."""
    pts = np.r_[np.arange(30) * 3000, 29 * 3000 + np.arange(1, 31) * 6000]
    index: Any = SimpleNamespace(
        timed=True,
        fps=Fraction(30),
        time_base=Fraction(1, 90_000),
        present=np.arange(60),
        packet_of_present=np.arange(60),
        pts=pts,
    )
    assert clip_rate(index, 0, 30) == 30
    assert clip_rate(index, 30, 60) == 15
    assert clip_rate(index, 5, 6) == 30  # one frame has no step
    index.timed = False
    assert clip_rate(index, 30, 60) == 30


@pytest.mark.parametrize("kind", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("fps", [Fraction(30), Fraction(30000, 1001)])
def test_a_hole_in_a_recording(kind: str, fps: Fraction, tmp_path: Path) -> None:
    """Every clip has the camera's rate: before, over and after ten minutes of nothing."""
    times = [10 * n + (6_000 * 30 if n >= 25 else 0) for n in range(60)]
    video = make_video(tmp_path / f"a.{kind}", options=WITH_B, times=times, fps=fps)
    index = index_video(video)
    assert index.fps == fps
    clips = clips_frame([(s, s + 16, 48, 48, 0, 0) for s in (0, 18, 24, 40)])
    out = tmp_path / "out"
    out.mkdir()
    rows = clips.merge(cut_video(video, index, clips, out, Encode(), max_held=0.1), on="clip_id")
    assert rows["fps"].tolist() == [str(fps)] * 4
    assert verify_video(video, index, rows, out) == []
    for file in rows["file"]:
        with av.open(str(out / file)) as clip:
            assert clip.streams.video[0].average_rate == fps
    wrong = rows.assign(fps="24/605")
    assert "rate" in {p.check for p in verify_video(video, index, wrong, out)}


def test_an_hour_s_hole(shared: Path, tmp_path: Path) -> None:
    video = shared / "data/cases/hole-of-an-hour/videos/cam.mp4"
    index = index_video(video)
    clips = clips_frame([(40, 72, 64, 64, 64, 64)])
    rows = clips.merge(cut_video(video, index, clips, tmp_path, Encode(), max_held=0), on="clip_id")
    assert rows["fps"].tolist() == ["30"]
    shown = [read_number(y, 64, 64) for y in decode_luma(tmp_path / rows["file"][0])]
    assert shown == list(range(40, 72))
    assert verify_video(video, index, rows, tmp_path) == []
