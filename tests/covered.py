"""How much of each room the tests cover: run after ``pytest --cov``, whose data it reads."""

from __future__ import annotations

import json
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Final

import coverage

ROOMS: Final = ("formats", "stages", "video", "released", "pack")
LEAST: Final = 90.0  # per cent of a room's statements and branches
_COVERED: Final = {"statements": "covered_lines", "branches": "covered_branches"}


def main() -> None:
    """Print a line a room, and say which is under the least."""
    data = coverage.Coverage()
    data.load()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "coverage.json"
        data.json_report(outfile=str(file))
        files = json.loads(file.read_text())["files"]
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for name, found in files.items():
        numbers = {k: v for k, v in found["summary"].items() if isinstance(v, int)}
        counts[Path(name).relative_to("tinyvirat_build").parts[0]].update(numbers)
    for room in ROOMS:
        share = _share(counts[room], "statements", "branches")
        branches = _share(counts[room], "branches")
        under = f"   under {LEAST:.0f} %" if share < LEAST else ""
        print(f"{room:<10}{share:5.1f} % covered, of its branches {branches:.1f} %{under}")


def _share(counts: Counter[str], *what: str) -> float:
    """Per cent that is covered of statements, branches or both."""
    covered = sum(counts[_COVERED[one]] for one in what)
    return 100 * covered / max(1, sum(counts[f"num_{one}"] for one in what))


if __name__ == "__main__":
    main()
