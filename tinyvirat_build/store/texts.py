"""Texts for a terminal and for a spreadsheet, in which strangers may have a say.

A name or an attribution comes from somebody's files. On a terminal its control characters would be
obeyed, and in a spreadsheet a cell that begins like a formula would be worked out.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from typing import Final

# Control characters of ASCII and Latin-1 but for tab and new line, marks that turn the direction
# of writing, separators of lines, and halves of characters, which no terminal can be sent.
_CONTROL: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_FORMULA: Final = ("=", "+", "-", "@", "\t")


def printable(text: str) -> str:
    r"""A text with its control characters written out, tabs and new lines apart.

    >>> printable("red\x1b[31m\n")
    'red\\x1b[31m\n'
    """
    return _CONTROL.sub(lambda m: m[0].encode("unicode_escape").decode(), text)


def many(n: int, thing: str) -> str:
    """So many of a thing, whose plural ends in s.

    >>> many(1, "clip"), many(4421, "clip")
    ('1 clip', '4,421 clips')
    """
    return f"{n:,} {thing}{'s' * (n != 1)}"


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    r"""Rows as CSV, of printable text.

    Text that a spreadsheet would take for a formula gets an apostrophe before it.

    >>> csv_text([["=1+1", -1, "-1.5", "a,b"]])
    '\'=1+1,-1,-1.5,"a,b"\n'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows(map(_cell, row) for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
