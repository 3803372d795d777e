from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import tinyvirat_build as tvb
from tinyvirat_build.labels import load_classes
from tinyvirat_build.loader.video_dataset import torchcodec_error
from tinyvirat_build.released.card import DECORD_WIDTHS
from tinyvirat_build.released.layout import LISTS
from tinyvirat_build.settings import Encode
from tinyvirat_build.video.encode import encode_clip
from tinyvirat_build.video.index import Colour
from tinyvirat_build.video.windows import Window


def rows_of(build: tvb.Build, split: str) -> Any:
    return json.loads((build.path / "TinyVIRAT_V2" / LISTS[split]).read_text())


@pytest.mark.slow
def test_mlcroissant_validates_the_metadata_and_reads_every_row(
    client: Callable[..., Any], demo: tvb.Build
) -> None:
    found = client("croissant.py", demo.path / "TinyVIRAT_V2" / "croissant.json")
    assert found["issues"] == []
    assert found["version"] == "http://mlcommons.org/croissant/1.1"
    records = found["records"]
    assert [c["name"] for c in records["classes"]] == list(load_classes("tinyvirat-26"))
    assert [s["name"] for s in records["splits"]] == list(LISTS)
    for split in LISTS:
        assert records[split] == [row | {"split": split} for row in rows_of(demo, split)]


@pytest.mark.slow
def test_datasets_loads_the_released_rows_as_the_card_says(
    client: Callable[..., Any], demo: tvb.Build
) -> None:
    found = client("hub.py", demo.path / "TinyVIRAT_V2")
    for split, named in {"train": "train", "val": "validation", "test": "test"}.items():
        expected = [{"label": None, **row} for row in rows_of(demo, split)]
        assert found["rows"][named] == expected
    assert (found["license"], found["pretty_name"]) == ("apache-2.0", "Tiny actions of demo")


@pytest.mark.slow
def test_decoders_open_what_is_released(client: Callable[..., Any], demo: tvb.Build) -> None:
    """OpenCV and PyAV every clip, decord all but those of the widths that the card tells."""
    root = demo.path / "TinyVIRAT_V2" / "videos"
    found = client("decoders.py", root)
    rows = {f"{s}/{r['path']}": r["dim"] for s in LISTS for r in rows_of(demo, s)}
    assert found.keys() == rows.keys()
    for name, (frames, height, width) in rows.items():
        told = found[name]
        assert told["opencv"] == [frames, height, width, 3]
        with av.open(str(root / name)) as container:
            shapes = [f.to_ndarray(format="rgb24").shape for f in container.decode(video=0)]
        assert shapes == [(height, width, 3)] * frames
        assert (told["decord"] == told["opencv"]) == (width not in DECORD_WIDTHS)
    assert {width for _, _, width in rows.values()} & set(DECORD_WIDTHS)


@pytest.mark.slow
def test_torchcodec_decodes_what_is_released(demo: tvb.Build) -> None:
    if why := torchcodec_error():
        pytest.skip(f"torchcodec does not load: {why}")
    from torchcodec.decoders import VideoDecoder

    root = demo.path / "TinyVIRAT_V2" / "videos"
    for split in LISTS:
        for row in rows_of(demo, split):
            path, (frames, height, width) = str(root / split / row["path"]), row["dim"]
            found = VideoDecoder(path)[:].permute(0, 2, 3, 1).numpy()
            assert found.shape == (frames, height, width, 3)
            with av.open(path) as container:
                plain = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
            assert np.abs(found.astype(int) - np.stack(plain)).max() <= 2  # two ways to RGB


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["h264", "vp9-lossless"])
def test_which_widths_decord_cannot_take(
    codec: Any, client: Callable[..., Any], tmp_path: Path
) -> None:
    """Of all up to 130, whatever the height: its frames have other channels, its batches fail."""
    sizes = [(w, h) for w in range(4, 131, 2) for h in (w, 40)]
    sizes += [(w, w) for w in range(9, 56, 2)]  # 4:4:4
    rng = np.random.default_rng(0)
    for width, height in sizes:
        window = Window.of(width, height, [0] * 3, [0] * 3)
        frames = rng.integers(0, 256, (3, window.frame_bytes), np.uint8)
        encoded = encode_clip(frames, window, Fraction(30), Colour(), Encode(codec=codec))
        (tmp_path / f"{width}x{height}.mp4").write_bytes(encoded)
    found = client("decoders.py", tmp_path)
    assert len(found) == len({f"{w}x{h}" for w, h in sizes})
    for width, height in sizes:
        told = found[f"{width}x{height}.mp4"]
        assert told["opencv"] == [3, height, width, 3]
        if width in DECORD_WIDTHS:
            assert told["decord"] is None
            assert told["decord frame"][2] > 3
        else:
            assert told["decord"] == told["opencv"]
            assert told["decord frame"] == [height, width, 3]
            assert told["differ"] <= 2  # two conversions to RGB
