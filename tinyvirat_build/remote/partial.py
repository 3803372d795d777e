"""A file of which parts are here: as long as the whole, with holes where nothing was fetched.

FFmpeg and the parsers of :mod:`tinyvirat_build.video` read it like any other. Beside it lies a
note of what is here, and of which version of the remote file.
"""

from __future__ import annotations

import json
import os
import shutil
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from tinyvirat_build import store
from tinyvirat_build.geometry.arrays import Ints
from tinyvirat_build.remote.objects import RemoteFile
from tinyvirat_build.remote.ranges import JOIN, Ranges, Span, joined
from tinyvirat_build.video.glimpse import UnsureError

_NOTE: Final = "parts.json"
_HEADER: Final = 8  # bytes of a header that is made from an index


@dataclass(slots=True)
class Partial:
    """A remote file's parts in a local one; ``held`` are the spans that are here, in order."""

    path: Path
    ranges: Ranges
    held: list[Span] = field(default_factory=list)
    made: list[int] = field(default_factory=list)  # places of headers made from an index

    @classmethod
    def at(cls, folder: Path, file: RemoteFile) -> Partial:
        """The file's parts in a folder of their own, as far as they are there already."""
        partial = cls(folder / file.name, Ranges(file))
        try:
            note = json.loads((folder / _NOTE).read_text("utf-8"))
            if note["file"] == [file.url, file.size, file.version] and partial.path.is_file():
                partial.held = [(a, b) for a, b in note["held"]]
                partial.made = note["made"]
                return partial
        except (OSError, ValueError, KeyError, TypeError):
            pass
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with partial.path.open("wb") as empty:
            empty.truncate(file.size)
        return partial

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self.ranges.file.size

    def here(self, start: int, end: int) -> bool:
        """Whether the bytes ``[start, end)`` are here."""
        at = bisect_right(self.held, (start, self.size)) - 1
        return start >= end or (at >= 0 and self.held[at][1] >= end)

    def lacking(self, spans: Sequence[Span]) -> list[Span]:
        """What of some spans is not here, near parts joined."""
        missing: list[Span] = []
        for start, end in joined(spans):
            at = start
            for a, b in self.held:
                if b > at and a < end:
                    missing.append((at, a))
                    at = b
            missing.append((at, end))
        return joined(missing, JOIN)

    def need(self, *spans: Span) -> None:
        """Fetch what of some spans is not here.

        Raises:
            VideoError: as :meth:`Ranges.fetch`.
            UnsureError: the file's own index does not say what lies there.
        """
        missing = self.lacking([(max(0, a), min(b, self.size)) for a, b in spans])
        if not missing:
            return
        with self.path.open("r+b") as file:
            for start, data in self.ranges.fetch(missing):
                self.keep(file.fileno(), start, data)

    def keep(self, file: int, start: int, data: Any) -> None:
        """Write bytes that came into the open file.

        Raises:
            UnsureError: the file's own index does not say what lies there.
        """
        self._compare_made(file, start, data)
        os.pwrite(file, data, start)
        self.held = joined([*self.held, (start, start + len(data))])

    def _compare_made(self, file: int, start: int, data: Any) -> None:
        view = memoryview(data)
        places = np.array(self.made, np.int64)
        inside = places[(places >= start) & (places + _HEADER <= start + len(view))]
        for place in inside.tolist():
            real = bytes(view[place - start : place - start + _HEADER])
            if os.pread(file, _HEADER, place) != real:
                raise UnsureError("the file's index names chunks that are not there")

    def read(self, start: int, count: int) -> bytes:
        """Bytes of the file, fetched where they are not here."""
        self.need((start, start + count))
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(count)

    def make(self, places: Ints, headers: Sequence[bytes]) -> None:
        """Write headers that an index tells; those that are here must be the same.

        Raises:
            UnsureError: one is not.
        """
        with self.path.open("r+b") as file:
            for place, header in zip(places.tolist(), headers, strict=True):
                if self.here(place, place + _HEADER):
                    if os.pread(file.fileno(), _HEADER, place) != header:
                        raise UnsureError("the file's index names chunks that are not there")
                else:
                    os.pwrite(file.fileno(), header, place)
        self.made = places.tolist()

    def whole(self) -> None:
        """Fetch all that is not here."""
        self.made = []
        self.need((0, self.size))
        self.save()

    def save(self) -> None:
        """Note what is here."""
        file = self.ranges.file
        note = {"file": [file.url, file.size, file.version], "held": self.held, "made": self.made}
        with self.path.open("rb") as data:
            os.fsync(data.fileno())
        store.write_json(self.path.parent / _NOTE, note)

    def remove(self) -> None:
        """Delete the parts."""
        shutil.rmtree(self.path.parent, ignore_errors=True)
