"""Kitware Packet Format (YAML): MEVA's and VIRAT/DIVA's annotations.

Three files a clip, ``CLIP.activities.yml``, ``CLIP.geom.yml``, ``CLIP.types.yml`` (contrib writes
``CLIP-activities.yml``), and perhaps ``CLIP.regions.yml``. Frames are 0-based, ``tsr0`` inclusive.
Geometry of a known line shape is scanned by :mod:`tinyvirat_build.formats.scan`; a file with any
other line is read whole through libyaml, with the same result.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from tinyvirat_build.formats.assemble import STAGE, MalformedError, RawActivity, RawBoxes, assemble
from tinyvirat_build.formats.faults import Issues, none_among, one_of_each
from tinyvirat_build.formats.kpf_lines import (
    Text,
    scan_activities,
    scan_geometry,
    scan_types,
)
from tinyvirat_build.formats.options import ReadOptions
from tinyvirat_build.formats.safety import (
    Mapping,
    read_bytes,
    refuse_unsafe_video,
    truth,
    yaml_items,
)
from tinyvirat_build.records import Issue, VideoAnnotation

EMPTY: Final = "empty_37"  # the fake activity, or the meta line, of a clip without any

_KIND = re.compile(r"[.-](activities|geom|types|regions)\.ya?ml$")
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_REAL = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")


def read(video_id: str, files: Sequence[Path], options: ReadOptions) -> VideoAnnotation:
    """Read one clip's KPF files: its activities, and its geometry, types and regions if given.

    A missing or empty geometry file is not an error: every activity becomes an issue
    ``no_geometry``. Object types are optional.

    Raises:
        AnnotationError: no activities file, or a file that is not readable YAML at all.
    """
    refuse_unsafe_video(video_id, files)
    issues = Issues()
    paths = one_of_each(sorted(files, key=_dashed), file_kind, issues)
    if "activities" not in paths:
        raise none_among(files, "activities file", video_id, "give CLIP.activities.yml")
    activities, records_in = _activities(paths["activities"], issues)
    types = _types(paths["types"], issues) if "types" in paths else {}
    boxes = _geometry(paths["geom"], issues) if "geom" in paths else RawBoxes()
    regions = None
    if "regions" in paths:
        regions, outlines = _regions(paths["regions"], issues)
        boxes = boxes.joined(outlines)
    return assemble(
        video_id,
        activities,
        boxes,
        types,
        issues,
        options,
        records_in=records_in,
        file=paths["activities"].name,
        no_geometry=options.no_geometry
        or ("" if "geom" in paths or "regions" in paths else "the geometry file is missing"),
        regions=regions,
    )


def _dashed(path: Path) -> bool:
    """Whether a file has contrib's kind of name, ``CLIP-geom.yml``."""
    match = _KIND.search(path.name)
    return match is not None and match[0].startswith("-")


def file_kind(path: Path) -> str | None:
    """Which of a clip's KPF files this is, by its name.

    >>> file_kind(Path("a.G331.geom.yml")), file_kind(Path("a.G331-activities.yml"))
    ('geom', 'activities')
    """
    match = _KIND.search(path.name)
    return match.group(1) if match else None


def _activities(path: Path, issues: Issues) -> tuple[list[RawActivity], int]:
    """The activities of a file and the number of its records, empty-clip markers included."""
    data = read_bytes(path)
    text = Text(data)
    found = scan_activities(text)
    metas = text.metas
    records: Iterable[RawActivity | None]
    if found is None:
        metas = []
        records = _slow_activities(data, path, metas, issues)
    else:
        records = found
    kept: list[RawActivity] = []
    count = 0
    marked = False
    for a in records:
        count += 1
        if a is None:
            continue
        if a.name == EMPTY:
            marked = True
            issues.append(
                _issue("empty_clip", "dropped", f"activity {a.activity_id}", path, a.line)
            )
        else:
            kept.append(a)
    if not marked and any("empty_37" in m or "empty-37" in m for m in metas):
        issues.append(_issue("empty_clip", "noted", "meta", path, None))
    return kept, count


