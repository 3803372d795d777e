"""The paper's Table 2 with rows of any results: macro over all classes, as in the challenge.

Each row says on what data it was scored, for the paper's own compare with no other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tinyvirat_build.errors import DataError, TrainError
from tinyvirat_build.store import write_text

Row = tuple[str, str, tuple[float | None, ...]]  # name, data, and the numbers of _HEAD

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

PAPERS_DATA: Final = "TinyVIRAT-v2, test"
NOTE: Final = (
    "The rows of the paper and the challenge are of the released test clips; they compare with no "
    "row that was scored on other data."
)

_HEAD: Final = ("Model", "Scored on", "F1", "Precision", "Recall", "F1 (present)", "mAP (present)")
_SPECIAL: Final = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def row(results: Mapping[str, Any]) -> Row:
    """The row of the content of a results.json."""
    every, present = results["macro_all"], results["macro_present"]
    numbers = (every["f1"], every["precision"], every["recall"])
    data = str(results["origin"].get("data", "not told"))  # by results of before
    return str(results["name"]), data, (*numbers, present["f1"], results["map_present"])


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
    lines = ["| " + " | ".join(_HEAD) + " |", "|---|---|" + "---:|" * (len(_HEAD) - 2)]
    for name, data, numbers in [*_paper(), *rows]:
        lines.append("| " + " | ".join([_safe(name), _safe(data), *_cells(numbers, "–")]) + " |")
    return "\n".join([*lines, "", NOTE]) + "\n"


def latex(rows: Sequence[Row]) -> str:
    """The same as a LaTeX tabular (booktabs)."""
    lines = [r"\begin{tabular}{ll" + "r" * (len(_HEAD) - 2) + "}", r"\toprule"]
    lines += [" & ".join(_HEAD) + r" \\"]
    for part in (_paper(), rows):
        lines.append(r"\midrule")
        lines += [
            " & ".join([_escape(name), _escape(data), *_cells(numbers, "--")]) + r" \\"
            for name, data, numbers in part
        ]
    lines += [r"\midrule", rf"\multicolumn{{{len(_HEAD)}}}{{p{{\linewidth}}}}{{{NOTE}}} \\"]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _paper() -> list[Row]:
    return [(name, PAPERS_DATA, (*numbers, None, None)) for name, *numbers in PAPER]


def _safe(text: str) -> str:
    """A text as a cell in Markdown."""
    return " ".join(text.replace("\\", "\\\\").replace("|", r"\|").split())


def _cells(numbers: Sequence[float | None], missing: str) -> list[str]:
    return [missing if v is None else f"{v:.2f}" for v in numbers]


def _escape(text: str) -> str:
    return "".join(_SPECIAL.get(c, "\\" + c if c in "&%$#_{}" else c) for c in text)
