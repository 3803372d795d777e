"""Small files that ask for much: each shape as the KPF of one video, in MEVA's layout.

What a shape costs must follow from the boxes that it has and the pairs that meet, not from spans
or from all pairs. ``size`` is a share of the shape as it was first measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

NAME: Final = "2018-03-07.16-50-01.16-55-01.bus.G331"
ACTS: Final = ("person_talks_to_person", "person_opens_vehicle_door", "vehicle_turns_left")
Shape = tuple[list[str], list[str]]  # lines of activities, of boxes


def act(number: int, start: int, last: int, *actors: int, name: str = ACTS[0]) -> str:
    """An activity from ``start`` to ``last``, with its actors."""
    ids = ", ".join(f"{{id1: {a}, timespan: [{{tsr0: [{start}, {last}]}}]}}" for a in actors)
    return (
        f"- {{ act: {{ act2: {{{name}: 1.0}}, id2: {number}, "
        f"timespan: [{{tsr0: [{start}, {last}]}}], src_status: truth, actors: [{ids}] }} }}"
    )


def box(actor: int, frame: int, x: int = 100, y: int = 100, side: int = 40) -> str:
    """A box of an actor."""
    return (
        f"- {{ geom: {{id1: {actor}, id0: 0, ts0: {frame}, ts1: 0.0, "
        f"g0: {x} {y} {x + side} {y + side}, keyframe: true }} }}"
    )


def line(actor: int, frames: Iterable[int], x: int = 100, y: int = 100) -> list[str]:
    """Boxes of an actor that stands still."""
    return [box(actor, frame, x, y) for frame in frames]


def far_spans(size: float) -> Shape:
    """60 activities over 2 M frames, one box each."""
    n = int(60 * size)
    acts = [act(i, 0, 1_999_999, i) for i in range(n)]
    return acts, [box(i, 1000 * i, 20 * i) for i in range(n)]


def shared_actor(size: float) -> Shape:
    """One actor whom 2,000 activities share."""
    n = int(2000 * size)
    return [act(i, i, i + n, 0) for i in range(n)], line(0, range(2 * n))


def shared_among_others(size: float) -> Shape:
    """One actor whom 1,000 activities share, each with another actor of its own."""
    n = int(1000 * size)
    boxes = [one for i in range(n) for one in line(i + 1, range(i, i + 20), 100 + i % 1000)]
    return [act(i, i, i + n, 0, i + 1) for i in range(n)], line(0, range(2 * n)) + boxes


def many_runs(size: float) -> Shape:
    """3,000 activities on one actor with 3,000 runs of boxes, each over a hundred of them."""
    n = int(3000 * size)
    acts = [act(i, 60 * i, 60 * (i + 100), 0) for i in range(n)]
    return acts, [one for i in range(n) for one in line(0, range(60 * i, 60 * i + 20))]


def all_runs(size: float) -> Shape:
    """3,000 activities on one actor with 3,000 runs, each over all of them."""
    n = int(3000 * size)
    acts = [act(i, 0, 60 * n, 0) for i in range(n)]
    return acts, [one for i in range(n) for one in line(0, range(60 * i, 60 * i + 2))]


def one_id(size: float) -> Shape:
    """20,000 activities of one id, on one actor."""
    n = int(20_000 * size)
    return [act(7, i, i + 99, 0) for i in range(n)], line(0, range(n + 100))


def outside(size: float) -> Shape:
    """One box outside the picture on a dense actor of 3,000 activities."""
    n = int(60_000 * size)
    acts = [act(i, 0, n - 1, 0) for i in range(int(3000 * size))]
    return acts, [*line(0, range(n - 1)), box(0, n - 1, 9000)]


def crowd(size: float) -> Shape:
    """A crowd of 300 whose boxes all overlap for 2,000 frames."""
    n, frames = int(300 * size), int(2000 * size)
    acts = [act(i, 0, frames - 1, i) for i in range(n)]
    boxes = [box(i, t, 100 + i % 20 + (i * t) % 3, 100) for i in range(n) for t in range(frames)]
    return acts, boxes


def churn(size: float) -> Shape:
    """20,000 activities that take turns in one long segment."""
    n = int(20_000 * size)
    return [act(i, 50 * i, 50 * i + 99, 0) for i in range(n)], line(0, range(0, 50 * n + 50, 31))


def cast(size: float) -> Shape:
    """200 activities that each name the same 2,000 actors."""
    n, actors = int(200 * size), int(2000 * size)
    acts = [act(i, 0, 99, *range(actors)) for i in range(n)]
    return acts, [box(a, t, a % 60) for a in range(actors) for t in range(0, 100, 20)]


def flicker(size: float) -> Shape:
    """400 people who overlap on every other second only: many tiny runs, many that meet."""
    n, frames = int(400 * size), int(4000 * size)
    acts = [act(i, 0, frames - 1, i, name=ACTS[i % 3]) for i in range(n)]
    boxes = [
        box(i, t, 3 * i, 100) for i in range(n) for t in range(i % 40, frames, 40 + 40 * (i % 2))
    ]
    return acts, boxes


SHAPES: Final[dict[str, Callable[[float], Shape]]] = {
    one.__name__: one
    for one in (
        far_spans, shared_actor, shared_among_others, many_runs, all_runs, one_id, outside, crowd,
        churn, cast, flicker,
    )
}  # fmt: skip


ORDINARY: Final = [act(0, 0, 63, 0)], line(0, range(64))


def write(folder: Path, shape: str, size: float = 1.0) -> None:
    """A shape as a corpus: one video of it, and one ordinary video beside it."""
    kitware = folder / "kitware"
    kitware.mkdir(parents=True)
    for name, (acts, boxes) in (
        (NAME, SHAPES[shape](size)),
        (NAME.replace("16-5", "17-5"), ORDINARY),
    ):
        (kitware / f"{name}.activities.yml").write_text("\n".join(acts) + "\n")
        (kitware / f"{name}.geom.yml").write_text("\n".join(boxes) + "\n")


# Pools and threads that reserve address space, which they never fill, are kept out.
PLAIN: Final = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"} | dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1"
)
BOUNDED: Final = """
import json, resource, sys, time
from pathlib import Path
import tinyvirat_build as tvb
from tinyvirat_build.cli import main
from tinyvirat_build.pipeline import on_corpus, on_video, run
import shapely

