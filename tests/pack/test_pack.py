"""Packs: equal to the raw planes and to the mp4, deterministic, and clear when they are broken."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
from builds import bytes_of

from tinyvirat_build import records
from tinyvirat_build.errors import DataError, PackError
from tinyvirat_build.pack import from_tree
from tinyvirat_build.pack.from_tree import pack_tree
from tinyvirat_build.pack.read import open_pack
from tinyvirat_build.pack.write import write_pack
from tinyvirat_build.released.read import read_tree

CLASSES = ("walk", "run", "turn")
H264 = {"qp": "0", "preset": "ultrafast", "threads": "1"}


def write_mp4(path, planes, *, pix_fmt="yuv420p", codec="libx264", options=None, tags=None):
    """Encode planes ``[(y, u, v), …]``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(30), options=options or H264)
        height, width = planes[0][0].shape
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        if tags:
            stream.codec_context.colorspace, stream.codec_context.color_range = tags
        for picture in planes:
            frame = av.VideoFrame(width, height, pix_fmt)
            for plane, values in zip(frame.planes, picture, strict=True):
                room = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
                room[: values.shape[0], : values.shape[1]] = values
            if tags:
                frame.colorspace, frame.color_range = tags
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def noise(rng, frames, height, width, chroma=2):
    """Random pictures of even sides, 4:2:0 unless ``chroma`` is 1."""
    half = height // chroma, width // chroma
    return [
        tuple(rng.integers(0, 256, shape, np.uint8) for shape in ((height, width), half, half))
        for _ in range(frames)
    ]


@pytest.fixture
def build(tmp_path):
    """A build folder with two raw files of three clips each, its manifest, and the planes."""
    rng = np.random.default_rng(1)
    rows, planes = [], {}
    for video in ("a", "b"):
        offset = 0
        file = tmp_path / "raw" / f"{video}.yuv"
        file.parent.mkdir(exist_ok=True)
        with file.open("wb") as out:
            for i, (split, side, corner) in enumerate(
                [("test", 16, (4, -6)), ("train", 11, (3, 8)), ("val", 55, (-3, 7))]
            ):
                frames = 3 + i
                odd = [c % 2 for c in corner]
                height, width = (side + o + (side + o) % 2 for o in odd[::-1])
                pictures = noise(rng, frames, height, width)
                for picture in pictures:
                    for plane in picture:
                        out.write(plane.tobytes())
                name = f"{video}{i}"
                planes[name] = pictures, odd[1], odd[0], side
                rows.append(
                    {"source": "s", "video_id": video, "annotation_set": "k", "clip_id": name}
                    | {"split": split, "id": f"{ord(video) - 97:05d}", "width": side}
                    | {"height": side, "x": (corner[0],) * frames, "y": (corner[1],) * frames}
                    | {"n_frames": frames, "pack_file": f"raw/{video}.yuv", "fps": "30000/1001"}
                    | {"pack_offset": offset, "labels": ("run",) if i else ("walk", "turn")}
                )
                offset += frames * height * width * 3 // 2
    lost = {"clip_id": "lost", "split": "train", "labels": ("run",), "reason": "no_video"}
    rows.append({"source": "s", "video_id": "c", "annotation_set": "k"} | lost)
    manifest = pd.DataFrame(rows).reindex(columns=records.columns("clips"))
    return tmp_path, manifest, planes


