"""What strangers write commands neither a terminal nor a spreadsheet."""

from __future__ import annotations

import csv
import io
import unicodedata
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tinyvirat_build import cli
from tinyvirat_build.store.texts import csv_text, printable

cells = st.one_of(st.text(st.characters(blacklist_categories=["Cs"])), st.floats(), st.integers())


@given(st.text())
def test_no_control_character_is_left(text: str) -> None:
    shown = printable(text)
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in shown if c not in "\t\n")
    assert not any(unicodedata.bidirectional(c) in BIDI for c in shown)
    shown.encode()
    assert printable(shown) == shown


BIDI = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


@given(st.lists(st.lists(cells, min_size=2, max_size=3)))
def test_no_cell_is_a_formula_and_numbers_stay(rows: list[list[object]]) -> None:
    read = list(csv.reader(io.StringIO(csv_text(rows), newline="")))
    assert len(read) == len(rows)
    for own, found in zip(rows, read, strict=True):
        for value, cell in zip(own, found, strict=True):
            if not isinstance(value, str):
                assert cell == str(value)
                continue
            assert cell in (printable(value), f"'{printable(value)}")
            if not cell.startswith(("=", "+", "-", "@", "\t", "\r")):
                continue
            float(cell)


def test_every_command_prints_what_is_printable() -> None:
    folder = Path(cli.__file__).parent
    printing = ("click.echo", "click.secho", "print(")
    lines = [line for p in folder.glob("*.py") for line in p.read_text().splitlines()]
    assert [line.strip() for line in lines if any(word in line for word in printing)] == [
        "click.secho(printable(text), err=err, nl=nl, fg=fg)"
    ]
