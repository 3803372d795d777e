"""One video's annotation files to the tables ``activities``, ``boxes`` and ``actors``.

A reader knows a format only. Here its result gets the keys of the corpus, labels of the class
list, boxes inside the picture, and the user's regions; nothing that falls is without an issue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import shapely

from tinyvirat_build import geometry, labels, store
from tinyvirat_build.errors import AnnotationError, BoundError
from tinyvirat_build.formats import READERS, ReadOptions
from tinyvirat_build.formats.faults import Issues
from tinyvirat_build.geometry.arrays import Bools, Floats, Ints
from tinyvirat_build.records import (
    KEYS,
    Balance,
    Issue,
    Key,
    VideoAnnotation,
    balance_frame,
    columns,
    empty,
    issues_frame,
)
from tinyvirat_build.settings import Settings
from tinyvirat_build.sources import Entry, Part, Region
from tinyvirat_build.sources.meva import current_name
from tinyvirat_build.sources.same_boxes import join_same_boxes
from tinyvirat_build.sources.unite import unite

STAGE: Final = "parse"
NEAREST: Final = 20  # unknown names of a video whose likeness is sought; each takes milliseconds

SCHEMA_OF: Final = {
    "activities": "activities", "boxes": "boxes", "actors": "actors",
    "without_geometry": "activities",
}  # fmt: skip
"""The schemas of the tables that parse makes."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """What parse delivers of one video; every table has the key columns.

    ``without_geometry`` has the columns of ``activities``: those that fell for want of a box.
    """

    activities: pd.DataFrame
    boxes: pd.DataFrame
    actors: pd.DataFrame
    issues: pd.DataFrame
    balance: pd.DataFrame
    without_geometry: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Columns:
    """What parse delivers of one video, column by column, without the keys; by table.

    A table that is not there has no row.
    """

    key: Key
    tables: Mapping[str, Mapping[str, Any]]
    issues: Sequence[Issue]
    balance: Balance

    def frames(self) -> Parsed:
        """The tables for pandas."""
        types = [pd.CategoricalDtype([word]) for word in self.key]
        made = {name: self._frame(name, types) for name in SCHEMA_OF}
        keys = self.key._asdict()
        told = issues_frame(self.issues, **keys), balance_frame(self.balance, **keys)
        return Parsed(
            made["activities"], made["boxes"], made["actors"], *told, made["without_geometry"]
        )

    def _frame(self, name: str, types: Sequence[pd.CategoricalDtype]) -> pd.DataFrame:
        own = self.tables.get(name)
        if own is None:
            return empty(SCHEMA_OF[name])
        zeros = np.zeros(len(next(iter(own.values()))), np.int8)
        keys = {
            key: pd.Categorical.from_codes(zeros, dtype=kind, validate=False)
            for key, kind in zip(KEYS, types, strict=True)
        }
        return pd.DataFrame({**keys, **own}, copy=False)

    def arrow(self) -> dict[str, pa.Table]:
        """The tables as they are written: for a small video pandas would take most of the time."""
        schemas = {**SCHEMA_OF, "issues": "issues", "balance": "balance"}
        tables: dict[str, Mapping[str, Any]] = dict(self.tables)
        for name, records in (("issues", self.issues), ("balance", [self.balance])):
            own = columns(name)[len(KEYS) :]
            tables[name] = {c: [getattr(record, c) for record in records] for c in own}
        return {
            name: store.of_video(table, self.key, tables.get(name))
            for name, table in schemas.items()
        }


def parse_entry(entry: Entry, settings: Settings, *, width: int, height: int) -> Parsed:
    """Read one video's annotation, map its labels and clip its boxes to the picture.

    ``width`` and ``height`` are the picture's, in pixels. A file that cannot be read at all, or
    asks for more than a bound, is the one issue ``unreadable`` or ``bound`` of an empty result.

    Raises:
        SettingsError: the class list or a label map cannot be used.
    """
    return parse_columns(entry, settings, width=width, height=height).frames()


def parse_columns(entry: Entry, settings: Settings, *, width: int, height: int) -> Columns:
    """As :func:`parse_entry`, before a table is made of it."""
    label_map = map_of(entry, settings)
    try:
        annotation = read(entry, settings)
    except AnnotationError as e:
        return Columns(entry.key, {}, [_refused(entry, e)], Balance(STAGE, "activities", 1, 0, 1))
    issues = Issues(annotation.issues)
    activities = annotation.activities
    bare = annotation.without_geometry
    reach = _reach(annotation.boxes)
    boxes = annotation.boxes
    if settings.parse.clip_boxes:
        reach, seen = _clipped(boxes, reach, width, height, issues)
        if not seen.all():
            boxes, reach = boxes[seen], reach[:, seen]
            activities, fell = _with_boxes(activities, boxes, issues)
            without = [t for t in (bare, fell) if t is not None and len(t)]
            bare = pd.concat(without, ignore_index=True) if without else None
    if entry.regions:
        activities = _in_regions(activities, boxes, reach, entry.regions, issues)
    names = [*activities["name"], *(() if bare is None else bare["name"])]
    _unknown_labels(names, label_map, entry, issues)
    # Counted, not subtracted, so that a record that vanished shows.
    dropped = sum(i.count for i in issues if i.action in ("dropped", "quarantined"))
    balance = Balance(STAGE, "activities", annotation.records_in, len(activities), dropped)
    x1, y1, x2, y2 = geometry.corners(reach)
    sides = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    tables = {
        "activities": _own("activities", activities, labels=_labels_of(activities, label_map)),
        "boxes": _own("boxes", boxes, **sides),
        "actors": _own("actors", annotation.actors),
    }
    if bare is not None:
        labels_of = _labels_of(bare, label_map)
        tables["without_geometry"] = _own("activities", bare, labels=labels_of)
    return Columns(entry.key, tables, tuple(issues), balance)


def map_of(entry: Entry, settings: Settings) -> labels.LabelMap:
    """The label map of an entry: the user's own, or the one of its namespace.

    Raises:
        SettingsError: the class list or the map cannot be used.
    """
    if entry.mapping is None:
        return labels.map_of(entry.namespace, settings)
    classes = labels.load_classes(settings.classes)
    return labels.make_map(entry.source, entry.mapping, classes)


def read(entry: Entry, settings: Settings) -> VideoAnnotation:
    """One video's annotation as its reader delivers it, several sets united if it has several.

    Of several sets one that cannot be read is an issue, and one record that falls.

    Raises:
        AnnotationError: a file of every set cannot be read at all, or asks for more than a bound.
    """
    options = ReadOptions(
        max_gap=settings.parse.max_gap,
        drop_status=settings.parse.drop_status,
        last=settings.parse.last,
        no_geometry=entry.no_geometry,
        first_frame=entry.first_frame,
        inclusive=entry.inclusive,
        fps=entry.fps,
    )
    parts = entry.parts or (
        Part(entry.annotation_set, entry.format, entry.namespace, entry.dialect, len(entry.files)),
    )
    sets: list[tuple[str, VideoAnnotation]] = []
    errors: list[AnnotationError] = []
    first = 0
    for part in parts:
        files = entry.files[first : first + part.files]
        first += part.files
        told = replace(options, dialect=part.dialect)
        try:
            sets.append((part.annotation_set, READERS[part.format](entry.video_id, files, told)))
        except AnnotationError as e:
            errors.append(e)
    if not sets:
        raise errors[0]
    united = sets[0][1] if len(sets) == 1 else unite(sets, current_name)
    if entry.same_boxes:
        united = join_same_boxes(united)
    if not errors:
        return united
    return replace(
        united,
        issues=[*united.issues, *(_refused(entry, e) for e in errors)],
        records_in=united.records_in + len(errors),
    )


def _refused(entry: Entry, error: AnnotationError) -> Issue:
    return Issue(
        STAGE, "bound" if isinstance(error, BoundError) else "unreadable", "quarantined",
        f"video {entry.video_id}",
        Path(error.file).name, error.line, detail=f"{error.what}; {error.remedy}",
    )  # fmt: skip


def _own(table: str, rows: pd.DataFrame, **more: object) -> dict[str, Any]:
    """The table's columns in their order, without the keys."""
    own = columns(table)[len(KEYS) :]
    return {name: more[name] if name in more else rows[name].array for name in own}


