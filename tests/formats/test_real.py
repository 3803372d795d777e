"""Real files against the slow readers of oracle.py: everything equal, every difference an issue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tinyvirat_build.formats import READERS, Dialect, ReadOptions, kpf
from tinyvirat_build.records import VideoAnnotation

from . import oracle
from .samples import boxes_of, closes, dropped

SMALL = 80_000  # bytes of geometry that the fast tests let PyYAML read, a clip

KPF_SETS = (
    "kitware",
    "kitware-meva-training",
    "history-2019-12",
    "contrib/CMU-v2",
    "contrib/UMD-v1-val",
    "contrib/UMD-IBM",
    "contrib/IBM-person-person",
    "contrib/IBM-person-vehicle",
)
JSON_SETS: tuple[tuple[str, Dialect], ...] = (
    ("contrib/CMU-v2", "inclusive"),
    ("contrib/UMD-IBM", "inclusive"),
    ("contrib/IBM-person-person", "inclusive"),
    ("contrib/IBM-person-vehicle", "inclusive"),
    ("contrib/UMD-v1-val", "exclusive"),
    ("nist-kf1-json", "nist"),
)


def annotations(shared: Path) -> Path:
    return shared / "data" / "meva" / "annotation"


def kpf_clips(folder: Path) -> Iterator[tuple[str, list[Path]]]:
    for path in sorted(folder.rglob("*activities.yml")):
        clip = path.name[: -len("-activities.yml")]
        files = [p for p in sorted(path.parent.glob(f"{clip}*.yml")) if kpf.file_kind(p)]
        yield clip, files


def json_files(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.rglob("*.json")) if "-index" not in p.name]


def check_kpf(clip: str, files: list[Path]) -> VideoAnnotation:
    found = READERS["kpf"](clip, files, ReadOptions(max_gap=0))
    truth = oracle.kpf(files)
    issues = Counter(
        i.reason for i in found.issues for _ in range(i.count) if i.action == "dropped"
    )
    assert found.records_in == truth.records
    assert issues["empty_clip"] == truth.empty
    assert closes(found)
    assert boxes_of(found) == truth.boxes
    keyed = found.boxes[found.boxes.keyframe]
    assert set(zip(keyed.actor_id, keyed.frame, strict=True)) == truth.keyframes
    rows = {
        a.activity_id: (a.name, a.start, a.end, a.actors) for a in found.activities.itertuples()
    }
    assert rows == {i: a for i, a in truth.activities.items() if i in rows}
    boxed = {
        i
        for i, (_, start, end, actors) in truth.activities.items()
        if any(a in actors and start <= f < end for a, f in truth.boxes)
    }
    refused = {
        i.record.split()[1] for i in found.issues if i.reason == "status" and i.action == "dropped"
    }
    assert set(rows) == boxed - refused
    types = dict(zip(found.actors.actor_id, found.actors.type, strict=True))
    assert truth.types == {a: t for a, t in types.items() if a in truth.types}
    return found


@pytest.mark.parametrize("name", KPF_SETS)
def test_kpf_equals_pyyaml(name: str, shared: Path) -> None:
    chosen = [
        (clip, files)
        for clip, files in kpf_clips(annotations(shared) / name)
        if sum(p.stat().st_size for p in files) < SMALL
    ][:12]
    assert chosen
    for clip, files in chosen:
        check_kpf(clip, files)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", KPF_SETS)
def test_large_kpf_equals_pyyaml(name: str, shared: Path) -> None:
    """All files of the small sets, and of Kitware's 109 MB every fourth clip."""
    clips = list(kpf_clips(annotations(shared) / name))
    for clip, files in clips[:: 4 if name == "kitware" else 1]:
        check_kpf(clip, files)


def test_the_kitware_set_is_accounted_for(shared: Path) -> None:
    reasons: Counter[str] = Counter()
    kept = boxes = 0
    for clip, files in kpf_clips(annotations(shared) / "kitware"):
        found = READERS["kpf"](clip, files, ReadOptions())
        assert closes(found)
        kept += len(found.activities)
        boxes += len(found.boxes)
        for i in found.issues:
            reasons[i.reason] += i.count if i.action == "dropped" else 0
    assert kept == 3404
    assert boxes == 962_078
    assert reasons["no_geometry"] == 3678
    assert reasons["empty_clip"] == 45
    assert kept + reasons.total() == 7127


@pytest.mark.parametrize(("name", "dialect"), JSON_SETS)
def test_actev_equals_json(name: str, dialect: Dialect, shared: Path) -> None:
    paths = json_files(annotations(shared) / name)
    assert paths
    for path in paths:
        clip = path.name.removesuffix(".json").removesuffix(".activities")
        found = READERS["actev-json"](clip, [path], ReadOptions(dialect=dialect))
        truth = oracle.actev(path, dialect)
        assert "dialect" not in {i.reason for i in found.issues}
        assert (found.records_in, dropped(found)) == (truth.records, 0)
        rows = {a.activity_id: a for a in found.activities.itertuples()}
        assert {i: (a.name, a.start, a.end, ()) for i, a in rows.items()} == truth.activities
        boxes = boxes_of(found)
        for (owner, frame), box in truth.boxes.items():
            activity, number = owner.split("/")
            (actor,) = {number, f"{number}@{activity}"} & set(rows[activity].actors)
            assert boxes[actor, frame] == box
        owned = {(a.split("/")[1], f) for a, f in truth.boxes}
        assert {(a.partition("@")[0], f) for a, f in boxes} == owned
        # without a file index the boxes alone must tell the dialect
        guess = READERS["actev-json"](clip, [path], ReadOptions())
        spans = [v.activities[["start", "end"]].to_numpy().tolist() for v in (guess, found)]
        assert spans[0] == spans[1] or not boxes


def test_umd_v1_reads_alike_from_kpf_and_json(shared: Path) -> None:
    compared = 0
    folder = annotations(shared) / "contrib" / "UMD-v1-val"
    clips = dict(kpf_clips(folder))
    for path in json_files(folder):
        clip = path.stem
        if clip not in clips:
            continue
        a = READERS["kpf"](clip, clips[clip], ReadOptions())
        b = READERS["actev-json"](clip, [path], ReadOptions(dialect="exclusive"))
        rows = b.activities.set_index("activity_id")
        for row in a.activities.itertuples():
            other = rows.loc[row.activity_id]
            assert (row.name, row.start, row.end) == (other["name"], other.start, other.end)
            assert row.actors == other.actors
        mine, other_boxes = boxes_of(a), boxes_of(b)
        assert mine == {key: other_boxes[key] for key in mine}
        compared += len(mine)
    assert compared > 500


def test_cuboids_keep_every_keyframe(shared: Path) -> None:
    total = 0
    for path in json_files(annotations(shared) / "contrib" / "JHU-AIEM"):
        found = READERS["cuboids"](path.stem, [path], ReadOptions())
        assert closes(found)
        assert len(found.activities) == found.records_in
        total += found.records_in
        steps = np.diff(found.boxes.frame)[found.boxes.actor_id.cat.codes.diff()[1:] == 0]
        assert steps.min() >= 1
    assert total == 100
