"""JHU-AIEM cuboids: one JSON file a clip, each activity with a trajectory of its own.

``{"0": {"start_frame", "end_frame", "event_type", "identity", "objects", "trajectory":
{"15": [x1, y1, x2, y2]}}}``; frames 0-based, ends inclusive, a box every 5 or 15 frames,
interpolated linearly. The trajectory is the activity's only actor, named by its ``identity``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyvirat_build.errors import AnnotationError
from tinyvirat_build.formats.actev_tree import load
from tinyvirat_build.formats.assemble import (
    STAGE,
    MalformedError,
    RawActivity,
    RawBoxes,
    assemble,
    checked,
    fill_gaps,
)
from tinyvirat_build.formats.faults import Issues, none_among
from tinyvirat_build.formats.objects import Instance, unite
from tinyvirat_build.formats.options import ReadOptions
from tinyvirat_build.formats.safety import refuse_unsafe_video
from tinyvirat_build.records import Issue, VideoAnnotation

_FRAME = re.compile(r"-?[0-9]{1,9}")


def read(video_id: str, files: Sequence[Path], options: ReadOptions) -> VideoAnnotation:
    """Read one clip's cuboids; ``records_in`` counts the entries of the file.

    Raises:
        AnnotationError: no JSON file, not JSON, or not a mapping of activities.
    """
    refuse_unsafe_video(video_id, files)
    path = next((p for p in files if p.name.endswith(".json")), None)
    if path is None:
        raise none_among(files, "cuboids", video_id, "give the clip's JSON file")
    tree = load(path)
    if not isinstance(tree, dict):
        raise AnnotationError(
            "not a mapping of activities", file=path, remedy="restore or correct the file"
        )
    issues = Issues()
    activities: list[RawActivity] = []
    instances: list[Instance] = []
    for key, record in tree.items():
        try:
            activity, instance = _activity(key, record, issues, path.name)
        except MalformedError as e:
            label = f"activity {key}"[:200]
            issues.append(Issue(STAGE, "malformed", "dropped", label, path.name, detail=str(e)))
            continue
        activities.append(activity)
        instances.append(instance)
    instances = _dense(instances, options.max_gap, path.name, issues)
    names, boxes, _ = unite(instances, path.name, issues)
    for activity, name in zip(activities, names, strict=True):
        activity.actors = (name,)
    return assemble(
        video_id,
        activities,
        boxes,
        {},
        issues,
        options,
        records_in=len(tree),
        file=path.name,
        interpolate=False,
    )


def _dense(
    instances: Sequence[Instance], max_gap: int, file: str, issues: Issues
) -> list[Instance]:
    """Each trajectory on every frame of its own.

    Before those of one identity are united: between the keyframes of one stand those of another,
    and a box would jump to and fro.
    """
    names: dict[str, None] = {}
    for instance in instances:
        name = f"{instance.object_id}@{instance.activity_id}"
        if name in names:  # two ways to part one text
            name = f"{name}'{len(names)}"
        names[name] = None
    boxes = RawBoxes(
        tuple(names),
        np.repeat(np.arange(len(instances)), [len(i.frame) for i in instances]),
        np.concatenate([i.frame for i in instances] or [np.empty(0, np.int64)]),
        np.concatenate([i.xyxy for i in instances] or [np.empty((0, 4))]),
        np.concatenate([i.keyframe for i in instances] or [np.empty(0, bool)]),
        np.zeros(sum(len(i.frame) for i in instances), np.int64),
        file,
    )
    boxes = fill_gaps(checked(boxes, issues), max_gap, issues)
    bounds = np.searchsorted(boxes.code, np.arange(len(boxes.ids) + 1))
    rows = {name: slice(*bounds[i : i + 2]) for i, name in enumerate(boxes.ids)}
    return [
        replace(i, frame=boxes.frame[at], xyxy=boxes.xyxy[at], keyframe=boxes.keyframe[at])
        for i, name in zip(instances, names, strict=True)
        for at in [rows.get(name, slice(0))]
    ]


def _activity(key: str, record: Any, issues: Issues, file: str) -> tuple[RawActivity, Instance]:
    if not isinstance(record, dict):
        raise MalformedError("an activity is a mapping")
    name: Any = record.get("event_type")
    start: Any = record.get("start_frame")
    end: Any = record.get("end_frame")
    if not isinstance(name, str) or not name:
        raise MalformedError("no event_type")
    if not all(isinstance(f, int) and abs(f) < 1 << 31 for f in (start, end)):
        raise MalformedError("start_frame and end_frame are integers")
    identity = record.get("identity", key)
    trajectory = record.get("trajectory")
    if not isinstance(identity, int | str) or not isinstance(trajectory, dict):
        raise MalformedError("no identity or no trajectory")
    boxes = {int(f): b for f, b in trajectory.items() if _FRAME.fullmatch(f) and _is_box(b)}
    bad = len(trajectory) - len(boxes)
    if bad:
        detail = "entries of the trajectory that are not frame: [x1, y1, x2, y2]"
        label = f"activity {key}"[:200]
        issues.append(Issue(STAGE, "malformed", "noted", label, file, count=bad, detail=detail))
    frames = sorted(boxes)
    instance = Instance(
        key,
        str(identity),
        "",
        np.array(frames, np.int64),
        np.array([boxes[f] for f in frames], float).reshape(-1, 4),
        np.ones(len(frames), bool),
    )
    return RawActivity(key, name, start, end + 1, ()), instance


def _is_box(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 4
        and all(isinstance(x, int | float) and not isinstance(x, bool) for x in value)
    )