def _slow_activities(
    data: bytes, path: Path, metas: list[str], issues: Issues
) -> Iterable[RawActivity | None]:
    for body in _bodies(data, "act", path, metas, issues):
        try:
            activity, remarks = _slow_activity(body)
        except MalformedError as e:
            named = body.get("id2")
            record = f"activity {named}" if isinstance(named, str) and named else "activity"
            issues.append(_issue("malformed", "dropped", record, path, body.line, str(e)))
            yield None
            continue
        for remark in remarks:
            record = f"activity {activity.activity_id}"
            issues.append(_issue("malformed", "noted", record, path, body.line, remark))
        yield activity


def _slow_activity(body: Mapping) -> tuple[RawActivity, list[str]]:
    """The activity, and what was read of it in one of several ways."""
    id2 = _identity(body, "id2")
    names = body.get("act2", body.get("act3"))
    if not isinstance(names, Mapping) or not names:
        raise MalformedError("no name in act2")
    name = _likeliest(names)
    spans = _spans(body)
    actors = body.get("actors") or []
    if not isinstance(actors, list) or not all(isinstance(a, Mapping) for a in actors):
        raise MalformedError("actors are a list of mappings")
    ids = dict.fromkeys(_identity(a, "id1") for a in actors)
    remarks = []
    if len(names) > 1:
        remarks.append(f"{len(names)} names, read as the likeliest")
    if len(spans) > 1:
        remarks.append(f"{len(spans)} timespans, read as one from the first to the last")
    status = body.get("src_status", body.get("src", ""))
    activity = RawActivity(
        id2,
        name,
        min(s for s, _ in spans),
        max(e for _, e in spans) + 1,
        tuple(ids),
        status if isinstance(status, str) else "",
        body.line,
    )
    return activity, remarks


def _spans(body: Mapping) -> list[tuple[int, int]]:
    spans = []
    timespan = body.get("timespan")
    for span in timespan if isinstance(timespan, list) else []:
        ends = span.get("tsr0") if isinstance(span, Mapping) else None
        if not isinstance(ends, list) or len(ends) != 2:
            raise MalformedError("no tsr0: [first, last]")
        spans.append((_integer(ends[0], "tsr0"), _integer(ends[1], "tsr0")))
    if not spans:
        raise MalformedError("no timespan")
    return spans


def _types(path: Path, issues: Issues) -> dict[str, str]:
    """The type of each actor."""
    data = read_bytes(path)
    found = scan_types(Text(data))
    if found is not None:
        return found
    types = {}
    for body in _bodies(data, "types", path, [], issues):
        try:
            names = next((v for k, v in body.items() if k.startswith("cset")), None)
            if not isinstance(names, Mapping) or not names:
                raise MalformedError("no type in cset3")
            types[_identity(body, "id1")] = _likeliest(names)
        except MalformedError as e:
            _uncounted("types", path, body.line, str(e), issues)
    return types


def _geometry(path: Path, issues: Issues) -> RawBoxes:
    """The boxes of a file, by the scan or, where it does not know a line, by libyaml."""
    data = read_bytes(path)
    boxes = scan_geometry(Text(data))
    if boxes is None:
        boxes = _slow_geometry(data, path, issues)
    boxes.file = path.name
    return boxes


def _slow_geometry(data: bytes, path: Path, issues: Issues) -> RawBoxes:
    rows = []
    for body in _bodies(data, "geom", path, [], issues):
        try:
            g0 = body.get("g0")
            corners = [_real(x, "g0") for x in g0.split()] if isinstance(g0, str) else []
            if len(corners) != 4:
                raise MalformedError("g0 is not x1 y1 x2 y2")
            frame = _integer(body.get("ts0"), "ts0")
            actor = _identity(body, "id1")
        except MalformedError as e:
            _uncounted("geom", path, body.line, str(e), issues)
            continue
        rows.append((actor, frame, corners, truth(body.get("keyframe")), body.line))
    return _from_rows(rows, path.name)