def _reach(boxes: pd.DataFrame) -> Floats:
    """Boxes as ``geometry``'s reach ``(4, N)``: -x1, -y1, x2, y2."""
    return np.stack(
        [
            -boxes["x1"].to_numpy(),
            -boxes["y1"].to_numpy(),
            boxes["x2"].to_numpy(),
            boxes["y2"].to_numpy(),
        ]
    )


def _clipped(
    boxes: pd.DataFrame,
    reach: Floats,
    width: int,
    height: int,
    issues: Issues,
) -> tuple[Floats, Bools]:
    """The boxes inside the picture, and which of them have something left there."""
    limit = np.array([[0.0], [0.0], [width], [height]])
    outside = (reach > limit).any(axis=0)
    inside = geometry.clip_to(reach, width, height) if outside.any() else reach
    seen = geometry.present(inside)
    if outside.any() or not seen.all():
        picture = f"outside {width}x{height}"
        _per_actor(boxes, outside & seen, "outside_picture", picture, issues)
        _per_actor(boxes, ~seen, "empty_box", f"no area inside {width}x{height}", issues)
    return inside, seen


def _per_actor(boxes: pd.DataFrame, which: Bools, reason: str, detail: str, issues: Issues) -> None:
    """One issue for each actor with such boxes, at the first of them, with their number."""
    rows = np.flatnonzero(which)
    actor, frame = boxes["actor_id"].array, boxes["frame"].to_numpy()
    codes, first, counts = np.unique(
        np.asarray(actor.codes)[rows], return_index=True, return_counts=True
    )
    for code, row, count in zip(codes, rows[first], counts, strict=True):
        record = f"actor {actor.categories[code]} frame {frame[row]}"
        issues.append(Issue(STAGE, reason, "clipped", record, count=int(count), detail=detail))


