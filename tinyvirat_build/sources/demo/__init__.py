"""The demo corpus: a small world that the project renders itself, the same from the same seed.

Several cameras film people who stand, walk, run, carry, gesture and get into vehicles, and
vehicles that start, stop and turn; annotated as KPF in three of its styles and as VIRAT Release
2.0 text. Every window of 10×10 pixels of every frame tells its frame and its place
(:func:`read_stamp`), so that a clip can be checked from its pixels alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from tinyvirat_build import progress, store
from tinyvirat_build.errors import DataError
from tinyvirat_build.formats.videos import video_of
from tinyvirat_build.settings import Settings
from tinyvirat_build.sources import Discovery, Entry
from tinyvirat_build.sources.demo.annotate import annotation_files, write_annotation
from tinyvirat_build.sources.demo.cameras import Take, takes
from tinyvirat_build.sources.demo.check import misplaced
from tinyvirat_build.sources.demo.film import shoot
from tinyvirat_build.sources.demo.stamp import read_stamp, read_stamps
from tinyvirat_build.sources.demo.world import build

__all__ = ["SOURCE", "DemoSource", "misplaced", "read_stamp", "read_stamps", "render"]

VERSION: Final = 2  # of the corpus; raised whenever the same seed gives other files
FOLDER: Final = "demo"
_MARKER: Final = "corpus.json"


def render(
    out: Path, *, seed: int = 0, scale: float = 1.0, workers: int = 1, quiet: bool = True
) -> None:
    """Render the whole corpus into ``out``: ``annotation/``, ``video/`` and ``corpus.json``.

    The same seed and scale give the same bytes, whatever the number of workers.

    Args:
        out: a folder that does not exist yet or is empty.
        seed: another seed, another world.
        scale: 1 gives 17 videos, of 330 frames but for one of 82; 0.1 about a tenth of the frames.
        workers: videos that are rendered at the same time.
        quiet: no progress bar.
    """
    (out / "annotation").mkdir(parents=True, exist_ok=True)
    (out / "video").mkdir(exist_ok=True)

    def one(number: int, take: Take) -> None:
        rng = np.random.default_rng([seed, number])
        scene = build(take, rng)
        boxes = shoot(scene, out / "video" / take.file, rng)
        write_annotation(scene, boxes, out / "annotation")

    wanted = takes(scale)
    with ThreadPoolExecutor(workers) as pool:  # drawing and encoding release the GIL
        done = pool.map(one, *zip(*enumerate(wanted), strict=True))
        list(progress.counted(done, len(wanted), "render", "video", quiet=quiet))
    (out / _MARKER).write_text(json.dumps(_marker(seed, scale)) + "\n", "utf-8")


def _marker(seed: int, scale: float) -> dict[str, float]:
    return {"version": VERSION, "seed": seed, "scale": scale}


@dataclass(frozen=True, slots=True)
class DemoSource:
    """The source ``demo``."""

    name: str = "demo"
    attribution: str = "The demo corpus of tinyvirat-build, rendered by the program itself."
    license_text: str = "Apache-2.0"

    def default_data(self, out: Path) -> Path:
        """The corpus belongs to the build where the user names no other place."""
        return out / "data"

    def misplaced(self, clips: pd.DataFrame, root: Path) -> list[str]:
        """The clips whose frames tell another number or place than their rows do."""
        return misplaced(clips, root)

    def video_named(self, name: str) -> tuple[str, int]:
        """The video that a file's name says it is."""
        return video_of(name).removesuffix(".r13"), 0

    def prepare(self, data: Path, settings: Settings, *, quiet: bool) -> None:
        """Render the corpus into ``data/demo`` unless it lies there, or in ``data``, already.

        A corpus of another version, seed or scale is rendered anew in its place.

        Raises:
            DataError: ``data/demo`` is something else, or cannot be written.
        """
        root = _root(data, settings)
        if _read_marker(root) != _wanted(settings):
            _render_once(root, settings, quiet=quiet)

    def discover(self, data: Path, settings: Settings) -> Discovery:
        """Find the corpus in ``data`` or in ``data/demo``; nothing is rendered or changed.

        Raises:
            DataError: it is not there, or is another one.
        """
        root = _root(data, settings)
        found, wanted = _read_marker(root), _wanted(settings)
        if found != wanted:
            other = f" but one of {_named(found)}" if found else ""
            raise DataError(
                f"{root}: no demo corpus of {_named(wanted)} lies here{other}; "
                "`tinyvirat-build all --source demo` renders it"
            )
        return Discovery(tuple(sorted(_entries(root, settings), key=lambda e: e.video_id)))


def _wanted(settings: Settings) -> dict[str, float]:
    return _marker(settings.demo.seed, settings.demo.scale)


def _root(data: Path, settings: Settings) -> Path:
    return data if _read_marker(data) == _wanted(settings) else data / FOLDER


def _named(marker: Mapping[str, float]) -> str:
    seed, scale, version = (marker.get(key) for key in ("seed", "scale", "version"))
    return f"seed {seed}, scale {scale} (version {version})"


def _read_marker(root: Path) -> Mapping[str, float] | None:
    try:
        found = json.loads((root / _MARKER).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _render_once(root: Path, settings: Settings, *, quiet: bool) -> None:
    """Render beside the place and move in at the end, so that the corpus is whole or absent."""
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as held:
            held.callback(store.acquire(root.parent / f".{root.name}.lock", wait=True).release)
            if _read_marker(root) == _wanted(settings):
                return  # another process was faster
            if root.exists() and _read_marker(root) is None:
                raise DataError(f"{root} is not a demo corpus; move it away or give another --data")
            partial = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
            try:
                workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
                own = settings.demo
                render(partial, seed=own.seed, scale=own.scale, workers=workers, quiet=quiet)
                if root.exists():
                    shutil.rmtree(root)
                partial.chmod(0o755)
                partial.rename(root)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as e:
        raise DataError(f"cannot render the demo into {root}: {e}; give a writable --data") from e


def _entries(root: Path, settings: Settings) -> list[Entry]:
    return [
        Entry(
            source=SOURCE.name,
            video_id=take.video_id,
            annotation_set="text" if take.is_text else "kpf",
            format="virat-text" if take.is_text else "kpf",
            files=annotation_files(take.style, take.video_id, root / "annotation"),
            video=video if (video := root / "video" / take.file).is_file() else None,
            namespace="virat-text" if take.is_text else "demo",
            camera=take.camera.name,
            scene=take.camera.name,
            session=take.group,
            width=take.camera.width,
            height=take.camera.height,
            fps=take.camera.fps,
        )
        for take in takes(settings.demo.scale)
    ]


SOURCE: Final = DemoSource()
