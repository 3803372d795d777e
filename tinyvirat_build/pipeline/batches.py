"""Small videos in batches: one task of several, since a call costs more than the work on one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from tinyvirat_build.pipeline.tasks import Task

MOST: Final = 64  # videos of a batch
BYTES: Final = 1 << 18  # of their annotation files
_TURNS: Final = 4  # batches a worker gets at least, so that all end at about the same time

Batch = tuple[Task, ...]


def in_batches(
    tasks: Iterable[Task], count: int, size: Callable[[Task], int], workers: int
) -> Iterator[Batch]:
    """So many tasks in about their order, small ones of the same stages and settings together."""
    most = max(1, min(MOST, count // (_TURNS * workers)))
    held: dict[tuple[str, ...], tuple[list[Task], int]] = {}
    for task in tasks:
        entry = task.entry
        alike = (entry.source, entry.annotation_set, *(u.stage.name for u in task.units))
        batch, total = held.pop(alike, ([], 0))
        own = size(task)
        if batch and total + own > BYTES:
            yield tuple(batch)
            batch, total = [], 0
        batch.append(task)
        if len(batch) == most:
            yield tuple(batch)
        else:
            held[alike] = batch, total + own
    for batch, _ in held.values():
        yield tuple(batch)


def singles(batch: Batch) -> Sequence[Batch]:
    """The tasks of a batch of several, each by itself."""
    return [(task,) for task in batch] if len(batch) > 1 else ()
