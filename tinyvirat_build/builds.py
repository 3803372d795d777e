"""A build as an object: its settings, its tables, and what can be asked of it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from tinyvirat_build import engine, sources, store
from tinyvirat_build.audit import Audit, audit
from tinyvirat_build.config import Settings
from tinyvirat_build.errors import BuildError, DataError, SettingsError
from tinyvirat_build.labels import load_classes
from tinyvirat_build.pipeline import folder
from tinyvirat_build.pipeline.folder import FORMAT, other_version
from tinyvirat_build.pipeline.request import Request
from tinyvirat_build.pipeline.run import run
from tinyvirat_build.records import SCHEMAS, Key
from tinyvirat_build.report import draw_figures
from tinyvirat_build.sources import Entry
from tinyvirat_build.verify import Report, verify


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
        limit: a trial: plan and cut only the first so many videos.
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
        workers=engine.default_workers() if workers is None else workers,
        limit=limit,
        quiet=quiet,
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
    root = Path(path)
    file = root / "build.yaml"
    try:
        tree = yaml.safe_load(file.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError) as e:
        raise BuildError(f"{root} holds no build; make one with `tinyvirat-build all`") from e
    except (OSError, ValueError, yaml.YAMLError) as e:
        raise BuildError(f"cannot read {file}: {e}; run `tinyvirat-build all` again") from e
    damaged = f"{file} is damaged; run `tinyvirat-build all` again with the build's own settings"
    if not isinstance(tree, dict) or not isinstance(tree.get("sources"), list):
        raise BuildError(damaged)
    if tree.get("format") != FORMAT:
        raise BuildError(other_version(file, tree.get("format")))
    try:
        settings = Settings.from_dict(tree["settings"])
    except (KeyError, TypeError, AttributeError) as e:
        raise BuildError(damaged) from e
    except SettingsError as e:
        raise BuildError(f"{file}: {e}") from e
    return Build(root, settings, tuple(map(str, tree["sources"])), tree.get("limit"))


@dataclass(frozen=True)
class Build:
    """A build on disk."""

    path: Path
    settings: Settings
    sources: tuple[str, ...]
    limit: int | None = None

    def table(self, name: str) -> pd.DataFrame:
        """A stage's table, e.g. ``clips``, ``issues`` or ``boxes``.

        Raises:
            BuildError: there is no such table, its stage has not run, or not with the settings
                that the build has now.
        """
        if name not in SCHEMAS:
            raise BuildError(f"no table {name!r}; the tables are {', '.join(sorted(SCHEMAS))}")
        file = folder.table_path(self.path, name)
        if not file.exists():
            raise BuildError(f"{file} is not there yet; run the stage that writes it")
        table = store.read_table(file)
        if not folder.holds(file):
            raise BuildError(folder.not_up_to_date(file))
        return table

    @cached_property
    def clips(self) -> pd.DataFrame:
        """The manifest: one row a clip, with its source, window, labels, split and file."""
        return self.table("clips")

    @cached_property
    def issues(self) -> pd.DataFrame:
        """Everything that was not kept as it was, with its reason."""
        return self.table("issues")

    @property
    def published(self) -> bool:
        """Whether the manifest is written, with the settings that the build has now."""
        file = folder.table_path(self.path, "clips")
        return file.is_file() and folder.holds(file)

    @property
    def data(self) -> Path | None:
        """The data folder that the build was made from, as this machine knows it."""
        try:
            data = json.loads((self.path / "log" / "data.json").read_text("utf-8"))["data"]
        except (OSError, ValueError, KeyError):
            return None
        return Path(data) if data else None

    def entries(self, data: Path | None = None) -> dict[Key, Entry]:
        """The source videos by (source, video_id, annotation_set), looked up in the data folder.

        Raises:
            DataError: the data folder is not known any more.
        """
        found: dict[Key, Entry] = {}
        for name in self.sources:
            source = sources.get(name)
            folder = data or self.data or source.default_data(self.path)
            if folder is None:
                raise DataError(f"the data folder of {self.path} is not known here; give --data")
            for e in source.discover(folder, self.settings).entries:
                found[e.key] = e
        return found

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
        return verify(self, sample=sample, workers=workers or engine.default_workers(), quiet=True)

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

    def audit(self) -> Audit:
        """Are the labels complete, do the splits keep apart, are clips short or held?"""
        published = self.published
        tables = {n: self.table(n) for n in ("activities", "boxes", "videos")}
        tables["clips"] = self.table("clips" if published else "clips_filtered")
        return audit(
            tables,
            classes=load_classes(self.settings.classes),
            targets=self.settings.partition.targets,
            root=self.path if published else None,
        )

    def clip(self, clip_id: str) -> pd.Series[Any]:
        """One row of the manifest, by clip id or by the start of one.

        Raises:
            BuildError: no clip or several clips begin so.
        """
        clips = self.table("clips" if self.published else "clips_planned")
        rows = clips[clips["clip_id"].str.startswith(clip_id)]
        if len(rows) != 1:
            raise BuildError(
                f"{len(rows)} clips begin with {clip_id!r} in {self.path}; give the whole clip id"
            )
        return rows.iloc[0]
