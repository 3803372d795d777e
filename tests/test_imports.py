"""Which module may import which: downward only, without a cycle."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "tinyvirat_build"
FILES = {
    ".".join(p.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): p
    for p in PACKAGE.rglob("*.py")
    if p not in (PACKAGE / "__init__.py", PACKAGE / "__main__.py")
    and p.parent != PACKAGE / "annotations"
}
CORPORA = {"meva", "virat", "kitware", "umd"}
ALLOWED = {  # what a room, or a module at the root, may import
    "errors": "",
    "records": "",
    "plots": "",
    "progress": "",
    "geometry": "errors",
    "store": "errors records",
    "settings": "errors store",
    "labels": "errors settings store",
    "engine": "errors store",
    "formats": "errors geometry records store",
    "stages": "errors geometry records settings",
    "remote": "errors formats geometry settings store video",
    "sources": "errors formats geometry labels progress records remote settings stages store",
    "video": "errors geometry records settings store",
    "released": "errors geometry labels records settings store",
    "pack": "errors geometry records released store",
    "audit": "errors geometry progress records stages store video",
    "report": "audit errors geometry plots records settings stages store video",
    "pipeline": "audit engine errors geometry labels pack progress records released remote report "
    "settings sources stages store video",
    "ask": "audit engine errors formats geometry labels pack pipeline progress records released "
    "remote report settings sources stages store video",
    "exports": "errors formats geometry labels pipeline records released sources store",
    "builds": "ask audit engine errors exports labels pipeline records report settings store",
    "loader": "errors geometry pack records released store",
    "scoring": "errors geometry loader pack plots records released store",
    "train": "errors geometry loader pack progress records scoring settings store",
    "cli": "ask audit builds engine errors pack pipeline progress records scoring settings sources "
    "store train",
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
                modules = {f"{base}.{a.name}".lstrip(".") for a in node.names} & FILES.keys()
                found |= modules or ({base} & FILES.keys())
    return found


GRAPH = {name: imported(path) - {name} for name, path in FILES.items()}


def room_of(module: str) -> str:
    return module.split(".")[0]


def test_no_module_imports_itself_in_the_end() -> None:
    # What a module of a room imports of the room's own face is no cycle of rooms.
    TopologicalSorter(
        {n: {m for m in own if not n.startswith(f"{m}.")} for n, own in GRAPH.items()}
    ).prepare()


def test_no_room_imports_itself_in_the_end() -> None:
    TopologicalSorter({room: arrows.split() for room, arrows in ALLOWED.items()}).prepare()


@pytest.mark.parametrize("room", sorted({room_of(name) for name in GRAPH}))
def test_a_room_imports_what_it_may(room: str) -> None:
    allowed = {room, *ALLOWED[room].split()}
    for name, own in GRAPH.items():
        if room_of(name) == room:
            assert {room_of(m) for m in own} <= allowed, name


def test_no_corpus_is_named_outside_its_room() -> None:
    # The settings hold each corpus's own group; a text that explains may name one.
    for name, path in FILES.items():
        if name.split(".")[0] not in ("sources", "settings"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    assert node.value.lower() not in CORPORA, (name, node.lineno)


def test_a_cluster_is_named_where_its_engine_is_chosen_alone() -> None:
    naming = {
        n for n, path in FILES.items() if re.search(r"\bray\b", path.read_text("utf-8"), re.I)
    }
    assert naming == {"engine", "engine.ray", "cli.group"}


def test_no_two_classes_share_a_name() -> None:
    trees = [ast.parse(path.read_text("utf-8")) for path in FILES.values()]
    names = [node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)]
    assert sorted(names) == sorted(set(names))


def test_a_stage_opens_no_file() -> None:
    for name, path in FILES.items():
        if name.startswith("stages"):
            text = path.read_text("utf-8")
            assert not any(word in text for word in ("open(", "pathlib", "read_text", "import os"))
