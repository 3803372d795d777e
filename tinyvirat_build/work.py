"""The work on one source video, as a worker process does it: index, plan, cut.

Each function takes a picklable task and leaves finished units behind (see :mod:`store`); the
pure stages in between are one line each in :data:`VIDEO_STAGES`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd

from tinyvirat_build import labels, store
from tinyvirat_build.config import Encode, Settings
from tinyvirat_build.engine import Failure
from tinyvirat_build.errors import VideoError
from tinyvirat_build.records import (
    KEYS,
    Balance,
    Issue,
    StageResult,
    balance_frame,
    empty,
    issues_frame,
)
from tinyvirat_build.sources import Entry
from tinyvirat_build.sources.parse import parse_entry
from tinyvirat_build.stages.chunk import chunk
from tinyvirat_build.stages.crop import crop
from tinyvirat_build.stages.merge import merge
from tinyvirat_build.stages.segment import segment
from tinyvirat_build.video.cutter import COLUMNS, cut_video
from tinyvirat_build.video.index import VideoIndex, index_video

Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True, slots=True)
class VideoStage:
    """A pure stage on one video: the table it writes, the settings it reads, the function."""

    name: str
    writes: str
    settings: Callable[[Settings], Any]
    run: Callable[[Tables, Settings, tuple[str, ...]], StageResult]
    version: int = 1


VIDEO_STAGES: Final = (
    VideoStage(
        "merge", "tracks", lambda s: s.merge,
        lambda t, s, _: merge(t["activities"], t["boxes"], s.merge),
    ),
    VideoStage(
        "segment", "segments", lambda s: s.merge.unit,
        lambda t, s, classes: segment(t["tracks"], t["activities"], s.merge, classes=classes),
    ),
    VideoStage(
        "chunk", "chunks", lambda s: s.chunk,
        lambda t, s, _: chunk(t["segments"], t["tracks"], s.chunk),
        version=2,
    ),
    VideoStage(
        "crop", "clips_planned",
        lambda s: store.digest(asdict(s.crop), s.merge.unit, labels.load_names(s.crop.names)),
        lambda t, s, classes: crop(
            t["chunks"], t["tracks"], t["activities"], t["boxes"], t["videos"], s.crop,
            classes=classes,
            unit=s.merge.unit,
            segments=t["segments"] if s.crop.scope == "segment" else None,
            names=labels.load_names(s.crop.names),
        ),
    ),
)  # fmt: skip

_PARSE_TABLES: Final = ("activities", "boxes", "actors", "without_geometry")
INDEX_VERSION: Final = 4
PARSE_VERSION: Final = 2
CUT_VERSION: Final = 4
_SCHEMA_OF: Final = {"without_geometry": "activities"}


@dataclass(frozen=True, slots=True)
class VideoTask:
    """One video's way through the per-video stages, as a worker is given it."""

    entry: Entry
    settings: Settings
    classes: tuple[str, ...]
    units: dict[str, Path]
    keys: dict[str, str]  # in stage order; the last stage is the last key


def _frames(path: Path, names: Iterable[str]) -> dict[str, pd.DataFrame]:
    return {n: store.from_arrow(t) for n, t in store.read_unit(path, names).items()}


def write_tables(
    path: Path, key: str, tables: Tables, extra: Mapping[str, bytes] | None = None
) -> None:
    """Write DataFrames, and opaque parts, as a unit."""
    arrow = {n: store.to_arrow(_SCHEMA_OF.get(n, n), t) for n, t in tables.items()}
    store.write_unit(path, key, {**arrow, **(extra or {})})


def index_entry(task: VideoTask) -> None:
    """Index one video and write its unit: a row of ``videos`` and the packet index."""
    if task.entry.video is None:
        write_index(task)
        return
    try:
        found = index_video(task.entry.video)
    except VideoError as e:
        # What the system refuses, it may grant the next time.
        refuse_index(task, e.reason, e.detail, passing=isinstance(e.__cause__, OSError))
    else:
        write_index(task, found)


def write_index(
    task: VideoTask,
    found: VideoIndex | None = None,
    refused: tuple[str, str] | None = None,
    key: str | None = None,
) -> None:
    """Write an index unit: of an indexed video, of a refused one, or of one that is not here.

    ``key`` is another one than the task's.
    """
    entry = task.entry
    keys = _key_columns(entry)
    row: dict[str, Any] = {
        **keys,
        **{"width": entry.width, "height": entry.height, "fps": entry.fps, "assumed": True},
        **{"camera": entry.camera, "scene": entry.scene, "session": entry.session},
        **{"present": entry.video is not None, "path": entry.video and entry.video.name},
        **{"frames": None, "fingerprint": None},
    }
    extra: dict[str, bytes] = {}
    issues: list[Issue] = []
    if found is not None:
        row |= {"width": found.width, "height": found.height, "assumed": False}
        row |= {"fps": str(found.fps), "frames": found.n_frames}
        row["fingerprint"] = found.fingerprint
        extra["packets"] = found.to_bytes()
        if found.streams > 1:
            record = f"video {entry.video_id}"
            detail = f"{found.streams} videos in the file; stream {found.stream} is taken"
            issues.append(Issue("index", "streams", "noted", record, row["path"], detail=detail))
    if refused is not None:
        record = f"video {entry.video_id}"
        issues.append(Issue("index", refused[0], "noted", record, row["path"], detail=refused[1]))
        extra["refused"] = json.dumps(refused).encode()
    tables = {"videos": pd.DataFrame([row]), "issues": issues_frame(issues, **keys)}
    write_tables(task.units["index"], key or task.keys["index"], tables, extra)


