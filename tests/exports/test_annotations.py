"""Annotations there and back: what kwcoco and DIVE both hold comes back as it was."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given
from hypothesis import settings as examples
from hypothesis import strategies as st

import tinyvirat_build as tvb
from tinyvirat_build import sources
from tinyvirat_build.formats import READERS, ReadOptions
from tinyvirat_build.records import VideoAnnotation
from tinyvirat_build.settings import Settings

from .made import KEYS, made

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Act:
    id: str
    name: str
    start: int
    end: int
    actors: tuple[str, ...]


@dataclass(frozen=True)
class World:
    """One video: boxes with their keyframes by (actor, frame), types, and activities in order."""

    boxes: dict[tuple[str, int], tuple[Box, bool]]
    types: dict[str, str]
    acts: list[Act]


def line(a: Box, b: Box, n: int) -> list[Box]:
    """n boxes from a up to b, b itself left out, as a reader draws them."""
    return [tuple((np.array(a) + (np.array(b) - np.array(a)) * (i / n)).tolist()) for i in range(n)]


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    number = st.one_of(st.integers(0, 400).map(float), st.floats(0, 400, allow_subnormal=False))
    x, y, w, h = (draw(number) for _ in range(4))
    return x, y, x + w, y + h


@st.composite
def tracks(draw: st.DrawFn) -> dict[int, tuple[Box, bool]]:
    """One or two runs of boxes: some lines between keyframes, some whatever the annotator drew."""
    found: dict[int, tuple[Box, bool]] = {}
    frame = draw(st.integers(0, 20))
    for _ in range(draw(st.integers(1, 2))):
        for _ in range(draw(st.integers(0, 2))):
            n = draw(st.integers(1, 5))
            a, b = draw(boxes()), draw(boxes())
            drawn = line(a, b, n) if draw(st.booleans()) else [a] * n
            for i, box in enumerate(drawn):
                found[frame + i] = box, i == 0 or draw(st.integers(0, 4)) == 0
            frame += n
        found[frame] = draw(boxes()), draw(st.booleans())
        frame += draw(st.sampled_from([2, 20, 40]))
    return found


@st.composite
def worlds(draw: st.DrawFn) -> World:
    ids = st.sampled_from(["1", "2", "03", "9" * 18, "a b", "person-1"])
    actors = draw(st.lists(ids, min_size=1, max_size=3, unique=True))
    held = {a: draw(tracks()) for a in actors}
    types = {a: draw(st.sampled_from(["", "person", "vehicle"])) for a in actors}
    names = st.sampled_from(["walks", "talks", "person", "rotation", "actor_id", "5"])
    acts = []
    for n in range(draw(st.integers(0, 4))):
        own = draw(st.lists(st.sampled_from(actors), min_size=1, unique=True))
        seen = draw(st.sampled_from(sorted(held[own[0]])))
        start = max(0, seen - draw(st.integers(0, 8)))
        end = seen + 1 + draw(st.integers(0, 40))
        number = draw(st.sampled_from([f"{n}", f"group:{n}", f"act {n}", f"1:{n}"]))
        acts.append(Act(number, draw(names), start, end, tuple(own)))
    return World({(a, f): v for a in actors for f, v in held[a].items()}, types, acts)


def rows_of(video: str, world: World) -> dict[str, list[dict[str, Any]]]:
    keys = {**KEYS, "video_id": video}
    sides = ("x1", "y1", "x2", "y2")
    return {
        "videos": [{**keys, "width": 640, "height": 480, "fps": "30000/1001"}],
        "activities": [
            {
                **keys, "activity_id": a.id, "name": a.name, "labels": (), "start": a.start,
                "end": a.end, "actors": a.actors, "status": "", "file_order": n,
            }
            for n, a in enumerate(world.acts)
        ],
        "actors": [{**keys, "actor_id": a, "type": t} for a, t in sorted(world.types.items())],
        "boxes": [
            {**keys, "actor_id": a, "frame": f, **dict(zip(sides, box, strict=True)),
             "keyframe": keyframe}
            for (a, f), (box, keyframe) in sorted(world.boxes.items())
        ],
    }  # fmt: skip


def exported(worlds: list[World], form: str, folder: Path) -> tuple[Path, list[VideoAnnotation]]:
    """The export of a build of a video a world, and what a reader finds there of each."""
    names = [f"cam{n:02d}" for n in range(len(worlds))]
    videos = [rows_of(name, world) for name, world in zip(names, worlds, strict=True)]
    tables = {t: pd.DataFrame([row for v in videos for row in v[t]]) for t in videos[0]}
    found = made(folder / "out", tables).export(form).path
    files = sorted((found / "corpus").iterdir())
    readers = zip(names, files, strict=True)
    return found, [READERS[form](name, [file], ReadOptions()) for name, file in readers]


def boxes_of(found: VideoAnnotation) -> dict[tuple[str, int], Box]:
    table = found.boxes
    corners = table[["x1", "y1", "x2", "y2"]].to_numpy().tolist()
    at = zip(table["actor_id"].astype(str), table["frame"].tolist(), strict=True)
    return {key: tuple(box) for key, box in zip(at, corners, strict=True)}


def acts_of(found: VideoAnnotation) -> list[Act]:
    rows = found.activities.sort_values("file_order")
    names = ["activity_id", "name", "start", "end", "actors"]
    return [Act(*row) for row in rows[names].itertuples(index=False)]


def types_of(found: VideoAnnotation) -> dict[str, str]:
    return dict(zip(found.actors["actor_id"], found.actors["type"], strict=True))


several = st.lists(worlds(), min_size=8, max_size=16)


@given(several)
@examples(max_examples=4, deadline=None, phases=[Phase.explicit, Phase.generate])
def test_dive_gives_everything_back(worlds: list[World]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _, videos = exported(worlds, "dive", Path(folder))
    for world, found in zip(worlds, videos, strict=True):
        assert boxes_of(found) == {key: box for key, (box, _) in world.boxes.items()}
        keyframes = found.boxes[found.boxes["keyframe"]]
        assert set(zip(keyframes["actor_id"], keyframes["frame"], strict=True)) == {
            key for key, (_, keyframe) in world.boxes.items() if keyframe
        }
        assert acts_of(found) == world.acts
        assert types_of(found) == world.types
        assert {issue.reason for issue in found.issues} <= {"partial_geometry"}


@given(several)
@examples(max_examples=4, deadline=None, phases=[Phase.explicit, Phase.generate])
def test_kwcoco_gives_back_what_happens_where_there_are_boxes(worlds: list[World]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _, videos = exported(worlds, "kwcoco", Path(folder))
    for world, found in zip(worlds, videos, strict=True):
        assert boxes_of(found) == {key: box for key, (box, _) in world.boxes.items()}
        assert acts_of(found) == [within_boxes(act, world) for act in world.acts]
        assert types_of(found) == world.types
        assert {issue.reason for issue in found.issues} <= {"partial_geometry"}


def within_boxes(act: Act, world: World) -> Act:
    """An activity as far as its actors have boxes."""
    seen = [(a, f) for a, f in world.boxes if a in act.actors and act.start <= f < act.end]
    frames = [f for _, f in seen]
    own = tuple(a for a in act.actors if a in {a for a, _ in seen})
    return Act(act.id, act.name, min(frames), max(frames) + 1, own)


TWO = World(
    {("1", f): ((10.0 + f, 20.0, 50.0 + f, 60.0), f in (0, 9)) for f in range(10)}
    | {("2", f): ((100.0, 20.0, 140.0, 60.0), f in (0, 9)) for f in range(10)},
    {"1": "person", "2": ""},
    [Act("7", "walks", 0, 10, ("1",)), Act("x", "talks", 2, 12, ("1", "2"))],
)


def test_dive_holds_the_annotators_own_boxes_and_the_groups(tmp_path: Path) -> None:
    folder, _ = exported([TWO], "dive", tmp_path)
    tree = json.loads((folder / "corpus" / "cam00.json").read_text())
    first = tree["tracks"]["1"]
    assert [f["frame"] for f in first["features"]] == [0, 9]
    assert (first["begin"], first["end"]) == (0, 9)
    assert first["confidencePairs"] == [["person", 1]]
    talks = tree["groups"]["2"]
    assert talks["members"] == {"1": {"ranges": [[2, 11]]}, "2": {"ranges": [[2, 11]]}}
    assert talks["attributes"] == {"activity_id": "x"}


def test_what_kwcoco_cannot_hold_is_told(tmp_path: Path) -> None:
    folder, _ = exported([TWO], "kwcoco", tmp_path)
    build = tvb.open_build(tmp_path / "out")
    assert build.export("kwcoco").notes == (
        "1 activities that begin or end without a box, shortened to their boxes",
    )
    tree = json.loads((folder / "corpus" / "cam00.kwcoco.json").read_text())
    assert {len(tree["images"]), len(tree["annotations"])} == {10, 10 + 8 + 8 + 2}


@pytest.mark.parametrize("form", ["dive", "kwcoco"])
def test_an_export_is_a_corpus_that_builds_again(form: str, tmp_path: Path) -> None:
    folder, _ = exported([TWO], form, tmp_path)
    source = sources.get(str(folder / f"corpus-{form}.yaml"))
    (entry,) = source.discover(folder, Settings.load()).entries
    assert (entry.source, entry.video_id) == ("corpus", "cam00")
    assert (entry.width, entry.height, entry.fps) == (640, 480, "30000/1001")
    assert dict(entry.mapping or ()) == {"talks": (), "walks": ()}


def corrected(folder: Path, change: Callable[[dict[str, Any]], object]) -> VideoAnnotation:
    """What a reader finds after a change to the only file of kwcoco or DIVE."""
    (file,) = (folder / "corpus").iterdir()
    tree = json.loads(file.read_text())
    change(tree)
    file.write_text(json.dumps(tree))
    form = "kwcoco" if "annotations" in tree else "dive"
    return READERS[form]("cam00", [file], ReadOptions())


def test_corrections_in_dive_come_back(tmp_path: Path) -> None:
    folder, _ = exported([TWO], "dive", tmp_path)

    def change(tree: dict[str, Any]) -> None:
        tree["groups"]["1"]["confidencePairs"] = [["runs", 1]]
        tree["groups"]["1"]["members"]["1"]["ranges"] = [[3, 5]]
        tree["tracks"]["2"]["attributes"]["activity"] = "waits"

    found = corrected(folder, change)
    assert acts_of(found) == [
        Act("2:1", "waits", 0, 10, ("2",)),
        Act("7", "runs", 3, 6, ("1",)),
        Act("x", "talks", 2, 12, ("1", "2")),
    ]


def test_corrections_in_kwcoco_come_back(tmp_path: Path) -> None:
    folder, _ = exported([TWO], "kwcoco", tmp_path)

    def change(tree: dict[str, Any]) -> None:
        waits = {"id": 99, "name": "waits"}
        tree["categories"].append(waits)
        for one in tree["annotations"]:
            if "activity_id" not in one:
                one["category_id"] = 99

    found = corrected(folder, change)
    assert acts_of(found) == [
        Act("7", "walks", 0, 10, ("1",)),
        Act("x", "talks", 2, 10, ("1", "2")),
        Act("2:1", "waits", 0, 2, ("2",)),
    ]
