"""Previews: small, near their clips, frame by frame, the same bytes again."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import pytest

import tinyvirat_build as tvb
from tinyvirat_build.geometry.arrays import Bytes
from tinyvirat_build.report.previews import (
    FRAMES,
    LARGEST,
    PLAYED,
    PREVIEWS,
    encode,
    make_previews,
    preview_name,
    preview_path,
    step_of,
    wanted,
)
from tinyvirat_build.settings import Encode, Settings
from tinyvirat_build.video.encode import encode_clip
from tinyvirat_build.video.frames import frames_at
from tinyvirat_build.video.index import Colour
from tinyvirat_build.video.windows import Window

av.logging.set_level(av.logging.ERROR)


@pytest.fixture
def rows(demo: tvb.Build, tmp_path: Path) -> pd.DataFrame:
    """Six clips of the demo, in a folder of their own."""
    clips = demo.clips.iloc[::20].head(6)
    for name in {*clips["path"], *clips["pack_file"]}:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(demo.path / name)
    return clips


def frames_of(film: bytes) -> list[tuple[float, Any]]:
    """When each picture ``(height, width, 3)`` of a preview is shown, and what it is."""
    with av.open(io.BytesIO(film)) as container:
        assert container.streams.video[0].codec_context.name.endswith("vp9")
        return [(float(frame.pts * frame.time_base), frame.to_ndarray(format="rgb24"))
                for frame in container.decode(video=0)]  # fmt: skip


def test_a_preview_shows_the_clips_frames(rows: pd.DataFrame, tmp_path: Path) -> None:
    for row in rows.to_dict("records"):
        count = int(row["n_frames"])
        own = frames_at(tmp_path / row["path"], range(0, count, step_of(count)))
        film = frames_of(encode(row, tmp_path))
        assert len(film) == len(own) <= FRAMES
        for number, ((shown, picture), frame) in enumerate(zip(film, own, strict=True)):
            assert shown * Fraction(row["fps"]) == pytest.approx(number * step_of(count), abs=0.1)
            assert picture.shape == (row["height"], row["width"], 3)
            assert np.abs(picture - frame.astype(np.float64)).mean() < 16
        again = encode(row | {"pack_file": None}, tmp_path)  # from the clip itself
        assert again == encode(row, tmp_path)


def test_previews_are_made_once_and_are_small(rows: pd.DataFrame, tmp_path: Path) -> None:
    names = make_previews(rows, tmp_path)
    files = {name: tmp_path / preview_path(name) for name in names}
    assert len(names) == len(rows)
    made = {name: file.read_bytes() for name, file in files.items()}
    assert max(len(data) for data in made.values()) <= LARGEST
    stamps = {name: file.stat().st_mtime_ns for name, file in files.items()}
    one, other, third = sorted(names)[:3]
    files[one].unlink()  # a build that was killed
    files[other].write_bytes(b"")
    files[third].write_bytes(bytes(LARGEST + 1))  # of a version without this bound
    stranger = tmp_path / preview_path("f" * 16)
    stranger.parent.mkdir(parents=True, exist_ok=True)
    stranger.write_bytes(b"of an earlier build")
    assert make_previews(rows, tmp_path) == names
    assert {name: file.read_bytes() for name, file in files.items()} == made
    assert not stranger.exists()
    kept = names - {one, other, third}
    assert all(files[name].stat().st_mtime_ns == stamps[name] for name in kept)
    assert not list((tmp_path / PREVIEWS).rglob("*.partial"))


def test_a_clip_that_does_not_decode_has_none(rows: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    row = rows.iloc[:1].assign(path="bad.mp4", pack_file=None)
    assert make_previews(row, tmp_path) == frozenset()


def test_clips_that_browsers_play_need_none(rows: pd.DataFrame) -> None:
    bare = rows.assign(pack_file=rows["pack_file"].where(rows.index == rows.index[0]))

    def made(codec: str, previews: str = "auto", clips: pd.DataFrame = rows) -> pd.DataFrame:
        asked = {"encode.codec": codec, "report.previews": previews}
        return wanted(clips, Settings.load(overrides=[f"{k}={v}" for k, v in asked.items()]))

    for codec in PLAYED:
        assert made(codec).empty
        assert len(made(codec, "always")) == len(rows)
    assert len(made("ffv1")) == len(rows)  # unasked if they are cheap, which they are from a pack
    assert len(made("ffv1", clips=bare)) == 1
    assert made("mpeg4").empty  # the pack has the source's pixels, the clips have not
    assert made("mpeg4", "always")["pack_file"].isna().all()
    for codec in ("ffv1", "mpeg4"):
        assert len(made(codec, "always", bare)) == len(rows)
        assert made(codec, "none").empty
    assert preview_name("ab" * 32) == "ab" * 8


def noise(side: int, count: int, *, tall: bool = False) -> tuple[Window, Bytes]:
    """A window of noise, black and white, the hardest there is to make small."""
    window = Window.of(side, side, [0] * count, [0] * count, tall=tall)
    rng = np.random.default_rng(side)
    return window, rng.choice(np.array([0, 255], np.uint8), (count, window.frame_bytes))


def row_of(window: Window, data: Bytes, folder: Path, codec: str = "h264") -> dict[str, Any]:
    """A clip with a pack of its own, behind 7 bytes of others."""
    film = encode_clip(data, window, Fraction(30), Colour(range=2), Encode(codec=codec))
    (folder / "clip.mp4").write_bytes(film)
    (folder / "clips.yuv").write_bytes(bytes(7) + window.packed(data).tobytes())
    return {
        "path": "clip.mp4", "pack_file": "clips.yuv", "pack_offset": 7, "fps": "30",
        "n_frames": len(data), "width": window.width, "height": window.height,
        "x": window.left, "y": window.top,
    }  # fmt: skip


@pytest.mark.parametrize("side", [2, 20, 127, pytest.param(300, marks=pytest.mark.slow)])
def test_no_preview_is_over_its_bound(side: int, tmp_path: Path) -> None:
    row = row_of(*noise(side, 32), tmp_path)
    film = encode(row, tmp_path)
    assert len(film) <= LARGEST
    assert len(frames_of(film)) == 16
    assert film == encode(row, tmp_path)


@pytest.mark.parametrize("codec", ["h264", "ffv1"])
@pytest.mark.parametrize("tall", [False, True])
def test_pack_and_clip_give_the_same_frames(tall: bool, codec: str, tmp_path: Path) -> None:
    """Of full range, which no conversion may narrow, of 4:2:2, and of frames that stand alone."""
    row = row_of(*noise(8, 20, tall=tall), tmp_path, codec)
    ours = encode(row, tmp_path)
    assert ours == encode(row | {"pack_file": None}, tmp_path)
    (tmp_path / "clip.mp4").unlink()
    assert ours == encode(row, tmp_path)  # which reads the pack alone


@pytest.mark.parametrize("codec", ["h264", "ffv1"])
def test_a_clip_that_lacks_frames_has_none(codec: str, tmp_path: Path) -> None:
    row = row_of(*noise(8, 20), tmp_path, codec)
    longer = row | {"pack_file": None, "n_frames": 90, "sha256": "ab" * 32}
    assert make_previews(pd.DataFrame([longer]), tmp_path) == frozenset()