def load_index(unit: Path) -> VideoIndex:
    """The packet index of an index unit.

    Raises:
        VideoError: the video was refused when it was indexed; with the reason.
    """
    if store.has_part(unit, "packets"):
        return VideoIndex.from_bytes(store.read_unit_bytes(unit, "packets"))
    if reason := refused(unit):
        raise VideoError(*reason)
    raise VideoError("no_video", "the source video was not present when it was indexed")


def refused(unit: Path) -> list[str] | None:
    """Why a video was refused when it was indexed: reason and detail; None where it was not."""
    if not store.has_part(unit, "refused"):
        return None
    found: list[str] = json.loads(store.read_unit_bytes(unit, "refused"))
    return found


class _Inputs(dict[str, pd.DataFrame]):
    """A video's tables, read from the unit that wrote them when they are first asked for."""

    def __init__(self, units: Mapping[str, Path]) -> None:
        super().__init__()
        self.units = units
        self.stage_of = {s.writes: s.name for s in VIDEO_STAGES}
        self.stage_of |= dict.fromkeys(_PARSE_TABLES, "parse") | {"videos": "index"}

    def __missing__(self, name: str) -> pd.DataFrame:
        self.update(_frames(self.units[self.stage_of[name]], [name]))
        return self[name]


def plan_entry(task: VideoTask) -> None:
    """Take one video from its annotation files to planned clips, doing only what is stale."""
    inputs = _Inputs(task.units)
    if store.unit_key(task.units["parse"]) != task.keys["parse"]:
        video = inputs["videos"].iloc[0]
        parsed = parse_entry(
            task.entry, task.settings, width=int(video["width"]), height=int(video["height"])
        )
        results = {
            "activities": parsed.activities,
            "boxes": parsed.boxes,
            "actors": parsed.actors,
            "without_geometry": parsed.without_geometry,
        }
        issues = {"issues": parsed.issues, "balance": parsed.balance}
        write_tables(task.units["parse"], task.keys["parse"], results | issues)
        inputs.update(results)
    _run_stages(task, inputs)


def _run_stages(task: VideoTask, inputs: _Inputs) -> None:
    for stage in (s for s in VIDEO_STAGES if s.name in task.keys):
        if store.unit_key(task.units[stage.name]) == task.keys[stage.name]:
            continue
        result = stage.run(inputs, task.settings, task.classes)
        write_tables(
            task.units[stage.name],
            task.keys[stage.name],
            {stage.writes: result.table, "issues": result.issues, "balance": result.balance},
        )
        inputs[stage.writes] = result.table


def _key_columns(entry: Entry) -> dict[str, str]:
    return {k: getattr(entry, k) for k in KEYS}


@dataclass(frozen=True, slots=True)
class CutTask:
    """One video's clips to cut."""

    entry: Entry
    clips: pd.DataFrame  # rows of clips_filtered
    out: Path  # the build
    folder: Path  # of the video's clips
    index_unit: Path
    unit: Path
    key: str
    encode: Encode
    max_held: float


