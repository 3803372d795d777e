"""What mirroring a clip does to its labels: a left turn becomes a right one."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_SIDE = re.compile(r"(?<![a-z])(left|right)(?![a-z])", re.IGNORECASE)
_OTHER = {"left": "right", "right": "left"}


def mirror_classes(classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """For each class the class of its mirrored clips, ``(C,)``; most are their own.

    Classes whose names differ by left and right alone are each other's mirror image.

    >>> mirror_classes(["vehicle_turning_left", "Riding", "vehicle_turning_right"]).tolist()
    [2, 1, 0]
    """
    place = {name.lower(): i for i, name in enumerate(classes)}
    mirrored = [_SIDE.sub(lambda m: _OTHER[m[0].lower()], name).lower() for name in classes]
    return np.array([place.get(m, i) for i, m in enumerate(mirrored)], np.int64)
