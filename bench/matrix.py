"""Every cell of the matrix of awkward videos: container, codec, and what befell the file.

Run it with

    python bench/matrix.py [--only PART …] [--workers 2] [--wrong] [--write]

It renders each video with numbered frames, asks the ffmpeg program and OpenCV what they show, cuts
all of it into clips, lets verify look at them, and prints what came of each cell: exact, marked
(clips at the damage are refused, with the reason), refused (with the reason), or wrong. ``--write``
puts the table into docs/formats.md, where nothing failed.
"""

from __future__ import annotations

import argparse
import collections
import multiprocessing
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from pebble import ProcessPool

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from video.matrix import Cell, Result, cells, run
from video.verdicts import failure, table

DOCS = Path(__file__).resolve().parent.parent / "docs" / "formats.md"
BEGIN, END = "<!-- written by bench/matrix.py --write -->", "<!-- end -->"
LIMIT = 60  # seconds a cell


def attempts(chosen: Sequence[Cell], lab: Path, workers: int) -> Iterator[Result]:
    """Results in order; a cell that crashes or takes longer than the limit is an error."""
    context = multiprocessing.get_context("spawn")
    with ProcessPool(workers, context=context) as pool:
        waiting = [pool.schedule(run, args=(cell, lab), timeout=LIMIT) for cell in chosen]
        for cell, future in zip(chosen, waiting, strict=True):
            try:
                yield future.result()
            except Exception as e:
                yield Result(cell, "error", (), f"{type(e).__name__}: {e}", "", "same")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="*", default=[], help="cells whose name has all of these")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--wrong", action="store_true", help="print failures alone")
    parser.add_argument("--write", action="store_true", help="the table of docs/formats.md")
    options = parser.parse_args()
    chosen = [c for c in cells() if all(part in c.name for part in options.only)]
    results: list[Result] = []
    failed = 0
    with tempfile.TemporaryDirectory() as lab:
        for result in attempts(chosen, Path(lab), options.workers):
            results.append(result)
            fault = failure(result)
            failed += fault is not None
            if options.wrong and fault is None:
                continue
            text = fault or ", ".join(result.reasons)
            print(f"{result.cell.name:40s} {result.mark:8s} OpenCV {result.opencv:5s} {text[:230]}")
    if options.write and not options.only and not failed:
        head, _, rest = DOCS.read_text("utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        DOCS.write_text(f"{head}{BEGIN}\n{table(results)}\n{END}{after}", "utf-8")
    counts = collections.Counter(r.mark for r in results)
    print(f"{len(results)} cells: " + ", ".join(f"{n} {mark}" for mark, n in counts.most_common()))
    print(f"{failed} failures")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
