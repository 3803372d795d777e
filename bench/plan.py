"""How long planning takes, stage by stage, and how it grows, in one run.

    python bench/plan.py [DATA] [--repeat 3] [--videos 24] [--workers 2]

DATA is a folder with MEVA's annotations (the set ``kitware``), at any depth. Printed are, each a
median over the repeats:

- every stage on DATA's clips, one core: parse, merge, segment, chunk, crop, partition, filter;
- the pipeline on DATA from nothing to ``filter`` with ``--workers`` processes, tables written;
- every stage on a synthetic corpus, on one with ten times as many videos, and on one with videos
  ten times as long, with the ratios: planning is linear in boxes where these are ten or less;
- merge to crop against the frame-by-frame oracle of the tests, on one small video.

The synthetic corpus is KPF as MEVA's, on disk; people and vehicles meet and part at random.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

import tinyvirat_build as tvb
from tinyvirat_build import labels, sources
from tinyvirat_build.settings import Settings
from tinyvirat_build.sources import splits
from tinyvirat_build.sources.parse import parse_entry
from tinyvirat_build.stages.chunk import chunk
from tinyvirat_build.stages.crop import crop
from tinyvirat_build.stages.filter import filter_rare
from tinyvirat_build.stages.merge import merge
from tinyvirat_build.stages.partition import assign_groups, partition
from tinyvirat_build.stages.segment import segment

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import oracle
from worlds import CLASSES, plan, tables

STAGES = ("parse", "merge", "segment", "chunk", "crop", "partition", "filter")
ACTS = ("person_talks_to_person", "person_opens_vehicle_door", "vehicle_turns_left")
FRAMES = 9000


class Clock:
    """Seconds by name."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    def __call__(self, name: str, work: Callable[[], object]) -> object:
        start = time.perf_counter()
        result = work()
        self.seconds[name] += time.perf_counter() - start
        return result


def run_stages(data: Path, settings: Settings) -> tuple[dict[str, float], int, int]:
    """All stages from parse to filter, video by video: seconds, boxes and clips."""
    clock, boxes = Clock(), 0
    classes = labels.load_classes(settings.classes)
    entries = sources.get("meva").discover(data, settings).entries
    clips, activities, videos = [], [], []
    for e in entries:
        about = ["source", "video_id", "annotation_set", "width", "height"]
        about += ["session", "scene", "camera"]
        video = pd.DataFrame([{name: getattr(e, name) for name in about}])
        p = clock("parse", lambda e=e: parse_entry(e, settings, width=e.width, height=e.height))
        a, b = p.activities, p.boxes
        t = clock("merge", lambda a=a, b=b: merge(a, b, settings.merge)).table
        s = clock("segment", lambda t=t, a=a: segment(t, a, settings.merge, classes=classes)).table
        c = clock("chunk", lambda s=s, t=t: chunk(s, t, settings.chunk)).table
        w = clock(
            "crop",
            lambda c=c, t=t, a=a, b=b, v=video: crop(c, t, a, b, v, settings.crop, classes=classes),
        ).table
        boxes += len(b)
        clips.append(w)
        activities += [a, p.without_geometry]
        videos.append(video)
    planned = pd.concat([c for c in clips if len(c)], ignore_index=True)
    counted = pd.concat([a for a in activities if len(a)], ignore_index=True)
    lists = splits.load_lists(settings.partition)
    groups = assign_groups(pd.concat(videos, ignore_index=True), settings.partition, lists=lists)
    split = clock(
        "partition",
        lambda: partition(
            planned, counted, groups, settings.partition, lists=lists, classes=classes
        ),
    ).table
    clock("filter", lambda: filter_rare(split, settings.filter, classes=classes))
    return dict(clock.seconds), boxes, len(planned)


