"""Compare settings by numbers: plan without pixels, parse once.

A sweep is a grid of settings. Every video's boxes are read once, and the stages from merge to
crop run on them for each point of the grid; a stage whose settings do not differ between two
points runs once for both. Partition and filter follow on each whole plan.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import yaml
from tqdm import tqdm

from tinyvirat_build import audit, engine, pipeline, store, work
from tinyvirat_build.builds import open_build
from tinyvirat_build.config import Settings
from tinyvirat_build.errors import DataError, SettingsError
from tinyvirat_build.labels import load_classes
from tinyvirat_build.sources import Entry
from tinyvirat_build.splits import load_lists
from tinyvirat_build.stages.filter import filter_rare
from tinyvirat_build.stages.partition import assign_groups, partition

SWEPT = ("merge", "chunk", "crop", "partition", "filter")


@dataclass(frozen=True, slots=True)
class _Task:
    units: Mapping[str, Path]
    settings: Sequence[Settings]
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Planned:
    """One video's clips under one point of the grid, and the labels that they lack."""

    clips: pa.Table  # without their windows' corners
    missing: dict[str, set[str]]  # clip id -> labels seen in it that it does not carry
    unmapped: list[str]  # clip ids in which an activity without a label is seen
    too_large: int
    short_frames: int


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


def sweep(request: pipeline.Request, axes: Sequence[str]) -> pd.DataFrame:
    """One row a point of the grid: its settings, yield, lengths, labels a clip, completeness.

    Columns: the axes; ``clips``, ``train``, ``val``, ``test``, ``frames`` (mean), ``labels``
    (mean a clip), ``complete`` (share of clips whose labels include those of every mapped
    activity seen in the window), ``unmapped`` (clips in which an activity without a label is
    seen), ``too_large`` and ``short`` (clips and frames lost), ``classes``.
    A build that lies in ``request.out`` keeps all its bytes: it lends its parsed annotations.

    Raises:
        SettingsError: a bad axis, or a build in ``request.out`` that is of something else.
        DataError: annotations that cannot be read, or videos that could not be planned.
    """
    points = grid(request.settings, axes)
    _refuse_other_build(request)
    if unread := pipeline.run(request, until="parse").unread:
        raise DataError(
            f"the annotations of {unread} videos cannot be read; see {request.out}/tables/issues, "
            "and leave their files out to compare settings without them"
        )
    classes = load_classes(request.settings.classes)
    entries = pipeline.entries_of(request)
    tasks = [
        _Task(
            {s: pipeline.unit_path(request.out, s, e) for s in ("index", "parse")},
            [settings.of(e.source) for _, settings in points],
            classes,
        )
        for e in entries[: request.limit]
    ]
    planned: dict[int, list[_Planned]] = {}
    failed: list[str] = []
    order = {id(t): i for i, t in enumerate(tasks)}
    with tqdm(
        total=len(tasks), desc="    sweep", unit=" video", delay=2, disable=request.quiet
    ) as bar:
        for outcome in engine.run_local(_plan, tasks, workers=request.workers, isolate=False):
            if outcome.result is None:
                why = outcome.failure.detail if outcome.failure else "no result"
                failed.append(f"{_video_of(outcome.task)}: {why}")
            else:
                planned[order[id(outcome.task)]] = outcome.result
            bar.update()
    if failed:
        raise DataError(
            f"{len(failed)} videos could not be planned, so no number would be of the whole: "
            f"{', '.join(failed[:3])}{', …' * (len(failed) > 3)}; leave their annotations out"
        )
    counted, groups = _partition_inputs(request, entries)
    rows = []
    for i, (point, settings) in enumerate(points):
        parts = [planned[t][i] for t in sorted(planned)]
        rows.append(point | _measure(parts, counted, groups, settings, classes))
    return pd.DataFrame(rows)


def _refuse_other_build(request: pipeline.Request) -> None:
    """Refuse to sweep in the folder of a build whose tables would no more be its own."""
    if not (request.out / "build.yaml").exists():
        return
    build = open_build(request.out)
    asked = (request.sources, request.limit, request.settings)
    if asked != (build.sources, build.limit, build.settings):
        raise SettingsError(
            f"{request.out} holds a build of other sources or settings; give a new --out"
        )


