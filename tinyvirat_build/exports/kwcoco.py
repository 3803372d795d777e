"""kwcoco JSON, one file a source, as :mod:`tinyvirat_build.formats.kwcoco` reads it.

An annotation is a box of a track that does an activity, its category; one of a track that does
nothing just then has a category whose ``activity`` is false. What kwcoco has no place for stands
under keys of our own, which its tools keep: ``activity_id`` and ``ltrb`` of an annotation,
``actor_id`` and ``type`` of a track.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import orjson

from tinyvirat_build import store
from tinyvirat_build.exports.annotated import Annotated, CorpusText, annotated, write_corpora
from tinyvirat_build.exports.given import Given
from tinyvirat_build.geometry.arrays import Floats, Ints

FORM: Final = "kwcoco"
NO_TYPE: Final = "object"  # of an actor without one


@dataclass(slots=True)
class _Numbers:
    """The numbers given so far to the records of a file."""

    videos: int = 0
    images: int = 0
    annotations: int = 0
    tracks: int = 0
    categories: dict[tuple[str, bool], int] = field(default_factory=dict)

    def category(self, name: str, activity: bool) -> int:
        return self.categories.setdefault((name, activity), len(self.categories) + 1)


def write(folder: Path, given: Given) -> list[str]:
    """Write ``SOURCE/SOURCE.kwcoco.json`` and ``SOURCE-kwcoco.yaml``; return what is not held."""
    corpora: dict[str, CorpusText] = {}
    lost: Counter[str] = Counter()
    for source, videos in groupby(annotated(given), key=lambda v: v.key.source):
        corpus = corpora.setdefault(source, CorpusText())
        path = folder / source / f"{source}.kwcoco.json"
        with store.atomic_path(path) as temporary, temporary.open("wb") as stream:
            _write_file(stream, videos, corpus, lost)
    write_corpora(folder, FORM, corpora, given)
    return [f"{count:,} {what}" for what, count in sorted(lost.items())]


def _write_file(
    stream: IO[bytes], videos: Iterable[Annotated], corpus: CorpusText, lost: Counter[str]
) -> None:
    """One file. Its tables follow one another: the images, which are many, wait on disk."""
    numbers = _Numbers()
    tables: dict[str, list[dict[str, Any]]] = {"videos": [], "tracks": []}
    with tempfile.TemporaryFile() as images:
        stream.write(b'{"annotations": [')
        for video in videos:
            corpus.add(video)
            _append(stream, _annotations(video, numbers, lost), numbers.annotations > 0)
            _append(images, _images(video, numbers), numbers.images > 0)
            _add_rows(video, numbers, tables)
        stream.write(b'],\n"images": [')
        images.seek(0)
        shutil.copyfileobj(images, stream)
    tables["categories"] = [
        {"id": n, "name": name, **({} if activity else {"activity": False})}
        for (name, activity), n in numbers.categories.items()
    ]
    for name, rows in tables.items():
        stream.write(f'],\n"{name}": ['.encode())
        _append(stream, rows, False)
    stream.write(b"]}\n")


def _append(stream: IO[bytes], rows: Iterable[dict[str, Any]], further: bool) -> None:
    """Write the rows of a table; ``further`` if some stand there already."""
    for row in rows:
        stream.write((b",\n" if further else b"\n") + orjson.dumps(row))
        further = True


def _size(video: Annotated) -> dict[str, int]:
    return {name: int(video.video[name]) for name in ("width", "height")}


def _images(video: Annotated, numbers: _Numbers) -> Iterator[dict[str, Any]]:
    """An image for each frame with a box; there is no file of it."""
    of = {"video_id": numbers.videos + 1, "file_name": None, **_size(video)}
    frames = np.unique(video.frame).tolist()
    for n, frame in enumerate(frames, numbers.images + 1):
        yield {"id": n, "frame_index": frame, "name": f"{video.key.video_id}/{frame}", **of}


def _add_rows(video: Annotated, numbers: _Numbers, tables: dict[str, list[dict[str, Any]]]) -> None:
    """Add the rows of the video itself and of its tracks, and count what is written of it."""
    name = video.key.video_id
    numbers.videos += 1
    about = {"id": numbers.videos, "name": name, "fps": str(video.video["fps"])}
    tables["videos"].append(about | _size(video))
    for n, actor in enumerate(video.actors, numbers.tracks + 1):
        kind = video.types.get(actor, "")
        tables["tracks"].append(
            {"id": n, "name": f"{name}/{actor}", "actor_id": actor, "type": kind}
        )
    numbers.tracks += len(video.actors)
    numbers.images += len(np.unique(video.frame))


def _annotations(
    video: Annotated, numbers: _Numbers, lost: Counter[str]
) -> Iterator[dict[str, Any]]:
    """An annotation for each box and each activity that it is of."""
    rows, owner = _done(video, lost)
    ids = video.activities["activity_id"].tolist()
    does = [numbers.category(name, True) for name in video.activities["name"]]
    idle = {
        n: numbers.category(f"{video.types.get(video.actors[n]) or NO_TYPE} (no activity)", False)
        for n in np.unique(video.code[rows[owner < 0]]).tolist()
    }
    _, image = np.unique(video.frame, return_inverse=True)
    boxes = _boxes(video.xyxy[rows])
    columns = (image[rows].tolist(), video.code[rows].tolist(), owner.tolist(), boxes)
    for at, actor, act, box in zip(*columns, strict=True):
        numbers.annotations += 1
        yield {
            "id": numbers.annotations,
            "image_id": numbers.images + at + 1,
            "track_id": numbers.tracks + actor + 1,
            "category_id": idle[actor] if act < 0 else does[act],
            **box,
            **({} if act < 0 else {"activity_id": ids[act]}),
        }


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

    >>> _boxes(np.array([[1.0, 2, 4, 6], [0.3, 0, 0.7, 1]]))
    [{'bbox': [1.0, 2.0, 3.0, 4.0]},
     {'bbox': [0.3, 0.0, 0.39999999999999997, 1.0], 'ltrb': [0.3, 0.0, 0.7, 1.0]}]
    """
    low, high = xyxy[:, :2], xyxy[:, 2:]
    rounded = (low + (high - low) != high).any(axis=1).tolist()
    boxes = np.column_stack((low, high - low)).tolist()
    corners = zip(boxes, rounded, xyxy.tolist(), strict=True)
    return [{"bbox": box, "ltrb": c} if off else {"bbox": box} for box, off, c in corners]
