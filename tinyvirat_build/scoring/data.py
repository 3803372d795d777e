"""What data results are of, in the words of a table."""

from __future__ import annotations

from pathlib import Path

import yaml

from tinyvirat_build.errors import DataError
from tinyvirat_build.store.userfiles import load_yaml


def scored_on(build: Path, split: str) -> str:
    """Sources, preset and split of a build; the folder's name where it is a pack alone.

    As in "demo (default), test"; a build of a part of the videos says so.

    Raises:
        DataError: its build.yaml cannot be read.
    """
    folder = build.resolve()
    if folder.name == "pack" and not (folder / "build.yaml").exists():
        folder = folder.parent
    file = folder / "build.yaml"
    if not file.exists():
        return f"pack {folder.name}, {split}"
    try:
        tree = load_yaml(file.read_text("utf-8"))
        sources = " + ".join(Path(str(name)).stem for name in tree["sources"])
        preset, limit = tree["settings"]["preset"], tree.get("limit")
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as e:
        what = " ".join(str(e).split())
        raise DataError(f"{file}: cannot be read ({what}); restore it, or build anew") from e
    part = f", first {limit} videos" if limit else ""
    return f"{sources} ({preset}{part}), {split}"
