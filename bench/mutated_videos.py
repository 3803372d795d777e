"""Broken videos: no clip shows another frame than its own, unless it is marked.

Run it with

    python bench/mutated_videos.py [--count 5000] [--seed 0] [--first 0] [--workers 2]
    python bench/mutated_videos.py --keep DIR --first 17 --count 1

Numbered videos in eight pairs of container and codec, bytes of which are cut, doubled, zeroed,
overwritten or moved (:mod:`tests.video.mutated` says what is right). Printed is every failure with
its number, which makes it again, and a count of each verdict. ``--keep`` leaves the files.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from video.mutated import CONTAINERS, FAILURES, PAIRS, attempts, mutate, summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="write the mutants here, and do no more")
    parser.add_argument("--show", nargs="*", default=[], help="print those of other verdicts too")
    options = parser.parse_args()
    numbers = range(options.first, options.first + options.count)
    with tempfile.TemporaryDirectory() as folder:
        lab = Path(folder)
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            for number in numbers:
                suffix = CONTAINERS[PAIRS[number % len(PAIRS)][0]][0]
                path = options.keep / f"{number}{suffix}"
                print(path, *mutate(number, options.seed, lab, path))
            return
        found = []
        for mutant in attempts(numbers, options.seed, lab, options.workers):
            found.append(mutant)
            if mutant.verdict in (*FAILURES, *options.show):
                what = f"{'-'.join(mutant.pair)} {'+'.join(mutant.kinds)}"
                print(f"{mutant.number:5d} {mutant.verdict:9s} {what}: {mutant.detail[:160]}")
                sys.stdout.flush()
    print("\n".join(summary(found)))
    sys.exit(any(m.verdict in FAILURES for m in found))


if __name__ == "__main__":
    main()
