"""Scores of clips in a file: ``evaluate`` keeps them, and they are scored again like a run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tinyvirat_build.errors import TrainError
from tinyvirat_build.pack.read import Pack, open_pack
from tinyvirat_build.scoring.inference import ClipScores, Reduce
from tinyvirat_build.store import atomic_path

if TYPE_CHECKING:
    from tinyvirat_build.scoring.evaluate import Evaluation


def scores_file(folder: Path, split: str) -> Path:
    """The file of a split's scores in the folder of a run, or of an evaluation."""
    return folder / f"scores-{split}.parquet"


def write_scores(found: Evaluation, build: Path, folder: Path) -> Path:
    """Write ``scores-SPLIT.parquet``: the truth and the scores of every clip; return its path.

    Rows by number, columns ``clip_id`` (of the build), ``truth`` (C,) and ``scores`` (C,), both in
    class order. The metadata name the ``classes`` and tell the ``thresholds`` (C,) at or above
    which a score says yes, the run's ``name``, the checksum of the ``build``'s pack, the ``runs``
    and ``how`` they were scored.
    """
    pack = open_pack(build)
    rows = pack.of_split(found.split)
    clip_of = dict(zip(pack.id[rows].tolist(), pack.clip_id[rows].tolist(), strict=True))
    told = {
        "classes": list(found.classes),
        "thresholds": found.thresholds.tolist(),
        "name": found.name,
        "build": found.origin["sha256"],
        "runs": found.origin["runs"],
        "how": found.how,
    }
    table = pa.table(
        {
            "clip_id": pa.array([clip_of[i] for i in found.clips.ids], pa.string()),
            "truth": pa.array(found.clips.labels.astype(bool).tolist(), pa.list_(pa.bool_())),
            "scores": pa.array(found.clips.scores.tolist(), pa.list_(pa.float64())),
        }
    ).replace_schema_metadata({name: json.dumps(value) for name, value in told.items()})
    file = scores_file(folder, found.split)
    with atomic_path(file) as temporary:
        pq.write_table(table, temporary, compression="zstd", version="2.6")
    return file


@dataclass(frozen=True, slots=True)
class KeptScores:
    """Scores that a run, or several together, gave once; those of other splits lie beside them."""

    file: Path
    told: dict[str, Any]

    @property
    def name(self) -> str:
        """The name by which they were scored."""
        return str(self.told["name"])

    @property
    def architecture(self) -> str:
        """The models that gave them."""
        return " + ".join(self.told["how"]["models"])

    def origin(self) -> dict[str, Any]:
        """The weights that gave them; of several runs, all and their shares."""
        runs = [{k: v for k, v in run.items() if k != "folder"} for run in self.told["runs"]]
        return runs[0] if len(runs) == 1 else {"runs": runs, "shares": self.told["how"]["weights"]}

    def scores(
        self, pack: Pack, split: str, *, windows: Reduce, flips: bool, device: str
    ) -> ClipScores:
        """The scores of a split, as they were kept; no model is asked.

        Raises:
            TrainError: none were kept of this split, or they are of another build, of other
                weights, asked otherwise, or calibrated.
        """
        del device
        file = scores_file(self.file.parent, split)
        kept = self if file == self.file else open_scores(file)
        how = kept.told["how"]
        reasons = {
            "another build": kept.told["build"] != pack.fingerprint,
            "other classes": tuple(kept.told["classes"]) != pack.classes,
            f"other weights than {self.file.name}": kept.origin() != self.origin(),
            f"--windows {how['windows']}": how["windows"] != windows,
            f"flips={str(how['flips']).lower()}": how["flips"] != flips,
            "a calibration": how["calibration"] != "none",
        }
        wrong = [reason for reason, is_so in reasons.items() if is_so]
        if wrong:
            raise TrainError(f"{file}: scores of {' and '.join(wrong)}; evaluate the run anew")
        table = pq.read_table(file)
        rows = pack.of_split(split)
        id_of = dict(zip(pack.clip_id[rows].tolist(), pack.id[rows].tolist(), strict=True))
        ids = tuple(id_of[clip] for clip in table["clip_id"].to_pylist())
        scores, truth = (np.array(table[c].to_pylist()) for c in ("scores", "truth"))
        return ClipScores(ids, scores.astype(np.float64), truth.astype(bool))


def open_scores(file: Path) -> KeptScores:
    """Open a file that :func:`write_scores` wrote.

    Raises:
        TrainError: it is not there, or not such a file.
    """
    try:
        written = pq.read_schema(file).metadata or {}
        told = {name.decode(): json.loads(value) for name, value in written.items()}
        lacking = {"classes", "name", "build", "runs", "how"} - told.keys()
    except FileNotFoundError as e:
        raise TrainError(f"{file}: not there; `evaluate` of that split keeps it") from e
    except (OSError, ValueError, pa.ArrowException) as e:
        raise TrainError(f"{file}: cannot be read ({e}); evaluate the run anew") from e
    if lacking:
        raise TrainError(f"{file}: does not tell {', '.join(sorted(lacking))}; evaluate anew")
    return KeptScores(file, told)
