"""Videos on object storage or a web server: what is there, and each one's size and version.

Everything is read anonymously: no credentials are asked, used or stored.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from http.client import HTTPException
from typing import Any, Final
from urllib.parse import quote, unquote, urljoin, urlsplit

from tinyvirat_build.errors import DataError

SCHEMES: Final = ("s3", "http", "https")
_REGION: Final = "us-east-1"  # where no AWS_REGION is set: that of most public buckets
_MAX_LIST: Final = 64 << 20  # bytes of a list of videos
_LISTS: Final = (".txt", ".csv", ".lst")
_AT_ONCE: Final = 16
_WAIT: Final = 30.0  # seconds for an answer


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file that lies elsewhere, as it was listed; ``version`` is its ETag, or its date."""

    url: str
    size: int
    version: str

    @property
    def name(self) -> str:
        """Its name without folders.

        >>> RemoteFile("s3://bucket/a/b%20c.avi", 1, "").name
        'b c.avi'
        """
        return unquote(urlsplit(self.url).path).rsplit("/", 1)[-1]


def is_remote(where: str) -> bool:
    """Whether a place is on object storage or a web server.

    >>> is_remote("s3://bucket/videos"), is_remote("file:///data"), is_remote("/data")
    (True, False, False)
    """
    return where.partition("://")[0] in SCHEMES and "://" in where


def listed(where: str) -> list[RemoteFile]:
    """Every file below a place; those on a web server with size −1 until :func:`pinned`.

    ``where`` is ``s3://BUCKET/PREFIX``, or the address of a list on a web server: a text with a
    name or an address a line, names relative to the list's own.

    Raises:
        DataError: nothing can be listed there.
    """
    found = list(_bucket(where) if where.startswith("s3://") else _web_list(where))
    if not found:
        raise DataError(f"no file below {where}; give the folder of the videos")
    return found


def pinned(files: list[RemoteFile]) -> list[RemoteFile]:
    """Files with their size and version, asked where the listing did not tell."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda f: f if f.size >= 0 else _asked(f.url), files))


def store_of(url: str) -> tuple[Any, str]:
    """A client for a file's bucket or server, and the file's name there.

    Raises:
        DataError: the package that reads from afar is not installed.
    """
    parts = urlsplit(url)
    root = f"{parts.scheme}://{parts.netloc}"
    return _client(root, os.environ.get("AWS_ENDPOINT_URL", "")), unquote(parts.path).lstrip("/")


@cache
def _client(root: str, endpoint: str) -> Any:
    try:
        from obstore.store import HTTPStore, S3Store
    except ModuleNotFoundError as e:
        raise DataError(
            "reading videos from afar needs obstore; pip install 'tinyvirat-build[remote]'"
        ) from e
    options: Any = {"allow_http": True, "timeout": timedelta(minutes=5)}
    options["connect_timeout"] = options["read_timeout"] = timedelta(seconds=_WAIT)
    retry: Any = {"max_retries": 5, "retry_timeout": timedelta(minutes=2)}
    if not root.startswith("s3://"):
        return HTTPStore(root, client_options=options, retry_config=retry)
    how: dict[str, Any] = {"endpoint": endpoint} if endpoint else {}
    return S3Store(
        root.removeprefix("s3://"),
        skip_signature=True,
        region=os.environ.get("AWS_REGION", _REGION),
        client_options=options,
        retry_config=retry,
        **how,
    )


def _bucket(where: str) -> Iterator[RemoteFile]:
    store, prefix = store_of(where)
    import obstore
    from obstore.exceptions import BaseError

    root = "s3://" + urlsplit(where).netloc
    try:
        for page in obstore.list(store, prefix or None):
            for one in page:
                version = one["e_tag"] or one["last_modified"].isoformat()
                yield RemoteFile(f"{root}/{quote(one['path'])}", one["size"], version)
    except (BaseError, OSError, ValueError) as e:
        raise DataError(f"cannot list {where}: {told(e)}; see that it is public") from e


def _web_list(where: str) -> Iterator[RemoteFile]:
    if not urlsplit(where).path.lower().endswith(_LISTS):
        raise DataError(
            f"{where}: a web server does not list its files; give the address of a list of them "
            f"({', '.join(_LISTS)}): a name or an address a line"
        )
    with _answer(where) as answer:
        text = answer.read(_MAX_LIST + 1)
    if len(text) > _MAX_LIST:
        raise DataError(f"{where}: longer than {_MAX_LIST >> 20} MiB; give the list of the videos")
    host = urlsplit(where).netloc
    for number, line in enumerate(text.decode("utf-8", "replace").splitlines(), 1):
        name = line.split(",")[0].strip()
        if not name or name.startswith("#"):
            continue
        url = urljoin(where, name)
        if urlsplit(url).scheme not in ("http", "https") or urlsplit(url).netloc != host:
            raise DataError(f"{where}:{number}: {name!r} is on another server; give its own list")
        yield RemoteFile(url, -1, "")


def _asked(url: str) -> RemoteFile:
    with _answer(url, method="HEAD") as answer:
        size, headers = answer.headers.get("Content-Length", ""), answer.headers
    if not size.isdigit():
        raise DataError(f"{url}: the server does not tell its size; download it instead")
    tag = headers.get("ETag", "")
    version = headers.get("Last-Modified", "") if tag.startswith("W/") else tag
    return RemoteFile(url, int(size), version or headers.get("Last-Modified", ""))


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows a redirect within the host alone: what lies elsewhere was not asked for."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        if urlsplit(newurl).netloc != urlsplit(req.full_url).netloc:
            raise DataError(f"{req.full_url} leads to another host; give that one's address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _answer(url: str, method: str = "GET") -> Any:
    request = urllib.request.Request(url, method=method)
    try:
        return urllib.request.build_opener(_SameHost).open(request, timeout=_WAIT)
    except (OSError, HTTPException) as e:
        raise DataError(f"cannot read {url}: {told(e)}; see that it is public") from e


def told(error: Exception) -> str:
    """The first line of a client's error, without what it says for its developers."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]
