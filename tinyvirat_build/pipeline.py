"""The stages in order, each unit of work under its key.

A build is a row of stages. The first ones work on one video at a time (index … crop, then cut),
the others on the whole corpus (partition, filter, publish, stats). A unit is worked on only where
its key, a digest of all that it depends on, is not on disk already: a build that was killed goes
on where it stopped, a changed setting redoes what depends on it, a finished build does nothing.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from tinyvirat_build import buildfolder
from tinyvirat_build.errors import BuildError
from tinyvirat_build.request import (
    STAGES,
    Outcome,
    Request,
    entries_of,
    order_of,
    unit_path,
    videos_frame,
)
from tinyvirat_build.runner import Run

__all__ = [
    "STAGES",
    "Outcome",
    "Request",
    "entries_of",
    "order_of",
    "run",
    "unit_path",
    "videos_frame",
]


def run(
    request: Request,
    *,
    first: str = "index",
    until: str = "stats",
    before: Callable[[], object] = lambda: None,
) -> Outcome:
    """Run the stages from ``first`` to ``until``; those before ``first`` must be finished.

    ``before`` is called once the folder is locked.

    Raises:
        SettingsError: an unknown stage or source.
        DataError: the sources' data are not there, or videos are missing.
        BuildError: the folder is locked, full or not writable, or a stage before ``first`` is
            not done.
    """
    order_of(first), order_of(until)
    buildfolder.refuse_foreign(request.out)
    with buildfolder.lock_build(request.out):
        try:
            buildfolder.remove_partials(request.out)
            before()
            return Run(request, first, until).execute()
        except OSError as e:
            if e.errno != errno.ENOSPC:
                raise
            raise BuildError(
                f"{e.filename or request.out}: no space left on its disk; free some and run the "
                "same command to go on, or give another --out"
            ) from e
