from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PINS = Path(__file__).with_name("requirements.txt")


@pytest.mark.slow
def test_every_client_is_there_as_pinned(client: Callable[..., Any]) -> None:
    pinned = dict(line.split("==") for line in PINS.read_text().split() if "==" in line)
    pinned = {name.lower().replace("_", "-"): version for name, version in pinned.items()}
    found = client("installed.py")
    assert found == {name: pinned[name] for name in found}
    assert len(found) == 9
