"""Ranges of bytes of one file that lies elsewhere, several at once, all of one version."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from tinyvirat_build.errors import VideoError
from tinyvirat_build.remote.objects import RemoteFile, store_of, told

Span = tuple[int, int]
"""A half-open span of bytes."""

JOIN: Final = 128 << 10  # a gap that is cheaper to read than to ask anew for what follows
_PART: Final = 8 << 20  # of a long span, so that several connections share it
_AT_ONCE: Final = 8
_TRIES: Final = 4
_PAUSE: Final = 0.2  # seconds, doubled each time


class RemoteError(VideoError):
    """A remote file cannot be read, or is not what it was."""


class TransferError(OSError):
    """The bytes did not come: another time they may."""


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
    requests: int = 0
    received: int = 0
    _store: Any = field(default=None, repr=False)

    def fetch(self, spans: Sequence[Span]) -> Iterator[tuple[int, Any]]:
        """Each span's start and bytes, in order, several asked for at once.

        Long spans come in parts. What waits to be taken is bounded.

        Raises:
            VideoError: ``source_changed``: the file is not what it was when it was listed;
                ``unreadable``: it cannot be read, now or at all.
        """
        wanted = parts(spans)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for at in range(0, len(wanted), 2 * _AT_ONCE):
                some = wanted[at : at + 2 * _AT_ONCE]
                for (start, _), data in zip(some, pool.map(self._read, some), strict=True):
                    self.received += len(data)
                    yield start, data

    def _read(self, span: Span) -> Any:
        """One span's bytes; a connection that is cut is tried again."""
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(_PAUSE * 2**attempt)
            self.requests += 1
            try:
                return self._read_once(span)
            except TransferError as e:
                failed = e
        raise RemoteError("unreadable", f"{self.file.url}: {failed}; build again") from failed

    def _read_once(self, span: Span) -> Any:
        import obstore
        from obstore import exceptions as refused

        options: dict[str, Any] = {"range": span}
        if self.file.version.startswith('"'):
            options["if_match"] = self.file.version
        url = self.file.url
        store, name = store_of(url)
        try:
            answer = obstore.get(store, name, options=options)  # type: ignore[arg-type]
            meta = answer.meta
            self._compare(meta)
            data = answer.bytes()
        except refused.PreconditionError as e:
            raise self._changed() from e
        except FileNotFoundError as e:
            raise RemoteError("unreadable", f"{url} is not there any more; build again") from e
        except (refused.PermissionDeniedError, refused.UnauthenticatedError) as e:
            what = "the server refuses access; see that it is public, then build again"
            raise RemoteError("unreadable", f"{url}: {what}") from OSError(told(e))
        except refused.NotSupportedError as e:
            what = "the server sends no parts of files; download it and give its folder"
            raise RemoteError("unreadable", f"{url}: {what}") from e
        except (refused.BaseError, OSError, ValueError) as e:
            raise TransferError(told(e)) from e
        if len(data) != span[1] - span[0]:
            raise TransferError(f"{len(data)} bytes came where {span[1] - span[0]} were asked for")
        return data

    def _compare(self, meta: Any) -> None:
        found = meta["e_tag"] or ""
        known = self.file.version if self.file.version.startswith('"') else ""
        if meta["size"] != self.file.size or (known and found and found != known):
            raise self._changed()

    def _changed(self) -> RemoteError:
        return RemoteError(
            "source_changed", f"{self.file.url} is not what it was when it was listed; build again"
        )
