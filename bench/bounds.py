"""What files that ask for much cost: time and peak memory of each shape, in one run.

    python bench/bounds.py [SHAPE …] [--size 1.0] [--memory 1024]

Each shape (`tests/shapes.py`) is one video with an ordinary one beside it, planned from nothing to
``filter`` in a process of its own, whose address space may grow by ``--memory`` MiB beyond what
the program takes when it has loaded. Printed are seconds, the memory beyond that, and what came
out: clips, and whether the video was refused by a bound.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import shapes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shapes", nargs="*", help="default: all")
    parser.add_argument("--size", type=float, default=1.0)
    parser.add_argument("--memory", type=int, default=1024, help="MiB")
    args = parser.parse_args()
    print(f"{'shape':<22}{'seconds':>9}{'MiB':>7}{'clips':>8}  refused")
    for name in args.shapes or shapes.SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            shapes.write(Path(folder) / "data", name, args.size)
            found = shapes.planned(Path(folder), args.memory)
        print(
            f"{name:<22}{found['seconds']:>9.1f}{found['memory']:>7.0f}{found['clips']:>8,}  "
            + " ".join(found["refused"]),
            flush=True,
        )


if __name__ == "__main__":
    main()