def _with_boxes(
    activities: pd.DataFrame, boxes: pd.DataFrame, issues: Issues
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The activities that still have a box, and those that have none inside the picture."""
    kept = _boxes_of(activities, boxes, np.ones(len(boxes), bool)) > 0
    for activity_id in activities["activity_id"][~kept]:
        issues.append(
            Issue(
                STAGE,
                "empty_box",
                "dropped",
                f"activity {activity_id}",
                detail="none of its boxes lies inside the picture",
            )
        )
    return activities[kept], activities[~kept]


def _in_regions(
    activities: pd.DataFrame,
    boxes: pd.DataFrame,
    reach: Floats,
    regions: Sequence[Region],
    issues: Issues,
) -> pd.DataFrame:
    """The activities that the regions leave: where most of an activity's boxes stand decides.

    A box stands at the middle of its lower edge, which in a picture is where feet and wheels are.
    """
    x1, _, x2, y2 = geometry.corners(reach)
    foot_x, foot_y = (x1 + x2) / 2, y2
    inside = {
        kind: np.any(
            [
                shapely.contains_xy(shapely.Polygon(r.points), foot_x, foot_y)
                for r in regions
                if r.kind == kind
            ],
            axis=0,
        )
        for kind in {r.kind for r in regions}
    }
    every = _boxes_of(activities, boxes, np.ones(len(boxes), bool))
    share = {kind: 2 * _boxes_of(activities, boxes, which) for kind, which in inside.items()}
    ignored = share["ignore"] > every if "ignore" in share else np.zeros(len(every), bool)
    unwanted = share["only"] <= every if "only" in share else np.zeros(len(every), bool)
    for at in np.flatnonzero(ignored | unwanted):
        why = "in an ignored region" if ignored[at] else "outside the wanted regions"
        record = f"activity {activities['activity_id'].iloc[at]}"
        issues.append(Issue(STAGE, "region", "dropped", record, detail=why))
    return activities[~(ignored | unwanted)]


def _boxes_of(activities: pd.DataFrame, boxes: pd.DataFrame, which: Bools) -> Ints:
    """How many boxes of its actors within its span each activity has, of those that count."""
    actor = boxes["actor_id"].array
    codes, frames = np.asarray(actor.codes), boxes["frame"].to_numpy()
    first = np.searchsorted(codes, np.arange(len(actor.categories) + 1)).tolist()
    code_of = {str(name): code for code, name in enumerate(actor.categories)}
    before = geometry.offsets(which.astype(np.int64))
    found = np.zeros(len(activities), np.int64)
    spans = zip(activities["start"], activities["end"], activities["actors"], strict=True)
    for at, (start, end, actors) in enumerate(spans):
        for code in (code_of[a] for a in actors if a in code_of):
            low, high = first[code], first[code + 1]
            begin, stop = low + np.searchsorted(frames[low:high], (start, end))
            found[at] += before[stop] - before[begin]
    return found


def _labels_of(activities: pd.DataFrame, label_map: labels.LabelMap) -> npt.NDArray[np.object_]:
    found = np.empty(len(activities), object)
    found[:] = [label_map.labels_of(name) or () for name in activities["name"]]
    return found


def _unknown_labels(
    names: Sequence[str], label_map: labels.LabelMap, entry: Entry, issues: Issues
) -> None:
    """One issue a name that the map does not know; its activities stay, without a label."""
    counts = Counter(name for name in names if label_map.labels_of(name) is None)
    for nth, name in enumerate(sorted(counts)):
        near = label_map.nearest(name) if nth < NEAREST else None
        issues.append(
            Issue(
                STAGE,
                "unknown_label",
                "noted",
                f"name {name}",
                entry.files[0].name if entry.files else None,
                count=counts[name],
                detail=f"not in the map {label_map.name}" + (f"; nearest: {near}" if near else ""),
            )
        )
