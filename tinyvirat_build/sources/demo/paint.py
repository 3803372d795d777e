"""How people, vehicles and the ground look: drawn straight into Y, U and V.

Luma is drawn with anti-aliasing at a sixteenth of a pixel. Chroma is drawn without, since every
sample must stay at a level that the stamp can share (``stamp.COLOUR_STEP``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np

from tinyvirat_build.geometry.arrays import Bytes, Floats
from tinyvirat_build.sources.demo.stamp import COLOUR_STEP
from tinyvirat_build.sources.demo.world import (
    ENTER,
    EXIT,
    GESTURE,
    PARK,
    RUN,
    SQUASH,
    START,
    STOP,
    WALK,
    Person,
    Vehicle,
)

Colour = tuple[int, int, int]  # luma, steps of U, steps of V
Box = tuple[float, float, float, float]

_SKIN: Final = (165, -1, 1)
_BAG: Final = (235, -3, 1)
_TYRE: Final = (22, 0, 0)
_SHIFT: Final = 4


class Canvas:
    """A picture under work, and the extent of what was drawn since :meth:`begin`.

    ``y`` is (H, W); ``u`` and ``v`` are (H/2, W/2).
    """

    def __init__(self, y: Bytes, u: Bytes, v: Bytes) -> None:
        self.y, self.u, self.v = y, u, v
        self.begin()

    def begin(self) -> None:
        """Forget the extent."""
        self._points: list[Floats] = []
        self._radii: list[float] = []

    @property
    def extent(self) -> Box:
        """The box around everything drawn since :meth:`begin`, x1 y1 x2 y2 in whole pixels."""
        points = np.concatenate(self._points)
        reach = np.repeat(self._radii, [len(p) for p in self._points])[:, None]
        x1, y1 = np.floor((points - reach).min(0)).tolist()
        x2, y2 = np.ceil((points + reach).max(0)).tolist()
        return x1, y1, x2, y2

    def _cover(self, points: Floats, radius: float = 0.0) -> None:
        self._points.append(points)
        self._radii.append(radius)

    def polygon(self, points: Floats, colour: Colour, *, count: bool = True) -> None:
        """Fill a polygon, (n, 2)."""
        if count:
            self._cover(points)
        luma, u, v = colour
        fine = np.rint(points * 16).astype(np.int32)
        cv2.fillPoly(self.y, [fine], luma, cv2.LINE_AA, _SHIFT)
        coarse = np.rint(points * 8).astype(np.int32)
        cv2.fillPoly(self.u, [coarse], chroma(u), cv2.LINE_8, _SHIFT)
        cv2.fillPoly(self.v, [coarse], chroma(v), cv2.LINE_8, _SHIFT)

    def lines(self, points: Floats, width: float, colour: Colour) -> None:
        """Draw a line through points, (n, 2)."""
        self._cover(points, width / 2)
        luma, u, v = colour
        fine = np.rint(points * 16).astype(np.int32)
        thick, thin = max(1, round(width)), max(1, round(width / 2))
        cv2.polylines(self.y, [fine], False, luma, thick, cv2.LINE_AA, _SHIFT)
        coarse = np.rint(points * 8).astype(np.int32)
        cv2.polylines(self.u, [coarse], False, chroma(u), thin, cv2.LINE_8, _SHIFT)
        cv2.polylines(self.v, [coarse], False, chroma(v), thin, cv2.LINE_8, _SHIFT)

    def disc(self, centre: Floats, radius: float, colour: Colour, *, count: bool = True) -> None:
        """Fill a circle."""
        if count:
            self._cover(centre[None], radius)
        luma, u, v = colour
        x, y = (int(c) for c in np.rint(centre * 16))
        cv2.circle(self.y, (x, y), round(radius * 16), luma, -1, cv2.LINE_AA, _SHIFT)
        for plane, level in ((self.u, u), (self.v, v)):
            half = (x // 2, y // 2)
            cv2.circle(plane, half, round(radius * 8), chroma(level), -1, cv2.LINE_8, _SHIFT)

    def shade(self, centre: Floats, axes: tuple[float, float], angle: float = 0.0) -> None:
        """Darken an ellipse on the ground."""
        reach = int(max(axes)) + 2
        x, y = (int(c) for c in np.rint(centre))
        left, top = max(x - reach, 0), max(y - reach, 0)
        part = self.y[top : max(y + reach, 0), left : max(x + reach, 0)]
        if not part.size:
            return
        mask = np.zeros(part.shape, np.uint8)
        size = (max(1, round(axes[0])), max(1, round(axes[1])))
        cv2.ellipse(mask, (x - left, y - top), size, np.degrees(angle), 0, 360, 90, -1)
        part -= (part.astype(np.uint16) * mask >> 8).astype(np.uint8)


def chroma(step: int) -> int:
    """The chroma sample of a colour step, before the stamp."""
    return 128 + COLOUR_STEP * step


def paint_person(canvas: Canvas, person: Person, t: int) -> Box:
    """Draw a person as they are at frame ``t``; returns their box."""
    h, action, face = person.size[t], int(person.action[t]), person.facing[t]
    sunk = person.inside[t] if action in (ENTER, EXIT) else 0.0
    feet = np.array([person.x[t], person.y[t] - sunk * 0.16 * h])
    swing = np.sin(person.phase[t])
    canvas.shade(feet + [0.12 * h, 0], (0.24 * h, 0.08 * h))
    canvas.begin()
    shrink = 1 - 0.5 * sunk
    lean = face * (0.16 if action == RUN else 0.03 + 0.2 * sunk)

    def at(x: float, up: float) -> Floats:
        # The fixed 0.995 keeps a head's upper edge at the nominal height.
        raised: Floats = feet + np.array([face * x + lean * up, -up * shrink]) * (h * 0.995)
        return raised

    stride = {WALK: 0.20, RUN: 0.34}.get(action, 0.05)
    for sign in (-1, 1):
        step = swing * sign
        lift = max(0.0, np.cos(person.phase[t]) * sign)
        raised = {WALK: 0.05, RUN: 0.22}.get(action, 0.0) * lift
        x = stride * step if action in (WALK, RUN) else stride * sign
        knee = at(x * 0.55 + (0.10 if action == RUN else 0.04) * lift, 0.25 + raised * 0.5)
        canvas.lines(
            np.stack([at(0, 0.5), knee, at(x - raised * 0.6, 0.055 + raised)]),
            0.11 * h,
            person.trousers,
        )
    back = np.stack([at(-0.11, 0.47), at(0.11, 0.47), at(0.13, 0.83), at(-0.13, 0.83)])
    canvas.polygon(back, person.coat)
    _paint_arms(canvas, person, t, at, swing)
    head = at(0.02, 0.92)
    canvas.disc(head, 0.08 * h, _SKIN)
    canvas.disc(head - np.array([face * 0.012, 0.022]) * h, 0.06 * h, (35, 0, 0))
    return canvas.extent


def _paint_arms(
    canvas: Canvas, person: Person, t: int, at: Callable[[float, float], Floats], swing: float
) -> None:
    h, action = person.size[t], int(person.action[t])
    sleeve = (max(person.coat[0] - 25, 16), *person.coat[1:])
    for sign in (-1, 1):
        shoulder = at(0.08 * sign, 0.79)
        if action == GESTURE:
            wave = np.sin(t * 2 * np.pi / 14 + sign)
            joints = [shoulder, at(0.24 * sign, 0.86), at((0.28 + 0.1 * wave) * sign, 1.06)]
        elif action == RUN:
            joints = [shoulder, at(-0.2 * swing * sign, 0.62), at(-0.26 * swing * sign + 0.14, 0.7)]
        else:
            reach = 0.2 * swing if action == WALK else 0.02
            reach = 0.03 if person.carry[t] and sign > 0 else reach
            joints = [shoulder, at(0.11 * sign - 0.5 * reach * sign, 0.64)]
            joints.append(at(0.1 * sign - reach * sign, 0.48))
        canvas.lines(np.stack(joints), 0.075 * h, sleeve)
        if person.carry[t] and sign > 0:
            hand = joints[-1]
            size = np.array([[-0.16, 0], [0.16, 0], [0.16, 0.24], [-0.16, 0.24]]) * h
            canvas.polygon(hand + size, _BAG)


def _parts() -> dict[str, Floats]:
    """The parts of a vehicle as points (along, across, up), in its length, width and length."""
    side = [(-0.5, -0.46), (-0.47, -0.5), (0.45, -0.5), (0.5, -0.4)]
    base = side + [(a, -b) for a, b in reversed(side)]
    cabin = [(-0.36, -0.43), (0.16, -0.43), (0.16, 0.43), (-0.36, 0.43)]
    roof = [(-0.28, -0.36), (0.03, -0.36), (0.03, 0.36), (-0.28, 0.36)]

    def raised(points: list[tuple[float, float]], up: float) -> list[tuple[float, float, float]]:
        return [(a, b, up) for a, b in points]

    parts = {
        "body": raised(base, 0.05) + raised(base, 0.15),
        "deck": raised(base, 0.15),
        "glass": raised(cabin, 0.15) + raised(roof, 0.28),
        "windscreen": raised(cabin[1:3], 0.15) + raised(roof[2:0:-1], 0.28),
        "roof": raised(roof, 0.28),
        "wheels": raised([(a, b) for b in (-0.5, 0.5) for a in (-0.31, 0.31)], 0.07),
        "head lamps": raised([(0.48, -0.36), (0.48, 0.36)], 0.11),
        "tail lamps": raised([(-0.48, -0.36), (-0.48, 0.36)], 0.12),
        "indicators": raised([(a, b) for b in (-0.46, 0.46) for a in (-0.42, 0.42)], 0.16),
    }
    for k, side_of in enumerate((-1, 1)):
        door = [(0.14, 0.5 * side_of), (0.06, 0.92 * side_of)]
        parts[f"door {k}"] = raised(door, 0.06) + raised(door[::-1], 0.24)
    return {name: np.array(points) for name, points in parts.items()}


_PARTS: Final = _parts()
_ALL_PARTS: Final = np.concatenate(list(_PARTS.values()))
_ENDS: Final = np.cumsum([len(p) for p in _PARTS.values()])[:-1]


def paint_vehicle(canvas: Canvas, vehicle: Vehicle, t: int) -> Box:
    """Draw a vehicle as it is at frame ``t``; returns its box, without lights and exhaust."""
    length, heading, mode = vehicle.length, vehicle.heading[t], int(vehicle.mode[t])
    cos, sin = float(np.cos(heading)), float(np.sin(heading))
    place = np.array([vehicle.x[t], vehicle.y[t]])
    view = np.array([[cos, sin * SQUASH], [-0.42 * sin, 0.42 * cos * SQUASH], [0, -1]]) * length
    parts = dict(zip(_PARTS, np.split(place + _ALL_PARTS @ view, _ENDS), strict=True))
    luma, u, v = vehicle.paint
    near = int(cos >= 0)  # which side faces the viewer
    wheel, angle = 0.085 * length, vehicle.travelled[t] / (0.085 * length)

    canvas.shade(place + [0.03 * length, 0.02 * length], (0.5 * length, 0.24 * length))
    canvas.begin()
    for hub in parts["wheels"][2 - 2 * near : 4 - 2 * near]:
        canvas.disc(hub, wheel, _TYRE)
    canvas.polygon(_hull(parts["body"]), (int(luma * 0.7), u, v))
    canvas.polygon(parts["deck"], vehicle.paint)
    canvas.polygon(_hull(parts["glass"]), (45, 0, 0))
    canvas.polygon(parts["windscreen"], (175, 1, 0))
    canvas.polygon(parts["roof"], (min(int(luma * 1.08), 235), u, v))
    if abs(cos) > 0.35:
        spoke = np.array([np.cos(angle), np.sin(angle)]) * wheel * 0.8
        for hub in parts["wheels"][2 * near : 2 * near + 2]:
            canvas.disc(hub, wheel, _TYRE)
            canvas.lines(np.stack([hub - spoke, hub + spoke]), 0.05 * length, (200, 0, 0))
    if vehicle.door[t]:
        canvas.polygon(parts[f"door {near}"], vehicle.paint)
    box = canvas.extent
    if mode != PARK:
        _paint_lights(canvas, parts, vehicle, t, sin)
    return box


def _hull(points: Floats) -> Floats:
    hull: Floats = cv2.convexHull(points.astype(np.float32))[:, 0].astype(np.float64)
    return hull


def _paint_lights(
    canvas: Canvas, parts: dict[str, Floats], vehicle: Vehicle, t: int, toward: float
) -> None:
    """Lights, brakes, indicators and exhaust; ``toward`` is 1 for a vehicle that faces us."""
    length, mode, turn = vehicle.length, int(vehicle.mode[t]), int(vehicle.turn[t])
    if toward > -0.5:
        for lamp in parts["head lamps"]:
            canvas.disc(lamp, 0.035 * length, (245, -1, 0), count=False)
    if toward < 0.5:
        colour, radius = ((150, -1, 4), 0.065) if mode == STOP else ((70, 0, 2), 0.03)
        for lamp in parts["tail lamps"]:
            canvas.disc(lamp, radius * length, colour, count=False)
    if turn and t % 16 < 10:
        for lamp in parts["indicators"][2 if turn > 0 else 0 :][:2]:
            canvas.disc(lamp, 0.05 * length, (215, -4, 2), count=False)
    if mode == START:
        for k in range(3):
            age = (int(vehicle.since[t]) + 5 * k) % 15
            puff = parts["tail lamps"][1] - np.array([0, 0.02 * age * length])
            canvas.disc(puff, (0.035 + 0.005 * age) * length, (205, 0, 0), count=False)
