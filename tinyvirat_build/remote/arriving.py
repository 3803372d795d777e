"""A file that is decoded while its parts arrive: who reads on waits for what is not here yet."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from io import SEEK_CUR, SEEK_END, SEEK_SET
from pathlib import Path

from tinyvirat_build.remote.partial import Partial
from tinyvirat_build.remote.ranges import Ahead, Span, parts


class Arriving:
    """What some spans lack of a file, fetched ahead of who reads it; a context manager.

    All but the requests is done by the thread that reads, where errors are raised too.
    """

    def __init__(self, partial: Partial, spans: Sequence[Span]) -> None:
        self._partial = partial
        self._ahead = Ahead(partial.ranges, parts(partial.lacking(spans)))
        self._ends = [end for _, end in self._ahead.wanted]
        self._here = [False] * len(self._ends)
        self._file = os.open(partial.path, os.O_RDWR)
        self.failure: BaseException | None = None  # of a read; a demuxer may not hand it on

    def __enter__(self) -> Arriving:
        self._ahead.ask(0)
        return self

    def __exit__(self, *_: object) -> None:
        self._ahead.__exit__()
        os.close(self._file)

    def open(self) -> ArrivingFile:
        """The file for a reader, at its beginning."""
        return ArrivingFile(self, self._partial.path, self._partial.size)

    def rest(self) -> None:
        """Wait for what nobody has read.

        Raises:
            VideoError: as :meth:`Ranges.fetch`.
            UnsureError: as :meth:`Partial.keep`.
        """
        for number, here in enumerate(self._here):
            if not here:
                self._ahead.ask(number)
                self._keep(number)

    def read(self, start: int, end: int) -> bytes:
        """The bytes from ``start`` on, as many of them as are here; waits for the first.

        What is asked for by nobody is a hole, of zeros.

        Raises:
            VideoError, UnsureError: as :meth:`rest`.
        """
        try:
            return os.pread(self._file, self._reach(start, end) - start, start)
        except BaseException as e:
            self.failure = e
            if isinstance(e, Exception):
                raise
            raise InterruptedError from e  # a demuxer hands on no other

    def _reach(self, start: int, end: int) -> int:
        """How far of some bytes is here, once there is any."""
        number = bisect_right(self._ends, start)
        self._ahead.ask(number)
        for arrived in self._ahead.arrived():
            self._keep(arrived)
        wanted = self._ahead.wanted
        for later in range(number, len(wanted)):
            if wanted[later][0] >= end:
                break
            if not self._here[later] and wanted[later][0] > start:
                return wanted[later][0]
            if not self._here[later]:
                self._keep(later)
        return end

    def _keep(self, number: int) -> None:
        start, _ = self._ahead.wanted[number]
        self._partial.keep(self._file, start, self._ahead.take(number))
        self._here[number] = True


class ArrivingFile:
    """A place in an arriving file, with the methods that a demuxer calls."""

    def __init__(self, arriving: Arriving, path: Path, size: int) -> None:
        self.name = str(path.absolute())
        self._arriving, self._size, self._at = arriving, size, 0

    def read(self, count: int) -> bytes:
        """Up to ``count`` bytes, none at the end."""
        end = min(self._at + count, self._size)
        data = self._arriving.read(self._at, end) if end > self._at else b""
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Go to a place."""
        self._at = offset + {SEEK_SET: 0, SEEK_CUR: self._at, SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        """The place."""
        return self._at
