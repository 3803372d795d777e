"""The other benchmarks on this tree and on another commit, in turns, in one run.

    python bench/beside.py COMMIT [--data MEVA] [--only plan cut load]

Each script is the tree's own, so that both are asked what they were asked then. Of what they print
the lines with a figure of ours are shown, one tree's beside the other's.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
ARGS = {
    "plan": ["--repeat", "3", "--videos", "8"],
    "cut": ["--runs", "1"],
    "load": ["--clips", "60", "--rounds", "1"],
}
STAGES = "parse|merge|segment|chunk|crop|partition|filter|all"
OURS = re.compile(rf"^ *(({STAGES}) +[\d.]+ s|Pipeline|\(a\)|pack|opencv)")


def main() -> None:
    """Run each script on both trees, one right after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("commit")
    parser.add_argument("--data", type=Path, help="MEVA's annotations, for plan")
    parser.add_argument("--only", nargs="+", choices=ARGS, default=list(ARGS))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "archive", args.commit], cwd=REPO, stdout=subprocess.PIPE, check=True
        )
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        for name in args.only:
            more = [str(args.data.resolve())] if name == "plan" and args.data else []
            for title, tree in ((args.commit, Path(folder)), ("this tree", REPO)):
                print(f"{name}, {title}", flush=True)
                said = subprocess.run(
                    [sys.executable, tree / "bench" / f"{name}.py", *more, *ARGS[name]],
                    cwd=tree, env=os.environ | {"PYTHONPATH": str(tree)},
                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True,
                ).stdout  # fmt: skip
                print("".join(f"  {line}\n" for line in said.splitlines() if OURS.match(line)))


if __name__ == "__main__":
    main()
