"""What lies in a public bucket, by the anonymous listing of S3 (ListObjectsV2)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

from tinyvirat_build.errors import DataError
from tinyvirat_build.remote.client import Client

_MAX_PAGE: Final = 8 << 20  # bytes; a thousand keys are half a megabyte
_MD5: Final = re.compile(r'"?([0-9a-f]{32})"?')


@dataclass(frozen=True, slots=True)
class Listed:
    """A file of a bucket as it was listed."""

    key: str
    size: int  # bytes
    etag: str  # as the server writes it, in quotes

    @property
    def name(self) -> str:
        """Its name without folders."""
        return self.key.rsplit("/", 1)[-1]

    @property
    def md5(self) -> str:
        """Its MD5 in hex, where the ETag is one; that of a file uploaded in parts is none.

        >>> Listed("a", 0, '"d41d8cd98f00b204e9800998ecf8427e"').md5
        'd41d8cd98f00b204e9800998ecf8427e'
        >>> Listed("a", 0, '"d41d8cd98f00b204e9800998ecf8427e-3"').md5
        ''
        """
        found = _MD5.fullmatch(self.etag)
        return found[1] if found else ""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket by its address, whether that names it in the host or in the path."""

    client: Client
    address: str

    def url(self, key: str) -> str:
        """The address of a file."""
        return f"{self.address.rstrip('/')}/{quote(key)}"

    def listed(self, prefix: str) -> list[Listed]:
        """Every file whose key begins so.

        Raises:
            DataError: the bucket cannot be listed.
        """
        return [self._entry(entry) for entry in self._entries("Contents", {"prefix": prefix})]

    def _entry(self, entry: ElementTree.Element) -> Listed:
        size = entry.findtext("{*}Size", "")
        if not size.isdecimal():
            raise self._no_bucket()
        return Listed(entry.findtext("{*}Key", ""), int(size), entry.findtext("{*}ETag", ""))

    def folders(self) -> list[str]:
        """The folders at the top, each with its slash."""
        found = self._entries("CommonPrefixes", {"delimiter": "/"})
        return [entry.findtext("{*}Prefix", "") for entry in found]

    def _entries(self, kind: str, ask: dict[str, str]) -> Iterator[ElementTree.Element]:
        token, seen = "", set[str]()
        while True:
            more = {"continuation-token": token} if token else {}
            query = urlencode({"list-type": "2", **ask, **more})
            url = f"{self.address.rstrip('/')}/?{query}"
            page = self._parsed(self.client.page(url, _MAX_PAGE))
            yield from page.findall(f"{{*}}{kind}")
            token = page.findtext("{*}NextContinuationToken", "")
            if page.findtext("{*}IsTruncated") != "true":
                return
            if not token or token in seen:
                raise DataError(f"{self.address}: its listing does not end; give another mirror")
            seen.add(token)

    def _parsed(self, page: bytes) -> ElementTree.Element:
        # A listing has no document type; one could make a kilobyte expand to gigabytes.
        try:
            if b"<!DOCTYPE" in page:
                raise self._no_bucket()
            root = ElementTree.fromstring(page)
        except ElementTree.ParseError:
            root = ElementTree.Element("none")
        if root.tag.rpartition("}")[2] != "ListBucketResult":
            raise self._no_bucket()
        return root

    def _no_bucket(self) -> DataError:
        return DataError(f"{self.address} is no bucket that can be listed; check the address")
