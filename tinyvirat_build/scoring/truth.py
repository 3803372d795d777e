"""The labels and the class list of a build, read from the released layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyvirat_build.errors import DataError
from tinyvirat_build.geometry.arrays import Bools, Ints
from tinyvirat_build.released.layout import CLASS_MAP, FOLDER, labelled_list
from tinyvirat_build.released.read import read_class_map, read_json


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """Clips in ascending order of id: multi-hot labels (N, C) and sides in pixels (N,)."""

    ids: tuple[str, ...]
    labels: Bools
    sides: Ints


def id_order(clip_id: str) -> tuple[int, str]:
    """A key that sorts ids as numbers: 99999 stands before 100000."""
    return len(clip_id), clip_id


def read_classes(file: Path) -> tuple[str, ...]:
    """The classes of a class_map.json in the order of their numbers, or of a classes.txt.

    Raises:
        DataError: missing, its numbers are not 0, 1, 2, …, or a class stands there twice.
    """
    if file.suffix != ".txt":
        return read_class_map(file)
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, ValueError) as e:
        raise DataError(f"{file}: cannot be read ({e}); give a class_map.json") from e
    names = tuple(line.strip() for line in lines if line.strip())
    if not names or len(set(names)) != len(names):
        raise DataError(f"{file}: not a list of different classes; give a class_map.json")
    return names


def class_map_of(truth: Path) -> Path:
    """The class map that belongs to a truth file: of its build, or beside it.

    Raises:
        DataError: there is none.
    """
    places = (truth.parent.parent / FOLDER / CLASS_MAP, truth.parent / CLASS_MAP)
    for place in places:
        if place.is_file():
            return place
    raise DataError(f"{truth}: no class_map.json near it; name one with --class-map")


def read_truth(file: Path, classes: Sequence[str]) -> Truth:
    """Labels and sides of the rows of a labelled JSON (a list, or ``{"tubes": list}``).

    Raises:
        DataError: missing, not such rows, an id twice, or a label outside the class list.
    """
    tree = read_json(file, "give the truth/test.json of a build")
    rows = tree.get("tubes") if isinstance(tree, dict) else tree
    position = {name: i for i, name in enumerate(classes)}
    try:
        rows = sorted(rows or [], key=lambda row: id_order(_id(row)))
        ids = tuple(_id(row) for row in rows)
        places = [(n, position[name]) for n, row in enumerate(rows) for name in row["label"]]
        sides = np.array([max(row["dim"][1:]) for row in rows], np.int64)
    except KeyError as e:
        raise DataError(f"{file}: {e} is no class or is missing; give the file's own map") from e
    except (TypeError, ValueError, IndexError) as e:
        raise DataError(f"{file}: not rows of id, dim and label; restore the file") from e
    if len(set(ids)) != len(ids):
        raise DataError(f"{file}: an id occurs twice; restore the file")
    labels = np.zeros((len(ids), len(classes)), bool)
    if places:
        labels[tuple(np.array(places).T)] = True
    return Truth(ids, labels, sides)


def _id(row: Any) -> str:
    """A row's id, a text or a number."""
    if type(row["id"]) not in (str, int) or isinstance(row.get("label"), str):
        raise TypeError
    return str(row["id"])


def split_truth(build: Path, split: str, classes: Sequence[str]) -> Truth:
    """Labels and sides of a build's split.

    Raises:
        DataError: see :func:`read_truth`.
    """
    return read_truth(labelled_list(build, split), classes)
