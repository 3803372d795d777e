"""What an export is made from: the clips of a build, and the texts that go with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from tinyvirat_build import store
from tinyvirat_build.errors import BuildError
from tinyvirat_build.labels import load_classes
from tinyvirat_build.pipeline.opened import OpenedBuild
from tinyvirat_build.records import SPLITS
from tinyvirat_build.released.card import exported
from tinyvirat_build.released.layout import ATTRIBUTION, CARD, FOLDER, LICENSE

ABOUT: Final = (LICENSE, ATTRIBUTION, CARD)  # of what is given away, those that are there

_COLUMNS: Final = [
    "source", "video_id", "annotation_set", "clip_id", "split", "id", "path", "n_frames",
    "height", "width", "labels", "fps",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class ExportClip:
    """A clip with its file; ``labels`` in class order, None where they are not given away."""

    split: str
    id: str  # in its split
    video_id: str
    clip_id: str
    file: Path
    frames: int
    height: int
    width: int
    fps: str  # rational
    labels: tuple[str, ...] | None

    @property
    def dim(self) -> list[int]:
        """Frames, height and width."""
        return [self.frames, self.height, self.width]

    def size(self) -> int:
        """The bytes of its file.

        Raises:
            BuildError: the build lacks it.
        """
        try:
            return self.file.stat().st_size
        except FileNotFoundError as e:
            raise BuildError(
                f"{self.file} is missing; `tinyvirat-build verify --repair` makes it again"
            ) from e


@dataclass(frozen=True)
class Given:
    """A build to export. Of what is ``public``, a test clip tells neither label nor source."""

    build: OpenedBuild
    public: bool

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The build's classes, in the order of their numbers."""
        return load_classes(self.build.settings.classes)

    @cached_property
    def clips(self) -> tuple[ExportClip, ...]:
        """The clips that have a file: train, val, test, each in order of id.

        Raises:
            BuildError: the build is not published.
        """
        table = self.build.table("clips", _COLUMNS)
        rows = table[table["id"].notna()]
        found = [self._clip(row) for row in rows.to_dict("records")]
        order = {split: n for n, split in enumerate(SPLITS)}
        return tuple(sorted(found, key=lambda c: (order[c.split], len(c.id), c.id)))

    def _clip(self, row: dict[Any, Any]) -> ExportClip:
        hidden = self.public and row["split"] == "test"
        return ExportClip(
            split=row["split"],
            id=row["id"],
            video_id=row["id"] if hidden else row["video_id"],
            clip_id=row["id"] if hidden else row["clip_id"],
            file=self.build.path / row["path"],
            frames=int(row["n_frames"]),
            height=int(row["height"]),
            width=int(row["width"]),
            fps=row["fps"],
            labels=None if hidden else tuple(row["labels"]),
        )

    def of(self, split: str) -> Iterator[ExportClip]:
        """The clips of a split."""
        return (clip for clip in self.clips if clip.split == split)

    def numbers(self, clip: ExportClip) -> list[int] | None:
        """The numbers of a clip's classes, None where its labels are not given away."""
        return None if clip.labels is None else [self._number[name] for name in clip.labels]

    @cached_property
    def _number(self) -> dict[str, int]:
        return {name: n for n, name in enumerate(self.classes)}

    def write_about(self, folder: Path) -> None:
        """Put licence, attribution and card of the released folder into an export of clips."""
        for name in ABOUT:
            text = self.build.path / FOLDER / name
            if text.is_file():
                told = text.read_text("utf-8")
                store.write_text(folder / name, exported(told) if name == CARD else told)

    def key(self, target: str, tables: Sequence[str]) -> str:
        """What an export depends on, as a hash.

        Raises:
            BuildError: one of the tables is not written, or of an earlier run.
        """
        files = [self.build.table_file(name) for name in tables]
        files += [p for p in (self.build.path / FOLDER / name for name in ABOUT) if p.is_file()]
        sums = [store.hash_file(file) for file in files]
        return store.digest(target, _VERSION, self.public, self.classes, sums)


_VERSION: Final = 1  # of what the targets write


def place(clip: ExportClip, target: Path) -> None:
    """Put a clip where an export has it, unless an earlier attempt has done so.

    Raises:
        BuildError: the build lacks the clip.
    """
    size = clip.size()
    if target.is_file():
        if target.stat().st_size == size:
            return
        target.unlink()
    store.link_or_copy(clip.file, target)
