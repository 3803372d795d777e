from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest
from builds import bytes_of

from tinyvirat_build.records import StageResult
from tinyvirat_build.released.about import About
from tinyvirat_build.released.bounds import beyond
from tinyvirat_build.released.write import number, publish, released_texts
from tinyvirat_build.settings import Quality, Settings


class _Corpus:
    name = "corpus"
    attribution = "Somebody."
    license_text = "CC BY 4.0"


def _clips(splits: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    n = len(splits)
    keys = {"source": "corpus", "video_id": [f"v{i % 2}" for i in range(n)], "annotation_set": "a"}
    ids = [f"{i:016x}" for i in range(n)]
    clips = pd.DataFrame(
        {
            **keys,
            "clip_id": ids,
            "segment_id": range(n),
            "start": 0,
            "end": 20,
            "width": 32,
            "height": 30,
            "x": [(0,) * 20] * n,
            "y": [(0,) * 20] * n,
            "actor_side": 20.0,
            "labels": [("Talking",)] * n,
            "activities": [(str(i),) for i in range(n)],
            "activity_id": None,
            "released_id": None,
            "group": splits,
            "split": splits,
        }
    )
    cuts = pd.DataFrame(
        {
            **keys,
            "clip_id": ids,
            "file": [f"clips/{i}.mp4" for i in ids],
            "n_frames": 20,
            "held": 0,
            "sha256": "0",
            "pack_file": None,
            "pack_offset": None,
            "fps": "30",
            "motion": range(n),
            "brightness": 100.0,
            "contrast": 9.0,
            "blur": 50.0,
            "frozen": 0.0,
            "infrared": False,
            "reason": None,
        }
    )
    return clips, cuts


class _Hostile(_Corpus):
    attribution = "\x1b[2JSome\u202ebody.\n\x9b1m"


def test_attribution_holds_no_control_character() -> None:
    clips, _ = _clips([])
    texts = released_texts(clips.assign(id=None, path=None), ["Talking"], [_Hostile()])
    found = texts["TinyVIRAT_V2/ATTRIBUTION"]
    assert "corpus: \\x1b[2JSome\\u202ebody.\n\\x9b1m\n" in found


def _publish(
    out: Path, splits: list[str], lost: int | None = None, **bounds: object
) -> pd.DataFrame:
    return _published(out, splits, lost, **bounds).table


def _published(
    out: Path, splits: list[str], lost: int | None = None, **bounds: object
) -> StageResult:
    clips, cuts = _clips(splits)
    (out / "clips").mkdir(parents=True, exist_ok=True)
    for i, file in enumerate(cuts["file"]):
        (out / file).write_text(str(i))
    if lost is not None:
        cuts.loc[lost, ["file", "reason"]] = [None, "timeout"]
    given = [f"publish.quality.{k}={v}" for k, v in bounds.items() if v is not None]
    about = About("1.2.3", Settings.load(overrides=given), [_Corpus()])
    return publish(out, clips, cuts, ("Opening", "Talking"), about)


def test_the_released_layout(tmp_path: Path) -> None:
    _publish(tmp_path, ["train", "val", "test", "train", "test"])
    root = tmp_path / "TinyVIRAT_V2"
    train = json.loads((root / "tiny_train_v2.json").read_text())
    assert train == [
        {
            "id": f"{i:06d}",
            "video_id": video,
            "path": f"{video}/{i:06d}.mp4",
            "dim": [20, 30, 32],
            "label": ["Talking"],
        }
        for i, video in enumerate(["v0", "v1"])
    ]
    assert json.loads((root / "class_map.json").read_text()) == {"Opening": 0, "Talking": 1}
    test = json.loads((root / "tiny_test_v2_public.json").read_text())
    assert [r["id"] for r in test] == ["00000", "00001"]
    assert all(set(r) == {"id", "video_id", "path", "dim"} for r in test)
    assert all(r["video_id"] == r["id"] for r in test)
    truth = json.loads((tmp_path / "truth" / "test.json").read_text())
    assert [r["id"] for r in truth] == ["00000", "00001"]
    assert all(r["label"] == ["Talking"] for r in truth)
    mp4 = sorted(p.relative_to(root).as_posix() for p in root.rglob("*.mp4"))
    assert mp4 == [
        "videos/test/00000.mp4",
        "videos/test/00001.mp4",
        "videos/train/v0/000000.mp4",
        "videos/train/v1/000001.mp4",
        "videos/val/v1/00000.mp4",
    ]
    assert sorted(p.name for p in root.iterdir() if p.is_file()) == [
        "ATTRIBUTION", "LICENSE", "README.md", "SHA256SUMS", "class_map.json", "croissant.json",
        "tiny_test_v2_public.json", "tiny_train_v2.json", "tiny_val_v2.json",
    ]  # fmt: skip
    assert (root / "LICENSE").read_text()
    assert "Somebody" in (root / "ATTRIBUTION").read_text()


def test_a_clip_without_a_file_keeps_its_row_and_gets_no_number(tmp_path: Path) -> None:
    manifest = _publish(tmp_path, ["train", "train", "val"], lost=0)
    assert manifest["id"].isna().tolist() == [True, False, False]
    assert manifest["reason"].tolist()[0] == "timeout"
    rows = json.loads((tmp_path / "TinyVIRAT_V2" / "tiny_train_v2.json").read_text())
    assert [r["id"] for r in rows] == ["000000"]


def test_a_clip_beyond_a_bound_is_quarantined_and_counted(tmp_path: Path) -> None:
    splits = ["train", "train", "val", "test", "test"]  # of motion 0, 1, 2, 3, 4
    found = _published(tmp_path, splits, lost=0, min_motion=2.0, max_brightness=None)
    assert found.table["reason"].tolist() == ["timeout", "quality", None, None, None]
    assert found.table["id"].isna().tolist() == [True, True, False, False, False]
    assert found.table[["path", "sha256", "pack_file", "pack_offset"]].iloc[1].isna().all()
    assert found.table[["motion", "n_frames"]].iloc[1].tolist() == [1, 20]
    assert found.issues[["record", "detail", "action"]].to_numpy().tolist() == [
        [f"clip {1:016x}", "motion 1 < 2", "quarantined"]
    ]
    balance = found.balance.iloc[0]
    assert balance[["records_in", "records_out", "dropped"]].tolist() == [4, 3, 1]
    assert json.loads((tmp_path / "TinyVIRAT_V2" / "tiny_train_v2.json").read_text()) == []


def test_bounds_are_off_unless_given_and_what_is_not_measured_is_beyond_none() -> None:
    clips = pd.DataFrame({"motion": [None, 1.0], "frozen": [0.5, 1.0], "infrared": [None, True]})
    assert beyond(clips, asdict(Quality())).tolist() == ["", ""]
    given = asdict(Quality(min_motion=2.0, max_frozen=0.5, infrared="drop"))
    assert beyond(clips, given).tolist() == ["", "motion 1 < 2; frozen 1 > 0.5; infrared"]


def test_publishing_again_replaces_the_layout(tmp_path: Path) -> None:
    _publish(tmp_path / "a", ["test", "train", "val"])
    for out in (tmp_path / "a", tmp_path / "b"):
        _publish(out, ["train", "test", "test"])
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")


@pytest.mark.parametrize("seed", [0, 1])
def test_test_numbers_are_shuffled_by_the_seed(seed: int) -> None:
    n = 200
    manifest = pd.DataFrame({"split": ["test"] * n, "source_file": ["f"] * n, "video_id": "v"})
    ids = number(manifest, seed=seed)["id"].tolist()
    assert sorted(ids) == [f"{i:05d}" for i in range(n)]
    assert ids != sorted(ids)
    assert ids == number(manifest, seed=seed)["id"].tolist()
