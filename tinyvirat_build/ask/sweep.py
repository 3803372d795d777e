"""Compare settings by numbers: plan without pixels, parse once.

A sweep is a grid of settings. Every video's boxes are read once, and the stages from merge to
crop run on them for each point of the grid; a stage whose settings do not differ between two
points runs once for both. Partition and filter follow on each whole plan.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import yaml

from tinyvirat_build import audit, engine, progress, store
from tinyvirat_build.errors import DataError, SettingsError
from tinyvirat_build.labels import load_classes
from tinyvirat_build.pipeline.folder import unit_path
from tinyvirat_build.pipeline.given import Corpus, Video
from tinyvirat_build.pipeline.keys import key_of, values
from tinyvirat_build.pipeline.opened import OpenedBuild
from tinyvirat_build.pipeline.request import Request, discover, entries_of, settled
from tinyvirat_build.pipeline.run import run
from tinyvirat_build.pipeline.stages import (
    Stage,
    order_of,
    resolve,
    stages_before,
    writer_of,
)
from tinyvirat_build.pipeline.tasks import tables_of
from tinyvirat_build.pipeline.trial import within_limit
from tinyvirat_build.records import SPLITS, StageResult
from tinyvirat_build.settings import Settings
from tinyvirat_build.settings.idle import idle
from tinyvirat_build.sources import Entry


def _swept() -> list[Stage]:
    """The stages that a sweep runs for every point: those after parse, up to the filter."""
    parse, last = writer_of("activities"), writer_of("clips_filtered")
    return [s for s in (*stages_before(last), last) if order_of(s.name) > order_of(parse.name)]


SWEPT: Final = tuple(dict.fromkeys(n.split(".")[0] for s in _swept() for n in s.settings))


@dataclass(frozen=True, slots=True)
class _Plan:
    """One video, and its source's settings for each point of the grid."""

    entry: Entry
    settings: Sequence[Settings]
    classes: tuple[str, ...]
    out: Path
    held: Mapping[str, Path]  # its units, by table


@dataclass(frozen=True, slots=True)
class _Planned:
    """One video's clips under one point of the grid, and what is seen in them."""

    clips: pa.Table  # without their windows' corners
    missing: dict[str, set[str]]  # clip id -> labels seen in it that it does not carry
    unmapped: list[str]  # clip ids in which an activity without a label is seen
    brief: dict[str, set[str]]  # clip id -> its labels that are seen on under half of its frames
    too_large: int
    lost: int


def grid(base: Settings, axes: Sequence[str]) -> list[tuple[dict[str, Any], Settings]]:
    """The points of a grid: ``merge.threshold=0.1,0.3`` is an axis with two values.

    A value that is itself a list is written in brackets: ``crop.sides=[56,112],[]``.

    Raises:
        SettingsError: an axis outside the planning stages, or a bad value.
    """
    names: list[str] = []
    values: list[list[Any]] = []
    for axis in axes:
        key, sign, text = axis.partition("=")
        if not sign or key.split(".")[0] not in SWEPT:
            raise SettingsError(
                f"a sweep varies {', '.join(SWEPT)} settings as key=value,value; found {axis!r}"
            )
        try:
            values.append(yaml.safe_load(f"[{text}]"))
        except yaml.YAMLError as e:
            raise SettingsError(f"--set {axis}: not a list of YAML values") from e
        names.append(key)
    points = []
    for combination in itertools.product(*values):
        point = dict(zip(names, combination, strict=True))
        points.append((point, base.override([f"{k}={json.dumps(v)}" for k, v in point.items()])))
    return points


def sweep(request: Request, axes: Sequence[str]) -> pd.DataFrame:
    """One row a point of the grid: its settings, yield, lengths, labels a clip, completeness.

    Columns: the axes; ``clips``, ``train``, ``val``, ``test``, ``frames`` (mean), ``labels``
    (mean a clip), ``complete`` (share of clips whose labels include those of every mapped
    activity seen in the window), ``pure`` (share of clips whose labels are each seen on half of
    the frames or more), ``unmapped`` (clips in which an activity without a label is seen),
    ``classes``, ``too_large`` (chunks lost to ``crop.max_side``), ``lost`` (frames lost in
    planning to anything else).
    A build that lies in ``request.out`` keeps all its bytes: it lends its parsed annotations.

    Raises:
        SettingsError: a bad axis, or a build in ``request.out`` that is of something else.
        DataError: annotations that cannot be read, or videos that could not be planned.
    """
    request = settled(request)
    points = grid(request.settings, axes)
    _refuse_other_build(request)
    parse = writer_of("activities").name
    if unread := run(request, until=parse).unread:
        raise DataError(
            f"the annotations of {store.many(unread, 'video')} cannot be read; "
            f"{request.out}/tables/issues.parquet says why; leave their files out to compare "
            "settings without them"
        )
    classes = load_classes(request.settings.classes)
    entries = list(entries_of(discover(request)))
    of_source = {e.source: request.settings.of(e.source) for e in entries}
    written = {t: s.name for s in stages_before(_swept()[0]) for t in s.writes}
    tasks = [
        _Plan(
            e,
            [settings.of(e.source) for _, settings in points],
            classes,
            request.out,
            {t: unit_path(request.out, stage, e) for t, stage in written.items()},
        )
        for e in within_limit(entries, request.limit, of_source, classes)
    ]
    planned: dict[int, list[_Planned]] = {}
    failed: list[str] = []
    order = {id(t): i for i, t in enumerate(tasks)}
    with progress.counting(len(tasks), "sweep", "video", quiet=request.quiet) as count:
        for ended in engine.run_local(_plan, tasks, workers=request.workers, isolate=False):
            if ended.result is None:
                why = ended.failure.detail if ended.failure else "no result"
                failed.append(f"{ended.task.entry.video_id}: {why}")
            else:
                planned[order[id(ended.task)]] = ended.result
            count.add()
    if failed:
        raise DataError(
            f"{store.many(len(failed), 'video')} could not be planned, so no number would be of "
            f"the whole: {', '.join(failed[:3])}{', …' * (len(failed) > 3)}; leave their "
            "annotations out"
        )
    activities = Corpus(request.settings, classes, request.out, entries)["all_activities"]
    rows = []
    for i, (point, settings) in enumerate(points):
        parts = [planned[t][i] for t in sorted(planned)]
        planned_clips = pa.concat_tables([p.clips for p in parts]).unify_dictionaries()
        tables = {"all_activities": activities, "clips_planned": store.from_arrow(planned_clips)}
        corpus = Corpus(settings, classes, request.out, entries, tables=tables)
        rows.append(point | _measure(parts, corpus))
    return pd.DataFrame(rows)


