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
from PIL import Image

import tinyvirat_build as tvb
from tinyvirat_build.geometry.arrays import Bytes
from tinyvirat_build.records import KEYS
from tinyvirat_build.report.moving import FILM, FRAMES, LARGEST, STRIP, encode, step_of
from tinyvirat_build.report.previews import (
    DEAR,
    PLAYED,
    PREVIEWS,
    make_previews,
    named,
    preview_path,
    wanted,
)
from tinyvirat_build.settings import Encode, Settings
from tinyvirat_build.video.encode import encode_clip
from tinyvirat_build.video.frames import frames_at
from tinyvirat_build.video.index import Colour
from tinyvirat_build.video.windows import Window

av.logging.set_level(av.logging.ERROR)

_FULL = Colour(range=2)


@pytest.fixture
def rows(demo: tvb.Build, tmp_path: Path) -> pd.DataFrame:
    """Six clips of the demo, in a folder of their own, with the names of previews."""
    clips = demo.clips.iloc[::20].head(6)
    kinds = np.array([FILM, STRIP, FILM, STRIP, FILM, STRIP])
    clips = clips.assign(preview=clips["sha256"].str[:16] + "." + kinds)
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


def parts_of(strip: bytes, count: int) -> Any:
    """The pictures ``(height, width, 3)`` of a strip of so many frames of a clip."""
    with Image.open(io.BytesIO(strip)) as image:
        assert image.format == "WEBP"
        pictures = np.asarray(image.convert("RGB"), np.float64)
    return np.split(pictures, len(range(0, count, step_of(count, STRIP))))


