"""The page of the clips that a run gets most wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tinyvirat_build.errors import DataError
from tinyvirat_build.labels import load_classes
from tinyvirat_build.pipeline.opened import OpenedBuild
from tinyvirat_build.report.html import write_errors
from tinyvirat_build.store.means import raise_if_lacking

_COLUMNS = ["clip_id", "truth", "scores"]


def report_errors(build: OpenedBuild, run: Path, split: str) -> Path:
    """Write ``run/errors-SPLIT.html`` from ``run/scores-SPLIT.parquet``; return the page's path.

    Raises:
        DataError: the run has no such scores, or they are not of this build's classes or clips.
        BuildError: the build has no report, whose pictures and data the page shows.
    """
    build.report_page()
    scores = _scores(run / f"scores-{split}.parquet", split, build)
    name = run.resolve().name
    return write_errors(run / f"errors-{split}.html", build.path, name, split, scores)


def _scores(file: Path, split: str, build: OpenedBuild) -> dict[str, Any]:
    remedy = f"run `tinyvirat-build evaluate --run {file.parent} --split {split}`"
    try:
        table = pq.read_table(file, columns=_COLUMNS)
    except FileNotFoundError as e:
        raise DataError(f"{file}: no such file; {remedy}") from e
    except (OSError, KeyError, pa.ArrowInvalid) as e:
        raise_if_lacking(e)
        raise DataError(f"{file}: holds no scores ({e}); {remedy}") from e
    columns = {name: table[name].to_pylist() for name in _COLUMNS}
    classes = len(load_classes(build.settings.classes))
    for name in ("truth", "scores"):
        if any(row is None or len(row) != classes for row in columns[name]):
            raise DataError(f"{file}: {name} are not of the build's {classes} classes; {remedy}")
    known = set(build.table("clips", ["clip_id"])["clip_id"])
    strange = [c for c in columns["clip_id"] if c not in known]
    if strange:
        raise DataError(
            f"{file}: {len(strange):,} clips are not of {build.path} ({strange[0]}); {remedy}"
        )
    scores = np.array(columns["scores"], np.float64).reshape(-1, classes)
    if not np.isfinite(scores).all():
        raise DataError(f"{file}: some scores are no numbers; {remedy}")
    truth = np.array(columns["truth"], np.int64).reshape(-1, classes)
    return {
        "clip_id": columns["clip_id"],
        "truth": truth.tolist(),
        "scores": scores.round(4).tolist(),
    }