def peak():
    who = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN  # the work is done in a child
    return max(resource.getrusage(one).ru_maxrss for one in who) / 1024

folder, room = Path(sys.argv[1]), int(sys.argv[2]) << 20
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + room, size + room))
before, start = peak(), time.perf_counter()
try:
    main(["all", "--source", "meva", "--data", str(folder / "data"), "--out", str(folder / "out"),
          "--until", "filter", "--workers", "1", "--set", "filter.min_samples=0", "--quiet"])
except SystemExit as e:
    status = e.code
seconds = time.perf_counter() - start
build = tvb.open_build(folder / "out")
issues, balance = build.table("issues"), build.table("balance")
odd = issues[issues["reason"].isin(["bound", "failed", "crashed", "timeout"])]
print(json.dumps({
    "status": status, "seconds": seconds, "memory": peak() - before,
    "clips": len(build.table("clips_filtered")),
    "closes": bool((balance.records_in == balance.records_out + balance.dropped).all()),
    "refused": sorted(set(odd["reason"] + ": " + odd["detail"])),
}))
"""


def planned(folder: Path, memory: int) -> dict[str, Any]:
    """What came of ``all … --until filter`` on ``folder/data`` in ``memory`` MiB of new space."""
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED, str(folder), str(memory)],
        capture_output=True,
        text=True,
        env=os.environ | PLAIN,
    )
    assert not done.returncode, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
