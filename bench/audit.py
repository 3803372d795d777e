"""Memory and time of an audit, of a few videos and of ten and forty times as many.

    python bench/audit.py [--videos 24]

The corpora are synthetic (those of bench/plan.py), planned and not cut. Each audit runs in a
process of its own, whose peak memory is printed beside that of a process that only loads the
package.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tinyvirat_build as tvb

sys.path.insert(0, str(Path(__file__).resolve().parent))

from plan import write_synthetic

FRAMES = 3000  # of each video
TIMES = (1, 10, 40)


def audit(out: Path | None) -> str:
    """What an audit of a build takes, in a fresh process: clips, seconds, MiB."""
    began = time.perf_counter()
    clips = len(tvb.open_build(out).audit().completeness) if out else 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"{clips} {time.perf_counter() - began:.2f} {peak:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=24)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        print(audit(args.one if args.one.name else None))
        return
    print(f"{'videos':>8}{'clips':>9}{'seconds':>9}{'peak MiB':>10}")
    with tempfile.TemporaryDirectory() as folder:
        for times in (0, *TIMES):
            out = Path(folder) / f"out{times}" if times else Path()
            if times:
                data = Path(folder) / f"data{times}"
                write_synthetic(data, args.videos * times, FRAMES)
                rules = {"filter.min_samples": 0}
                tvb.build("meva", out, data=data, until="filter", settings=rules)
            command = [sys.executable, __file__, "--one", str(out)]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            clips, seconds, peak = said.split()
            print(f"{args.videos * times:>8,}{int(clips):>9,}{seconds:>9}{peak:>10}")


if __name__ == "__main__":
    main()
