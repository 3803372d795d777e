"""How planning grows with the number of videos: wall time, and memory of the main process.

    python bench/many.py [--videos 1000 10000 100000] [--workers 2] [--out DIR]

A synthetic corpus of so many videos, none of which is here, each with two activities of two people
in KPF, is planned from nothing to the filter, tables written, each size in a process of its own.
Printed are seconds, those a video against the first size's, and the largest memory of the main
process. A folder for 100,000 videos takes 4 GB and a million files.
"""

from __future__ import annotations

import argparse
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
    for v in range(videos):
        folder = root / "truth" / f"{v // 1000:04d}"
        if v % 1000 == 0:
            folder.mkdir(parents=True)
        name = folder / f"v{v:06d}"
        acts, boxes = zip(*(_activity(v, i) for i in range(2)), strict=True)
        name.with_suffix(".activities.yml").write_text("\n".join(acts) + "\n")
        name.with_suffix(".geom.yml").write_text("\n".join(map("\n".join, boxes)) + "\n")
    file = root / "many.yaml"
    file.write_text(ABOUT)
    return file


def _activity(video: int, i: int) -> tuple[str, Iterator[str]]:
    start, x = 100 * i, 40 * (video % 20)
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
    before = _peak()
    begun = time.perf_counter()
    build = tvb.build(file, root / "out", until="filter", workers=workers)
    taken = time.perf_counter() - begun
    clips = len(build.table("clips_filtered", ["clip_id"]))
    print(videos, clips, taken, before, _peak())


def _peak() -> float:
    """The largest memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Plan corpora of several sizes and compare them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--videos", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="where the corpora are made; default: /tmp")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.here:
        return plan(args.out, args.videos[0], args.workers)
    first = 0.0
    for videos in args.videos:
        with tempfile.TemporaryDirectory(dir=args.out) as folder:
            own = ["--here", "--out", folder, "--videos", str(videos)]
            command = [sys.executable, __file__, *own, f"--workers={args.workers}"]
            said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        n, clips, taken, before, peak = map(float, said.split())
        first = first or taken / n
        print(
            f"{n:8,.0f} videos, {clips:8,.0f} clips: {taken:8.1f} s, {1e3 * taken / n:6.2f} ms a "
            f"video ({taken / n / first:.2f} of the first size's); main process {peak:5.0f} MiB "
            f"({before:.0f} before)",
            flush=True,
        )
    return None


if __name__ == "__main__":
    main()
