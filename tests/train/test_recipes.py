"""The recipes of docs/training.md for other training libraries, run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from loader.synthetic import Shape, make_pack  # noqa: E402

PAGE = Path(__file__).parents[2] / "docs" / "training.md"
CLASSES = tuple(f"class{i}" for i in range(26))


def recipe(library: str) -> str:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    [found] = [b for b in blocks if re.search(rf"^(import|from) {library}\b", b, re.MULTILINE)]
    return str(found)


@pytest.fixture(autouse=True)
def _pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = [Shape(9, 20, 22, labels=(i % 5,)) for i in range(40)]
    make_pack(tmp_path / "OUT" / "pack", shapes, classes=CLASSES)
    monkeypatch.chdir(tmp_path)


@pytest.mark.filterwarnings("default")  # of those libraries' own
@pytest.mark.parametrize(
    ("library", "states"), [("lightning", "*.ckpt"), ("accelerate", "custom_checkpoint_0.pkl")]
)
def test_a_recipe_trains_and_keeps_the_loaders_place(library: str, states: str) -> None:
    pytest.importorskip(library, reason=f"{library} is not installed")
    scope: dict[str, Any] = {"__name__": "recipe"}
    exec(compile(recipe(library), library, "exec"), scope)
    [file] = sorted(Path.cwd().rglob(states))
    state = str(torch.load(file, weights_only=False))
    assert "'samples': 0" in state
    assert "'epoch': 3" in state
