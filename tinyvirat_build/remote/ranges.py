"""Ranges of bytes of one file that lies elsewhere, several at once, all of one version."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any, Final

from tinyvirat_build.errors import DataError, VideoError
from tinyvirat_build.remote.client import ChangedError, Client, PassingError, StoppedError
from tinyvirat_build.remote.objects import RemoteFile, see_that_it_stays, store_of, told
from tinyvirat_build.remote.web import read_range

Span = tuple[int, int]
"""A half-open span of bytes."""

JOIN: Final = 128 << 10  # a gap that is cheaper to read than to ask anew for what follows
_PART: Final = 8 << 20  # of a long span, so that several connections share it
_AT_ONCE: Final = 8
_AHEAD: Final = 16  # parts that are asked for, or here, before they are taken or read
_MOST_AHEAD: Final = 64 << 20  # bytes of these
_CHUNK: Final = 1 << 20  # of a bucket's answer, after which a run that ends is noticed


class RemoteError(VideoError):
    """A remote file cannot be read, or is not what it was."""


def joined(spans: Sequence[Span], gap: int = 0) -> list[Span]:
    """Spans in order, those with no more than ``gap`` between them as one.

    >>> joined([(50, 60), (0, 10), (12, 20)], 5)
    [(0, 20), (50, 60)]
    """
    found: list[Span] = []
    for start, end in sorted(s for s in spans if s[0] < s[1]):
        if found and start <= found[-1][1] + gap:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


def parts(spans: Sequence[Span], most: int = _PART) -> list[Span]:
    """Spans cut into parts of about equal length, none longer than ``most``.

    >>> parts([(0, 5), (10, 30)], 8)
    [(0, 5), (10, 16), (16, 23), (23, 30)]
    """
    found: list[Span] = []
    for start, end in spans:
        count = -(-(end - start) // most)
        edges = [start + (end - start) * k // count for k in range(count + 1)]
        found += pairwise(edges)
    return found


@dataclass(slots=True)
class Ranges:
    """Reads a remote file by ranges; counts what it asked for and received."""

    file: RemoteFile
    client: Client = field(default_factory=Client)
    requests: int = 0
    received: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _stays: bool = field(default=False, init=False)  # of a bucket's file: on the bucket's host

    def fetch(self, spans: Sequence[Span]) -> Iterator[tuple[int, Any]]:
        """Each span's start and bytes, in order, several asked for at once.

        Long spans come in parts. What waits to be taken is bounded.

        Raises:
            VideoError: ``source_changed``: the file is not what it was when it was listed;
                ``unreadable``: it cannot be read, now or at all.
        """
        with Ahead(self, parts(spans)) as ahead:
            for number, (start, _) in enumerate(ahead.wanted):
                ahead.ask(number)
                yield start, ahead.take(number)

    def read(self, span: Span, client: Client) -> Any:
        """One span's bytes; a connection that is cut is tried again.

        Raises:
            VideoError: as :meth:`fetch`.
            StoppedError: the client was stopped.
        """
        try:
            return client.patiently(partial(self._read_once, span, client))
        except VideoError:
            raise
        except DataError as e:
            # As one of the system, so that the next run tries again.
            raise RemoteError("unreadable", f"{self.file.url}: {e}") from OSError(str(e))

    def _read_once(self, span: Span, client: Client) -> Any:
        self.requests += 1
        read = self._of_bucket if self.file.url.startswith("s3://") else self._of_server
        size, version, data = read(span, client)
        known = self.file.version
        if size != self.file.size or (known and version and version != known):
            raise self._changed()
        if len(data) != span[1] - span[0]:
            raise PassingError(f"{len(data)} bytes came where {span[1] - span[0]} were asked for")
        return data

    def _of_bucket(self, span: Span, client: Client) -> tuple[int, str, Any]:
        self._see_that_it_stays(client)
        store, name = store_of(self.file.url)
        import obstore
        from obstore import exceptions as refused

        options: dict[str, Any] = {"range": span}
        if self.file.version.startswith('"'):
            options["if_match"] = self.file.version
        try:
            answer = obstore.get(store, name, options=options)  # type: ignore[arg-type]
            version = answer.meta["e_tag"] or answer.meta["last_modified"].isoformat()
            return answer.meta["size"], version, _received(answer, client)
        except refused.PreconditionError as e:
            raise self._changed() from e
        except FileNotFoundError as e:
            raise self._gone() from e
        except (refused.PermissionDeniedError, refused.UnauthenticatedError) as e:
            raise self._refused() from OSError(told(e))
        except (refused.BaseError, OSError, ValueError) as e:
            raise PassingError(told(e)) from e

    def _see_that_it_stays(self, client: Client) -> None:
        """Ask once, by one thread, while the others wait for it, where the file lies."""
        while not self._lock.acquire(timeout=0.1):
            if client.stop.is_set():
                raise StoppedError
        try:
            if not self._stays:
                see_that_it_stays(self.file, client)
                self._stays = True
        finally:
            self._lock.release()

    def _of_server(self, span: Span, client: Client) -> tuple[int, str, Any]:
        try:
            size, version, data = read_range(client, self.file.url, *span, self.file.version)
        except ChangedError as e:
            raise self._changed() from e
        if size < 0:
            what = "the server sends no parts of files; download it and give its folder"
            raise RemoteError("unreadable", f"{self.file.url}: {what}")
        return size, version, data

    def _gone(self) -> RemoteError:
        return RemoteError("unreadable", f"{self.file.url} is not there any more; build again")

    def _refused(self) -> RemoteError:
        what = "the server refuses access; see that it is public, then build again"
        return RemoteError("unreadable", f"{self.file.url}: {what}")

    def _changed(self) -> RemoteError:
        return RemoteError(
            "source_changed", f"{self.file.url} is not what it was when it was listed; build again"
        )


def _received(answer: Any, client: Client) -> bytes:
    """What a bucket answers."""
    pieces: list[Any] = []
    for piece in answer.stream(_CHUNK):
        if client.stop.is_set():
            raise StoppedError
        pieces.append(piece)
    return b"".join(pieces)


class Ahead:
    """Parts of a file, asked for before they are taken: several at once, no more than a bound.

    A context manager, whose end stops what is still asked for. Only one thread may take.
    """

    def __init__(self, ranges: Ranges, wanted: list[Span]) -> None:
        self.wanted = wanted
        self._ranges = ranges
        # Another use of the file's client goes on when this one is stopped.
        self._client = replace(ranges.client, stop=threading.Event())
        self._pool = ThreadPoolExecutor(_AT_ONCE, "ranges")
        self._asked: dict[int, Future[Any]] = {}  # and not taken
        self._unasked = set(range(len(wanted)))

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.end()
        self._pool.shutdown(cancel_futures=True)

    def ask(self, at: int) -> None:
        """Ask for a part, and for those behind it, as many as may be ahead."""
        room = _MOST_AHEAD
        for number in range(at, min(at + _AHEAD, len(self.wanted))):
            room -= self._length(number)
            if number not in self._unasked:
                continue
            if number > at and (room < 0 or not self._may_ask(number)):
                return
            self._unasked.remove(number)
            read = partial(self._ranges.read, self.wanted[number], self._client)
            self._asked[number] = self._pool.submit(read)

    def arrived(self) -> list[int]:
        """The parts that came, or failed, and are not taken."""
        return [number for number, answer in self._asked.items() if answer.done()]

    def take(self, number: int) -> Any:
        """The bytes of a part that was asked for, once.

        Raises:
            VideoError: as :meth:`Ranges.fetch`.
        """
        data = self._asked[number].result()
        del self._asked[number]
        self._ranges.received += len(data)
        return data

    def _length(self, number: int) -> int:
        start, end = self.wanted[number]
        return end - start

    def _may_ask(self, number: int) -> bool:
        held = sum(map(self._length, self._asked))
        return len(self._asked) < _AHEAD and held + self._length(number) <= _MOST_AHEAD
