"""What was read of one video, written in other formats."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from tinyvirat_build.records import VideoAnnotation

from .samples import cvat_box, cvat_track

Files = dict[str, str]


class Span(NamedTuple):
    """An activity of one actor, in frames, the last one included."""

    name: str
    start: int
    last: int
    id: str


NOTHING = Span("nothing", 0, 0, "")


def as_csv(video: str, read: VideoAnnotation) -> Files:
    boxes = "".join(
        f"{video},{b.actor_id},{b.frame},{b.x1:g},{b.y1:g},{b.x2:g},{b.y2:g}\n"
        for b in read.boxes.itertuples()
    )
    acts = "".join(
        f"{video},{a.activity_id},{a.name},{a.start},{a.end},{';'.join(a.actors)}\n"
        for a in read.activities.itertuples(name="Row")
    )
    return {
        "boxes.csv": f"video,track,frame,x1,y1,x2,y2\n{boxes}",
        "activities.csv": f"video,activity,name,start,end,tracks\n{acts}",
    }


def as_actev_json(video: str, read: VideoAnnotation) -> Files:
    """Every actor an object of each of its activities; a localization without a box ends it."""
    boxes = dict(iter(read.boxes.groupby("actor_id", observed=True)))
    activities = []
    for a in read.activities.itertuples(name="Row"):
        objects = []
        for actor in a.actors:
            rows = boxes[actor]
            rows = rows[(rows["frame"] >= a.start) & (rows["frame"] < a.end)]
            places: dict[str, object] = {
                str(b.frame): {
                    "boundingBox": {
                        "x": b.x1, "y": b.y1, "w": b.x2 - b.x1, "h": b.y2 - b.y1
                    }
                }
                for b in rows.itertuples()
            }  # fmt: skip
            places[str(a.end)] = {}
            objects.append(
                {"objectType": "Person", "objectID": int(actor),
                 "localization": {f"{video}.avi": places}}
            )  # fmt: skip
        activities.append(
            {
                "activity": a.name,
                "activityID": int(a.activity_id),
                "localization": {f"{video}.avi": {str(a.start): 1, str(a.end): 0}},
                "objects": objects,
            }
        )
    return {
        f"{video}.json": json.dumps({"filesProcessed": [f"{video}.avi"], "activities": activities})
    }


def as_cvat(video: str, read: VideoAnnotation) -> Files:
    """A task with one checkbox a name; those who do something together are a group."""
    groups = {
        actor: group
        for group, actors in enumerate(read.activities["actors"], 1)
        for actor in (actors if len(actors) > 1 else ())
    }
    names = sorted(set(read.activities["name"]))
    attributes = "".join(
        f"<attribute><name>{n}</name><mutable>True</mutable><input_type>checkbox</input_type>"
        "<default_value>false</default_value><values>false</values></attribute>"
        for n in names
    )
    tracks = []
    for track, rows, spans in _tracks(read):
        boxes = [
            cvat_box(
                b.frame,
                {n: str(_does(spans, n, b.frame)).lower() for n in names},
                xtl=b.x1, ytl=b.y1, xbr=b.x2, ybr=b.y2,
            )
            for b in rows.itertuples()
        ]  # fmt: skip
        boxes.append(cvat_box(rows["frame"].iloc[-1] + 1, {}, outside=1))
        text = cvat_track(track, *boxes)
        if track in groups:
            text = text.replace("<track ", f'<track group_id="{groups[track]}" ', 1)
        tracks.append(text)
    return {
        "annotations.xml": '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n'
        "<version>1.1</version>\n<meta><task><id>1</id><size>795</size><mode>interpolation</mode>"
        f"<labels><label><name>person</name><attributes>{attributes}</attributes></label></labels>"
        f"<source>{video}.avi</source></task></meta>\n{''.join(tracks)}</annotations>\n"
    }


def as_dive(video: str, read: VideoAnnotation) -> Files:
    """Attributes of frames; what several do together is a group."""
    tracks = {
        track: {
            "id": int(track),
            "confidencePairs": [["person", 1]],
            "attributes": {},
            "features": [
                {
                    "frame": b.frame,
                    "bounds": [b.x1, b.y1, b.x2, b.y2],
                    "keyframe": True,
                    "interpolate": False,
                    "attributes": {s.name: _does(spans, s.name, b.frame) for s in spans},
                }
                for b in rows.itertuples()
            ],
        }
        for track, rows, spans in _tracks(read, alone=True)
    }
    groups = {
        a.activity_id: {
            "id": int(a.activity_id),
            "confidencePairs": [[a.name, 1]],
            "members": {actor: {"ranges": [[a.start, a.end - 1]]} for actor in a.actors},
        }
        for a in read.activities.itertuples(name="Row")
        if len(a.actors) > 1
    }
    tree = {"version": 2, "tracks": tracks, "groups": groups}
    return {f"result_{video}.json": json.dumps(tree)}


def as_viame(video: str, read: VideoAnnotation) -> Files:
    rows = [
        ",".join(map(str, (track, "", b.frame, b.x1, b.y1, b.x2, b.y2, 1, -1, "person", 1)))
        + "".join(
            f",(atr) {name} {str(_does(spans, name, b.frame)).lower()}"
            for name in sorted({s.name for s in spans})
        )
        for track, boxes, spans in _tracks(read)
        for b in boxes.itertuples()
    ]
    return {f"{video}.csv": "# metadata,fps: 10\n" + "\n".join(rows) + "\n"}


def as_kwcoco(video: str, read: VideoAnnotation) -> Files:
    """One annotation a box and activity that is on, which it names; else of no activity."""
    names = [NOTHING.name, *sorted(set(read.activities["name"]))]
    annotations = [
        {
            "id": 0,
            "image_id": b.frame + 1,
            "track_id": int(track),
            "category_id": names.index(span.name) + 1,
            "bbox": [b.x1, b.y1, b.x2 - b.x1, b.y2 - b.y1],
            **({"activity_id": span.id} if span.id else {}),
        }
        for track, boxes, spans in _tracks(read)
        for b in boxes.itertuples()
        for span in ([s for s in spans if s.start <= b.frame <= s.last] or [NOTHING])
    ]
    for n, annotation in enumerate(annotations, 1):
        annotation["id"] = n
    frames = sorted(set(read.boxes["frame"]))
    tree = {
        "videos": [{"id": 1, "name": video}],
        "images": [{"id": f + 1, "video_id": 1, "frame_index": f} for f in frames],
        "annotations": annotations,
        "categories": [
            {"id": n, "name": name, "activity": name != NOTHING.name}
            for n, name in enumerate(names, 1)
        ],
    }
    return {"data.kwcoco.json": json.dumps(tree, default=int)}


def _tracks(
    read: VideoAnnotation, *, alone: bool = False
) -> Iterator[tuple[str, pd.DataFrame, list[Span]]]:
    """Each track, its boxes and what it does (``alone``: not with others)."""
    does: dict[str, list[Span]] = {}
    for a in read.activities.itertuples(name="Row"):
        for actor in a.actors if not alone or len(a.actors) == 1 else ():
            does.setdefault(actor, []).append(Span(a.name, a.start, a.end - 1, a.activity_id))
    for track, rows in read.boxes.groupby("actor_id", observed=True):
        yield str(track), rows.sort_values("frame"), does.get(str(track), [])


def _does(spans: list[Span], name: str, frame: int) -> bool:
    return any(s.name == name and s.start <= frame <= s.last for s in spans)
