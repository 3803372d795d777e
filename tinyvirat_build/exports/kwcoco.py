"""kwcoco JSON, one file a video, as :mod:`tinyvirat_build.formats.kwcoco` reads it.

An annotation is a box of a track that does an activity, its category; one of a track that does
nothing just then has a category whose ``activity`` is false. What kwcoco has no place for stands
under keys of our own, which its tools keep: ``activity_id`` and ``ltrb`` of an annotation,
``actor_id`` and ``type`` of a track.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from tinyvirat_build import store
from tinyvirat_build.exports.annotated import Annotated, CorpusText, annotated, write_corpora
from tinyvirat_build.exports.given import Given
from tinyvirat_build.geometry.arrays import Floats, Ints

FORM: Final = "kwcoco"
NO_TYPE: Final = "object"  # of an actor without one


def write(folder: Path, given: Given) -> list[str]:
    """Write ``SOURCE/VIDEO.kwcoco.json`` and ``SOURCE-kwcoco.yaml``; return what is not held."""
    corpora: dict[str, CorpusText] = {}
    lost: Counter[str] = Counter()
    for video in annotated(given):
        source, video_id, _ = video.key
        corpora.setdefault(source, CorpusText()).add(video)
        path = folder / source / f"{video_id}.kwcoco.json"
        store.write_bytes(path, orjson.dumps(_tree(video, lost)))
    write_corpora(folder, FORM, corpora, given)
    return [f"{count:,} {what}" for what, count in sorted(lost.items())]


def _tree(video: Annotated, lost: Counter[str]) -> dict[str, list[dict[str, Any]]]:
    """A video's tables; ``lost`` counts what they cannot hold."""
    name = video.key.video_id
    size = {side: int(video.video[side]) for side in ("width", "height")}
    frames, image = np.unique(video.frame, return_inverse=True)
    categories: dict[tuple[str, bool], int] = {}
    return {
        "videos": [{"id": 1, "name": name, "fps": str(video.video["fps"]), **size}],
        "images": [
            {"id": n, "video_id": 1, "frame_index": frame, "name": f"{name}/{frame}",
             "file_name": None, **size}
            for n, frame in enumerate(frames.tolist(), 1)
        ],
        "tracks": [
            {"id": n, "name": actor, "actor_id": actor, "type": video.types.get(actor, "")}
            for n, actor in enumerate(video.actors, 1)
        ],
        "annotations": _annotations(video, image, categories, lost),
        "categories": [
            {"id": n, "name": word, **({} if activity else {"activity": False})}
            for (word, activity), n in categories.items()
        ],
    }  # fmt: skip


def _annotations(
    video: Annotated, image: Ints, categories: dict[tuple[str, bool], int], lost: Counter[str]
) -> list[dict[str, Any]]:
    """An annotation for each box, whose ``image`` (n,) is given, and each activity it is of."""

    def category(name: str, activity: bool) -> int:
        return categories.setdefault((name, activity), len(categories) + 1)

    rows, owner = _done(video, lost)
    ids = video.activities["activity_id"].tolist()
    does = [category(name, True) for name in video.activities["name"]]
    idle = {
        n: category(f"{video.types.get(video.actors[n]) or NO_TYPE} (no activity)", False)
        for n in np.unique(video.code[rows[owner < 0]]).tolist()
    }
    boxes = _boxes(video.xyxy[rows])
    columns = (image[rows].tolist(), video.code[rows].tolist(), owner.tolist(), boxes)
    return [
        {
            "id": n,
            "image_id": at + 1,
            "track_id": actor + 1,
            "category_id": idle[actor] if act < 0 else does[act],
            **box,
            **({} if act < 0 else {"activity_id": ids[act]}),
        }
        for n, (at, actor, act, box) in enumerate(zip(*columns, strict=True), 1)
    ]


def _done(video: Annotated, lost: Counter[str]) -> tuple[Ints, Ints]:
    """The rows of boxes with the activity that each is of, by its row; -1 where it is of none.

    They stand in the activities' order, and within one in that of its actors and of time.
    """
    place = {actor: n for n, actor in enumerate(video.actors)}
    ends = video.ends()
    runs: list[Ints] = []
    owner: list[int] = []
    acts = video.activities
    spans = zip(acts["start"].tolist(), acts["end"].tolist(), acts["actors"], strict=True)
    for n, (start, end, actors) in enumerate(spans):
        seen = []
        for actor in actors:
            low, high = ends[place[actor] : place[actor] + 2]
            a, b = low + np.searchsorted(video.frame[low:high], (start, end))
            if a == b:
                lost["actors of an activity without a box in its span"] += 1
            else:
                seen.append((int(video.frame[a]), int(video.frame[b - 1]) + 1))
                runs.append(np.arange(a, b))
                owner.append(n)
        if not seen:
            lost["activities without any box"] += 1
        elif (min(s for s, _ in seen), max(e for _, e in seen)) != (start, end):
            lost["activities that begin or end without a box, shortened to their boxes"] += 1
    done = np.concatenate(runs) if runs else np.empty(0, np.int64)
    of = np.repeat(np.array(owner, np.int64), [len(run) for run in runs])
    idle = np.ones(len(video.frame), bool)
    idle[done] = False
    rest = np.flatnonzero(idle)
    return np.concatenate((done, rest)), np.concatenate((of, np.full(len(rest), -1)))


def _boxes(xyxy: Floats) -> list[dict[str, Any]]:
    """Boxes (n, 4) as x, y, width, height; beside them the corners, where these would be rounded.

    >>> _boxes(np.array([[1.0, 2, 4, 6], [0.2, 0, 0.9, 1]]))
    [{'bbox': [1.0, 2.0, 3.0, 4.0]},
     {'bbox': [0.2, 0.0, 0.7, 1.0], 'ltrb': [0.2, 0.0, 0.9, 1.0]}]
    """
    low, high = xyxy[:, :2], xyxy[:, 2:]
    rounded = (low + (high - low) != high).any(axis=1).tolist()
    boxes = np.column_stack((low, high - low)).tolist()
    corners = zip(boxes, rounded, xyxy.tolist(), strict=True)
    return [{"bbox": box, "ltrb": c} if off else {"bbox": box} for box, off, c in corners]
