"""Run one function over many tasks on the machines of a Ray cluster.

Ray places tasks on machines and tells when one is lost. On each of them it is the local engine's
own process that does the task, so that a crash, a hang and an error come out as they do locally,
and none of them ends a process of Ray. Code and tasks reach a machine by way of Ray, everything
else by way of a file system that all of them share.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import socket
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from importlib import metadata
from typing import Any, Final

from tinyvirat_build.engine.local import Workers
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
from tinyvirat_build.errors import BuildError, MeansError, SettingsError, TinyviratError

_PACKAGE: Final = "tinyvirat-build"
_ANSWER: Final = 10.0  # seconds in which a cluster answers
_LOOK: Final = 5.0  # seconds after which the processors of the cluster are counted anew
_FEWEST: Final = 8  # tasks that wait where a cluster has no processor yet: it grows when asked


def connect(address: str | None) -> None:
    """Connect this process to a cluster: by default to the one that runs on this machine.

    Raises:
        SettingsError: Ray is not installed, or there is no cluster.
    """
    try:
        import ray
    except ModuleNotFoundError as e:
        raise SettingsError(
            "--engine ray needs Ray; pip install '.[ray]' in the clone brings it"
        ) from e
    if ray.is_initialized():
        return
    try:
        _knock(address or os.environ.get("RAY_ADDRESS", ""))
        ray.init(address or "auto", log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as e:
        where = f"at {address}" if address else "on this machine"
        raise SettingsError(
            f"no Ray cluster {where} ({' '.join(str(e).split())[:200]}); start one with `ray start "
            "--head`, or give the --address of one"
        ) from e


def _knock(address: str) -> None:
    """See that somebody answers at ``host:port``: Ray itself would try for ten minutes.

    Raises:
        OSError: nobody does.
    """
    if found := re.fullmatch(r"(?:ray://)?(.+):(\d+)", address):
        socket.create_connection((found[1].strip("[]"), int(found[2])), _ANSWER).close()


def run_ray(
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
    """The engine of a Ray cluster; see :class:`~tinyvirat_build.engine.turns.Engine`.

    A task takes one processor. One that failed before is given as much more memory each time. A
    machine that is lost costs what it was at, which others do again.

    Raises:
        BuildError: a machine has other versions of packages, whose bytes might be other ones.
    """
    if not isolate and workers == 1:
        yield from in_this_process(work, tasks)
        return
    import ray

    remote = ray.remote(max_retries=0, num_cpus=1, scheduling_strategy="SPREAD")(_on_machine)
    given = ray.put((work, timeout, tuple(preload), versions()))
    begun: set[Any] = set()

    def begin(task: Task, failed: int) -> Any:
        ref = remote.options(memory=memory * (1 + failed)).remote(given, task)
        begun.add(ref)
        return ref

    def wait(pending: Collection[Any]) -> Collection[Any]:
        done, _ = ray.wait(list(pending))
        return list(done)

    def end(ref: Any) -> Any:
        begun.discard(ref)
        return _result(ref)

    try:
        yield from in_turn(
            tasks, begin=begin, wait=wait, end=end,
            ahead=(lambda: workers) if workers else _Ahead(), parts=parts,
        )  # fmt: skip
    finally:
        for ref in begun:  # those of a run that was interrupted
            ray.cancel(ref, force=True)


class _Ahead:
    """How many tasks to begin, as the processors of a cluster come and go."""

    def __init__(self) -> None:
        self._looked, self._ahead = -_LOOK, 0

    def __call__(self) -> int:
        """So many that none is idle, and a cluster that can grow sees what for."""
        now = time.monotonic()
        if now - self._looked >= _LOOK:
            self._looked, self._ahead = now, max(_FEWEST, 2 * processors())
        return self._ahead


def processors() -> int:
    """The number of processors that the cluster has now."""
    import ray

    found: Mapping[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return int(found.get("CPU", 0))


def _result(ref: Any) -> Any:
    """What came of a task; an error that concerns all tasks is raised."""
    import ray
    from ray import exceptions

    try:
        result = ray.get(ref)
    except exceptions.NodeDiedError:
        return Failure("lost", "the machine that did the task was lost")
    except exceptions.OutOfMemoryError:
        return Failure("crashed", "the machine that did the task ran out of memory")
    except exceptions.WorkerCrashedError:
        return Failure("crashed", "the worker died")
    except exceptions.RayTaskError as e:
        raise BuildError(
            f"a machine of the cluster cannot do its tasks: {' '.join(str(e.cause).split())}; "
            "install the same package on all of them"
        ) from e
    except exceptions.RayError as e:
        raise MeansError(
            f"the Ray cluster failed: {' '.join(str(e).split())[:200]}; run the same command to "
            "go on"
        ) from e
    if isinstance(result, TinyviratError | OSError):
        raise result
    return result


@functools.cache
def versions() -> Mapping[str, str]:
    """This package and those that it requires, on which the bytes of a result may depend."""
    required = [r for r in metadata.requires(_PACKAGE) or [] if "extra ==" not in r]
    names = [m[0] for r in required if (m := re.match(r"[\w.-]+", r))]
    return {name: metadata.version(name) for name in (_PACKAGE, *names)}


def _on_machine(given: tuple[Any, ...], task: Any) -> Any:
    """Do a task on a machine of the cluster; an error that concerns all tasks is returned."""
    work, timeout, preload, wanted = given
    try:
        _refuse_others(wanted)
        workers = _workers(work, preload)
        return workers.end(workers.begin(task, timeout))
    except (EOFError, ConnectionError, BrokenProcessPool):
        _workers.cache_clear()
        return Failure("crashed", "the process that starts workers was ended from outside")
    except (TinyviratError, OSError) as e:
        return e


@functools.cache
def _workers(work: Callable[[Any], Any], preload: tuple[str, ...]) -> Workers[Any, Any]:
    """The process that does tasks, which lives as long as this one of Ray."""
    return Workers(work, 1, preload)


def _refuse_others(wanted: Mapping[str, str]) -> None:
    """Make sure that this machine has the versions of the one that runs the build.

    Raises:
        BuildError: it has not.
    """
    own = versions()
    for name in wanted:
        if own.get(name) != wanted[name]:
            raise BuildError(
                f"a machine of the cluster has {name} {own.get(name)}, the one that builds "
                f"{wanted[name]}; install the same versions on all of them"
            )
