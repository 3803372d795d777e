"""A build's release, and its pack, given away through a bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tinyvirat_build import progress
from tinyvirat_build.errors import BuildError
from tinyvirat_build.pack.read import read_header
from tinyvirat_build.pipeline.opened import OpenedBuild
from tinyvirat_build.released.layout import FOLDER
from tinyvirat_build.remote.upload import Outgoing, Uploaded, open_store, upload
from tinyvirat_build.store import many

_SHOWN = 20  # files that failed


def upload_build(
    build: OpenedBuild, url: str, *, pack: bool, quiet: bool, say: Callable[[str], object] = print
) -> Uploaded:
    """Upload ``TinyVIRAT_V2/``, and ``pack/`` where it is asked for, and list them as one version.

    The test labels beside the release stay here; a pack that is not public has them, and that is
    said.

    Raises:
        BuildError: the build is not published, or has no pack.
        PackError: the pack cannot be used.
        SettingsError: ``url`` is no bucket.
        DataError: the bucket cannot be listed or written.
    """
    store = open_store(url)
    if not build.published:
        raise BuildError(f"{build.path} is not published; run `tinyvirat-build publish` first")
    files = list(_release(build))
    if pack:
        files += _pack(build, say)
    total = sum(file.path.stat().st_size for file in files)
    with progress.counting(total, "upload", "B", quiet=quiet) as count:
        done = upload(store, files, count.add, at=url)
    for name, why in list(done.failed.items())[:_SHOWN]:
        say(f"  {name}: {why}")
    if done.failed:
        say(f"{many(len(done.failed), 'file')} failed; nothing new is listed at {url}.")
    else:
        say(
            f"{url} lists version {done.version}: {many(done.sent, 'file')} sent, there before: "
            f"{done.there:,}."
        )
    return done


def _release(build: OpenedBuild) -> Iterator[Outgoing]:
    """The files of the release; a clip has the checksum with which it was cut."""
    clips = build.table("clips", ["path", "sha256"]).dropna()
    sums = dict(zip(clips["path"], clips["sha256"], strict=True))
    for path in sorted((build.path / FOLDER).rglob("*")):
        if path.is_file():
            name = path.relative_to(build.path).as_posix()
            yield Outgoing(name, path, sums.pop(name, ""))
    if sums:
        raise BuildError(
            f"{many(len(sums), 'clip')} of the release not there, e.g. {build.path / min(sums)}; "
            f"run `tinyvirat-build all --out {build.path}`"
        )


def _pack(build: OpenedBuild, say: Callable[[str], object]) -> Iterator[Outgoing]:
    root = build.path / "pack"
    if not root.is_dir():
        raise BuildError(f"{build.path} has no pack; build with --set encode.pack=true")
    header = read_header(root)
    if not header["public"]:
        say(
            "The pack holds the labels of the test clips: keep the bucket private, or build with "
            "--set publish.public=true."
        )
    for shard in header["shards"]:
        yield Outgoing(f"pack/{shard['file']}", root / shard["file"], shard["sha256"])
    for name, checksum in (("index.parquet", header["index_sha256"]), ("pack.json", "")):
        yield Outgoing(f"pack/{name}", Path(root, name), checksum)
