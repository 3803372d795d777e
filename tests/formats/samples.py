"""Small annotation files of every format and style, and how to read them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tinyvirat_build.errors import TinyviratError
from tinyvirat_build.formats import READERS, Dialect, ReadOptions
from tinyvirat_build.records import Issue, VideoAnnotation

VIDEO = "2018-03-07.16-50-01.16-55-01.bus.G331"


def read(
    folder: Path,
    files: Mapping[str, str | bytes],
    *,
    format: str = "kpf",
    dialect: Dialect = "",
    options: ReadOptions | None = None,
) -> VideoAnnotation:
    """Write files (names are given without the video's name) and read them."""
    paths = []
    for name, text in files.items():
        path = folder / f"{VIDEO}{name}"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        paths.append(path)
    return READERS[format](VIDEO, paths, options or ReadOptions(dialect=dialect))


def outcome(
    folder: Path,
    files: Mapping[str, str | bytes],
    *,
    format: str = "kpf",
    dialect: Dialect = "",
) -> TinyviratError | None:
    """The error that reading ends with, or None for records whose balance closes."""
    try:
        annotation = read(folder, files, format=format, dialect=dialect)
    except TinyviratError as e:
        return e
    assert closes(annotation)
    return None


def dropped(annotation: VideoAnnotation) -> int:
    return sum(i.count for i in annotation.issues if i.action in ("dropped", "quarantined"))


def closes(annotation: VideoAnnotation) -> bool:
    return annotation.records_in == len(annotation.activities) + dropped(annotation)


def reasons(annotation: VideoAnnotation) -> list[str]:
    return sorted({i.reason for i in annotation.issues})


def issue(annotation: VideoAnnotation, reason: str) -> Issue:
    (found,) = [i for i in annotation.issues if i.reason == reason]
    return found


def boxes_of(annotation: VideoAnnotation) -> dict[tuple[str, int], tuple[float, ...]]:
    b = annotation.boxes
    corners = b[["x1", "y1", "x2", "y2"]].to_numpy().tolist()
    keys = zip(b.actor_id.tolist(), b.frame.tolist(), strict=True)
    return dict(zip(keys, map(tuple, corners), strict=True))


ACTORS = ("6773005562166421415", "12")

KITWARE: dict[str, str] = {
    ".activities.yml": f'- {{ meta: "{VIDEO}" }}\n- {{ meta: {{ team: "Kitware" }} }}\n'
    '- { meta: "person_talks_to_person 1 instances" }\n'
    "- { act: { act2: {person_talks_to_person: 1.0}, id2: 7530099373125674515, "
    "timespan: [{tsr0: [10, 19]}], src_status: janitor, actors: [{id1: 6773005562166421415, "
    "timespan: [{tsr0: [10, 19]}]}, {id1: 12, timespan: [{tsr0: [10, 14]}]}] } }\n",
    ".geom.yml": f'- {{ meta: "{VIDEO}" }}\n'
    + "".join(
        f"- {{ geom: {{id1: {actor}, id0: {i + 1}, ts0: {10 + i}, ts1: {(10 + i) / 30:.2f}, "
        f"g0: {1468 + i} 24 1496 83{', keyframe: true' if i % 3 == 0 else ''} }} }}\n"
        for actor, frames in zip(ACTORS, (10, 5), strict=True)
        for i in range(frames)
    ),
    ".types.yml": f'- {{ meta: "{VIDEO}" }}\n'
    "- { types: { id1: 6773005562166421415, cset3: { person: 1.0 } } }\n"
    "- { types: { id1: 12, cset3: { vehicle: 1.0 } } }\n",
}

TRAINING: dict[str, str] = {
    ".activities.yml": "- {'act': {'act2': {'person_talks_to_person': 1.0}, 'actors': "
    "[{'id1': 6773005562166421415, 'timespan': [{'tsr0': [10, 19]}]}, "
    "{'id1': 12, 'timespan': [{'tsr0': [10, 14]}]}], 'id2': 7530099373125674515, "
    "'src_status': 'good', 'timespan': [{'tsr0': [10, 19]}]}}\n",
    ".geom.yml": "".join(
        f"- {{'geom': {{'g0': '{1468 + i} 24 1496 83', 'id0': {i + 1}, 'id1': {actor}, "
        f"'keyframe': {i % 3 == 0}, 'ts0': {10 + i}}}}}\n"
        for actor, frames in zip(ACTORS, (10, 5), strict=True)
        for i in range(frames)
    ),
    ".types.yml": "- {'types': {'cset3': {'person': 1.0}, 'id1': 6773005562166421415}}\n"
    "- {'types': {'cset3': {'vehicle': 1.0}, 'id1': 12}}\n",
}

CONTRIB: dict[str, str] = {
    "-activities.yml": f"[{{meta: {VIDEO}.avi}}, {{act: {{act2: !!set {{person_talks_to_person: "
    "null},\n      actors: [{id1: 6773005562166421415, timespan: [{tsr0: [10, 19]}]}, {id1: 12,\n"
    "          timespan: [{tsr0: [10, 14]}]}], id2: 7530099373125674515, timespan: [\n"
    "        {tsr0: [10, 19]}]}}]\n",
    "-geom.yml": f"[{{meta: {VIDEO}.avi}}, "
    + ", ".join(
        f"{{geom: {{g0: {1468 + i} 24{chr(10) + '        ' if i == 2 else ' '}1496 83,\n      "
        f"id0: {i + 1}, id1: {actor}, keyframe: {'true' if i % 3 == 0 else 'false'}, "
        f"ts0: {10 + i}, ts1: {(10 + i) / 30}}}}}"
        for actor, frames in zip(ACTORS, (10, 5), strict=True)
        for i in range(frames)
    )
    + "]\n",
    "-types.yml": f"[{{meta: {VIDEO}.avi}}, {{types: {{cset3: {{Person: 1.0}},\n      "
    "id1: 6773005562166421415}}, {types: {cset3: {Vehicle: 1.0}, id1: 12}}]\n",
}

VIRAT: dict[str, str] = {
    ".activities.yml": '- { meta: "Vehicle 28 instances" }\n'
    "- { act: { act3: {person_talks_to_person: 1.0}, id2: 7530099373125674515, "
    "timespan: [{tsr0: [10, 19]}], src: truth, actors: [{id1: 6773005562166421415, "
    "timespan: [{tsr0: [10, 19]}]}, {id1: 12, timespan: [{tsr0: [10, 14]}]}] } }\n",
    ".geom.yml": f'- {{ meta: "{VIDEO} geom" }}\n'
    + "".join(
        f"- {{ geom: {{ id1: {actor}, id0: {i + 1}, ts0: {10 + i}, ts1: {(10 + i) / 30:.15f}, "
        f"g0: {1468 + i} 24 1496 83 , src: truth, {('', 'occlusion: partially, ')[i % 2]}}} }}\n"
        for actor, frames in zip(ACTORS, (10, 5), strict=True)
        for i in range(frames)
    ),
    ".types.yml": f'- {{ meta: "{VIDEO} types" }}\n'
    "- { types: { id1: 6773005562166421415, cset3: { Person: 1.0 } } }\n"
    "- { types: { id1: 12, cset3: { Vehicle: 1.0 } } }\n",
}

KPF = {"kitware": KITWARE, "training": TRAINING, "contrib": CONTRIB, "virat": VIRAT}


def signal(start: int, boxes: Sequence[tuple[int, int, int, int]]) -> dict[str, object]:
    return {
        str(start + i): {"boundingBox": dict(zip("xywh", box, strict=True))}
        for i, box in enumerate(boxes)
    }


def actev(base: int, off: int, *, closed: bool, kind: str = "Person") -> str:
    """One activity on frames 10 to 19 (0-based) of one object, in a producer's dialect."""
    boxes = signal(10 + base, [(100 + i, 50, 20, 40) for i in range(10)])
    if closed:
        boxes[str(20 + base)] = {}
    name = f"{VIDEO}.avi"
    return json.dumps(
        {
            "filesProcessed": name,
            "activities": [
                {
                    "activity": "Talking",
                    "activityID": 1,
                    "localization": {name: {str(10 + base): 1, str(off): 0}},
                    "objects": [{"objectType": kind, "objectID": 3, "localization": {name: boxes}}],
                }
            ],
        }
    )


ACTEV: dict[Dialect, str] = {
    "nist": actev(1, 21, closed=True),
    "inclusive": actev(0, 19, closed=False),
    "exclusive": actev(0, 20, closed=False, kind="Null"),
}

CUBOIDS = json.dumps(
    {
        "0": {
            "start_frame": 10,
            "end_frame": 40,
            "event_type": "vehicle_starts",
            "identity": 27811,
            "objects": {},
            "trajectory": {
                "10": [100.0, 50.0, 120.5, 90.0],
                "25": [115.0, 50.0, 135.5, 90.0],
                "40": [130.0, 65.0, 150.5, 105.0],
            },
        }
    }
)

VIRAT_TEXT: dict[str, str] = {
    ".viratdata.events.txt": "".join(
        f"4 9 10 263 272 {frame} 1234 213 45 103 \n" for frame in range(263, 273)
    ),
    ".viratdata.objects.txt": "".join(
        f"{oid} 10 {frame} 974 218 28 61 {kind}\n"
        for oid, kind in ((0, 1), (1, 2))
        for frame in range(263, 273)
    ),
    ".viratdata.mapping.txt": "4 9 10 263 272 1  0 1 0 0 0 0 0 0 0 0\n",
}

CSV: dict[str, str] = {
    ".boxes.csv": "video,track,frame,x1,y1,x2,y2\n"
    + "".join(
        f"{VIDEO},{track},{frame},{1468 + frame},24,1496.5,83\n"
        for track, frames in (("1", (10, 13, 19)), ("two", (10, 14)))
        for frame in frames
    ),
    ".activities.csv": "video,activity,name,start,end,tracks\n"
    f'{VIDEO}.mp4,a1,person_talks_to_person,10,20,1;two\n{VIDEO},a2,"walks",10,15,two\n',
}


def cvat_box(frame: int, values: Mapping[str, str], **more: object) -> str:
    given = {"frame": frame, "outside": 0, "occluded": 0, "keyframe": 1, "xtl": 100 + frame,
             "ytl": 50, "xbr": 140.5, "ybr": 90} | more  # fmt: skip
    text = "".join(f' {name}="{value}"' for name, value in given.items())
    inner = "".join(f'<attribute name="{n}">{v}</attribute>\n' for n, v in values.items())
    return f"<box{text}>\n{inner}</box>\n"


def cvat_xml(*tracks: str, source: str = f"{VIDEO}.avi") -> str:
    """A task whose label `person` has a checkbox, a select, a number and one immutable value."""
    kinds = (("walks", "True", "checkbox"), ("action", "True", "select"),
             ("age", "True", "number"), ("rides", "False", "checkbox"))  # fmt: skip
    attributes = "".join(
        f"<attribute><name>{name}</name><mutable>{mutable}</mutable>"
        f"<input_type>{kind}</input_type></attribute>\n"
        for name, mutable, kind in kinds
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n<meta>\n'
        f"<task><id>3</id><labels><label><name>person</name>\n<attributes>\n{attributes}"
        "</attributes></label></labels>\n<segments><segment><start>0</start></segment></segments>\n"
        f"<source>{source}</source></task></meta>\n{''.join(tracks)}</annotations>\n"
    )


def cvat_track(track: str, *boxes: str) -> str:
    return f'<track id="{track}" label="person" source="manual">\n{"".join(boxes)}</track>\n'


CVAT = cvat_xml(
    cvat_track(
        "0",
        cvat_box(10, {"walks": "false", "action": "__undefined__", "age": "30", "rides": "true"}),
        cvat_box(12, {"walks": "true", "action": "none", "age": "30", "rides": "true"}),
        cvat_box(16, {"walks": "true", "action": "Talking", "age": "31", "rides": "true"}),
        cvat_box(20, {"walks": "false", "action": "Talking", "age": "31"}, outside=1),
    ),
    cvat_track("1", cvat_box(3, {"walks": "true"}), cvat_box(40, {"walks": "true"}, keyframe=0)),
)

CVAT_PROJECT = (
    CVAT.replace("<task>", "<project><id>9</id><tasks><task>")
    .replace("</task>", "</task><task><id>4</id><source>b.mp4</source></task></tasks></project>")
    .replace('<track id="0"', '<track id="0" task_id="3" group_id="2"')
    .replace('<track id="1"', '<track id="1" task_id="3" group_id="2"')
)

DIVE = json.dumps(
    {
        "version": 2,
        "tracks": {
            "0": {
                "id": 0,
                "begin": 10,
                "end": 20,
                "meta": {},
                "confidencePairs": [["bicycle", 0.2], ["person", 0.9]],
                "attributes": {"rides": True, "age": 30, "userCreated": True},
                "features": [
                    {"frame": 10, "bounds": [110, 50, 140.5, 90], "keyframe": True,
                     "interpolate": True, "attributes": {"walks": False, "rotation": 0.7}},
                    {"frame": 12, "bounds": [112, 50, 140.5, 90], "keyframe": True,
                     "interpolate": True, "attributes": {"walks": True, "action": "none"}},
                    {"frame": 16, "bounds": [116, 50, 140.5, 90], "interpolate": False,
                     "attributes": {"action": "Talking"}},
                    {"frame": 19, "bounds": [119, 50, 140.5, 90], "attributes": {"walks": False}},
                ],
            },
            "1": {
                "id": 1,
                "begin": 3,
                "end": 4,
                "confidencePairs": [["waits", 1]],
                "attributes": {},
                "features": [
                    {"frame": 3, "bounds": [1, 2, 30, 40]}, {"frame": 4, "bounds": [1, 2, 30, 40]}
                ],
            },
        },
        "groups": {
            "5": {
                "id": 5,
                "confidencePairs": [["meets", 1]],
                "members": {"0": {"ranges": [[10, 12], [14, 15]]}, "1": {"ranges": [[4, 10]]}},
            }
        },
    },
    indent=1,
)  # fmt: skip

VIAME = (
    "# 1: Detection or Track-id,2: Video or Image Identifier,3: Unique Frame Identifier\n"
    '# metadata,fps: 30,"exported_by: ""dive:python"""\n'
    "0,00:00:00.33,10,110,50,140.5,90,0.9,-1,bicycle,0.2,person,0.9,(atr) walks false,"
    "(trk-atr) rides true,(trk-atr) age 30,(note) far away\n"
    "0,00:00:00.40,12,112,50,140.5,90,0.9,-1,person,0.9,(atr) walks true,(poly) 1 2 3 4 5 6\n"
    "0,00:00:00.53,16,116,50,140.5,90,0.9,-1,person,0.9,(atr) action Talking\n"
    "0,00:00:00.63,19,119,50,140.5,90,0.9,-1,person,0.9,(atr) walks false\n"
    "1,frame_3.png,3,1,2,30,40,1,-1,waits,1\n1,frame_4.png,4,1,2,30,40,1,-1,waits,1\n"
)


def kwcoco(videos: Sequence[str], annotations: Sequence[tuple[int, int, object, int]]) -> str:
    """A file of videos of 100 frames; an annotation is video, frame, track and category."""
    return json.dumps(
        {
            "info": [],
            "categories": [{"id": 1, "name": "walks"}, {"id": 2, "name": "Talking"}],
            "videos": [{"id": v, "name": name} for v, name in enumerate(videos)],
            "images": [
                {"id": 100 * v + f, "file_name": f"{f}.png", "video_id": v, "frame_index": f}
                for v, f in sorted({(v, f) for v, f, _, _ in annotations})
            ],
            "annotations": [
                {"id": n, "image_id": 100 * v + f, "bbox": [100 + f, 50, 30.5, 40],
                 "track_id": track, "category_id": category}
                for n, (v, f, track, category) in enumerate(annotations)
            ],
        },
        indent=1,
    )  # fmt: skip


KWCOCO = kwcoco(
    [f"{VIDEO}.mp4", "another"],
    [(0, 10, 7, 1), (0, 12, 7, 1), (0, 13, 7, 2), (0, 14, 7, 1), (0, 14, 7, 2), (0, 15, "b", 2),
     (1, 10, 7, 1), (0, 20, None, 1)],
)  # fmt: skip

EXPORTED_DIVE = json.dumps(
    {
        "version": 2,
        "tracks": {
            "1": {
                "id": 1, "confidencePairs": [["person", 1]],
                "attributes": {"activity": "none", "actor_id": "a b"},
                "features": [
                    {"frame": 3, "bounds": [1, 2, 30, 40], "interpolate": True},
                    {"frame": 9, "bounds": [7, 2, 30, 40], "interpolate": False},
                ],
            },
        },
        "groups": {
            "1": {
                "id": 1, "confidencePairs": [["walks", 1]], "attributes": {"activity_id": "w"},
                "members": {"1": {"ranges": [[3, 8]]}},
            }
        },
    },
    indent=1,
)  # fmt: skip

EXPORTED_KWCOCO = json.dumps(
    {
        "videos": [{"id": 1, "name": VIDEO}],
        "images": [{"id": n, "video_id": 1, "frame_index": n, "file_name": None} for n in (1, 2)],
        "tracks": [{"id": 1, "name": "a", "actor_id": "a", "type": "person"}],
        "categories": [{"id": 1, "name": "walks"}, {"id": 2, "name": "person", "activity": False}],
        "annotations": [
            {"id": 1, "image_id": 1, "track_id": 1, "category_id": 1, "activity_id": "w",
             "bbox": [0.2, 0, 0.7, 1], "ltrb": [0.2, 0, 0.9, 1]},
            {"id": 2, "image_id": 2, "track_id": 1, "category_id": 2, "bbox": [0, 0, 1, 1]},
        ],
    },
    indent=1,
)  # fmt: skip

REGIONS = "".join(
    f"- {{ regions: {{ id1: 12, ts0: {t}, poly0: [[4, 2], [{t}, 3], [6, 80]] }} }}\n"
    for t in range(10, 20)
)
INDEX = json.dumps({f"{VIDEO}.avi": {"framerate": 30.0, "selected": {"1": 1, "9009": 0}}})

ALL: list[tuple[str, Dialect, Mapping[str, str]]] = [
    *(("kpf", "", files) for files in KPF.values()),  # type: ignore[misc]
    *(("actev-json", dialect, {".json": text}) for dialect, text in ACTEV.items()),
    ("kpf", "", {**KITWARE, ".regions.yml": REGIONS}),
    ("actev-json", "", {".json": ACTEV["nist"], ".file-index.json": INDEX}),
    ("cuboids", "", {".json": CUBOIDS}),
    ("virat-text", "", VIRAT_TEXT),
    ("csv", "", CSV),
    ("cvat-xml", "", {".xml": CVAT}),
    ("cvat-xml", "", {".xml": CVAT_PROJECT}),
    ("dive", "", {".json": DIVE}),
    ("dive", "", {".csv": VIAME}),
    ("kwcoco", "", {".json": KWCOCO}),
    ("dive", "", {".json": EXPORTED_DIVE}),
    ("kwcoco", "", {".json": EXPORTED_KWCOCO}),
]
