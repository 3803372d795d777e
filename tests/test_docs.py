"""What the documentation tells one to type is typed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import crossing
import pytest

DOCS = Path(__file__).parents[1] / "docs"


def commands(page: str, heading: str) -> str:
    """The shell blocks below a heading of a page, as one script."""
    text = (DOCS / page).read_text()
    _, section = text.split(f"## {heading}\n")
    return "".join(re.findall(r"```sh\n(.*?)```", section.split("\n## ")[0], re.DOTALL))


@pytest.mark.slow
def test_from_a_cvat_export_to_a_trained_baseline(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the extra train is not installed")
    crossing.make(tmp_path / "crossing")
    script = commands("corpus.md", "From a CVAT export to a trained baseline")
    assert script.count("tinyvirat-build ") == 6
    program = f'tinyvirat-build() {{ "{sys.executable}" -m tinyvirat_build "$@"; }}\n'
    done = subprocess.run(
        ["bash", "-euc", program + script],
        cwd=tmp_path,
        env=os.environ | {"COLUMNS": "100"},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Ready to build." in done.stdout
    assert "every pixel is equal" in done.stdout
    assert (tmp_path / "built" / "report.html").is_file()
    assert re.search(r"\| run \| \d\.\d\d ", done.stdout)
