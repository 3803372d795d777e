"""Files of a web server or a public bucket, over HTTPS: anonymous, bounded, from one host.

No credentials are asked, sent or kept, and an answer that leads to another host is refused: what
is fetched comes from where the user, or the corpus, says.
"""

from __future__ import annotations

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from typing import IO, Any, Final, TypeVar
from urllib.parse import urlsplit
from weakref import WeakSet

from tinyvirat_build import __version__
from tinyvirat_build.errors import DataError, SettingsError
from tinyvirat_build.store.means import lacking

TRIES: Final = 6  # at the same bytes
_PASSING: Final = frozenset((408, 425, 429, 500, 502, 503, 504))
_LONGEST: Final = 60.0  # seconds between two tries
_TIMEOUT: Final = 30.0  # seconds without a byte
_CHUNK: Final = 1 << 18
_PORTS: Final = {"http": 80, "https": 443}

T = TypeVar("T")


class PassingError(Exception):
    """A failure that may pass: the connection ended, or the server is busy."""

    def __init__(self, what: str, after: float = 0) -> None:
        super().__init__(what)
        self.after = after  # seconds that the server asks to wait


class ChangedError(Exception):
    """The file is another one than the one that was listed."""


class StoppedError(Exception):
    """The run ends, and this transfer with it."""


class ElsewhereError(DataError):
    """A server leads to another one."""


class BudgetError(DataError):
    """What is left of the budget does not suffice."""


class Budget:
    """The bytes that may be received, by all transfers together.

    A transfer reserves before it asks, so that several at once cannot take the same bytes.

    >>> budget = Budget(10)
    >>> budget.reserve(7), budget.reserve(7), budget.left
    (True, False, 3)
    """

    def __init__(self, most: int | None) -> None:
        self.most = most
        self.received = 0
        self._held = 0
        self._lock = threading.Lock()

    @property
    def left(self) -> int | None:
        """Bytes that nobody has received or reserved; None without a bound."""
        return None if self.most is None else self.most - self.received - self._held

    def reserve(self, n: int) -> bool:
        """Set bytes apart, all of them or none."""
        with self._lock:
            left = self.left
            if left is not None and n > left:
                return False
            self._held += n
            return True

    def release(self, n: int) -> None:
        """Give back what was reserved and not received."""
        with self._lock:
            self._held -= n

    def receive(self, n: int) -> None:
        """Count bytes that have come, out of those reserved."""
        with self._lock:
            self._held -= n
            self.received += n


@dataclass(slots=True)
class Allowance:
    """What one transfer has reserved."""

    budget: Budget
    held: int = 0

    def need(self, n: int) -> None:
        """Hold at least ``n`` bytes.

        Raises:
            BudgetError: the budget has not so many left.
        """
        more = n - self.held
        if more > 0:
            if not self.budget.reserve(more):
                raise BudgetError(f"the budget has no {n:,} bytes left; give a larger --budget")
            self.held += more

    def receive(self, n: int) -> None:
        """Count bytes that have come."""
        self.budget.receive(n)
        self.held -= n


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered: its head, and the body that is still to be read."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: IO[bytes]

    @property
    def length(self) -> int | None:
        """Bytes that the body has, where the server says it."""
        text = self.headers.get("Content-Length") or ""
        return int(text) if text.isdecimal() else None


