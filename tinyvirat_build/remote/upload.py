"""Files into a bucket, under a version that is listed once all of it is there.

``URL/VERSION/…`` holds the files, VERSION being a digest of their paths and checksums, so that what
was listed is never changed. ``URL/VERSION/manifest.json`` comes after the last of them, with every
file's size and SHA-256, and ``URL/latest.json``, which names the version, after that.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tinyvirat_build.errors import DataError, SettingsError
from tinyvirat_build.store import HashMemory, digest
from tinyvirat_build.store.means import lacking

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
LATEST: Final = "latest.json"
PART: Final = 64 << 20  # bytes; larger files are sent in parts of that size
_CHUNK: Final = 1 << 20  # a part is whole ones
_AT_ONCE: Final = 8
_SUM: Final = "sha256"  # the metadata of an object in which its checksum stands


@dataclass(frozen=True, slots=True)
class Sums:
    """A file's size (bytes) and checksums in hex; ``etag`` is that of an upload as ours."""

    size: int
    sha256: str
    etag: str
    stamp: list[int] | None  # of the file as it was read


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A file to be uploaded: its path in the release, and the SHA-256 it must have, if known."""

    name: str
    path: Path
    sha256: str = ""


@dataclass(slots=True)
class Uploaded:
    """What came of an upload; ``version`` is listed where nothing failed."""

    version: str = ""
    sent: int = 0
    there: int = 0  # files that were there before
    failed: dict[str, str] = field(default_factory=dict)  # file -> why


def sums_of(path: Path) -> Sums:
    """Read a file once for its checksums.

    The ETag of an object that was sent in parts is the MD5 of the parts' MD5s, and their number.

    >>> sums_of(Path(os.devnull)).etag
    'd41d8cd98f00b204e9800998ecf8427e'
    """
    whole, parts, size = hashlib.sha256(), [hashlib.md5(usedforsecurity=False)], 0
    stamp = HashMemory.stamp(path)
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            if size and size % PART == 0:
                parts.append(hashlib.md5(usedforsecurity=False))
            whole.update(piece)
            parts[-1].update(piece)
            size += len(piece)
    etag = parts[0].hexdigest()
    if len(parts) > 1:
        digests = b"".join(part.digest() for part in parts)
        etag = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"
    return Sums(size, whole.hexdigest(), etag, stamp)


def open_store(url: str) -> Any:
    """The store of ``s3://BUCKET/PREFIX``, as AWS's own environment variables say.

    ``AWS_ENDPOINT_URL`` names another server than Amazon's; keys are read by the client library
    from where AWS's tools have them, and neither asked nor kept here.

    Raises:
        SettingsError: another kind of address, or the package that uploads is not installed.
    """
    parts = urlsplit(url)
    prefix = parts.path.strip("/")
    if parts.scheme != "s3" or not parts.netloc or "@" in parts.netloc or parts.query:
        raise SettingsError(f"{url.rpartition('@')[2]!r} is no bucket; give s3://BUCKET/PREFIX")
    try:
        from obstore.store import S3Store
    except ModuleNotFoundError as e:
        raise SettingsError(
            "uploading needs obstore; pip install '.[remote]' in the clone brings it"
        ) from e
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    options: Any = {"allow_http": endpoint.startswith("http://")}
    return S3Store(parts.netloc, prefix=prefix or None, client_options=options)


def upload(
    store: Any, files: Sequence[Outgoing], advance: Callable[[int], object], *, at: str
) -> Uploaded:
    """Upload files that are not there yet, then list the version that they are.

    An object appears whole or not at all. One of equal size and checksum is not sent again, so
    that an interrupted upload goes on. ``advance`` is told the bytes of each file that is there.

    Raises:
        DataError: the bucket cannot be listed or written.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        sums = dict(zip(files, pool.map(lambda f: sums_of(f.path), files), strict=True))
    done = Uploaded()
    for file, own in sums.items():
        if file.sha256 not in ("", own.sha256):
            done.failed[file.name] = "is not what was built; run `verify --repair`"
    if done.failed:
        return done
    manifest = _manifest(sums)
    done.version = digest(manifest)[:16]
    there = _listed(store, done.version, at)
    lock, stop = threading.Lock(), threading.Event()

    def send(file: Outgoing) -> None:
        own, name = sums[file], f"{done.version}/{file.name}"
        if stop.is_set():
            return
        try:
            known = _is_there(store, name, there.get(name), own)
            if not known:
                _put(store, name, file.path, own)
        except Exception as e:
            if (found := lacking(e)) is not None:
                raise found from e
            with lock:
                done.failed[file.name] = _told(e)
            stop.set()  # what fails once, a bucket that is not ours say, fails for all
            return
        with lock:
            done.there += known
            done.sent += not known
            advance(own.size)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            list(pool.map(send, files))
        except BaseException:
            stop.set()
            raise
    if not done.failed:
        _list_version(store, done, manifest, sums, at)
    return done


def _manifest(sums: dict[Outgoing, Sums]) -> dict[str, Any]:
    files = {f.name: {"bytes": s.size, "sha256": s.sha256} for f, s in sums.items()}
    return {"format": FORMAT, "files": dict(sorted(files.items()))}


def _listed(store: Any, version: str, at: str) -> dict[str, Any]:
    """What is there of a version: name -> what the listing says."""
    import obstore

    try:
        return {one["path"]: one for page in obstore.list(store, version) for one in page}
    except Exception as e:
        raise lacking(e) or DataError(
            f"cannot list {at}: {_told(e)}; check the address, and that the keys in "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the machine's role, may write there"
        ) from e


def _is_there(store: Any, name: str, found: Any, own: Sums) -> bool:
    import obstore

    if found is None or found["size"] != own.size:
        return False
    if (found["e_tag"] or "").strip('"') == own.etag:
        return True
    # Of an encrypted object the ETag is no MD5.
    about = obstore.get(store, name, options={"head": True}).attributes
    return bool(about.get(_SUM) == own.sha256)


def _put(store: Any, name: str, path: Path, own: Sums) -> None:
    import obstore

    parted = own.size > PART
    with path.open("rb") as file:
        obstore.put(
            store, name, file, attributes={_SUM: own.sha256}, use_multipart=parted,
            chunk_size=PART, max_concurrency=2,
        )  # fmt: skip
    if HashMemory.stamp(path) != own.stamp:
        obstore.delete(store, name)
        raise DataError("changed while it was sent")


def _list_version(
    store: Any, done: Uploaded, manifest: dict[str, Any], sums: dict[Outgoing, Sums], at: str
) -> None:
    """Write the manifest, and name the version; before, see that all of it is there."""
    import obstore

    there = _listed(store, done.version, at)
    for file, own in sums.items():
        found = there.get(f"{done.version}/{file.name}")
        if found is None or found["size"] != own.size:
            done.failed[file.name] = "is not in the bucket after it was sent"
    if done.failed:
        return
    about = {"format": FORMAT, "version": done.version, "manifest": f"{done.version}/{MANIFEST}"}
    try:
        obstore.put(store, f"{done.version}/{MANIFEST}", _json(manifest))
        obstore.put(store, LATEST, _json(about))
    except Exception as e:
        raise lacking(e) or DataError(f"cannot write to {at}: {_told(e)}; try again") from e


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def _told(error: Exception) -> str:
    """The first line of what a client library says: what follows are its own traces."""
    return (str(error) or type(error).__name__).strip().splitlines()[0][:300]
