"""The rules of merge, segment, chunk and crop, frame by frame: slow and obvious.

Written from docs/semantics.md alone, with dicts, sets and fractions; it shares no code with the
package. A world is one video: its activities and, per actor, a box for each frame.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Activity:
    id: str
    start: int
    end: int
    actors: tuple[str, ...]
    labels: tuple[str, ...]
    name: str = "acts"


@dataclass(frozen=True)
class World:
    activities: tuple[Activity, ...]  # in file order
    boxes: dict[str, dict[int, Box]]  # actor -> frame -> box
    picture: tuple[int, int]
    video_id: str = "v"


def union(boxes: list[Box]) -> Box | None:
    if not boxes:
        return None
    x1, y1, x2, y2 = zip(*boxes, strict=True)
    return min(x1), min(y1), max(x2), max(y2)


def box_at(world: World, activity: Activity, t: int) -> Box | None:
    if not activity.start <= t < activity.end:
        return None
    return union([world.boxes[a][t] for a in activity.actors if t in world.boxes.get(a, {})])


def meet(a: Box, b: Box) -> Box | None:
    x1, y1, x2, y2 = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def area(box: Box | None) -> Fraction:
    if box is None:
        return Fraction(0)
    return Fraction(box[2] - box[0]) * Fraction(box[3] - box[1])


# merge


def overlaps(a: Box, b: Box, measure: str, threshold: float) -> bool:
    both = area(meet(a, b))
    whole = min(area(a), area(b)) if measure == "iomin" else area(a) + area(b) - both
    return both > 0 and both / whole >= Fraction(str(threshold))


def runs(frames: set[int]) -> list[tuple[int, int]]:
    found = []
    for t in sorted(frames):
        if t - 1 not in frames:
            found.append((t, min(u for u in range(t, t + len(frames) + 1) if u not in frames)))
    return found


def smooth(touching: set[int], common: set[int], bridge: int) -> set[int]:
    kept: set[int] = set()
    for first, last in runs(common):
        here = {t for t in touching if first <= t < last}
        for (_, end), (start, _) in pairwise(runs(here)):
            if start - end < bridge:
                here |= set(range(end, start))
        for start, end in runs(here):
            if end - start >= bridge or start == first or end == last:
                kept |= set(range(start, end))
    return kept


def components(world: World, settings: Any) -> dict[int, list[frozenset[str]]]:
    """Frame -> its connected components of activity ids."""
    part = [a for a in world.activities if a.labels or settings.unmapped == "include"]
    boxes = {
        a.id: {t: b for t in range(a.start, a.end) if (b := box_at(world, a, t))} for a in part
    }
    touch: dict[tuple[str, str], set[int]] = {}
    for i, a in enumerate(part):
        for b in part[i + 1 :]:
            common = boxes[a.id].keys() & boxes[b.id].keys()
            if set(a.actors) & set(b.actors):
                touch[a.id, b.id] = common
                continue
            raw = {
                t
                for t in common
                if overlaps(boxes[a.id][t], boxes[b.id][t], settings.measure, settings.threshold)
            }
            if settings.touch == "overlap_or_actor":
                touch[a.id, b.id] = smooth(raw, common, settings.bridge)
    found: dict[int, list[frozenset[str]]] = {}
    for t in sorted({t for own in boxes.values() for t in own}):
        groups = [{i} for i in boxes if t in boxes[i]]
        for (a, b), when in touch.items():
            if t in when:
                one = next(g for g in groups if a in g)
                other = next(g for g in groups if b in g)
                if one is not other:
                    groups.remove(other)
                    one |= other
        found[t] = [frozenset(g) for g in groups]
    return found


def tracks(world: World, settings: Any) -> list[tuple[int, int, tuple[str, ...]]]:
    if settings.unit == "activity":
        part = [a for a in world.activities if a.labels or settings.unmapped == "include"]
        return [(a.start, a.end, (a.id,)) for a in part]
    at = components(world, settings)
    found = []
    for members in {c for groups in at.values() for c in groups}:
        frames = {t for t, groups in at.items() if members in groups}
        found += [(start, end, tuple(sorted(members))) for start, end in runs(frames)]
    return sorted(found)


# segment


def labels_of(world: World, members: Any, classes: tuple[str, ...]) -> tuple[str, ...]:
    have = {name for a in world.activities if a.id in members for name in a.labels}
    return tuple(c for c in classes if c in have)


def segments(
    world: World, settings: Any, classes: tuple[str, ...]
) -> list[tuple[int, int, tuple[str, ...], dict[int, frozenset[str]]]]:
    """(start, end, labels, frame -> members), one a segment."""
    if settings.unit == "activity":
        return [
            (s, e, labels_of(world, m, classes), dict.fromkeys(range(s, e), frozenset(m)))
            for s, e, m in tracks(world, settings)
        ]
    at = components(world, settings)
    chains: list[dict[int, frozenset[str]]] = []
    chain_of: dict[tuple[int, frozenset[str]], dict[int, frozenset[str]]] = {}
    for t, groups in at.items():
        earlier = at.get(t - 1, [])
        for members in groups:
            before = [c for c in earlier if c & members]
            chain: dict[int, frozenset[str]] = {}
            if len(before) == 1 and [c for c in groups if c & before[0]] == [members]:
                same = labels_of(world, before[0], classes) == labels_of(world, members, classes)
                chain = chain_of[t - 1, before[0]] if same else chain
            if not chain:
                chains.append(chain)
            chain[t] = members
            chain_of[t, members] = chain
    return [(min(c), max(c) + 1, labels_of(world, c[min(c)], classes), c) for c in chains]


# chunk


def length_of(k: int, settings: Any, seed: list[object]) -> int:
    """The length of the chunk number ``k``."""
    if not settings.lengths:
        return int(settings.length)
    low, high = settings.lengths
    text = "\x1f".join([*map(str, seed), str(k)])
    return int(low + int(hashlib.sha256(text.encode()).hexdigest()[:16], 16) % (high - low + 1))


def spans(n: int, settings: Any, seed: list[object]) -> list[tuple[int, int]]:
    """The chunks of a segment of ``n`` frames."""
    if settings.remainder == "balance":
        return balanced(n, settings, seed)
    longest = settings.lengths[1] if settings.lengths else settings.length
    found: list[tuple[int, int]] = []
    at = 0
    while not found or found[-1][1] < n:
        length = length_of(len(found), settings, seed)
        if settings.remainder == "whole" and n - at <= longest:
            length = n - at
        if at + length > n:
            break
        found.append((at, at + length))
        at += length - settings.overlap
    rest = found[-1][1] if found else 0
    if settings.remainder == "keep" and rest < n:
        found.append((at, n))
    if settings.remainder == "merge" and rest < n:
        found[-1:] = [(found[-1][0], n)] if found else [(0, n)]
    return found


def balanced(n: int, settings: Any, seed: list[object]) -> list[tuple[int, int]]:
    """All frames, in parts that are steps to the next part and what it shares with it."""
    shared = settings.overlap
    if n <= shared:
        return [(0, n)]
    least, most = settings.lengths or (settings.length, settings.length)
    n, least, most = n - shared, least - shared, most - shared
    drawn: list[int] = []
    while sum(drawn) < n:
        drawn.append(length_of(len(drawn), settings, seed) - shared)
    k = len(drawn)
    if settings.lengths:
        while k * least > n and (k - 1) * most >= n:
            k -= 1
    drawn = drawn[:k]
    cuts = [i * n // k for i in range(k + 1)]
    if settings.lengths and n > k * least and sum(drawn) >= n:
        share = Fraction(n - k * least, sum(drawn) - k * least)
        cuts = [i * least + math.floor(share * (sum(drawn[:i]) - i * least)) for i in range(k + 1)]
    return [(low, high + shared) for low, high in pairwise(cuts)]


def chunks(
    world: World, merge: Any, chunk: Any, classes: tuple[str, ...]
) -> list[tuple[int, int, tuple[str, ...], dict[int, frozenset[str]], int]]:
    """As segments, but cut, and with their segment's number; short ones are left out."""
    found = []
    seen: list[tuple[int, list[str]]] = []
    for number, (start, end, labels, members) in enumerate(segments(world, merge, classes)):
        everyone = sorted(set().union(*members.values()))
        before = seen.count((end - start, everyone))
        seen.append((end - start, everyone))
        seed = [chunk.seed, "s", world.video_id, "a", end - start, before, *everyone]
        for low, high in spans(end - start, chunk, seed):
            if high - low >= chunk.min_frames:
                own = {t: members[t] for t in range(start + low, start + high)}
                found.append((start + low, start + high, labels, own, number))
    return found


