"""A user's own corpus; the YAML file behind it is read by :mod:`.described`."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tinyvirat_build import labels
from tinyvirat_build.errors import AnnotationError, DataError, SettingsError
from tinyvirat_build.formats import Dialect
from tinyvirat_build.formats.videos import SUFFIX
from tinyvirat_build.records import Issue
from tinyvirat_build.settings import CLASSES, Settings
from tinyvirat_build.sources import Discovery, Entry, Region
from tinyvirat_build.sources.files import Found, is_folder, repeated, walk
from tinyvirat_build.sources.parse import read
from tinyvirat_build.sources.parts import owner_of, part_files
from tinyvirat_build.store.packed import Packed

SET: Final = "own"  # the one annotation set, whatever format it is in: clips keep their ids
_VIDEO: Final = re.compile(rf"(.+?)(?:{SUFFIX})", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Custom:
    """A source that a YAML file describes."""

    file: Path
    name: str
    format: str
    annotations: Path = Path()
    videos: Path | None = None
    dialect: Dialect = ""
    first_frame: int = 0
    inclusive: bool = False
    mapping: tuple[tuple[str, tuple[str, ...]], ...] | str | None = None
    classes: str | tuple[str, ...] = ""  # empty: what the settings say
    grouping: re.Pattern[str] | None = None
    groups: Mapping[str, str] | None = None
    tables: tuple[Path, ...] = ()  # that the description itself names
    regions: tuple[tuple[re.Pattern[str], Region], ...] = ()
    width: int = 1920
    height: int = 1080
    fps: str = "30"
    attribution: str = ""
    license_text: str = ""

    def discover(self, data: Path, settings: Settings) -> Discovery:
        """The corpus's videos with an annotation below the folders that the file names.

        Raises:
            DataError: a folder is missing, or holds no annotation of the format.
            SettingsError: a label is not in the class list.
        """
        found = self.survey(data, settings)
        if not found.entries:
            why = [f", but {i.file} ({i.reason}: {i.detail})" for _, i in found.issues[:1]]
            raise DataError(
                f"{self.file}: no {self.format} annotation below {data / self.annotations}"
                f"{''.join(why)}; mend `annotations` or `format`, or give another --data"
            )
        return found

    def survey(self, data: Path, settings: Settings) -> Discovery:
        """As :meth:`discover`, but finding nothing is no error."""
        mapping = self._mapping(settings)
        folder = data / self.annotations
        found = self._collect(folder, data / (self.videos or self.annotations))
        issues = found.notes
        videos = found.videos
        entries = Packed(self._entries(folder, mapping, found, videos, issues))
        return Discovery(
            entries, tuple(issues), (), tuple(videos.items()), tuple(sorted(found.unplaced))
        )

    def _entries(
        self,
        folder: Path,
        mapping: tuple[tuple[str, tuple[str, ...]], ...] | None,
        found: Found,
        videos: Mapping[str, Path],
        issues: list[tuple[str, Issue]],
    ) -> Iterator[Entry]:
        """The videos in the order of their names; ``issues`` takes what is told of them."""
        for _, video_id in sorted(found.annotations):
            picked = found.pick("", video_id, [self.format])
            if picked is None:
                found.leave("", video_id)
                continue
            _, paths, again = picked
            relative = (Path(f).relative_to(folder) for f in again)
            issues += [(video_id, repeated(self.name, video_id, f)) for f in relative]
            group = self._group_of(video_id)
            if group is None:
                group = video_id
                issues.append((video_id, _alone(video_id)))
            yield Entry(
                source=self.name,
                video_id=video_id,
                annotation_set=SET,
                format=self.format,
                files=tuple(paths),
                video=videos.get(video_id),
                namespace=self.name,
                session=group,
                width=self.width,
                height=self.height,
                fps=self.fps,
                dialect=self.dialect,
                first_frame=self.first_frame,
                inclusive=self.inclusive,
                mapping=mapping,
                regions=tuple(r for which, r in self.regions if which.fullmatch(video_id)),
            )

    def default_data(self, out: Path) -> Path | None:
        """The YAML file's own folder."""
        return self.file.parent

    def settle(self, data: Path, settings: Settings) -> Settings:
        """The settings with this corpus's classes, unless others are asked for.

        ``classes: auto`` are the labels, or without them the names of all activities, sorted; for
        these every annotation is read.
        """
        if not self.classes or settings.classes != CLASSES or self.name in settings.labels:
            return settings
        if self.classes != "auto":
            return replace(settings, classes=self.classes)
        if isinstance(self.mapping, tuple):
            own = sorted({name for _, labels in self.mapping for name in labels})
            return replace(settings, classes=tuple(own)) if own else settings
        if self.mapping:
            raise SettingsError(
                f"{self.file}: classes: auto takes the names or labels of this file, and `labels` "
                "names a map; name the class list that the map speaks of"
            )
        try:
            entries = self.survey(data, settings).entries
        except DataError:
            return settings  # for the build to tell
        names: set[str] = set()
        for entry in entries:
            with contextlib.suppress(AnnotationError):
                found = read(entry, settings)
                tables = (found.activities, found.without_geometry)
                names.update(*(map(str, t["name"]) for t in tables if t is not None))
        return replace(settings, classes=tuple(sorted(names))) if names else settings

    def _collect(self, folder: Path, videos: Path) -> Found:
        """The annotations, and the videos; a folder of videos may be missing, as they may."""
        found = Found.nothing()
        for place, name in walk(folder):
            video_id = None if self._is_own(place, name) else owner_of(name, self.format)
            if video_id is not None:
                found.add("", video_id, self.format, place, name)
        part_files(found, self.format)
        for place, name in walk(videos) if is_folder(videos) else ():
            match = _VIDEO.fullmatch(name)
            if match:
                found.add_video(match[1], 0, place, name)
        return found

    def _is_own(self, folder: str, name: str) -> bool:
        """Whether a file is the description itself, or a table that it names."""
        named = [table for table in self.tables if table.name == name]
        return name.startswith(self.file.name) or (
            bool(named) and Path(folder, name).resolve() in [table.resolve() for table in named]
        )

    def _mapping(self, settings: Settings) -> tuple[tuple[str, tuple[str, ...]], ...] | None:
        """The labels, checked against the class list; None where the settings name a map."""
        if self.name in settings.labels or self.mapping is None:
            return None
        classes = labels.load_classes(settings.classes)
        if isinstance(self.mapping, str):
            return tuple(labels.load_map(self.mapping, classes).labels.items())
        made = labels.make_map(self.name, self.mapping, classes, f"{self.file}: labels")
        return tuple(made.labels.items())

    def _group_of(self, video_id: str) -> str | None:
        """The group of a video, itself where none is described; None if it is in none."""
        if self.groups is not None:
            return self.groups.get(video_id) or None
        if self.grouping is None:
            return video_id
        match = self.grouping.search(video_id)
        return "_".join(g or "" for g in match.groups() or (match[0],)) if match else None


def _alone(video_id: str) -> Issue:
    return Issue(
        "discover", "no_group", "noted", f"video {video_id}",
        detail="a group of its own, which may part it from its like between the splits",
    )  # fmt: skip
