"""The key of a unit: a digest of all that the work on it depends on, and of nothing else.

That is: the stage and its version, the settings that it reads, the key of the unit before it, and
what else it reads. A table of its own step is in the key before; of another one the rows count,
or of the whole corpus the keys of the units behind it. Whatever is no table stands in
:data:`INPUTS`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, Final, cast

import pandas as pd
import pyarrow as pa

from tinyvirat_build import labels, store
from tinyvirat_build.pipeline.stages import Stage
from tinyvirat_build.settings import Settings
from tinyvirat_build.sources import Entry
from tinyvirat_build.video.opening import ffmpeg_version

Inputs = dict[str, Callable[[], object]]


def key_of(stage: Stage, own: object, before: object, inputs: Inputs) -> str:
    """The key of a stage's unit after the unit of key ``before``.

    ``own`` are the stage's :func:`values`. ``inputs`` says how what it reads enters; tables that
    it lacks are in ``before``.
    """
    read = [inputs[name]() for name in stage.reads if name in inputs]
    return store.digest(stage.name, stage.version, before, own, read)


def values(stage: Stage, settings: Settings) -> list[Any]:
    """What the settings that a stage depends on say."""
    return [_setting(settings, name) for name in stage.settings]


def _setting(settings: Settings, name: str) -> Any:
    """The value of a setting; of one that names a file, what the file says."""
    value: Any = functools.reduce(getattr, name.split("."), cast(Any, settings))
    if name in _FILES:
        return _FILES[name](value)
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value


_FILES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "classes": labels.load_classes,
    "crop.names": labels.load_names,
}


def columns_of(rows: pa.Table | pd.DataFrame, columns: list[str]) -> list[list[Any]]:
    """What some columns of a table hold, all of them where none is named."""
    if isinstance(rows, pd.DataFrame):
        return [rows[name].tolist() for name in columns or rows]
    return [rows[name].to_pylist() for name in columns or rows.column_names]


def inputs_of_video(
    entry: Entry, settings: Settings, hashes: store.HashMemory, maps: dict[object, object]
) -> Inputs:
    """How what is no table enters the keys of one video's units.

    ``maps`` remembers, for one run, what the label maps say.
    """
    return {
        "video": lambda: _stamp(entry, hashes),
        "entry": lambda: [getattr(entry, name) for name in _PICTURE],
        "annotations": lambda: [_about(entry), [hashes.of(f) for f in entry.files]],
        "label_maps": lambda: _label_maps(entry, settings, maps),
        "ffmpeg": ffmpeg_version,
    }


def _stamp(entry: Entry, hashes: store.HashMemory) -> object:
    if entry.remote is not None:
        return [entry.remote.size, entry.remote.version]
    return hashes.stamp(entry.video)


_PICTURE: Final = ("width", "height", "fps", "camera", "scene", "session")


_TOLD: Final = tuple(f.name for f in fields(Entry) if f.name != "remote")


def _about(entry: Entry) -> dict[str, Any]:
    # Neither where the files lie nor where the video does is a part of what they say.
    about = {name: getattr(entry, name) for name in _TOLD}
    return about | {
        "video": None,
        "files": [f.name for f in entry.files],
        "regions": [*map(asdict, entry.regions)],
        "parts": [*map(asdict, entry.parts)],
    }


def _label_maps(entry: Entry, settings: Settings, known: dict[object, object]) -> object:
    spaces = tuple(sorted({entry.namespace, *(p.namespace for p in entry.parts)}))
    if (entry.source, spaces) not in known:
        maps = {space: dict(labels.map_of(space, settings).labels) for space in spaces}
        known[entry.source, spaces] = [labels.load_classes(settings.classes), maps]
    return known[entry.source, spaces]
