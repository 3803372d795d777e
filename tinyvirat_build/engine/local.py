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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.process import BaseProcess
from typing import Any, Final, Generic, TypeVar

import pebble

from tinyvirat_build.errors import MeansError, OutOfMemoryError, TinyviratError
from tinyvirat_build.store.means import lacking, require

Task = TypeVar("Task")
Result = TypeVar("Result")

_HANDLES: Final = 16  # files that the pool opens, and 4 for each worker
_THREADS: Final = 6  # and processes that the pool starts, and 2 for each worker
DEFAULT_TIMEOUT = 30 * 60.0  # seconds a task


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a task gave no result: ``timeout``, ``crashed`` or ``failed``, which is an exception."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Ended(Generic[Task, Result]):
    """A task with its result, or with its failure."""

    task: Task
    result: Result | None
    failure: Failure | None = None


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
    """Have this worker end when the process that runs it is gone: its lock is gone as well."""
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
    tasks: Sequence[Task],
    *,
    workers: int,
    timeout: float = DEFAULT_TIMEOUT,
    isolate: bool = True,
    preload: Sequence[str] = (),
) -> Iterator[Ended[Task, Result]]:
    """Yield each task's outcome as it ends, in any order.

    ``preload``: modules that the work needs and does not import when its own is, loaded once.
    With ``isolate=False`` and one worker the tasks run in this process, where an error of the
    program is raised as it is; otherwise each process takes one task at a time and a task that
    crashes or outlasts ``timeout`` seconds is tried once more.

    Raises:
        TinyviratError: a task's own, since the user's data or settings are at fault.
        MeansError: the disk is full, or no file, thread or process can be had.
        OSError: the disk cannot be written.
    """
    if not isolate and workers == 1:
        for task in tasks:
            yield Ended(task, work(task))
        return
    require(_HANDLES + 4 * workers, _THREADS + 2 * workers)
    with _server_there():
        yield from _run_in_pool(work, tasks, workers, timeout, preload)


def _run_in_pool(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    workers: int,
    timeout: float,
    preload: Sequence[str],
) -> Iterator[Ended[Task, Result]]:
    context = _Context()
    _start_server(context, [work.__module__, *preload])
    attempts: dict[int, int] = dict.fromkeys(range(len(tasks)), 0)
    pool = pebble.ProcessPool(
        max_workers=max(1, min(workers, len(tasks))), initializer=_end_with_the_run, context=context
    )
    pending: dict[Any, int] = {}
    waiting = iter(range(len(tasks)))

    def submit(i: int) -> None:
        attempts[i] += 1
        pending[pool.schedule(_guarded, args=(work, tasks[i]), timeout=timeout)] = i

    try:
        # A short queue: an interrupt then leaves little behind, and memory stays flat.
        for i in itertools.islice(waiting, 4 * workers):
            submit(i)
        while pending:
            done, _ = concurrent.futures.wait(
                pending, return_when=concurrent.futures.FIRST_COMPLETED
            )
            for future in sorted(done, key=lambda f: pending[f]):
                i = pending.pop(future)
                ended = _ended(tasks[i], future)
                retry = ended.failure and ended.failure.reason != "failed"
                if retry and attempts[i] < 2:
                    submit(i)
                    continue
                if (following := next(waiting, None)) is not None:
                    submit(following)
                yield ended
        pool.close()  # type: ignore[no-untyped-call]
    except BaseException:
        pool.stop()  # type: ignore[no-untyped-call]
        raise
    finally:
        pool.join()


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


def _ended(task: Task, future: concurrent.futures.Future[Result | Failure]) -> Ended[Task, Result]:
    try:
        result = future.result()
    except concurrent.futures.TimeoutError:
        return Ended(task, None, Failure("timeout", "the task outlasted its time limit"))
    except pebble.ProcessExpired as e:
        return Ended(task, None, Failure("crashed", f"the worker died (exit code {e.exitcode})"))
    except OutOfMemoryError as e:
        return Ended(task, None, Failure("crashed", str(e)))
    if isinstance(result, Failure):
        return Ended(task, None, result)
    return Ended(task, result)