def cut_entry(task: CutTask) -> int:
    """Cut all clips of one video into their folder; return how many were cut.

    The folder takes its place whole, before the unit that names its files.
    """
    # A name of this process's own: a worker of a killed build may be about to end.
    partial = task.folder.with_name(f"{task.folder.name}.{os.getpid()}{store.PARTIAL}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    key = task.key
    try:
        if task.entry.video is None:
            raise VideoError("no_video", "the source video is not present")
        index = load_index(task.index_unit)
    except VideoError as e:  # the key holds what the index says: found again, it is another one
        cuts = failed_cuts(task.clips, e.reason)
    else:
        try:
            cuts = _cut(task, index, partial)
        except VideoError as e:
            cuts, key = failed_cuts(task.clips, e.reason), store.passing_key(e.reason)
            shutil.rmtree(partial)
            partial.mkdir()
    at = task.folder.relative_to(task.out).as_posix()
    for column in ("file", "pack_file"):
        cuts[column] = [None if pd.isna(f) else f"{at}/{f}" for f in cuts[column]]
    shutil.rmtree(task.folder, ignore_errors=True)
    if cuts["file"].notna().any():
        store.sync_folder(partial)
        partial.rename(task.folder)
    else:
        partial.rmdir()
    store.sync_folder(task.folder.parent)
    write_cuts(task, cuts, key)
    return int(cuts["reason"].isna().sum())


def _cut(task: CutTask, index: VideoIndex, folder: Path) -> pd.DataFrame:
    """Cut a video's clips into a folder.

    Raises:
        VideoError: the video cannot be opened any more, or changed.
    """
    video = task.entry.video
    assert video is not None
    before = _stamp(video)
    cuts = cut_video(
        video,
        index,
        task.clips,
        folder,
        task.encode,
        max_held=task.max_held,
        pack_path=folder / "clips.yuv" if task.encode.pack else None,
    )
    if _stamp(video) != before:
        raise VideoError("source_changed", "the file changed while it was cut")
    return cuts


def write_cuts(task: CutTask, cuts: pd.DataFrame, key: str, detail: str = "") -> None:
    """Write the unit of a video's cuts, with an issue for each clip that has none."""
    keys = _key_columns(task.entry)
    cuts = cuts.assign(**keys)
    lost = cuts[cuts["reason"].notna()]
    issues = [
        Issue("cut", str(reason), "quarantined", f"clip {clip}", task.entry.video_id, detail=detail)
        for clip, reason in zip(lost["clip_id"], lost["reason"], strict=True)
    ]
    kept = cuts[cuts["reason"].isna()]
    issues += [
        Issue("cut", "held", "held", f"clip {clip}", task.entry.video_id, count=int(held))
        for clip, held in zip(kept["clip_id"], kept["held"], strict=True)
        if held
    ]
    issues += [
        Issue("cut", "damaged", "noted", f"clip {clip}", task.entry.video_id, count=int(damaged))
        for clip, damaged in zip(kept["clip_id"], kept["damaged"], strict=True)
        if damaged
    ]
    planned = (task.clips["end"] - task.clips["start"]).set_axis(task.clips["clip_id"])
    issues += [
        Issue("cut", "past_end", "clipped", f"clip {clip}", task.entry.video_id, count=short)
        for clip, n in zip(kept["clip_id"], kept["n_frames"], strict=True)
        if (short := int(planned[clip]) - int(n))
    ]
    balance = Balance("cut", "clips", len(cuts), len(kept), len(lost))
    tables = {
        "cuts": cuts,
        "issues": issues_frame(issues, **keys),
        "balance": balance_frame(balance, **keys),
    }
    write_tables(task.unit, key, tables)


def failed_cuts(clips: pd.DataFrame, reason: str) -> pd.DataFrame:
    """The rows of ``cuts`` for clips none of which was cut."""
    cuts = pd.DataFrame({"clip_id": clips["clip_id"], "reason": reason})
    return cuts.assign(**{c: None for c in COLUMNS if c not in cuts})


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def files_there(task: CutTask) -> bool:
    """Whether every file that the unit of a video's cuts names is still on disk."""
    cuts = store.read_unit(task.unit, ["cuts"])["cuts"]
    names = {*cuts["file"].to_pylist(), *cuts["pack_file"].to_pylist()} - {None}
    return all((task.out / name).is_file() for name in names)


def refuse_index(task: VideoTask, reason: str, detail: str, *, passing: bool = True) -> None:
    """Write the index unit of a video that could not be indexed."""
    if task.entry.video is not None:
        # The name alone: where the data lie is this machine's affair, and no part of a build.
        detail = detail.replace(str(task.entry.video), task.entry.video.name)
    write_index(task, refused=(reason, detail), key=store.passing_key(reason) if passing else None)


def refuse_plan(task: VideoTask, failure: Failure) -> None:
    """Leave an empty plan for a video whose annotations brought the worker down."""
    keys = _key_columns(task.entry)
    issue = Issue(
        "parse", failure.reason, "quarantined", f"video {task.entry.video_id}",
        file=task.entry.files[0].name if task.entry.files else None, detail=failure.detail,
    )  # fmt: skip
    tables = {n: empty(_SCHEMA_OF.get(n, n)) for n in _PARSE_TABLES}
    file = Balance("parse", "activities", 1, 0, 1)  # it counts as one record
    ledger = {"issues": issues_frame([issue], **keys), "balance": balance_frame(file, **keys)}
    passing = replace(task, keys=dict.fromkeys(task.keys, store.passing_key(failure.reason)))
    for stage in passing.keys:  # empty as well, whatever they held
        task.units[stage].unlink(missing_ok=True)
    write_tables(task.units["parse"], passing.keys["parse"], tables | ledger)
    _run_stages(passing, _Inputs(task.units))


def refuse_cut(task: CutTask, failure: Failure) -> None:
    """Quarantine the clips of a video whose cutting crashed, hung or failed."""
    cuts = failed_cuts(task.clips, failure.reason)
    write_cuts(task, cuts, store.passing_key(failure.reason), failure.detail)
