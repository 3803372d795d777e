"""Independent slow readers: PyYAML and json only, one record at a time, no checks."""

from __future__ import annotations

import gc
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Box = tuple[float, float, float, float]


@dataclass
class Found:
    """Activities by id: (name, start, end exclusive, actors); boxes by (actor, frame)."""

    activities: dict[str, tuple[str, int, int, tuple[str, ...]]] = field(default_factory=dict)
    empty: int = 0
    records: int = 0
    boxes: dict[tuple[str, int], Box] = field(default_factory=dict)
    keyframes: set[tuple[str, int]] = field(default_factory=set)
    types: dict[str, str] = field(default_factory=dict)


def kpf(files: list[Path]) -> Found:
    found = Found()
    for path in files:
        records = _all_of(path)
        for record in records:
            for kind, body in record.items():
                _KPF[kind](found, body)
    return found


def _all_of(path: Path) -> list[dict[str, Any]]:
    gc.disable()  # a search for garbage among millions of new nodes takes half of the time
    try:
        return yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader) or []
    finally:
        gc.enable()


def _act(found: Found, a: dict[str, Any]) -> None:
    found.records += 1
    names = list(a.get("act2", a.get("act3")))
    if names == ["empty_37"]:
        found.empty += 1
        return
    ((start, last),) = [t["tsr0"] for t in a["timespan"]]
    actors = tuple(str(actor["id1"]) for actor in a["actors"])
    found.activities[str(a["id2"])] = (names[0], start, last + 1, actors)


def _geom(found: Found, g: dict[str, Any]) -> None:
    x1, y1, x2, y2 = map(float, g["g0"].split())
    key = (str(g["id1"]), g["ts0"])
    assert key not in found.boxes
    found.boxes[key] = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
    if g.get("keyframe"):
        found.keyframes.add(key)


def _types(found: Found, t: dict[str, Any]) -> None:
    (name,) = t["cset3"]
    found.types[str(t["id1"])] = str(name).lower().replace("null", "")


_KPF = {"act": _act, "geom": _geom, "types": _types, "meta": lambda found, meta: None}


def actev(path: Path, dialect: str) -> Found:
    """Boxes are keyed by (activity, object, frame), since object ids are not unique."""
    found = Found()
    base = 1 if dialect == "nist" else 0
    for a in json.loads(path.read_text())["activities"]:
        found.records += 1
        activity = str(a["activityID"])
        (span,) = a["localization"].values()
        on, off = min(map(int, span)), max(map(int, span))
        end = off + 1 if dialect == "inclusive" else off
        found.activities[activity] = (a["activity"], on - base, max(end, on + 1) - base, ())
        for o in a["objects"]:
            for signal in o["localization"].values():
                keys = sorted(map(int, signal))
                for key, after in zip(keys, [*keys[1:], keys[-1] + 1], strict=True):
                    box = signal[str(key)].get("boundingBox")
                    for frame in range(key, after) if box else ():
                        x, y, w, h = (box[k] for k in "xywh")
                        name = f"{activity}/{o['objectID']}"
                        found.boxes[name, frame - base] = (x, y, x + w, y + h)
    return found
