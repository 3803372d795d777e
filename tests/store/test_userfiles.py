"""What strangers write reaches nothing unbounded: YAML, pipes, huge numbers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from counted import counted

from tinyvirat_build import labels, sources
from tinyvirat_build.errors import SettingsError, TinyviratError
from tinyvirat_build.settings import Settings
from tinyvirat_build.store.userfiles import load_yaml, quoted, read_regular

LAUGHS = "format: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE = {
    "alias": (LAUGHS, ":2: a YAML alias"),
    "repeated key": ("chunk: {length: 3, length: 4}", "'length' occurs twice"),
    "repeated quoted key": ("labels: {walks: a, 'walks': b}", "'walks' occurs twice"),
    "nesting": ("format: " + "[" * 100_000, "nested deeper"),
    "long scalar": ("format: " + "x" * 200_000, "a scalar of 200000"),
    "sexagesimal": ("format: 1" + ":1" * 100_000, "a scalar of"),
    "digits": ("format: " + "9" * 10_000, "mend the YAML"),
    "large": ("#" * (1 << 18) + "#\n", "more than 262144"),
    "long key": ("? " + "k" * 9_000 + "\n: 1", "unknown"),
    "long list": (
        "format: [" + "x, " * 40_000 + "]\nchunk: [" + "x, " * 40_000 + "]",
        "found|unknown",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("read", [lambda p: sources.get(str(p)), lambda p: Settings.load(file=p)])
def test_hostile_yaml_ends_in_one_short_line(name, read, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    text, message = HOSTILE[name]
    path = tmp_path / "hostile.yaml"
    path.write_text(text)
    with counted() as work, pytest.raises(SettingsError, match=message) as caught:
        read(path)
    assert work.calls < 4_000_000
    assert "hostile.yaml" in str(caught.value) or "setting" in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)


def test_harmless_yaml_is_what_pyyaml_says() -> None:
    for text in ("", "a: 1", "{a: [1, 2.5, null, yes], b: {a: 1}}", "- 2018-03-07\n- 'x'\n", "3"):
        assert load_yaml(text) == yaml.safe_load(text)


@pytest.mark.parametrize(
    "value",
    ["x" * 10**6, [["y"] * 999] * 999, (10**5000,), [10**5000, "of many"], {"a": {"b": "c" * 999}}],
)
def test_messages_quote_little(value: object) -> None:
    assert len(quoted(value)) < 800


@pytest.mark.parametrize("text", ["preset: " + "x" * 999, "preset: [default]", "preset: {a: b}"])
def test_a_preset_is_a_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match="preset"):
        Settings.load(file=path)


@pytest.mark.parametrize("key", ["annotations", "videos", "labels"])
def test_a_name_may_be_longer_than_any_file_has(key: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"format: kpf\n{key}: {'x' * 999}\n")
    with pytest.raises(TinyviratError):
        sources.get(str(path)).discover(tmp_path, Settings.load())


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="no regular file"):
        read_regular(pipe, 99)
    with pytest.raises(SettingsError, match=r"pipe\.csv: is no regular file"):
        labels.load_classes(str(pipe))
    corpus = tmp_path / "c.yaml"
    corpus.write_text("format: kpf\ngroup: {file: pipe.csv, column: x}\n")
    with pytest.raises(SettingsError, match="no regular file"):
        sources.get(str(corpus))
    corpus.unlink()
    os.mkfifo(corpus)
    with pytest.raises(SettingsError, match="no regular file"):
        sources.get(str(corpus))
    with pytest.raises(SettingsError, match="no regular file"):
        Settings.load(file=corpus)
