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
    from tinyvirat_build.errors import TinyviratError
    from tinyvirat_build.loader.loader import ClipLoader
    from tinyvirat_build.loader.video_dataset import TinyVideoDataset
    from tinyvirat_build.pack.read import open_pack
    from tinyvirat_build.settings import Settings
    from tinyvirat_build.stages.chunk import chunk
    from tinyvirat_build.stages.crop import crop
    from tinyvirat_build.stages.filter import filter_rare
    from tinyvirat_build.stages.merge import merge
    from tinyvirat_build.stages.partition import assign_groups, partition
    from tinyvirat_build.stages.segment import segment
    from tinyvirat_build.stages.stats import stats

__version__ = "0.1.0"

__all__ = [
    "Build",
    "ClipLoader",
    "Settings",
    "TinyVideoDataset",
    "TinyviratError",
    "assign_groups",
    "build",
    "chunk",
    "crop",
    "filter_rare",
    "merge",
    "open_build",
    "open_pack",
    "partition",
    "segment",
    "stats",
]

# Names are imported when they are first used, so that `--help` does not wait for pandas.
_HOME = {
    "Build": "builds",
    "build": "builds",
    "open_build": "builds",
    "Settings": "settings",
    "TinyviratError": "errors",
    "chunk": "stages.chunk",
    "crop": "stages.crop",
    "filter_rare": "stages.filter",
    "merge": "stages.merge",
    "assign_groups": "stages.partition",
    "partition": "stages.partition",
    "segment": "stages.segment",
    "stats": "stages.stats",
    "open_pack": "pack.read",
    "ClipLoader": "loader.loader",
    "TinyVideoDataset": "loader.video_dataset",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    except ModuleNotFoundError as e:
        raise ImportError(
            f"{name} needs {e.name}; pip install '.[train]' in the clone brings it"
        ) from e
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
