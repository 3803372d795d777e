"""The records of a build and the schema of every table.

Conventions that hold everywhere: frames are 0-based and half-open ``[start, end)``; boxes are
pixels ``x1 y1 x2 y2``, half-open, so that width = x2 - x1; ids are strings; every table starts
with the key columns ``source, video_id, annotation_set`` and its rows lie in that order.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa


class Key(NamedTuple):
    """What names a video's annotations in every table."""

    source: str
    video_id: str
    annotation_set: str


KEYS: Final = Key._fields
SPLITS: Final = ("train", "val", "test")

_text = pa.string()
_word = pa.dictionary(pa.int32(), pa.string())  # a string that repeats over many rows
_texts = pa.list_(pa.string())
_ints = pa.list_(pa.int32())
_int = pa.int32()
_keys = [pa.field(k, _word, nullable=False) for k in KEYS]


def _schema(*fields: tuple[str, pa.DataType]) -> pa.Schema:
    return pa.schema([*_keys, *(pa.field(name, kind) for name, kind in fields)])


_clip_fields: Final = (
    ("clip_id", _text),
    ("segment_id", _int),
    ("start", _int),
    ("end", _int),
    ("width", _int),
    ("height", _int),
    ("x", _ints),  # left edge of the window, one a frame; may lie outside the picture
    ("y", _ints),
    ("actor_side", pa.float64()),  # largest box side over the clip, before any enlarging
    ("labels", _texts),  # in class order
    ("activities", _texts),  # sorted
    (
        "seen_activities",
        _texts,
    ),  # neighbours seen in the window, sorted; where crop.labels is split
    ("activity_id", _text),  # where the unit is an activity, else null
    ("released_id", _text),
)

_quality_fields: Final = (  # of video/quality.py; null where the clip was not cut
    ("motion", pa.float64()),  # mean absolute difference of luma to the frame before, in the boxes
    ("brightness", pa.float64()),  # mean luma, 0 to 255
    ("contrast", pa.float64()),  # standard deviation of luma
    ("blur", pa.float64()),  # variance of the Laplacian: the less, the more blurred
    ("frozen", pa.float64()),  # share of frames that equal the one before
    ("infrared", pa.bool_()),  # a grey picture
)
QUALITY: Final = tuple(name for name, _ in _quality_fields)

