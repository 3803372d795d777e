"""The memory of hashes: what it knows is right, and where it knows nothing files are hashed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tinyvirat_build import store
from tinyvirat_build.store import hashes


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are read."""
    read: list[Path] = []

    def hash_file(path: Path) -> str:
        read.append(path)
        return sha256(path.read_bytes())

    monkeypatch.setattr(hashes, "hash_file", hash_file)
    return read


def test_a_file_is_read_once_until_it_changes(tmp_path: Path, counted: list[Path]) -> None:
    file, memory = tmp_path / "a.yml", tmp_path / "log" / "hashes.sqlite"
    file.write_bytes(b"one")
    first = store.HashMemory(memory, forget=False)
    assert first.of(file) == first.of(file) == sha256(b"one")
    assert not memory.exists()  # not before it is told to
    first.save()
    again = store.HashMemory(memory, forget=False)
    assert again.of(file) == sha256(b"one")
    assert counted == [file]
    file.write_bytes(b"two")
    os.utime(file, ns=(0, 0))
    assert again.of(file) == sha256(b"two")
    again.save()
    assert store.HashMemory(memory, forget=False).of(file) == sha256(b"two")
    assert len(counted) == 2
    assert store.HashMemory(memory, forget=True).of(file) == sha256(b"two")
    assert len(counted) == 3


def test_what_is_not_there_has_no_hash(tmp_path: Path) -> None:
    memory = store.HashMemory(tmp_path / "hashes.sqlite", forget=False)
    assert memory.of(tmp_path / "none") == ""
    assert memory.size(tmp_path / "none") == 0
    assert memory.stamp(None) is None
    memory.save()
    assert list(tmp_path.iterdir()) == []  # it has learnt nothing


@pytest.mark.parametrize(
    "held", [b"", b"no database", b"SQLite format 3\0" + b"\1" * 90, b'{"a": 1}']
)
def test_one_that_is_damaged_is_begun_anew(
    held: bytes, tmp_path: Path, counted: list[Path]
) -> None:
    file, memory = tmp_path / "a.yml", tmp_path / "hashes.sqlite"
    file.write_bytes(b"one")
    memory.write_bytes(held)
    first = store.HashMemory(memory, forget=False)
    assert first.of(file) == first.of(file) == sha256(b"one")
    first.save()
    assert store.HashMemory(memory, forget=False).of(file) == sha256(b"one")
    assert counted == [file]


def test_one_that_is_damaged_in_the_middle_is_written_anew(
    tmp_path: Path, counted: list[Path]
) -> None:
    files = [tmp_path / f"{n:04d}" for n in range(1500)]
    for file in files:
        file.write_bytes(b"one")
    memory = tmp_path / "hashes.sqlite"

    def run() -> int:
        counted.clear()
        known = store.HashMemory(memory, forget=False)
        assert {known.of(file) for file in files} == {sha256(b"one")}
        known.save()
        return len(counted)

    assert run() == len(files)
    data = bytearray(memory.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 8192] = bytes(8192)
    memory.write_bytes(data)
    run()
    assert run() == 0
    assert sorted(tmp_path.iterdir()) == [*files, memory]


def test_a_time_that_no_database_holds(tmp_path: Path) -> None:
    file = tmp_path / "a.yml"
    file.write_bytes(b"one")
    os.utime(file, (11_000_000_000, 11_000_000_000))
    memory = store.HashMemory(tmp_path / "hashes.sqlite", forget=False)
    assert memory.of(file) == memory.of(file) == sha256(b"one")


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff%20.yml"))
    file.write_bytes(b"one")
    memory = store.HashMemory(tmp_path / "hash?es#.sqlite", forget=False)
    assert memory.of(file) == sha256(b"one")
    memory.save()
    assert (tmp_path / "hash?es#.sqlite").exists()
