"""No file can bring the readers down."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from counted import counted

from tinyvirat_build.errors import AnnotationError
from tinyvirat_build.formats import ReadOptions, actev_tree, kpf
from tinyvirat_build.formats.safety import safe_name

from .samples import ALL, KITWARE, VIDEO, outcome, read

LAUGHS = "- &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"- &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)

BOMBS = {
    "billion laughs": LAUGHS,
    "one anchor": "- &a { meta: x }\n- *a\n",
    "nesting": "[" * 100_000,
    "nested mappings": "- " + "{a: " * 100_000,
    "long scalar": f"- {{ meta: {'x' * 5_000_000} }}\n",
    "tag": "- !!python/object/apply:os.system ['true']\n",
    "mapping": "a: b\n",
    "scalar": "hello\n",
    "documents": "- a\n---\n- b\n",
    "complex key": "- { ? [a, b] : c }\n",
    "tab": "- {\tmeta: x}\n\t- y\n",
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("kind", ["activities", "geom", "types", "regions"])
def test_hostile_yaml_ends_soon(bomb: str, kind: str, tmp_path: Path) -> None:
    files = {**KITWARE, f".{kind}.yml": BOMBS[bomb]}
    with counted() as work:
        error = outcome(tmp_path, files)
    assert work.calls < 4_000_000
    assert error is None or f"{VIDEO}.{kind}.yml" in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("name", ["billion laughs", "nesting", "nested mappings", "long scalar"])
def test_bombs_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError):
        read(tmp_path, {".activities.yml": BOMBS[name]})


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "../a", "a/b", "a\\b", "/etc", "a\0b", "a\nb", " a", "a ", "-rf", ".hidden",
     "a" * 201, "\x7f", "caf\udce9", "a\x85b", "a\u2028b", "a\u202eb", "a\u00a0b"],
)  # fmt: skip
def test_unsafe_names(text: str) -> None:
    assert not safe_name(text)


@pytest.mark.parametrize("text", [VIDEO, "VIRAT_S_000001", "event:4", "1#2", "3@1", "Straße 4"])
def test_safe_names(text: str) -> None:
    assert safe_name(text)


@pytest.mark.parametrize(("format", "dialect", "files"), ALL)
def test_marks_and_encodings(format, dialect, files, tmp_path):  # type: ignore[no-untyped-def]
    plain = read(tmp_path, files, format=format, dialect=dialect)
    marked = {name: b"\xef\xbb\xbf" + text.encode() for name, text in files.items()}
    assert len(read(tmp_path, marked, format=format, dialect=dialect).boxes) == len(plain.boxes)
    for name, text in files.items():
        for bad in (text.encode("utf-16"), b"\0" + text.encode(), text.encode() + b"\xe9\n"):
            with pytest.raises(AnnotationError, match=r"UTF-|NUL"):
                read(tmp_path, {**files, name: bad}, format=format, dialect=dialect)


@pytest.mark.parametrize(
    "step", [37, pytest.param(1, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
@pytest.mark.parametrize(("format", "dialect", "files"), ALL)
def test_truncation_at_every_byte(format, dialect, files, step, tmp_path):  # type: ignore[no-untyped-def]
    for name, text in files.items():
        for end in range(0, len(text), step):
            error = outcome(tmp_path, {**files, name: text[:end]}, format=format, dialect=dialect)
            assert "\n" not in str(error)


def test_a_pipe_and_a_huge_file_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = tmp_path / "x.activities.yml"
    os.mkfifo(pipe)
    with pytest.raises(AnnotationError, match="no regular file"):
        kpf.read(VIDEO, [pipe], ReadOptions())
    monkeypatch.setattr(actev_tree, "MAX_JSON", 9)
    with pytest.raises(AnnotationError, match="more than 9"):
        read(tmp_path, {".json": '{"activities": []}'}, format="actev-json")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="cannot be read"):
        kpf.read(VIDEO, [tmp_path / "x.activities.yml"], ReadOptions())
