from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tinyvirat_build.errors import SettingsError
from tinyvirat_build.settings import Settings, presets


def test_defaults_are_the_documented_ones() -> None:
    s = Settings.load()
    assert (s.merge.threshold, s.merge.measure, s.merge.bridge) == (0.3, "iomin", 8)
    assert (s.chunk.length, s.chunk.remainder, s.chunk.min_frames) == (64, "balance", 16)
    assert (s.crop.min_side, s.crop.max_side, s.crop.smooth) == (10, 128, 9)
    assert s.partition.targets == (0.64, 0.13, 0.23)
    assert s.filter.min_samples == 10


@pytest.mark.parametrize("preset", presets())
def test_a_printed_preset_loads_as_itself(preset: str, tmp_path: Path) -> None:
    settings = Settings.load(preset)
    file = tmp_path / "s.yaml"
    file.write_text(settings.to_yaml())
    assert Settings.load(file=file) == settings
    assert Settings.from_dict(settings.to_dict()) == settings


def test_overrides_win_over_file_and_file_over_preset(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(yaml.safe_dump({"chunk": {"length": 32, "min_frames": 4}}))
    s = Settings.load(file=file, overrides=["chunk.length=48"])
    assert (s.chunk.length, s.chunk.min_frames) == (48, 4)


def test_what_is_asked_for_holds_for_every_source(tmp_path: Path) -> None:
    v2 = Settings.load("tinyvirat-v2")
    asked = Settings.load("tinyvirat-v2", overrides=["chunk.min_frames=30"])
    assert [
        s.of("virat").chunk.min_frames for s in (asked, v2.override(["chunk.min_frames=30"]))
    ] == [
        30,
        30,
    ]
    assert asked.of("virat").chunk.lengths == v2.of("virat").chunk.lengths
    file = tmp_path / "s.yaml"
    file.write_text("preset: tinyvirat-v2\ncrop: {mode: static}\n")
    assert Settings.load(file=file).of("virat").crop.mode == "static"
    own = Settings.load("tinyvirat-v2", overrides=["by_source.virat.chunk.min_frames=50"])
    assert (own.of("virat").chunk.min_frames, own.chunk.min_frames) == (50, v2.chunk.min_frames)


@pytest.mark.parametrize(
    ("override", "names"),
    [
        ("merge.treshold=0.5", "did you mean merge.threshold"),
        ("merge=3", "merge is a group"),
        ("merge.threshold=high", "merge.threshold takes a number"),
        ("merge.threshold=2", "merge.threshold is in"),
        ("merge.measure=area", "one of iomin, iou"),
        ("chunk.length=64.5", "chunk.length takes a whole number"),
        ("chunk.length=true", "chunk.length takes a whole number"),
        ("chunk.lengths=[150, 40]", "[min, max]"),
        ("chunk.min_frames=65", r"chunk.min_frames (65) is up to the length of a chunk (64)"),
        ("chunk.lengths=[4, 8]", r"chunk.min_frames (16) is up to the length of a chunk (8)"),
        ("partition.targets=[0.5, 0.2]", "partition.targets"),
        ("crop={min_side: 127, max_side: 127}", "made even"),
        ("crop.max_side=-5", "range: crop.max_side is 2 or more"),
        ("crop.max_side=8", "crop.min_side (10) is up to crop.max_side (8)"),
        ("partition.group=xx", "partition.group is one of auto, slot"),
        ("partition.gap=-1", "partition.gap is 0 or more"),
        ("nonsense", "key=value"),
        ("expected=3", "expected is a group"),
        ("expected=[{input: meva/kitware, videos: 3}]", "expected lacks activities"),
        ("expected=[{inputs: meva/kitware}]", "did you mean expected.input"),
        ("preset=nowhere", "no preset 'nowhere'"),
        ("a.b=[", "not YAML"),
    ],
)
def test_a_bad_setting_is_named_with_its_remedy(override: str, names: str) -> None:
    with pytest.raises(SettingsError) as error:
        Settings.load(overrides=[override])
    assert names in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["a: [", "- 1", "\x00"])
def test_an_unreadable_settings_file_is_named(text: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"bad\.yaml"):
        Settings.load(file=file)
    with pytest.raises(SettingsError, match=r"missing\.yaml"):
        Settings.load(file=tmp_path / "missing.yaml")
