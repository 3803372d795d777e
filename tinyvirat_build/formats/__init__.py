"""Readers: the bytes of annotation files in, one ``VideoAnnotation`` out.

Every reader has one signature, ``read(video_id, files, options) -> VideoAnnotation``, knows no
stage and no corpus, and reports what it could not keep as issues with file and line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Dialect = Literal["", "nist", "inclusive", "exclusive"]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What a reader must be told, because the file does not say it.

    ``dialect`` is ActEV JSON's (FORMATS §2): ``nist`` is 1-based with sparse keyframes and an
    exclusive off frame, ``inclusive`` is 0-based with an inclusive off frame (CMU-v2, UMD-IBM,
    IBM), ``exclusive`` 0-based with an exclusive one (UMD-v1).
    """

    dialect: Dialect = ""
    max_gap: int = 30  # longest gap between boxes that is interpolated, frames
    drop_status: tuple[str, ...] = ("not_good",)
