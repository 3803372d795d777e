from __future__ import annotations

import pytest

from tinyvirat_build import progress


def test_lines_come_at_intervals_and_tell_how_long_it_takes() -> None:
    now, said = [0.0], list[str]()
    count = progress.Count(100, "cut", "clip", clock=lambda: now[0], show=said.append)
    for second in range(1, 41):
        now[0] = float(second)
        count.add()
    assert said == [
        "cut: 2 of 100 clips in 2 s, about 98 s to go",
        "cut: 17 of 100 clips in 17 s, about 83 s to go",
        "cut: 32 of 100 clips in 32 s, about 68 s to go",
    ]


def test_one_of_one_is_one() -> None:
    assert progress.Count(1, "index", "video", done=1).text() == "1 of 1 video"
    assert progress.Count(2, "index", "video", done=1).text() == "1 of 2 videos"


def test_what_was_there_before_counts_for_no_speed() -> None:
    now, said = [0.0], list[str]()
    count = progress.Count(
        100_000_000, "fetch", "B", done=60_000_000, clock=lambda: now[0], show=said.append
    )
    count.note("of a mirror")
    for second in (1.0, 11.0):
        now[0] = second
        count.add(10_000_000)
    assert said == ["fetch: 80 MB of 100 MB in 11 s, about 20 s to go; of a mirror"]


def test_the_start_of_processes_is_no_part_of_the_rate() -> None:
    now, said = [0.0], list[str]()
    count = progress.Count(266, "parse", "video", clock=lambda: now[0], show=said.append)
    for second in (2.3, 10.0, 17.4):
        now[0] = second
        count.add(1 if second == 2.3 else 100)
    assert said == [
        "parse: 1 of 266 videos in 2 s",
        "parse: 201 of 266 videos in 17 s, about 5 s to go",
    ]


def test_short_work_says_nothing_and_the_innermost_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert progress.so_far() == ""
    with progress.counting(3, "audit", "video", quiet=True) as outer:
        outer.add()
        assert list(progress.counted("ab", 2, "hash", "clip")) == ["a", "b"]
        assert progress.so_far() == "1 of 3 videos (audit)"
    assert progress.so_far() == ""
    assert capsys.readouterr() == ("", "")


def test_an_interrupt_leaves_to_be_told_how_far_the_work_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The main thread may have left the work before another one answers."""
    monkeypatch.setattr(progress, "_open", [])
    with pytest.raises(KeyboardInterrupt), progress.counting(9, "render", "video") as count:
        count.add()
        raise KeyboardInterrupt
    assert progress.so_far() == "1 of 9 videos (render)"
    with pytest.raises(ValueError, match="no"), progress.counting(9, "render", "video"):
        raise ValueError("no")
    assert progress.so_far() == "1 of 9 videos (render)"