def without_effect(request: Request, axes: Sequence[str]) -> list[str]:
    """A line for each axis that changes nothing in the whole grid, with what takes it away."""
    points = [
        settings.of(source)
        for _, settings in grid(request.settings, axes)
        for source in request.sources
    ]
    lines = []
    for key in [axis.partition("=")[0].strip() for axis in axes]:
        why = [idle(settings).get(key, "") for settings in points]
        if all(why):
            lines.append(f"{key} has no effect here: {' or '.join(dict.fromkeys(why))}.")
    return lines


def _refuse_other_build(request: Request) -> None:
    """Refuse to sweep in the folder of a build whose tables would no more be its own."""
    if not (request.out / "build.yaml").exists():
        return
    build = OpenedBuild.open(request.out)
    asked = (request.sources, request.limit, request.settings)
    if asked != (build.sources, build.limit, build.settings):
        raise SettingsError(
            f"{request.out} holds a build of other sources or settings; give a new --out"
        )


def _plan(task: _Plan) -> list[_Planned]:
    """Run merge … crop on one video for every point, sharing what the points share."""
    read = Video(task.entry, task.settings[0], task.classes, task.out, {}, task.held)
    parsed = {name: read[name] for name in ("activities", "boxes", "videos")}
    done: dict[str, StageResult] = {}
    planned = []
    for settings in task.settings:
        video = Video(task.entry, settings, task.classes, task.out, {}, task.held)
        video.update(parsed)
        key, issues = None, pd.DataFrame()
        for stage in (s for s in _swept() if s.scope == "video"):
            key = key_of(stage, values(stage, settings), key, {})
            if key not in done:
                done[key] = resolve(stage.run)(video)
            video.update(tables_of(stage, done[key]))
            found = done[key].issues
            issues = pd.concat([issues, found]) if len(found) else issues
        clips = video["clips_planned"]
        seen = audit.sights(clips, video["activities"], video["boxes"])
        of_clip = list(zip(clips["clip_id"], seen, strict=True))
        too_large = lost = 0
        if len(issues):
            large = issues["reason"] == "too_large"  # each is one chunk
            planning = issues["stage"].isin(audit.PLANNING) & (issues["action"] != "noted")
            too_large, lost = int(large.sum()), int(issues["count"][planning & ~large].sum())
        planned.append(
            _Planned(
                store.to_arrow("clips_planned", clips.assign(x=None, y=None)),
                {i: one.missing for i, one in of_clip if one.missing},
                [i for i, one in of_clip if one.unmapped],
                {i: one.brief for i, one in of_clip if one.brief},
                too_large,
                lost,
            )
        )
    return planned


def _measure(parts: Sequence[_Planned], corpus: Corpus) -> dict[str, Any]:
    for stage in (s for s in _swept() if s.scope == "corpus"):
        corpus.update(tables_of(stage, resolve(stage.run)(corpus)))
    kept = corpus["clips_filtered"]
    # As in an audit of the build: a label that the filter took out is missing nowhere.
    used = {label for labels in kept["labels"] for label in labels}
    lacking = {c for p in parts for c, labels in p.missing.items() if labels & used}
    brief = {c for p in parts for c, labels in p.brief.items() if labels & used}
    n = len(kept)
    counts = kept["split"].value_counts()
    return {
        "clips": n,
        **{s: int(counts.get(s, 0)) for s in SPLITS},
        "frames": float((kept["end"] - kept["start"]).mean()) if n else 0.0,
        "labels": float(kept["labels"].map(len).mean()) if n else 0.0,
        "complete": 1 - float(kept["clip_id"].isin(lacking).mean()) if n else 1.0,
        "pure": 1 - float(kept["clip_id"].isin(brief).mean()) if n else 1.0,
        "unmapped": int(kept["clip_id"].isin([c for p in parts for c in p.unmapped]).sum()),
        "classes": len(used),
        "too_large": sum(p.too_large for p in parts),
        "lost": sum(p.lost for p in parts),
    }


def render(table: pd.DataFrame) -> str:
    """The sweep as a table for a terminal."""
    shown = table.copy()
    forms = {"frames": "{:.1f}", "labels": "{:.2f}", "complete": "{:.2%}", "pure": "{:.2%}"}
    for column, form in forms.items():
        shown[column] = [form.format(v) for v in table[column]]
    return shown.to_string(index=False)
