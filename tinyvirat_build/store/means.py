"""Whether the machine is at fault, and not a file: memory, file handles, threads or disk run out.

A codec without memory says what it says of a damaged file. So whoever is about to call something
damaged, missing or empty asks here first: a result that lacks something for want of means must
not be taken for a finished one.
"""

from __future__ import annotations

import errno
import mmap
import os
import threading
from contextlib import ExitStack
from typing import Final

from tinyvirat_build.errors import MeansError, OutOfMemoryError

ROOM: Final = 64 << 20  # bytes; no codec asks for more at once
_HANDLES: Final = 8  # files that one step of the work opens at once
_MEMORY: Final = (
    "out of memory; give fewer --workers, raise the limit (ulimit -v), or use a larger machine"
)
_FILES: Final = "too many open files; raise the limit (ulimit -n)"
_PROCESSES: Final = (
    "no process or thread can be started; give fewer --workers, or raise the limits (ulimit -u, -v)"
)
_DISK: Final = (
    "no space left on its disk; free some and run the same command to go on, or give another --out"
)
_BY_ERRNO: Final = {
    errno.ENOMEM: _MEMORY,
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.EAGAIN: _PROCESSES,
    errno.ENOSPC: _DISK,
    errno.EDQUOT: _DISK,
}
_BY_WORDS: Final = {
    **{os.strerror(number).lower(): what for number, what in _BY_ERRNO.items()},
    "can't start new thread": _PROCESSES,
    "failed to map segment": _MEMORY,  # of a library that is loaded
    "insufficient memory": _MEMORY,  # OpenCV's
    "bad_alloc": _MEMORY,  # of C++, as OpenCV hands it on
}


def lacking(error: BaseException) -> MeansError | None:
    """The error to raise in the place of one that is for want of means; None for any other.

    >>> lacking(OSError(errno.ENOSPC, "No space left on device", "a.mp4"))
    MeansError('a.mp4: no space left on its disk; free some and run the same command to go on,
    or give another --out')
    >>> lacking(FileNotFoundError(errno.ENOENT, "No such file or directory", "a.mp4"))
    """
    if isinstance(error, MeansError):
        return error
    if type(error).__module__ == "av.error":
        # Of a damaged file FFmpeg may ask for more memory than any file needs, or want it read
        # again (EAGAIN).
        number = getattr(error, "errno", None)
        if number == errno.EAGAIN or (number == errno.ENOMEM and has_room()):
            return None
    if isinstance(error, MemoryError):
        return _error(_MEMORY)
    what = _BY_ERRNO.get(getattr(error, "errno", None) or 0)
    if what is None and not isinstance(error, (OSError, ValueError)):
        return lacking_by_words(str(error))
    return None if what is None else _error(what, getattr(error, "filename", None))


def lacking_by_words(text: str) -> MeansError | None:
    """The error to raise for what a program or a library says of want of means; None without."""
    said = text.lower()
    return next((_error(what) for words, what in _BY_WORDS.items() if words in said), None)


def raise_if_lacking(error: BaseException | None = None) -> None:
    """Raise where an error is for want of means, or where there are hardly any left.

    Raises:
        MeansError: memory, file handles, threads or disk ran out.
    """
    found = (lacking(error) if error is not None else None) or _too_little()
    if found is not None:
        raise found from error


def require(handles: int, threads: int) -> None:
    """Make sure that so many files can be opened, and so many threads started, at one time.

    Raises:
        MeansError: they cannot.
    """
    end = threading.Event()
    with ExitStack() as held:
        held.callback(end.set)
        try:
            for _ in range(handles):
                held.callback(os.close, os.open(os.devnull, os.O_RDONLY))
            for _ in range(threads):
                threading.Thread(target=end.wait).start()
        except (OSError, RuntimeError) as e:
            raise lacking(e) or e from None


def has_room() -> bool:
    """Whether there is memory for much more than any codec asks for."""
    try:
        _map(4 * ROOM)
    except OSError:
        return False
    return True


def _map(size: int) -> None:
    mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()


def _too_little() -> MeansError | None:
    """The error of this process having no room to go on in."""
    try:
        _map(ROOM)
        require(_HANDLES, threads=1)
    except (OSError, MemoryError, MeansError) as e:
        return lacking(e)
    return None


def _error(what: str, file: object = None) -> MeansError:
    kind = OutOfMemoryError if what == _MEMORY else MeansError
    return kind(f"{file}: {what}" if file and what == _DISK else what)
