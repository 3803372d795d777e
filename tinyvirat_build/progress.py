"""How far a piece of work has come: a bar on a terminal, elsewhere plain lines at intervals."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from tqdm import tqdm

T = TypeVar("T")

_DELAY: Final = 2.0  # seconds in which nothing is said: most work is done by then
_INTERVAL: Final = 15.0  # seconds between two lines where there is no terminal

_open: list[Count] = []


class Count:
    """So many units of so many; a unit ``B`` is bytes. The clock is in seconds."""

    def __init__(
        self,
        total: int | None,
        name: str,
        unit: str,
        *,
        done: int = 0,
        clock: Callable[[], float] = time.monotonic,
        show: Callable[[str], object] | None = None,
        bar: Any = None,
    ) -> None:
        self.total, self.name, self.unit, self.done = total, name, unit, done
        self._clock, self._show, self._bar = clock, show, bar
        self._began, self._note = clock(), ""
        self._first: tuple[float, int] | None = None  # when work was under way, and what was done
        self._next = self._began + _DELAY

    def add(self, n: int = 1) -> None:
        """Count ``n`` more, and say so where it is time."""
        self.done += n
        self._first = self._first or (self._clock(), self.done)
        if self._bar is not None:
            self._bar.update(n)
        if self._show is not None and self._clock() >= self._next:
            self._next = self._clock() + _INTERVAL
            self._show(self._line())

    def note(self, text: str) -> None:
        """Say more beside the numbers from now on."""
        self._note = text
        if self._bar is not None:
            self._bar.set_postfix_str(text)

    def text(self) -> str:
        """How many are done.

        >>> Count(1173, "cut", "clip", done=158).text(), Count(None, "files", "B").text()
        ('158 of 1,173 clips', '0 MB')
        """
        of = "" if self.total is None else f" of {_amount(self.total, self.unit)}"
        done = _amount(self.done, self.unit)
        many = "s" * ((self.total or self.done) != 1)
        return f"{done}{of}" if self.unit == "B" else f"{done}{of} {self.unit}{many}"

    def _line(self) -> str:
        now = self._clock()
        line = f"{self.name}: {self.text()} in {_time(now - self._began)}"
        # Processes had to start before the first was done, and that is no part of the rate.
        begun, before = self._first or (now, self.done)
        if self.done > before and self.total is not None and self.total > self.done:
            rest = (now - begun) * (self.total - self.done) / (self.done - before)
            line += f", about {_time(rest)} to go"
        return f"{line}; {self._note}" if self._note else line


def _time(seconds: float) -> str:
    """Seconds as a person would say them.

    >>> _time(98.2), _time(1500), _time(15000)
    ('98 s', '25 min', '4.2 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _amount(n: int, unit: str) -> str:
    return f"{n / 1e6:,.0f} MB" if unit == "B" else f"{n:,}"


@contextmanager
def counting(
    total: int | None, name: str, unit: str, *, done: int = 0, quiet: bool = False
) -> Iterator[Count]:
    """Count work on ``total`` units, of which some are done, and tell it on stderr."""
    terminal = sys.stderr.isatty()
    with tqdm(
        total=total, initial=done, desc=f"{name:>11}", unit=unit if unit == "B" else f" {unit}",
        unit_scale=unit == "B", delay=_DELAY, dynamic_ncols=True, smoothing=0.1,
        disable=quiet or not terminal,
    ) as bar:  # fmt: skip
        show = None if quiet or terminal else say
        count = Count(total, name, unit, done=done, show=show, bar=bar)
        _open.append(count)
        try:
            yield count
        finally:  # an interrupt is answered by another thread, perhaps after this
            if sys.exc_info()[0] is not KeyboardInterrupt:
                _open.remove(count)


def counted(
    items: Iterable[T], total: int, name: str, unit: str, *, quiet: bool = False
) -> Iterator[T]:
    """The items, while it is told how far one has come with them."""
    with counting(total, name, unit, quiet=quiet) as count:
        for item in items:
            yield item
            count.add()


def so_far() -> str:
    """How far the work that goes on now has come; empty where none is counted."""
    return f"{_open[-1].text()} ({_open[-1].name})" if _open else ""


def say(text: str) -> None:
    """Print a line on stderr, above the bar if there is one."""
    tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()
