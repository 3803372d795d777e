"""What is exported, as the libraries load it that it is meant for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tinyvirat_build as tvb
from tinyvirat_build.labels import load_classes

pytestmark = pytest.mark.slow

Client = Callable[..., Any]


def known(build: tvb.Build, *, public: bool = False) -> dict[str, list[dict[str, Any]]]:
    """The clips of a build by split, in order of id."""
    rows: dict[str, list[dict[str, Any]]] = {"train": [], "val": [], "test": []}
    clips = build.clips[build.clips["id"].notna()].sort_values("id")
    for split, number, path, labels in clips[["split", "id", "path", "labels"]].to_numpy():
        hidden = public and split == "test"
        data = (build.path / path).read_bytes()
        rows[split].append(
            {
                "id": number,
                "labels": None if hidden else list(labels),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
        )
    return rows


def ordered(rows: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    return {split: sorted(own, key=lambda row: row["id"]) for split, own in rows.items()}


@pytest.mark.parametrize("public", [False, True])
def test_datasets_loads_the_video_folder(
    public: bool, client: Client, demo: tvb.Build, tmp_path: Path
) -> None:
    folder = demo.export("huggingface", tmp_path / "export", public=public).path
    found = client("reads_huggingface.py", folder)
    assert tuple(found["classes"]) == load_classes(demo.settings.classes)
    expected = known(demo, public=public)
    rows = found["rows"]
    assert ordered(rows) == {
        "train": expected["train"], "validation": expected["val"], "test": expected["test"],
    }  # fmt: skip


@pytest.mark.parametrize("public", [False, True])
def test_webdataset_streams_the_shards(
    public: bool, client: Client, demo: tvb.Build, tmp_path: Path
) -> None:
    pytest.importorskip("webdataset", reason="the extra export is not installed")
    folder = demo.export("webdataset", tmp_path / "export", public=public).path
    assert ordered(client("reads_webdataset.py", folder)) == known(demo, public=public)


@pytest.mark.parametrize("public", [False, True])
def test_fiftyone_reads_the_documents(
    public: bool, client: Client, demo: tvb.Build, tmp_path: Path
) -> None:
    folder = demo.export("fiftyone", tmp_path / "export", public=public).path
    found = client("reads_fiftyone.py", folder)
    assert tuple(found["classes"]) == load_classes(demo.settings.classes)
    assert ordered(found["rows"]) == known(demo, public=public)


def test_kwcoco_finds_no_fault(client: Client, demo: tvb.Build, tmp_path: Path) -> None:
    folder = demo.export("kwcoco", tmp_path / "export").path
    files = sorted((folder / "demo").iterdir())
    judged = client("reads_kwcoco.py", *files)
    boxes, acts = demo.table("boxes"), demo.table("activities")
    for video_id, found in zip(sorted(demo.table("videos")["video_id"]), judged, strict=True):
        own = boxes[boxes["video_id"] == video_id]
        assert found["faults"] == []
        assert found["videos"] == [video_id]
        assert found["activities"] == sorted(acts[acts["video_id"] == video_id]["name"].unique())
        assert found["images"] == own["frame"].nunique()
        assert found["tracks"] == own["actor_id"].nunique()
        assert found["annotations"] >= len(own)


def test_vipy_reads_the_released_layout(client: Client, demo: tvb.Build) -> None:
    assert client("reads_vipy.py", demo.path) == {
        split: [[row["labels"], row["sha256"]] for row in rows]
        for split, rows in known(demo, public=True).items()
    }
