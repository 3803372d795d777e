"""What engines share: how a task ends, how often it is tried, and how few are begun ahead."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")
_Handle = TypeVar("_Handle")

DEFAULT_TIMEOUT = 30 * 60.0  # seconds a task
DEFAULT_MEMORY = 512 << 20  # bytes a task

RETRIES: Final = {"failed": 0, "crashed": 1, "timeout": 1, "lost": 8}
"""How often a task is tried once more, by the reason of its failure.

An exception would be raised again. A machine that is lost is not the task's fault, but a task may
take its machine down with it.
"""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a task gave no result: a reason of :data:`RETRIES`; ``failed`` is an exception."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Ended(Generic[Task, Result]):
    """A task with its result, or with its failure."""

    task: Task
    result: Result | None
    failure: Failure | None = None


def indivisible(task: Any) -> Sequence[Any]:
    """The parts of a task that has none."""
    return ()


class Engine(Protocol):
    """The signature of all engines: yield each task's outcome as it ends, in any order.

    ``tasks`` are taken as they are begun, so that they need not all be in memory at once.

    ``workers``: so many tasks at once; by default one a processor, of all machines that there are.

    ``timeout``: seconds after which a task is ended.

    ``memory``: bytes for which a task asks, where an engine places tasks on machines.

    ``preload``: modules that the work needs and does not import when its own is, loaded once.

    ``parts``: of a task that stands for several, these: tasks too, which are done in its place
    where it fails, each with the whole time limit. So a culprit among them costs itself alone.

    With ``isolate=False`` and one worker the tasks run in this process, where an error of the
    program is raised as it is; otherwise each process takes one task at a time, and one that
    crashes or outlasts its time is tried once more.

    Raises:
        TinyviratError: a task's own, since the user's data or settings are at fault.
        MeansError: the disk is full, or no file, thread or process can be had.
        OSError: the disk cannot be written.
    """

    def __call__(
        self,
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
        """Do ``work`` on each task."""


def in_this_process(
    work: Callable[[Task], Result], tasks: Iterable[Task]
) -> Iterator[Ended[Task, Result]]:
    """Do the tasks here, one after the other."""
    for task in tasks:
        yield Ended(task, work(task))


@dataclass(slots=True)
class _Tried(Generic[Task]):
    """A task that has begun: its place in the order, and how often it failed, by reason."""

    task: Task
    place: int
    failed: Counter[str] = field(default_factory=Counter)


def in_turn(
    tasks: Iterable[Task],
    *,
    begin: Callable[[Task, int], _Handle],
    wait: Callable[[Collection[_Handle]], Collection[_Handle]],
    end: Callable[[_Handle], Any],
    ahead: Callable[[], int],
    parts: Callable[[Task], Sequence[Task]] = indivisible,
) -> Iterator[Ended[Task, Any]]:
    """Begin tasks in their order and yield each that has ended, those with a retry left but once.

    ``begin`` is given a task and how often it has failed; of what it returns, ``wait`` waits for
    one at least and returns those that have ended, and ``end`` gives the result or the failure.
    No more than ``ahead()`` are begun at once: an interrupt then leaves little behind, and memory
    stays flat. The ``parts`` of a task that failed come before those that have not begun.
    """
    pending: dict[_Handle, _Tried[Task]] = {}
    places = itertools.count()
    waiting = iter(tasks)

    def fill() -> None:
        for task in itertools.islice(waiting, max(0, ahead() - len(pending))):
            pending[begin(task, 0)] = _Tried(task, next(places))

    fill()
    while pending:
        for handle in sorted(wait(pending.keys()), key=lambda h: pending[h].place):
            tried = pending.pop(handle)
            result = end(handle)
            if isinstance(result, Failure):
                if own := parts(tried.task):
                    waiting = itertools.chain(own, waiting)
                    fill()
                    continue
                tried.failed[result.reason] += 1
                if tried.failed[result.reason] <= RETRIES[result.reason]:
                    pending[begin(tried.task, tried.failed.total())] = tried
                    continue
            fill()
            if isinstance(result, Failure):
                yield Ended(tried.task, None, result)
            else:
                yield Ended(tried.task, result)
