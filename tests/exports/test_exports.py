"""Exports of clips: what stands in them, that they are whole, owned, repeatable and public."""

from __future__ import annotations

import builtins
import hashlib
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import tinyvirat_build as tvb
from tinyvirat_build import store
from tinyvirat_build.cli import main
from tinyvirat_build.errors import BuildError, SettingsError
from tinyvirat_build.exports import TARGETS, webdataset
from tinyvirat_build.released.read import read_tree

from .made import CLASSES, published

CLIPS = [
    ("train", "000000", "cam 1", ("Talking", "activity walking")),
    ("train", "000001", "cam 1", ("Opening",)),
    ("train", "000002", "cam2", ("activity walking",)),
    ("val", "00000", "cam3", ("Talking",)),
    ("test", "00001", "cam4", ("Opening", "Talking")),
    ("test", "00000", "cam5", ("Talking",)),
]
OF_CLIPS = [name for name, target in TARGETS.items() if not target.annotations]
HIDDEN = ("cam4", "cam5", f"{4:016x}", f"{5:016x}")  # sources and clip ids of test


@pytest.fixture
def build(tmp_path: Path) -> tvb.Build:
    return published(tmp_path / "out", CLIPS)


def bytes_in(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def needs(target: str) -> None:
    if target == "webdataset":
        pytest.importorskip("webdataset", reason="the extra export is not installed")


@pytest.mark.parametrize("target", OF_CLIPS)
def test_equal_builds_give_equal_bytes_whole_and_once(
    target: str, build: tvb.Build, tmp_path: Path
) -> None:
    needs(target)
    first = build.export(target)
    assert first.written
    assert first.path == build.path / "exports" / target
    other = published(tmp_path / "other" / "out", CLIPS)
    again = other.export(target, tmp_path / "elsewhere" / "deep")
    assert bytes_in(first.path) == bytes_in(again.path)
    before = {p: p.stat().st_mtime_ns for p in first.path.rglob("*")}
    assert build.export(target).written is False
    assert before == {p: p.stat().st_mtime_ns for p in first.path.rglob("*")}
    assert not [p for p in tmp_path.rglob("*") if p.name.endswith(store.PARTIAL)]
    assert (first.path / "LICENSE").read_text() == "CC BY 4.0\n"
    assert str(tmp_path) not in "".join(
        p.read_text(errors="ignore") for p in first.path.rglob("*") if p.is_file()
    )


@pytest.mark.parametrize("target", OF_CLIPS)
def test_what_is_public_tells_nothing_of_test(target: str, build: tvb.Build) -> None:
    needs(target)
    told = build.export(target).path
    hidden = build.export(target, build.path.with_name("public"), public=True).path
    assert bytes_in(told) != bytes_in(hidden)
    text = "".join(
        p.relative_to(hidden).as_posix() + p.read_text(errors="ignore")
        for p in hidden.rglob("*")
        if p.is_file()
    )
    assert not [word for word in HIDDEN if word in text]
    clips = list(hidden.rglob("*.mp4"))
    assert len(clips) == (0 if target == "webdataset" else len(CLIPS))
    assert [labels_of_test(target, folder) for folder in (told, hidden)] == [True, False]


def labels_of_test(target: str, folder: Path) -> bool:
    """Whether an export tells any label of a test clip."""
    if target == "tinyvirat-v1":
        rows = json.loads((folder / "TinyVIRAT/tiny_test.json").read_text())["tubes"]
        return any("label" in row for row in rows)
    if target == "huggingface":
        return any(pq.read_table(folder / "test/metadata.parquet")["labels"].to_pylist())
    if target == "webdataset":
        (shard,) = (s for name, s in shards(folder).items() if name.startswith("test"))
        return any(b"label" in data for data in shard.values())
    if target == "videomae":
        return not all(x.endswith(" -1") for x in (folder / "test.csv").read_text().splitlines())
    samples = json.loads((folder / "samples.json").read_text())["samples"]
    return any(sample["labels"] for sample in samples if sample["tags"] == ["test"])


def test_v1_is_a_tree_as_the_released_one_was(build: tvb.Build) -> None:
    folder = build.export("tinyvirat-v1").path
    root = folder / "TinyVIRAT"
    assert (root / "classes.txt").read_text() == "".join(f"{c}\n" for c in CLASSES)
    rows = json.loads((root / "tiny_train.json").read_text())
    assert rows["tubes"][1] == {
        "id": "000001", "path": "cam 1/1.mp4", "dim": [21, 32, 34], "label": ["Opening"],
    }  # fmt: skip
    tree = read_tree(folder)
    found = [(c.split, c.id, c.labels, c.path.read_text()) for c in tree.clips]
    assert found == [(s, i, labels, f"{s} {i}") for s, i, _, labels in sorted_clips()]
    assert tree.classes == CLASSES


def sorted_clips() -> list[tuple[str, str, str, tuple[str, ...]]]:
    return sorted(CLIPS, key=lambda c: (("train", "val", "test").index(c[0]), c[1]))


def test_a_list_has_two_columns_whatever_the_labels(build: tvb.Build) -> None:
    folder = build.export("videomae", public=True).path
    train = pd.read_csv(folder / "train.csv", header=None, delimiter=" ", dtype=str)
    assert train.to_numpy().tolist() == [
        ["videos/train/000000.mp4", "1,2"],
        ["videos/train/000001.mp4", "0"],
        ["videos/train/000002.mp4", "2"],
    ]
    test = pd.read_csv(folder / "test.csv", header=None, delimiter=" ", dtype=str)
    assert set(test[1]) == {"-1"}
    assert (folder / test[0][1]).read_text() == "test 00001"


def test_the_metadata_of_a_video_folder(build: tvb.Build) -> None:
    folder = build.export("huggingface").path
    table = pq.read_table(folder / "test" / "metadata.parquet")
    assert table.column("labels").to_pylist() == [[1], [0, 1]]
    assert [(folder / "test" / name).read_text() for name in table["file_name"].to_pylist()] == [
        "test 00000", "test 00001",
    ]  # fmt: skip
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["labels"]["feature"]["names"] == list(CLASSES)
    assert list(features) == table.column_names


def shards(folder: Path) -> dict[str, dict[str, bytes]]:
    found = {}
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            members = tar.getmembers()
            assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} == {
                (0, 0, 0, "", "")
            }
            found[path.name] = {m.name: tar.extractfile(m).read() for m in members}  # type: ignore[union-attr]
    return found


