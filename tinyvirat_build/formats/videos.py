"""Names of video files, and the videos that an annotation file of several speaks of."""

from __future__ import annotations

import re
from typing import Final

COMMON_SUFFIXES: Final = (".avi", ".mp4", ".mkv", ".mov", ".mpg", ".ts")
VIDEO_SUFFIXES: Final = (
    *COMMON_SUFFIXES,
    *(".m4v", ".3gp", ".3g2", ".webm", ".mpeg", ".vob", ".m2ts", ".mts", ".m2t"),
    *(".flv", ".f4v", ".wmv", ".asf", ".ogv", ".mxf"),
)
# Pictures one after the other, without times: what is frame 100, no two programs need agree on.
RAW_SUFFIXES: Final = (
    *(".h264", ".264", ".avc", ".hevc", ".h265", ".265", ".m1v", ".m2v", ".m4e"),
    *(".mjpeg", ".mjpg", ".yuv", ".nv12"),
)
SUFFIX: Final = "|".join(map(re.escape, VIDEO_SUFFIXES + RAW_SUFFIXES))  # as a regular expression

_SUFFIX = re.compile(rf"(?:{SUFFIX})$", re.IGNORECASE)


def video_of(file: str) -> str:
    r"""The name of a video as the tables have it, from the name or path of its file.

    >>> video_of("film/cam1.MP4"), video_of(r"C:\film\cam1.mp4"), video_of(" cam1.day2 ")
    ('cam1', 'cam1', 'cam1.day2')
    """
    return _SUFFIX.sub("", re.split(r"[/\\]", file.strip())[-1])
