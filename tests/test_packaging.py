from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

import tinyvirat_build as tvb
from tinyvirat_build.settings import annotations_dir

REPO = Path(__file__).resolve().parent.parent
MINIMUMS = REPO / "constraints-minimums.txt"


def setup_cfg() -> configparser.ConfigParser:
    setup = configparser.ConfigParser()
    setup.read(REPO / "setup.cfg")
    return setup


def test_every_data_file_is_shipped_inside_the_wheel() -> None:
    patterns = setup_cfg()["options.package_data"]["tinyvirat_build"].split()
    package = REPO / "tinyvirat_build"
    shipped = {p.resolve() for pattern in patterns for p in package.glob(pattern) if p.is_file()}
    data = {p.resolve() for p in (REPO / "annotations").rglob("*") if p.is_file()}
    data |= {
        p
        for p in package.resolve().rglob("*.*")
        if "__pycache__" not in p.parts and p.suffix != ".py"
    }
    assert data <= shipped


def test_a_checkout_reads_the_top_levels_data() -> None:
    assert annotations_dir().resolve() == REPO / "annotations"


def test_the_version_stands_in_one_place_and_the_citation_follows() -> None:
    assert setup_cfg()["metadata"]["version"] == "attr: tinyvirat_build.__version__"
    assert yaml.safe_load((REPO / "CITATION.cff").read_text())["version"] == tvb.__version__
    assert f"## {tvb.__version__}" in (REPO / "CHANGELOG.md").read_text()


def test_the_minimums_are_the_lower_bounds() -> None:
    bounds = dict(line.split(">=") for line in setup_cfg()["options"]["install_requires"].split())
    pins = re.findall(r"^([\w-]+)==(\S+)", MINIMUMS.read_text(), re.MULTILINE)
    assert dict(pins) == bounds


@pytest.mark.slow
def test_wheel_and_sdist_build_the_demo_without_the_repository(tmp_path: Path) -> None:
    pytest.importorskip("build", reason="the package build is not installed")
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in ("annotations", "bench", "docs", "tests", "tinyvirat_build"):
        shutil.copytree(REPO / name, clone / name, symlinks=True)
    for path in REPO.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, clone)
    made = tmp_path / "dist"
    run(sys.executable, "-m", "build", "--outdir", made, clone, where=tmp_path)
    (sdist,), (wheel,) = made.glob("*.tar.gz"), made.glob("*.whl")
    assert tvb.__version__ in wheel.name

    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    for path in ("Makefile", "constraints.txt", "CITATION.cff", "mkdocs.yml", "docs/guide.md"):
        assert path in inside
    assert "tests/test_packaging.py" in inside
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    assert "tinyvirat_build/annotations/presets/default.yaml" in inside
    assert not [name for name in inside if name.startswith(("tests/", "docs/", "bench/"))]

    run(sys.executable, "-m", "venv", "--without-pip", "alone", where=tmp_path)
    python = tmp_path / "alone" / "bin" / "python"
    run(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet"),
        *("-c", MINIMUMS, wheel),
        where=tmp_path,
    )
    shutil.rmtree(clone)
    program = python.with_name("tinyvirat-build")
    assert tvb.__version__ in run(program, "--version", where=tmp_path)
    sets = [f"--set={name}" for name in ("demo.scale=0.1", "filter.min_samples=1")]
    run(program, "all", "--source", "demo", "--out", "demo", *sets, where=tmp_path)
    assert "every pixel is equal" in run(program, "verify", "--out", "demo", where=tmp_path)
    run(program, "export", "--to", "huggingface", "--out", "demo", where=tmp_path)
    assert (tmp_path / "demo" / "report" / "report.js").is_file()

    run(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet"),
        *("--no-deps", "--force-reinstall", sdist),
        where=tmp_path,
    )
    (record,) = (tmp_path / "alone").rglob("tinyvirat_build-*.dist-info/direct_url.json")
    assert sdist.name in record.read_text()  # not the wheel any more
    run(program, "all", "--source", "demo", "--out", "again", *sets, where=tmp_path)
    assert "every pixel is equal" in run(program, "verify", "--out", "again", where=tmp_path)


def run(*call: str | Path, where: Path) -> str:
    """What a program prints that knows nothing of this checkout."""
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(call, cwd=where, env=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
