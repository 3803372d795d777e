"""What happens before the cameras: vehicles on their roads, people on foot, and who enters what.

The world is simulated frame by frame from a seed: positions, headings and poses as arrays over
time, and the activities that follow from them. Lengths are pixels of the picture; the ground is
seen at an angle, so that its depth is shortened by ``SQUASH``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from tinyvirat_build.geometry.arrays import Bools, Floats, Ints
from tinyvirat_build.sources.demo.cameras import Take

SQUASH: Final = 0.55  # depth of the ground over its width
HORIZON: Final = 0.16  # of the picture's height
VEHICLE_LENGTH: Final = 2.3  # in heights of a person

STAND, WALK, RUN, GESTURE, ENTER, EXIT = range(1, 7)  # what a person does; 0 is not there
PARK, START, CRUISE, STOP = range(4)  # what a vehicle does

_PERSON_NAMES: Final = {
    STAND: "activity_standing",
    WALK: "activity_walking",
    RUN: "activity_running",
    GESTURE: "activity_gesturing",
}
_SPEED: Final = {WALK: 0.032, RUN: 0.085}  # heights of a person per frame
_CADENCE: Final = {WALK: 2 * np.pi / 28, RUN: 2 * np.pi / 15}  # a gait's phase per frame
_DURATION: Final = {STAND: (50, 90), WALK: (55, 110), RUN: (45, 80), GESTURE: (45, 75)}
_LEAST_EVENT: Final = 8  # frames; annotators leave out what is shorter


@dataclass(frozen=True, slots=True)
class Event:
    """An activity: frames ``[start, end)`` and the indices of its actors in the scene."""

    name: str
    start: int
    end: int
    actors: tuple[int, ...]


@dataclass(slots=True)
class Person:
    """A person over ``frames`` frames; every array is (T,)."""

    frames: int
    home: tuple[float, float, float]  # from x to x, at y
    coat: tuple[int, int, int]
    trousers: tuple[int, int, int]
    x: Floats = field(init=False)
    y: Floats = field(init=False)
    size: Floats = field(init=False)  # height, pixels
    facing: Floats = field(init=False)  # 1 to the right, -1 to the left
    phase: Floats = field(init=False)  # of the gait
    inside: Floats = field(init=False)  # 0 outside the vehicle … 1 inside
    action: Ints = field(init=False)
    carry: Bools = field(init=False)

    def __post_init__(self) -> None:
        self.x, self.y, self.size, self.phase, self.inside = np.zeros((5, self.frames))
        self.facing = np.ones(self.frames)
        self.action = np.zeros(self.frames, np.int64)
        self.carry = np.zeros(self.frames, bool)


@dataclass(slots=True)
class Vehicle:
    """A vehicle over ``frames`` frames; every array is (T,)."""

    frames: int
    length: float
    paint: tuple[int, int, int]
    x: Floats = field(init=False)
    y: Floats = field(init=False)
    heading: Floats = field(init=False)  # radians; 0 to the right, pi / 2 towards the viewer
    travelled: Floats = field(init=False)
    mode: Ints = field(init=False)
    since: Ints = field(init=False)  # frames in this mode
    turn: Ints = field(init=False)  # 1 right, -1 left
    door: Bools = field(init=False)  # open

    def __post_init__(self) -> None:
        self.x, self.y, self.heading, self.travelled = np.zeros((4, self.frames))
        self.mode, self.since, self.turn = np.zeros((3, self.frames), np.int64)
        self.door = np.zeros(self.frames, bool)


@dataclass(frozen=True, slots=True)
class Loop:
    """A road around a lawn: a rectangle with round corners, driven one way."""

    centre: tuple[float, float]
    path: Floats  # (4, S): distance, x, y, heading along one round, from the upper straight on
    corner: Bools  # (S,)
    straight: float  # length of the upper and of the lower straight
    length: float  # of a vehicle here
    direction: int  # 1 clockwise, turning right; -1 turning left

    @property
    def round(self) -> float:
        """The length of one round."""
        return float(self.path[0, -1])

    def at(self, s: float) -> tuple[float, float, float, bool]:
        """Place and heading after a distance: x, y, heading, whether in a corner."""
        s %= self.round
        i = min(int(s / self.round * (self.corner.size - 1)), self.corner.size - 1)
        x, y, heading = (float(v) for v in self.path[1:, i])
        return x, y, heading, bool(self.corner[i])


@dataclass(slots=True)
class Scene:
    """A video's world: what there is, and what happens."""

    take: Take
    horizon: int
    loops: list[Loop]
    actors: list[Person | Vehicle] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def person_height(self, y: float) -> float:
        """How tall a person whose feet are at ``y`` appears, pixels."""
        camera = self.take.camera
        depth = (y - self.horizon) / (camera.height - self.horizon)
        return camera.far + (camera.near - camera.far) * depth


