"""A build on disk, as it is read: its settings, its tables, and the data behind it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Final, Self

import numpy as np
import pandas as pd
import yaml

from tinyvirat_build import sources, store
from tinyvirat_build.errors import BuildError, DataError, SettingsError
from tinyvirat_build.geometry.arrays import Bools
from tinyvirat_build.pipeline import folder
from tinyvirat_build.pipeline.stages import writer_of
from tinyvirat_build.records import SCHEMAS, SPLITS, Key
from tinyvirat_build.settings import Settings
from tinyvirat_build.sources import Entry, afar

_LISTED: Final = 5  # clips that are named where a name may mean several


@dataclass(frozen=True)
class OpenedBuild:
    """A build on disk; nothing here writes."""

    path: Path
    settings: Settings
    sources: tuple[str, ...]
    limit: int | None = None

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
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
        damaged = f"{file} is damaged; run `tinyvirat-build all` again with its own settings"
        if not isinstance(tree, dict) or not isinstance(tree.get("sources"), list):
            raise BuildError(damaged)
        if tree.get("format") != folder.FORMAT:
            raise BuildError(folder.other_version(file, tree.get("format")))
        try:
            settings = Settings.from_dict(tree["settings"])
        except (KeyError, TypeError, AttributeError) as e:
            raise BuildError(damaged) from e
        except SettingsError as e:
            raise BuildError(f"{file}: {e}") from e
        return cls(root, settings, tuple(map(str, tree["sources"])), tree.get("limit"))

    def table(self, name: str, columns: list[str] | None = None) -> pd.DataFrame:
        """A stage's table, e.g. ``clips``, ``issues`` or ``boxes``; or some of its columns.

        Raises:
            BuildError: there is no such table, its stage has not run, or not with the settings
                that the build has now.
        """
        file = self.table_file(name)
        table = store.read_table(file, columns)
        if not folder.holds(file):
            raise BuildError(folder.not_up_to_date(file))
        return table

    def table_file(self, name: str) -> Path:
        """The file of a stage's table.

        Raises:
            BuildError: as for :meth:`table`.
        """
        if name not in SCHEMAS:
            raise BuildError(f"no table {name!r}; the tables are {', '.join(sorted(SCHEMAS))}")
        file = folder.table_path(self.path, name)
        if not file.exists():
            stage = writer_of(name).name
            raise BuildError(
                f"{file} is not there yet; `tinyvirat-build all --until {stage} --out {self.path}` "
                "makes it"
            )
        if not folder.holds(file):
            raise BuildError(folder.not_up_to_date(file))
        return file

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
        data = self._noted("data")
        return Path(data) if data else None

    @property
    def videos(self) -> str:
        """Where the videos lie, if elsewhere than the annotations: a folder or a URL."""
        return self._noted("videos") or ""

    def _noted(self, name: str) -> str | None:
        try:
            noted: str | None = json.loads((self.path / "log" / "data.json").read_text("utf-8"))[
                name
            ]
        except (OSError, ValueError, KeyError):
            return None
        return noted

    def entries(self, data: Path | None = None) -> dict[Key, Entry]:
        """The source videos by (source, video_id, annotation_set), looked up in the data folder.

        Raises:
            DataError: the data folder is not known any more.
        """
        found: dict[Key, Entry] = {}
        named = {}
        for name in self.sources:
            source = sources.get(name)
            root = data or self.data or source.default_data(self.path)
            if root is None:
                raise DataError(f"the data folder of {self.path} is not known here; give --data")
            for e in source.discover(root, self.settings).entries:
                found[e.key] = e
            named[source.name] = source
        if self.videos:
            placed = afar.placed(found.values(), named, self.videos, self.path)
            return {e.key: e for e in placed}
        return found

    def clip(self, name: str) -> pd.Series[Any]:
        """One row of the manifest, or of the plan where nothing is published.

        ``name`` is a clip id or its beginning, a released id, a number with its split
        (``test/00225``) or alone where it is but one clip's, a path of the released layout, or its
        file name where that is but one clip's.

        Raises:
            BuildError: it names no clip, or several.
        """
        clips = self.table("clips" if self.published else "clips_planned")
        rows = clips[_named(clips, name)]
        if rows.empty:
            raise BuildError(
                f"no clip of {self.path} is named {name!r}; give a clip id or its beginning, a "
                "released id, a number with its split (test/00225), a path of the released layout "
                "or its file name; report.html finds clips by their video and labels too"
            )
        if len(rows) > 1:
            known = [_known_as(row) for row in rows.head(_LISTED).to_dict("records")]
            more = f", … and {len(rows) - _LISTED:,} more" * (len(rows) > _LISTED)
            raise BuildError(
                f"{name!r} may be any of {len(rows):,} clips of {self.path}: {', '.join(known)}"
                f"{more}; give one of these, or more of its id"
            )
        return rows.iloc[0]

    def report_page(self) -> Path:
        """The page of the report.

        Raises:
            BuildError: it is not written yet.
        """
        page = self.path / "report.html"
        if not page.is_file():
            raise BuildError(
                f"{page} is not there yet; run `tinyvirat-build all --out {self.path}`"
            )
        return page


def _known_as(row: Mapping[Any, Any]) -> str:
    """A clip by its split and number and its id, or by its id alone."""
    number, clip_id = row.get("id"), str(row["clip_id"])
    return f"{row['split']}/{number} ({clip_id})" if isinstance(number, str) else clip_id


def _named(clips: pd.DataFrame, name: str) -> Bools:
    """Which clips a name may mean."""

    def equals(column: str, value: str) -> Bools:
        return np.array([v == value for v in clips[column]], bool)

    if not name:
        return np.zeros(len(clips), bool)
    found: Bools = np.array([c.startswith(name) for c in clips["clip_id"]], bool)
    found |= equals("released_id", name)
    if "path" not in clips:
        return found
    numbered = re.fullmatch(rf"(?:({'|'.join(SPLITS)})[/: ])?(\d+)", name)
    if numbered:
        split, number = numbered.groups()
        if split is None:  # as it is written, for a clip id may begin with digits
            inside = equals("id", number)
        else:
            inside = np.array([isinstance(i, str) and int(i) == int(number) for i in clips["id"]])
        found |= inside & equals("split", split) if split else inside
        return found
    path = PurePosixPath(name)
    ends = f"/{path}"
    whole = [isinstance(p, str) and ends.endswith(f"/{p}") for p in clips["path"]]
    found |= np.array(whole, bool)
    if path.suffix:  # a file's name, and no folder's
        found |= np.array([isinstance(p, str) and p.endswith(ends) for p in clips["path"]], bool)
    return found
