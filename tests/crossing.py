"""What a team has that annotates its own cameras with CVAT: videos, and a project's export."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from formats.samples import cvat_box, cvat_track

SIZE, RATE, FRAMES = (320, 240), 10, 48
VIDEOS = [f"cam{camera}_day{day}" for day in range(1, 7) for camera in (1, 2)]
PEOPLE = ((20, 30, 2), (200, 40, 0), (40, 150, 2), (240, 160, 0))  # left, top, pixels a frame


def make(folder: Path) -> None:
    """Write ``annotations.xml`` and the videos: some people walk, others wait."""
    folder.mkdir()
    tracks = []
    for n, video in enumerate(VIDEOS):
        _film(folder / f"{video}.mp4", seed=n)
        for left, top, step in PEOPLE:
            key = str(len(tracks))
            does = {"action": "walks" if step else "waits"}
            boxes = [
                cvat_box(frame, does, xtl=x, ytl=top, xbr=x + 30, ybr=top + 60)
                for frame in (0, FRAMES - 1)
                for x in [left + step * frame]
            ]
            tracks.append(cvat_track(key, *boxes).replace("<track ", f'<track task_id="{n}" '))
    tasks = "".join(
        f"<task><id>{n}</id><name>{video}</name><source>{video}.mp4</source></task>\n"
        for n, video in enumerate(VIDEOS)
    )
    (folder / "annotations.xml").write_text(
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n<meta>'
        f"<project><id>7</id><name>crossing</name><tasks>\n{tasks}</tasks><labels><label>"
        "<name>person</name><attributes><attribute><name>action</name><mutable>True</mutable>"
        "<input_type>select</input_type><default_value>none</default_value>"
        "<values>none\nwalks\nwaits</values></attribute></attributes></label></labels>"
        f"</project></meta>\n{''.join(tracks)}</annotations>\n"
    )


def _film(path: Path, seed: int) -> None:
    width, height = SIZE
    ground = np.random.default_rng(seed).integers(90, 140, (height, width, 3), np.uint8)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for n in range(FRAMES):
            picture = ground.copy()
            for left, top, step in PEOPLE:
                x = left + step * n
                picture[top : top + 60, x : x + 30] = (200, 60 + 40 * (n // 2 % 2) * bool(step), 60)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