def enlarged(picture: Any, height: int, width: int) -> Any:
    """Each pixel of a picture as a square, of the side by which it was reduced."""
    factor = next(k for k in range(1, 99) if -(-max(height, width) // k) == max(picture.shape[:2]))
    assert picture.shape[:2] == (-(-height // factor), -(-width // factor))
    return picture.repeat(factor, 0).repeat(factor, 1)[:height, :width]


def test_a_preview_shows_the_clips_frames(rows: pd.DataFrame, tmp_path: Path) -> None:
    for row in rows.to_dict("records"):
        count = int(row["n_frames"])
        for kind in (FILM, STRIP):
            own = row | {"preview": f"a.{kind}"}
            step = step_of(count, kind)
            frames = frames_at(tmp_path / row["path"], range(0, count, step))
            data = encode(own, tmp_path)
            if kind == FILM:
                times, pictures = zip(*frames_of(data), strict=True)
                at = np.array(times) * float(Fraction(row["fps"])) / step
                assert at == pytest.approx(np.arange(len(times)), abs=0.1)
                assert pictures[0].shape == (row["height"], row["width"], 3)
            else:
                sides = row["height"], row["width"]
                pictures = tuple(enlarged(p, *sides) for p in parts_of(data, count))
            assert len(pictures) == len(frames) <= FRAMES[kind]
            apart = [[np.abs(p - f.astype(np.float64)).mean() for f in frames] for p in pictures]
            assert np.diag(apart).max() < 16
            assert data == encode(own | {"pack_file": None}, tmp_path)  # from the clip itself


@pytest.mark.parametrize("side", [14, 15])
def test_a_strip_of_a_tiny_clip_has_its_colours(side: int, tmp_path: Path) -> None:
    window = Window.of(side, side, [0] * 20, [0] * 20)
    data = np.random.default_rng(0).integers(90, 160, (20, window.frame_bytes), np.uint8)
    row = row_of(window, data, tmp_path, colour=Colour())
    strip = parts_of(encode(row | {"preview": f"a.{STRIP}"}, tmp_path), 20)
    own = frames_at(tmp_path / "clip.mp4", range(0, 20, 3))
    assert len(strip) == len(own) == 7
    for picture, frame in zip(strip, own, strict=True):
        assert picture.shape == (side, side, 3)
        assert np.abs(picture - frame.astype(np.float64)).max() <= 4  # of rounding


def test_films_are_made_where_cutting_is_dear_and_strips_elsewhere() -> None:
    """By the pixels that a clip has to decode for itself, frames of several counted once."""
    keys = dict(zip(KEYS, ("s", "small", "x"), strict=True))
    area = 1920 * 1080
    enough = -(-2 * DEAR // area)  # frames of two clips
    spans = {
        "small": [(0, 9_000)], "dear": [(0, enough), (0, enough)],
        "cheap": [(0, enough), (1, enough - 1)], "apart": [(0, enough - 9), (enough, enough + 9)],
        "unknown": [(0, 9_000)],
    }  # fmt: skip
    clips = pd.DataFrame([
        keys | {"video_id": v, "start": a, "end": b, "sha256": "ab" * 32}
        for v, own in spans.items() for a, b in own
    ])  # fmt: skip
    clips["end"] = clips["end"].mask((clips["video_id"] == "cheap") & (clips["start"] == 0), 20)
    sizes = dict.fromkeys(spans, (1920, 1080)) | {"small": (32, 24), "unknown": (None, None)}
    videos = pd.DataFrame(
        [keys | {"video_id": v, "width": w, "height": h} for v, (w, h) in sizes.items()]
    )
    found = named(clips, videos)
    assert set(found["preview"].str[:17]) == {"ab" * 8 + "."}
    kinds = found.groupby("video_id")["preview"].agg(lambda own: {*own.str[17:]}).to_dict()
    assert kinds == {"dear": {FILM}, "apart": {FILM}, "cheap": {STRIP}, "small": {STRIP},
                     "unknown": {STRIP}}  # fmt: skip
    assert named(clips.iloc[:0], videos)["preview"].empty


def test_previews_are_made_once_and_are_small(rows: pd.DataFrame, tmp_path: Path) -> None:
    by_clip = make_previews(rows, tmp_path)
    assert by_clip == dict(zip(rows["clip_id"], rows["preview"], strict=True))
    names = frozenset(by_clip.values())
    files = {name: tmp_path / preview_path(name) for name in names}
    assert len(names) == len(rows)
    made = {name: file.read_bytes() for name, file in files.items()}
    assert max(len(data) for data in made.values()) <= LARGEST
    stamps = {name: file.stat().st_mtime_ns for name, file in files.items()}
    one, other, third = sorted(names)[:3]
    files[one].unlink()  # a build that was killed
    files[other].write_bytes(b"")
    files[third].write_bytes(bytes(LARGEST + 1))  # of a version without this bound
    stranger = tmp_path / preview_path(f"{'f' * 16}.{FILM}")
    stranger.parent.mkdir(parents=True, exist_ok=True)
    stranger.write_bytes(b"of an earlier build")
    assert make_previews(rows, tmp_path) == by_clip
    assert {name: file.read_bytes() for name, file in files.items()} == made
    assert not stranger.exists()
    kept = names - {one, other, third}
    assert all(files[name].stat().st_mtime_ns == stamps[name] for name in kept)
    assert not list((tmp_path / PREVIEWS).rglob("*.partial"))


def test_a_clip_that_does_not_decode_has_none(rows: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    row = rows.iloc[:1].assign(path="bad.mp4", pack_file=None)
    assert make_previews(row, tmp_path) == {}


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


def noise(side: int, count: int, *, tall: bool = False) -> tuple[Window, Bytes]:
    """A window of noise, black and white, the hardest there is to make small."""
    window = Window.of(side, side, [0] * count, [0] * count, tall=tall)
    rng = np.random.default_rng(side)
    return window, rng.choice(np.array([0, 255], np.uint8), (count, window.frame_bytes))


def row_of(
    window: Window, data: Bytes, folder: Path, codec: str = "h264", colour: Colour = _FULL
) -> dict[str, Any]:
    """A clip with a pack of its own, behind 7 bytes of others."""
    film = encode_clip(data, window, Fraction(30), colour, Encode(codec=codec))
    (folder / "clip.mp4").write_bytes(film)
    (folder / "clips.yuv").write_bytes(bytes(7) + window.packed(data).tobytes())
    return {
        "path": "clip.mp4", "pack_file": "clips.yuv", "pack_offset": 7, "fps": "30",
        "n_frames": len(data), "width": window.width, "height": window.height,
        "x": window.left, "y": window.top, "clip_id": "a", "preview": f"a.{FILM}",
    }  # fmt: skip


@pytest.mark.parametrize("kind", [FILM, STRIP])
@pytest.mark.parametrize("side", [2, 20, 127, pytest.param(300, marks=pytest.mark.slow)])
def test_no_preview_is_over_its_bound(side: int, kind: str, tmp_path: Path) -> None:
    row = row_of(*noise(side, 32), tmp_path) | {"preview": f"a.{kind}"}
    data = encode(row, tmp_path)
    assert len(data) <= LARGEST
    assert len(frames_of(data) if kind == FILM else parts_of(data, 32)) == FRAMES[kind]
    assert data == encode(row, tmp_path)


@pytest.mark.parametrize("codec", ["h264", "ffv1"])
@pytest.mark.parametrize("tall", [False, True])
def test_pack_and_clip_give_the_same_frames(tall: bool, codec: str, tmp_path: Path) -> None:
    """Of full range, which no conversion may narrow, of 4:2:2, and of frames that stand alone."""
    row = row_of(*noise(8, 20, tall=tall), tmp_path, codec)
    both = [row, row | {"preview": f"a.{STRIP}"}]
    ours = [encode(own, tmp_path) for own in both]
    assert ours == [encode(own | {"pack_file": None}, tmp_path) for own in both]
    (tmp_path / "clip.mp4").unlink()
    assert ours == [encode(own, tmp_path) for own in both]  # which reads the pack alone


@pytest.mark.parametrize("codec", ["h264", "ffv1"])
def test_a_clip_that_lacks_frames_has_none(codec: str, tmp_path: Path) -> None:
    row = row_of(*noise(8, 20), tmp_path, codec)
    longer = row | {"pack_file": None, "n_frames": 90, "sha256": "ab" * 32}
    assert make_previews(pd.DataFrame([longer]), tmp_path) == {}
