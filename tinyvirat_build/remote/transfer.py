"""One file of a bucket onto this disk: whole or not at all, and resumed where it was cut off.

What has come stands in a hidden file whose name ends with ``.part``, which no corpus takes for a
video; a digest in its name says of which version of which file it is a part.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from tinyvirat_build.errors import DataError
from tinyvirat_build.remote import whole
from tinyvirat_build.remote.bucket import Bucket, Listed
from tinyvirat_build.remote.client import (
    TRIES,
    Allowance,
    Answer,
    ChangedError,
    Client,
    PassingError,
    given_up,
)
from tinyvirat_build.store import digest, sync_folder

PART: Final = ".part"
_ANEW: Final = 2  # times that a file is fetched from its start, where it came damaged

Advance = Callable[[int], object]


def part_of(target: Path, listed: Listed) -> Path:
    """Where a part of a file stands until all of it has come."""
    version = digest(listed.size, listed.etag)[:12]
    return target.with_name(f".{target.name}.{version}{PART}")


def size_there(part: Path) -> int:
    """Bytes of a part that have come."""
    return part.stat().st_size if part.is_file() else 0


def transfer(bucket: Bucket, listed: Listed, target: Path, advance: Advance) -> str:
    """Bring a file here, or what of it is not here yet; returns by what it was found whole.

    ``advance`` is told of bytes as they come, and of bytes taken back.

    Raises:
        DataError: it cannot be had, or comes damaged.
        ChangedError: it is not the one any more that was listed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(target, listed)
    for other in target.parent.glob(f".{_literal(target.name)}.*{PART}"):
        if other != part:
            other.unlink()  # of another version, which nobody can complete
    allowance = Allowance(bucket.client.budget)
    try:
        for _ in range(_ANEW):
            _complete(bucket, listed, part, allowance, advance)
            by, fault = proof(part, listed)
            if not fault:
                _take_place(part, target)
                return by
            part.unlink()
            advance(-listed.size)
    finally:
        bucket.client.budget.release(allowance.held)
    raise DataError(f"{fault}, {_ANEW} times; run the same command later, or give another mirror")


def proof(path: Path, listed: Listed) -> tuple[str, str]:
    """By what a complete file is known to be whole, and what speaks against it, "" if nothing."""
    size = path.stat().st_size
    if size != listed.size:
        return "size", f"it has {size:,} bytes, {listed.size:,} were listed"
    if listed.md5:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
        return "md5", "" if found.hexdigest() == listed.md5 else "its MD5 is not the listed one"
    fault = whole.fault(path)
    return ("size", "") if fault is None else ("container", fault)


def _complete(
    bucket: Bucket, listed: Listed, part: Path, allowance: Allowance, advance: Advance
) -> None:
    """Ask for what a part lacks until nothing is; after a failure wait, and go on from there."""
    attempt = 0
    while (have := size_there(part)) < listed.size:
        allowance.need(listed.size - have)
        try:
            _receive(bucket, listed, part, have, allowance, advance)
        except PassingError as e:
            attempt = 0 if size_there(part) > have else attempt + 1
            if attempt == TRIES:
                raise given_up(e) from None
            bucket.client.pause(max(attempt - 1, 0), e)
    if have > listed.size:
        part.unlink()
        raise ChangedError
    if not listed.size:
        part.touch()


def _receive(
    bucket: Bucket, listed: Listed, part: Path, have: int, allowance: Allowance, advance: Advance
) -> None:
    """Append what one answer brings.

    Raises:
        PassingError: it ended early.
        ChangedError: it is of another file.
    """
    headers = {"Range": f"bytes={have}-{listed.size - 1}"}
    if listed.etag:
        headers["If-Match"] = listed.etag
    with bucket.client.get(bucket.url(listed.key), headers) as answer:
        begin = _begin(answer, listed, have)
        advance(begin - have)
        allowance.need(listed.size - begin)
        with part.open("r+b" if have else "wb") as file:
            file.truncate(begin)
            file.seek(begin)
            came = _append(file, bucket.client, answer, listed.size - begin, allowance, advance)
            if listed.size - begin > came:
                raise PassingError(f"the connection ended after {begin + came:,} bytes")


def _append(
    file: IO[bytes],
    client: Client,
    answer: Answer,
    most: int,
    allowance: Allowance,
    advance: Advance,
) -> int:
    came = 0
    for piece in client.pieces(answer, most, allowance):
        file.write(piece)
        came += len(piece)
        advance(len(piece))
    return came


def _begin(answer: Answer, listed: Listed, have: int) -> int:
    """The byte with which an answer begins; a server that knows no ranges begins at the first.

    Raises:
        ChangedError: the answer is of another length or version.
    """
    etag = answer.headers.get("ETag") or listed.etag
    if etag.strip('"') != listed.etag.strip('"'):
        raise ChangedError
    if answer.status == 206:
        if answer.headers.get("Content-Range") != f"bytes {have}-{listed.size - 1}/{listed.size}":
            raise ChangedError
        return have
    if answer.length not in (None, listed.size):
        raise ChangedError
    return 0


def _take_place(part: Path, target: Path) -> None:
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(target)
    sync_folder(target.parent)


def _literal(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
