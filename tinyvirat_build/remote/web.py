"""Files on a web server: asked for their size and version, listed by a text, read by ranges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

from tinyvirat_build.errors import DataError, SettingsError
from tinyvirat_build.remote.client import Allowance, Client, checked, origin

LISTS: Final = (".txt", ".csv", ".lst")
_MAX_LIST: Final = 64 << 20  # bytes of a list of videos
_OF_ADDRESSES: Final = "%/:?#[]@!$&'()*+,;=~"  # what stands in an address as it is


def names_in(where: str) -> Iterator[str]:
    """The addresses of the files that a list names: a text with a name or an address a line.

    Raises:
        SettingsError: it is no address, or carries a password.
        DataError: it is no such list, cannot be read, or names a file of another server.
    """
    if not urlsplit(checked(where)).path.lower().endswith(LISTS):
        raise DataError(
            f"{where}: a web server does not list its files; give the address of a list of them "
            f"({', '.join(LISTS)}): a name or an address a line"
        )
    text = Client().page(where, _MAX_LIST + 1)
    if len(text) > _MAX_LIST:
        raise DataError(f"{where}: longer than {_MAX_LIST >> 20} MiB; give the list of the videos")
    for number, line in enumerate(text.decode("utf-8", "replace").splitlines(), 1):
        name = line.split(",")[0].strip()
        if not name or name.startswith("#"):
            continue
        try:
            url = checked(urljoin(where, quote(name, _OF_ADDRESSES)))
        except (SettingsError, ValueError) as e:
            raise DataError(f"{where}:{number}: {name[:200]!r} names no file; mend the line") from e
        if origin(url) != origin(where):
            raise DataError(f"{where}:{number}: {name!r} is on another server; give its own list")
        yield url


def size_and_version(url: str) -> tuple[int, str]:
    """A file's bytes, and its ETag or else its date.

    Raises:
        DataError: the server does not tell.
    """
    client = Client()
    return client.patiently(partial(_asked, client, url))


def _asked(client: Client, url: str) -> tuple[int, str]:
    with client.get(url, method="HEAD") as answer:
        if answer.length is None:
            raise DataError(f"{url}: the server does not tell its size; download it instead")
        return answer.length, _version(answer.headers)


def read_range(
    client: Client, url: str, start: int, end: int, version: str
) -> tuple[int, str, bytes]:
    """The size and version of a file, and the bytes of it that were asked for.

    The size is −1 where the server knows no ranges.

    Raises:
        DataError, PassingError, ChangedError: as :meth:`Client.get`.
    """
    headers = {"Range": f"bytes={start}-{end - 1}"}
    if version.startswith('"'):
        headers["If-Match"] = version
    allowance = Allowance(client.budget)
    with client.get(url, headers) as answer:
        size = answer.headers.get("Content-Range", "").rpartition("/")[2]
        data = b"".join(client.pieces(answer, end - start, allowance))
        return int(size) if size.isdecimal() else -1, _version(answer.headers), data


def _version(headers: Mapping[str, str]) -> str:
    tag = headers.get("ETag", "")
    return (tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")) or ""
