"""Files on a web server: asked for their size and version, listed by a text, read by ranges.

Redirects are followed within the server alone: what lies elsewhere was not asked for.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from tinyvirat_build.errors import DataError

LISTS: Final = (".txt", ".csv", ".lst")
_MAX_LIST: Final = 64 << 20  # bytes of a list of videos
_WAIT: Final = 30.0  # seconds for an answer


class ElsewhereError(DataError):
    """A server leads to another one."""


def names_in(where: str) -> Iterator[str]:
    """The addresses of the files that a list names: a text with a name or an address a line.

    Raises:
        DataError: it is no such list, cannot be read, or names a file of another server.
    """
    if not urlsplit(where).path.lower().endswith(LISTS):
        raise DataError(
            f"{where}: a web server does not list its files; give the address of a list of them "
            f"({', '.join(LISTS)}): a name or an address a line"
        )
    with _told_answer(where) as answer:
        text = answer.read(_MAX_LIST + 1)
    if len(text) > _MAX_LIST:
        raise DataError(f"{where}: longer than {_MAX_LIST >> 20} MiB; give the list of the videos")
    for number, line in enumerate(text.decode("utf-8", "replace").splitlines(), 1):
        name = line.split(",")[0].strip()
        if not name or name.startswith("#"):
            continue
        url = urljoin(where, name)
        if _server(url) != _server(where):
            raise DataError(f"{where}:{number}: {name!r} is on another server; give its own list")
        yield url


def size_and_version(url: str) -> tuple[int, str]:
    """A file's bytes, and its ETag or else its date.

    Raises:
        DataError: the server does not tell.
    """
    with _told_answer(url, method="HEAD") as answer:
        size, headers = answer.headers.get("Content-Length", ""), answer.headers
    if not size.isdigit():
        raise DataError(f"{url}: the server does not tell its size; download it instead")
    return int(size), _version(headers)


def read_range(url: str, start: int, end: int, version: str) -> tuple[int, str, bytes]:
    """The size and version of a file, and the bytes of it that were asked for.

    Raises:
        HTTPError, OSError, HTTPException: as the server or the line has it.
        ElsewhereError: it leads to another server.
    """
    headers = {"Range": f"bytes={start}-{end - 1}"}
    if version.startswith('"'):
        headers["If-Match"] = version
    with answer_of(url, headers=headers) as answer:
        size = answer.headers.get("Content-Range", "").rpartition("/")[2]
        data: bytes = answer.read()
        return int(size) if size.isdigit() else -1, _version(answer.headers), data


def answer_of(url: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Any:
    """A server's answer, a context manager."""
    request = urllib.request.Request(url, method=method, headers=dict(headers or {}))
    try:
        return urllib.request.build_opener(_SameServer).open(request, timeout=_WAIT)
    except urllib.error.HTTPError as e:
        e.close()  # it holds the connection
        raise


def _told_answer(url: str, method: str = "GET") -> Any:
    try:
        return answer_of(url, method)
    except (OSError, HTTPException) as e:
        raise DataError(f"cannot read {url}: {e}; see that it is public") from e


def _version(headers: Any) -> str:
    tag = headers.get("ETag", "")
    return str((tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")) or "")


def _server(url: str) -> tuple[str, str]:
    return urlsplit(url).scheme, urlsplit(url).netloc


class _SameServer(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        if _server(newurl) != _server(req.full_url):
            fp.close()
            raise ElsewhereError(f"{req.full_url} leads to another host; give that one's address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
