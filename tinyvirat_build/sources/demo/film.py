"""From a scene to a video file: the ground, the sensor's noise, the stamp, H.264."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
import numpy.typing as npt

from tinyvirat_build.geometry.arrays import Bytes, Floats
from tinyvirat_build.sources.demo.paint import Canvas, chroma, paint_person, paint_vehicle
from tinyvirat_build.sources.demo.stamp import write_stamp
from tinyvirat_build.sources.demo.world import SQUASH, Loop, Person, Scene

_NOISE: Final = 1.6  # standard deviation of the sensor, levels of luma
_QP: Final = 21  # with chroma 12 finer, no sample's code is lost (at 23 the first ones are)


def shoot(scene: Scene, path: Path, rng: np.random.Generator) -> Floats:
    """Paint and encode every frame of a scene.

    Returns:
        The actors' boxes, (actors, T, 4) in pixels, not clipped to the picture; NaN where the
        actor is not there.
    """
    camera = scene.take.camera
    w, h = camera.width, camera.height
    ground = _ground(scene, rng)
    boxes = np.full((len(scene.actors), scene.take.frames, 4), np.nan)
    noise = [
        np.clip(np.rint(sign * grain), 0, 255).astype(np.uint8)
        for grain in [rng.normal(0, _NOISE, (h + 64, w + 64)).astype(np.float32)]
        for sign in (1, -1)
    ]
    shifts = rng.integers(0, 64, (scene.take.frames, 2))
    half = (h // 2) * (w // 2)
    picture = np.empty(h * w + 2 * half, np.uint8)
    y, u, v = np.split(picture, [h * w, h * w + half])
    canvas = Canvas(y.reshape(h, w), u.reshape(h // 2, w // 2), v.reshape(h // 2, w // 2))
    container = av.open(str(path), "w", options={"fflags": "+bitexact"})
    with container:
        stream = _stream(container, scene)
        for t in range(scene.take.frames):
            for plane, still in zip((canvas.y, canvas.u, canvas.v), ground, strict=True):
                plane[:] = still
            _paint_actors(canvas, scene, t, boxes)
            i, j = shifts[t]
            cv2.add(canvas.y, noise[0][i : i + h, j : j + w], dst=canvas.y)
            cv2.subtract(canvas.y, noise[1][i : i + h, j : j + w], dst=canvas.y)
            write_stamp(canvas.u, canvas.v, t)
            frame = av.VideoFrame.from_ndarray(picture.reshape(h * 3 // 2, w), format="yuv420p")
            frame.pts, frame.time_base = t, 1 / Fraction(camera.fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return boxes


def _stream(container: av.container.OutputContainer, scene: Scene) -> av.VideoStream:
    camera = scene.take.camera
    stream = container.add_stream("libx264", rate=Fraction(camera.fps))
    stream.width, stream.height, stream.pix_fmt = camera.width, camera.height, "yuv420p"
    stream.codec_context.thread_count = 1  # more threads, other bytes
    stream.codec_context.time_base = 1 / Fraction(camera.fps)
    params = f"chroma-qp-offset=-12:ipratio=1.0:pbratio=1.0:keyint=48:bframes={camera.b_frames}"
    stream.options = {"preset": "ultrafast", "qp": str(_QP), "x264-params": params}
    return stream


def _paint_actors(canvas: Canvas, scene: Scene, t: int, boxes: Floats) -> None:
    """Draw the actors of a frame from back to front and note their boxes."""
    for number in sorted(range(len(scene.actors)), key=lambda k: scene.actors[k].y[t]):
        actor = scene.actors[number]
        if isinstance(actor, Person):
            if actor.action[t]:
                boxes[number, t] = paint_person(canvas, actor, t)
        else:
            boxes[number, t] = paint_vehicle(canvas, actor, t)


def _ground(scene: Scene, rng: np.random.Generator) -> tuple[Bytes, Bytes, Bytes]:
    """The empty scene: a wall with windows, pavement, roads with kerbs, lawns."""
    camera = scene.take.camera
    w, h, horizon = camera.width, camera.height, scene.horizon
    planes = [np.full((h, w), 128, np.uint8)] + [
        np.full((h // 2, w // 2), chroma(0), np.uint8) for _ in range(2)
    ]
    canvas = Canvas(planes[0], planes[1], planes[2])
    _pave(canvas, scene)
    _wall(canvas, scene, rng)
    for loop in scene.loops:
        _road(canvas, loop)
    fine = rng.normal(0, 1, (h, w)).astype(np.float32)
    texture: npt.NDArray[np.float32] = np.float32(5) * cv2.GaussianBlur(fine, (0, 0), 0.8)
    for cell, strength in ((6, 5), (28, 5), (110, 7)):
        small = rng.normal(0, 1, (2 + 2 * h // cell, 2 + w // cell)).astype(np.float32)
        texture += strength * cv2.resize(small, (w, h), interpolation=cv2.INTER_CUBIC)
    texture[:horizon] /= 2
    canvas.y[:] = np.clip(canvas.y + texture, 16, 235).astype(np.uint8)
    return canvas.y, canvas.u, canvas.v


def _pave(canvas: Canvas, scene: Scene) -> None:
    """Joints between slabs, converging towards a point above the picture."""
    camera, horizon = scene.take.camera, scene.horizon
    w, h = camera.width, camera.height
    vanishing = np.array([w / 2, horizon - 1.2 * h])
    for x in np.arange(-w, 2 * w, camera.near * 0.9):
        foot = np.array([x, h])
        top = vanishing + (foot - vanishing) * (horizon - vanishing[1]) / (h - vanishing[1])
        canvas.lines(np.stack([top, foot]), 1, (108, 0, 0))
    y = float(horizon)
    while y < h:
        canvas.lines(np.array([[0, y], [w, y]]), 1, (108, 0, 0))
        y += 0.5 * scene.person_height(y)


def _wall(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> None:
    w, horizon = scene.take.camera.width, scene.horizon
    canvas.polygon(np.array([[0, 0], [w, 0], [w, horizon], [0, horizon]]), (150, -1, 1))
    for y in range(0, horizon, 5):
        canvas.lines(np.array([[0, y], [w, y]]), 1, (138, -1, 1))
    step = max(2.0 * horizon / 3, 24.0)
    for x in np.arange(step * 0.3, w, step):
        lit = (190, -1, 0) if rng.random() < 0.25 else (58, 1, 0)
        box = np.array([[0, 0.2], [0.5, 0.2], [0.5, 0.72], [0, 0.72]]) * [step, horizon]
        canvas.polygon(box * 1.0 + [x - 2, -1], (205, 0, 0))
        canvas.polygon(box * [0.9, 0.95] + [x, 2], lit)
    edge = np.array([[0, horizon - 3], [w, horizon - 3], [w, horizon], [0, horizon]])
    canvas.polygon(edge, (85, 0, 0))


def _road(canvas: Canvas, loop: Loop) -> None:
    """Asphalt between two kerbs of black and white stones, around a lawn."""
    _, x, y, heading = loop.path[:, ::8]
    across = np.stack([-np.sin(heading), np.cos(heading) * SQUASH], 1) * loop.direction
    middle = np.stack([x, y], 1)
    reach = 0.36 * loop.length
    canvas.polygon(middle - across * reach, (92, 0, 0))
    inner = middle + across * reach
    canvas.polygon(inner, (112, -1, -1))
    stones = max(8, int(loop.round / (0.16 * loop.length)) // 2 * 2)
    width = max(1.5, 0.045 * loop.length)
    for edge in (middle - across * reach, inner):
        for k, stone in enumerate(np.array_split(np.arange(len(edge)), stones)):
            ends = edge[np.append(stone, (stone[-1] + 1) % len(edge))]
            canvas.lines(ends, width, (215, 0, 0) if k % 2 else (45, 0, 0))
