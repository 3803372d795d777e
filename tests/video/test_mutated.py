"""Videos broken at random: no frame of a clip is another's, unless it is marked.

``bench/mutated_videos.py`` breaks 5,000.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .mutated import FAILURES, PAIRS, attempt, attempts

COUNT = 200


@pytest.mark.slow
def test_no_frame_of_a_broken_video_is_anothers(tmp_path: Path) -> None:
    found = list(attempts(range(COUNT), 0, tmp_path, workers=1))
    assert [m for m in found if m.verdict in FAILURES] == []
    assert {m.pair for m in found if m.verdict in ("right", "marked")} == set(PAIRS)
    assert sum(m.verdict == "right" for m in found) > COUNT // 10
    assert sum(bool(m.marks) for m in found) > COUNT // 4


@pytest.mark.parametrize(
    ("number", "what"),
    [
        (105, "a block of absurd size in the middle of a Matroska file"),
        (300, "a picture lost beside one that decodes badly"),
        (317, "the first packet torn"),
        (339, "damage, and a packet without a time"),
        (896, "a packet of absurd size"),
        (744, "pictures in another order around torn packets"),
        (1206, "keyframes whose times go back in what verify passes on"),
        (4571, "a demuxer that wants to be asked again"),
        (4783, "a picture whose end is lost with the beginning of the next chunk"),
        (3038, "an AVI's index without one of its rows"),
    ],
)
def test_what_was_wrong_once(number: int, what: str, tmp_path: Path) -> None:
    assert attempt(number, 0, tmp_path).verdict in ("right", "marked", "refused"), what
