"""What every source needs to find its files: one walk, the cameras, and sets of one folder."""

from __future__ import annotations

import csv
import functools
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from tinyvirat_build.errors import DataError
from tinyvirat_build.formats.safety import safe_name, shown
from tinyvirat_build.formats.videos import COMMON_SUFFIXES, RAW_SUFFIXES
from tinyvirat_build.records import Issue
from tinyvirat_build.settings import annotations_dir
from tinyvirat_build.sources import Entry
from tinyvirat_build.store.means import lacking


@dataclass(frozen=True, slots=True)
class Camera:
    """What is assumed of a camera's pictures until the video itself is indexed."""

    width: int
    height: int
    fps: str
    indoor: bool | None = None  # where it is known


@functools.cache
def cameras() -> Mapping[str, Camera]:
    """The table of cameras that comes with the package, ``annotations/cameras.csv``."""
    with (annotations_dir() / "cameras.csv").open(encoding="utf-8", newline="") as file:
        return {
            row["camera"]: Camera(
                int(row["width"]),
                int(row["height"]),
                row["fps"],
                {"yes": True, "no": False}.get(row["indoor"]),
            )
            for row in csv.DictReader(file)
        }


def walk(data: Path) -> Iterator[tuple[str, str]]:
    """Every file below a folder as (folder, name), in sorted order; hidden folders are left out.

    Symbolic links are followed; a folder that is reached twice through one is walked once.

    Raises:
        DataError: there is no such folder, or it cannot be read.
    """
    if not is_folder(data):
        raise DataError(f"no folder {data}; give the folder of the annotations and videos")
    seen: set[tuple[int, int]] = set()
    stack = [str(data)]
    while stack:
        folder = stack.pop()
        below: list[str] = []
        found: list[str] = []
        try:
            with os.scandir(folder) as items:
                for item in items:
                    if item.name.startswith("."):
                        continue
                    if not item.is_dir():
                        found.append(item.name)
                        continue
                    if item.is_symlink():
                        status = item.stat()
                        if (status.st_dev, status.st_ino) in seen or _is_above(item.path, folder):
                            continue
                        seen.add((status.st_dev, status.st_ino))
                    below.append(item.path)
        except OSError as e:
            raise lacking(e) or DataError(
                f"cannot read folder {folder}: {e.strerror}; make it readable or move it away"
            ) from e
        for name in sorted(found):
            yield folder, name
        stack.extend(sorted(below, reverse=True))


def _is_above(link: str, folder: str) -> bool:
    """Whether a link leads to a folder that it lies in, so that a walk would never end."""
    target = os.path.realpath(link)
    here = os.path.realpath(folder)
    return here == target or here.startswith(target + os.sep)


def parts_of(folder: str, data: Path) -> tuple[list[str], list[str]]:
    """The names of the folders from ``data`` (its own included) down, and of those above it."""
    root = data.resolve()
    return [root.name, *Path(folder).relative_to(data).parts], list(root.parent.parts)