def write_synthetic(folder: Path, videos: int, frames: int, seed: int = 0) -> None:
    """KPF of ``videos`` clips: 30 activities in 9,000 frames, each of one or two actors."""
    kitware = folder / "kitware"
    kitware.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for v in range(videos):
        hour, minute = divmod(5 * v, 60)
        name = f"2018-03-{7 + hour // 24:02d}.{hour % 24:02d}-{minute:02d}-00.{hour % 24:02d}"
        name += f"-{minute + 4:02d}-59.school.G{300 + v % 40}"
        acts, geometry, actor = [], [], 0
        for i in range(30 * frames // FRAMES):
            start = int(rng.integers(0, frames - 300))
            end = start + int(rng.integers(40, 300))
            place = rng.integers(0, 12) * 150.0, rng.integers(0, 6) * 150.0
            people = range(actor, actor + int(rng.integers(1, 3)))
            actor = people.stop
            ids = ", ".join(f"{{id1: {p}, timespan: [{{tsr0: [{start}, {end}]}}]}}" for p in people)
            acts.append(
                f"- {{ act: {{ act2: {{{ACTS[i % 3]}: 1.0}}, id2: {i}, "
                f"timespan: [{{tsr0: [{start}, {end}]}}], src_status: truth, actors: [{ids}] }} }}"
            )
            for p in people:
                corner = rng.normal(0, 0.7, (end - start + 1, 2)).cumsum(axis=0) + place
                low = np.maximum(corner + rng.uniform(0, 60, 2), 0).astype(int)
                size = rng.integers(15, 70, 2)
                geometry += [
                    f"- {{ geom: {{id1: {p}, id0: {k}, ts0: {start + k}, ts1: 0.0, "
                    f"g0: {x} {y} {x + size[0]} {y + size[1]}, keyframe: true }} }}"
                    for k, (x, y) in enumerate(low)
                ]
        (kitware / f"{name}.activities.yml").write_text("\n".join(acts) + "\n")
        (kitware / f"{name}.geom.yml").write_text("\n".join(geometry) + "\n")


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {stage: statistics.median(run[stage] for run in runs) for stage in STAGES}


def show(title: str, columns: dict[str, dict[str, float]], base: str = "") -> None:
    """A table of seconds per stage, and of ratios to the column ``base``."""
    print(f"\n{title}\n{'':10s}" + "".join(f"{name:>16s}" for name in columns))
    for stage in (*STAGES, "all"):
        cells = ""
        for name, seconds in columns.items():
            value, first = (
                sum(seconds.values()) if stage == "all" else seconds[stage]
                for seconds in (seconds, columns[base] if base else seconds)
            )
            ratio = f"{value / first:5.1f}×" if base and name != base else ""
            cells += f"{value:8.2f} s{ratio:6s}"
        print(f"{stage:10s}{cells}")


def growth(videos: int, repeat: int, settings: Settings) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sizes = {
            "corpus": (videos, FRAMES),
            "10× videos": (10 * videos, FRAMES),
            "10× as long": (videos, 10 * FRAMES),
        }
        columns: dict[str, dict[str, float]] = {}
        for name, (n, frames) in sizes.items():
            data = Path(folder) / name
            write_synthetic(data, n, frames)
            found = [run_stages(data, settings) for _ in range(repeat)]
            print(f"{name}: {found[0][1]} boxes, {found[0][2]} clips")
            columns[name] = medians([seconds for seconds, *_ in found])
        show(f"Synthetic corpus, {videos} videos, one core", columns, "corpus")


def against_oracle(settings: Settings) -> None:
    rng = np.random.default_rng(1)
    boxes, acts = {}, []
    for i in range(12):
        start = int(rng.integers(0, 400))
        x, y = rng.integers(0, 200, 2).tolist()
        boxes[f"p{i}"] = {
            t: (x + t % 7, y, x + t % 7 + 40, y + 50) for t in range(start, start + 200)
        }
        acts.append(oracle.Activity(f"a{i}", start, start + 200, (f"p{i}",), (CLASSES[i % 3],)))
    world = oracle.World(tuple(acts), boxes, (640, 480))
    given, times = tables([world]), []
    work: tuple[Callable[[], object], ...] = (
        lambda: plan(given, settings.merge, settings.chunk, settings.crop),
        lambda: oracle.clips(world, settings.merge, settings.chunk, settings.crop, CLASSES),
    )
    for one in work:
        start_at = time.perf_counter()
        one()
        times.append(time.perf_counter() - start_at)
    print(
        f"\nOne video of 600 frames, merge to crop: {times[0] * 1e3:.1f} ms; "
        f"frame by frame {times[1] * 1e3:.0f} ms ({times[1] / times[0]:.0f}×)"
    )


def builds(data: Path, workers: int, repeat: int) -> Iterator[float]:
    for _ in range(repeat):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            tvb.build(
                "meva", Path(folder) / "out", data=data, until="filter", workers=workers,
                settings={"meva.sets": ["kitware"]},
            )  # fmt: skip
            yield time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path, help="a folder with MEVA's annotations")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--videos", type=int, default=24, help="size of the synthetic corpus")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    settings = Settings.load(overrides=["meva.sets=kitware"])
    if args.data:
        found = [run_stages(args.data, settings) for _ in range(args.repeat)]
        print(f"{args.data.name}: {found[0][1]} boxes, {found[0][2]} clips")
        show("DATA, one core", {"seconds": medians([seconds for seconds, *_ in found])})
        taken = statistics.median(builds(args.data, args.workers, args.repeat))
        print(f"\nPipeline to filter, {args.workers} workers, tables written: {taken:.1f} s")
    growth(args.videos, args.repeat, settings)
    against_oracle(settings)


if __name__ == "__main__":
    main()