def test_pack_holds_the_planes_of_every_clip(build):
    folder, manifest, planes = build
    pack = open_pack(write_pack(folder, manifest, CLASSES), verify=True)
    assert pack.split.tolist() == ["train"] * 2 + ["val"] * 2 + ["test"] * 2
    assert len(pack) == len(planes)
    for i, name in enumerate(pack.clip_id):
        pictures, dy, dx, side = planes[name]
        for got, wanted in zip(pack.planes(i), zip(*pictures, strict=True), strict=True):
            np.testing.assert_array_equal(got, np.stack(wanted))
        inner = pack.yuv444(i)
        assert inner.shape == (len(pictures), 3, side, side)
        np.testing.assert_array_equal(
            inner[:, 0], np.stack([p[0][dy : dy + side, dx : dx + side] for p in pictures])
        )
        wanted = pictures[0][2][(dy + side - 1) // 2, (dx + side - 1) // 2]
        assert inner[0, 2, side - 1, side - 1] == wanted
    assert pack.labels[pack.clip_id == "a0"].tolist() == [[1, 0, 1]]
    assert (pack.matrix[0], pack.range[0]) == ("bt601", "limited")


def test_pack_is_linked_deterministic_and_replaced_whole(build):
    folder, manifest, _ = build
    first = write_pack(folder, manifest, CLASSES)
    before = bytes_of(first)
    assert (folder / "raw" / "a.yuv").samefile(first / "shards" / "00000.yuv")
    shuffled = manifest.sample(frac=1, random_state=3)
    assert bytes_of(write_pack(folder, shuffled, CLASSES)) == before
    assert sorted(p.name for p in folder.iterdir()) == ["pack", "raw"]


def test_copies_where_links_fail(build, monkeypatch):
    folder, manifest, _ = build
    linked = bytes_of(write_pack(folder, manifest, CLASSES))
    shutil.rmtree(folder / "pack")

    def refuse(*_):
        raise OSError(errno.EXDEV, "across devices")

    monkeypatch.setattr(os, "link", refuse)
    assert bytes_of(write_pack(folder, manifest, CLASSES)) == linked
    assert not (folder / "raw" / "a.yuv").samefile(folder / "pack" / "shards" / "00000.yuv")


def test_large_raw_file_becomes_several_shards(build):
    folder, manifest, _ = build
    whole = open_pack(write_pack(folder, manifest, CLASSES))
    frames = [whole.raw(i).copy() for i in range(len(whole))]
    parts = open_pack(write_pack(folder, manifest, CLASSES, max_shard=3000), True)
    assert len(parts.shard_files) > len(whole.shard_files)
    for i, wanted in enumerate(frames):
        np.testing.assert_array_equal(parts.raw(i), wanted)


def test_public_pack_withholds_labels_and_sources_of_test(build):
    folder, manifest, _ = build
    pack = open_pack(write_pack(folder, manifest, CLASSES, public=True))
    test = pack.split == "test"
    assert pack.labelled.tolist() == (~test).tolist()
    assert not pack.labels[test].any()
    videos = np.array(pack.table["video_id"].to_pylist())
    assert videos[test].tolist() == pack.id[test].tolist()
    assert set(videos[~test]) == {"a", "b"}


def test_colour_comes_from_the_clips_own_tags(build):
    folder, manifest, _ = build
    path = folder / "clips" / "a.mp4"
    write_mp4(path, noise(np.random.default_rng(0), 2, 16, 16), tags=(1, 2))
    manifest["path"] = ["clips/a.mp4" if v == "a" else None for v in manifest["video_id"]]
    pack = open_pack(write_pack(folder, manifest, CLASSES))
    colours = dict(zip(pack.clip_id, zip(pack.matrix, pack.range, strict=True), strict=True))
    assert colours["a1"] == ("bt709", "full")
    assert colours["b1"] == ("bt601", "limited")


def test_empty_manifest_gives_an_empty_pack(tmp_path):
    pack = open_pack(write_pack(tmp_path, records.empty("clips"), CLASSES), True)
    assert len(pack) == 0
    with pytest.raises(PackError, match="no clip of split 'train'; splits in it: none"):
        pack.of_split("train")


def break_json(pack):
    (pack / "pack.json").write_text("{")


def change_version(pack):
    header = json.loads((pack / "pack.json").read_text())
    (pack / "pack.json").write_text(json.dumps(header | {"version": 99}))


def set_header(**changes):
    def damage(pack):
        header = json.loads((pack / "pack.json").read_text()) | changes
        kept = {k: v for k, v in header.items() if v is not None}
        (pack / "pack.json").write_text(json.dumps(kept))

    return damage


def change_index(pack):
    with (pack / "index.parquet").open("r+b") as f:
        f.seek(100)
        f.write(b"\0\1\2\3")


def set_shard(name):
    def change(pack):
        header = json.loads((pack / "pack.json").read_text())
        header["shards"][0]["file"] = name
        (pack / "pack.json").write_text(json.dumps(header))

    return change


def truncate_shard(pack):
    with (pack / "shards" / "00000.yuv").open("r+b") as f:
        f.truncate(1000)


def remove_shard(pack):
    (pack / "shards" / "00001.yuv").unlink()


def change_pixel(pack):
    with (pack / "shards" / "00001.yuv").open("r+b") as f:
        byte = f.read(1)[0]
        f.seek(0)
        f.write(bytes([byte ^ 1]))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_json, "pack.json: cannot be read"),
        (change_version, "pack of version 99, this program reads 1"),
        (set_header(version=True), "pack of version True"),
        (set_header(index_sha256=None), "its entries are not those of a pack"),
        (set_header(shards=3), "its entries are not those of a pack"),
        (set_header(shards=[{"file": "a"}]), "its entries are not those of a pack"),
        (set_shard("../../secret"), "shard 0 is '../../secret', not shards/00000.yuv"),
        (set_shard("/etc/passwd"), "shard 0 is '/etc/passwd'"),
        (set_shard("shards/00001.yuv"), "shard 0 is 'shards/00001.yuv'"),
        (set_header(clips=5), "6 clips, pack.json says 5"),
        (change_index, "index.parquet: checksum is wrong"),
        (truncate_shard, "00000.yuv: truncated or changed, 1000 bytes instead of"),
        (remove_shard, "00001.yuv: missing"),
        (change_pixel, "00001.yuv: checksum is wrong"),
        (shutil.rmtree, "no training pack here"),
    ],
)
def test_damage_is_one_clear_line(build, damage, message):
    folder, manifest, _ = build
    damage(write_pack(folder, manifest, CLASSES))
    with pytest.raises(PackError, match=message) as caught:
        open_pack(folder, verify=True)
    assert "\n" not in str(caught.value)


