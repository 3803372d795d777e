"""Videos on object storage or a web server: what is there, and each one's size and version.

Everything is read anonymously: no credentials are asked, used or stored.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from tinyvirat_build.errors import DataError
from tinyvirat_build.remote.client import Client, ElsewhereError, PassingError
from tinyvirat_build.remote.web import names_in, size_and_version

SCHEMES: Final = ("s3", "http", "https")
_REGION: Final = "us-east-1"  # where no AWS_REGION is set: that of most public buckets
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
        DataError: nothing can be listed there, or it leads to another host.
    """
    if where.startswith("s3://"):
        found = list(_bucket(where))
        if found:
            with suppress(PassingError):  # it is asked again before it is read
                see_that_it_stays(found[0], Client())
    else:
        found = [RemoteFile(url, -1, "") for url in names_in(where)]
    if not found:
        raise DataError(f"no file below {where}; give the folder of the videos")
    return found


def pinned(files: list[RemoteFile]) -> list[RemoteFile]:
    """Files with their size and version, asked where the listing did not tell."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(_pinned, files))


def _pinned(file: RemoteFile) -> RemoteFile:
    if file.size >= 0:
        return file
    return RemoteFile(file.url, *size_and_version(file.url))


def store_of(url: str) -> tuple[Any, str]:
    """A client for a file's bucket, and the file's name there.

    Raises:
        DataError: the package that reads from afar is not installed.
    """
    parts = urlsplit(url)
    client = _client(parts.netloc, os.environ.get("AWS_ENDPOINT_URL", ""))
    return client, unquote(parts.path).lstrip("/")


@cache
def _client(bucket: str, endpoint: str) -> Any:
    try:
        from obstore.store import S3Store
    except ModuleNotFoundError as e:
        raise DataError(
            "reading from object storage needs obstore; pip install '.[remote]' in the clone "
            "brings it"
        ) from e
    options: Any = {"allow_http": True, "timeout": timedelta(minutes=5)}
    options["connect_timeout"] = options["read_timeout"] = timedelta(seconds=_WAIT)
    retry: Any = {"max_retries": 5, "retry_timeout": timedelta(minutes=2)}
    how: dict[str, Any] = {"endpoint": endpoint} if endpoint else {}
    return S3Store(
        bucket,
        skip_signature=True,
        region=_region(),
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


def see_that_it_stays(file: RemoteFile, client: Client) -> None:
    """Refuse a file of a bucket whose server leads to another host, for obstore would follow.

    Raises:
        ElsewhereError: it does.
        PassingError: the server does not answer now.
    """
    parts = urlsplit(file.url)
    server = os.environ.get("AWS_ENDPOINT_URL") or f"https://s3.{_region()}.amazonaws.com"
    try:
        with client.get(f"{server.rstrip('/')}/{parts.netloc}{parts.path}", method="HEAD"):
            return
    except ElsewhereError:
        raise
    except DataError:
        return  # it is told when it is read


def _region() -> str:
    return os.environ.get("AWS_REGION", _REGION)


def told(error: Exception) -> str:
    """The first line of a client's error, without what it says for its developers."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]
