"""The published rows of TinyVIRAT's VIRAT half, and whether a plan can have given them.

A row tells its video, first and last frame, side and labels, and whether it is a whole segment or
one chunk of a longer one. Where chunks are drawn, the plan has other chunks; so a chunk is held
against the rule: it may begin there, it may be so long, and its side follows from its frames.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

import tinyvirat_build as tvb
from tinyvirat_build import labels
from tinyvirat_build.settings import Chunk
from tinyvirat_build.stages.crop import crop

# What UMD left unannotated in VIRAT's videos: rows cannot be compared in these.
LACKING = frozenset(
    ("activity_walking", "activity_standing", "activity_carrying", "vehicle_moving")
    + ("Opening", "Closing", "Entering", "Exiting")
)


@dataclass(frozen=True)
class Row:
    number: str
    video: str
    activities: frozenset[str]
    start: int
    end: int
    side: int
    labels: frozenset[str]
    whole: bool


def read_rows(path: Path) -> list[Row]:
    with path.open(newline="") as file:
        return [
            Row(
                row["val_id"],
                row["video"],
                frozenset(row["umd_activity_ids"].split()),
                int(row["first"]),
                int(row["last"]) + 1,
                int(row["side"]),
                frozenset(row["labels"].split("|")),
                row["how"] != "chunk",
            )
            for row in csv.DictReader(file)
        ]


@dataclass(frozen=True)
class Judged:
    """A row: whether a clip of its place and side can be had, and one of its labels too."""

    row: Row
    had: bool
    labelled: bool


def judge(rows: list[Row], build: tvb.Build) -> Iterator[Judged]:
    segments = build.table("segments")
    for row in rows:
        of_video = segments[segments["video_id"].astype(str) == row.video]
        around = of_video[(of_video["start"] <= row.start) & (of_video["end"] >= row.end)]
        found = [
            segment["labels"]
            for segment in around.to_dict("records")
            if row.activities & set(segment["activities"])
            and is_chunk(row, segment["start"], segment["end"], build.settings.chunk)
            and side_of(row, segment, build) == row.side
        ]
        named = any(set(own) - LACKING == row.labels - LACKING for own in found)
        yield Judged(row, bool(found), named)


def is_chunk(row: Row, start: int, end: int, rule: Chunk) -> bool:
    """Whether drawn lengths can give the row's frames as a chunk of the segment [start, end)."""
    if rule.remainder != "whole":
        return row.start == start and row.end == end
    (least, most), shared = rule.lengths, rule.overlap
    at, length, rest = row.start - start, row.end - row.start, end - row.start
    fits = length == rest if rest <= most else least <= length <= most
    if at == 0:
        return fits
    # The chunk before began `step` frames earlier, with more than the longest length left.
    steps = range(least - shared, most - shared + 1)
    begins = [at - step for step in steps if at - step == 0 or at - step >= steps[0]]
    return fits and any(end - start - before > most for before in begins)


def side_of(row: Row, segment: dict[str, object], build: tvb.Build) -> int:
    """The side of the row's frames as a clip of the segment; 0 where that is none."""
    keys = ["source", "video_id", "annotation_set", "segment_id", "labels", "activities", "tracks"]
    chunk = pd.DataFrame([{k: segment[k] for k in keys} | {"start": row.start, "end": row.end}])
    given = [build.table(t) for t in ("tracks", "activities", "boxes", "videos")]
    of_video = [t[t["video_id"].astype(str) == row.video] for t in given]
    rule = build.settings.of("virat")
    found = crop(
        chunk, *of_video, rule.crop, classes=labels.load_classes(rule.classes), min_frames=1
    ).table
    return int(found["width"].iloc[0]) if len(found) else 0
