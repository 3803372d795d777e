"""Write a small world of tracks with the libraries of the tools that teams annotate with.

Runs where `make clients` put the libraries: ``writes_annotations.py TOOL WORLD.json FOLDER``.
"""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

World = dict[str, Any]  # video, fps, size, names, tracks (id -> frames, boxes, does), groups


def write_kwcoco(world: World, folder: Path) -> None:
    import kwcoco

    dataset = kwcoco.CocoDataset()
    video = dataset.add_video(name=world["video"], width=world["size"][0], height=world["size"][1])
    categories = {name: dataset.add_category(name) for name in ["nothing", *world["names"]]}
    frames = sorted({f for track in world["tracks"].values() for f in track["frames"]})
    images = {
        f: dataset.add_image(
            file_name=f"frames/{f:06d}.png", video_id=video, frame_index=f,
            width=world["size"][0], height=world["size"][1],
        )
        for f in frames
    }  # fmt: skip
    for key, track in world["tracks"].items():
        kwtrack = dataset.ensure_track(name=f"track {key}", id=int(key))
        for frame, (x1, y1, x2, y2), names in _sights(track):
            for name in names or ["nothing"]:
                dataset.add_annotation(
                    image_id=images[frame], category_id=categories[name], track_id=kwtrack,
                    bbox=[x1, y1, x2 - x1, y2 - y1],
                )  # fmt: skip
    dataset.fpath = str(folder / "data.kwcoco.json")
    dataset.dump(dataset.fpath)


def write_dive(world: World, folder: Path) -> None:
    from dive_utils.serializers import dive

    tree = dive.migrate(
        {"version": 2, "tracks": _dive_tracks(world), "groups": _dive_groups(world)}
    )
    (folder / f"result_{world['video']}.json").write_text(json.dumps(tree))


def write_viame(world: World, folder: Path) -> None:
    from dive_utils.serializers import viame

    tracks = _dive_tracks(world).values()
    rows = viame.export_tracks_as_csv(tracks, fps=world["fps"])
    (folder / f"{world['video']}.csv").write_text("".join(rows))


def write_cvat(world: World, folder: Path) -> None:
    """Datumaro's tracks have labels alone: each track's first activity."""
    import datumaro
    import numpy as np

    media = datumaro.components.media.Image.from_numpy(
        np.zeros((*world["size"][::-1], 3), np.uint8)
    )
    items: dict[int, list[Any]] = {}
    for key, track in world["tracks"].items():
        names = [name for _, _, does in _sights(track) for name in does]
        for frame, (x1, y1, x2, y2), _ in _sights(track):
            items.setdefault(frame, []).append(
                datumaro.components.annotation.Bbox(
                    x1, y1, x2 - x1, y2 - y1, label=world["names"].index(names[0]),
                    attributes={"track_id": int(key), "keyframe": True, "outside": False},
                )
            )  # fmt: skip
    dataset = datumaro.Dataset.from_iterable(
        [
            datumaro.DatasetItem(
                f"{f:06d}", subset=world["video"], media=media, annotations=a,
                attributes={"frame": f},
            )
            for f, a in sorted(items.items())
        ],
        categories=world["names"],
    )  # fmt: skip
    dataset.export(str(folder), "cvat", use_track=True)


def _sights(track: dict[str, Any]) -> zip[tuple[int, list[float], list[str]]]:
    return zip(track["frames"], track["boxes"], track["does"], strict=True)


def _dive_tracks(world: World) -> dict[str, Any]:
    return {
        key: {
            "id": int(key),
            "begin": track["frames"][0],
            "end": track["frames"][-1],
            "confidencePairs": [("person", 1.0)],
            "attributes": {},
            "meta": {},
            "features": [
                {
                    "frame": frame,
                    "bounds": box,
                    "keyframe": True,
                    "attributes": {
                        name: name in does for name in sorted(set().union(*track["does"]))
                    },
                }
                for frame, box, does in _sights(track)
            ],
        }
        for key, track in world["tracks"].items()
    }


def _dive_groups(world: World) -> dict[str, Any]:
    return {
        str(n): {
            "id": n,
            "begin": start,
            "end": last,
            "confidencePairs": [(name, 1.0)],
            "attributes": {},
            "meta": {},
            "members": {actor: {"ranges": [[start, last]]} for actor in actors},
        }
        for n, (name, start, last, actors) in enumerate(world["groups"])
    }


def _without_a_server() -> None:
    """DIVE's writers are part of its server, whose own packages they do not need."""
    import pydantic.v1

    sys.modules["pydantic"] = pydantic.v1
    for name in ("girder", "girder.api", "girder.api.rest"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["girder.api.rest"].__dict__["setResponseHeader"] = print


WRITERS: dict[str, Callable[[World, Path], None]] = {
    "cvat": write_cvat,
    "dive": write_dive,
    "kwcoco": write_kwcoco,
    "viame": write_viame,
}

if __name__ == "__main__":
    _without_a_server()
    tool, world, folder = sys.argv[1:]
    WRITERS[tool](json.loads(Path(world).read_text()), Path(folder))
    print(json.dumps(sorted(path.name for path in Path(folder).iterdir() if path.is_file())))
