"""Readers: the bytes of annotation files in, one ``VideoAnnotation`` out.

Every reader has one signature, ``read(video_id, files, options) -> VideoAnnotation``, knows no
stage and no corpus, and reports what it could not keep as issues with file and line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tinyvirat_build.formats import (
    actev_json,
    csv_tables,
    cuboids,
    cvat_xml,
    dive,
    kpf,
    kwcoco,
    virat_text,
)
from tinyvirat_build.formats.options import Dialect, ReadOptions
from tinyvirat_build.records import VideoAnnotation

Reader = Callable[[str, Sequence[Path], ReadOptions], VideoAnnotation]

READERS: Final[dict[str, Reader]] = {
    "kpf": kpf.read,
    "virat-text": virat_text.read,
    "actev-json": actev_json.read,
    "cuboids": cuboids.read,
    "csv": csv_tables.read,
    "cvat-xml": cvat_xml.read,
    "dive": dive.read,
    "kwcoco": kwcoco.read,
}

__all__ = ["READERS", "Dialect", "ReadOptions", "Reader"]
