"""The preset tinyvirat-v2 against published validation rows of TinyVIRAT-v2.

From today's annotations (``kitware``) and from those of December 2019, of which the released set
was cut: the same rows, in the same order.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from tinyvirat_build import labels, sources
from tinyvirat_build.settings import Settings
from tinyvirat_build.sources.parse import parse_entry
from tinyvirat_build.stages.chunk import chunk
from tinyvirat_build.stages.crop import crop
from tinyvirat_build.stages.merge import merge
from tinyvirat_build.stages.segment import segment

REFERENCE = "reference/tinyvirat-v2-val-meva"


@dataclass(frozen=True)
class Rebuilt:
    clips: pd.DataFrame
    grid: set[tuple[str, str, int]]  # (video, released id, frames) of every piece of 64 frames
    with_geometry: set[str]


@pytest.fixture(scope="module")
def published(shared: Path) -> list[dict[str, str]]:
    with (shared / f"{REFERENCE}-rows.csv").open(newline="") as f:
        return list(csv.DictReader(f))


@pytest.fixture(scope="module", params=["kitware", "history-2019-12"])
def rebuilt(
    request: pytest.FixtureRequest, shared: Path, published: list[dict[str, str]]
) -> Rebuilt:
    settings = Settings.load("tinyvirat-v2", overrides=[f"meva.sets={request.param}"]).of("meva")
    classes = labels.load_classes(settings.classes)
    names = labels.load_names(settings.crop.names)
    wanted = {row["video_id"] for row in published}
    found = sources.get("meva").discover(shared / "data/meva", settings)
    parts: dict[str, list[pd.DataFrame]] = defaultdict(list)
    for entry in (e for e in found.entries if e.video_id in wanted):
        parsed = parse_entry(entry, settings, width=entry.width, height=entry.height)
        about = ["source", "video_id", "annotation_set", "width", "height"]
        parts["videos"].append(pd.DataFrame([{name: getattr(entry, name) for name in about}]))
        for name in ("activities", "without_geometry", "boxes"):
            parts[name].append(getattr(parsed, name))
    tables = {
        name: pd.concat([t for t in found if len(t)], ignore_index=True)
        for name, found in parts.items()
    }
    activities = tables["activities"]
    everything = pd.concat([activities, tables["without_geometry"]], ignore_index=True)
    tracks = merge(activities, tables["boxes"], settings.merge).table
    segments = segment(tracks, activities, settings.merge, classes=classes).table
    chunks = chunk(segments, tracks, settings.chunk).table
    clips = crop(
        chunks, tracks, activities, tables["boxes"], tables["videos"], settings.crop,
        classes=classes, unit=settings.merge.unit, names=names,
    ).table  # fmt: skip
    all_tracks = merge(everything, tables["boxes"], settings.merge).table
    all_segments = segment(all_tracks, everything, settings.merge, classes=classes).table
    name_of = dict(zip(everything["activity_id"], everything["name"], strict=True))
    grid = {
        (str(row.video_id), f"{a}_{name}_{row.start}_{row.end - 1}", row.end - row.start)
        for row in chunk(all_segments, all_tracks, settings.chunk).table.itertuples()
        for a in row.activities
        for name in [names.get(name_of[a], name_of[a])]
    }
    return Rebuilt(clips, grid, set(map(str, tables["boxes"]["video_id"].unique())))


def test_every_row_is_rebuilt(rebuilt: Rebuilt, published: list[dict[str, str]]) -> None:
    ours = {
        (str(c.video_id), c.released_id): (c.end - c.start, c.width, c.height, set(c.labels))
        for c in rebuilt.clips.itertuples()
    }
    rows = [row for row in published if row["video_id"] in rebuilt.with_geometry]
    assert len(rows) == 220
    for row in rows:
        side = int(row["side"])
        expected = (int(row["frames"]), side, side, set(row["label"].split("|")))
        assert ours.get((row["video_id"], row["clip_id"])) == expected, row


def test_rows_without_geometry_lie_on_the_grid(
    rebuilt: Rebuilt, published: list[dict[str, str]]
) -> None:
    rows = {(row["video_id"], row["clip_id"], int(row["frames"])) for row in published}
    assert len(rows) == len(published) == 588
    assert rows <= rebuilt.grid


def test_what_was_not_released_is_not_built(rebuilt: Rebuilt, shared: Path) -> None:
    with (shared / f"{REFERENCE}-absent.csv").open(newline="") as f:
        absent = {(row["video_id"], row["clip_id"]) for row in csv.DictReader(f)}
    assert len(absent) == 4
    clips = rebuilt.clips
    assert not absent & set(zip(clips["video_id"].astype(str), clips["released_id"], strict=True))


def test_videos_have_as_many_clips_as_released(
    rebuilt: Rebuilt, published: list[dict[str, str]]
) -> None:
    """Released numbers run through a video: its first and last tell how many clips it has."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for row in published:
        numbers[row["video_id"]].append(int(row["id"]))
    ordered = sorted(numbers.values())
    assert all(one[-1] < other[0] for one, other in pairwise(ordered))
    counts = Counter(rebuilt.clips["video_id"].astype(str))
    whole = rebuilt.with_geometry & numbers.keys()
    assert {v: counts[v] for v in whole} == {v: numbers[v][-1] - numbers[v][0] + 1 for v in whole}


def test_order_within_a_video_is_as_released(
    rebuilt: Rebuilt, published: list[dict[str, str]]
) -> None:
    place = {
        (str(v), i): n
        for n, (v, i) in enumerate(
            zip(rebuilt.clips["video_id"], rebuilt.clips["released_id"], strict=True)
        )
    }
    shift: dict[str, set[int]] = defaultdict(set)
    for row in published:
        if row["video_id"] in rebuilt.with_geometry:
            shift[row["video_id"]].add(place[row["video_id"], row["clip_id"]] - int(row["id"]))
    assert all(len(found) == 1 for found in shift.values())


def test_current_and_released_names_are_one_to_one(shared: Path) -> None:
    """The list of names is what joining both sets by activity id gives, and complete."""
    names: dict[str, dict[tuple[str, str], str]] = {}
    settings = Settings.load("tinyvirat-v2")
    for name in ("kitware", "history-2019-12"):
        chosen = settings.override([f"meva.sets={name}"])
        found = sources.get("meva").discover(shared / "data/meva", chosen)
        names[name] = {}
        for entry in found.entries[::8]:
            files = tuple(f for f in entry.files if "activities" in f.name)
            bare = parse_entry(
                replace(entry, files=files), chosen, width=entry.width, height=entry.height
            ).without_geometry
            names[name] |= {
                (entry.video_id, a): n
                for a, n in zip(bare["activity_id"], bare["name"], strict=True)
            }
    assert names["kitware"].keys() == names["history-2019-12"].keys()
    joined = {(n, names["history-2019-12"][k]) for k, n in names["kitware"].items()}
    listed = labels.load_names("meva-current-to-2019")
    assert joined <= set(listed.items())
    assert len(set(listed.values())) == len(listed)
