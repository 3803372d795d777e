"""Read a TinyVIRAT tree: the rows of any released layout.

    v1   tiny_train.json, tiny_test.json            {"tubes": [{"id", "path", "dim", "label"}]}
    v2   tiny_train_v2.json, tiny_val_v2.json, tiny_test_v2_public.json      a list of such rows

Paths are relative to ``videos/<split>/``.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from tinyvirat_build.errors import DataError
from tinyvirat_build.labels import load_classes
from tinyvirat_build.released.layout import ANY_FOLDER, ANY_LIST, CLASS_MAP

DEFAULT_CLASSES: Final = "tinyvirat-26"


@dataclass(frozen=True, slots=True)
class TreeClip:
    """A row of a tree. ``dim`` is (frames, height, width) as written; labels None: none written."""

    split: str
    id: str
    clip_id: str
    video_id: str
    path: Path
    dim: tuple[int, ...]
    labels: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Tree:
    """A TinyVIRAT tree: its class list and its rows, train, val, test, each in file order."""

    root: Path
    classes: tuple[str, ...]
    clips: tuple[TreeClip, ...]


def read_tree(path: str | Path) -> Tree:
    """Read the rows of the tree at ``path``, or in its folder TinyVIRAT_V2 or TinyVIRAT.

    Raises:
        DataError: no tree there, a file that is not of the layout, an unknown label.
    """
    root = Path(path)
    for folder in (root, *(root / name for name in ANY_FOLDER)):
        if found := lists_in(folder):
            break
    else:
        raise DataError(
            f"{root}: no TinyVIRAT tree here (tiny_train_v2.json or tiny_train.json); "
            "name the folder that holds it"
        )
    classes = _classes(folder)
    known = set(classes)
    clips = tuple(c for split, file in found.items() for c in _rows(folder, split, file, known))
    return Tree(folder, classes, clips)


def lists_in(folder: Path) -> dict[str, Path]:
    """The list of each split that a folder has, of any release; with labels where there are two."""
    found = {}
    for split, names in ANY_LIST.items():
        if there := [name for name in names if (folder / name).is_file()]:
            found[split] = folder / there[0]
    return found


def read_labels(file: Path, classes: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The labels of a list's rows by id, as in the truth/test.json of a build.

    Raises:
        DataError: a file that is not of the layout, or a label that is not among the classes.
    """
    rows = _rows(file.parent, "test", file, set(classes))
    return {clip.id: clip.labels for clip in rows if clip.labels is not None}


def read_json(file: Path, remedy: str = "restore the file") -> Any:
    """The content of a JSON file.

    Raises:
        DataError: missing, or no JSON; with what to do.
    """
    try:
        return json.loads(file.read_text("utf-8"))
    except FileNotFoundError as e:
        raise DataError(f"{file}: no such file; {remedy}") from e
    except (OSError, ValueError, RecursionError) as e:
        raise DataError(f"{file}: cannot be read as JSON ({e}); {remedy}") from e


def read_class_map(file: Path) -> tuple[str, ...]:
    """The classes of a class_map.json, in the order of their numbers.

    Raises:
        DataError: missing, or its numbers are not 0, 1, 2, ….
    """
    tree = read_json(file, "give the class_map.json of the build")
    numbers = list(tree.values()) if isinstance(tree, dict) else []
    whole = [n for n in numbers if type(n) is int]
    if not tree or len(whole) < len(tree) or sorted(whole) != list(range(len(tree))):
        raise DataError(f"{file}: not a class map from names to 0, 1, 2, …; restore the file")
    return tuple(sorted(tree, key=tree.__getitem__))


def _classes(folder: Path) -> tuple[str, ...]:
    if (folder / CLASS_MAP).is_file():
        return read_class_map(folder / CLASS_MAP)
    if (folder / "classes.txt").is_file():
        lines = (folder / "classes.txt").read_text("utf-8").splitlines()
        return tuple(line.strip() for line in lines if line.strip())
    return load_classes(DEFAULT_CLASSES)


def _rows(folder: Path, split: str, file: Path, known: set[str]) -> Iterator[TreeClip]:
    rows = read_json(file)
    rows = rows.get("tubes") if isinstance(rows, dict) else rows
    if not isinstance(rows, list):
        raise DataError(f'{file}: neither a list of rows nor {{"tubes": […]}}; restore the file')
    for number, row in enumerate(rows):
        where = f"{file}: row {number}"
        try:
            clip_id, relative = str(row["id"]), PurePosixPath(row["path"])
            dim = tuple(int(n) for n in row["dim"])
            labels = row.get("label")
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            raise DataError(f"{where}: has no usable id, path and dim ({e!r}); mend it") from e
        if not relative.parts or relative.is_absolute() or ".." in relative.parts:
            raise DataError(f"{where}: path {row['path']!r} names no file of the tree; mend it")
        if labels is not None:
            if not isinstance(labels, list) or not all(isinstance(x, str) for x in labels):
                raise DataError(f"{where}: label is no list of names; mend it")
            if unknown := set(labels) - known:
                raise DataError(
                    f"{where}: label {min(unknown)!r} is not among the {len(known)} classes; "
                    "put a class_map.json beside it"
                )
        yield TreeClip(
            split=split,
            id=clip_id,
            clip_id=str(row.get("clip_id", f"{split}/{clip_id}")),
            video_id=str(row.get("video_id", relative.parts[0])),
            path=_locate(folder, split, relative),
            dim=dim,
            labels=None if labels is None else tuple(labels),
        )


def _locate(folder: Path, split: str, relative: PurePosixPath) -> Path:
    places = (folder / "videos" / split, folder / "videos", folder)
    return next((p / relative for p in places if (p / relative).is_file()), places[0] / relative)
