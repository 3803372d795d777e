"""What mirroring a clip does to its labels: a left turn becomes a right one."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from tinyvirat_build.geometry.arrays import Ints

_SIDE = re.compile(
    r"(?<![a-z])(?i:left|right)(?![a-z])"  # turning_left, left-turn
    r"|(?<=[a-z])(?:Left|Right)(?![a-z])"  # TurnLeft
)
_OTHER = {"left": "right", "right": "left"}


def mirror_classes(classes: Sequence[str]) -> Ints:
    """For each class the class of its mirrored clips, ``(C,)``; most are their own.

    Classes whose names differ by left and right alone are each other's mirror image; −1 stands
    for a class with a side whose other side is no class.

    >>> mirror_classes(["vehicle_turning_left", "Riding", "vehicle_turning_right"]).tolist()
    [2, 1, 0]
    >>> mirror_classes(["TurnLeft", "TurnRight", "look_left", "bright"]).tolist()
    [1, 0, -1, 3]
    """
    place = {name.lower(): i for i, name in enumerate(classes)}
    mirrored = [_SIDE.sub(lambda m: _OTHER[m[0].lower()], name).lower() for name in classes]
    known = [
        place.get(m, -1 if m != name.lower() else i)
        for i, (m, name) in enumerate(zip(mirrored, classes, strict=True))
    ]
    return np.array(known, np.int64)
