"""Previews: small, near their clips, frame by frame at their times, the same bytes again."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import pytest

import tinyvirat_build as tvb
from tinyvirat_build.report.previews import (
    FRAMES,
    PREVIEWS,
    encode,
    make_previews,
    plays,
    preview_name,
    preview_path,
    step_of,
    wanted,
)

av.logging.set_level(av.logging.ERROR)


@pytest.fixture
def rows(demo: tvb.Build, tmp_path: Path) -> pd.DataFrame:
    """Six clips of the demo, in a folder of their own."""
    clips = demo.clips.iloc[::20].head(6)
    for name in {*clips["path"], *clips["pack_file"]}:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(demo.path / name)
    return clips


def shown(data: bytes | Path) -> list[tuple[Fraction, Any]]:
    """A film's frames with their times in seconds."""
    import io

    with av.open(io.BytesIO(data) if isinstance(data, bytes) else str(data)) as container:
        return [
            (Fraction(f.pts) * f.time_base, f.to_ndarray(format="rgb24").astype(np.float64))
            for f in container.decode(video=0)
        ]


def test_a_preview_shows_the_clips_frames_at_their_times(
    rows: pd.DataFrame, tmp_path: Path
) -> None:
    for row in rows.to_dict("records"):
        own, count, fps = shown(tmp_path / row["path"]), int(row["n_frames"]), Fraction(row["fps"])
        film = shown(encode(row, tmp_path))
        assert [at * fps for at, _ in film] == list(range(0, count, step_of(count)))
        assert len(film) <= FRAMES
        for at, picture in film:
            difference = picture - own[int(at * fps)][1]
            assert picture.shape == (row["height"], row["width"], 3)
            assert np.abs(difference).mean() < 12
        again = encode(row | {"pack_file": None}, tmp_path)  # from the clip itself
        assert again == encode(row | {"pack_file": None}, tmp_path)
        assert again == encode(row, tmp_path)


def test_previews_are_made_once_and_are_small(rows: pd.DataFrame, tmp_path: Path) -> None:
    names = make_previews(rows, tmp_path)
    files = {name: tmp_path / preview_path(name) for name in names}
    assert len(names) == len(rows)
    made = {name: file.read_bytes() for name, file in files.items()}
    assert np.mean([len(data) for data in made.values()]) < 10_000
    stamps = {name: file.stat().st_mtime_ns for name, file in files.items()}
    one, other = sorted(names)[:2]
    files[one].unlink()  # a build that was killed
    files[other].write_bytes(b"")
    stranger = tmp_path / preview_path("f" * 16)
    stranger.parent.mkdir(parents=True, exist_ok=True)
    stranger.write_bytes(b"of an earlier build")
    assert make_previews(rows, tmp_path) == names
    assert {name: file.read_bytes() for name, file in files.items()} == made
    assert not stranger.exists()
    kept = names - {one, other}
    assert all(files[name].stat().st_mtime_ns == stamps[name] for name in kept)
    assert not list((tmp_path / PREVIEWS).rglob("*.partial"))


def test_a_clip_that_does_not_decode_has_none(rows: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    row = rows.iloc[:1].assign(path="bad.mp4", pack_file=None)
    assert make_previews(row, tmp_path) == frozenset()


def test_clips_that_browsers_play_need_none(rows: pd.DataFrame) -> None:
    assert len(wanted(rows, "h264")) == len(rows)
    assert wanted(rows, "vp9-lossless").empty
    assert plays("h264-crf", 20, 20)
    assert not plays("h264-crf", 21, 21)
    assert preview_name("ab" * 32) == "ab" * 8
