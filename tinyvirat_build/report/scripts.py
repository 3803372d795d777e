"""Data as scripts, for a page that is opened from disk may not fetch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from tinyvirat_build import store

FOLDER: Final = "report"  # beside report.html
DATA: Final = f"{FOLDER}/data"
_OWN: Final = ("report.js", "report.css")


def script(name: str, value: Any) -> str:
    """A script that hands a value to the page under a name.

    It is ASCII, so that no reading of its encoding can change it.

    >>> script("clips", {"id": ["é"]})
    'tvb("clips",{"id":["\\\\u00e9"]});\\n'
    """
    said = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return f"tvb({json.dumps(name)},{said});\n"


def write_scripts(folder: Path, scripts: Iterable[tuple[str, Any]]) -> None:
    """Write scripts in a folder of their own, which takes its place whole."""
    with store.atomic_folder(folder) as partial:
        for name, value in scripts:
            (partial / f"{name}.js").write_text(script(name, value), "ascii")


def write_own(out: Path) -> None:
    """Put the page's program and style beside it."""
    for name in _OWN:
        store.write_bytes(out / FOLDER / name, (templates() / name).read_bytes())


def templates() -> Path:
    """The folder of the page's template, program and style."""
    return Path(__file__).parent / "templates"


def remove(folder: Path) -> None:
    """Delete what a page of earlier settings had."""
    shutil.rmtree(folder, ignore_errors=True)
