"""Files that the libraries of annotation tools write themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tinyvirat_build.formats import READERS, ReadOptions
from tinyvirat_build.records import VideoAnnotation

VIDEO = "cam1"
DOES = {  # track -> (name, first frame, last frame), over the frames of FRAMES
    "3": [("walks", 2, 9), ("waits", 10, 14), ("carries", 5, 12)],
    "4": [("waits", 20, 31)],
    "11": [("walks", 4, 20)],
}
FRAMES = {"3": range(2, 15), "4": range(20, 32), "11": range(2, 25)}
TOGETHER = ("meets", 6, 11, ["3", "11"])
WORLD = {
    "video": VIDEO,
    "fps": 30,
    "size": (640, 480),
    "names": ["carries", "waits", "walks"],
    "groups": [TOGETHER],
    "tracks": {
        track: {
            "frames": list(FRAMES[track]),
            "boxes": [[10 * n + f, 20 + f, 10 * n + f + 30, 80 + f] for f in FRAMES[track]],
            "does": [[name for name, a, b in does if a <= f <= b] for f in FRAMES[track]],
        }
        for n, (track, does) in enumerate(DOES.items())
    },
}
ALONE = [(name, a, b + 1, (track,)) for track, does in DOES.items() for name, a, b in does]
FIRST = [  # of each track the first name that is said, from its first to its last frame
    (does[0][0], FRAMES[track][0], FRAMES[track][-1] + 1, (track,)) for track, does in DOES.items()
]


def written(client: Callable[..., Any], tool: str, folder: Path) -> list[Path]:
    world = folder / "world.json"
    world.write_text(json.dumps(WORLD))
    out = folder / "out"
    out.mkdir()
    return [out / name for name in client("writes_annotations.py", tool, world, out)]


def spans(read: VideoAnnotation) -> list[tuple[object, ...]]:
    a = read.activities
    return sorted(zip(a["name"], a["start"], a["end"], a["actors"], strict=True))


@pytest.mark.slow
def test_kwcoco_is_read_as_kwcoco_reads_it(client: Callable[..., Any], tmp_path: Path) -> None:
    """Of a file without faults: with one, the library gives up the whole file."""
    (path,) = written(client, "kwcoco", tmp_path)
    (theirs,) = client("reads_kwcoco.py", path)
    ours = READERS["kwcoco"](VIDEO, [path], ReadOptions())
    corners = ours.boxes[["x1", "y1", "x2", "y2"]].to_numpy()
    at = zip(ours.boxes["actor_id"].astype(str), ours.boxes["frame"], strict=True)
    boxes = dict(zip(at, corners.tolist(), strict=True))
    does = {
        (track, frame, a.name)
        for a in ours.activities.itertuples(name="Row")
        for track in a.actors
        for frame in range(a.start, a.end)
        if (track, frame) in boxes
    }
    assert {(track, frame, name) for track, frame, name, _ in theirs["rows"]} == does
    assert {(t, f): [x, y, x + w, y + h] for t, f, _, (x, y, w, h) in theirs["rows"]} == boxes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tool", "format", "expected"),
    [
        ("kwcoco", "kwcoco", ALONE),
        ("dive", "dive", [*ALONE, (*TOGETHER[:2], TOGETHER[2] + 1, tuple(TOGETHER[3]))]),
        ("viame", "dive", ALONE),
        ("cvat", "cvat-xml", FIRST),  # Datumaro's, which writes no attributes of tracks
    ],
)
def test_what_a_tool_writes_is_read(
    tool: str,
    format: str,
    expected: list[tuple[object, ...]],
    client: Callable[..., Any],
    tmp_path: Path,
) -> None:
    read = READERS[format](VIDEO, written(client, tool, tmp_path), ReadOptions())
    assert [a for a in spans(read) if a[0] != "nothing"] == sorted(expected)
    assert {i.reason for i in read.issues} <= {"duplicate"}
    boxes = read.boxes.astype({"actor_id": str})
    assert len(boxes) == sum(map(len, FRAMES.values()))
    for track, frames in FRAMES.items():
        rows = boxes[boxes["actor_id"] == track].sort_values("frame")
        assert rows["frame"].tolist() == list(frames)
        assert rows[["x1", "y1", "x2", "y2"]].values.tolist() == WORLD["tracks"][track]["boxes"]
