"""What can be compared: builds, released trees, and lists of rows.

A side is a build folder, a list as released (``tiny_*_v2.json``, or v1's ``{"tubes": …}``), a
released tree (all its lists), or a CSV file with the columns ``video_id, frames, side, label``,
labels joined by ``|``, and perhaps ``id`` and ``clip_id``.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd

from tinyvirat_build import store
from tinyvirat_build.ask.reasons import Reasons
from tinyvirat_build.errors import AnnotationError, DataError
from tinyvirat_build.pipeline import folder
from tinyvirat_build.records import SPLITS
from tinyvirat_build.released.read import lists_in

_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {  # of a CSV file, and what else they are called
    "video_id": ("video",),
    "frames": ("T",),
    "side": (),
    "label": ("labels",),
    "id": ("val_id",),
    "clip_id": (),
}
_NEEDED: Final = tuple(_COLUMNS)[:4]


@dataclass(frozen=True, slots=True)
class Row:
    """A clip of one side; ``labels`` is None where the list tells none (test)."""

    video_id: str
    number: str | None
    released_id: str | None
    clip_id: str | None
    frames: int
    side: tuple[int, int]  # width, height
    labels: frozenset[str] | None
    split: str | None = None
    activities: tuple[str, ...] = ()
    span: tuple[int, int] | None = None  # in the source, half-open
    corners: tuple[tuple[int, int], ...] = ()  # of its window, frame by frame
    file: Path | None = None  # of its clip, where the side says one; it may be missing

    @property
    def hides_video(self) -> bool:
        """Whether it is of a public test list, whose rows name themselves for a video."""
        return self.video_id == self.number


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: its rows, and for a build what it says of those it lacks.

    ``whole``: it is a whole dataset, a build or a tree, and no single list.
    """

    name: str
    rows: tuple[Row, ...]
    reasons: Reasons | None = None  # None for a list
    whole: bool = False


def load(path: Path) -> Side:
    """Read a build, a released tree or a list.

    Raises:
        DataError: there is nothing of the kind.
        AnnotationError: the list cannot be read.
    """
    if (path / "tables").is_dir():
        return _load_build(path)
    if lists := lists_in(path).values():
        return Side(str(path), tuple(row for file in lists for row in _load_json(file)), whole=True)
    for suffix, read in ((".json", _load_json), (".csv", _load_csv)):
        if path.suffix == suffix and path.is_file():
            rows = read(path)
            if not rows:
                raise AnnotationError("no row", file=path, remedy="give a list of clips")
            return Side(str(path), tuple(rows))
    raise DataError(
        f"{path} is neither a build nor a list; give a build folder, a tiny_*_v2.json or a CSV file"
    )


def _load_build(path: Path) -> Side:
    clips = folder.clip_table(path)
    if clips is None:
        planned = path / "tables" / "clips_planned.parquet"
        if planned.is_file():
            raise DataError(folder.not_up_to_date(planned))
        raise DataError(f"{path} has no table of clips yet; run `tinyvirat-build crop` first")
    rows = [
        Row(
            row["video_id"],
            _known(row.get("id")),
            _known(row["released_id"]),
            row["clip_id"],
            _written(row),
            (int(row["width"]), int(row["height"])),
            frozenset(row["labels"]),
            _known(row.get("split")),
            tuple(row["activities"]),
            (int(row["start"]), int(row["end"])),
            tuple(zip(row["x"], row["y"], strict=True)),
            path / clip if (clip := _known(row.get("path"))) else None,
        )
        for row in store.read_table(clips).to_dict("records")
    ]
    file = path / "tables" / "issues.parquet"
    issues = store.read_table(file) if file.is_file() else None
    return Side(str(path), tuple(rows), Reasons.of(issues), whole=True)


def _written(row: Mapping[Any, Any]) -> int:
    """As written, or as planned where no clip was."""
    written = row.get("n_frames")
    return int(row["end"] - row["start"]) if written is None or pd.isna(written) else int(written)


def _known(text: object) -> str | None:
    return text if isinstance(text, str) and text else None


def _load_json(path: Path) -> list[Row]:
    try:
        tree = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as e:
        raise AnnotationError(f"not JSON ({e})", file=path, remedy="give a list as released") from e
    items = tree.get("tubes") if isinstance(tree, dict) else tree
    if not isinstance(items, list):
        raise AnnotationError("no list of rows", file=path, remedy="give a list as released")
    rows = []
    split = next((s for s in SPLITS if s in path.stem.split("_")), None)
    for place, item in enumerate(items):
        try:
            frames, height, width = map(int, item["dim"])
            video = item.get("video_id") or str(Path(item["path"]).parent)
            if not isinstance(item.get("label", []), list):
                raise TypeError("label is no list")
            labels = frozenset(item["label"]) if "label" in item else None
            clip = _known(item.get("clip_id"))
            size = (width, height)
            place_of = _known(item.get("path"))
            file = path.parent / "videos" / split / place_of if split and place_of else None
            row = Row(video, str(item["id"]), clip, clip, frames, size, labels, split)
            rows.append(replace(row, file=file))
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            raise AnnotationError(
                f"row {place} lacks id, path or dim, or has bad ones ({e})",
                file=path,
                remedy="give a list as released",
            ) from e
    return rows


def _load_csv(path: Path) -> list[Row]:
    rows = []
    line = None
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            there = reader.fieldnames or ()
            column = {
                name: next((n for n in (name, *others) if n in there), "")
                for name, others in _COLUMNS.items()
            }
            if not all(column[name] for name in _NEEDED):
                raise AnnotationError(
                    f"its columns are {', '.join(there) or 'none'}",
                    file=path,
                    remedy=f"give the columns {', '.join(_COLUMNS)}; the last two are optional",
                )
            for row in reader:
                line = reader.line_num
                side = int(row[column["side"]])
                label = row[column["label"]]
                labels = frozenset(name for name in re.split(r"[|;]", label) if name)
                number, clip = (row.get(column[name]) or None for name in ("id", "clip_id"))
                frames = int(row[column["frames"]])
                video = row[column["video_id"]]
                rows.append(Row(video, number, clip, clip, frames, (side, side), labels))
    except (OSError, UnicodeDecodeError) as e:
        raise AnnotationError(f"cannot be read ({e})", file=path, remedy="give a CSV file") from e
    except (KeyError, TypeError, ValueError) as e:
        raise AnnotationError(
            f"a bad row ({e})",
            file=path,
            line=line,
            remedy=f"give the columns {', '.join(_NEEDED)} in every row",
        ) from e
    return rows
