"""A build from the annotations that another one exported, and a tree as v1's loaders read it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pandas as pd
import pytest

import tinyvirat_build as tvb

PLANNED = ["video_id", "start", "end", "width", "height", "x", "y", "actor_side", "labels"]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["dive", "kwcoco"])
def test_a_build_of_the_export_plans_the_same_clips(
    form: str, demo: tvb.Build, demo_data: Path, tmp_path: Path
) -> None:
    folder = demo.export(form, tmp_path / "export").path
    videos = tmp_path / "videos"
    videos.mkdir()
    for (_, video_id, _), entry in demo.entries(demo_data).items():
        if entry.video is not None:
            (videos / f"{video_id}{entry.video.suffix}").symlink_to(entry.video)
    corpus = folder / f"demo-{form}.yaml"
    corpus.write_text(corpus.read_text() + f"videos: {videos}\n")
    again = tvb.build(corpus, tmp_path / "out", settings={"filter.min_samples": 1}, until="crop")
    assert planned(again).equals(planned(demo))
    parsed = again.issues[again.issues["stage"] == "parse"]
    assert set(parsed["reason"]) <= {"partial_geometry"}


def planned(build: tvb.Build) -> pd.DataFrame:
    clips = build.table("clips_planned")[PLANNED].astype({"video_id": str})
    return clips.sort_values(["video_id", "start", "end", "width", "x", "y"], ignore_index=True)


def test_a_v1_loader_reads_every_clip(demo: tvb.Build, tmp_path: Path) -> None:
    root = demo.export("tinyvirat-v1", tmp_path / "export").path / "TinyVIRAT"
    classes = (root / "classes.txt").read_text().split("\n")[:-1]
    seen = 0
    for split in ("train", "test"):
        tubes = json.loads((root / f"tiny_{split}.json").read_text())["tubes"]
        for tube in tubes:
            assert classes.index(tube["label"][0]) >= 0
            video = cv2.VideoCapture(str(root / "videos" / split / tube["path"]))
            assert video.get(cv2.CAP_PROP_FRAME_COUNT) == tube["dim"][0]
            assert video.get(cv2.CAP_PROP_FRAME_HEIGHT) == tube["dim"][1]
            seen += 1
        assert len({tube["id"] for tube in tubes}) == len(tubes)
    assert seen > 20
