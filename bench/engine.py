"""What a Ray cluster costs over processes of this machine, on work that only waits.

    python bench/engine.py [--tasks 200] [--seconds 1] [--repeat 3] [--few 40]

Tasks that sleep, so that two processors, a shared machine, or none to spare make no difference.
Printed are medians over the repeats, engines in turn:

- ``--tasks`` tasks with two workers, and Ray's overhead over ``local``;
- ``--few`` tasks with one worker and with two: the gain of the second, Ray's over ``local``'s.

The cluster is two machines of one processor each, both of them this one. Its start is not counted,
nor are each engine's first processes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path

from tinyvirat_build import engine

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from cluster import started


def seconds(run: engine.Engine, tasks: int, length: float, workers: int) -> float:
    """How long an engine takes for so many tasks of ``length`` seconds."""
    begun = time.perf_counter()
    ended = sum(one.failure is None for one in run(time.sleep, [length] * tasks, workers=workers))
    assert ended == tasks
    return time.perf_counter() - begun


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--few", type=int, default=40)
    args = parser.parse_args()
    taken: dict[tuple[str, int, int], list[float]] = defaultdict(list)
    with started(2) as cluster:
        engines = {"local": engine.chosen("local"), "ray": engine.chosen("ray", cluster.address)}
        for run in engines.values():
            seconds(run, 8, 0.01, 2)
        for _ in range(args.repeat):
            for tasks, workers in ((args.tasks, 2), (args.few, 1), (args.few, 2)):
                for name, run in engines.items():
                    found = seconds(run, tasks, args.seconds, workers)
                    taken[name, tasks, workers].append(found)
                    print(
                        f"{name:6s}{tasks:5d} tasks, {workers} workers: {found:7.2f} s", flush=True
                    )
    median = {case: statistics.median(times) for case, times in taken.items()}
    overhead = median["ray", args.tasks, 2] / median["local", args.tasks, 2] - 1
    gain = {n: median[n, args.few, 1] / median[n, args.few, 2] for n in engines}
    print(f"\nRay over local at {args.tasks} tasks of {args.seconds:g} s: {100 * overhead:.1f} %")
    print(f"Gain of two workers: local {gain['local']:.3f}, Ray {gain['ray']:.3f}, ", end="")
    print(f"ratio {gain['ray'] / gain['local']:.3f}")


if __name__ == "__main__":
    main()
