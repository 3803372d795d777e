"""The paper's Table 2 with rows of any results: macro over all classes, as in the challenge."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tinyvirat_build.errors import DataError, TrainError
from tinyvirat_build.store import write_text

Row = tuple[str, tuple[float | None, ...]]  # a name and the numbers of _HEAD

# Table 2 of the TinyAction challenge's report, and its winners: F1, precision, recall (macro).
PAPER: Final = (
    ("I3D (paper)", 0.31, 0.36, 0.32),
    ("ResNet-3D (paper)", 0.25, 0.24, 0.36),
    ("R(2+1)D (paper)", 0.32, 0.34, 0.37),
    ("WideResNet-3D (paper)", 0.29, 0.29, 0.33),
    ("DeepBlue (challenge, 1st)", 0.47, 0.51, 0.49),
    ("ALONG (challenge, 2nd)", 0.44, 0.50, 0.42),
    ("third place (challenge)", 0.41, 0.34, 0.37),
)

_HEAD: Final = ("Model", "F1", "Precision", "Recall", "F1 (present)", "mAP (present)")
_SPECIAL: Final = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def row(results: Mapping[str, Any]) -> Row:
    """The row of the content of a results.json."""
    every, present = results["macro_all"], results["macro_present"]
    numbers = (every["f1"], every["precision"], every["recall"])
    return str(results["name"]), (*numbers, present["f1"], results["map_present"])


def read_rows(files: Sequence[Path]) -> list[Row]:
    """The rows of several results.json of ``evaluate``, of one split of one build.

    Raises:
        DataError: a file that is not such results.
        TrainError: results of different splits or builds.
    """
    trees = []
    for file in files:
        try:
            tree = json.loads(file.read_text("utf-8"))
            trees.append((row(tree), (tree["split"], tree["origin"]["sha256"])))
            markdown([trees[-1][0]])
        except OSError as e:
            raise DataError(f"{file}: cannot be read ({e.strerror}); name a results.json") from e
        except (ValueError, KeyError, TypeError) as e:
            raise DataError(f"{file}: not the results.json of `evaluate` ({e}); score anew") from e
        if trees[-1][1] != trees[0][1]:
            raise TrainError(f"{file}: of another split or build than {files[0]}; score anew")
    return [own for own, _ in trees]


def write(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Write table2.md and table2.tex; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"table2.md": markdown(rows), "table2.tex": latex(rows)}
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def markdown(rows: Sequence[Row]) -> str:
    """The paper's rows and these, as a table in Markdown."""
    lines = ["| " + " | ".join(_HEAD) + " |", "|---|" + "---:|" * (len(_HEAD) - 1)]
    for name, numbers in [*_paper(), *rows]:
        safe = " ".join(name.replace("\\", "\\\\").replace("|", r"\|").split())
        lines.append("| " + " | ".join([safe, *_cells(numbers, "–")]) + " |")
    return "\n".join(lines) + "\n"


def latex(rows: Sequence[Row]) -> str:
    """The same as a LaTeX tabular (booktabs)."""
    lines = [r"\begin{tabular}{l" + "r" * (len(_HEAD) - 1) + "}", r"\toprule"]
    lines += [" & ".join(_HEAD) + r" \\"]
    for part in (_paper(), rows):
        lines.append(r"\midrule")
        lines += [
            " & ".join([_escape(name), *_cells(numbers, "--")]) + r" \\" for name, numbers in part
        ]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _paper() -> list[Row]:
    return [(name, (*numbers, None, None)) for name, *numbers in PAPER]


def _cells(numbers: Sequence[float | None], missing: str) -> list[str]:
    return [missing if v is None else f"{v:.2f}" for v in numbers]


def _escape(text: str) -> str:
    return "".join(_SPECIAL.get(c, "\\" + c if c in "&%$#_{}" else c) for c in text)
