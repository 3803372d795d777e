"""Whatever packets an AVI loses, a frame either bears its own number or is marked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tinyvirat_build.settings import Encode
from tinyvirat_build.video.cutter import cut_video
from tinyvirat_build.video.index import index_video
from tinyvirat_build.video.verify import verify_video

from .stamped import NO_B, OPEN_GOP, WITH_B, clips_frame, make_video, without

FRAMES = 72
MPEG4 = {"g": "12", "qmin": "2", "qmax": "2"}
KINDS = {
    "no-b": ("libx264", NO_B),
    "b": ("libx264", WITH_B),
    "open-gop": ("libx264", OPEN_GOP),
    "mpeg4": ("mpeg4", MPEG4),
    "mpeg4-b": ("mpeg4", MPEG4 | {"bf": "2"}),
}
# Packets lost: some by themselves, and runs of them.
losses = st.tuples(
    st.sets(st.integers(1, FRAMES - 1), max_size=4),
    st.lists(st.tuples(st.integers(1, FRAMES - 1), st.integers(1, 30)), max_size=2),
)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    for kind, (codec, options) in KINDS.items():
        make_video(folder / f"{kind}.avi", FRAMES, codec=codec, options=options)
    return folder


@pytest.mark.parametrize("kind", KINDS)
@given(lost=losses)
@example(lost=(set(), [(26, 10)]))  # I P are left of a group
@example(lost=(set(), [(25, 11)]))  # I alone
@example(lost=(set(), [(23, 3)]))  # the end of one group and the beginning of the next
@example(lost=(set(), [(62, 10)]))  # the end of the file
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_frame_bears_its_own_number_or_is_marked(
    kind: str, lost: tuple[set[int], list[tuple[int, int]]], videos: Path, tmp_path: Path
) -> None:
    whole = index_video(videos / f"{kind}.avi")
    gone = lost[0] | {n for start, count in lost[1] for n in range(start, start + count)}
    if kind == "mpeg4-b":  # its pictures do not count: of a lost end only the header can tell
        gone.discard(FRAMES - 1)
    index = index_video(without(videos / f"{kind}.avi", tmp_path / f"{kind}.avi", gone))
    kept = [n for n in range(FRAMES) if n not in gone]
    marked = np.array([index.is_uncertain(n, n + 1) for n in index.frame.tolist()])
    assert (index.frame[~marked] == whole.frame[kept][~marked]).all()
    if kind in ("no-b", "mpeg4"):
        assert not len(index.uncertain)


def test_a_stream_without_b_pictures_loses_no_group_for_a_lost_keyframe(
    videos: Path, tmp_path: Path
) -> None:
    """The order count falls after it, which is no sign that the stream reorders."""
    index = index_video(without(videos / "no-b.avi", tmp_path / "a.avi", {5, 24, 50}))
    assert not index.is_uncertain(0, 12)
    assert not index.is_uncertain(48, 60)


def test_verify_does_not_believe_an_index_that_numbers_a_torn_group(
    videos: Path, tmp_path: Path
) -> None:
    video = without(videos / "b.avi", tmp_path / "a.avi", set(range(26, 36)))
    index = index_video(video)
    assert index.uncertain.tolist() == [[24, 36]]
    sure = replace(index, uncertain=index.uncertain[:0])
    clips = clips_frame([(20, 28, 48, 48, 0, 0), (40, 48, 48, 48, 0, 0)])
    cuts = cut_video(video, sure, clips, tmp_path, Encode(), max_held=1.0)
    problems = verify_video(video, sure, clips.merge(cuts, on="clip_id"), tmp_path)
    assert {(p.check, p.where) for p in problems} == {("frames", f"clip {clips['clip_id'][0]}")}


def test_the_last_picture_of_a_torn_file_is_marked(videos: Path, tmp_path: Path) -> None:
    whole = index_video(videos / "mpeg4-b.avi")
    torn = tmp_path / "a.avi"
    torn.write_bytes((videos / "mpeg4-b.avi").read_bytes()[: int(whole.pos[62])])
    index = index_video(torn)
    assert index.is_uncertain(index.n_frames - 1, index.n_frames)
    assert not index.is_uncertain(0, 48)
