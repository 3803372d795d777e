"""A build in the formats of others: datasets for the libraries that train, annotations for tools.

A target is a function that writes a folder, and a line of :data:`TARGETS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tinyvirat_build.errors import BuildError, SettingsError
from tinyvirat_build.exports import (
    dive,
    fiftyone,
    huggingface,
    kwcoco,
    tinyvirat_v1,
    videomae,
    webdataset,
)
from tinyvirat_build.exports.annotated import TABLES
from tinyvirat_build.exports.given import Given
from tinyvirat_build.exports.staging import Exported, stage
from tinyvirat_build.pipeline.opened import OpenedBuild
from tinyvirat_build.store.userfiles import nearest, quoted

FOLDER: Final = "exports"  # of a build


@dataclass(frozen=True, slots=True)
class Target:
    """What a build can be exported to: ``write`` returns what its format cannot hold, by line."""

    write: Callable[[Path, Given], list[str]]
    tables: Sequence[str]  # of the build, that it reads

    @property
    def annotations(self) -> bool:
        """Whether it holds annotations of videos instead of clips."""
        return self.tables is TABLES


_CLIPS: Final = ("clips",)

TARGETS: Final[dict[str, Target]] = {
    "tinyvirat-v1": Target(tinyvirat_v1.write, _CLIPS),
    "huggingface": Target(huggingface.write, _CLIPS),
    "webdataset": Target(webdataset.write, _CLIPS),
    "videomae": Target(videomae.write, _CLIPS),
    "fiftyone": Target(fiftyone.write, _CLIPS),
    "kwcoco": Target(kwcoco.write, TABLES),
    "dive": Target(dive.write, TABLES),
}


def export(
    build: OpenedBuild, to: str, dest: Path | None = None, *, public: bool = False
) -> Exported:
    """Write a build in a target's format; what stands there already is not written again.

    Args:
        build: the build.
        to: one of :data:`TARGETS`.
        dest: a folder that is empty, not there, or holds this export; default: of the build,
            ``exports/`` and the target's name.
        public: a test clip tells neither its labels nor its source.

    Raises:
        SettingsError: an unknown target, or annotations, which tell test's labels, as public.
        BuildError: the build is not ready, or ``dest`` holds something else.
    """
    target = TARGETS.get(to)
    if target is None:
        raise SettingsError(
            f"unknown target {quoted(to)}{nearest(to, TARGETS)}; one of {', '.join(TARGETS)}"
        )
    if public and target.annotations:
        raise SettingsError(
            f"{to} holds the annotations of all videos, those of test too; leave --public out"
        )
    given = Given(build, public)
    folder = build.path / FOLDER / to if dest is None else dest
    _refuse_inside(build.path, folder)
    key = given.key(to, target.tables)
    return stage(folder, key, lambda place: target.write(place, given))


def _refuse_inside(build: Path, folder: Path) -> None:
    """Refuse a folder of a build other than its own for exports.

    Raises:
        BuildError: it is the build, or in it, or around it.
    """
    root, place = build.resolve(), folder.resolve()
    inside = place.is_relative_to(root) and root / FOLDER not in place.parents
    if inside or root.is_relative_to(place):
        raise BuildError(
            f"{folder} is a folder of the build itself, or holds it; give another --dest"
        )


__all__ = ["TARGETS", "Exported", "Target", "export"]