def test_raw_file_shorter_than_the_manifest_says(build):
    folder, manifest, _ = build
    with (folder / "raw" / "b.yuv").open("r+b") as f:
        f.truncate(500)
    with pytest.raises(
        PackError, match=r"b.yuv: truncated, 500 bytes; run `tinyvirat-build cut` again"
    ):
        write_pack(folder, manifest, CLASSES)
    assert not (folder / "pack").exists()


def write_tree(root, rows, *, v1=False):
    """A tree of ``split -> [(id, planes, labels, write_mp4 options)]``."""
    for split, clips in rows.items():
        listed = []
        for clip_id, planes, labels, options in clips:
            path = f"video/{clip_id}.mp4"
            write_mp4(root / "videos" / split / path, planes, **options)
            row = {"id": clip_id, "path": path, "dim": [len(planes), *planes[0][0].shape]}
            listed.append(row | ({} if labels is None else {"label": labels}))
        name = f"tiny_{split}.json" if v1 else f"tiny_{split}_v2.json"
        if split == "test" and not v1:
            name = "tiny_test_v2_public.json"
        (root / name).write_text(json.dumps({"tubes": listed} if v1 else listed))
    if not v1:
        (root / "class_map.json").write_text(json.dumps({c: i for i, c in enumerate(CLASSES)}))


