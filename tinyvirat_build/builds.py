"""The library's door: build, open what was built, and ask it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyvirat_build import store
from tinyvirat_build.ask.verify import Report, verify
from tinyvirat_build.audit import Audit
from tinyvirat_build.engine import default_workers
from tinyvirat_build.errors import BuildError, SettingsError
from tinyvirat_build.exports import Exported, export
from tinyvirat_build.labels import load_classes
from tinyvirat_build.pipeline import folder
from tinyvirat_build.pipeline.audited import audit_tables
from tinyvirat_build.pipeline.opened import OpenedBuild
from tinyvirat_build.pipeline.request import Request
from tinyvirat_build.pipeline.run import run
from tinyvirat_build.records import SCHEMAS
from tinyvirat_build.report import draw_figures
from tinyvirat_build.settings import Settings


def build(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] | None = None,
    preset: str | None = None,
    config: str | os.PathLike[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    workers: int | None = None,
    until: str = "stats",
    limit: int | None = None,
    engine: str = "local",
    address: str | None = None,
    videos: str | os.PathLike[str] = "",
    quiet: bool = True,
) -> Build:
    """Build a dataset and return it; what is finished already is not done again.

    Args:
        source: ``meva``, ``virat``, ``demo`` or the YAML file of an own corpus; one or several.
        out: the build folder.
        data: the folder in which annotations and videos are found, at any depth.
        preset: a shipped preset (see ``tinyvirat-build config --presets``).
        config: a YAML file of settings, over the preset.
        settings: single settings over both, e.g. ``{"crop.max_side": 96}``.
        workers: processes; default: one a processor.
        until: the last stage to run.
        limit: a trial: plan and cut only the first so many videos that give clips.
        engine: one of ``engine.NAMES``: ``local``, or one for the machines of an existing cluster.
        address: where that cluster is; default: the one that runs on this machine.
        videos: where the videos lie that are not below ``data``: a folder, or a URL.
        quiet: no progress bars.

    Raises:
        TinyviratError: bad settings, missing data, or a folder that cannot be used.
    """
    several = [source] if isinstance(source, str | os.PathLike) else list(source)
    request = Request(
        sources=tuple(os.fspath(one) for one in several),
        data=Path(data) if data is not None else None,
        out=Path(out),
        settings=Settings.load(preset, Path(config) if config else None, _overrides(settings)),
        workers=workers,
        limit=limit,
        engine=engine,
        address=address,
        quiet=quiet,
        videos=os.fspath(videos),
    )
    run(request, until=until)
    return open_build(out)


def _overrides(settings: Mapping[str, Any] | None) -> list[str]:
    """Settings as ``key=value``; paths as text, and numpy's numbers as numbers.

    >>> _overrides({"chunk.length": np.int64(32), "classes": Path("a.csv")})
    ['chunk.length=32', 'classes="a.csv"']
    """

    def plain(value: Any) -> Any:
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        if isinstance(value, np.generic):
            return value.item()
        raise SettingsError(f"a setting is no {type(value).__name__}; give numbers, texts or lists")

    return [f"{k}={json.dumps(v, default=plain)}" for k, v in (settings or {}).items()]


def open_build(path: str | os.PathLike[str]) -> Build:
    """Open a build folder.

    Raises:
        BuildError: the folder holds no build, a damaged one, or that of another version.
    """
    return Build.open(path)


class Build(OpenedBuild):
    """A build on disk, and what can be asked of it."""

    def verify(self, *, sample: int | None = None, workers: int | None = None) -> Report:
        """Compare clips with their sources, decoded independently, and the tables with files.

        Args:
            sample: so many clips, drawn evenly; default: all.
            workers: processes; default: one a processor.

        Returns:
            A report whose ``problems`` are empty where all is proven.

        Raises:
            SettingsError: a sample or workers under 1.
            BuildError: the build is not published yet.
            DataError: a source video is not where it was.
        """
        if (sample is not None and sample < 1) or (workers is not None and workers < 1):
            raise SettingsError("verify: sample and workers are 1 or more")
        return verify(self, sample=sample, workers=workers or default_workers(), quiet=True)

    def export(
        self, to: str, dest: str | os.PathLike[str] | None = None, *, public: bool = False
    ) -> Exported:
        """Write the build in the format of another tool or library; see docs/export.md.

        Args:
            to: ``tinyvirat-v1``, ``huggingface``, ``webdataset``, ``videomae``, ``fiftyone``,
                ``kwcoco`` or ``dive``.
            dest: a folder that is empty, not there, or holds this export; default: of the build,
                ``exports/`` and the target's name.
            public: a test clip tells neither its labels nor its source.

        Returns:
            The folder, and what the format cannot hold.

        Raises:
            SettingsError: an unknown target, or one that cannot be public.
            BuildError: the build is not ready, or ``dest`` holds something else.
        """
        return export(self, to, None if dest is None else Path(dest), public=public)

    def draw_figures(self) -> list[Path]:
        """Draw Figures 2 and 3 of the paper into ``stats/``, from the plan if nothing is cut.

        Raises:
            BuildError: the build is not filtered yet.
        """
        table = folder.clip_table(self.path)
        if table is None or "split" not in SCHEMAS[table.stem].names:
            raise BuildError(
                f"{self.path} is not filtered yet with these settings; run `tinyvirat-build all "
                f"--until filter --out {self.path}`"
            )
        classes = load_classes(self.settings.classes)
        return draw_figures(self.path, store.read_table(table), self.settings, classes)

    def audit(self, *, quiet: bool = True) -> Audit:
        """Are the labels complete, do the splits keep apart, are clips short or held?

        Videos are looked at one after the other, so that memory does not grow with their number.

        Args:
            quiet: no progress bars.
        """
        clips = "clips" if self.published else "clips_filtered"
        for name in (clips, "videos", "issues", "balance", "activities", "boxes"):
            self.table_file(name)  # up to date, or an error that says what to run
        classes = load_classes(self.settings.classes)
        return audit_tables(self.path, clips, self.settings, classes, quiet=quiet)
