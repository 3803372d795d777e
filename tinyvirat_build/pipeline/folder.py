"""A build's folder: whose it is, who works in it, and ``build.yaml``, which says what it is."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

import yaml

from tinyvirat_build import store
from tinyvirat_build.errors import BuildError
from tinyvirat_build.pipeline.request import Request
from tinyvirat_build.pipeline.stages import clip_tables
from tinyvirat_build.released import layout
from tinyvirat_build.sources import Entry
from tinyvirat_build.sources.afar import CACHE
from tinyvirat_build.store import PARTIAL
from tinyvirat_build.video.opening import ffmpeg_version

FORMAT: Final = 1  # of the build folder
_NOTED: Final = "log/tables.json"
FOLDERS: Final = (
    "tables",
    "units",
    "clips",
    layout.FOLDER,
    "truth",
    "pack",
    "stats",
    "report",
    "log",
    CACHE,
)
_PACKAGES: Final = ("tinyvirat-build", "av", "numpy", "pandas", "pyarrow", "shapely")


def package_version() -> str:
    """The version of the package that runs."""
    return metadata.version(_PACKAGES[0])


def table_path(out: Path, table: str) -> Path:
    """The file of a table."""
    return out / "tables" / f"{table}.parquet"


def of_video(root: Path, entry: Entry) -> Path:
    """One video's own path below a folder."""
    return root / entry.source / entry.annotation_set / entry.video_id


def unit_path(out: Path, stage: str, entry: Entry) -> Path:
    """The file of one stage's work on one video."""
    return of_video(out / "units" / stage, entry)


def versions() -> dict[str, str]:
    """The versions of this machine on which a build's bytes may depend."""
    return {p: metadata.version(p) for p in _PACKAGES} | {"ffmpeg": ffmpeg_version()}


def write_build_file(request: Request) -> bytes:
    """Write ``build.yaml``, and return what it held before, if anything.

    It has sources, settings and versions; where the data lie is this machine's affair, and stands
    apart in ``log/data.json``.

    Raises:
        BuildError: the folder is of another layout.
    """
    tree = {
        "format": FORMAT,
        "sources": list(request.sources),
        "limit": request.limit,
        "versions": versions(),
        "settings": request.settings.to_dict(),
    }
    new = yaml.safe_dump(tree, sort_keys=False).encode()
    path = request.out / "build.yaml"
    if path.is_dir():
        raise BuildError(f"{path} is a folder; move it away")
    old = path.read_bytes() if path.exists() else b""
    found = re.match(rb"format: (\d+)$", old, re.MULTILINE)
    if found and int(found[1]) != FORMAT:
        raise BuildError(other_version(path, int(found[1])))
    if old != new:
        store.write_bytes(path, new)
    data = {"data": str(request.data.resolve()) if request.data else None}
    if request.videos:
        data["videos"] = request.videos
    store.write_json(request.out / "log" / "data.json", data)
    return old


def note_tables(out: Path, keys: Mapping[str, str]) -> None:
    """Note which tables hold what ``build.yaml`` says, by their keys: name -> key.

    The others, if there are any, are of an earlier run, with other settings or data.
    """
    about = {"build": store.hash_file(out / "build.yaml"), "keys": dict(keys)}
    store.write_json(out / _NOTED, about, indent=1)


def holds(table: Path) -> bool:
    """Whether a table is what ``build.yaml`` says; true where no run has noted anything."""
    out = table.parent.parent
    try:
        noted = json.loads((out / _NOTED).read_text("utf-8"))
        build, key = noted["build"], noted["keys"].get(table.stem)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return True
    same = build == store.hash_file(out / "build.yaml") and key == store.table_key(table)
    return bool(same)


def clip_table(out: Path) -> Path | None:
    """The last table of clips that holds; None where none is written, or none holds any more."""
    paths = (table_path(out, name) for name in clip_tables())
    return next((p for p in paths if p.is_file() and holds(p)), None)


def not_up_to_date(table: Path) -> str:
    """What is said of a table that does not hold."""
    return (
        f"{table} is of an earlier run, with other settings or data than build.yaml has now; "
        f"run `tinyvirat-build all --out {table.parent.parent}`"
    )


def other_version(file: Path, found: object) -> str:
    """What is said of a build folder in another layout."""
    return (
        f"{file} is of layout {found}, this version of tinyvirat-build reads and writes {FORMAT}; "
        "use the version that made it, or give another --out"
    )


def refuse_foreign(out: Path) -> None:
    """Make sure that a build would write over nothing but a build.

    Raises:
        BuildError: the folder holds something under a name that a build uses, the original
            release's ``TinyVIRAT_V2`` say, but no build.
    """
    if (out / "build.yaml").exists() or (out / ".lock").exists():
        return
    foreign = [name for name in FOLDERS if (out / name).exists()]
    if foreign:
        raise BuildError(
            f"{out} holds {foreign[0]!r} but no build, which would write over it; give another "
            "--out, or move it away"
        )


def remove_partials(out: Path) -> None:
    """Delete what an interrupted build left half written, in its own folders alone.

    What vanishes meanwhile was a worker's that had not ended yet.
    """
    for path in out.glob(f"*{PARTIAL}"):
        if path.name.lstrip(".").startswith((*FOLDERS, "build.yaml", "report.html")):
            _remove(path)
    for root in FOLDERS:
        for folder, folders, files in os.walk(out / root):
            for name in [n for n in folders if n.endswith(PARTIAL)]:
                folders.remove(name)
                _remove(Path(folder, name))
            for name in files:
                if name.endswith(PARTIAL):
                    _remove(Path(folder, name))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
