"""Checksums of tables, noted beside them as ``sha256sum`` reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tinyvirat_build.store.files import hash_file, write_text

SUMS: Final = "SHA256SUMS"  # beside the tables, as sha256sum writes and checks it


def is_noted(path: Path) -> bool:
    """Whether the checksum of a table is noted; a table without it was not finished."""
    return path.name in _sums(path.parent)


def changed_tables(folder: Path) -> list[str]:
    """The tables of a folder that are not as they were written, or not there any more, by name."""
    noted = _sums(folder)
    found = {p.name: p for p in folder.glob("*.parquet")}
    return sorted(
        name
        for name in noted.keys() | found.keys()
        if name not in found or noted.get(name) != hash_file(found[name])
    )


def _sums(folder: Path) -> dict[str, str]:
    """Checksums by table, none where there are none."""
    file = folder / SUMS
    lines = file.read_bytes().decode("utf-8", "replace").splitlines() if file.is_file() else []
    pairs = (line.split("  ", 1) for line in lines if "  " in line)
    return {name: checksum for checksum, name in pairs if name == Path(name).name}


def note_sum(path: Path, checksum: str | None) -> None:
    """Note the checksum of a table; None takes out what is noted."""
    before = _sums(path.parent)
    noted = {name: own for name, own in before.items() if name != path.name}
    if checksum is not None:
        noted[path.name] = checksum
    if noted != before:
        lines = (f"{noted[name]}  {name}\n" for name in sorted(noted))
        write_text(path.parent / SUMS, "".join(lines))
