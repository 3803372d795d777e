"""The challenge's answer file: written for every test clip, and scored as the server scores it.

One line a test clip, in ascending order: ``{:05d} b0 b1 … b25``, single spaces, multi-hot.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyvirat_build.dataset.packfile import open_pack
from tinyvirat_build.dataset.trees import read_class_map
from tinyvirat_build.errors import DataError, SubmissionError, TrainError
from tinyvirat_build.store import write_text
from tinyvirat_build.train import metrics
from tinyvirat_build.train.evaluate import Thresholds, choose, ensemble_scores
from tinyvirat_build.train.inference import Reduce
from tinyvirat_build.train.labels import class_map_of, read_truth
from tinyvirat_build.train.runs import open_run


def format_answer(ids: Sequence[str], said: npt.NDArray[np.bool_]) -> str:
    """The text of an answer file: ids of digits (N), predictions (N, C).

    >>> format_answer(["00010", "00009"], np.array([[1, 0], [0, 1]], bool))
    '00009 0 1\\n00010 1 0\\n'
    """
    order = sorted(range(len(ids)), key=lambda n: int(ids[n]))
    bits = said.astype(np.uint8).astype(str)
    return "".join(f"{int(ids[n]):05d} {' '.join(bits[n])}\n" for n in order)


def predict(
    runs: Sequence[Path],
    build: Path,
    out: Path,
    *,
    windows: Reduce = "max",
    thresholds: Thresholds = "fixed",
    flips: bool = False,
    device: str = "auto",
) -> Path:
    """Write ``answer.txt`` for every test clip of a build, the shortest too; return its path.

    ``out`` is the file, or a folder for it; the other arguments as in ``evaluate.evaluate``.

    Raises:
        TrainError: no run, or runs of other classes than the build's.
        PackError: the build has no pack, or no test clips.
    """
    if not runs:
        raise TrainError("no run to predict with; name one or more run folders")
    opened = [open_run(folder) for folder in runs]
    pack = open_pack(build)
    chosen = choose(thresholds, opened, pack, windows=windows, flips=flips, device=device)
    clips = ensemble_scores(opened, pack, "test", windows=windows, flips=flips, device=device)
    file = out if out.suffix == ".txt" else out / "answer.txt"
    write_text(file, format_answer(clips.ids, clips.scores >= chosen))
    return file


@dataclass(frozen=True, slots=True, eq=False)
class ScoreReport:
    """What the evaluation server answers."""

    classes: tuple[str, ...]
    clips: int
    scores: metrics.Scores

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {"clips": self.clips, **self.scores.to_dict(self.classes)}

    def text(self) -> str:
        """A table of every class and of both macro averages."""
        return metrics.table(self.scores, self.classes)


def score(submission: Path, truth: Path, *, class_map: Path | None = None) -> ScoreReport:
    """Check an answer file strictly and score it against the labels of ``truth``.

    Args:
        submission: the answer file.
        truth: rows with labels, as in ``truth/test.json`` of a build.
        class_map: default: that of the truth's build.

    Raises:
        SubmissionError: the file breaks the format; all broken lines are named.
        DataError: the truth or the class map cannot be used.
    """
    classes = read_class_map(class_map or class_map_of(truth))
    true = read_truth(truth, classes)
    try:
        ids = [int(i) for i in true.ids]
    except ValueError as e:
        raise DataError(f"{truth}: ids are not numbers; give the test rows of a build") from e
    said = read_answer(submission, ids, len(classes))
    return ScoreReport(classes, len(ids), metrics.score(true.labels, said))


_ID = re.compile(r"[0-9]{5,}")


def read_answer(file: Path, ids: Sequence[int], classes: int) -> npt.NDArray[np.bool_]:
    """The predictions (N, C) of an answer file for the test clips ``ids``, in ascending order.

    Raises:
        SubmissionError: missing, extra, doubled or unordered lines, wrong width, not binary, or
            anything else that is not of the format; with the line of each.
        DataError: the file cannot be read.
    """
    try:
        text = file.read_bytes().decode("ascii", errors="replace")
    except OSError as e:
        raise DataError(f"{file}: cannot be read ({e.strerror}); give an answer file") from e
    lines = text.split("\n")
    if lines[-1] == "":  # the last line's own newline
        lines.pop()
    wanted = set(ids)
    said = {}
    first_line: dict[int, int] = {}
    problems: list[tuple[int, str]] = []
    highest = -1
    for number, line in enumerate(lines, 1):
        problem, clip, bits = _parse(line, classes)
        if clip is not None:
            if clip in first_line:
                problem = f"clip {clip:05d} again, first on line {first_line[clip]}"
            elif clip not in wanted:
                problem = problem or f"clip {clip:05d} is not a test clip"
            elif clip < highest:
                problem = problem or f"clip {clip:05d} after {highest:05d}, not ascending"
            first_line.setdefault(clip, number)
            highest = max(highest, clip)
        if problem:
            problems.append((number, problem))
        elif clip is not None:
            said[clip] = bits
    seen = sorted(first_line)
    for clip in sorted(wanted - first_line.keys()):
        place = int(np.searchsorted(seen, clip))  # before the line of the next clip that is there
        number = first_line[seen[place]] if place < len(seen) else len(lines) + 1
        problems.append((number, f"clip {clip:05d} is missing before this line"))
    if problems:
        raise SubmissionError(file, sorted(problems))
    return np.array([said[clip] for clip in sorted(ids)], bool).reshape(len(ids), classes)


def _parse(line: str, classes: int) -> tuple[str | None, int | None, list[bool]]:
    """What is wrong with a line, its clip where that can be told, and its bits."""
    head, *bits = line.split(" ")
    if not _ID.fullmatch(head) or (len(head) > 5 and head[0] == "0"):
        shown = head[:20]
        return f"begins with {shown!r}, not with the clip's number in five digits", None, []
    clip = int(head)
    if "" in bits or any(c in line for c in "\t\r\v\f"):
        return "fields are not separated by single spaces", clip, []
    if len(bits) != classes:
        return f"{len(bits)} values, {classes} expected", clip, []
    wrong = next((b for b in bits if b not in ("0", "1")), None)
    if wrong is not None:
        return f"value {wrong[:20]!r} is not 0 or 1", clip, []
    return None, clip, [b == "1" for b in bits]
