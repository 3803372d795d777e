"""What a reader must be told beyond its files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Dialect = Literal["", "nist", "inclusive", "exclusive"]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What a reader must be told, because the file does not say it.

    ``dialect`` is ActEV JSON's: ``nist`` is 1-based with sparse keyframes and an exclusive off
    frame, ``inclusive`` is 0-based with an inclusive off frame (CMU-v2, UMD-IBM, IBM),
    ``exclusive`` 0-based with an exclusive one (UMD-v1); empty: inferred from the boxes.
    ``last``: with ``off_frame``, an activity of the dialect ``exclusive`` ends with its off frame.
    ``no_geometry``: what to tell of an activity without a box, where the set's files explain it.
    Of tables, ``first_frame`` is the number of the first frame, ``inclusive`` whether an end
    belongs to its span, and ``fps`` the rate by which seconds become frames.
    """

    dialect: Dialect = ""
    max_gap: int = 30  # longest run of frames without a box that is interpolated
    drop_status: tuple[str, ...] = ("not_good",)
    last: Literal["format", "off_frame"] = "format"
    no_geometry: str = ""
    first_frame: int = 0
    inclusive: bool = False
    fps: str = "30"  # rational
