"""Which annotation file of a user's corpus is whose: by its name, or by what it says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tinyvirat_build.errors import AnnotationError
from tinyvirat_build.formats import actev_tree, csv_tables, cvat_xml, kwcoco
from tinyvirat_build.records import Issue
from tinyvirat_build.sources.files import Found

_FILES: Final = {
    "kpf": re.compile(r"(.+?)[.-](?:activities|geom|types|regions)\.ya?ml", re.DOTALL),
    "virat-text": re.compile(r"(.+?)(?:\.viratdata)?\.(?:events|objects|mapping)\.txt", re.DOTALL),
    "actev-json": re.compile(
        r"(.+?)(?:[.-](?:activities|file-index|activity-index))?\.json", re.DOTALL
    ),
    "cuboids": re.compile(r"(.+?)\.json", re.DOTALL),
    "cvat-xml": re.compile(r"(.+?)\.xml", re.DOTALL),
    "dive": re.compile(
        r"(?!(?:meta|config)\.json)(?:result_)?(.+?)(?:\.(?:annotations|viame|dive))*\.(?:csv|json)",
        re.DOTALL,
    ),
    "kwcoco": re.compile(r"(.+?)(?:\.(?:kwcoco|mscoco|coco))?\.json", re.DOTALL),
    "csv": re.compile(r"(?:(.+?)[.-])?(?:activities|boxes)\.csv", re.DOTALL),
}


def owner_of(name: str, format: str) -> str | None:
    """The video after which a file of the format is named; None for other files.

    A file whose name tells of no video is called after its kind until it is read.

    >>> owner_of("cam1.activities.yml", "kpf"), owner_of("boxes.csv", "csv")
    ('cam1', 'activities')
    >>> owner_of("result_cam1.json", "dive"), owner_of("cam1.annotations.viame.csv", "dive")
    ('cam1', 'cam1')
    """
    match = _FILES[format].fullmatch(name)
    return (match[1] or "activities") if match else None


def part_files(found: Found, format: str) -> None:
    """Give each file that names its videos itself to each of them.

    An ActEV JSON that speaks of one video alone belongs to the one after which it is named.
    """
    videos_of = _VIDEOS.get(format)
    for key in list(found.annotations) if videos_of else ():
        for folder, files in found.folders(*key, format).items():
            names: set[str] = set()
            for path in files:
                try:
                    own, issues = videos_of(path) if videos_of else (set(), [])
                except AnnotationError:
                    continue  # for the reader to tell
                names |= own
                found.refused += [(key[1], issue) for issue in issues]
            if not names or (format == "actev-json" and (len(names) == 1 or key[1] in names)):
                continue
            kept = [f for f in found.annotations[key] if f[:2] != (format, folder)]
            found.annotations[key] = kept
            for name in sorted(names):
                for path in files:
                    found.add("", name, format, folder, path.name)
        if not found.annotations[key]:
            del found.annotations[key]


def _actev_videos(path: Path) -> tuple[set[str], list[Issue]]:
    return set() if path.name.endswith("-index.json") else set(actev_tree.videos_in(path)), []


_VIDEOS: Final[dict[str, Callable[[Path], tuple[set[str], list[Issue]]]]] = {
    "actev-json": _actev_videos,
    "csv": csv_tables.videos_in,
    "cvat-xml": cvat_xml.videos_in,
    "kwcoco": kwcoco.videos_in,
}
