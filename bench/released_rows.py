"""TinyVIRAT's VIRAT half against its published rows and class counts, by several rules.

    python bench/released_rows.py DATA ROWS COUNTS

DATA holds UMD-v1's annotations of VIRAT videos (MEVA's repository, ``contrib``), ROWS are published
rows with their place (``val_id,video,umd_activity_ids,first,last,T,side,labels,how``), COUNTS a
JSON of published clips a class and split. UMD has annotated nine of the classes alone, and DATA
may hold a part of the videos alone: what is compared are rows of videos that it holds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

import tinyvirat_build as tvb

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from tinyvirat_rows import judge, read_rows

FORMER = {  # the preset before the rule of the released rows was known
    "parse.last": "format", "merge.touch": "overlap_or_actor", "chunk.overlap": 0,
    "chunk.remainder": "drop", "crop.grid": "even", "crop.enlarge": 1.0,
}  # fmt: skip
RULES = {
    "same_boxes: ignore": {},
    "same_boxes: join": {"virat.same_boxes": "join"},
    "touch: overlap_or_actor": {"merge.touch": "overlap_or_actor"},
    "the former preset": FORMER,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("rows", type=Path)
    parser.add_argument("counts", type=Path)
    args = parser.parse_args()
    rows, published = read_rows(args.rows), json.loads(args.counts.read_text())
    counts = {}
    print(
        f"{'rule':<26}{'clips':>6}{'frames':>8}{'place and side':>16}{'labels too':>12}  rows lost"
    )
    for name, settings in RULES.items():
        with tempfile.TemporaryDirectory() as folder:
            build = tvb.build(
                "virat", folder, data=args.data, preset="tinyvirat", until="partition",
                settings={"filter.min_samples": 0, **settings},
            )  # fmt: skip
            clips = build.table("clips_partitioned")
            judged = list(judge(rows, build))
            videos = len(build.table("videos"))
        had, named = sum(one.had for one in judged), sum(one.labelled for one in judged)
        lost = " ".join(one.row.number for one in judged if not one.had)
        frames = int((clips["end"] - clips["start"]).sum())
        print(f"{name:<26}{len(clips):>6}{frames:>8,}{had:>13} of {len(rows)}{named:>9}  {lost}")
        split = ["test" if one == "test" else "train" for one in clips["split"]]
        counts[name] = Counter(
            (label, s) for own, s in zip(clips["labels"], split, strict=True) for label in own
        )
    print(f"\nClips of a class: of the {videos} videos at hand, and published of all")
    print(f"{'class':<28}{'':6}{'this rule':>10}{'former':>8}{'published':>11}")
    this, former = counts["same_boxes: ignore"], counts["the former preset"]
    for label in sorted({label for label, _ in this} & published.keys()):
        for s in ("train", "test"):
            print(
                f"{label if s == 'train' else '':<28}{s:<6}{this[label, s]:>10}"
                f"{former[label, s]:>8}{published[label][f'v1_{s}']:>11,}"
            )


if __name__ == "__main__":
    main()
