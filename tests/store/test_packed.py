"""Sequences that take little memory read as the lists that they were made of."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyvirat_build import store


@dataclass(frozen=True)
class Held:
    """What many objects name."""

    words: tuple[str, ...]


@dataclass(frozen=True)
class Named:
    """An object that names another."""

    path: Path
    held: Held


@given(st.integers(0, 1000), st.integers(-1100, 1100), st.slices(1000))
@settings(max_examples=60, deadline=None)
def test_it_reads_as_the_list(count: int, at: int, part: slice) -> None:
    items = [(n, f"name {n % 7}") for n in range(count)]
    packed = store.Packed(iter(items))
    assert len(packed) == count
    assert list(packed) == items
    assert packed[part] == items[part]
    assert list(reversed(packed)) == items[::-1]
    if -count <= at < count:
        assert packed[at] == items[at]
    else:
        with pytest.raises(IndexError):
            packed[at]


def test_what_is_shared_is_the_object_itself() -> None:
    held = [Held(("a", "b")), Held(("a", "b"))]
    packed = store.Packed(
        (Named(Path("x", str(n)), held[n % 2]) for n in range(600)), shared=(Held,)
    )
    for n, one in enumerate(packed):
        assert one.path == Path("x", str(n))
        assert one.held is held[n % 2]
    assert store.Packed([held[0]])[0] is not held[0]


def test_a_file_takes_few_bytes() -> None:
    packed = store.Packed(
        Path("/data/some/long/folder", f"clip{n:06d}.geom.yml") for n in range(5000)
    )
    assert sum(map(sys.getsizeof, packed._blocks)) < 20 * len(packed)
