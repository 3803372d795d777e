"""The map-style dataset over mp4 trees."""

from __future__ import annotations

import copy
import json
import runpy
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from tinyvirat_build.errors import DataError, SettingsError, VideoError
from tinyvirat_build.loader import video_dataset
from tinyvirat_build.loader.video_dataset import TinyVideoDataset

SIZES = {"0": (5, 14, 14), "1": (40, 72, 56), "2": (20, 128, 128)}


@pytest.fixture(scope="module", params=["v1", "v2"])
def tree(request, tmp_path_factory):
    """Clips whose frame t is a flat gray of 3 t + 40, in either layout."""
    return write_tree(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def newer(tmp_path_factory):
    """The same in the newer layout alone."""
    return write_tree(tmp_path_factory.mktemp("newer"), "v2")


def write_tree(root, layout):
    rows = []
    for name, (frames, height, width) in SIZES.items():
        path = root / "videos" / "train" / "v" / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=Fraction(30), options={"qp": "0"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for t in range(frames):
                gray = np.full((height * 3 // 2, width), 128, np.uint8)
                gray[:height] = 3 * t + 40
                container.mux(stream.encode(av.VideoFrame.from_ndarray(gray, "yuv420p")))
            container.mux(stream.encode())
        rows.append(
            {"id": name, "path": f"v/{name}.mp4", "dim": [frames + 2, height, width]}
            | {"label": ["Opening", "Riding"]}
        )
    if layout == "v1":
        (root / "tiny_train.json").write_text(json.dumps({"tubes": rows}))
    else:
        (root / "tiny_train_v2.json").write_text(json.dumps(rows))
    return root


def backends():
    why = video_dataset.torchcodec_error()
    marks = [pytest.mark.skip(reason=f"torchcodec does not load: {why}")] if why else []
    return [pytest.param("torchcodec", marks=marks), "pyav"]


@pytest.mark.parametrize("backend", backends())
def test_frames_are_the_wanted_ones_and_short_clips_stay(tree, backend):
    data = TinyVideoDataset(
        tree, "train", 8, 2, 16, temporal="center", backend=backend, mean=(0,) * 3, std=(1,) * 3
    )
    assert len(data) == 3
    for item, (name, (frames, _, _)) in enumerate(SIZES.items()):
        clip, labels, clip_id = data[item]
        assert clip_id == name
        assert clip.shape == (3, 8, 16, 16)
        start = max((frames - 15) // 2, 0)
        wanted = [((3 * ((start + 2 * k) % frames) + 40) - 16) / 219 for k in range(8)]
        torch.testing.assert_close(
            clip.mean(dim=(0, 2, 3)), torch.tensor(wanted), atol=0.01, rtol=0
        )
        assert labels.nonzero().flatten().tolist() == [0, 12]


def test_it_works_in_a_dataloader_and_epochs_move_the_start(tree):
    data = TinyVideoDataset(tree, "train", 8, 1, 8)
    [(clips, labels, ids)] = DataLoader(data, batch_size=3)
    assert clips.shape == (3, 3, 8, 8, 8)
    assert labels.shape == (3, 26)
    assert list(ids) == list(SIZES)
    first = data[1][0]
    assert torch.equal(first, data[1][0])
    data.set_epoch(1)
    assert not torch.equal(first, data[1][0])


@pytest.mark.parametrize(("context", "copied"), [("fork", False), ("fork", True), ("spawn", True)])
def test_workers_that_persist_hear_of_the_epoch(newer, context, copied):
    data = TinyVideoDataset(newer, "train", 8, 1, 8, backend="pyav")
    data = copy.deepcopy(data) if copied else data
    loader = DataLoader(
        data, batch_size=3, num_workers=1, persistent_workers=True, multiprocessing_context=context
    )
    for epoch in (0, 1):
        data.set_epoch(epoch)
        [(clips, _, _)] = loader
        assert torch.equal(clips, torch.stack([data[i][0] for i in range(3)]))
    assert not torch.equal(
        clips[1], TinyVideoDataset(newer, "train", 8, 1, 8, backend="pyav")[1][0]
    )


def test_transform_gets_the_frames_as_they_are(tree):
    data = TinyVideoDataset(tree, "train", 3, transform=lambda frames: frames)
    assert data[1][0].shape == (3, 3, 72, 56)
    assert data[1][0].dtype == torch.uint8


@pytest.mark.parametrize("backend", backends())
def test_a_broken_file_is_named(tree, tmp_path, backend):
    data = TinyVideoDataset(tree, "train", backend=backend)
    (tmp_path / "bad.mp4").write_bytes(b"nothing")
    with pytest.raises(VideoError, match=r"bad.mp4.*leave it out") as caught:
        video_dataset._DECODERS[data.backend](tmp_path / "bad.mp4", lambda n: [0])
    assert "\n" not in str(caught.value)


def test_the_last_clip_from_the_end(tree):
    data = TinyVideoDataset(tree, "train", backend="pyav")
    assert data[-1][2] == data[len(data) - 1][2]
    with pytest.raises(IndexError):
        data[len(data)]


def test_wrong_arguments_are_one_clear_line(tree, monkeypatch):
    with pytest.raises(DataError, match="no clip of split 'val'; splits in it: train"):
        TinyVideoDataset(tree, "val")
    for options in ({"temporal": "dense"}, {"short": "x"}, {"frames": 0}, {"std": (0, 1, 1)}):
        with pytest.raises(SettingsError):
            TinyVideoDataset(tree, "train", **options)
    with pytest.raises(SettingsError, match="no backend 'decord'"):
        TinyVideoDataset(tree, "train", backend="decord")
    monkeypatch.setattr(video_dataset, "torchcodec_error", lambda: "no libavutil")
    with pytest.raises(SettingsError, match="torchcodec does not load"):
        TinyVideoDataset(tree, "train", backend="torchcodec")
    assert TinyVideoDataset(tree, "train").backend == "pyav"


def test_withheld_labels_are_never_zeros(tree, tmp_path):
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "test").symlink_to(tree / "videos" / "train")
    rows = [{"id": n, "path": f"v/{n}.mp4", "dim": list(d)} for n, d in SIZES.items()]
    (tmp_path / "tiny_test_v2_public.json").write_text(json.dumps(rows))
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps([{**row, "label": ["Riding"]} for row in reversed(rows)]))
    with pytest.raises(DataError, match=r"no labels of 3 test clips.*truth=FILE"):
        TinyVideoDataset(tmp_path, "test")
    data = TinyVideoDataset(tmp_path, "test", 4, 1, 8, truth=truth)
    assert [data[i][1].nonzero().flatten().tolist() for i in range(3)] == [[12]] * 3
    bare = TinyVideoDataset(tmp_path, "test", 4, 1, 8, truth=False)
    assert bare[0][1].isnan().all()
    assert torch.equal(bare[0][0], data[0][0])
    truth.write_text(json.dumps([{**rows[0], "label": ["Riding"]}]))
    with pytest.raises(DataError, match=r"truth\.json: no labels of 2 test clips, the first 1;"):
        TinyVideoDataset(tmp_path, "test", truth=truth)


def test_the_bench_of_the_loader_wants_a_whole_batch(monkeypatch, capsys):
    bench = Path(__file__).parents[2] / "bench" / "load.py"
    monkeypatch.setattr("sys.argv", [str(bench), "--clips", "24"])
    with pytest.raises(SystemExit) as told:
        runpy.run_path(str(bench), run_name="__main__")
    assert told.value.code == 2
    assert "--clips is 32 or more" in capsys.readouterr().err