SCHEMAS: Final[dict[str, pa.Schema]] = {
    "videos": _schema(
        ("path", _text),  # relative to the data root; null where no file was found
        ("width", _int),
        ("height", _int),
        ("assumed", pa.bool_()),  # size and rate are from the camera table, not from the video
        ("fps", _text),  # a rational: "30000/1001"
        ("frames", _int),  # null where the video is not present
        ("camera", _text),
        ("scene", _text),
        ("session", _text),
        ("fingerprint", _text),
        ("present", pa.bool_()),
    ),
    "activities": _schema(
        ("activity_id", _text),
        ("name", _text),  # as annotated
        ("labels", _texts),  # mapped, in class order; may be empty
        ("start", _int),
        ("end", _int),
        ("actors", _texts),
        ("status", _text),
        ("file_order", _int),  # position in the annotation file
        ("file", _text),  # the annotation file's name
        ("line", _int),  # where the record begins in it, from 1; null where the format has no lines
    ),
    "actors": _schema(("actor_id", _text), ("type", _text)),
    "boxes": _schema(
        ("actor_id", _word),
        ("frame", _int),
        ("x1", pa.float64()),
        ("y1", pa.float64()),
        ("x2", pa.float64()),
        ("y2", pa.float64()),
        ("keyframe", pa.bool_()),
    ),
    "tracks": _schema(("track_id", _int), ("start", _int), ("end", _int), ("activities", _texts)),
    "segments": _schema(
        ("segment_id", _int),
        ("start", _int),
        ("end", _int),
        ("labels", _texts),
        ("activities", _texts),  # sorted union over its tracks
        ("tracks", _ints),  # the segment's tracks, in time order
    ),
    "chunks": _schema(
        ("segment_id", _int),
        ("start", _int),
        ("end", _int),
        ("labels", _texts),
        ("activities", _texts),  # sorted; those of the chunk's own frames
        ("tracks", _ints),
    ),
    "clips_planned": _schema(*_clip_fields),
    "clips_partitioned": _schema(*_clip_fields, ("group", _text), ("split", _text)),
    "clips_filtered": _schema(*_clip_fields, ("group", _text), ("split", _text)),
    "cuts": _schema(
        ("clip_id", _text),
        ("file", _text),  # relative to the build; null where the clip was not cut
        ("n_frames", _int),  # end - start, less one where the video ends a frame before
        ("held", _int),  # frames that repeat the one before (lost packets)
        ("sha256", _text),
        ("pack_file", _text),  # raw planar YUV of the video's clips, relative to the build
        ("pack_offset", pa.int64()),
        ("fps", _text),  # the clip's own, a rational: "30000/1001"
        *_quality_fields,
        ("reason", _text),  # null where all went well
    ),
    "clips": _schema(
        *_clip_fields,
        ("group", _text),
        ("split", _text),
        ("id", _text),  # number in the released layout; null without a file
        ("path", _text),  # relative to the build
        ("n_frames", _int),
        ("held", _int),
        ("sha256", _text),
        ("pack_file", _text),
        ("pack_offset", pa.int64()),
        ("fps", _text),
        *_quality_fields,
        ("reason", _text),
    ),
    "issues": _schema(
        ("stage", _text),
        ("file", _text),
        ("line", _int),
        ("record", _text),  # what it concerns: "activity 753…", "actor 12 frame 40", a clip_id
        ("reason", _text),  # one of REASONS
        ("action", _text),  # one of ACTIONS
        ("count", pa.int64()),  # how many of the stage's unit it stands for
        ("detail", _text),
    ),
    "balance": _schema(
        ("stage", _text),
        ("unit", _text),  # what is counted: activities, frames or clips
        ("records_in", pa.int64()),
        ("records_out", pa.int64()),
        ("dropped", pa.int64()),
    ),
}

ACTIONS: Final = ("dropped", "clipped", "swapped", "held", "quarantined", "noted")

