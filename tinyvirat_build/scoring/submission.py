"""The challenge's answer file: written for every test clip, and scored as the server scores it.

One line a test clip, in ascending order: ``{:05d} b0 b1 … b25``, single spaces, multi-hot.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyvirat_build.errors import DataError, SubmissionError
from tinyvirat_build.geometry.arrays import Bools
from tinyvirat_build.pack.read import open_pack
from tinyvirat_build.scoring import metrics
from tinyvirat_build.scoring.truth import class_map_of, read_classes, read_truth
from tinyvirat_build.store import write_text

if TYPE_CHECKING:
    from tinyvirat_build.scoring.decision import Decision, Thresholds
    from tinyvirat_build.scoring.ensemble import Scorer
    from tinyvirat_build.scoring.inference import Reduce


def format_answer(ids: Sequence[str], said: Bools) -> str:
    """The text of an answer file: ids of digits (N), predictions (N, C).

    >>> format_answer(["00010", "00009"], np.array([[1, 0], [0, 1]], bool))
    '00009 0 1\\n00010 1 0\\n'
    """
    order = sorted(range(len(ids)), key=lambda n: int(ids[n]))
    bits = said.astype(np.uint8).astype(str)
    return "".join(f"{int(ids[n]):05d} {' '.join(bits[n])}\n" for n in order)


def predict(
    runs: Sequence[Scorer],
    build: Path,
    out: Path,
    *,
    windows: Reduce = "max",
    thresholds: Thresholds = "fixed",
    flips: bool = False,
    weights: Sequence[float] = (),
    decision: Decision | None = None,
    device: str = "auto",
) -> Path:
    """Write ``answer.txt`` for every test clip of a build, the shortest too; return its path.

    ``out`` is the file, or a folder for it where it has no suffix; the other arguments as in
    ``evaluate.evaluate``.

    Raises:
        TrainError: no run, runs of other classes than the build's, or a decision for others.
        PackError: the build has no pack, or no test clips.
    """
    # Here, not above: `score` needs no PyTorch.
    from tinyvirat_build.scoring.ensemble import Ensemble
    from tinyvirat_build.scoring.evaluate import decided

    pack = open_pack(build)
    ensemble = Ensemble(runs, weights, windows, flips, device)
    chosen = decided(ensemble, pack, thresholds, decision)
    clips = ensemble.scores(pack, "test")
    said = chosen.said(chosen.calibration(clips.scores))
    file = out if out.suffix and not out.is_dir() else out / "answer.txt"
    write_text(file, format_answer(clips.ids, said))
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
    classes = read_classes(class_map or class_map_of(truth))
    true = read_truth(truth, classes)
    if not true.ids:
        raise DataError(f"{truth}: no rows; give the test rows of a build")
    if not all(_NUMBER.fullmatch(i) for i in true.ids):
        raise DataError(f"{truth}: ids are not numbers; give the test rows of a build")
    ids = np.array([int(i) for i in true.ids])
    if len(np.unique(ids)) != len(ids):
        raise DataError(f"{truth}: two ids are the same number; give the test rows of a build")
    said = read_answer(submission, ids.tolist(), len(classes))
    return ScoreReport(classes, len(ids), metrics.score(true.labels[np.argsort(ids)], said))


_NUMBER = re.compile(r"[0-9]{1,18}")
_ID = re.compile(r"[0-9]{5,18}")
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def read_answer(file: Path, ids: Sequence[int], classes: int) -> Bools:
    """The predictions (N, C) of an answer file for the test clips ``ids``, in ascending order.

    Raises:
        SubmissionError: missing, extra, doubled or unordered lines, wrong width, not binary, or
            anything else that is not of the format; with the line of each.
        DataError: the file cannot be read.
    """
    try:
        content = file.read_bytes()
    except OSError as e:
        raise DataError(f"{file}: cannot be read ({e.strerror}); give an answer file") from e
    lines, problems = _lines(content)
    wanted = set(ids)
    said = {}
    first_line: dict[int, int] = {}
    for number, line in enumerate(lines, 1):
        problem, clip, bits = _parse(line, classes)
        if clip is not None:
            if clip in first_line:
                problem = f"clip {clip:05d} again, first on line {first_line[clip]}"
            elif clip not in wanted:
                problem = problem or f"clip {clip:05d} is not a test clip"
            first_line.setdefault(clip, number)
        if problem:
            problems.append((number, problem))
        elif clip is not None:
            said[clip] = bits
    in_file = [clip for clip in first_line if clip in wanted]
    problems += [
        (first_line[clip], f"clip {clip:05d} out of place, ids not ascending")
        for clip in set(in_file) - ascending(in_file)
    ]
    seen = sorted(first_line)
    for clip in sorted(wanted - first_line.keys()):
        place = int(np.searchsorted(seen, clip))  # before the line of the next clip that is there
        number = first_line[seen[place]] if place < len(seen) else len(lines) + 1
        problems.append((number, f"clip {clip:05d} is missing before this line"))
    if problems:
        raise SubmissionError(file, sorted(problems))
    return np.array([said[clip] for clip in sorted(ids)], bool).reshape(len(ids), classes)


def _lines(content: bytes) -> tuple[list[str], list[tuple[int, str]]]:
    """The lines of an answer file, and what is wrong with all of them at once."""
    problems = []
    encoding = next((e for mark, e in _MARKS.items() if content.startswith(mark)), "ascii")
    if encoding != "ascii":
        problems.append((1, "begins with a byte order mark (BOM); save it as plain ASCII"))
    lines = content.decode(encoding, errors="replace").split("\n")
    if lines[-1] == "":  # the last line's own newline
        lines.pop()
    if len(lines) > 1 and all(line.endswith("\r") for line in lines):
        problems.append((1, "all lines end in CRLF, as on Windows; save it with LF"))
        lines = [line.removesuffix("\r") for line in lines]
    return lines, problems


def ascending(clips: Sequence[int]) -> set[int]:
    """A longest run of ``clips``, which are all different, that ascends; others stand between.

    >>> sorted(ascending([5, 0, 1, 2, 3])), ascending([1, 0])
    ([0, 1, 2, 3], {1})
    """
    # Patience sorting from the end, on negated numbers: of equal runs the one that begins first.
    tails: list[int] = []
    after: dict[int, int | None] = {}
    for clip in reversed(clips):
        place = bisect.bisect_left(tails, -clip)
        after[clip] = -tails[place - 1] if place else None
        tails[place : place + 1] = [-clip]
    run: set[int] = set()
    clip_or_none = -tails[-1] if tails else None
    while clip_or_none is not None:
        run.add(clip_or_none)
        clip_or_none = after[clip_or_none]
    return run


def _parse(line: str, classes: int) -> tuple[str | None, int | None, list[bool]]:
    """What is wrong with a line, its clip where that can be told, and its bits."""
    head, *bits = line.split(" ")
    if not _ID.fullmatch(head) or (len(head) > 5 and head[0] == "0"):
        shown = head[:20]
        return f"begins with {shown!r}, not with the clip's number in five digits", None, []
    clip = int(head)
    if line.endswith("\r"):
        return "ends in CRLF, as on Windows, where only single spaces and LF stand", clip, []
    if "" in bits or any(c in line for c in "\t\r\v\f"):
        return "fields are not separated by single spaces", clip, []
    if len(bits) != classes:
        return f"{len(bits)} values, {classes} expected", clip, []
    wrong = next((b for b in bits if b not in ("0", "1")), None)
    if wrong is not None:
        return f"value {wrong[:20]!r} is not 0 or 1", clip, []
    return None, clip, [b == "1" for b in bits]