@dataclass(slots=True)
class Found:
    """The annotation files and videos of a corpus, as one walk met them."""

    annotations: dict[tuple[str, str], list[tuple[str, str, str]]]
    """(set, video_id) -> (format, folder, name) of each file"""
    ranked: dict[str, tuple[int, bool, Path]]
    """video_id -> the best video file, after what ranks it"""
    unplaced: list[Path]
    refused: list[tuple[str, Issue]]
    """(video_id, issue) of files that are none, or whose names no table or terminal can take"""
    raw: dict[str, Path] = field(default_factory=dict)
    """video_id -> a raw stream of that name"""

    @classmethod
    def nothing(cls) -> Found:
        """Before the walk."""
        return cls({}, {}, [], [])

    def add(self, annotation_set: str, video_id: str, kind: str, folder: str, name: str) -> None:
        """Note an annotation file."""
        if not self._takes(video_id, folder, name, "quarantined"):
            return
        self.annotations.setdefault((annotation_set, video_id), []).append((kind, folder, name))

    def add_video(self, video_id: str, rank: int, folder: str, name: str) -> None:
        """Note a video file, or a raw stream; of several of one video the lowest rank is used.

        Of equal rank that in a common container is, then the first by its path.
        """
        if not self._takes(video_id, folder, name, "noted"):
            return
        path = Path(folder, name)
        suffix = path.suffix.lower()
        if suffix in RAW_SUFFIXES:
            self.raw.setdefault(video_id, path)
            return
        new = (rank, suffix not in COMMON_SUFFIXES, path)
        self.ranked[video_id] = min(self.ranked.get(video_id, new), new)

    def _takes(self, video_id: str, folder: str, name: str, action: str) -> bool:
        """Whether a file can be used; a link that leads nowhere is for its reader to refuse."""
        path = Path(folder, name)
        reason = detail = ""
        if not safe_name(video_id) or not name.isprintable() or not _is_text(str(path)):
            reason, detail = "unsafe_name", "rename the file, or the folder that it lies in"
        elif path.exists() and not path.is_file():
            reason, detail = "unreadable", "no regular file; replace it"
        if reason:
            record, file = f"video {shown(video_id)}"[:200], shown(name)[:200]
            issue = Issue("discover", reason, action, record, file, detail=detail)
            self.refused.append((shown(video_id)[:200], issue))
        return not reason

    def folders(self, annotation_set: str, video_id: str, kind: str = "") -> dict[str, list[Path]]:
        """The annotation files of a video, or those of one format, by their folder."""
        by_folder: dict[str, list[Path]] = {}
        for own, folder, name in self.annotations.get((annotation_set, video_id), ()):
            if kind in ("", own):
                by_folder.setdefault(folder, []).append(Path(folder, name))
        return by_folder

    def leave(self, annotation_set: str, video_id: str) -> None:
        """Note that a video's annotation files are not read."""
        for files in self.folders(annotation_set, video_id).values():
            self.unplaced += files

    @property
    def videos(self) -> dict[str, Path]:
        """video_id -> file."""
        return {video_id: path for video_id, (*_, path) in sorted(self.ranked.items())}

    @property
    def notes(self) -> list[tuple[str, Issue]]:
        """What was refused, and the annotated videos that are here as raw streams alone."""
        annotated = {video_id for _, video_id in self.annotations}
        detail = "without times a frame has no sure number; put it into a container (mp4, mkv)"
        return self.refused + [
            (v, Issue("discover", "raw_stream", "noted", f"video {v}", path.name, detail=detail))
            for v, path in sorted(self.raw.items())
            if v in annotated and v not in self.ranked
        ]

    def pick(
        self, annotation_set: str, video_id: str, formats: Iterable[str]
    ) -> tuple[str, list[Path], list[str]] | None:
        """The first of the formats that is there: its files, and other folders that repeat it.

        KPF without its activities file (geometry alone) is none; where another folder has the
        activities, it becomes unplaced.
        """
        for kind in formats:
            by_folder = self.folders(annotation_set, video_id, kind)
            folders = sorted(f for f, files in by_folder.items() if _is_whole(kind, files))
            if folders:
                others = (files for folder, files in by_folder.items() if folder not in folders)
                self.unplaced += itertools.chain.from_iterable(others)
                return kind, by_folder[folders[0]], folders[1:]
        return None


def _is_whole(kind: str, files: Iterable[Path]) -> bool:
    heads = {
        "kpf": ("activities",),
        "virat-text": (".events.", ".mapping."),
        "csv": ("activities.",),
    }
    return any(
        head in f.name and not f.name.endswith("-index.json")
        for f in files
        for head in heads.get(kind, ("",))
    )


def is_folder(path: Path) -> bool:
    """Whether there is such a folder; of a name that no folder can have there is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _is_text(path: str) -> bool:
    """Whether a path is one of characters; bytes that are not UTF-8 are none."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def one_actor(read: str, formats: Sequence[str], video_id: str) -> str:
    """What to tell of activities without boxes, where KPF is read for want of a set's JSON.

    >>> one_actor("kpf", ("actev-json", "kpf"), "CLIP")
    "this set's KPF holds the boxes of one actor; CLIP.json, which is missing, has all"
    """
    if read != "kpf" or "actev-json" not in formats[: formats.index("kpf")]:
        return ""
    return (
        f"this set's KPF holds the boxes of one actor; {video_id}.json, which is missing, has all"
    )


def repeated(annotation_set: str, video_id: str, folder: Path) -> Issue:
    """The note that a set holds a video in two folders."""
    return Issue(
        "discover", "duplicate", "noted", f"video {video_id}", shown(str(folder)),
        detail=f"{annotation_set} holds this video in another folder too, which is read",
    )  # fmt: skip


def other(left: Entry, read: Entry) -> Issue:
    """The note that a video is read from a set of higher priority."""
    return Issue(
        "discover", "other_set", "noted", f"video {left.video_id}", left.files[0].name,
        detail=f"{left.annotation_set} is not read, {read.annotation_set} is",
    )  # fmt: skip


def fetching(missing: Iterable[str], issues: Iterable[pd.DataFrame]) -> str:
    """What to do about videos that are missing: of some there may be raw streams."""
    left = set(missing)
    rows = (row for frame in issues for row in frame.itertuples())
    raw = {str(row.video_id): str(row.file) for row in rows if row.reason == "raw_stream"}
    raw = {video: file for video, file in raw.items() if video in left}
    if not raw:
        return "fetch them"
    files = ", ".join([*raw.values()][:3]) + (", …" if len(raw) > 3 else "")
    rest = "" if raw.keys() == left else ", fetch the others"
    return f"raw streams have no times: put {files} into a container (mp4, mkv){rest}"
