"""Rows of comma-separated text, numbers in cells, and boxes that come row by row."""

from __future__ import annotations

import csv
import io
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from tinyvirat_build.errors import MAX_BOXES, Work
from tinyvirat_build.formats.assemble import MalformedError, RawBoxes

MAX_ID: Final = 200  # characters of a track's id

_INTEGER = re.compile(r"[+-]?[0-9]{1,10}")
_REAL = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3})?")


@dataclass(slots=True)
class TextRow:
    """One line of a table; of a ``broken`` one the cells are a guess."""

    line: int  # 1-based
    cells: list[str]  # without outer blanks
    broken: bool = False


def rows_of(data: bytes, first: int = 1, holding: str = "") -> Iterator[TextRow]:
    """The lines from ``first`` on that are not blank and hold some text, as rows.

    A line is a row: no cell goes on in the next line.
    """
    needle = b"" if '"' in holding else holding.encode()
    for number, line in enumerate(io.BytesIO(data), 1):
        if number >= first and needle in line and not line.isspace():
            yield row_of(number, line.decode().rstrip("\r\n"))


def row_of(number: int, text: str) -> TextRow:
    r"""The cells of a line.

    >>> row_of(1, 'a, "b, c"').cells, row_of(1, 'a, "b').broken
    (['a', 'b, c'], True)
    """
    try:
        (cells,) = csv.reader([text], strict=True, skipinitialspace=True)
    except (csv.Error, ValueError):
        return TextRow(number, [cell.strip(' \t"') for cell in text.split(",")], broken=True)
    return TextRow(number, [cell.strip() for cell in cells])


def integer(text: str, what: str) -> int:
    """A cell as an integer of 32 bits.

    Raises:
        MalformedError: it is none.
    """
    # int() would read 1_468, and digits of any script
    if not _INTEGER.fullmatch(text) or not -(1 << 31) <= int(text) < 1 << 31:
        raise MalformedError(f"{what} is not a whole number")
    return int(text)


def real(text: str, what: str) -> float:
    """A cell as a number.

    Raises:
        MalformedError: it is none.
    """
    if not _REAL.fullmatch(text):
        raise MalformedError(f"{what} is not a number")
    return float(text)


def identity(text: str, what: str) -> str:
    """A cell as the id of a track.

    Raises:
        MalformedError: it is empty, too long, or does not print.
    """
    if not 0 < len(text) <= MAX_ID or not text.isprintable():
        raise MalformedError(f"no {what}")
    return text


class BoxRows:
    """Boxes as a reader meets them, gathered in few bytes each."""

    def __init__(self, file: Path) -> None:
        self._file = file.name
        self._work = Work(MAX_BOXES, "boxes", file=file)
        self._code_of: dict[str, int] = {}
        self._whole = array("q")  # code, frame, keyframe, line
        self._corners = array("d")

    def add(
        self, track: str, frame: int, corners: Sequence[float], line: int, *, keyframe: bool = True
    ) -> None:
        """Note a box ``x1, y1, x2, y2``; ``line`` is 0 where the format has no lines.

        Raises:
            BoundError: there are more than ``MAX_BOXES``.
        """
        self._work.add(1)
        code = self._code_of.setdefault(track, len(self._code_of))
        self._whole.extend((code, frame, keyframe, line))
        self._corners.extend(corners)

    def boxes(self) -> RawBoxes:
        """All of them, in the order in which they came."""
        whole = np.array(self._whole, np.int64).reshape(-1, 4)
        code, frame, keyframe, line = (np.ascontiguousarray(c) for c in whole.T)
        corners = np.array(self._corners, float).reshape(-1, 4)
        return RawBoxes(
            tuple(self._code_of), code, frame, corners, keyframe.astype(bool), line, self._file
        )
