"""Fixtures that many tests share."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from builds import DEMO, made_once
from hypothesis import Phase, settings

import tinyvirat_build as tvb

# The same examples in every run, so that a run says what was changed and not what was drawn;
# HYPOTHESIS_PROFILE=explore draws new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("explore")
# For `make mutants`: any failure is enough, which to make small takes minutes, and of the examples
# the first few (below), as thousands of mutants are tried.
settings.register_profile("mutants", derandomize=True, phases=(Phase.explicit, Phase.generate))
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "same")
settings.load_profile(PROFILE)

if "PYTEST_XDIST_WORKER" in os.environ:
    # There are workers for all processors: threads of PyTorch would wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

REPO = Path(__file__).resolve().parent.parent

# Files that take longest, first: a file is one worker's, and what begins last would end alone.
LONGEST = (
    "tests/train/test_demo.py",
    "tests/test_docs.py",
    "tests/pipeline/test_pipeline.py",
    "tests/pipeline/test_work.py",
    "tests/formats/test_real.py",
    "tests/cli/test_doors.py",
    "tests/train/test_fit.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    at = {REPO / path: i for i, path in enumerate(LONGEST)}
    items.sort(key=lambda item: at.get(item.path, len(at)))
    for item in items if PROFILE == "mutants" else ():
        test = getattr(item, "obj", None)
        own = getattr(test, "_hypothesis_internal_use_settings", None)
        if own is not None and test is not None:
            fewer = settings(own, max_examples=min(own.max_examples, 15))
            test._hypothesis_internal_use_settings = fewer


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave helpers and programs alone, which the search for examples would import."""
    program = collection_path.suffix == ".py" and not collection_path.name.startswith("test_")
    return program or None


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real samples beside the repository; tests that need it skip without it."""
    folder = REPO.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("the folder of real samples (../shared) is not on this machine")
    return folder


@pytest.fixture(scope="session")
def demo_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo corpus at a tenth of its size; no test changes it."""
    return made_once(
        tmp_path_factory,
        "demo-data",
        lambda folder: tvb.build(
            "demo", folder.with_name("demo-index"), data=folder, settings=DEMO, until="index"
        ),
    )


@pytest.fixture(scope="session")
def demo(demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tvb.Build:
    """The small demo corpus built; a test that changes it takes a copy."""
    out = made_once(
        tmp_path_factory,
        "demo",
        lambda folder: tvb.build("demo", folder, data=demo_data, settings=DEMO, workers=2),
    )
    return tvb.open_build(out)


@pytest.fixture
def client(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Run a script of tests/clients with the libraries of `make clients`; it prints JSON."""
    python = REPO / ".venv-clients" / "bin" / "python"
    if not python.exists():
        pytest.skip("the libraries that read exports are not installed; `make clients` does it")
    home = tmp_path_factory.mktemp("client")
    alone = {
        "HOME": str(home),
        "TMPDIR": str(home),
        "PATH": os.environ["PATH"],
        "HF_HUB_OFFLINE": "1",
    }
    alone |= {"FIFTYONE_DISABLE_SERVICES": "1", "FIFTYONE_DO_NOT_TRACK": "1"}

    def run(script: str, *args: str | Path) -> Any:
        call = [python, REPO / "tests" / "clients" / script, *args]
        done = subprocess.run(
            call, env=alone, cwd=home, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    if os.geteuid() or not shutil.which("mount") or subprocess.run(mount, check=False).returncode:
        pytest.skip("a small disk can be mounted by root alone")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)
