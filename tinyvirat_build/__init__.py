"""tinyvirat-build: datasets of tiny actions from surveillance video.

>>> import tinyvirat_build as tvb
>>> tvb.Settings.load().chunk.length
64
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinyvirat_build.builds import Build, build, open_build
    from tinyvirat_build.config import Settings
    from tinyvirat_build.errors import TinyviratError
    from tinyvirat_build.stages.chunk import chunk
    from tinyvirat_build.stages.crop import crop
    from tinyvirat_build.stages.filter import filter_rare
    from tinyvirat_build.stages.merge import merge
    from tinyvirat_build.stages.partition import partition
    from tinyvirat_build.stages.segment import segment

__version__ = "0.1.0"

__all__ = [
    "Build",
    "Settings",
    "TinyviratError",
    "build",
    "chunk",
    "crop",
    "filter_rare",
    "merge",
    "open_build",
    "partition",
    "segment",
]

# Names are imported when they are first used, so that `--help` does not wait for pandas.
_HOME = {
    "Build": "builds",
    "build": "builds",
    "open_build": "builds",
    "Settings": "config",
    "TinyviratError": "errors",
    "chunk": "stages.chunk",
    "crop": "stages.crop",
    "filter_rare": "stages.filter",
    "merge": "stages.merge",
    "partition": "stages.partition",
    "segment": "stages.segment",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