REASONS: Final[dict[str, str]] = {
    # parse
    "empty_clip": "a clip without activities: marked so (empty_37), or objects without events",
    "no_geometry": "no box for any actor of the activity",
    "partial_geometry": "the activity's span has frames without a box of any of its actors",
    "status": "the activity's src_status is not among those kept",
    "unknown_label": "a name that the label map does not know",
    "malformed": "the record could not be read",
    "duplicate": "the same record again, or an id that another one has",
    "swapped_axes": "a box with x2 < x1 or y2 < y1, swapped back",
    "outside_picture": "a box partly outside the picture, clipped to it",
    "empty_box": "a box without area inside the picture",
    "held_box": "the box before stands for that of the activity's last frame",
    "frame_rate": "the annotation's frame rate is not the corpus's; frames are read as they are",
    "gap": "a gap between boxes longer than max_gap, not filled",
    "empty_span": "the activity ends before it starts",
    "actor_missing": "an actor that is named by an activity but has no box",
    "dialect": "the boxes contradict the dialect of the source",
    "region": "the activity lies in an ignored region or outside the wanted one",
    "unsafe_name": "an id or name that is not safe in a path",
    "unreadable": "the file could not be read",
    "bound": "the video asks for more than a bound of docs/formats.md allows",
    "other_set": "the video is read from an annotation set of higher priority",
    "no_group": "the video is in no group of the table, or does not match the expression",
    "unknown_set": "the folder's set is none of the known ones; it is read as what its files are",
    "limit": "left out by --limit",
    # plan
    "unmapped": "the activity has no label in the class list and takes no part in merging",
    "short": "fewer frames than chunk.min_frames",
    "remainder": "the rest of a segment, dropped by chunk.remainder",
    "too_large": "the window would be larger than crop.max_side",
    "unlabelled": "no label meets the window",
    "half_seen": "a neighbour's label is seen on under half of the frames",
    "few_groups": "fewer than three groups, everything is train",
    "scarce_label": "the label misses a split: it is in too few groups, or lists fix them",
    "absent_label": "the label has clips, and none in some split",
    "split_gap": "the clip touches the gap between two splits, or its track lies on both sides",
    "not_in_split_list": "the video is in no list of the split",
    "rare_label": "the label has fewer training clips than filter.min_samples",
    # video
    "no_video": "the source video is not present",
    "raw_stream": "of the video there is but a raw stream, which has no times; it is not read",
    "whole_file": "a remote video that was fetched whole, for its index alone is no proof",
    "streams": "the file holds several videos; the one that the ffmpeg program shows is taken",
    "pixel_format": "the video's pixel format cannot be cut exactly",
    "no_frames": "the video has no frame that decodes",
    "no_container": "a list of files, a playlist, an image or sound: no recording by itself",
    "frames_missing": "no frame before the lost one, or more held frames than max_held",
    "uncertain_frames": "frame numbers are not certain here: the file is damaged before",
    "edit_list": "the file's edit list shows frames more than once",
    "first_picture": "two decoders show different pictures first",
    "beyond_end": "the clip's frames lie after the end of the video",
    "interlaced": "an interlaced video, whose pixels depend on the decoder",
    "rotated": "a video with rotation in its metadata",
    "past_end": "the clip's last frame lies one past the video's last, and is left out",
    "size_change": "the picture's size changes in mid-stream",
    "format_change": "the layout of the picture's samples changes in mid-stream",
    "range_change": "the range of the samples, limited or full, changes in mid-stream",
    "size_mismatch": "the video's size is not the annotation's",
    "decode_error": "the decoder failed",
    "encode_error": "the encoder failed",
    "timeout": "the task took longer than its limit",
    "lost": "the machine of a cluster that worked on the video was lost, time and again",
    "crashed": "the worker process died",
    "failed": "the work on the video ended in an unforeseen error",
    "source_changed": "the source file changed during the build",
    "damaged": "pictures that the decoder mended, or that refer to such; shown as a player does",
    "disputed": "the ffmpeg program shows the clip otherwise: decoders differ at damage",
    "held": "a lost frame repeats the one before it",
    # publish
    "quality": "what was measured of the clip is beyond a bound of publish.quality",
}


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing that was not kept as it was: what, where, why and what was done.

    ``count`` says for how many of the stage's own unit (see ``balance``) the issue stands; issues
    with an action other than ``dropped`` or ``quarantined`` take nothing away.
    """

    stage: str
    reason: str
    action: str
    record: str = ""
    file: str | None = None
    line: int | None = None
    count: int = 1
    detail: str = ""

    def __post_init__(self) -> None:
        if self.reason not in REASONS:
            raise ValueError(f"unknown reason {self.reason!r}; add it to records.REASONS")
        if self.action not in ACTIONS:
            raise ValueError(f"unknown action {self.action!r}; one of {', '.join(ACTIONS)}")


@dataclass(frozen=True, slots=True)
class Balance:
    """What a stage was given and what it gave: ``records_in == records_out + dropped``."""

    stage: str
    unit: str
    records_in: int
    records_out: int
    dropped: int

    @property
    def closes(self) -> bool:
        """Whether nothing vanished."""
        return self.records_in == self.records_out + self.dropped


@dataclass(frozen=True, slots=True)
class VideoAnnotation:
    """What a reader delivers of one video: tables without keys and labels, and its issues.

    ``activities``: activity_id, name, start, end, actors (tuple of str), status, file_order,
    file, line.
    ``boxes``: actor_id (categorical), frame, x1, y1, x2, y2, keyframe; dense, ordered by actor
    and frame, as annotated: not yet clipped to the picture, axes already in order.
    ``actors``: actor_id, type.
    ``records_in`` counts the activity records found in the files, empty-clip markers included;
    ``dropped`` of the issues' counts plus the rows of ``activities`` equals it.
    ``without_geometry``: the dropped activities that have no box (columns of ``activities``);
    the partition counts them, so that splits do not depend on which geometry is at hand.
    """

    video_id: str
    activities: pd.DataFrame
    boxes: pd.DataFrame
    actors: pd.DataFrame
    issues: Sequence[Issue] = ()
    records_in: int = 0
    regions: pd.DataFrame | None = None
    without_geometry: pd.DataFrame | None = None


@dataclass(frozen=True, slots=True)
class StageResult:
    """A stage's table, its issues (with key columns) and its balance.

    ``more``: further tables, by name. ``written``: tables as they are written, by name, of which
    the others hold a part at most; a large one may be parts, each made when it is asked for.
    ``parts``: what its unit holds besides tables. ``transient``: why its work failed, where that
    may pass.
    """

    table: pd.DataFrame
    issues: pd.DataFrame = field(default_factory=lambda: empty("issues"))
    balance: pd.DataFrame = field(default_factory=lambda: empty("balance"))
    more: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    written: Mapping[str, pa.Table | Iterable[pa.Table]] = field(default_factory=dict)
    parts: Mapping[str, bytes] = field(default_factory=dict)
    transient: str = ""


def columns(table: str) -> list[str]:
    """The column names of a table, keys first."""
    return list(SCHEMAS[table].names)


def empty(table: str) -> pd.DataFrame:
    """A table without rows but with every column.

    >>> empty("tracks").columns.tolist()[3:]
    ['track_id', 'start', 'end', 'activities']
    """
    return _blank(table).copy(deep=False)


@functools.cache
def _blank(table: str) -> pd.DataFrame:
    # Made once: pandas takes 2 ms for it, and a build asks thousands of times.
    return pd.DataFrame({name: [] for name in columns(table)}).astype(
        {f.name: _PANDAS.get(f.type, "object") for f in SCHEMAS[table]}
    )


_PANDAS: Final[dict[pa.DataType, str]] = {
    _int: "int32",
    pa.int64(): "int64",
    pa.float64(): "float64",
    pa.bool_(): "bool",
    _word: "category",
}


_STRINGS: Final = pd.StringDtype("pyarrow", na_value=np.nan)


def strings(values: Sequence[str | None]) -> Any:
    """A column of strings, as pandas would make it after a look at each of them."""
    words = pa.array(values, pa.large_string())
    return pd.arrays.ArrowStringArray(words, dtype=_STRINGS)  # type: ignore[call-arg]  # old stubs


def issues_frame(
    issues: Iterable[Issue], *, source: str = "", video_id: str = "", annotation_set: str = ""
) -> pd.DataFrame:
    """Issues of one video as rows of the table ``issues``."""
    return _records_frame("issues", list(issues), (source, video_id, annotation_set))


def balance_frame(
    balance: Balance, *, source: str = "", video_id: str = "", annotation_set: str = ""
) -> pd.DataFrame:
    """One video's balance of one stage as a row of the table ``balance``."""
    return _records_frame("balance", [balance], (source, video_id, annotation_set))


def _records_frame(
    table: str, records: Sequence[Issue | Balance], key: tuple[str, ...]
) -> pd.DataFrame:
    if not records:
        return empty(table)
    made: dict[str, Any] = {
        name: strings([word] * len(records)) for name, word in zip(KEYS, key, strict=True)
    }
    for field_ in list(SCHEMAS[table])[len(KEYS) :]:
        found = [getattr(record, field_.name) for record in records]
        made[field_.name] = strings(found) if field_.type == _text else found
    return pd.DataFrame(made, copy=False)
