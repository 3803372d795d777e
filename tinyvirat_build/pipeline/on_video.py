"""What the stages do on one video: index, read, plan, cut.

Each function is a stage's ``run`` (or its ``instead``, where the work on a video crashed or hung)
in the table of stages. The planning ones hand their tables to a pure function of ``stages/``.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from tinyvirat_build import labels, store
from tinyvirat_build.errors import VideoError
from tinyvirat_build.pipeline.folder import of_video
from tinyvirat_build.pipeline.given import Video
from tinyvirat_build.records import (
    Balance,
    Issue,
    StageResult,
    balance_frame,
    empty,
    issues_frame,
)
from tinyvirat_build.sources.parse import parse_entry
from tinyvirat_build.stages import chunk as chunks
from tinyvirat_build.stages import crop as crops
from tinyvirat_build.stages import merge as merges
from tinyvirat_build.stages import segment as segments
from tinyvirat_build.video.agreed import cut_agreed
from tinyvirat_build.video.cutter import COLUMNS
from tinyvirat_build.video.index import VideoIndex, index_video


def index(video: Video) -> StageResult:
    """A row of ``videos`` and the packet index; both assumed where the video is not here."""
    path = video.entry.video
    if path is None:
        return _indexed(video)
    try:
        found = index_video(path)
    except VideoError as e:
        refused = not_indexed(video, e.reason, e.detail)
        # What the system refuses, it may grant the next time.
        return replace(refused, transient=e.reason if isinstance(e.__cause__, OSError) else "")
    row: dict[str, Any] = {"width": found.width, "height": found.height, "assumed": False}
    row |= {"fps": str(found.fps), "frames": found.n_frames, "fingerprint": found.fingerprint}
    issues = []
    if found.streams > 1:
        detail = f"{found.streams} videos in the file; stream {found.stream} is taken"
        issues.append(_noted(video, "streams", detail))
    return _indexed(video, row, issues, {"packets": found.to_bytes()})


def not_indexed(video: Video, reason: str, detail: str) -> StageResult:
    """The row of a video that cannot be indexed."""
    if path := video.entry.video:
        # The name alone: where the data lie is this machine's affair, and no part of a build.
        detail = detail.replace(str(path), path.name)
    parts = {"refused": json.dumps((reason, detail)).encode()}
    return _indexed(video, {}, [_noted(video, reason, detail)], parts)


def _noted(video: Video, reason: str, detail: str) -> Issue:
    file = video.entry.video.name if video.entry.video else None
    return Issue("index", reason, "noted", f"video {video.entry.video_id}", file, detail=detail)


def _indexed(
    video: Video,
    found: dict[str, Any] | None = None,
    issues: list[Issue] | None = None,
    parts: dict[str, bytes] | None = None,
) -> StageResult:
    entry = video.entry
    row: dict[str, Any] = {
        **entry.key._asdict(),
        **{"width": entry.width, "height": entry.height, "fps": entry.fps, "assumed": True},
        **{"camera": entry.camera, "scene": entry.scene, "session": entry.session},
        **{"present": entry.video is not None, "path": entry.video and entry.video.name},
        **{"frames": None, "fingerprint": None},
        **(found or {}),
    }
    told = issues_frame(issues or [], **entry.key._asdict())
    return StageResult(pd.DataFrame([row]), told, parts=parts or {})


def load_index(unit: Path) -> VideoIndex:
    """The packet index of an index unit.

    Raises:
        VideoError: the video was refused when it was indexed; with the reason.
    """
    if store.has_part(unit, "packets"):
        return VideoIndex.from_bytes(store.read_unit_bytes(unit, "packets"))
    if store.has_part(unit, "refused"):
        raise VideoError(*json.loads(store.read_unit_bytes(unit, "refused")))
    raise VideoError("no_video", "the source video was not present when it was indexed")


def parse(video: Video) -> StageResult:
    """The annotation files as tables."""
    picture = video["videos"].iloc[0]
    found = parse_entry(
        video.entry, video.settings, width=int(picture["width"]), height=int(picture["height"])
    )
    more = {"boxes": found.boxes, "actors": found.actors}
    more["without_geometry"] = found.without_geometry
    return StageResult(found.activities, found.issues, found.balance, more)


def not_parsed(video: Video, reason: str, detail: str) -> StageResult:
    """No annotation, of a video whose annotations brought the worker down."""
    entry = video.entry
    file = entry.files[0].name if entry.files else None
    record = f"video {entry.video_id}"
    issue = Issue("parse", reason, "quarantined", record, file, detail=detail)
    more = {"boxes": empty("boxes"), "actors": empty("actors")}
    more["without_geometry"] = empty("activities")
    return StageResult(
        empty("activities"),
        issues_frame([issue], **entry.key._asdict()),
        balance_frame(Balance("parse", "activities", 1, 0, 1), **entry.key._asdict()),
        more,
    )  # the file counts as one record


def merge(video: Video) -> StageResult:
    """Table ``tracks``."""
    return merges.merge(video["activities"], video["boxes"], video.settings.merge)


def segment(video: Video) -> StageResult:
    """Table ``segments``."""
    return segments.segment(
        video["tracks"], video["activities"], video.settings.merge, classes=video.classes
    )


def chunk(video: Video) -> StageResult:
    """Table ``chunks``."""
    return chunks.chunk(video["segments"], video["tracks"], video.settings.chunk)


def crop(video: Video) -> StageResult:
    """Table ``clips_planned``."""
    settings = video.settings
    return crops.crop(
        video["chunks"],
        video["tracks"],
        video["activities"],
        video["boxes"],
        video["videos"],
        settings.crop,
        classes=video.classes,
        unit=settings.merge.unit,
        segments=video["segments"] if settings.crop.scope == "segment" else None,
        names=labels.load_names(settings.crop.names),
    )


def cut(video: Video) -> StageResult:
    """Cut all clips of the video into its folder.

    The folder takes its place whole, before the unit that names its files.
    """
    clips, folder = video["clips_filtered"], of_video(video.out / "clips", video.entry)
    # A name of this process's own: a worker of a killed build may be about to end.
    partial = folder.with_name(f"{folder.name}.{os.getpid()}{store.PARTIAL}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    transient = ""
    try:
        if video.entry.video is None:
            raise VideoError("no_video", "the source video is not present")
        packets = load_index(video.unit("index"))
    except VideoError as e:  # the key holds what the index says: found again, it is another one
        cuts = _no_cuts(clips, e.reason)
    else:
        try:
            cuts = _cut(video, video.entry.video, packets, partial)
        except VideoError as e:
            cuts, transient = _no_cuts(clips, e.reason), e.reason
            shutil.rmtree(partial)
            partial.mkdir()
    at = folder.relative_to(video.out).as_posix()
    for column in ("file", "pack_file"):
        cuts[column] = [None if pd.isna(f) else f"{at}/{f}" for f in cuts[column]]
    shutil.rmtree(folder, ignore_errors=True)
    if cuts["file"].notna().any():
        store.sync_folder(partial)
        partial.rename(folder)
    else:
        partial.rmdir()
    store.sync_folder(folder.parent)
    return replace(_told(video, cuts), transient=transient)


def _cut(video: Video, path: Path, packets: VideoIndex, folder: Path) -> pd.DataFrame:
    """Cut a video's clips into a folder.

    Raises:
        VideoError: the video cannot be opened any more, or changed.
    """
    settings = video.settings
    before = _stamp(path)
    cuts = cut_agreed(
        path,
        packets,
        video["clips_filtered"],
        folder,
        settings.encode,
        max_held=settings.videos.max_held,
        pack_path=folder / "clips.yuv" if settings.encode.pack else None,
        prove=video.prove,
    )
    if _stamp(path) != before:
        raise VideoError("source_changed", "the file changed while it was cut")
    return cuts


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def not_cut(video: Video, reason: str, detail: str) -> StageResult:
    """No clip, of a video whose cutting crashed, hung or failed."""
    return _told(video, _no_cuts(video["clips_filtered"], reason), detail)


def _no_cuts(clips: pd.DataFrame, reason: str) -> pd.DataFrame:
    cuts = pd.DataFrame({"clip_id": clips["clip_id"], "reason": reason})
    return cuts.assign(**{c: None for c in COLUMNS if c not in cuts})


def _told(video: Video, cuts: pd.DataFrame, detail: str = "") -> StageResult:
    """The table ``cuts``, with an issue for each clip that has no file or not all its frames."""
    keys = video.entry.key._asdict()
    lost, kept = cuts[cuts["reason"].notna()], cuts[cuts["reason"].isna()]

    def issue(clip: str, reason: str, action: str, count: int = 1, detail: str = "") -> Issue:
        record, file = f"clip {clip}", video.entry.video_id
        return Issue("cut", reason, action, record, file, count=count, detail=detail)

    issues = [
        issue(clip, str(reason), "quarantined", detail=detail)
        for clip, reason in zip(lost["clip_id"], lost["reason"], strict=True)
    ]
    for reason, action in (("held", "held"), ("damaged", "noted")):
        issues += [
            issue(clip, reason, action, int(n))
            for clip, n in zip(kept["clip_id"], kept[reason], strict=True)
            if n
        ]
    clips = video["clips_filtered"]
    planned = (clips["end"] - clips["start"]).set_axis(clips["clip_id"])
    issues += [
        issue(clip, "past_end", "clipped", short)
        for clip, n in zip(kept["clip_id"], kept["n_frames"], strict=True)
        if (short := int(planned[clip]) - int(n))
    ]
    balance = Balance("cut", "clips", len(cuts), len(kept), len(lost))
    return StageResult(
        cuts.assign(**keys), issues_frame(issues, **keys), balance_frame(balance, **keys)
    )


def clips_there(video: Video) -> bool:
    """Whether every file that the table ``cuts`` names is still on disk."""
    names = [n for column in ("file", "pack_file") for n in video["cuts"][column].dropna()]
    return all((video.out / name).is_file() for name in set(names))
