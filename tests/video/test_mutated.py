"""Videos broken at random: no frame of a clip is another's, unless it is marked.

``bench/mutated_videos.py`` breaks 5,000.
"""

from __future__ import annotations

from pathlib import Path

from .mutated import FAILURES, PAIRS, attempts

COUNT = 200


def test_no_frame_of_a_broken_video_is_anothers(tmp_path: Path) -> None:
    found = list(attempts(range(COUNT), 0, tmp_path, workers=1))
    assert [m for m in found if m.verdict in FAILURES] == []
    assert {m.pair for m in found if m.verdict == "right"} == set(PAIRS)
    assert sum(bool(m.marks) for m in found) > COUNT // 4
