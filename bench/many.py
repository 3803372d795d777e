"""How planning grows with the number of videos: time, processors, memory of the main process.

    python bench/many.py [--videos 10000 30000 100000] [--workers 2] [--out DIR]

A synthetic corpus of so many videos, none of which is here, each with two activities of two people
in KPF, is planned from nothing to the filter, tables written, each size in a process of its own.
Printed are seconds and processor time a video, the first against the first size's, and the largest
memory of the main process, against the first size's too. A folder for 100,000 videos takes 4 GB
and a million files. Processor time is that of all processes, read from /proc: 0 where there is
none.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import tinyvirat_build as tvb

BOXES = 20  # a person
ABOUT = """
annotations: truth
format: kpf
group: 'v(\\d{4})'
labels: {walks: [walks], waits: [waits]}
classes: auto
"""


def write_corpus(root: Path, videos: int) -> Path:
    """A corpus of KPF files, 1,000 a folder, and the YAML file that describes it."""
    texts = [_texts(x) for x in range(0, 800, 40)]
    for v in range(videos):
        folder = root / "truth" / f"{v // 1000:04d}"
        if v % 1000 == 0:
            folder.mkdir(parents=True)
        acts, boxes = texts[v % len(texts)]
        (folder / f"v{v:06d}.activities.yml").write_text(acts)
        (folder / f"v{v:06d}.geom.yml").write_text(boxes)
    file = root / "many.yaml"
    file.write_text(ABOUT)
    return file


def _texts(x: int) -> tuple[str, str]:
    """The activities and the boxes of a video, whose people stand at ``x``."""
    acts, boxes = zip(*(_activity(x, i) for i in range(2)), strict=True)
    return "\n".join(acts) + "\n", "\n".join(map("\n".join, boxes)) + "\n"


def _activity(x: int, i: int) -> tuple[str, Iterator[str]]:
    start = 100 * i
    span = f"timespan: [{{tsr0: [{start}, {start + BOXES - 1}]}}]"
    act = (
        f"- {{ act: {{ act2: {{{'walks' if i else 'waits'}: 1.0}}, id2: {i}, {span}, "
        f"src_status: truth, actors: [{{id1: {i}, {span}}}] }} }}"
    )
    boxes = (
        f"- {{ geom: {{id1: {i}, id0: {k}, ts0: {start + k}, ts1: 0.0, "
        f"g0: {x + k} 50 {x + k + 40} 130, keyframe: true }} }}"
        for k in range(BOXES)
    )
    return act, boxes


def plan(root: Path, videos: int, workers: int) -> None:
    """Plan a corpus in this process, and print what it took."""
    file = write_corpus(root / "data", videos)
    begun = time.perf_counter()
    build = tvb.build(file, root / "out", until="filter", workers=workers)
    taken = time.perf_counter() - begun
    clips = len(build.table("clips_filtered", ["clip_id"]))
    print(videos, clips, taken, _cpu(), _peak())


def _cpu() -> float:
    """The processor time of this process, its children and the workers that they started."""
    ticks = 0
    for child in Path(f"/proc/self/task/{os.getpid()}").glob("children"):
        for number in child.read_text().split():
            fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))  # its own and its children's, user and system
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def _peak() -> float:
    """The largest memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Plan corpora of several sizes and compare them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--videos", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="where the corpora are made; default: /tmp")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.here:
        return plan(args.out, args.videos[0], args.workers)
    first: tuple[float, float] | None = None
    for videos in args.videos:
        with tempfile.TemporaryDirectory(dir=args.out) as folder:
            own = ["--here", "--out", folder, "--videos", str(videos)]
            command = [sys.executable, __file__, *own, f"--workers={args.workers}"]
            said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        n, clips, taken, cpu, peak = map(float, said.split())
        first = first or (taken / n, peak)
        print(
            f"{n:8,.0f} videos, {clips:8,.0f} clips: {taken:8.1f} s, {1e3 * taken / n:6.2f} ms a "
            f"video ({taken / n / first[0]:.2f} of the first size's), {1e3 * cpu / n:6.2f} ms of "
            f"processors; main process {peak:5.0f} MiB ({peak / first[1]:.2f})",
            flush=True,
        )
    return None


if __name__ == "__main__":
    main()
