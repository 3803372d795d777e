"""How fast KPF becomes tables, against PyYAML's CSafeLoader, in one run on one core.

    python bench/parse.py [FOLDER …] [--every N] [--repeat N]

FOLDER holds KPF clips at any depth (MEVA's ``kitware`` and ``kitware-meva-training``, say);
``--every 10`` takes each tenth clip, since CSafeLoader needs about a second a megabyte. A
generated geometry file of 30 MB is always measured, and so is the memory after few and many
files. The peer loads the geometry alone and makes a DataFrame of it; the reader also reads the
clip's activities and types, checks every activity and fills gaps. Prints medians and ratios.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import yaml

from tinyvirat_build.formats import ReadOptions, kpf

Clip = tuple[str, list[Path]]


def clips_in(folder: Path) -> list[Clip]:
    """The clips of a folder that have geometry, by name."""
    found = []
    for geom in sorted(folder.rglob("*geom.yml")):
        name = geom.name[: -len("-geom.yml")]
        files = [p for p in sorted(geom.parent.glob(f"{name}*.yml")) if kpf.file_kind(p)]
        if any(kpf.file_kind(p) == "activities" for p in files):
            found.append((name, files))
    return found


def geometry(clip: Clip) -> Path:
    return next(p for p in clip[1] if kpf.file_kind(p) == "geom")


def by_reader(clip: Clip) -> int:
    return len(kpf.read(clip[0], clip[1], ReadOptions()).boxes)


def by_csafeloader(clip: Clip) -> int:
    """Boxes of the geometry file as a DataFrame, the plain way."""
    with geometry(clip).open("rb") as stream:
        records = yaml.load(stream, Loader=yaml.CSafeLoader)
    rows = [
        (str(g["id1"]), g["ts0"], *map(float, g["g0"].split()), bool(g.get("keyframe")))
        for g in (r["geom"] for r in records if "geom" in r)
    ]
    columns = ["actor_id", "frame", "x1", "y1", "x2", "y2", "keyframe"]
    return len(pd.DataFrame(rows, columns=columns))


def seconds(read: Callable[[Clip], int], clips: Sequence[Clip]) -> tuple[float, int]:
    gc.collect()
    start = time.process_time()
    boxes = sum(map(read, clips))
    return time.process_time() - start, boxes


def compare(name: str, clips: Sequence[Clip], repeat: int) -> None:
    size = sum(geometry(c).stat().st_size for c in clips) / 1e6
    ours = [seconds(by_reader, clips) for _ in range(repeat)]
    peer, boxes = seconds(by_csafeloader, clips)
    assert {n for _, n in ours} == {boxes}, "the two disagree on the number of boxes"
    mine = statistics.median(t for t, _ in ours)
    print(
        f"{name:28} {len(clips):5} files {size:7.1f} MB {boxes:9,} boxes   "
        f"CSafeLoader {peer:7.2f} s   reader {mine:6.3f} s ({size / mine:5.0f} MB/s)   "
        f"ratio {peer / mine:5.1f}"
    )


def generated(folder: Path, megabytes: int) -> Clip:
    """A clip in kitware's style with so many megabytes of geometry."""
    lines, size, actor = [], 0, 6773005562166421415
    while size < megabytes * 1_000_000:
        for i in range(300):
            key = ", keyframe: true" if i % 10 else ""
            x, y = 300 + 3 * i % 1400, 200 + i % 700
            lines.append(
                f"- {{ geom: {{id1: {actor}, id0: {i + 1}, ts0: {i}, ts1: {i / 30:.2f}, "
                f"g0: {x} {y} {x + 31} {y + 77}{key} }} }}\n"
            )
            size += len(lines[-1])
        actor += 1
    (folder / "big.geom.yml").write_text("".join(lines))
    (folder / "big.activities.yml").write_text('- { meta: "big" }\n')
    return "big", [folder / "big.activities.yml", folder / "big.geom.yml"]


def peak_memory(clips: Sequence[Clip]) -> float:
    """The highest resident memory of a process that reads the clips one by one, MB."""
    program = (
        "import resource, sys, pathlib\n"
        "from tinyvirat_build.formats import ReadOptions, kpf\n"
        "for line in sys.stdin:\n"
        "    name, *files = line.rstrip('\\n').split('\\t')\n"
        "    kpf.read(name, [pathlib.Path(f) for f in files], ReadOptions())\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    text = "".join("\t".join((name, *map(str, files))) + "\n" for name, files in clips)
    done = subprocess.run(
        [sys.executable, "-c", program], input=text, capture_output=True, text=True, check=True
    )
    return int(done.stdout) / (1e3 if sys.platform == "linux" else 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--every", type=int, default=1, help="take each n-th clip")
    parser.add_argument("--repeat", type=int, default=3, help="runs of the reader")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # memory first: a child's peak counts what its parent held when it was started
        clips = [c for path in options.folders for c in clips_in(path)]
        clips = clips or [generated(Path(folder), 2)]
        # the largest clip first, so that what grows can only be the number of files
        clips.sort(key=lambda c: -geometry(c).stat().st_size)
        for count in (1, 10, 100, 1000):
            several = (clips * (count // len(clips) + 1))[:count]
            print(f"peak memory after {count:5} files: {peak_memory(several):6.1f} MB")
        for path in options.folders:
            compare(path.name, clips_in(path)[:: options.every], options.repeat)
        compare("generated", [generated(Path(folder), 30)], options.repeat)


if __name__ == "__main__":
    main()
