"""What a run takes of its machine: peak memory, and a profile of some of its steps."""

from __future__ import annotations

import contextlib
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import torch

from tinyvirat_build.store import atomic_path, write_text

WARM_UP: Final = 5  # steps before those that are recorded, in which convolutions are chosen


def peak_memory(device: torch.device) -> float:
    """MiB at most: of PyTorch on a GPU since the last call, else of the process so far."""
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        return peak / 2**20
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


@contextlib.contextmanager
def profiled(steps: int, folder: Path, device: torch.device) -> Iterator[Callable[[], None]]:
    """Give what is to be called after each step; after a warm-up, so many steps are recorded.

    ``folder`` gets profile.json, for chrome://tracing or Perfetto, and profile.txt, a table of
    operations. With 0 steps nothing is recorded.
    """
    if not steps:
        yield lambda: None
        return
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        kinds.append(torch.profiler.ProfilerActivity.CUDA)

    def write(found: torch.profiler.profile) -> None:
        with atomic_path(folder / "profile.json") as file:
            found.export_chrome_trace(str(file))
        by = "self_cuda_time_total" if device.type == "cuda" else "self_cpu_time_total"
        write_text(folder / "profile.txt", found.key_averages().table(sort_by=by, row_limit=40))

    plan = torch.profiler.schedule(wait=WARM_UP, warmup=1, active=steps, repeat=1)
    with torch.profiler.profile(activities=kinds, schedule=plan, on_trace_ready=write) as profile:
        yield profile.step
