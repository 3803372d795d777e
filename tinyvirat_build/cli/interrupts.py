"""An interrupt is answered at once, whatever the program does, and the program ends soon after.

Python hears a signal between two of its own steps; a thread of its own hears it in the middle of
one that takes long, such as reading a large file or waiting for other threads. Whatever a build
has finished stands in whole files, so that it may end at any time.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from typing import Final

from tinyvirat_build import progress

STATUS: Final = 130
_GRACE: Final = 1.2  # seconds in which the program ends by itself
ASKING: Final = frozenset((
    "audit", "calibrate", "compare", "config", "doctor", "evaluate", "figures", "init", "inspect",
    "predict", "score", "table2", "verify",
))  # fmt: skip
"""Commands that keep nothing until their end, and so begin anew."""

_answered = threading.Event()
_once = threading.Lock()


def answer() -> None:
    """Answer the interrupts of this process from now on; it has to be the program's own."""
    if threading.current_thread() is not threading.main_thread():
        return
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    threading.Thread(target=_listen, args=(read,), daemon=True).start()


def end() -> None:
    """Say, once, how to go on."""
    _answered.wait(0.5)  # where the thread is a little late
    if _once.acquire(blocking=False):
        command = shlex.join(["tinyvirat-build", *sys.argv[1:]])
        anew = not ASKING.isdisjoint(sys.argv[1:2])
        how = "to begin anew" if anew else "what is finished stays. To go on"
        _say(f"stopped; {how}: {command}")


def _listen(pipe: int) -> None:
    while os.read(pipe, 1) != bytes([signal.SIGINT]):
        pass
    done = progress.so_far()
    _say(f"stopping after {done}" if done else "stopping")
    _answered.set()
    threading.Timer(_GRACE, _leave).start()
    os.read(pipe, 1)  # a second interrupt is not patient
    _leave()


def _leave() -> None:
    end()
    os._exit(STATUS)


def _say(text: str) -> None:
    before = "\n" if sys.stderr.isatty() else ""  # a bar, and ^C, stand on the line
    os.write(2, f"{before}{text}\n".encode())
