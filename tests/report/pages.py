"""Reading a report as a browser does: its page, and the scripts of its data."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any


class Page(HTMLParser):
    """Checks that tags close; gathers attributes, texts, and the cells of tables by section."""

    VOID = frozenset({"meta", "img", "br", "input", "link", "source", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.section = ""
        self.rows: dict[str, list[list[str]]] = {}
        self.tiles: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = {name: value or "" for name, value in attrs}
        self.attributes += [(tag, name, value) for name, value in own.items()]
        if tag == "section" or (tag == "h3" and "id" in own):
            self.section = own["id"]
        if tag == "tr":
            self.rows.setdefault(self.section, []).append([])
        if tag in ("td", "th"):
            self.rows[self.section][-1].append("")
        if tag == "li":
            self.tiles.append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if "script" in self.open:
            self.scripts.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[self.section][-1][-1] += data
        if "li" in self.open:
            self.tiles[-1] += f"{data} "

    def table(self, section: str) -> list[dict[str, str]]:
        """The rows of a section's table by the names of its columns."""
        header, *rows = self.rows[section]
        return [dict(zip(header, row, strict=True)) for row in rows]


def read_page(out: Path) -> Page:
    return Page((out / "report.html").read_text("utf-8"))


def read_data(file: Path) -> Any:
    """What a script hands to the page; it is ASCII and one call."""
    found = re.fullmatch(r'tvb\("([a-z0-9-]+)",(.*)\);\n', file.read_text("ascii"), re.DOTALL)
    assert found is not None
    assert found[1] == file.stem
    return json.loads(found[2])


def read_clips(out: Path) -> dict[str, list[Any]]:
    """The columns of all clips."""
    data = out / "report" / "data"
    head = read_data(data / "head.js")
    parts = [read_data(data / f"clips-{i}.js") for i in range(head["chunks"])]
    return {name: [v for part in parts for v in part[name]] for name in parts[0]}