def _video_of(task: _Task) -> str:
    return task.units["parse"].name


def _plan(task: _Task) -> list[_Planned]:
    """Run merge … crop on one video for every point, sharing what the points share."""
    tables = {
        n: store.from_arrow(t)
        for n, t in store.read_unit(task.units["parse"], ["activities", "boxes"]).items()
    }
    videos = store.read_unit(task.units["index"], ["videos"])
    tables["videos"] = store.from_arrow(videos["videos"])
    done: dict[str, tuple[dict[str, pd.DataFrame], pd.DataFrame]] = {}
    planned = []
    for settings in task.settings:
        inputs, key = dict(tables), ""
        issues = pd.DataFrame()
        for stage in work.VIDEO_STAGES:
            own = stage.settings(settings)
            key = store.digest(key, stage.name, own if isinstance(own, str) else asdict(own))
            if key not in done:
                result = stage.run(inputs, settings, task.classes)
                done[key] = ({stage.writes: result.table}, result.issues)
            outputs, found = done[key]
            inputs.update(outputs)
            issues = pd.concat([issues, found]) if len(found) else issues
        clips = inputs["clips_planned"]
        missing, bare = audit.missing_labels(clips, inputs["activities"], inputs["boxes"])
        lost = dict.fromkeys(("too_large", "short"), 0)
        if len(issues):
            sums = issues.groupby("reason", observed=True)["count"].sum()
            lost = {r: int(sums.get(r, 0)) for r in lost}
        planned.append(
            _Planned(
                store.to_arrow("clips_planned", clips.assign(x=None, y=None)),
                {i: labels for i, labels in zip(clips["clip_id"], missing, strict=True) if labels},
                [i for i, names in zip(clips["clip_id"], bare, strict=True) if names],
                lost["too_large"],
                lost["short"],
            )
        )
    return planned


def _partition_inputs(
    request: pipeline.Request, entries: Sequence[Entry]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    parts = [
        t
        for e in entries
        for t in store.read_unit(
            pipeline.unit_path(request.out, "parse", e), ["activities", "without_geometry"]
        ).values()
    ]
    counted = store.from_arrow(pa.concat_tables(parts).unify_dictionaries())
    videos = pipeline.videos_frame(entries)
    lists = load_lists(request.settings.partition)
    return counted, assign_groups(videos, request.settings.partition, lists=lists)


def _measure(
    parts: Sequence[_Planned],
    counted: pd.DataFrame,
    groups: pd.DataFrame,
    settings: Settings,
    classes: tuple[str, ...],
) -> dict[str, Any]:
    clips = store.from_arrow(pa.concat_tables([p.clips for p in parts]).unify_dictionaries())
    lists = load_lists(settings.partition)
    split = partition(clips, counted, groups, settings.partition, lists=lists, classes=classes)
    kept = filter_rare(split.table, settings.filter, classes=classes).table
    # As in an audit of the build: a label that the filter took out is missing nowhere.
    used = {label for labels in kept["labels"] for label in labels}
    lacking = {c for p in parts for c, labels in p.missing.items() if labels & used}
    n = len(kept)
    counts = kept["split"].value_counts()
    return {
        "clips": n,
        **{s: int(counts.get(s, 0)) for s in ("train", "val", "test")},
        "frames": float((kept["end"] - kept["start"]).mean()) if n else 0.0,
        "labels": float(kept["labels"].map(len).mean()) if n else 0.0,
        "complete": 1 - float(kept["clip_id"].isin(lacking).mean()) if n else 1.0,
        "unmapped": int(kept["clip_id"].isin([c for p in parts for c in p.unmapped]).sum()),
        "classes": len(used),
        "too_large": sum(p.too_large for p in parts),
        "short": sum(p.short_frames for p in parts),
    }


def render(table: pd.DataFrame) -> str:
    """The sweep as a table for a terminal."""
    shown = table.copy()
    for column, form in (("frames", "{:.1f}"), ("labels", "{:.2f}"), ("complete", "{:.2%}")):
        shown[column] = [form.format(v) for v in table[column]]
    return shown.to_string(index=False)