def test_shards_are_bounded_and_taken_up_after_a_kill(
    build: tvb.Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("webdataset", reason="the extra export is not installed")
    monkeypatch.setattr(webdataset, "MAX_SHARD", 2 * len("train 000000"))
    whole = build.export("webdataset", tmp_path / "whole").path
    found = shards(whole)
    assert [len(s) // 2 for s in found.values()] == [2, 2, 1, 1][0:0] or sorted(found) == [
        "test-000000.tar", "train-000000.tar", "train-000001.tar", "val-000000.tar",
    ]  # fmt: skip
    samples = {name: data for shard in found.values() for name, data in shard.items()}
    assert samples["00001.mp4"] == b"test 00001"
    told = json.loads(samples["000000.json"])
    assert (told["label"], told["label_ids"]) == (["Talking", "activity walking"], [1, 2])

    written = []
    real = store.atomic_path

    def killed(path: Path) -> Any:
        if path.suffix == ".tar":
            if len(written) == 2:
                raise KeyboardInterrupt
            written.append(path.name)
        return real(path)

    monkeypatch.setattr(store, "atomic_path", killed)
    with pytest.raises(KeyboardInterrupt):
        build.export("webdataset", tmp_path / "killed")
    assert not (tmp_path / "killed").exists()
    written.clear()
    written.append("so that one more is refused")
    with pytest.raises(KeyboardInterrupt):
        build.export("webdataset", tmp_path / "killed")
    assert written[1:] == ["val-000000.tar"]
    monkeypatch.setattr(store, "atomic_path", real)
    build.export("webdataset", tmp_path / "killed")
    assert bytes_in(tmp_path / "killed") == bytes_in(whole)


def test_only_an_export_is_written_over(build: tvb.Build, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    dest.mkdir()
    build.export("videomae", dest)
    changed = published(tmp_path / "more" / "out", [*CLIPS, ("val", "00001", "cam6", ("Opening",))])
    assert changed.export("videomae", dest).written
    assert len(list(dest.rglob("*.mp4"))) == len(CLIPS) + 1
    (dest / "val.csv").unlink()  # what is missing is made again
    assert changed.export("videomae", dest).written
    (dest / "notes.txt").write_text("mine")
    with pytest.raises(BuildError, match=r"notes.txt is not of the export that stands there; move"):
        build.export("videomae", dest)
    (dest / "notes.txt").unlink()
    (dest / "classes.txt").write_text("mine")
    with pytest.raises(BuildError, match=r"classes.txt was changed since it was exported"):
        build.export("videomae", dest)


@pytest.mark.parametrize("name", [".", "TinyVIRAT_V2/mine", "clips", "..", "exports"])
def test_a_builds_own_folders_are_refused(name: str, build: tvb.Build) -> None:
    before = bytes_in(build.path)
    with pytest.raises(BuildError, match="a folder of the build itself, or holds it; give another"):
        build.export("videomae", build.path / name)
    assert bytes_in(build.path) == before


def test_what_is_no_export_is_left_alone(build: tvb.Build, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / f"dest{store.PARTIAL}").mkdir()
    (tmp_path / f"dest{store.PARTIAL}" / "b.txt").write_text("mine")
    for name, message in [
        ("mine", "holds 'a.txt' but no export"), ("file", "is a file"), ("dest", "holds something"),
    ]:  # fmt: skip
        with pytest.raises(BuildError, match=message):
            build.export("videomae", tmp_path / name)
    assert (tmp_path / f"dest{store.PARTIAL}" / "b.txt").read_text() == "mine"


def test_a_clip_that_is_missing_is_named(build: tvb.Build) -> None:
    (build.path / "TinyVIRAT_V2/videos/val/cam3/00000.mp4").unlink()
    with pytest.raises(
        BuildError, match=r"00000.mp4 is missing; `tinyvirat-build verify --repair`"
    ):
        build.export("huggingface")


def test_files_are_linked_and_copied_where_links_fail(
    build: tvb.Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked = build.export("videomae", tmp_path / "linked").path
    assert (linked / "videos/val/00000.mp4").stat().st_nlink == 2

    def refused(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(os, "link", refused)
    copied = build.export("videomae", tmp_path / "copied").path
    assert (copied / "videos/val/00000.mp4").stat().st_nlink == 1
    assert bytes_in(linked) == bytes_in(copied)


def test_a_library_that_is_missing_is_one_line(
    build: tvb.Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name == "webdataset":
            raise ModuleNotFoundError(name=name)
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    done = CliRunner().invoke(main, ["export", "--to", "webdataset", "--out", str(build.path)])
    assert done.exit_code == 2
    assert done.output == (
        "error: webdataset is not installed; pip install '.[export]' in the clone brings it\n"
    )


def test_the_command_says_where_and_what_is_not_held(build: tvb.Build, tmp_path: Path) -> None:
    call = ["export", "--to", "videomae", "--out", str(build.path), "--dest", str(tmp_path / "d")]
    first, again = CliRunner().invoke(main, call), CliRunner().invoke(main, call)
    assert first.output.splitlines() == [
        f"wrote {tmp_path / 'd'}, 12 files",
        "not in videomae: clip_id, source video, size and rate",
    ]
    assert again.output.splitlines()[0] == f"nothing to do: {tmp_path / 'd'}, 12 files"
    unknown = CliRunner().invoke(main, ["export", "--to", "videomea", "--out", str(build.path)])
    assert unknown.exit_code == 2
    assert (
        "unknown target 'videomea' (did you mean videomae?); one of tinyvirat-v1, "
        in unknown.output
    )
    with pytest.raises(SettingsError, match="those of test too; leave --public out"):
        build.export("dive", public=True)


def test_the_folder_may_be_this_one_or_a_link(
    build: tvb.Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, link = tmp_path / "here", tmp_path / "link"
    here.mkdir()
    link.symlink_to(here)
    monkeypatch.chdir(here)
    assert build.export("videomae", Path()).written
    assert not build.export("videomae", link).written
    assert link.is_symlink()


def test_one_process_exports_at_a_time(build: tvb.Build, tmp_path: Path) -> None:
    with (
        store.locked(tmp_path / f"dest{store.PARTIAL}", "exporting"),
        pytest.raises(BuildError, match=r"another process is exporting in .* give another --dest"),
    ):
        build.export("videomae", tmp_path / "dest")
    assert build.export("videomae", tmp_path / "dest").written
