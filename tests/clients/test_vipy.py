from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest

import tinyvirat_build as tvb
from tinyvirat_build.formats import ReadOptions, kpf
from tinyvirat_build.sources.demo.annotate import annotation_files
from tinyvirat_build.sources.demo.cameras import takes

# The demo's names that MEVA lacks; vipy reads such a table beside the annotations.
NAMES = """old,new
activity_carrying,person_carries_heavy_object
activity_gesturing,hand_interacts_with_person
activity_running,person_rides_bicycle
activity_standing,person_stands_up
activity_walking,person_sits_down
vehicle_moving,vehicle_makes_u_turn
"""


@pytest.mark.slow
def test_vipy_reads_the_demos_annotation_as_it_reads_mevas(
    client: Callable[..., Any], demo_data: Path, tmp_path: Path
) -> None:
    """Activities with a box, video by video; the one that is marked empty it passes over."""
    repository, videos = tmp_path / "meva-data-repo", tmp_path / "2018-03-05"
    (repository / "documents").mkdir(parents=True)
    (repository / "documents" / "activity-name-mapping.csv").write_text(NAMES)
    (repository / "annotation").mkdir()
    videos.mkdir()
    corpus = demo_data / "demo"
    expected = {}
    for take in takes(0.1):
        if take.style in ("kitware", "training"):
            files = annotation_files(take.style, take.video_id, corpus / "annotation")
            for file in files:
                shutil.copy(file, repository / "annotation")
            shutil.copy(corpus / "video" / take.file, videos)
            read = kpf.read(take.video_id, files, ReadOptions(drop_status=()))
            if "empty" not in take.quirks:
                expected[take.file] = len(read.activities)
    found = client("meva_of_vipy.py", tmp_path)
    assert {Path(name).name: n for name, (_, n) in found.items()} == expected
    assert len(expected) == 3
    assert min(expected.values()) > 10


@pytest.mark.slow
def test_vipy_opens_what_is_released(client: Callable[..., Any], demo: tvb.Build) -> None:
    every = 7
    found = client("tinyvirat_of_vipy.py", demo.path, imageio_ffmpeg.get_ffmpeg_exe(), str(every))
    root = demo.path / "TinyVIRAT_V2"
    lists = {"train": "train_v2", "val": "val_v2", "test": "test_v2_public"}
    expected = {
        f"{split}/{row['path']}": [[*row["dim"], 3], row.get("label") and sorted(row["label"])]
        for split, name in lists.items()
        for row in json.loads((root / f"tiny_{name}.json").read_text())[::every]
    }
    assert found == expected
    assert len(found) > 10