def build(take: Take, rng: np.random.Generator) -> Scene:
    """Simulate one video."""
    camera = take.camera
    scene = Scene(take, int(camera.height * HORIZON), [])
    bands = _lay_out(scene, rng)
    if "empty" in take.quirks:
        return scene
    for loop in scene.loops:
        vehicle, entries = _drive(loop, take.frames, rng)
        scene.actors.append(vehicle)
        number = len(scene.actors) - 1
        scene.events += _vehicle_events(vehicle, number)
        for start, end, leaves in entries:
            _board(scene, number, start, end, leaves, rng)
    for k in range(camera.strollers):
        y = bands[k % len(bands)] + rng.uniform(-0.1, 0.1) * scene.person_height(camera.height)
        beyond = 0.12 * scene.person_height(y)  # the picture's edge, where boxes leave it
        width = min(camera.width + 2 * beyond, 12 * scene.person_height(y))
        left = -beyond + rng.random() * (camera.width + 2 * beyond - width)
        _stroll(scene, (left, left + width, y), rng)
    if not scene.loops:
        _bystander(scene, camera.width * 0.12, 128.0, rng)  # the largest window that is kept
        _bystander(scene, camera.width - 4.0, 70.0, rng)  # half of them outside the picture
    scene.events.sort(key=lambda e: (e.start, e.end, e.name, e.actors))
    return scene


def _lay_out(scene: Scene, rng: np.random.Generator) -> list[float]:
    """Place roads between bands of pavement; returns the bands' y."""
    camera = scene.take.camera
    weights = np.array([0.55 if k % 2 == 0 else 2.3 for k in range(2 * camera.rows + 1)])
    if not camera.rows:
        weights = np.array([0.6, 0.4, 0.45, 0.15])
    near = np.linspace(camera.far, camera.near, len(weights)) / camera.near
    edges = np.cumsum(np.concatenate([[0], weights * (0.5 + near)]))
    edges = scene.horizon + edges / edges[-1] * (camera.height - scene.horizon - 2)
    for row in range(camera.rows):
        top, bottom = edges[2 * row + 1], edges[2 * row + 2]
        for column in range(camera.columns):
            middle = (column + 0.5) * camera.width / camera.columns
            size = (camera.width / camera.columns, bottom - top)
            turns = 1 if (row + column + int(rng.integers(2))) % 2 else -1
            scene.loops.append(_loop(scene, (middle, (top + bottom) / 2), size, turns))
    if not camera.rows:
        return [float(e) for e in edges[1:]]
    return [float(0.35 * a + 0.65 * b) for a, b in zip(edges[0::2], edges[1::2], strict=True)]


