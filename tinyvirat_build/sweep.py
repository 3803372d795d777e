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
from tinyvirat_build.config import Settings
from tinyvirat_build.errors import BuildError, SettingsError
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
    """One video's clips under one point of the grid, and how many of them are complete."""

    clips: pa.Table
    complete: list[str]  # clip ids
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
    activity seen in the window), ``too_large`` and ``short`` (clips and frames lost), ``classes``.
    """
    points = grid(request.settings, axes)
    pipeline.run(request, until="parse")
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
    order = {id(t): i for i, t in enumerate(tasks)}
    with tqdm(
        total=len(tasks), desc="    sweep", unit=" video", delay=2, disable=request.quiet
    ) as bar:
        for outcome in engine.run_local(_plan, tasks, workers=request.workers, isolate=False):
            if outcome.failure:
                raise BuildError(f"a video could not be planned: {outcome.failure.detail}")
            if outcome.result is not None:
                planned[order[id(outcome.task)]] = outcome.result
            bar.update()
    counted, groups = _partition_inputs(request, entries)
    rows = []
    for i, (point, settings) in enumerate(points):
        parts = [planned[t][i] for t in sorted(planned)]
        rows.append(point | _measure(parts, counted, groups, settings, classes))
    return pd.DataFrame(rows)


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
        complete = audit.complete_clips(clips, inputs["activities"], inputs["boxes"])
        lost = dict.fromkeys(("too_large", "short"), 0)
        if len(issues):
            sums = issues.groupby("reason", observed=True)["count"].sum()
            lost = {r: int(sums.get(r, 0)) for r in lost}
        planned.append(
            _Planned(
                store.to_arrow("clips_planned", clips),
                clips["clip_id"][complete].tolist(),
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
    complete = {c for p in parts for c in p.complete}
    n = len(kept)
    counts = kept["split"].value_counts()
    return {
        "clips": n,
        **{s: int(counts.get(s, 0)) for s in ("train", "val", "test")},
        "frames": float((kept["end"] - kept["start"]).mean()) if n else 0.0,
        "labels": float(kept["labels"].map(len).mean()) if n else 0.0,
        "complete": float(kept["clip_id"].isin(complete).mean()) if n else 1.0,
        "classes": len({label for labels in kept["labels"] for label in labels}),
        "too_large": sum(p.too_large for p in parts),
        "short": sum(p.short_frames for p in parts),
    }


def render(table: pd.DataFrame) -> str:
    """The sweep as a table for a terminal."""
    shown = table.copy()
    for column, form in (("frames", "{:.1f}"), ("labels", "{:.2f}"), ("complete", "{:.2%}")):
        shown[column] = [form.format(v) for v in table[column]]
    return shown.to_string(index=False)