@pytest.mark.parametrize("v1", [True, False])
def test_tree_becomes_a_pack_equal_to_its_mp4s(tmp_path, v1):
    rng = np.random.default_rng(0)
    labels = ["Riding", "Opening"] if v1 else ["turn", "walk"]
    rows = {
        "train": [
            ("0", noise(rng, 4, 14, 14), labels, {}),
            ("1", noise(rng, 9, 128, 72), labels[:1], {}),
        ],
        "test": [("0", noise(rng, 2, 22, 10), labels if v1 else None, {"tags": (1, 1)})],
    }
    write_tree(tmp_path / "tree", rows, v1=v1)
    report = pack_tree(tmp_path / "tree", tmp_path / "pack", workers=2)
    assert (report.clips, report.faults) == (3, ())
    pack = open_pack(report.path, verify=True)
    assert pack.labelled.tolist() == [True, True, v1]
    wanted_first = [0, 12] if v1 else [0, 2]
    assert np.flatnonzero(pack.labels[0]).tolist() == wanted_first
    assert pack.matrix.tolist() == ["bt601", "bt601", "bt709"]
    wanted = [p for clips in rows.values() for _, p, _, _ in clips]
    for i, pictures in enumerate(wanted):
        for got, planes in zip(pack.planes(i), zip(*pictures, strict=True), strict=True):
            np.testing.assert_array_equal(got, np.stack(planes))


