"""Is a build of this tree, byte for byte, that of another commit?

    python bench/same_bytes.py COMMIT              # the demo corpus, from rendering to report
    python bench/same_bytes.py COMMIT --data MEVA  # and the plan of MEVA's evaluation set

Compared are clips, dataset, truth, pack, statistics, report and tables. Set aside are what says
by which settings and versions a build was made: ``build.yaml``, the units, and in a table's
footer the key that it was written under.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq

REPO = Path(__file__).resolve().parent.parent
ASIDE = ("units", "log", "build.yaml", ".lock")
DEMO = ["all", "--source=demo", "--set=demo.scale=0.2", "--set=filter.min_samples=2"]
PLAN = ["all", "--source=meva", "--set=meva.sets=kitware", "--until=filter"]


def content(path: Path) -> object:
    """What is compared of a file: its bytes; of a table all but its key."""
    data = path.read_bytes()
    if path.suffix != ".parquet":
        return data
    footer = int.from_bytes(data[-8:-4], "little")
    return data[: -8 - footer], pq.read_schema(path).remove_metadata()


def files(out: Path) -> dict[str, Path]:
    """The files of a build that are compared."""
    found = {p.relative_to(out).as_posix(): p for p in sorted(out.rglob("*")) if p.is_file()}
    return {name: p for name, p in found.items() if not name.startswith(ASIDE)}


def build(tree: Path, args: list[str], data: Path, out: Path) -> None:
    """Build with the package that lies in ``tree``."""
    command = [sys.executable, "-m", "tinyvirat_build", *args, "--data", data, "--out", out]
    environment = os.environ | {"PYTHONPATH": str(tree)}
    subprocess.run([*map(str, command), "--quiet"], env=environment, cwd=tree, check=True)


def differences(a: Path, b: Path) -> list[str]:
    """The files that only one of two builds has, or that differ."""
    ours, theirs = files(a), files(b)
    return [
        name
        for name in sorted(ours.keys() | theirs.keys())
        if name not in ours or name not in theirs or content(ours[name]) != content(theirs[name])
    ]


def main() -> None:
    """Build with both trees and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("commit")
    parser.add_argument("--data", type=Path)
    args = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "tree").mkdir()
        archive = subprocess.run(
            ["git", "archive", args.commit], cwd=REPO, stdout=subprocess.PIPE, check=True
        )
        subprocess.run(["tar", "-x", "-C", root / "tree"], input=archive.stdout, check=True)
        jobs = [("demo", DEMO, root / "data")]
        if args.data:
            jobs.append(("meva", PLAN, args.data.resolve()))
        for name, what, data in jobs:
            build(root / "tree", what, data, root / name / "theirs")
            build(REPO, what, data, root / name / "ours")
            found = differences(root / name / "ours", root / name / "theirs")
            total = len(files(root / name / "ours"))
            print(f"{name}: {total - len(found):,} of {total:,} files are those of {args.commit}")
            print("".join(f"  {one}\n" for one in found[:20]), end="")
            failed = failed or bool(found) or not total
    sys.exit(failed)


if __name__ == "__main__":
    main()
