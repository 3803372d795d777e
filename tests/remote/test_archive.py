from __future__ import annotations

import io
import random
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from tinyvirat_build.errors import DataError
from tinyvirat_build.remote.archive import unpack

Members = list[tuple[str, bytes | str]]  # content, or how it is a bad one


def tar(path: Path, members: Members) -> Path:
    kinds = {"symlink": tarfile.SYMTYPE, "link": tarfile.LNKTYPE, "fifo": tarfile.FIFOTYPE}
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = kinds[content], "/etc/passwd"
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


def packed(path: Path, members: Members) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            kind = stat.S_IFLNK if content == "symlink" else stat.S_IFREG
            info.external_attr = (kind | 0o644) << 16
            archive.writestr(info, content)
    return path


def is_yaml(name: str) -> bool:
    return name.endswith(".yml")


@pytest.mark.parametrize(("make", "name"), [(tar, "a.tar.gz"), (packed, "a.zip")])
def test_only_what_is_wanted_is_unpacked(tmp_path: Path, make: object, name: str) -> None:
    members: Members = [("repo/a/x.yml", b"1"), ("repo/readme.md", b"2"), ("repo/b/x.yml", b"3")]
    archive = make(tmp_path / name, members)  # type: ignore[operator]
    assert unpack(archive, tmp_path / "in" / "to", is_yaml) == 2
    found = sorted((tmp_path / "in").rglob("*"))
    files = {
        p.relative_to(tmp_path / "in").as_posix(): p.read_bytes() for p in found if p.is_file()
    }
    assert files == {"to/repo/a/x.yml": b"1", "to/repo/b/x.yml": b"3"}


BAD: list[tuple[str, bytes | str]] = [
    ("/etc/x.yml", b"1"),
    ("a/../../x.yml", b"1"),
    ("..", b"1"),
    ("a\\..\\x.yml", b"1"),
    ("C:x.yml", b"1"),
    ("a/\x1b[31m.yml", b"1"),
    ("a/link.md", "symlink"),
    ("a/link.yml", "link"),
    ("a/pipe.yml", "fifo"),
]


@pytest.mark.parametrize(
    ("make", "name", "content"),
    [(tar, *bad) for bad in BAD] + [(packed, *bad) for bad in BAD if bad[1] in (b"1", "symlink")],
)
def test_an_archive_with_one_bad_member_is_refused_whole(
    tmp_path: Path, make: object, name: str, content: bytes | str
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    members: Members = [("a/good.yml", b"1"), (name, content), ("a/other.yml", b"2")]
    archive = make(root / "archive", members)  # type: ignore[operator]
    with pytest.raises(DataError, match="the archive is refused"):
        unpack(archive, root / "to", is_yaml)
    assert [p.name for p in root.iterdir()] == ["archive"]
    assert [p.name for p in tmp_path.iterdir()] == ["root"]


@pytest.mark.parametrize("make", [tar, packed])
@pytest.mark.parametrize("share", [0, 0.3, 0.9, 0.999, 1])
def test_an_archive_that_is_cut_off_is_refused(tmp_path: Path, make: object, share: float) -> None:
    content = random.Random(0).randbytes(20_000)
    members: Members = [(f"a/{n}.yml", content) for n in range(5)]
    archive = make(tmp_path / "archive", members)  # type: ignore[operator]
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(share * (len(whole) - 1))])
    with pytest.raises(DataError, match="cut off"):
        unpack(archive, tmp_path / "to", is_yaml)
    assert [p.name for p in tmp_path.iterdir()] == ["archive"]


@pytest.mark.parametrize(
    "how", ["stored", "bzip2", "lzma", "unknown compression", "torn name", "offset"]
)
def test_a_damaged_zip_of_any_kind_is_refused(tmp_path: Path, how: str) -> None:
    method = {"bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}.get(how, zipfile.ZIP_STORED)
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("é.yml", random.Random(0).randbytes(2000))
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    if how == "unknown compression":
        content[8], content[entry + 10] = 99, 99
    elif how == "torn name":
        content[entry + 46] = 0xFF
    elif how == "offset":  # of the table of contents, so that members begin before the file
        content[-6:-2] = struct.pack("<I", 1 << 30)
    else:
        content[1000:1040] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(DataError, match="fetch it again"):
        unpack(path, tmp_path / "to", is_yaml)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_an_archive_without_annotations_is_refused(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a.tar.gz", [("a/readme.md", b"1")])
    with pytest.raises(DataError, match="no annotation"):
        unpack(archive, tmp_path / "to", is_yaml)


def test_a_file_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a.tar.gz", [("a/x.yml", b"1"), ("a/x.yml", b"2")])
    with pytest.raises(DataError, match="twice"):
        unpack(archive, tmp_path / "to", is_yaml)
