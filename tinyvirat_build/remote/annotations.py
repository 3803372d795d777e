"""The archive of a corpus's annotations, from its repository or a copy, unpacked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tinyvirat_build.errors import SettingsError
from tinyvirat_build.remote.archive import unpack
from tinyvirat_build.remote.client import Allowance, Client, PassingError
from tinyvirat_build.store import hash_file, write_json
from tinyvirat_build.store.userfiles import quoted

SOURCE: Final = "FETCHED.json"  # in the unpacked folder: where it came from


def bring_annotations(
    client: Client,
    where: str,
    target: Path,
    wanted: Callable[[str], bool],
    advance: Callable[[int], object],
) -> int:
    """Unpack an archive, given by its address or its path, into a folder; returns its files.

    A repository makes its archive when it is asked, each time anew: one that is cut off is
    fetched from its start.

    Raises:
        DataError: it cannot be had, or is refused.
        SettingsError: there is no such file.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if urlsplit(where).scheme in ("http", "https"):
        archive = target.with_name(f".{target.name}.archive.part")
        try:
            client.patiently(lambda: _download(client, where, archive, advance))
            return _unpacked(archive, where, target, wanted)
        finally:
            archive.unlink(missing_ok=True)
    archive = Path(where)
    if not archive.is_file():
        raise SettingsError(
            f"no archive {quoted(where)}; give the address or the path of a .tar.gz or .zip, or "
            "put the folder of annotations below --data"
        )
    return _unpacked(archive, archive.name, target, wanted)


def _unpacked(archive: Path, where: str, target: Path, wanted: Callable[[str], bool]) -> int:
    files = unpack(archive, target, wanted)
    about = {"from": where, "sha256": hash_file(archive), "bytes": archive.stat().st_size}
    write_json(target / SOURCE, about, indent=1)
    return files


def _download(client: Client, where: str, archive: Path, advance: Callable[[int], object]) -> None:
    allowance = Allowance(client.budget)
    came = 0
    try:
        with client.get(where) as answer, archive.open("wb") as file:
            most = answer.length if answer.length is not None else 1 << 40
            if answer.length is not None:
                allowance.need(most)
            for piece in client.pieces(answer, most, allowance):
                file.write(piece)
                came += len(piece)
                advance(len(piece))
        if answer.length is not None and came < answer.length:
            raise PassingError(f"the archive was cut off after {came:,} bytes")
    except PassingError:
        advance(-came)
        raise
    finally:
        client.budget.release(allowance.held)
