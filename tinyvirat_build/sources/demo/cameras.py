"""The demo's videos: which camera films when, in which format it is annotated and encoded."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from typing import Final, Literal

from tinyvirat_build.sources.demo.stamp import MAX_FRAMES

Style = Literal["kitware", "training", "diva", "virat-text"]

_FRAMES: Final = 330
_FEWEST_FRAMES: Final = 40
_FEWEST_VIDEOS: Final = 3


@dataclass(frozen=True, slots=True)
class DemoCamera:
    """Where a camera stands: its picture (pixels, rate) and how large people appear in it."""

    name: str
    width: int
    height: int
    far: float  # height of a person at the horizon, pixels
    near: float  # and at the lower edge
    rows: int  # of roads, one behind the other
    columns: int
    strollers: int  # people beside those who will enter a vehicle
    fps: str = "30"
    suffix: str = ".r13.avi"
    b_frames: int = 0


@dataclass(frozen=True, slots=True)
class Take:
    """One video of the corpus."""

    video_id: str
    camera: DemoCamera
    style: Style
    group: str
    frames: int
    quirks: tuple[str, ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether the annotation is VIRAT Release 2.0 text and not KPF."""
        return self.style == "virat-text"

    @property
    def file(self) -> str:
        """The name of the video's file."""
        return self.video_id + self.camera.suffix


_CROSSING = DemoCamera("G901", 640, 360, 15, 30, rows=2, columns=3, strollers=5)
_PLAZA = DemoCamera("G902", 1280, 720, 30, 52, rows=2, columns=3, strollers=8)
_TOWER = DemoCamera("G903", 480, 854, 18, 42, 3, 1, strollers=6, suffix=".r13.mp4", b_frames=2)
_DOOR = DemoCamera("G904", 704, 480, 62, 146, rows=0, columns=0, strollers=5)
_ROOF = DemoCamera("G905", 640, 360, 8, 15, rows=3, columns=4, strollers=6)
_LOT = DemoCamera(
    "0900", 960, 540, 24, 44, 2, 3, strollers=6, fps="30000/1001", suffix=".mp4", b_frames=2
)
_YARD = DemoCamera("0901", 640, 360, 16, 32, 2, 3, strollers=6, fps="25", suffix=".mp4", b_frames=1)

# (minute of the slot or VIRAT session, camera, style, quirks); a small scale takes the first ones.
_PLAN: Final[tuple[tuple[str, DemoCamera, Style, tuple[str, ...]], ...]] = (
    ("13-10", _CROSSING, "kitware", ("no_geometry",)),
    ("900100", _YARD, "virat-text", ()),
    ("13-15", _DOOR, "kitware", ("not_good", "unmapped")),
    ("13-20", _TOWER, "diva", ()),
    ("13-10", _ROOF, "kitware", ("empty",)),
    ("13-25", _CROSSING, "training", ()),
    ("13-30", _CROSSING, "kitware", ()),
    ("13-35", _PLAZA, "kitware", ()),
    ("13-40", _ROOF, "kitware", ("unmapped",)),
    ("900200", _LOT, "virat-text", ()),
    ("13-45", _CROSSING, "diva", ()),
    ("13-45", _DOOR, "training", ()),
    ("13-50", _TOWER, "kitware", ("not_good",)),
    ("13-55", _CROSSING, "training", ()),
    ("14-05", _CROSSING, "kitware", ("no_geometry",)),
    ("900300", _YARD, "virat-text", ()),
    ("14-10", _TOWER, "kitware", ()),
)


def takes(scale: float) -> tuple[Take, ...]:
    """The videos of a corpus; fewer and shorter ones where the scale is under 1.

    >>> len(takes(1.0)), len(takes(0.1))
    (17, 6)
    >>> takes(0.1)[0].video_id
    '2018-03-05.13-10-00.13-10-03.demo.G901'
    """
    frames = _FRAMES * (scale if scale > 1 else sqrt(scale))
    frames = min(MAX_FRAMES, max(_FEWEST_FRAMES, round(frames)))
    count = min(len(_PLAN), max(_FEWEST_VIDEOS, ceil(len(_PLAN) * sqrt(scale))))
    return tuple(_take(*row, frames) for row in _PLAN[:count])


def _take(
    slot: str, camera: DemoCamera, style: Style, quirks: tuple[str, ...], frames: int
) -> Take:
    frames = frames // 4 if "empty" in quirks else frames
    if style == "virat-text":
        session = f"VIRAT_S_{slot}"
        name = f"{session}_00_000000_{frames // 30:06d}"
        return Take(name, camera, style, session, frames, quirks)
    day = "2018-03-05"
    name = f"{day}.{slot}-00.{slot}-{frames // 30:02d}.demo.{camera.name}"
    return Take(name, camera, style, f"{day}.{slot}", frames, quirks)
