"""One video cut as a local file and from a server, and what the server sent."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from tinyvirat_build.errors import VideoError
from tinyvirat_build.remote import avi, movie, partial
from tinyvirat_build.remote import video as afar
from tinyvirat_build.remote.client import Client
from tinyvirat_build.remote.objects import RemoteFile, pinned
from tinyvirat_build.remote.video import RemoteVideo
from tinyvirat_build.settings import Encode
from tinyvirat_build.video import index as indexes
from tinyvirat_build.video.agreed import cut_agreed
from tinyvirat_build.video.index import index_video

from .served import Served


@dataclass
class Outcome:
    """Why a video was refused, or its fingerprint, its cuts and what its files hold."""

    reason: str = ""
    fingerprint: str = ""
    fps: str = ""
    cuts: pd.DataFrame | None = None
    files: dict[str, str] | None = None


@dataclass
class Both:
    """What came of a video here and there."""

    here: Outcome
    there: Outcome
    of_index: int = 0  # bytes that were sent for the index
    sent: int = 0  # and in all
    size: int = 0
    why_whole: str = ""

    def differ(self) -> list[str]:
        """In what the two outcomes differ."""
        names = ("reason", "fingerprint", "fps", "files")
        found = [n for n in names if getattr(self.here, n) != getattr(self.there, n)]
        one, other = self.here.cuts, self.there.cuts
        if one is not None and other is not None and not one.equals(other):
            found.append("cuts")
        return found


def small_steps(monkeypatch: pytest.MonkeyPatch, *, start: int = 64) -> None:
    """Scale what is read at once down to small videos, and wait for no server."""
    monkeypatch.setattr(Client, "pause", lambda *_: None)
    for module in (afar, indexes):
        monkeypatch.setattr(module, "_MIB", 4096)
    monkeypatch.setattr(afar, "_START", start)
    monkeypatch.setattr(partial, "JOIN", 512)
    monkeypatch.setattr(movie, "_AHEAD", 512)
    monkeypatch.setattr(avi, "_AHEAD", 2048)


def cut_both(served: Served, video: Path, clips: pd.DataFrame, work: Path) -> Both:
    """Cut clips from a file of the served folder, as a local one and from the server."""
    here, there = Outcome(), Outcome()
    both = Both(here, there, size=video.stat().st_size)
    encode = Encode(pack=True)
    try:
        index = index_video(video)
        here.fingerprint, here.fps = index.fingerprint, str(index.fps)
        out = _folder(work / "here")
        how = {"max_held": 0.1, "pack_path": out / "clips.yuv"}
        here.cuts = cut_agreed(video, index, clips, out, encode, **how)  # type: ignore[arg-type]
        here.files = _files(out)
    except VideoError as e:
        here.reason = e.reason
    before = served.sent
    try:
        remote = remote_video(served, video, work / "parts")
        index = remote.index()
        both.of_index, both.why_whole = served.sent - before, remote.why_whole
        there.fingerprint, there.fps = index.fingerprint, str(index.fps)
        out = _folder(work / "there")
        how = {"max_held": 0.1, "pack_path": out / "clips.yuv"}
        again = RemoteVideo.at(work / "parts", remote.parts.ranges.file)  # as another process does
        there.cuts = again.cut(index, clips, out, encode, **how)
        there.files = _files(out)
        both.why_whole = both.why_whole or again.why_whole
    except VideoError as e:
        there.reason = e.reason
    both.sent = served.sent - before
    return both


def remote_video(served: Served, video: Path, parts: Path) -> RemoteVideo:
    """A file of the served folder as it is read from afar."""
    url = f"{served.url}/{video.relative_to(served.folder).as_posix()}"
    return RemoteVideo.at(parts, pinned([RemoteFile(url, -1, "")])[0])


def _folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def _files(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}
