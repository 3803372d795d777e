"""What a release tells of itself: the card, Croissant, checksums."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from builds import DEMO, bytes_of
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

import tinyvirat_build as tvb
from tinyvirat_build.errors import SettingsError
from tinyvirat_build.records import QUALITY, SPLITS
from tinyvirat_build.released.about import About, licence_of
from tinyvirat_build.released.card import DECORD_WIDTHS, card, exported
from tinyvirat_build.released.croissant import croissant
from tinyvirat_build.released.layout import LISTS
from tinyvirat_build.released.write import publish
from tinyvirat_build.settings import Settings
from tinyvirat_build.sources import demo as source
from tinyvirat_build.sources import meva, virat

CLASSES = ("Opening", "Talking", "Riding")
NOTHING: dict[str, Any] = {split: [] for split in SPLITS}
TEXTS = dict.fromkeys([*LISTS.values(), "class_map.json"], "[]")


@dataclass(frozen=True)
class _Corpus:
    name: str = "corpus"
    license_text: str = "CC BY 4.0"
    attribution: str = "Somebody."


def about(*sources: Any, overrides: tuple[str, ...] = ()) -> About:
    return About("1.2.3", Settings.load(overrides=overrides), sources or (_Corpus(),))


def row(split: str, labels: tuple[str, ...], dim: tuple[int, int, int] = (20, 30, 32)) -> Any:
    told = {"id": "0", "video_id": "v", "path": "v/0.mp4", "dim": list(dim)}
    return told | ({} if split == "test" else {"label": list(labels)})


def card_of(rows: Any, of: About, lost: Any = (), held: int = 0) -> str:
    return card(NOTHING | rows, CLASSES, of, lost=Counter(lost), held=held)


def header(text: str) -> Any:
    _, found, rest = text.split("---\n", 2)
    assert rest.startswith("\n# ")
    return yaml.safe_load(found)


# -- what is told of a build


def test_a_build_tells_what_lies_beside(demo: tvb.Build) -> None:
    root = demo.path / "TinyVIRAT_V2"
    text = (root / "README.md").read_text()
    rows = {split: json.loads((root / name).read_text()) for split, name in LISTS.items()}
    for split, own in rows.items():
        frames = sum(r["dim"][0] for r in own)
        assert f"\n| {split} | {len(own):,} | " in text
        assert f" | {frames:,} | " in text
    counts = {s: Counter(name for r in rows[s] for name in r["label"]) for s in ("train", "val")}
    for name, i in json.loads((root / "class_map.json").read_text()).items():
        assert f"\n| {i} | {name} | {counts['train'][name]} | {counts['val'][name]} |\n" in text
    narrow = [r for own in rows.values() for r in own if r["dim"][2] in DECORD_WIDTHS]
    assert f"- {len(narrow)} clips have a width at which decord's" in text
    assert "demo:\n  scale: 0.1\nfilter:\n  min_samples: 1\n" in text
    head = header(text)
    files = [one["path"] for one in head["configs"][0]["data_files"]]
    assert files == list(LISTS.values())
    assert head["license"] == "apache-2.0"


def test_checksums_are_those_of_every_other_file(demo: tvb.Build) -> None:
    root = demo.path / "TinyVIRAT_V2"
    lines = (root / "SHA256SUMS").read_text().splitlines()
    found = {name: own for own, name in (line.split("  ", 1) for line in lines)}
    files = {p.relative_to(root).as_posix(): p for p in root.rglob("*") if p.is_file()}
    sums = {n: hashlib.sha256(p.read_bytes()).hexdigest() for n, p in files.items()}
    assert found == {name: own for name, own in sums.items() if name != "SHA256SUMS"}


# -- the test labels


labels = st.lists(st.sampled_from(CLASSES), min_size=1, max_size=3, unique=True).map(tuple)


@examples(max_examples=5, deadline=None)
@given(st.lists(labels, min_size=4, max_size=4), st.lists(labels, min_size=4, max_size=4))
def test_nothing_given_away_depends_on_the_test_labels(
    tmp_path_factory: pytest.TempPathFactory, one: Any, two: Any
) -> None:
    given_away = []
    for test_labels in (one, two):
        out = tmp_path_factory.mktemp("out")
        _publish(out, [("Opening",), ("Talking", "Riding")], test_labels)
        given_away.append(bytes_of(out, without=("truth",)))
    assert given_away[0] == given_away[1]


def test_the_seed_of_the_test_numbers_is_not_told() -> None:
    rows = {"train": [row("train", ("Riding",))], "test": [row("test", ())]}
    plain, other = about(), about(overrides=("publish.seed=8713",))
    assert card_of(rows, plain) == card_of(rows, other)


def _publish(out: Path, train: Any, test: Any) -> None:
    splits = ["train"] * len(train) + ["test"] * len(test)
    n = len(splits)
    keys = {"source": "corpus", "video_id": "v", "annotation_set": "a", "clip_id": range(n)}
    plan = {
        "width": 32, "height": 30, "split": splits, "labels": [*train, *test], "released_id": None,
    }  # fmt: skip
    cuts = {
        "file": [f"clips/{i}" for i in range(n)], "n_frames": 20, "held": 0, "sha256": "0",
        "pack_file": None, "pack_offset": None, "fps": "30", "reason": None,
    }  # fmt: skip
    (out / "clips").mkdir()
    for i in range(n):
        (out / "clips" / str(i)).touch()
    made = pd.DataFrame(keys | cuts | dict.fromkeys(QUALITY))
    publish(out, pd.DataFrame(keys | plan), made, CLASSES, about())


# -- terms


def test_licences_are_named_as_the_hub_names_them() -> None:
    assert licence_of(meva.SOURCE) == "cc-by-4.0"
    assert licence_of(virat.SOURCE) == "other"
    assert licence_of(source.SOURCE) == "apache-2.0"
    assert licence_of(_Corpus(license_text=" ")) == "unknown"
    both = header(card_of({}, about(meva.SOURCE, virat.SOURCE)))
    assert both["license"] == ["cc-by-4.0", "other"]
    assert (both["license_name"], both["license_link"]) == ("virat-terms", "LICENSE")
    assert "configs" not in both  # no row to load
    tree = croissant(NOTHING, CLASSES, about(meva.SOURCE, virat.SOURCE), TEXTS)
    assert tree["license"] == [
        "https://creativecommons.org/licenses/by/4.0/", virat.SOURCE.license_text,
    ]  # fmt: skip


def test_papers_are_cited() -> None:
    text = card_of({}, about(meva.SOURCE, _Corpus(), virat.SOURCE))
    keys = ("demir2021tinyvirat", "tirupattur2021tinyaction", "corona2021meva", "oh2011virat")
    assert [text.count(f"{{{key},\n") for key in keys] == [1] * 4


def test_what_a_corpus_says_of_itself_stays_text() -> None:
    """Neither the header nor a terminal obeys it."""
    hostile = _Corpus(license_text="x\n---\nlicense: mit", attribution="\x1b[2Ja\n# b\n---\n")
    text = card_of({"train": [row("train", ("Riding",))]}, about(hostile))
    assert header(text)["license"] == "other"
    assert "> \\x1b[2Ja\n> # b\n> ---\n" in text
    assert "**corpus**: x --- license: mit\n" in text


def test_a_changed_licence_is_published_again(
    demo: tvb.Build, demo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = shutil.copytree(demo.path, tmp_path / "out")
    monkeypatch.setattr(source, "SOURCE", replace(source.SOURCE, license_text="MIT"))
    tvb.build("demo", out, data=demo_data, settings=DEMO)
    root = out / "TinyVIRAT_V2"
    assert (root / "LICENSE").read_text() == "Clips from demo: MIT\n"
    assert header((root / "README.md").read_text())["license"] == "mit"


# -- settings and limits


def test_the_card_names_no_folder_of_the_machine() -> None:
    told = about(overrides=("classes=/home/me/own.csv", "partition.lists.corpus=/home/me/l.csv"))
    text = card_of({}, told)
    assert "classes `own.csv`" in text
    assert "partition:\n  lists:\n    corpus: l.csv\n" in text
    assert "/home" not in text


def test_a_preset_alone_differs_in_nothing() -> None:
    of = replace(about(), settings=Settings.load("tinyvirat-v2"))
    assert "No setting differs from the preset's." in card_of({}, of)


@pytest.mark.parametrize(
    ("codec", "says"),
    [
        ("h264", "which hardware decoders and some browsers do not play"),
        ("h264-crf", "pixels are near the source's, not equal"),
        ("ffv1", "FFV1 in Matroska"),
    ],
)
def test_limits_of_a_codec_are_told(codec: str, says: str) -> None:
    assert says in card_of({}, about(overrides=(f"encode.codec={codec}",)))
    assert says not in card_of({}, about(overrides=("encode.codec=vp9-lossless",)))


def test_what_is_lost_and_held_is_told() -> None:
    text = card_of({}, about(), lost=["timeout", "no_video", "timeout"], held=1)
    assert "- 3 clips that were planned could not be cut exactly and are left out: " in text
    assert "1 `no_video`, 2 `timeout`" in text
    assert "- In 1 clip frames repeat the one before" in text
    assert "repeat the one before" not in card_of({}, about())


def test_widths_that_decord_cannot_take_are_counted() -> None:
    dims = [(20, 24, 24), (20, 72, 72), (20, 72, 70), (20, 12, 24)]
    text = card_of({"train": [row("train", ("Riding",), dim) for dim in dims]}, about())
    assert "- 3 clips have a width" in text
    assert ": 2 of 24, 1 of 72." in text


def test_the_day_of_publishing_is_a_setting() -> None:
    of = about(overrides=("publish.date='2027-02-28'",))
    assert croissant(NOTHING, CLASSES, of, TEXTS)["datePublished"] == "2027-02-28"
    for bad in ("2027-02-29", "20270228", "today"):
        with pytest.raises(SettingsError, match=r"publish\.date is a day such as"):
            Settings.load(overrides=[f"publish.date='{bad}'"])


def test_the_card_of_an_export_names_no_file_of_the_release() -> None:
    text = card_of({"train": [row("train", ("Talking",), (20, 12, 12))]}, about())
    told = exported(text)
    assert header(told) == {
        name: value
        for name, value in header(text).items()
        if name not in ("configs", "dataset_info")
    }
    for name in ("tiny_train_v2.json", "SHA256SUMS", "croissant.json"):
        assert name in text
        assert name not in told
    assert told.count("## ") == text.count("## ") - 1
    assert "byte for byte" in told
