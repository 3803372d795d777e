"""Archives of annotations: unpacked whole or not at all, and nowhere but into their folder."""

from __future__ import annotations

import errno
import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Final

from tinyvirat_build.errors import DataError
from tinyvirat_build.store import PARTIAL, sync_folder
from tinyvirat_build.store.means import lacking

MAX_MEMBERS: Final = 1_000_000
MAX_BYTES: Final = 1 << 36  # unpacked; MEVA's annotations have some gigabytes
_CHUNK: Final = 1 << 20

_DAMAGED: Final = (
    tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError,
    UnicodeError,  # a name in a zip that is not the UTF-8 it says
    NotImplementedError,  # a zip's compression or version that zipfile does not know
    OSError,
)  # fmt: skip
# What gzip and bzip2 say of their data has no number; a zip's member before the file's begin has.
_NO_OS_ERROR: Final = (None, errno.EINVAL)

Wanted = Callable[[str], bool]


def unpack(archive: Path, target: Path, wanted: Wanted) -> int:
    """Unpack the files of a .tar.gz or .zip whose names are wanted; returns how many.

    Raises:
        DataError: it is no such archive, is cut off, or has a member that is refused: a link, a
            device, a name that leads out of the folder.
    """
    partial = target.with_name(f".{target.name}{PARTIAL}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with _told(archive):
            files = _write(archive, partial, wanted)
        if not files:
            raise DataError(f"{archive}: holds no annotation of this corpus; give another one")
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
        sync_folder(target.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return files


def _write(archive: Path, folder: Path, wanted: Wanted) -> int:
    files, room = 0, MAX_BYTES
    read = _zip if zipfile.is_zipfile(archive) else _tar
    for number, (name, size, content) in enumerate(read(archive)):
        parts = _parts(name, archive)
        room -= size
        if number >= MAX_MEMBERS or room < 0:
            raise DataError(
                f"{archive}: more files or bytes than an archive of annotations has; give another"
            )
        if content is not None and wanted(parts[-1]):
            path = folder.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                shutil.copyfileobj(content, file, _CHUNK)
            files += 1
    return files


@contextmanager
def _told(archive: Path) -> Iterator[None]:
    try:
        yield
    except (FileExistsError, NotADirectoryError) as e:
        raise DataError(
            f"{archive}: holds a file twice, or a file as a folder; give another copy"
        ) from e
    except _DAMAGED as e:
        if isinstance(e, OSError) and e.errno not in _NO_OS_ERROR:
            raise  # of the disk
        raise lacking(e) or DataError(
            f"{archive}: is cut off, or no .tar.gz or .zip ({e}); fetch it again"
        ) from e


def _tar(archive: Path) -> Iterator[tuple[str, int, IO[bytes] | None]]:
    """Name, size and content of every member; content is None of a folder. So :func:`_zip`."""
    with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            if not (member.isreg() or member.isdir()):
                raise _refused(archive, member.name, "is a link or a device")
            yield member.name, member.size, tar.extractfile(member)
        while stream.read(_CHUNK):  # to the checksum at its end
            pass


def _zip(archive: Path) -> Iterator[tuple[str, int, IO[bytes] | None]]:
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(archive, member.filename, "is a link or a device")
            if member.flag_bits & 1:
                raise _refused(archive, member.filename, "is encrypted")
            if member.is_dir():
                yield member.filename, 0, None
                continue
            with packed.open(member) as content:
                yield member.filename, member.file_size, content


def _parts(name: str, archive: Path) -> tuple[str, ...]:
    """The folders and the name of a member.

    Raises:
        DataError: they lead out of the folder, or no table or terminal can take them.
    """
    parts = PurePosixPath(name).parts
    leads_out = name.startswith("/") or ".." in parts or "\\" in name or name[1:2] == ":"
    if leads_out or not parts or not name.isprintable():
        raise _refused(archive, name, "leads out of its folder")
    return parts


def _refused(archive: Path, name: str, why: str) -> DataError:
    return DataError(
        f"{archive}: its member {name[:200]!r} {why}, and the archive is refused; give one from "
        "the corpus's own repository"
    )
