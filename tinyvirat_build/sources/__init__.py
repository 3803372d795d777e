"""What a corpus is: its files, dialects, labels, cameras and videos."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tinyvirat_build.config import Settings
from tinyvirat_build.formats import Dialect
from tinyvirat_build.records import Issue


@dataclass(frozen=True, slots=True)
class Entry:
    """One video of a corpus in one annotation set: everything that parse needs to know of it."""

    source: str
    video_id: str
    annotation_set: str
    format: str  # kpf, virat-text, actev-json or cuboids
    files: tuple[Path, ...]
    video: Path | None  # the video's file, if it is present
    namespace: str  # which label map reads its names: "meva", "meva-2019", "virat-text", …
    camera: str = ""
    scene: str = ""
    session: str = ""
    group: str = ""  # the default group of the partition: MEVA's time slot, VIRAT's session
    width: int = 1920  # assumed until the video is indexed
    height: int = 1080
    fps: str = "30"
    dialect: Dialect = ""


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a source found below the data folder; the entries are ordered by their keys."""

    entries: tuple[Entry, ...]
    issues: tuple[tuple[str, Issue], ...] = ()  # (video_id, issue)


class Source(Protocol):
    """A corpus. A new one is one file in ``sources/`` or an entry point."""

    name: str
    attribution: str  # text of the ATTRIBUTION file for this corpus
    license_text: str  # name or short text of the annotations' licence

    def discover(self, data: Path, settings: Settings) -> Discovery:
        """Find annotations and videos by their known names at any depth below ``data``.

        Raises:
            DataError: nothing of the corpus lies there; the message says what was looked for.
        """
        ...