# crop


def even_out(box: Box, margin: int) -> tuple[int, int, int, int]:
    return (
        2 * math.floor((box[0] - margin) / 2),
        2 * math.floor((box[1] - margin) / 2),
        2 * math.ceil((box[2] + margin) / 2),
        2 * math.ceil((box[3] + margin) / 2),
    )


def snap(side: float, settings: Any) -> float:
    even = settings.grid != "truncate"
    up = (lambda v: 2 * math.ceil(v / 2)) if even else (lambda v: v)
    side = max(side, up(settings.min_side))
    steps = [up(s) for s in settings.sides]
    fits = [s for s in steps if (s >= side if settings.snap == "at_least" else s > side)]
    return min(fits) if fits else side


def range_up(width: float) -> list[float]:
    """A width and wider ones, in steps of two."""
    return [width + 2 * i for i in range(100)]


def group_boxes(
    world: World, members: dict[int, frozenset[str]], clip: bool
) -> dict[int, Box | None]:
    """Frame -> the box of a component, or of the part of it inside the picture."""
    found: dict[int, Box | None] = {}
    for t, ids in members.items():
        cast = [
            name
            for a in world.activities
            if a.id in ids and a.start <= t < a.end
            for name in a.actors
        ]
        own = [world.boxes[name][t] for name in cast if t in world.boxes.get(name, {})]
        if clip:
            own = [meet(b, (0, 0, *world.picture)) for b in own]
        found[t] = union([b for b in own if b])
    return found


