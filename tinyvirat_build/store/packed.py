"""A long sequence of small objects in little memory: blocks of pickles, compressed."""

from __future__ import annotations

import io
import itertools
import pickle
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar, overload

T = TypeVar("T")

_BLOCK: Final = 256  # objects


class Packed(Sequence[T]):
    """Objects that are made once and read in order, of a few dozen bytes each.

    What is read are copies, but of the types ``shared``: of these the objects themselves are held,
    whichever of the others name them.

    >>> Packed(range(1000))[-1]
    999
    """

    def __init__(self, items: Iterable[T], *, shared: tuple[type, ...] = ()) -> None:
        self._types, self._shared, self._places = shared, list[object](), dict[int, int]()
        self._length, self._last = 0, (-1, list[T]())
        rest = iter(items)
        self._blocks: list[bytes] = []
        while block := list(itertools.islice(rest, _BLOCK)):
            self._length += len(block)
            self._blocks.append(self._packed(block))

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        for number in range(len(self._blocks)):
            yield from self._block(number)

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> list[T]: ...
    def __getitem__(self, at: int | slice) -> T | list[T]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        number, place = divmod(range(len(self))[at], _BLOCK)
        if self._last[0] != number:
            self._last = number, self._block(number)
        return self._last[1][place]

    def _packed(self, block: list[T]) -> bytes:
        data = io.BytesIO()
        pickler = pickle.Pickler(data, pickle.HIGHEST_PROTOCOL)
        pickler.persistent_id = self._place_of  # type: ignore[method-assign]
        pickler.dump(block)
        return zlib.compress(data.getbuffer(), 1)

    def _place_of(self, item: Any) -> int | None:
        """Where an object of a shared type is held."""
        if not isinstance(item, self._types):
            return None
        if id(item) not in self._places:
            self._places[id(item)] = len(self._shared)
            self._shared.append(item)
        return self._places[id(item)]

    def _block(self, number: int) -> list[T]:
        unpickler = pickle.Unpickler(io.BytesIO(zlib.decompress(self._blocks[number])))
        unpickler.persistent_load = self._shared.__getitem__  # type: ignore[method-assign]
        found: list[T] = unpickler.load()
        return found
