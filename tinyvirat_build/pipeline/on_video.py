"""What the stages do on one video: index, read, plan, cut.

Each function is a stage's ``run`` (or its ``instead``, where the work on a video crashed or hung)
in the table of stages. The planning ones hand their tables to a pure function of ``stages/``.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from tinyvirat_build import labels, store
from tinyvirat_build.errors import VideoError
from tinyvirat_build.pipeline.folder import of_video
from tinyvirat_build.pipeline.given import Video, VideoBatch
from tinyvirat_build.records import (
    Balance,
    Issue,
    StageResult,
    balance_frame,
    empty,
    issues_frame,
)
from tinyvirat_build.remote.video import RemoteVideo
from tinyvirat_build.sources import Entry
from tinyvirat_build.sources.afar import CACHE
from tinyvirat_build.sources.parse import parse_columns
from tinyvirat_build.stages import chunk as chunks
from tinyvirat_build.stages import crop as crops
from tinyvirat_build.stages import merge as merges
from tinyvirat_build.stages import segment as segments
from tinyvirat_build.stages.clip_boxes import boxes_in_windows
from tinyvirat_build.video.agreed import cut_agreed
from tinyvirat_build.video.index import VideoIndex, index_video
from tinyvirat_build.video.told import absent, indexed, no_cuts, refused, told


def index(video: Video | VideoBatch) -> StageResult:
    """A row of ``videos`` and the packet index; both assumed where the video is not here.

    Of several videos none is here.
    """
    if isinstance(video, VideoBatch):
        return absent([_picture(entry) for entry in video.entries])
    path, remote = video.entry.video, video.entry.remote
    try:
        if path and remote:
            return _index_remote(video, RemoteVideo.at(path.parent, remote))
        return indexed(_picture(video.entry), index_video(path) if path else None)
    except VideoError as e:
        # What the system refuses, it may grant the next time.
        transient = e.reason if isinstance(e.__cause__, OSError) else ""
        return replace(not_indexed(video, e.reason, e.detail), transient=transient)


def _index_remote(video: Video, afar: RemoteVideo) -> StageResult:
    result = indexed(_picture(video.entry), afar.index())
    afar.keep_within(video.out / CACHE)
    return _said(video, "index", afar, result)


def _said(video: Video, stage: str, afar: RemoteVideo, result: StageResult) -> StageResult:
    """A stage's result, with the note that a remote video was fetched whole, if it was."""
    if not afar.why_whole:
        return result
    record = f"video {video.entry.video_id}"
    issue = Issue(stage, "whole_file", "noted", record, afar.name, detail=afar.why_whole)
    noted = issues_frame([issue], **video.entry.key._asdict())
    return replace(result, issues=pd.concat([result.issues, noted], ignore_index=True))


def not_indexed(video: Video, reason: str, detail: str) -> StageResult:
    """The row of a video that cannot be indexed."""
    if path := video.entry.video:
        # The name alone: where the data lie is this machine's affair, and no part of a build.
        detail = detail.replace(str(path), path.name)
    if remote := video.entry.remote:
        detail = detail.replace(remote.url, remote.name)
    return refused(_picture(video.entry), reason, detail)


def _picture(entry: Entry) -> dict[str, Any]:
    """The row of a video as its source assumes it to be."""
    names = ("width", "height", "fps", "camera", "scene", "session")
    about = {"present": entry.video is not None, "path": entry.video and entry.video.name}
    return entry.key._asdict() | {n: getattr(entry, n) for n in names} | about


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
    picture = video.arrow("videos")
    width, height = (picture[side][0].as_py() for side in ("width", "height"))
    found = parse_columns(video.entry, video.settings, width=width, height=height)
    return StageResult(empty("activities"), written=found.arrow())


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


def merge(video: Video | VideoBatch) -> StageResult:
    """Table ``tracks``."""
    return merges.merge(video["activities"], video["boxes"], video.settings.merge)


def segment(video: Video | VideoBatch) -> StageResult:
    """Table ``segments``."""
    return segments.segment(
        video["tracks"], video["activities"], video.settings.merge, classes=video.classes
    )


def chunk(video: Video | VideoBatch) -> StageResult:
    """Table ``chunks``."""
    return chunks.chunk(video["segments"], video["tracks"], video.settings.chunk)


def crop(video: Video | VideoBatch) -> StageResult:
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
        bridge=settings.merge.bridge,
        min_frames=settings.chunk.min_frames,
    )


def cut(video: Video) -> StageResult:
    """Cut all clips of the video into its folder.

    The folder takes its place whole, before the unit that names its files.
    """
    clips, folder = video["clips_filtered"], of_video(video.out / "clips", video.entry)
    path, remote = video.entry.video, video.entry.remote
    afar = RemoteVideo.at(path.parent, remote) if path and remote else None
    with store.atomic_folder(folder) as temporary:
        cuts, transient = _cut(video, clips, temporary, afar)
    at = folder.relative_to(video.out).as_posix()
    for column in ("file", "pack_file"):
        cuts[column] = [None if pd.isna(f) else f"{at}/{f}" for f in cuts[column]]
    result = replace(told(video.entry.key, clips, cuts), transient=transient)
    if afar is None:
        return result
    afar.remove()
    return _said(video, "cut", afar, result)


def _cut(
    video: Video, clips: pd.DataFrame, folder: Path, afar: RemoteVideo | None
) -> tuple[pd.DataFrame, str]:
    """Cut a video's clips into a folder; beside them the reason of a failure that may pass."""
    path, settings = video.entry.video, video.settings
    try:
        if path is None:
            raise VideoError("no_video", "the source video is not present")
        packets = load_index(video.unit("index"))
    except VideoError as e:  # the key holds what the index says: found again, it is another one
        return no_cuts(clips, e.reason), ""
    before = None if afar else store.HashMemory.stamp(path)
    pack = folder / "clips.yuv" if settings.encode.pack else None
    boxes = boxes_in_windows(clips, video["activities"], video["boxes"])
    clips = clips.assign(boxes=pd.Series(boxes, dtype=object, index=clips.index))
    cut_out = afar.cut if afar else partial(cut_agreed, path)
    try:
        cuts = cut_out(
            packets, clips, folder, settings.encode,
            max_held=settings.videos.max_held, pack_path=pack, prove=video.prove,
        )  # fmt: skip
        if afar is None and store.HashMemory.stamp(path) != before:
            raise VideoError("source_changed", "the file changed while it was cut")
    except VideoError as e:
        for file in folder.iterdir():
            file.unlink()
        return no_cuts(clips, e.reason), e.reason
    return cuts, ""


def not_cut(video: Video, reason: str, detail: str) -> StageResult:
    """No clip, of a video whose cutting crashed, hung or failed."""
    clips = video["clips_filtered"]
    return told(video.entry.key, clips, no_cuts(clips, reason), detail)


def clips_there(video: Video) -> bool:
    """Whether every file that the table ``cuts`` names is still on disk."""
    names = [n for column in ("file", "pack_file") for n in video["cuts"][column].dropna()]
    return all((video.out / name).is_file() for name in set(names))
