"""Fixtures that many tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real samples beside the repository; tests that need it skip without it."""
    folder = REPO.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("the folder of real samples (../shared) is not on this machine")
    return folder
