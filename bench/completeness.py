"""What label completeness costs: the same annotations planned by several rules, in one run.

    python bench/completeness.py DATA

DATA is a folder with MEVA's annotations (the set ``kitware``), at any depth. A clip is complete
if it carries the labels of every mapped activity of which half the box lies in its window on a
frame, and pure if each of its labels is seen so on half of its frames or more. Clips are counted
before the filter (``filter.min_samples=0``), so that the settings are compared on all clips that
they plan; ``too_large`` are those lost to ``crop.max_side``, ``lost``
the frames lost to anything else, and in ``unmapped`` ones an activity is seen that has no label.

Below the table stands why clips are incomplete where labels are those of the activities alone
(``crop.labels=own``): by how much the activity whose label misses overlaps those of the clip, at
its best frame (``iomin``).
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

import tinyvirat_build as tvb
from tinyvirat_build import audit, geometry
from tinyvirat_build.ask.sweep import sweep
from tinyvirat_build.pipeline.request import Request
from tinyvirat_build.settings import Settings
from tinyvirat_build.stages.activity_boxes import ActorBoxes, read_activities, read_boxes
from tinyvirat_build.stages.tables import each_video

ALL = ["meva.sets=kitware", "filter.min_samples=0"]
SETTINGS = (  # preset, settings over it
    ("default", ()),
    ("default", ("crop.seen=0.25",)),
    ("default", ("crop.shape=box",)),
    ("default", ("crop.max_side=96",)),
    ("default", ("crop.labels=window",)),
    ("default", ("crop.labels=own",)),
    ("default", ("crop.labels=own", "merge.threshold=0.2")),
    ("default", ("crop.labels=own", "merge.threshold=0.05")),
    ("default", ("crop.labels=own", "merge.bridge=16")),
    ("default", ("crop.labels=own", "crop.shape=box")),
    ("meva-37", ()),
    ("tinyvirat", ()),
    ("tinyvirat-v2", ()),
    ("tinyvirat-v2", ("labels.meva=meva-to-tinyvirat",)),
)


def measure(data: Path, folder: Path, workers: int) -> pd.DataFrame:
    """One row a setting, as :func:`tinyvirat_build.ask.sweep.sweep` gives them."""
    rows = []
    for i, (preset, overrides) in enumerate(SETTINGS):
        settings = Settings.load(preset, overrides=[*ALL, *overrides])
        request = Request(("meva",), data, folder / str(i), settings, workers=workers, quiet=True)
        row = sweep(request, []).iloc[0].to_dict()
        name = f"preset {preset}" if preset != "default" or not overrides else ""
        rows.append({"setting": " ".join(filter(None, (name, *overrides)))} | row)
    return pd.DataFrame(rows)


def nearness(build: tvb.Build) -> Counter[str]:
    """How many incomplete clips lack a neighbour that overlaps not, too little, or too shortly."""
    clips, activities, boxes = map(build.table, ("clips_filtered", "activities", "boxes"))
    found = audit.completeness(clips, activities, boxes)
    lacking = clips[~found["complete"].to_numpy(bool)].assign(
        missing=found["missing"][~found["complete"]].to_numpy()
    )
    settings, counts = build.settings.merge, Counter()
    numbered = lacking.assign(row=range(len(lacking)))
    for _, (rows, activity_rows, box_rows) in each_video(numbered, activities, boxes):
        own, boxes_of = read_activities(activity_rows), read_boxes(box_rows)
        place = {name: i for i, name in enumerate(own.ids)}
        for clip in lacking.iloc[rows.ints("row")].to_dict("records"):
            best = 0.0
            for other in range(len(own)):
                if not set(clip["missing"]).intersection(own.labels[other]):
                    continue
                for member in map(place.__getitem__, clip["activities"]):
                    start = max(clip["start"], own.start[other], own.start[member])
                    end = min(clip["end"], own.end[other], own.end[member])
                    if start < end:
                        pair = (reach(boxes_of, own.actors[i], start, end) for i in (other, member))
                        best = max(best, float(np.max(geometry.overlap(*pair, settings.measure))))
            counts["none" if best == 0 else "less" if best < settings.threshold else "short"] += 1
    return counts


def reach(boxes: ActorBoxes, actors: tuple[str, ...], start: int, end: int) -> geometry.Floats:
    """The union of actors' boxes on each frame, ``(4, end - start)``."""
    found = geometry.no_reach(end - start)
    for code in boxes.codes(actors):
        (at,), (n,) = boxes.rows(*(np.array([value]) for value in (code, start, end)))
        place = boxes.frame[at : at + n] - start
        found[:, place] = np.maximum(found[:, place], boxes.reach[:, at : at + n])
    return found


def render(table: pd.DataFrame) -> str:
    """The table in the order of the settings."""
    head = f"{'setting':<50}{'clips':>6}{'frames':>7}{'labels':>7}{'complete':>9}{'pure':>8}"
    head += f"{'unmapped':>9}{'too_large':>10}{'lost':>9}"
    lines = [
        f"{r['setting']:<50}{int(r['clips']):>6,}{r['frames']:>7.1f}{r['labels']:>7.2f}"
        f"{r['complete']:>9.2%}{r['pure']:>8.2%}{int(r['unmapped']):>9,}{int(r['too_large']):>10,}"
        f"{int(r['lost']):>9,}"
        for r in table.to_dict("records")
    ]
    return "\n".join([head, *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a folder with MEVA's annotations")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(render(measure(args.data, Path(folder), args.workers)))
        build = tvb.build(
            "meva", Path(folder) / "own", data=args.data, until="filter",
            settings={"meva.sets": ["kitware"], "filter.min_samples": 0, "crop.labels": "own"},
            workers=args.workers,
        )  # fmt: skip
        counts = nearness(build)
    threshold = build.settings.merge.threshold
    print(
        f"\nWith crop.labels=own the {sum(counts.values())} incomplete clips lack the label of a "
        f"neighbour whose box overlaps\nnone of theirs ({counts['none']}), by less than "
        f"{threshold} ({counts['less']}), or by {threshold} on too few frames ({counts['short']})."
    )


if __name__ == "__main__":
    main()
