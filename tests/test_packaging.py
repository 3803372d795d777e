from __future__ import annotations

import configparser
from pathlib import Path

from tinyvirat_build.settings import annotations_dir

REPO = Path(__file__).resolve().parent.parent


def test_every_data_file_is_shipped_inside_the_wheel() -> None:
    setup = configparser.ConfigParser()
    setup.read(REPO / "setup.cfg")
    patterns = setup["options.package_data"]["tinyvirat_build"].split()
    package = REPO / "tinyvirat_build"
    shipped = {p.resolve() for pattern in patterns for p in package.glob(pattern) if p.is_file()}
    data = {p.resolve() for p in (REPO / "annotations").rglob("*") if p.is_file()}
    data |= {
        p
        for p in package.resolve().rglob("*.*")
        if "__pycache__" not in p.parts and p.suffix != ".py"
    }
    assert data <= shipped


def test_the_source_archive_holds_what_a_user_needs_to_build_and_test() -> None:
    taken = (REPO / "MANIFEST.in").read_text().split()
    for path in ("annotations", "bench", "docs", "tests", "Makefile", "constraints.txt"):
        assert (REPO / path).exists()
        assert path in taken


def test_a_checkout_reads_the_top_levels_data() -> None:
    assert annotations_dir().resolve() == REPO / "annotations"
