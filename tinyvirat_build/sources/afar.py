"""Videos that do not lie with the annotations: in another folder, or on object storage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from tinyvirat_build.errors import DataError, SettingsError
from tinyvirat_build.formats.safety import safe_name
from tinyvirat_build.formats.videos import VIDEO_SUFFIXES, video_of
from tinyvirat_build.remote.objects import RemoteFile, is_remote, listed, pinned
from tinyvirat_build.sources import Entry, Source
from tinyvirat_build.sources.files import walk

CACHE: Final = "remote"  # of a build: where what is here of remote videos lies

Name = Callable[[str], "tuple[str, int] | None"]
"""The video that a file's name says it is, and its rank among files of that video; None if none."""


def placed(
    entries: Iterable[Entry], sources: Mapping[str, Source], where: str, out: Path
) -> list[Entry]:
    """Entries with their videos looked up in another place, where they lack them.

    A source whose files are not named after their video has a method ``video_named(name)``.

    Raises:
        SettingsError: the place is none.
        DataError: nothing lies there.
    """
    here = list(entries)
    if not is_remote(where):
        folder = _folder(where)
        files = {name: Path(at, name) for at, name in sorted(walk(folder), reverse=True)}
        own = {s: _by_video(files, source) for s, source in sources.items()}
        return [
            replace(e, video=files[own[e.source][e.video_id]])
            if e.video is None and e.video_id in own[e.source]
            else e
            for e in here
        ]
    afar = {f.name: f for f in sorted(listed(where), key=lambda f: f.url, reverse=True)}
    own = {s: _by_video(afar, source) for s, source in sources.items()}
    wanted = [e for e in here if e.video is None and e.video_id in own[e.source]]
    chosen = sorted({own[e.source][e.video_id] for e in wanted})
    known = dict(zip(chosen, pinned([afar[name] for name in chosen]), strict=True))
    return [_afar(e, known.get(own[e.source].get(e.video_id, "")), out) for e in here]


def _afar(entry: Entry, file: RemoteFile | None, out: Path) -> Entry:
    if entry.video is not None or file is None:
        return entry
    folder = out / CACHE / entry.source / entry.annotation_set / entry.video_id
    return replace(entry, video=folder / file.name, remote=file)


def _folder(where: str) -> Path:
    scheme, mark, _ = where.partition("://")
    if not mark:
        return Path(where)
    if scheme != "file":
        raise SettingsError(f"--videos {where}: give s3://, https://, file:// or a folder")
    parts = urlsplit(where)
    if parts.netloc not in ("", "localhost"):
        raise DataError(f"--videos {where} names another machine; give file:///FOLDER")
    return Path(unquote(parts.path))


def _by_video(names: Iterable[str], source: Source) -> dict[str, str]:
    """The best file of each video, by its name."""
    name_of: Name = getattr(source, "video_named", _plain)
    best: dict[str, tuple[int, str]] = {}
    for name in _readable(names):
        if found := name_of(name):
            video, rank = found
            if safe_name(video):
                best[video] = min(best.get(video, (rank, name)), (rank, name))
    return {video: name for video, (_, name) in best.items()}


def _readable(names: Iterable[str]) -> Sequence[str]:
    return [n for n in names if n.isprintable() and n.lower().endswith(VIDEO_SUFFIXES)]


def _plain(name: str) -> tuple[str, int]:
    return video_of(name), 0
