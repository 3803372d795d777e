"""One small world in several formats: the same activities and the same dense boxes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tinyvirat_build import sources
from tinyvirat_build.settings import Settings
from tinyvirat_build.sources.parse import Parsed, parse_entry

from .samples import cvat_box, cvat_track, cvat_xml

VIDEO = "cam1"
BOXES = {  # track -> frame -> corner; 40 pixels wide and 60 high
    "1": {0: (10, 20), 10: (30, 20), 25: (30, 50)},
    "2": {5: (300, 100), 6: (301, 100), 30: (349, 148)},
}
ACTIVITIES = (("1", "walks", 0, 26), ("2", "talks", 6, 31))  # track, name, first frame, end
RATE = 25

Files = dict[str, str]


def corners(track: str, frame: int) -> list[int]:
    x, y = BOXES[track][frame]
    return [x, y, x + 40, y + 60]


def does(track: str, frame: int) -> dict[str, str]:
    """Whether the track's activity is on, as the text of an attribute."""
    return {
        name: "true" if start <= frame < end else "false"
        for of, name, start, end in ACTIVITIES
        if of == track
    }


def kpf() -> Files:
    acts = "".join(
        f"- {{ act: {{ act2: {{{name}: 1.0}}, id2: {n}, timespan: [{{tsr0: [{start}, {end - 1}]}}],"
        f" actors: [{{id1: {track}, timespan: [{{tsr0: [{start}, {end - 1}]}}]}}] }} }}\n"
        for n, (track, name, start, end) in enumerate(ACTIVITIES)
    )
    geom = "".join(
        f"- {{ geom: {{ id1: {track}, id0: 1, ts0: {frame}, "
        f"g0: {' '.join(map(str, corners(track, frame)))} }} }}\n"
        for track, frames in BOXES.items()
        for frame in frames
    )
    return {f"{VIDEO}.activities.yml": acts, f"{VIDEO}.geom.yml": geom}


def tables(time: Callable[[int], str], unit: str, first: int, last: int) -> Files:
    boxes = "".join(
        f"{VIDEO},{track},{time(frame + first)},{','.join(map(str, corners(track, frame)))}\n"
        for track, frames in BOXES.items()
        for frame in frames
    )
    acts = "".join(
        f"{VIDEO}.mp4,{n},{name},{time(start + first)},{time(end + first - last)},{track}\n"
        for n, (track, name, start, end) in enumerate(ACTIVITIES)
    )
    return {
        "boxes.csv": f"video,track,{unit},x1,y1,x2,y2\n{boxes}",
        "activities.csv": f"video,activity,name,start,end,tracks\n{acts}",
    }


def csv() -> Files:
    return tables(str, "frame", 0, 0)


def csv_from_one() -> Files:
    return tables(str, "frame", 1, 1)


def csv_in_seconds() -> Files:
    return tables(lambda frame: f"{frame / RATE:.3f}", "seconds", 0, 0)


def cvat() -> Files:
    tracks = [
        cvat_track(
            track,
            *(
                cvat_box(f, does(track, f), **dict(zip(CVAT_SIDES, corners(track, f), strict=True)))
                for f in frames
            ),
        )
        for track, frames in BOXES.items()
    ]
    return {"annotations.xml": cvat_xml(*tracks, source=f"{VIDEO}.mp4")}


def dive_json() -> Files:
    tracks = {
        track: {
            "confidencePairs": [["person", 1]],
            "attributes": {},
            "features": [
                {
                    "frame": frame,
                    "bounds": corners(track, frame),
                    "interpolate": True,
                    "attributes": does(track, frame),
                }
                for frame in frames
            ],
        }
        for track, frames in BOXES.items()
    }
    return {f"result_{VIDEO}.json": json.dumps({"version": 2, "tracks": tracks})}


def viame_csv() -> Files:
    rows = [
        [track, "", frame, *corners(track, frame), 1, -1, "person", 1]
        + [f"(atr) {name} {value}" for name, value in does(track, frame).items()]
        for track, frames in BOXES.items()
        for frame in frames
    ]
    text = "".join(",".join(map(str, row)) + "\n" for row in rows)
    return {f"{VIDEO}.csv": f"# metadata,fps: {RATE}\n{text}"}


def kwcoco() -> Files:
    categories = {name: n for n, (_, name, _, _) in enumerate(ACTIVITIES)}
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for track, frames in BOXES.items():
        for frame in frames:
            x1, y1, x2, y2 = corners(track, frame)
            on = [categories[n] for n, value in does(track, frame).items() if value == "true"]
            images.append({"id": len(images), "video_id": 3, "frame_index": frame})
            annotations.append(
                {
                    "image_id": images[-1]["id"],
                    "track_id": int(track),
                    "category_id": on[0] if on else len(categories),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                }
            )
    tree = {
        "videos": [{"id": 3, "name": VIDEO}],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": n, "name": name} for name, n in categories.items()]
        + [{"id": len(categories), "name": "stands"}],
    }
    return {"data.kwcoco.json": json.dumps(tree)}


CVAT_SIDES = ("xtl", "ytl", "xbr", "ybr")
WORLDS: list[tuple[Callable[[], Files], str]] = [
    (csv, "format: csv"),
    (csv_from_one, "format: csv\nfirst_frame: 1\nlast: inclusive"),
    (csv_in_seconds, "format: csv"),
    (cvat, "format: cvat-xml"),
    (dive_json, "format: dive"),
    (viame_csv, "format: dive"),
    (kwcoco, "format: kwcoco"),
]


def parsed(folder: Path, files: Files, description: str) -> Parsed:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "corpus.yaml").write_text(
        f"{description}\nname: world\nfps: {RATE}\n"
        "labels: {walks: activity_walking, talks: Talking, stands: []}\n"
    )
    settings = Settings.load()
    (entry,) = sources.get(str(folder / "corpus.yaml")).discover(folder, settings).entries
    assert entry.video_id == VIDEO
    return parse_entry(entry, settings, width=768, height=576)


@pytest.mark.parametrize(("world", "description"), WORLDS, ids=[w.__name__ for w, _ in WORLDS])
def test_every_format_tells_of_the_same_world(
    world: Callable[[], Files], description: str, tmp_path: Path
) -> None:
    known = parsed(tmp_path / "kpf", kpf(), "format: kpf")
    found = parsed(tmp_path / "other", world(), description)
    assert found.issues.empty
    assert known.issues.empty
    what = ["name", "start", "end", "actors", "labels"]
    acts = found.activities[found.activities["name"] != "stands"]  # kwcoco's boxes all do something
    assert acts[what].to_dict("list") == known.activities[what].to_dict("list")
    assert len(known.boxes) == 26 + 26
    where = ["actor_id", "frame", "x1", "y1", "x2", "y2"]
    assert (
        found.boxes[where]
        .astype({"actor_id": str})
        .equals(known.boxes[where].astype({"actor_id": str}))
    )
