"""Split lists: the committed ones are what the code makes, bad ones are refused with their line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tinyvirat_build.errors import AnnotationError, SettingsError
from tinyvirat_build.settings import Partition, annotations_dir
from tinyvirat_build.sources.splits import (
    MEVA_LISTS,
    count_meva,
    load_list,
    load_lists,
    main,
    read_counts,
    regenerate,
    shipped_lists,
    write_counts,
)
from tinyvirat_build.stages.stratify import Counts

SPLITS = annotations_dir() / "splits"


def test_the_committed_list_is_the_regenerated_one(tmp_path: Path) -> None:
    assert shipped_lists() == sorted(MEVA_LISTS)
    for name in shipped_lists():
        regenerate(SPLITS / f"{name}-counts.csv", tmp_path / f"{name}.csv")
        assert (tmp_path / f"{name}.csv").read_bytes() == (SPLITS / f"{name}.csv").read_bytes()


def test_the_committed_counts_are_those_of_the_annotations(shared: Path, tmp_path: Path) -> None:
    for name, preset in MEVA_LISTS.items():
        write_counts(count_meva(shared / "data" / "meva", preset), tmp_path / "counts.csv")
        committed = SPLITS / f"{name}-counts.csv"
        assert (tmp_path / "counts.csv").read_bytes() == committed.read_bytes()


@pytest.mark.parametrize("name", MEVA_LISTS)
def test_every_label_of_a_committed_list_reaches_every_split(name: str) -> None:
    counts = read_counts(SPLITS / f"{name}-counts.csv")
    split = load_list(name, "meva").splits
    assert set(split) == set(counts.groups)
    for label, column in zip(counts.labels, counts.table.T, strict=True):
        groups = [counts.groups[i] for i in np.flatnonzero(column)]
        if len(groups) >= 3:
            assert {split[g] for g in groups} == {"train", "val", "test"}, label


def test_diva_lists_are_as_published(shared: Path) -> None:
    for name in ("virat-diva-train.txt", "virat-diva-validation.txt"):
        assert (SPLITS / name).read_bytes() == (shared / "reference" / name).read_bytes()


def test_the_official_list() -> None:
    official = load_list("official", "virat")
    values = list(official.splits.values())
    assert (values.count("train"), values.count("test"), len(values)) == (64, 54, 118)
    assert official.unit == "video"
    assert official.draw_val
    assert official.closed


def test_lists_of_the_settings(tmp_path: Path) -> None:
    assert list(load_lists(Partition())) == ["meva"]
    assert load_lists(Partition(group="camera")) == {}
    assert load_lists(Partition(lists={"meva": "none"})) == {}
    both = load_lists(Partition(lists={"virat": "official"}))
    assert [both[name].name for name in ("meva", "virat")] == ["meva", "official"]
    own = tmp_path / "own.csv"
    own.write_text("\ufeffvideo_id,split\nv1,train\n\nv2, test\n", "utf-8")
    mine = load_lists(Partition(lists={"demo": str(own)}))["demo"]
    assert (mine.name, mine.unit, mine.closed) == ("own", "video", False)
    assert mine.splits == {"v1": "train", "v2": "test"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Partition(lists={"meva": "official"}), "exist for virat alone"),
        (Partition(lists={"demo": "nowhere"}), "no list 'nowhere'; give official, none, meva"),
        (Partition(lists={"demo": "meva-counts"}), "no list 'meva-counts'"),
        (Partition(group="camera", lists={"meva": "meva"}), "is for time slots"),
    ],
)
def test_lists_that_cannot_be_used(settings: Partition, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_lists(settings)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("name,part\n", 1),
        ("group,split\na,train\nb\n", 3),
        ("group,split\na,training\n", 2),
        ("group,split\na,train\na,val\n", 3),
    ],
)
def test_bad_lists_are_refused_with_their_line(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=f"bad.csv:{line}:"):
        load_list(str(path), "demo")


def test_a_list_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(AnnotationError, match=r"bad\.csv: cannot be read"):
        load_list(str(path), "demo")


def test_counts_come_back(tmp_path: Path) -> None:
    counts = Counts(("a", "b"), ("x", "y"), np.array([[1, 2], [0, 0]]))
    write_counts(counts, tmp_path / "counts.csv")
    again = read_counts(tmp_path / "counts.csv")
    assert (again.groups, again.labels) == (counts.groups, counts.labels)
    assert again.table.tolist() == [[1, 2], [0, 0]]
    (tmp_path / "counts.csv").write_text("group,x\na,one\n")
    with pytest.raises(AnnotationError, match=r"counts\.csv:2: not a group and 1 counts"):
        read_counts(tmp_path / "counts.csv")


def test_the_command_regenerates_the_list(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    for name in MEVA_LISTS:
        assert (tmp_path / f"{name}.csv").read_bytes() == (SPLITS / f"{name}.csv").read_bytes()
    result = CliRunner().invoke(main, ["--data", str(tmp_path / "no"), "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert result.output.startswith("error: ")
    assert isinstance(result.exception, SystemExit)