def clips(
    world: World, merge: Any, chunk: Any, crop: Any, classes: tuple[str, ...]
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The planned clips, and how many frames fell for each reason."""
    planned: list[dict[str, Any]] = []
    reasons = ("no_geometry", "too_large", "unlabelled", "short", "half_seen")
    lost: list[tuple[str, int, int, int]] = []  # why, segment, start, end
    kept: list[tuple[int, int, int]] = []
    split = crop.labels == "split"
    even = crop.grid != "truncate"
    whole = {
        (min(m), max(m), frozenset(m.values())): m for *_, m in segments(world, merge, classes)
    }
    for start, end, labels, members, number in chunks(world, merge, chunk, classes):
        boxes = group_boxes(world, members, even)
        known = [b for b in boxes.values() if b]
        if not known:
            lost.append(("no_geometry", number, start, end))
            continue
        measured = known
        if crop.scope == "segment":
            segment = next(
                m for m in whole.values() if all(m.get(t) == members[t] for t in members)
            )
            measured = [b for b in group_boxes(world, segment, even).values() if b]
        if crop.mode == "static":
            measured = [union(measured)]
        sides = sides_of(measured, crop)
        if crop.shape == "square":
            sides = [max(sides)] * 2
        sides = [snap(s, crop) for s in sides]
        sides[0] = min(s for s in range_up(sides[0]) if s not in crop.avoid_widths)
        if crop.shape == "square":
            sides = [sides[0]] * 2
        if max(sides) > crop.max_side:
            lost.append(("too_large", number, start, end))
            continue
        if even:
            corners, size = follow(boxes, sides, world.picture, crop)
            seen = {t: (x, y, x + size[0], y + size[1]) for t, (x, y) in corners.items()}
        else:
            corners, size, seen = truncated(boxes, union(known), sides, crop)
        if crop.labels == "window":
            also = {
                name
                for a in world.activities
                for t in members
                if (b := visible(world, a, t, even)) and meet(b, seen[t])
                for name in a.labels
            }
            labels = tuple(c for c in classes if c in also or c in labels)
        actor_side = max(max(b[2] - b[0], b[3] - b[1]) for b in known)
        pieces = [(start, end, labels, ())]
        if split:
            pieces = []
            for low, high, also, neighbours, brief in seen_apart(
                world, members, labels, seen, even, merge.bridge, crop.seen
            ):
                if high - low < chunk.min_frames:
                    lost.append(("short", number, low, high))
                elif brief:
                    lost.append(("half_seen", number, low, high))
                else:
                    pieces.append((low, high, tuple(c for c in classes if c in also), neighbours))
        for low, high, names, neighbours in pieces:
            if not names:
                lost.append(("unlabelled", number, low, high))
                continue
            kept.append((number, low, high))
            planned.append(
                {
                    "start": low,
                    "end": high,
                    "width": size[0],
                    "height": size[1],
                    "x": tuple(corners[t][0] for t in range(low, high)),
                    "y": tuple(corners[t][1] for t in range(low, high)),
                    "actor_side": actor_side,
                    "labels": names,
                    "activities": tuple(
                        sorted(set().union(*(members[t] for t in range(low, high))))
                    ),
                    "seen_activities": neighbours,
                }
            )
    return planned, {reason: counted(reason, reasons, kept, lost) for reason in reasons}


def counted(reason: str, reasons: Any, kept: Any, lost: Any) -> int:
    """How many frames of segments fell for a reason, each once, under the first that it has."""
    own = [span for why, *span in lost if why == reason]
    earlier = [span for why, *span in lost if reasons.index(why) < reasons.index(reason)]
    frames = [{(n, t) for n, low, high in part for t in range(low, high)}
              for part in (own, [*kept, *earlier])]  # fmt: skip
    return len(frames[0] - frames[1])


def sides_of(measured: list[Box], crop: Any) -> list[Any]:
    """Width and height of what the window has to hold."""
    if crop.grid == "even":
        measured = [even_out(b, crop.margin) for b in measured]
    more = 0 if crop.grid == "even" else 2 * crop.margin
    sides = [Fraction(max(b[axis + 2] - b[axis] for b in measured)) + more for axis in (0, 1)]
    if max(sides) < crop.enlarge_under:
        sides = [side * Fraction(str(crop.enlarge)) for side in sides]
    if crop.grid == "floor":
        return [2 * math.floor(side / 2) for side in sides]
    if crop.grid == "even":
        return [2 * math.ceil(side / 2) for side in sides]
    return [float(side) for side in sides]


def seen_apart(
    world: World, members: Any, own: Any, windows: Any, clip: bool, bridge: int, share: float
) -> list[tuple[int, int, set[str], tuple[str, ...], bool]]:
    """Parts of a clip by the labels seen: start, end, labels, neighbours, one seen too briefly."""
    times, ids = set(members), set().union(*members.values())
    shown: dict[str, set[int]] = {}
    for a in world.activities:
        if a.id not in ids and a.labels:
            for t in times:
                box = visible(world, a, t, clip)
                met = area(meet(box, windows[t])) if box else 0
                if met and met >= Fraction(share) * area(box):
                    shown.setdefault(a.id, set()).add(t)
    labels_of = {a.id: a.labels for a in world.activities}
    raw: dict[str, set[int]] = {}
    for name, frames in shown.items():
        for label in set(labels_of[name]) - set(own):
            raw.setdefault(label, set()).update(frames)
    kept = {label: smooth(frames, times, bridge) for label, frames in raw.items()}
    also = {t: frozenset(label for label in kept if t in kept[label]) for t in times}
    cut = [t for t in sorted(times) if t == min(times) or also[t] != also[t - 1]]
    found = []
    for low, high in zip(cut, [*cut[1:], max(times) + 1], strict=True):
        part = set(range(low, high))
        brief = any(2 * len(raw[label] & part) < len(part) for label in also[low])
        near = tuple(sorted(name for name, frames in shown.items() if frames & part))
        found.append((low, high, {*own, *also[low]}, near, brief))
    return found


def visible(world: World, activity: Activity, t: int, clip: bool) -> Box | None:
    box = box_at(world, activity, t)
    return meet(box, (0, 0, *world.picture)) if box and clip else box


def truncated(
    boxes: dict[int, Box | None], whole: Box, sides: list[float], crop: Any
) -> tuple[dict[int, tuple[int, int]], list[int], dict[int, Box]]:
    low, high, size = [], [], []
    for axis in (0, 1):
        centre = (Fraction(whole[axis]) + Fraction(whole[axis + 2])) / 2
        low.append(centre - Fraction(sides[axis]) / 2)
        high.append(centre + Fraction(sides[axis]) / 2)
        size.append(math.trunc(high[axis]) - math.trunc(low[axis]))
    if crop.shape == "square":
        size = [min(size)] * 2
    corner = (math.trunc(low[0]), math.trunc(low[1]))
    return dict.fromkeys(boxes, corner), size, dict.fromkeys(boxes, (*low, *high))


def follow(
    boxes: dict[int, Box | None], sides: list[float], picture: tuple[int, int], crop: Any
) -> tuple[dict[int, tuple[int, int]], list[int]]:
    frames = sorted(boxes)
    if crop.mode == "static":
        boxes = dict.fromkeys(frames, union([b for b in boxes.values() if b]))
    size = [int(s) for s in sides]
    found = {}
    for t in frames:
        near = [u for u in frames if t - (crop.smooth - 1) // 2 <= u <= t + crop.smooth // 2]
        corner = []
        for axis in (0, 1):
            centres = centre_line(boxes, axis)
            centre = sum(centres[u] for u in near) / len(near)
            corner.append(
                corner_on(axis, centre - Fraction(size[axis], 2), boxes[t], size, picture, crop)
            )
        found[t] = (corner[0], corner[1])
    return found, size


def centre_line(boxes: dict[int, Box | None], axis: int) -> dict[int, Fraction]:
    frames = sorted(boxes)
    known = [t for t in frames if boxes[t]]
    doubled = [round((boxes[t][axis] + boxes[t][axis + 2]) * 1024) for t in known]
    drawn = np.rint(np.interp(frames, known, doubled))
    return {t: Fraction(int(v), 2048) for t, v in zip(frames, drawn, strict=True)}


def corner_on(
    axis: int, wanted: Fraction, box: Box | None, size: list[int], picture: Any, crop: Any
) -> int:
    """The even corner nearest the wanted one that holds the box and stays in the picture."""
    room = picture[axis] - size[axis]
    below = 2 * math.floor(wanted / 2)
    down, up = wanted - below, below + 2 - wanted
    nearest = below if down < up else below + 2
    if down == up:
        nearest = below + 2 if wanted < Fraction(room, 2) else below
    inside = range(0, room + 1, 2) if room >= 0 else range(2 * math.ceil(room / 2), 1, 2)
    if box is None:
        return min(inside, key=lambda c: abs(c - nearest))
    wide = even_out(box, crop.margin)
    edge = 2 * math.ceil(picture[axis] / 2)
    low, high = max(wide[axis], 0), min(wide[axis + 2], edge)
    holds = range(high - size[axis], low + 1, 2)
    if not holds:  # crop.grid floor: it sticks out evenly
        middle = Fraction(box[axis] + box[axis + 2] - size[axis]) / 2
        under = 2 * math.floor(middle / 2)
        over = middle - under > 1 or (middle - under == 1 and under + 1 < Fraction(room, 2))
        return min(inside, key=lambda c: abs(c - under - 2 * over))
    both = [c for c in holds if c in inside]
    if both:
        return min(both, key=lambda c: abs(c - nearest))
    return min(holds, key=lambda c: min(abs(c - i) for i in inside))  # as little outside as can be
