"""Which module may import which: downward only, without a cycle."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "tinyvirat_build"
FILES = {
    ".".join(p.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): p
    for p in PACKAGE.rglob("*.py")
    if p.name != "__main__.py" and p.parent != PACKAGE / "annotations"
}
ABOVE = {"cli", "builds", "ask", "pipeline", "engine"}
CORPORA = {"meva", "virat", "kitware", "umd"}
FORBIDDEN = {  # what a room knows nothing of
    "stages": ABOVE
    | {"sources", "formats", "video", "released", "pack", "report", "store", "train"},
    "formats": ABOVE | {"sources", "stages", "video", "released", "pack", "report", "train"},
    "sources": ABOVE | {"video", "released", "pack", "report", "train"},
    "video": ABOVE | {"sources", "formats", "stages", "report", "train"},
    "store": ABOVE | {"sources", "formats", "stages", "video", "released", "pack", "settings"},
    "records": ABOVE | {"store", "settings", "sources"},
    "engine": (ABOVE | {"sources", "stages", "video", "store", "records"}) - {"engine"},
    "pipeline": {"cli", "builds", "ask", "train"},
    "ask": {"cli", "builds", "train"},
    "train": ABOVE | {"formats", "sources", "stages", "video"},
    "loader": ABOVE | {"formats", "sources", "stages", "video"},
    "scoring": ABOVE | {"formats", "sources", "stages", "video"},
}


def imported(path: Path) -> set[str]:
    """The package's modules that a file imports when it is imported, or in a function."""
    found = set()
    tree = ast.parse(path.read_text("utf-8"))
    typing = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and id(node) not in typing:
            base = node.module.removeprefix("tinyvirat_build").lstrip(".")
            if node.module.startswith("tinyvirat_build"):
                inner = {f"{base}.{a.name}".lstrip(".") for a in node.names}
                found |= (inner & FILES.keys()) or ({base} & FILES.keys())
    return found


GRAPH = {name: imported(path) - {name} for name, path in FILES.items() if name}


def test_no_module_imports_itself_in_the_end() -> None:
    # What a module of a room imports of the room's own face is no cycle of rooms.
    TopologicalSorter(
        {n: {m for m in own if not n.startswith(f"{m}.")} for n, own in GRAPH.items()}
    ).prepare()


@pytest.mark.parametrize("room", sorted(FORBIDDEN))
def test_a_room_imports_nothing_above_it(room: str) -> None:
    for name, own in GRAPH.items():
        if name.split(".")[0] == room:
            assert not {m.split(".")[0] for m in own} & FORBIDDEN[room], name


def test_no_corpus_is_named_outside_its_room() -> None:
    # The settings hold each corpus's own group; a text that explains may name one.
    for name, path in FILES.items():
        if name.split(".")[0] not in ("sources", "settings"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    assert node.value.lower() not in CORPORA, (name, node.lineno)


def test_a_stage_opens_no_file() -> None:
    for name, path in FILES.items():
        if name.startswith("stages"):
            text = path.read_text("utf-8")
            assert not any(word in text for word in ("open(", "pathlib", "read_text", "import os"))