def _loop(
    scene: Scene, centre: tuple[float, float], size: tuple[float, float], direction: int
) -> Loop:
    length = VEHICLE_LENGTH * scene.person_height(centre[1])
    half_x = size[0] / 2 - 0.62 * length
    half_z = (size[1] / 2 - 0.22 * length) / SQUASH
    length = min(length, half_x * 0.9, half_z)
    half_z = max(min(half_z, half_x), 0.75 * length)
    radius = min(0.7 * length, 0.5 * half_x, 0.66 * half_z)
    quarter = np.pi / 2 * radius
    parts = [2 * (half_x - radius), quarter, 2 * (half_z - radius), quarter] * 2
    ends = np.cumsum(parts)
    s = np.linspace(0, ends[-1], 4001)
    part = np.minimum(np.searchsorted(ends, s, side="right"), 7)
    into = (s - (ends - parts)[part]) / np.array(parts)[part]
    corner = part % 2 == 1
    heading = np.pi / 2 * (part // 2 + np.where(corner, into, 0))
    step = s[1]
    x = -half_x + radius + np.concatenate([[0], np.cumsum(np.cos(heading[:-1])) * step])
    z = -half_z + np.concatenate([[0], np.cumsum(np.sin(heading[:-1])) * step])
    if direction < 0:
        x, heading = -x, np.pi - heading
    path = np.stack([s, centre[0] + x, centre[1] + z * SQUASH, heading])
    return Loop(centre, path, corner, float(parts[0]), length, direction)


def _drive(
    loop: Loop, frames: int, rng: np.random.Generator
) -> tuple[Vehicle, list[tuple[int, int, bool]]]:
    """Drive round after round with stops; also when a person enters (or leaves) the vehicle."""
    n_start, n_stop = (int(rng.integers(38, 50)) for _ in range(2))
    fastest = min(0.055 * loop.length, 0.85 * loop.straight / ((n_start + n_stop) / 2))
    reach = fastest * (n_start + n_stop) / 2
    half = loop.round / 2
    vehicle = Vehicle(frames, loop.length * float(rng.uniform(0.85, 1.0)), _colour(rng, (60, 225)))
    entries: list[tuple[int, int, bool]] = []
    s, speed, since = 0.0, 0.0, 0
    goal = 0.0
    mode = PARK if rng.random() < 0.6 else CRUISE
    if mode == CRUISE:
        s, speed = float(rng.uniform(0, loop.round)), fastest * 0.6
        goal = half * (int(s / half) + 1) + float(rng.uniform(0, loop.straight - reach))
    wait = _wait(0, frames, entries, rng) if mode == PARK else 0
    for t in range(frames):
        x, y, heading, corner = loop.at(s)
        vehicle.x[t], vehicle.y[t], vehicle.heading[t] = x, y, heading
        vehicle.travelled[t], vehicle.mode[t], vehicle.since[t] = s, mode, since
        vehicle.turn[t] = loop.direction if corner and mode != PARK else 0
        since += 1
        if mode == START:
            speed = fastest * min(1.0, since / n_start)
        elif mode == CRUISE:
            cap = fastest * (0.62 if corner else 1.0)
            speed += float(np.clip(cap - speed, -0.08 * fastest, 0.05 * fastest))
        elif mode == STOP:
            speed = max(0.0, speed - fastest / n_stop)
        s += speed
        before = mode
        if mode == PARK and since >= wait:
            mode = START
        elif mode == START and since >= n_start:
            mode = CRUISE
            goal = half * (int(s / half) + (1 if rng.random() < 0.8 else 2))
            goal += float(rng.uniform(0, loop.straight - reach))
        elif mode == CRUISE and s >= goal:
            mode = STOP
        elif mode == STOP and speed <= 0:
            mode, wait = PARK, _wait(t, frames, entries, rng)
        since = since if mode == before else 0
    for start, end, _ in entries:
        vehicle.door[start - 4 : end + 2] = True
    return vehicle, entries


def _wait(
    t: int, frames: int, entries: list[tuple[int, int, bool]], rng: np.random.Generator
) -> int:
    """How long a vehicle stands; often long enough for somebody to get in, now and then out."""
    start, duration = t + int(rng.integers(12, 30)), int(rng.integers(44, 58))
    if rng.random() > 0.7 or start + duration + 8 > frames:
        return int(rng.integers(8, 30))
    entries.append((start, start + duration, bool(rng.random() < 0.07)))
    return start + duration - t + int(rng.integers(8, 20))


def _vehicle_events(vehicle: Vehicle, number: int) -> list[Event]:
    states = {
        "vehicle_moving": vehicle.mode != PARK,
        "vehicle_starts": vehicle.mode == START,
        "vehicle_stops": vehicle.mode == STOP,
        "vehicle_turns_left": vehicle.turn < 0,
        "vehicle_turns_right": vehicle.turn > 0,
    }
    return [Event(n, a, b, (number,)) for n, state in states.items() for a, b in _runs(state)]


def _new_person(frames: int, home: tuple[float, float, float], rng: np.random.Generator) -> Person:
    return Person(frames, home, _colour(rng, (40, 235)), _colour(rng, (25, 200), vivid=0.4))


def _stroll(scene: Scene, home: tuple[float, float, float], rng: np.random.Generator) -> None:
    person = _new_person(scene.take.frames, home, rng)
    _wander(person, scene, scene.take.frames, rng, (STAND, WALK, RUN, GESTURE))
    _add(scene, person)


def _wander(
    person: Person, scene: Scene, until: int, rng: np.random.Generator, may: Sequence[int]
) -> None:
    """Stand, walk, run and gesture one after the other, up to frame ``until``."""
    left, right, y = person.home
    size = scene.person_height(y)
    chance = np.array([{STAND: 0.22, WALK: 0.36, RUN: 0.26, GESTURE: 0.16}[a] for a in may])
    x, facing, phase, t = float(rng.uniform(left, right)), 1.0, float(rng.uniform(0, 6)), 0
    action = 0
    while t < until:
        rest = [k for k, a in enumerate(may) if a != action]
        action = may[int(rng.choice(rest, p=chance[rest] / chance[rest].sum()))]
        end = min(until, t + int(rng.integers(*_DURATION[action])))
        if action in _SPEED:
            facing = 1.0 if (x - left) / (right - left) < rng.random() else -1.0
        burden = action == WALK and rng.random() < 0.55
        lifted = t if rng.random() < 0.6 else t + int(rng.integers(16, 36))
        for now in range(t, end):
            speed = _SPEED.get(action, 0.0) * size
            facing = -1.0 if x > right else 1.0 if x < left else facing
            x += facing * speed
            phase += _CADENCE.get(action, 0.0)
            person.x[now], person.facing[now], person.phase[now] = x, facing, phase
            person.action[now], person.carry[now] = action, burden and now >= lifted
        t = end
    person.y[:until], person.size[:until] = y, size


def _board(
    scene: Scene, number: int, start: int, end: int, leaves: bool, rng: np.random.Generator
) -> None:
    """Let somebody walk to a standing vehicle and get in, or get out and walk away."""
    vehicle = scene.actors[number]
    assert isinstance(vehicle, Vehicle)
    at = start
    side = vehicle.length * 0.21 * SQUASH
    x, y = float(vehicle.x[at]), float(vehicle.y[at]) + side + 1
    size = scene.person_height(y)
    reach = 0.6 * min(_SPEED[WALK] * start, 2.5) * size  # what a walk can cover until then
    home_y = y + min(size * rng.uniform(0.25, 0.6), reach * SQUASH)
    home = (x - reach - 1, x + reach + 1, min(home_y, scene.take.camera.height - 2))
    person = _new_person(scene.take.frames, home, rng)
    frames = scene.take.frames
    if leaves:
        t = np.arange(start, frames)
        person.x[start:] = x + np.maximum(t - end, 0) * _SPEED[WALK] * size
        person.y[start:], person.size[start:] = y, size
        person.inside[start:] = np.clip((end - t) / (end - start), 0, 1)
        person.phase[start:] = t * _CADENCE[WALK]
        gone = person.x[start:] > scene.take.camera.width
        person.action[start:] = np.where(t < end, EXIT, np.where(gone, 0, WALK))
    else:
        _wander(person, scene, start, rng, (STAND, WALK, GESTURE))
        _approach(person, start, (x, y, size))
        t = np.arange(start, end)
        person.x[start:end], person.y[start:end], person.size[start:end] = x, y, size
        person.facing[start:end] = person.facing[max(start - 1, 0)]
        person.inside[start:end] = (t - start) / (end - start)
        person.action[start:end] = ENTER
    _add(scene, person)
    name = "person_exits_vehicle" if leaves else "person_enters_vehicle"
    scene.events.append(Event(name, start, end, (len(scene.actors) - 1, number)))


def _approach(person: Person, start: int, door: tuple[float, float, float]) -> None:
    """Replace the last steps before ``start`` by a straight walk to the door."""
    x, y, size = door
    t = np.arange(start)
    needed = np.hypot(person.x[:start] - x, (person.y[:start] - y) / SQUASH) / (_SPEED[WALK] * size)
    soon = np.flatnonzero(t >= start - needed)
    if not soon.size:
        return
    go = int(soon[0])
    share = (np.arange(go, start) - go) / max(start - go, 1)
    x0, y0 = person.x[go], person.y[go]
    person.x[go:start] = x0 + (x - x0) * share
    person.y[go:start] = y0 + (y - y0) * share
    person.facing[go:start] = 1.0 if x >= x0 else -1.0
    person.action[go:start] = WALK
    person.phase[go:start] = person.phase[go] + np.arange(start - go) * _CADENCE[WALK]


def _bystander(scene: Scene, x: float, size: float, rng: np.random.Generator) -> None:
    """Somebody of a given height who stands still in the front."""
    person = _new_person(scene.take.frames, (x, x, 0), rng)
    even = scene.take.camera.height * 97 // 200 * 2
    person.x[:], person.y[:] = x, even - 0.2  # soles end on an even row, so that 128 stays 128
    person.size[:], person.action[:] = size, STAND
    _add(scene, person)


def _add(scene: Scene, person: Person) -> None:
    scene.actors.append(person)
    number = len(scene.actors) - 1
    for action, name in _PERSON_NAMES.items():
        for a, b in _runs(person.action == action):
            scene.events.append(Event(name, a, b, (number,)))
    for a, b in _runs(person.carry & (person.action == WALK)):
        scene.events.append(Event("activity_carrying", a, b, (number,)))


def _runs(state: Bools) -> list[tuple[int, int]]:
    """The runs of True of some length, half-open.

    >>> _runs(np.array([1] * 9 + [0, 1, 1], bool))
    [(0, 9)]
    """
    change = np.flatnonzero(np.diff(np.concatenate([[0], state.view(np.int8), [0]])))
    pairs = change.reshape(-1, 2)
    return [(a, b) for a, b in pairs.tolist() if b - a >= _LEAST_EVENT]


def _colour(
    rng: np.random.Generator, luma: tuple[int, int], vivid: float = 0.8
) -> tuple[int, int, int]:
    """Luma and two steps of chroma, away from the ground's own grey."""
    y = int(rng.integers(*luma))
    y = y - 45 if 85 < y < 130 else y
    if rng.random() > vivid:
        return y, 0, 0
    u, v = ((2, -1), (-1, 2), (-1, -1), (1, 1), (-2, 1), (1, -1))[int(rng.integers(6))]
    return y, u, v
