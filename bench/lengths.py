"""What each ``chunk.remainder`` makes of drawn lengths: how uniform, how long, how many frames.

python bench/lengths.py [BUILD ...]     # segments of builds, beside made ones
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from tinyvirat_build import store
from tinyvirat_build.settings import Chunk
from tinyvirat_build.stages.chunk import cut_points

LOW, HIGH = 40, 150  # frames, of the released TinyVIRAT
SEEDS = 10


def distance(lengths: np.ndarray) -> float:
    """The largest distance from the uniform distribution on LOW … HIGH (Kolmogorov-Smirnov)."""
    at = np.arange(LOW, HIGH + 1)
    found = np.searchsorted(np.sort(lengths), at, side="right") / len(lengths)
    return float(np.abs(found - (at - LOW + 1) / len(at)).max())


def table(name: str, segments: np.ndarray) -> None:
    segments = segments[segments >= LOW]
    print(
        f"{name}: {len(segments):,} segments of {LOW} frames and more, {segments.mean():.1f} mean"
    )
    for remainder in ("drop", "keep", "balance"):
        settings = Chunk(lengths=(LOW, HIGH), remainder=remainder, min_frames=LOW)
        parts = np.concatenate(
            [
                np.diff(cut_points(int(n), settings, (seed, i)))
                for seed in range(SEEDS)
                for i, n in enumerate(segments)
            ]
        )
        kept = parts[parts >= LOW]
        print(
            f"  {remainder:8} mean {kept.mean():5.1f}  frames kept "
            f"{kept.sum() / SEEDS / segments.sum():4.0%}  distance {distance(kept):.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("builds", nargs="*", type=Path)
    made = np.random.default_rng(0).exponential(460, 2000).astype(int) + LOW
    table("made", made)
    for build in parser.parse_args().builds:
        found = store.read_table(build / "tables" / "segments.parquet")
        table(str(build), (found["end"] - found["start"]).to_numpy())


if __name__ == "__main__":
    main()