def _regions(path: Path, issues: Issues) -> tuple[pd.DataFrame, RawBoxes]:
    """Polygons (KPF's specification has them, no real file does) and their bounds as boxes."""
    rows, polygons = [], []
    for body in _bodies(read_bytes(path), "regions", path, [], issues):
        try:
            poly = body.get("poly0")
            if not isinstance(poly, list) or len(poly) < 3:
                raise MalformedError("poly0 is not a list of three or more [x, y]")
            points = np.array([_point(p) for p in poly])
            actor, frame = _identity(body, "id1"), _integer(body.get("ts0"), "ts0")
        except MalformedError as e:
            _uncounted("regions", path, body.line, str(e), issues)
            continue
        corners = [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]
        rows.append((actor, frame, corners, truth(body.get("keyframe")), body.line))
        polygons.append((actor, frame, tuple(map(tuple, points.tolist()))))
    return (
        pd.DataFrame(polygons, columns=["actor_id", "frame", "polygon"]),
        _from_rows(rows, path.name),
    )


def _from_rows(rows: Sequence[tuple[str, int, list[float], bool, int]], file: str) -> RawBoxes:
    if not rows:
        return RawBoxes(file=file)
    actors, frames, corners, keyframes, lines = zip(*rows, strict=True)
    code_of = {actor: i for i, actor in enumerate(dict.fromkeys(actors))}
    return RawBoxes(
        tuple(code_of),
        np.array([code_of[a] for a in actors], np.int64),
        np.array(frames, np.int64),
        np.array(corners, float),
        np.array(keyframes, bool),
        np.array(lines, np.int64),
        file,
    )


def _bodies(
    data: bytes, key: str, path: Path, metas: list[str], issues: Issues
) -> Iterator[Mapping]:
    """What each record holds under ``key``; meta lines are kept aside, other records noted."""
    for item in yaml_items(data, path):
        body = item.get(key) if isinstance(item, Mapping) else None
        if isinstance(body, Mapping):
            yield body
        elif isinstance(item, Mapping) and "meta" in item:
            metas.append(str(item["meta"]))
        else:
            detail = f"a record that is neither {key} nor meta"
            _uncounted(key, path, getattr(item, "line", None), detail, issues)


def _uncounted(record: str, path: Path, line: int | None, detail: str, issues: Issues) -> None:
    """A record that is no activity and could not be used: one issue for all of a kind."""
    issues.append(_issue("malformed", "noted", record, path, line, detail), apart=1)


def _issue(
    reason: str, action: str, record: str, path: Path, line: int | None, detail: str = ""
) -> Issue:
    return Issue(STAGE, reason, action, record[:200], path.name, line, detail=detail)


def _identity(body: Mapping, key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value.strip():
        raise MalformedError(f"no {key}")
    return value


def _integer(value: Any, key: str) -> int:
    if not isinstance(value, str) or not _INTEGER.fullmatch(value):
        raise MalformedError(f"{key} is not an integer")
    number = int(value)
    if not -(1 << 31) <= number < 1 << 31:
        raise MalformedError(f"{key} is out of range")
    return number


def _real(value: Any, key: str) -> float:
    # float() would read 1_468 as 1468, and digits of any script
    if not isinstance(value, str) or not _REAL.fullmatch(value):
        raise MalformedError(f"{key} is not a number")
    return float(value)


def _point(value: Any) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise MalformedError("poly0 has points [x, y]")
    return _real(value[0], "poly0"), _real(value[1], "poly0")


def _likeliest(names: Mapping) -> str:
    """The name with the highest score; the first of equals (a YAML set has none)."""

    def score(item: tuple[str, Any]) -> float:
        try:
            value = float(item[1])
        except (TypeError, ValueError):
            return 0.0
        return value if value == value else 0.0

    return max(names.items(), key=score)[0]