@pytest.mark.parametrize(("dy", "dx"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_odd_window_with_replicated_chroma_keeps_its_own_chroma(tmp_path, dy, dx):
    rng = np.random.default_rng(2)
    source = noise(rng, 3, 20, 20)
    own = (slice(4 + dy, 15 + dy), slice(2 + dx, 15 + dx))
    pictures = [(y[own], *(p.repeat(2, 0).repeat(2, 1)[own] for p in (u, v))) for y, u, v in source]
    write_tree(tmp_path / "t", {"train": [("0", pictures, ["run"], {"pix_fmt": "yuv444p"})]})
    report = pack_tree(tmp_path / "t", tmp_path / "p")
    assert report.faults == ()
    pack = open_pack(report.path)
    assert (pack.inner_height[0], pack.inner_width[0]) == (11, 13)
    np.testing.assert_array_equal(pack.yuv444(0), np.array(pictures))
    assert pack.nbytes[0] <= 3 * 12 * 14 * 3 // 2


def test_faults_of_a_tree_are_told_and_nothing_is_lost(tmp_path):
    rng = np.random.default_rng(0)
    rows = [(str(i), noise(rng, 5, 16, 16), ["run"], {}) for i in range(4)]
    full = noise(rng, 5, 16, 16, chroma=1)
    rows.append(("4", full, ["run"], {"pix_fmt": "yuv444p"}))
    write_tree(tmp_path / "t", {"train": rows})
    listed = json.loads((tmp_path / "t" / "tiny_train_v2.json").read_text())
    listed[0]["dim"][0] = 8
    (tmp_path / "t" / "tiny_train_v2.json").write_text(json.dumps(listed))
    videos = tmp_path / "t" / "videos" / "train" / "video"
    (videos / "1.mp4").unlink()
    (videos / "2.mp4").write_bytes(b"not a video")
    report = pack_tree(tmp_path / "t", tmp_path / "p")
    assert report.clips == 3
    told = {f["id"]: f["what"] for f in report.faults}
    assert told["0"] == "dim is [8, 16, 16], decoded [5, 16, 16]"
    assert "decoding failed after 0 frames" in told["1"]
    assert "decoding failed after 0 frames" in told["2"]
    assert told["4"] == "4:4:4 chroma was averaged to 4:2:0"
    assert json.loads((tmp_path / "p" / "faults.json").read_text()) == list(report.faults)
    assert open_pack(tmp_path / "p").frames.tolist() == [5, 5, 5]


def test_of_two_rows_with_one_id_the_second_is_told_not_packed(tmp_path):
    rng = np.random.default_rng(0)
    rows = [(name, noise(rng, 2, 8, 8), ["run"], {}) for name in ("0", "1")]
    write_tree(tmp_path / "t", {"train": rows})
    listed = json.loads((tmp_path / "t" / "tiny_train_v2.json").read_text())
    listed[1]["id"] = "0"
    (tmp_path / "t" / "tiny_train_v2.json").write_text(json.dumps(listed))
    report = pack_tree(tmp_path / "t", tmp_path / "p")
    assert (report.clips, [f["what"] for f in report.faults]) == (1, [from_tree._TWICE])


def test_a_tree_without_any_clip_keeps_the_old_pack(tmp_path):
    rng = np.random.default_rng(0)
    write_tree(tmp_path / "t", {"train": [("0", noise(rng, 2, 8, 8), ["run"], {})]})
    pack_tree(tmp_path / "t", tmp_path / "p")
    before = bytes_of(tmp_path / "p")
    shutil.rmtree(tmp_path / "t" / "videos")
    with pytest.raises(DataError, match="none of its 1 clips decodes"):
        pack_tree(tmp_path / "t", tmp_path / "p")
    assert bytes_of(tmp_path / "p") == before


def test_a_pack_behind_a_link_or_here(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    write_tree(tmp_path / "t", {"train": [("0", noise(rng, 2, 8, 8), ["run"], {})]})
    (tmp_path / "disk" / "p").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "p")
    for _ in range(2):
        pack_tree(tmp_path / "t", tmp_path / "link")
        assert (tmp_path / "link").is_symlink()
        assert len(open_pack(tmp_path / "disk" / "p")) == 1
    monkeypatch.chdir(tmp_path / "disk" / "p")
    pack_tree(tmp_path / "t", ".")
    assert sorted(p.name for p in (tmp_path / "disk").iterdir()) == ["p"]


def test_a_pack_of_many_shards_keeps_no_file_open(tmp_path):
    clips = 150
    row = {"source": "s", "annotation_set": "k", "split": "train", "width": 2, "height": 2}
    row |= {"x": (0,), "y": (0,), "n_frames": 1, "fps": "30", "pack_offset": 0, "labels": ("run",)}
    rows = []
    for i in range(clips):
        (tmp_path / f"{i}.yuv").write_bytes(bytes(6))
        name = f"{i:05d}"
        rows.append(row | {"video_id": name, "clip_id": name, "id": name, "pack_file": f"{i}.yuv"})
    manifest = pd.DataFrame(rows).reindex(columns=records.columns("clips"))
    pack = open_pack(write_pack(tmp_path, manifest, CLASSES))
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 50, limits[1]))
    try:
        assert len(np.unique(pack.addresses(np.arange(clips)))) == clips
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no TinyVIRAT tree here"),
        ({"tiny_train.json": "{"}, "cannot be read as JSON"),
        ({"tiny_train.json": "3"}, "neither a list of rows nor"),
        ({"tiny_train.json": '[{"id": 1}]'}, "row 0: has no usable id, path and dim"),
        *(
            ({"tiny_train.json": f'[{{"id": 1, "path": "{path}", "dim": [1, 2, 2]}}]'}, message)
            for path, message in [("../a.mp4", "names no file of the tree"), ("", "names no file")]
        ),
        *(
            (
                {"tiny_train.json": f'[{{"id": 1, "path": "a", "dim": [], "label": {label}}}]'},
                "label is no list of names",
            )
            for label in ("3", '"Riding"', '[["Riding"]]')
        ),
        *(
            ({"tiny_train.json": "[]", "class_map.json": text}, "not a class map")
            for text in ("[]", '{"Riding": 1, "b": 2}', '{"a": "x", "b": 0}', '{"a": false}')
        ),
        (
            {"tiny_train.json": '[{"id": 1, "path": "a.mp4", "dim": [1, 2, 2], "label": ["x"]}]'},
            "label 'x' is not among the 26 classes",
        ),
    ],
)
def test_tree_that_cannot_be_read_is_one_clear_line(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_tree(tmp_path)


def test_pack_never_replaces_something_else(tmp_path):
    write_tree(
        tmp_path / "t", {"train": [("0", noise(np.random.default_rng(0), 1, 8, 8), ["run"], {})]}
    )
    with pytest.raises(PackError, match="holds something that is no pack"):
        pack_tree(tmp_path / "t", tmp_path / "t")
    assert (tmp_path / "t" / "class_map.json").is_file()
