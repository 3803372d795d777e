"""DIVE's annotation JSON, one file a video, as :mod:`tinyvirat_build.formats.dive` reads it.

A track is an actor, its class the actor's type; an activity is a group of its actors, whose range
is its span. Boxes stand where the annotators' do, and DIVE draws the others between them, unless
these are not what it would draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from tinyvirat_build import store
from tinyvirat_build.errors import MAX_FRAME
from tinyvirat_build.exports.annotated import Annotated, CorpusText, annotated, write_corpora
from tinyvirat_build.exports.given import Given
from tinyvirat_build.formats.assemble import RawBoxes, fill_gaps
from tinyvirat_build.formats.dive import ACTIVITY, ACTIVITY_ID, ACTOR_ID, NO_TYPE
from tinyvirat_build.formats.faults import Issues
from tinyvirat_build.geometry.arrays import Bools

FORM: Final = "dive"
_GROUP: Final = "group:"
_MAX_ID: Final = 1 << 53  # DIVE's ids are JavaScript's numbers


def write(folder: Path, given: Given) -> list[str]:
    """Write ``SOURCE/VIDEO.json`` and ``SOURCE-dive.yaml``."""
    corpora: dict[str, CorpusText] = {}
    for video in annotated(given):
        source, video_id, _ = video.key
        corpora.setdefault(source, CorpusText()).add(video)
        store.write_bytes(folder / source / f"{video_id}.json", orjson.dumps(_tree(video)))
    write_corpora(folder, FORM, corpora, given)
    return []


def _tree(video: Annotated) -> dict[str, Any]:
    """A video's tracks and groups; names that are no numbers become attributes."""
    tracks = _numbers(video.actors)
    ids = video.activities["activity_id"].tolist()
    groups = _numbers([name.removeprefix(_GROUP) for name in ids])
    of_actor = dict(zip(video.actors, tracks, strict=True))
    features = _features(video)
    rows = video.activities
    columns = (groups, ids, rows["name"], rows["start"].tolist(), rows["end"].tolist())
    return {
        "version": 2,
        "tracks": {
            str(n): _track(n, actor, video.types.get(actor, ""), own)
            for n, actor, own in zip(tracks, video.actors, features, strict=True)
        },
        "groups": {
            str(n): _group(n, name, act, start, end, [of_actor[a] for a in actors])
            for n, name, act, start, end, actors in zip(*columns, rows["actors"], strict=True)
        },
    }


def _numbers(names: Sequence[str]) -> list[int]:
    """The names as numbers, if they are different ones that DIVE can hold; else 1, 2, 3, ….

    >>> _numbers(["7", "12"]), _numbers(["7", "07"]), _numbers(["9" * 17])
    ([7, 12], [1, 2], [1])
    """
    if all(name.isascii() and name.isdigit() and len(name) < 17 for name in names):
        found = [int(name) for name in names]
        if all(str(n) == name and n < _MAX_ID for n, name in zip(found, names, strict=True)):
            return found
    return list(range(1, len(names) + 1))


def _track(number: int, actor: str, kind: str, features: list[dict[str, Any]]) -> dict[str, Any]:
    frames = [feature["frame"] for feature in features] or [0]
    named = {} if str(number) == actor else {ACTOR_ID: actor}
    return {
        "id": number,
        "begin": frames[0],
        "end": frames[-1],
        "confidencePairs": [[kind or NO_TYPE, 1]],
        "attributes": {ACTIVITY: "none", **named},
        "features": features,
    }


def _group(
    number: int, name: str, act: str, start: int, end: int, tracks: Sequence[int]
) -> dict[str, Any]:
    span = [start, end - 1]
    return {
        "id": number,
        "begin": span[0],
        "end": span[1],
        "confidencePairs": [[act, 1]],
        "attributes": {} if name == f"{_GROUP}{number}" else {ACTIVITY_ID: name},
        "members": {str(track): {"ranges": [span]} for track in tracks},
    }


def _features(video: Annotated) -> list[list[dict[str, Any]]]:
    """The boxes that must be written of each actor; those between two linked ones follow."""
    kept, linked = _kept(video)
    rows = np.flatnonzero(kept)
    columns = (video.frame[rows], video.xyxy[rows], video.keyframe[rows], linked[rows])
    features = [
        {"frame": frame, "bounds": box, "keyframe": key, "interpolate": link}
        for frame, box, key, link in zip(*(c.tolist() for c in columns), strict=True)
    ]
    ends = np.searchsorted(video.code[rows], np.arange(len(video.actors) + 1)).tolist()
    return [features[a:b] for a, b in pairwise(ends)]


def _kept(video: Annotated) -> tuple[Bools, Bools]:
    """The boxes to write, and of each whether boxes stand up to the next: two of (n,).

    Only what a line between the boxes that are kept gives again, to the last bit, is left out.
    """
    n = len(video.frame)
    follows = np.zeros(n, bool)  # the row before is the same actor's, one frame before
    follows[1:] = (np.diff(video.code) == 0) & (np.diff(video.frame) == 1)
    linked = np.append(follows[1:], False)[:n]
    kept = video.keyframe | ~follows | ~linked
    run = np.cumsum(~follows) - 1
    sparse = RawBoxes(
        ids=("",) * (int(run[-1]) + 1 if n else 0),
        code=run[kept],
        frame=video.frame[kept],
        xyxy=video.xyxy[kept],
        keyframe=video.keyframe[kept],
        line=np.zeros(int(kept.sum()), np.int64),
    )
    drawn = fill_gaps(sparse, MAX_FRAME, Issues()).xyxy
    piece = np.cumsum(kept) - 1
    wrong = np.unique(piece[(drawn != video.xyxy).any(axis=1)])
    return kept | np.isin(piece, wrong), linked
