"""What each ``chunk.remainder`` makes of drawn lengths, beside those of published rows.

    python bench/lengths.py [--data DATA] [--rows ROWS] [BUILD ...]

Segments are those of UMD-v1's annotations of VIRAT videos (DATA, ``contrib`` of MEVA's repository),
of builds, and made ones. Printed are how many clips there are and how long, what share of the
frames they have, how many segments of 40 frames and more give none, and the distance (the largest
between two distributions of lengths) from the uniform one and from the rows' (ROWS, a CSV file
with a column ``T``).
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path

import numpy as np

import tinyvirat_build as tvb
from tinyvirat_build import geometry, store
from tinyvirat_build.settings import Chunk
from tinyvirat_build.stages.chunk import chunk_spans

LOW, HIGH = 40, 150  # frames, of the released TinyVIRAT
SEEDS = 10
RULES = (("whole", 20), ("whole", 0), ("drop", 0), ("keep", 0), ("balance", 0))


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """The largest distance between two distributions of lengths (Kolmogorov-Smirnov)."""
    at = np.arange(LOW, HIGH + 1)
    shares = [np.searchsorted(np.sort(x), at, side="right") / len(x) for x in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


def table(name: str, segments: np.ndarray, rows: np.ndarray | None) -> None:
    segments = segments[segments >= LOW]
    print(
        f"{name}: {len(segments):,} segments of {LOW} frames and more, {segments.mean():.1f} mean\n"
        f"  {'remainder, overlap':<20}{'clips':>8}{'mean':>7}{'frames kept':>13}"
        f"{'without clip':>14}{'from uniform':>14}{'from rows':>11}"
    )
    for remainder, overlap in RULES:
        rule = Chunk(lengths=(LOW, HIGH), remainder=remainder, overlap=overlap, min_frames=LOW)
        lengths, kept, none = [], 0, 0
        for seed in range(SEEDS):
            for i, n in enumerate(segments.tolist()):
                spans = [s for s in chunk_spans(n, rule, (seed, i)) if s[1] - s[0] >= LOW]
                covered = geometry.Covered(0, n)
                kept += sum(covered.add(*span) for span in spans)
                none += not spans
                lengths += [high - low for low, high in spans]
        drawn, uniform = np.array(lengths), np.arange(LOW, HIGH + 1)
        told = "" if rows is None else f"{distance(drawn, rows):>11.2f}"
        print(
            f"  {f'{remainder}, {overlap}':<20}{len(drawn) / SEEDS:>8,.0f}{drawn.mean():>7.1f}"
            f"{kept / SEEDS / segments.sum():>13.0%}{none / SEEDS / len(segments):>14.0%}"
            f"{distance(drawn, uniform):>14.2f}{told}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rows", type=Path)
    parser.add_argument("builds", nargs="*", type=Path)
    args = parser.parse_args()
    rows = None
    if args.rows:
        with args.rows.open(newline="") as file:
            rows = np.array([int(row["T"]) for row in csv.DictReader(file)])
        print(f"published: {len(rows)} rows, {rows.mean():.1f} frames in the mean")
    if args.data:
        with tempfile.TemporaryDirectory() as folder:
            build = tvb.build("virat", folder, data=args.data, preset="tinyvirat", until="segment")
            found = build.table("segments")
        table("UMD-v1 of VIRAT", (found["end"] - found["start"]).to_numpy(), rows)
    made = np.random.default_rng(0).exponential(460, 2000).astype(int) + LOW
    table("made", made, rows)
    for build in args.builds:
        found = store.read_table(build / "tables" / "segments.parquet")
        table(str(build), (found["end"] - found["start"]).to_numpy(), rows)


if __name__ == "__main__":
    main()
