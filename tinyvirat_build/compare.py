"""Compare two builds, or a build with a published list of rows: what differs, and why.

A side is a build folder, a list as released (``tiny_*_v2.json``, or v1's ``{"tubes": …}``), a
released tree (its train and val lists), or a CSV file with the columns ``id, video_id, clip_id,
frames, side, label``, labels joined by ``|``. Rows are joined by (video_id, released_id) where
there are such, else by clip_id; rows of a list that have neither, by their number.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from tinyvirat_build import store
from tinyvirat_build.errors import AnnotationError, DataError
from tinyvirat_build.reasons import Reasons
from tinyvirat_build.records import REASONS

_TABLES: Final = ("clips", "clips_filtered", "clips_partitioned", "clips_planned")
_COLUMNS: Final = ("id", "video_id", "clip_id", "frames", "side", "label")
_LISTS: Final = ("tiny_train_v2.json", "tiny_val_v2.json")
DIFFERENCES: Final = ("only in A", "only in B", "frames", "side", "labels")


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
    activities: tuple[str, ...] = ()
    span: tuple[int, int] | None = None  # in the source, half-open


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: its rows, and for a build what it says of those it lacks."""

    name: str
    rows: tuple[Row, ...]
    reasons: Reasons | None = None  # None for a list

    @property
    def videos(self) -> set[str]:
        """The videos of its rows."""
        return {row.video_id for row in self.rows}


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs: one row of ``differences`` each (video_id, clip, difference, a, b, reason).

    ``videos`` counts, per video, the rows of A, of B, and those that are equal in both.
    """

    a: str
    b: str
    equal: int
    differences: pd.DataFrame
    videos: pd.DataFrame

    @property
    def differs(self) -> bool:
        """Whether there is any difference."""
        return len(self.differences) > 0

    def to_json(self) -> str:
        """As JSON, one object."""
        counts = self.differences["difference"].value_counts()
        tree = {
            "a": self.a,
            "b": self.b,
            "equal": self.equal,
            "counts": {name: int(counts.get(name, 0)) for name in DIFFERENCES},
            "differences": self.differences.to_dict("records"),
            "videos": self.videos.to_dict("records"),
        }
        return json.dumps(tree, indent=1, ensure_ascii=False)

    def render(self, most: int = 40) -> str:
        """As text for a terminal; the first ``most`` differences."""
        lines = [f"A = {self.a}", f"B = {self.b}", f"{self.equal:,} rows are equal in both."]
        if not self.differs:
            return "\n".join([*lines, "Nothing differs."])
        counts = self.differences.groupby(["difference", "reason"]).size()
        for (difference, reason), n in zip(counts.index.tolist(), counts.tolist(), strict=True):
            why = f": {reason} ({REASONS[reason]})" if reason else ""
            lines.append(f"{n:>7,}  {difference}{why}")
        for row in self.differences.head(most).to_dict("records"):
            values = " ≠ ".join(row[side] for side in "ab" if row[side])
            why = f" ({row['reason']})" if row["reason"] else ""
            lines.append(
                f"  {row['difference']:<9}  {row['video_id']}  {row['clip']}  {values}{why}"
            )
        if len(self.differences) > most:
            lines.append(f"  … and {len(self.differences) - most:,} more (--json lists all)")
        return "\n".join(lines)


def compare(a: Side, b: Side, *, listed: bool = False) -> Comparison:
    """Join two sides and tell every difference, with the reason where a build's issues know it.

    A build is compared with a list on the list's videos alone. ``listed``: rows of the build that
    the list does not name are passed over, for a list that is only a part of its dataset. Labels
    are compared as sets, and not at all where a list tells none.
    """
    lists = [side for side in (a, b) if side.reasons is None]
    scope = lists[0].videos if len(lists) == 1 else a.videos | b.videos
    rows_a, rows_b = (_keyed(side, _key_kind(a, b), scope) for side in (a, b))
    found: list[tuple[str, str, str, str, str, str]] = []
    equal: dict[str, int] = {}
    for key in sorted(rows_a.keys() | rows_b.keys()):
        one, other = rows_a.get(key), rows_b.get(key)
        if one is not None and other is not None:
            new = list(_differences(one, other, a, b))
            equal[key[0]] = equal.get(key[0], 0) + (not new)
            found += [(key[0], key[1], *difference) for difference in new]
        elif one is not None and not (listed and b.reasons is None):
            found.append((*key[:2], "only in A", _text(one), "", _why(b, one)))
        elif other is not None and not (listed and a.reasons is None):
            found.append((*key[:2], "only in B", "", _text(other), _why(a, other)))
    names = ["video_id", "clip", "difference", "a", "b", "reason"]
    return Comparison(
        a.name,
        b.name,
        sum(equal.values()),
        pd.DataFrame(found, columns=names),
        _videos(rows_a, rows_b, equal),
    )


def load(path: Path) -> Side:
    """Read a build, a released tree or a list.

    Raises:
        DataError: there is nothing of the kind.
        AnnotationError: the list cannot be read.
    """
    if (path / "tables").is_dir():
        return _load_build(path)
    if path.is_dir() and any((path / name).is_file() for name in _LISTS):
        lists = [path / name for name in _LISTS if (path / name).is_file()]
        return Side(str(path), tuple(row for file in lists for row in _load_json(file)))
    if path.suffix == ".json" and path.is_file():
        return Side(str(path), tuple(_load_json(path)))
    if path.suffix == ".csv" and path.is_file():
        return Side(str(path), tuple(_load_csv(path)))
    raise DataError(
        f"{path} is neither a build nor a list; give a build folder, a tiny_*_v2.json or a CSV file"
    )


def _load_build(path: Path) -> Side:
    files = {name: path / "tables" / f"{name}.parquet" for name in (*_TABLES, "issues")}
    name = next((name for name in _TABLES if files[name].is_file()), None)
    if name is None:
        raise DataError(f"{path} has no table of clips yet; run `tinyvirat-build crop` first")
    rows = [
        Row(
            row["video_id"],
            _known(row.get("id")),
            _known(row["released_id"]),
            row["clip_id"],
            int(row["end"] - row["start"]),
            (int(row["width"]), int(row["height"])),
            frozenset(row["labels"]),
            tuple(row["activities"]),
            (int(row["start"]), int(row["end"])),
        )
        for row in store.read_table(files[name]).to_dict("records")
    ]
    known = files["issues"].is_file()
    issues = store.read_table(files["issues"]) if known else None
    return Side(str(path), tuple(rows), Reasons.of(issues))


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
    for place, item in enumerate(items):
        try:
            frames, height, width = map(int, item["dim"])
            video = item.get("video_id") or str(Path(item["path"]).parent)
            labels = frozenset(item["label"]) if "label" in item else None
            clip = _known(item.get("clip_id"))
            rows.append(Row(video, str(item["id"]), clip, clip, frames, (width, height), labels))
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            raise AnnotationError(
                f"row {place} lacks id, path or dim, or has bad ones ({e})",
                file=path,
                remedy="give a list as released",
            ) from e
    return rows


def _load_csv(path: Path) -> list[Row]:
    rows = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in (reader := csv.DictReader(file)):
                line = reader.line_num
                side = int(row["side"])
                labels = frozenset(label for label in re.split(r"[|;]", row["label"]) if label)
                clip = row["clip_id"] or None
                rows.append(
                    Row(
                        row["video_id"],
                        row["id"],
                        clip,
                        clip,
                        int(row["frames"]),
                        (side, side),
                        labels,
                    )
                )
    except (OSError, UnicodeDecodeError) as e:
        raise AnnotationError(f"cannot be read ({e})", file=path, remedy="give a CSV file") from e
    except (KeyError, TypeError, ValueError) as e:
        raise AnnotationError(
            f"a bad row ({e})",
            file=path,
            line=line,
            remedy=f"give the columns {', '.join(_COLUMNS)}",
        ) from e
    return rows


def _key_kind(a: Side, b: Side) -> str:
    """``released_id`` where both sides have such, or one is a list; else ``clip_id``."""
    released = [any(row.released_id for row in side.rows) for side in (a, b)]
    lists = a.reasons is None or b.reasons is None
    return "released_id" if lists or all(released) else "clip_id"


def _keyed(side: Side, kind: str, scope: set[str]) -> dict[tuple[str, str, int], Row]:
    """The rows by video, name and how often that name came before."""
    found: dict[tuple[str, str, int], Row] = {}
    for row in side.rows:
        if row.video_id in scope:
            name = getattr(row, kind) or (f"number {row.number}" if row.number else row.clip_id)
            times = 0
            while (row.video_id, str(name), times) in found:
                times += 1
            found[row.video_id, str(name), times] = row
    return found


def _differences(one: Row, other: Row, a: Side, b: Side) -> Iterable[tuple[str, str, str, str]]:
    if one.frames != other.frames:
        yield "frames", str(one.frames), str(other.frames), ""
    if one.side != other.side:
        yield "side", _size(one.side), _size(other.side), ""
    if one.labels is not None and other.labels is not None and one.labels != other.labels:
        lost = [(a, other.labels - one.labels), (b, one.labels - other.labels)]
        known = [
            side.reasons.of_labels(gone) if side.reasons else "" for side, gone in lost if gone
        ]
        yield "labels", _names(one.labels), _names(other.labels), known[0] if all(known) else ""


def _why(side: Side, row: Row) -> str:
    """Why a build has no such row, as its issues tell; empty where they do not."""
    if side.reasons is None:
        return ""
    activities, span = row.activities, row.span
    if not activities and row.released_id:
        parts = re.match(r"([^_]+)_.*_(\d+)_(\d+)$", row.released_id)
        if parts:
            activities, span = (parts[1],), (int(parts[2]), int(parts[3]) + 1)
    return side.reasons.of_clip(row.video_id, activities, span, row.clip_id)


def _videos(
    rows_a: Mapping[tuple[str, str, int], Row],
    rows_b: Mapping[tuple[str, str, int], Row],
    equal: Mapping[str, int],
) -> pd.DataFrame:
    in_a, in_b = (Counter(key[0] for key in rows) for rows in (rows_a, rows_b))
    counts = [
        (name, in_a[name], in_b[name], equal.get(name, 0)) for name in sorted(in_a.keys() | in_b)
    ]
    return pd.DataFrame(counts, columns=["video_id", "a", "b", "equal"])


def _text(row: Row) -> str:
    labels = f", {_names(row.labels)}" if row.labels is not None else ""
    return f"{row.frames} frames, {_size(row.side)}{labels}"


def _size(side: Sequence[int]) -> str:
    return f"{side[0]}×{side[1]}"


def _names(labels: Iterable[str]) -> str:
    return "|".join(sorted(labels))
