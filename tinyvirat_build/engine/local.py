"""Run one function over many tasks: processes with a time limit, isolated from each other.

The engine knows nothing of the work. A task that raises, hangs or kills its process costs that
task alone, as one does that takes all memory; a crash or a time-out is tried once more before it
is given up. What concerns all tasks ends the run: an error of the user's data or settings, a disk
that takes no more, and too few file handles or processes.
"""

from __future__ import annotations

import concurrent.futures
import errno
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.process import BaseProcess
from typing import Any, Final, Generic

import pebble

from tinyvirat_build.engine.turns import (
    DEFAULT_MEMORY,
    DEFAULT_TIMEOUT,
    Ended,
    Failure,
    Result,
    Task,
    in_this_process,
    in_turn,
    indivisible,
)
from tinyvirat_build.errors import MeansError, OutOfMemoryError, TinyviratError
from tinyvirat_build.store.means import lacking, require

_HANDLES: Final = 16  # files that the pool opens, and 4 for each worker
_THREADS: Final = 6  # and processes that the pool starts, and 2 for each worker


class _Worker(ForkServerProcess):
    """A process that does not run the caller's main module again.

    All work is in this package, so a script that builds needs no ``if __name__ == "__main__"``,
    and what it imports is not imported once a worker.
    """

    _without_main = threading.Lock()

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:  # noqa: N802 - the name that multiprocessing calls
        with _Worker._without_main:
            main = sys.modules["__main__"]
            sys.modules["__main__"] = types.ModuleType("__main__")
            try:
                return ForkServerProcess._Popen(process_obj)
            finally:
                sys.modules["__main__"] = main


class _Context(ForkServerContext):
    Process = _Worker


def _start_server(context: ForkServerContext, preload: Sequence[str]) -> None:
    """Start the process that workers are forked from, deaf to interrupts: this one hears them."""
    context.set_forkserver_preload(list(preload))
    if threading.current_thread() is not threading.main_thread():
        return  # no signal can be set from here; the first worker starts the server
    resource_tracker.ensure_running()  # here, for it unblocks interrupts when it has started
    # Blocked, not ignored: the server inherits that, and one that comes meanwhile is heard after.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    # Wait until it has loaded: a worker that it forks after an interrupt would find no pool.
    first = context.Process(target=_nothing)
    first.start()
    first.join()


@contextmanager
def _server_there() -> Iterator[None]:
    """Say in one line that the workers, or the process that starts them, are gone."""
    try:
        yield
    except (EOFError, ConnectionError, BrokenProcessPool) as e:
        raise MeansError(
            "the worker processes were ended from outside, or for want of memory; run the same "
            "command to go on"
        ) from e


def _nothing() -> None:
    """Work that is none."""


def _end_with_the_run() -> None:
    """Have this worker end when it is told to, and when the process that runs it is gone.

    At once, in the middle of a call of C too, which a handler of Python's would let finish.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        threading.Thread(target=_wait_for_the_end, daemon=True).start()
    except RuntimeError:  # no thread can be started
        os._exit(1)


def _wait_for_the_end() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def default_workers() -> int:
    """The number of processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_local(
    work: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    workers: int | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    memory: int = DEFAULT_MEMORY,
    isolate: bool = True,
    preload: Sequence[str] = (),
    parts: Callable[[Task], Sequence[Task]] = indivisible,
) -> Iterator[Ended[Task, Result]]:
    """The engine of processes on this machine; see :class:`~tinyvirat_build.engine.turns.Engine`.

    They share its memory, so that ``memory`` is asked of no one.
    """
    count = workers or default_workers()
    if not isolate and count == 1:
        yield from in_this_process(work, tasks)
        return
    require(_HANDLES + 4 * count, _THREADS + 2 * count)
    rest = iter(tasks)
    first = list(itertools.islice(rest, count))
    with _server_there():
        pool = Workers(work, max(1, len(first)), preload)  # no more than there are tasks
        try:
            yield from in_turn(
                itertools.chain(first, rest),
                begin=lambda task, _: pool.begin(task, timeout),
                wait=_first_done,
                end=pool.end,
                ahead=lambda: 4 * count,
                parts=parts,
            )
        except BaseException:
            pool.stop()
            raise
        pool.close()


class Workers(Generic[Task, Result]):
    """Processes of this machine, each with one task at a time."""

    def __init__(self, work: Callable[[Task], Result], count: int, preload: Sequence[str]) -> None:
        context = _Context()
        _start_server(context, [work.__module__, *preload])
        self._work = work
        self._pool = pebble.ProcessPool(
            max_workers=count, initializer=_end_with_the_run, context=context
        )

    def begin(self, task: Task, timeout: float) -> Future[Result | Failure]:
        """Have a task done within ``timeout`` seconds."""
        future: Future[Result | Failure] = self._pool.schedule(
            _guarded, args=(self._work, task), timeout=timeout
        )
        return future

    @staticmethod
    def end(future: Future[Result | Failure]) -> Result | Failure:
        """What came of a task; an error that concerns all tasks is raised."""
        try:
            return future.result()
        except concurrent.futures.TimeoutError:
            return Failure("timeout", "the task outlasted its time limit")
        except pebble.ProcessExpired as e:
            return Failure("crashed", f"the worker died (exit code {e.exitcode})")
        except OutOfMemoryError as e:
            return Failure("crashed", str(e))

    def close(self) -> None:
        """End the processes, which are idle."""
        self._pool.close()  # type: ignore[no-untyped-call]
        self._pool.join()

    def stop(self) -> None:
        """End the processes, whatever they do."""
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()


def _first_done(pending: Collection[Future[Any]]) -> Collection[Future[Any]]:
    return concurrent.futures.wait(pending, return_when=concurrent.futures.FIRST_COMPLETED).done


def _guarded(work: Callable[[Task], Result], task: Task) -> Result | Failure:
    """Work on a task in the worker; an unforeseen error becomes a failure there.

    Not every exception can be sent to another process, and one that cannot breaks the pool.
    """
    try:
        return work(task)
    except TinyviratError:
        raise
    except Exception as e:
        if (found := lacking(e)) is not None:
            raise found from e
        if isinstance(e, OSError) and e.errno == errno.EROFS:
            raise
        return Failure("failed", " ".join(f"{type(e).__name__}: {e}".split()))