@dataclass(slots=True)
class Client:
    """Asks servers for bytes, within a budget; ``wait`` takes seconds, as ``time.sleep`` does."""

    budget: Budget = field(default_factory=lambda: Budget(None))
    wait: Callable[[float], object] | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    _sockets: WeakSet[socket.socket] = field(default_factory=WeakSet, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def end(self) -> None:
        """End what is under way at once, also where a server is silent; other threads may ask."""
        with self._lock:
            self.stop.set()
            for one in self._sockets:
                with suppress(OSError):  # closed meanwhile
                    one.shutdown(socket.SHUT_RDWR)

    def _note(self, connected: socket.socket) -> None:
        with self._lock:
            if self.stop.is_set():
                connected.close()
                raise StoppedError
            self._sockets.add(connected)

    @contextmanager
    def get(
        self, url: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> Iterator[Answer]:
        """Ask for a file, or with ``HEAD`` about it.

        Raises:
            DataError: it is not given to us, or lies on another host.
            PassingError: not now.
            ChangedError: it is not the one that the headers name.
        """
        about = {"User-Agent": f"tinyvirat-build/{__version__}", **(headers or {})}
        request = urllib.request.Request(checked(url), headers=about, method=method)
        opener = urllib.request.build_opener(_OneHost, _Noting(self._note))
        try:
            found = opener.open(request, timeout=_TIMEOUT)
        except urllib.error.HTTPError as e:
            with e:
                raise _of_status(e, url) from None
        except (OSError, HTTPException) as e:
            raise _of_connection(e, url) from None
        except ValueError as e:  # it leads to what is no address, or is not all ASCII
            raise DataError(f"{url} is no address that can be fetched ({e}); check it") from None
        with found:
            yield Answer(url, found.status, found.headers, found)

    def pieces(self, answer: Answer, most: int, allowance: Allowance) -> Iterator[bytes]:
        """The body in pieces, up to ``most`` bytes of it, counted.

        Raises:
            StoppedError: the run ends.
            BudgetError: the budget does.
            PassingError: the connection does.
        """
        most = most if answer.length is None else min(most, answer.length)
        while most > 0:
            if self.stop.is_set():
                raise StoppedError
            ask = min(_CHUNK, most)
            allowance.need(ask)
            try:
                piece = answer.body.read(ask)
            except (OSError, HTTPException) as e:
                raise _of_connection(e, answer.url) from None
            allowance.receive(len(piece))
            if not piece:
                return
            most -= len(piece)
            yield piece

    def page(self, url: str, most: int) -> bytes:
        """A small file, of a longer one its first ``most`` bytes; patiently.

        Raises:
            DataError: it cannot be had.
        """
        return self.patiently(partial(self._page, url, most))

    def _page(self, url: str, most: int) -> bytes:
        allowance = Allowance(self.budget)
        try:
            with self.get(url) as answer:
                page = b"".join(self.pieces(answer, most, allowance))
                if answer.length is not None and len(page) < min(answer.length, most):
                    raise PassingError(f"{url} was cut off")
                return page
        finally:
            self.budget.release(allowance.held)

    def patiently(self, work: Callable[[], T]) -> T:
        """Do something, again where it fails for a reason that may pass.

        Raises:
            DataError: it failed every time.
        """
        for attempt in range(TRIES):
            try:
                return work()
            except PassingError as e:
                if attempt + 1 == TRIES:
                    raise given_up(e) from None
                self.pause(attempt, e)
        raise AssertionError("unreachable")

    def pause(self, attempt: int, error: PassingError) -> None:
        """Wait before the next try: a second, then twice as long each time, or as told."""
        seconds = min(_LONGEST, max(2.0**attempt, error.after))
        wait = self.stop.wait if self.wait is None else self.wait
        wait(seconds)
        if self.stop.is_set():
            raise StoppedError


def given_up(error: PassingError) -> DataError:
    """What is raised where a failure that may pass did not."""
    return DataError(f"{error}, {TRIES} times; run the same command later to go on")


def checked(url: str) -> str:
    """An address that may be asked.

    Raises:
        SettingsError: it is none of HTTP, or carries a name or password, which would be kept.
    """
    try:
        parts = urlsplit(url)
        known = parts.scheme in _PORTS and parts.hostname and parts.port != 0
    except ValueError:  # a host or port that is none
        known = False
    if not known:
        text = url.rpartition("@")[2][:200]  # without a password
        raise SettingsError(f"{text!r} is no address; give one with https://")
    if parts.username is not None or parts.password is not None:
        raise SettingsError(
            f"the address of {parts.hostname} carries a name or password; leave them out: what is "
            "fetched is open to all"
        )
    return url


def origin(url: str) -> tuple[str, str, int | None]:
    """What of an address is its server: scheme, host and port.

    >>> origin("https://host/a") == origin("https://HOST:443/b")
    True
    """
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme)


class _OneHost(urllib.request.HTTPRedirectHandler):
    """Follows an answer to another place of the same host alone."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if origin(req.full_url) != origin(newurl):
            fp.close()
            raise ElsewhereError(
                f"{old.hostname} leads to another host, {new.hostname}, which is refused; if that "
                "is where it lies now, give its own address"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Noting(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """Opens connections as urllib does, and notes their sockets."""

    def __init__(self, note: Callable[[socket.socket], None]) -> None:
        super().__init__()
        self._note = note

    def do_open(self, http_class: Any, req: Any, **how: Any) -> Any:
        """As urllib's."""
        return super().do_open(_noted(http_class, self._note), req, **how)


def _noted(kind: Any, note: Callable[[socket.socket], None]) -> Any:
    class Noted(kind):  # type: ignore[misc]
        def connect(self) -> None:
            super().connect()
            note(self.sock)

    return Noted


def _of_status(error: urllib.error.HTTPError, url: str) -> Exception:
    what = f"{urlsplit(url).hostname} answers {error.code} {error.reason}"
    if error.code == 412:
        return ChangedError(what)
    if error.code in _PASSING:
        after = error.headers.get("Retry-After") or ""
        return PassingError(what, float(after) if after.isdecimal() else 0)
    return DataError(
        f"{what}: {url} may not be read; see that the address is right, and open to all"
    )


def _of_connection(error: OSError | HTTPException, url: str) -> Exception:
    reason = getattr(error, "reason", error)
    found = lacking(reason) if isinstance(reason, BaseException) else None
    what = str(reason) or type(reason).__name__
    return found or PassingError(f"no connection to {urlsplit(url).hostname} ({what})")
