"""kwcoco JSON: videos, their images, and annotations whose category is an activity.

A track does the activity of its annotations' category, over each run of its frames that have that
category. Frames are the images' ``frame_index``, 0-based. A file may hold several videos.

Files that ``export`` wrote say more, under keys of their own: annotations with an ``activity_id``
are one activity of all their tracks, a category whose ``activity`` is false is none, a track
with the ``actor_id`` and the ``type`` of its actor has all of its boxes, none between them, and
``ltrb`` are the corners of a ``bbox`` where its width or height is rounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from tinyvirat_build.errors import AnnotationError
from tinyvirat_build.formats.actev_tree import load
from tinyvirat_build.formats.assemble import (
    STAGE,
    MalformedError,
    RawActivity,
    RawBoxes,
    assemble,
    checked,
    fill_gaps,
)
from tinyvirat_build.formats.faults import Issues, none_among
from tinyvirat_build.formats.options import ReadOptions
from tinyvirat_build.formats.rows import BoxRows, identity
from tinyvirat_build.formats.safety import refuse_unsafe_video
from tinyvirat_build.formats.videos import video_of
from tinyvirat_build.records import Issue, VideoAnnotation


def read(video_id: str, files: Sequence[Path], options: ReadOptions) -> VideoAnnotation:
    """Read one video's annotations of a kwcoco file.

    ``records_in`` counts its activities, and its annotations that belong to no track.

    Raises:
        AnnotationError: no JSON file, not kwcoco, or several videos, none of them this one.
    """
    refuse_unsafe_video(video_id, files)
    path = next((p for p in files if p.name.endswith(".json")), None)
    if path is None:
        raise none_among(files, "JSON", video_id, "give a kwcoco file with videos")
    dataset = _Dataset.open(path)
    issues = Issues()
    boxes, said, fallen = _boxes(dataset, dataset.frames_of(video_id), issues)
    activities = [*_named(said.named), *_activities(said.tracks)]
    if said.whole:
        boxes = _filled(boxes, said.whole, options.max_gap, issues)
    return assemble(
        video_id,
        activities,
        boxes,
        said.types,
        issues,
        options,
        records_in=len(activities) + fallen,
        file=path.name,
        interpolate=not said.whole,
    )


def videos_in(path: Path) -> tuple[set[str], list[Issue]]:
    """The videos of a file, and what of it belongs to none of them.

    Raises:
        AnnotationError: it cannot be read, or is not kwcoco.
    """
    dataset = _Dataset.open(path)
    names = dataset.names()
    owned = {key for key, image in dataset.images.items() if _key(image, "video_id") in names}
    lost = sum(_key(a, "image_id") not in owned for a in dataset.annotations)
    issues = []
    if lost:
        detail = "annotations of images that belong to no video"
        issues.append(
            Issue(
                "discover", "malformed", "quarantined", "annotations", path.name, count=lost,
                detail=detail,
            )
        )  # fmt: skip
    return {name for name in names.values() if name}, issues


ROUNDED: Final = 1e-6  # pixels by which a corner may differ from one that is rounded

Key = int | str
Tracks = dict[str, list[tuple[int, str]]]  # track -> (frame, name) of its annotations


@dataclass(slots=True)
class _Said:
    """What the annotations of a video say beside their boxes."""

    tracks: Tracks = field(default_factory=dict)
    named: dict[tuple[str, str], list[tuple[int, str]]] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)  # tracks that have all of their boxes

    def add(self, track: str, frame: int, name: str, activity_id: object) -> None:
        """Note that a track does something; ``named`` is (activity id, name) -> (frame, track)."""
        if name and isinstance(activity_id, str) and activity_id:
            self.named.setdefault((activity_id, name), []).append((frame, track))
            name = ""  # of the track's own runs, this one is none, but parts others
        self.tracks.setdefault(track, []).append((frame, name))


@dataclass(slots=True)
class _Dataset:
    """The tables of a file."""

    path: Path
    videos: list[Any]
    images: dict[Key | None, dict[str, Any]]
    annotations: list[Any]
    categories: dict[Key | None, str]  # empty: expressly no activity
    actors: dict[Key | None, tuple[str, str]]  # of tracks that tell it: actor and its type

    @classmethod
    def open(cls, path: Path) -> _Dataset:
        """Read a file whose tables are lists."""
        tree = load(path)
        names = ("videos", "images", "annotations", "categories")
        for name in names:
            if not isinstance(tree, dict) or not isinstance(tree.get(name), list):
                raise AnnotationError(
                    f"no list of {name}",
                    file=path,
                    remedy=f"give a kwcoco file with {', '.join(names)}",
                )
        images = {_key(i, "id"): i for i in tree["images"] if isinstance(i, dict)}
        categories = {
            _key(c, "id"): c["name"] if c.get("activity") is not False else ""
            for c in tree["categories"]
            if isinstance(c, dict) and isinstance(c.get("name"), str) and c["name"]
        }
        tracks = tree.get("tracks")
        actors = {
            _key(t, "id"): (t["actor_id"], kind if isinstance(kind := t.get("type"), str) else "")
            for t in (tracks if isinstance(tracks, list) else ())
            if isinstance(t, dict) and isinstance(t.get("actor_id"), str)
        }
        for table in (images, categories, actors):
            table.pop(None, None)
        return cls(path, tree["videos"], images, tree["annotations"], categories, actors)

    def names(self) -> dict[Key, str]:
        """The name of each video; those without one have the empty name."""
        found = {}
        for video in self.videos:
            key = _key(video, "id")
            if key is not None:
                name = video.get("name") or video.get("file_name")
                found[key] = video_of(name) if isinstance(name, str) else ""
        return found

    def frames_of(self, video_id: str) -> dict[Key | None, Any]:
        """The frame, as written, of each image of a video; an only video has any name."""
        names = self.names()
        own = {key for key, name in names.items() if name == video_id}
        if not own and len(names) > 1:
            raise AnnotationError(
                f"holds {len(names)} videos, none of them {video_id}"[:400],
                file=self.path,
                remedy="name the video as the file does",
            )
        own = own or set(names)
        return {
            key: image.get("frame_index")
            for key, image in self.images.items()
            if _key(image, "video_id") in own
        }


def _key(record: Any, name: str) -> Key | None:
    """An id of a record, None where it has none."""
    value = record.get(name) if isinstance(record, dict) else None
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def _boxes(
    dataset: _Dataset, frames: dict[Key | None, Any], issues: Issues
) -> tuple[RawBoxes, _Said, int]:
    """The boxes of a video, what is said of them, and how many annotations are of no track."""
    boxes = BoxRows(dataset.path)
    said = _Said()
    held: dict[tuple[str, int], tuple[float, ...]] = {}  # a box stands once for each activity
    lost = 0
    for at, record in enumerate(dataset.annotations):
        image = _key(record, "image_id")
        if image not in frames:
            continue
        label = f"annotation {record.get('id', f'at {at}')}"[:200]
        track = _key(record, "track_id")
        try:
            if track is None:
                raise MalformedError("no track_id")
            known = dataset.actors.get(track)
            name = identity(known[0] if known else str(track), "track_id")
        except MalformedError as e:
            lost += 1
            issues.append(_malformed(dataset, "dropped", label, str(e)))
            continue
        try:
            frame, corners = _frame(frames[image]), _corners(record)
        except MalformedError as e:
            issues.append(_malformed(dataset, "noted", label, str(e)))
            continue
        if held.setdefault((name, frame), corners) is corners or "activity_id" not in record:
            boxes.add(name, frame, corners, 0)
        category = dataset.categories.get(_key(record, "category_id"))
        if category is None:
            issues.append(_malformed(dataset, "noted", label, "no category; the box is kept"))
        said.add(name, frame, category or "", record.get("activity_id"))
        if known:
            said.whole.add(name)
            said.types[name] = known[1]
    return boxes.boxes(), said, lost


def _filled(boxes: RawBoxes, whole: set[str], max_gap: int, issues: Issues) -> RawBoxes:
    """Interpolate the tracks that may lack boxes."""
    boxes = checked(boxes, issues)
    stays = np.isin(boxes.code, [n for n, track in enumerate(boxes.ids) if track in whole])
    return boxes.take(stays).joined(fill_gaps(boxes.take(~stays), max_gap, issues))


def _malformed(dataset: _Dataset, action: str, record: str, detail: str) -> Issue:
    return Issue(STAGE, "malformed", action, record, dataset.path.name, detail=detail)


def _frame(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 1 << 31:
        raise MalformedError("its image has no frame_index")
    return value


def _corners(record: dict[str, Any]) -> tuple[float, float, float, float]:
    x, y, width, height = _four(record.get("bbox"))
    found = x, y, x + width, y + height
    if "ltrb" in record:
        exact = _four(record["ltrb"])
        if max(abs(a - b) for a, b in zip(exact, found, strict=True)) <= ROUNDED:
            return exact
    return found  # there are no others, or the box was moved


def _four(value: Any) -> tuple[float, float, float, float]:
    if (
        not isinstance(value, list)
        or len(value) != 4
        or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
    ):
        raise MalformedError("bbox is not x, y, width, height")
    a, b, c, d = map(float, value)
    return a, b, c, d


def _named(named: dict[tuple[str, str], list[tuple[int, str]]]) -> Iterator[RawActivity]:
    """The activities that have an id: from the first to the last frame of their annotations."""
    for (activity_id, name), seen in named.items():
        frames = [frame for frame, _ in seen]
        actors = tuple(dict.fromkeys(track for _, track in seen))
        yield RawActivity(activity_id, name, min(frames), max(frames) + 1, actors)


def _activities(tracks: Tracks) -> Iterator[RawActivity]:
    """One activity a track, a category, and a run of the track's frames that have it."""
    for track, said in tracks.items():
        order = {frame: at for at, frame in enumerate(sorted({f for f, _ in said}))}
        frames = list(order)
        places: dict[str, set[int]] = {}
        for frame, name in said:
            places.setdefault(name, set()).add(order[frame])
        runs = sorted(
            (frames[first], frames[last] + 1, name)
            for name, at in places.items()
            if name
            for first, last in _runs(sorted(at))
        )
        for n, (start, end, name) in enumerate(runs, 1):
            yield RawActivity(f"{track}:{n}", name, start, end, (track,))


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The first and last of each run of consecutive numbers.

    >>> list(_runs([1, 2, 3, 7]))
    [(1, 3), (7, 7)]
    """
    first = 0
    for at in range(1, len(numbers) + 1):
        if at == len(numbers) or numbers[at] != numbers[at - 1] + 1:
            yield numbers[first], numbers[at - 1]
            first = at
