"""How people, vehicles and the ground look: drawn straight into Y, U and V.

Luma is drawn with anti-aliasing at a sixteenth of a pixel. Chroma is drawn without, since every
sample must stay at a level that the stamp can share (``stamp.COLOUR_STEP``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from tinyvirat_build.sources.demo.stamp import COLOUR_STEP, Plane
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

Points = npt.NDArray[np.float64]
Colour = tuple[int, int, int]  # luma, steps of U, steps of V
Box = tuple[float, float, float, float]
Place = Callable[[list[tuple[float, float]], float], Points]

_SKIN: Final = (165, -1, 1)
_BAG: Final = (235, -3, 1)
_SHIFT: Final = 4


class Canvas:
    """A picture under work, and the extent of what was drawn since :meth:`begin`.

    ``y`` is (H, W); ``u`` and ``v`` are (H/2, W/2).
    """

    def __init__(self, y: Plane, u: Plane, v: Plane) -> None:
        self.y, self.u, self.v = y, u, v
        self.begin()

    def begin(self) -> None:
        """Forget the extent."""
        self._low = np.array([np.inf, np.inf])
        self._high = -self._low

    @property
    def extent(self) -> Box:
        """The box around everything drawn since :meth:`begin`, x1 y1 x2 y2 in whole pixels."""
        x1, y1 = np.floor(self._low)
        x2, y2 = np.ceil(self._high)
        return float(x1), float(y1), float(x2), float(y2)

    def _cover(self, points: Points, radius: float = 0.0) -> None:
        self._low = np.minimum(self._low, points.min(0) - radius)
        self._high = np.maximum(self._high, points.max(0) + radius)

    def polygon(self, points: Points, colour: Colour, *, count: bool = True) -> None:
        """Fill a polygon, (n, 2)."""
        if count:
            self._cover(points)
        luma, u, v = colour
        fine = np.rint(points * 16).astype(np.int32)
        cv2.fillPoly(self.y, [fine], luma, cv2.LINE_AA, _SHIFT)
        coarse = np.rint(points * 8).astype(np.int32)
        cv2.fillPoly(self.u, [coarse], chroma(u), cv2.LINE_8, _SHIFT)
        cv2.fillPoly(self.v, [coarse], chroma(v), cv2.LINE_8, _SHIFT)

    def lines(self, points: Points, width: float, colour: Colour) -> None:
        """Draw a line through points, (n, 2)."""
        self._cover(points, width / 2)
        luma, u, v = colour
        fine = np.rint(points * 16).astype(np.int32)
        thick, thin = max(1, round(width)), max(1, round(width / 2))
        cv2.polylines(self.y, [fine], False, luma, thick, cv2.LINE_AA, _SHIFT)
        coarse = np.rint(points * 8).astype(np.int32)
        cv2.polylines(self.u, [coarse], False, chroma(u), thin, cv2.LINE_8, _SHIFT)
        cv2.polylines(self.v, [coarse], False, chroma(v), thin, cv2.LINE_8, _SHIFT)

    def disc(self, centre: Points, radius: float, colour: Colour, *, count: bool = True) -> None:
        """Fill a circle."""
        if count:
            self._cover(centre[None], radius)
        luma, u, v = colour
        x, y = (int(c) for c in np.rint(centre * 16))
        cv2.circle(self.y, (x, y), round(radius * 16), luma, -1, cv2.LINE_AA, _SHIFT)
        for plane, level in ((self.u, u), (self.v, v)):
            half = (x // 2, y // 2)
            cv2.circle(plane, half, round(radius * 8), chroma(level), -1, cv2.LINE_8, _SHIFT)

    def shade(self, centre: Points, axes: tuple[float, float], angle: float = 0.0) -> None:
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

    def at(x: float, up: float) -> Points:
        # The fixed 0.995 keeps a head's upper edge at the nominal height.
        return feet + np.array([face * x + lean * up, -up * shrink]) * h * 0.995

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
    canvas: Canvas, person: Person, t: int, at: Callable[[float, float], Points], swing: float
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


def paint_vehicle(canvas: Canvas, vehicle: Vehicle, t: int) -> Box:
    """Draw a vehicle as it is at frame ``t``; returns its box."""
    length, heading = vehicle.length, vehicle.heading[t]
    cos, sin = np.cos(heading), np.sin(heading)
    place = np.array([vehicle.x[t], vehicle.y[t]])

    def at(points: list[tuple[float, float]], up: float) -> Points:
        """Points of the vehicle, (along, across) in its length and width, raised by ``up``."""
        p = np.array(points) * [length, 0.42 * length]
        ground = np.stack([p @ [cos, -sin], p @ [sin, cos] * SQUASH - up * length], 1)
        return place + ground

    def around(points: list[tuple[float, float]], low: float, high: float, top: float) -> Points:
        shrunk = [(a * top, b * top) for a, b in points]
        both = np.concatenate([at(points, low), at(shrunk, high)]).astype(np.float32)
        return cv2.convexHull(both)[:, 0].astype(np.float64)

    luma, u, v = vehicle.paint
    base = [(-0.5, -0.46), (-0.47, -0.5), (0.45, -0.5), (0.5, -0.4)]
    base += [(a, -b) for a, b in reversed(base)]
    canvas.shade(place + [0.03 * length, 0.02 * length], (0.5 * length, 0.24 * length), 0)
    canvas.begin()
    near = 1.0 if cos >= 0 else -1.0  # the side that faces the viewer
    _paint_wheels(canvas, at, vehicle, t, near)
    canvas.polygon(around(base, 0.05, 0.15, 1.0), (int(luma * 0.7), u, v))
    canvas.polygon(at(base, 0.15), vehicle.paint)
    cabin = [(-0.36, -0.43), (0.16, -0.43), (0.16, 0.43), (-0.36, 0.43)]
    roof = [(-0.28, -0.36), (0.03, -0.36), (0.03, 0.36), (-0.28, 0.36)]
    glass = np.concatenate([at(cabin, 0.15), at(roof, 0.28)]).astype(np.float32)
    canvas.polygon(cv2.convexHull(glass)[:, 0].astype(np.float64), (45, 0, 0))
    canvas.polygon(np.concatenate([at(cabin[1:3], 0.15), at(roof[2:0:-1], 0.28)]), (175, 1, 0))
    canvas.polygon(at(roof, 0.28), (min(int(luma * 1.08), 235), u, v))
    _paint_wheels(canvas, at, vehicle, t, near, front=True)
    if vehicle.door[t]:
        door = [(0.14, 0.5 * near), (0.06, 0.92 * near)]
        canvas.polygon(np.concatenate([at(door, 0.06), at(door[::-1], 0.24)]), (luma, u, v))
    box = canvas.extent
    _paint_lights(canvas, at, vehicle, t)
    return box


def _paint_wheels(
    canvas: Canvas, at: Place, vehicle: Vehicle, t: int, near: float, front: bool = False
) -> None:
    length = vehicle.length
    radius = 0.085 * length
    angle = vehicle.travelled[t] / radius
    if front and abs(np.cos(vehicle.heading[t])) < 0.35:
        return
    for along in (-0.31, 0.31):
        hub = at([(along, (0.5 if front else -0.5) * near)], 0.07)[0]
        canvas.disc(hub, radius, (22, 0, 0))
        if front:
            spoke = np.array([np.cos(angle), np.sin(angle)]) * radius * 0.8
            canvas.lines(np.stack([hub - spoke, hub + spoke]), 0.05 * length, (200, 0, 0))


def _paint_lights(canvas: Canvas, at: Place, vehicle: Vehicle, t: int) -> None:
    """Lights, brakes, indicators and exhaust, which are no part of the box."""
    length, mode = vehicle.length, int(vehicle.mode[t])
    if mode == PARK:
        return
    toward = np.sin(vehicle.heading[t])
    for across in (-0.36, 0.36):
        if toward > -0.5:
            canvas.disc(at([(0.48, across)], 0.11)[0], 0.035 * length, (245, -1, 0), count=False)
        if toward < 0.5:
            lamp = at([(-0.48, across)], 0.12)[0]
            braking = mode == STOP
            colour = (150, -1, 4) if braking else (70, 0, 2)
            canvas.disc(lamp, (0.065 if braking else 0.03) * length, colour, count=False)
    turn = int(vehicle.turn[t])
    if turn and t % 16 < 10:
        for along in (-0.42, 0.42):
            lamp = at([(along, 0.46 * turn)], 0.16)[0]
            canvas.disc(lamp, 0.05 * length, (215, -4, 2), count=False)
    if mode == START:
        for k in range(3):
            age = (int(vehicle.since[t]) + 5 * k) % 15
            puff = at([(-0.46 - 0.006 * age, 0.25)], 0.08 + 0.02 * age)[0]
            canvas.disc(puff, (0.035 + 0.005 * age) * length, (205, 0, 0), count=False)
