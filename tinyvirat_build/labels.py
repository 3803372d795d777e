"""Class lists and label maps: the names of annotations to the classes of a dataset.

A class list is a CSV file with the one column ``name``; its order is the order of the classes. A
label map is a CSV file with the columns ``name, labels, note``: an annotated name, the classes it
stands for (none, one, or several joined by ``;``), and why. A name with no label is *expressly
unmapped*; a name that is not in the map at all is *unknown*, which is a fault of the data or of
the map. A class list serves as its own identity map.

>>> classes = load_classes("tinyvirat-26")
>>> names = load_map("meva-to-tinyvirat", classes)
>>> names.labels_of("Heavy_Carry")
('activity_carrying', 'Transport_HeavyCarry')
>>> names.labels_of("Sit_Down"), names.labels_of("person_sitz_down")
((), None)
>>> names.nearest("person_sitz_down")
'person_sits_down'
"""

from __future__ import annotations

import csv
import difflib
import functools
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tinyvirat_build.errors import SettingsError
from tinyvirat_build.settings import Settings, annotations_dir
from tinyvirat_build.store.userfiles import nearest, quoted, read_regular

MAX_BYTES: Final = 4 << 20  # a list of names is a few kilobytes; anything else is a mistake


@dataclass(frozen=True, slots=True)
class LabelMap:
    """What each annotated name means: ``labels`` holds, per name, its classes in class order."""

    name: str
    labels: Mapping[str, tuple[str, ...]]
    file: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)

    def labels_of(self, name: str) -> tuple[str, ...] | None:
        """The classes of an annotated name; empty if expressly unmapped, None if unknown."""
        return self.labels.get(name)

    def nearest(self, name: str) -> str | None:
        """The known name that an unknown one resembles most, if any does."""
        near = difflib.get_close_matches(name[:200], self.labels, n=1)
        return near[0] if near else None


def label_files() -> list[str]:
    """The names of the class lists and label maps that come with the package."""
    return sorted(p.stem for p in (annotations_dir() / "labels").glob("*.csv"))


_OWN: Final = "-to-tinyvirat"  # how the map of a namespace ends that needs no setting
DEFAULTS: Final = {n.removesuffix(_OWN): n for n in label_files() if n.endswith(_OWN)}
"""The label map of each namespace where the settings name none."""


def load_classes(name: str | Sequence[str]) -> tuple[str, ...]:
    """The classes of a list under ``annotations/labels``, or of the CSV or text file at a path.

    Or the names themselves, in their order.

    Raises:
        SettingsError: no such list, an empty or repeated name; with file and line.
    """
    if not isinstance(name, str):
        if not name or not all(name) or len(set(name)) < len(name):
            raise SettingsError(
                f"setting classes: takes different names, found {quoted(list(name))}; correct it"
            )
        return tuple(name)
    path = _find(name, "class list")
    return _classes_in(path, _stamp(path))


@functools.lru_cache(maxsize=32)
def _classes_in(path: Path, stamp: tuple[int, int]) -> tuple[str, ...]:
    rows = _rows(path)
    if rows and [c.strip() for c in rows[0][1]] == ["name"]:
        rows = rows[1:]
    classes: dict[str, int] = {}
    for line, cells in rows:
        if len(cells) != 1:
            raise SettingsError(
                f"{path}:{line}: a class list has one column, found {len(cells)}; "
                "give one class name a line"
            )
        _refuse_repeated(cells[0], classes, path, line)
        classes[cells[0]] = line
    if not classes:
        raise SettingsError(f"{path}: no class in the list; give one class name a line")
    return tuple(classes)


def load_map(name: str, classes: tuple[str, ...]) -> LabelMap:
    """The label map of that name under ``annotations/labels``, or the CSV file at a path.

    ``identity`` maps every class to itself.

    Raises:
        SettingsError: no such map, a label that is not in ``classes``, a name that occurs twice,
            a missing column; with file and line.
    """
    if name == "identity":
        return make_map(name, [(c, (c,)) for c in classes], classes)
    path = _find(name, "label map")
    return _map_in(name, path, _stamp(path), classes)


@functools.lru_cache(maxsize=32)
def _map_in(name: str, path: Path, stamp: tuple[int, int], classes: tuple[str, ...]) -> LabelMap:
    rows = _rows(path)
    header = [c.strip() for c in rows[0][1]] if rows else []
    if header == ["name"]:
        rows = [(line, [c, c]) for line, (c, *_) in rows[1:]]
    elif header[:2] == ["name", "labels"]:
        rows = rows[1:]
    else:
        raise SettingsError(
            f"{path}:1: a label map begins with the header name,labels,note, "
            f"found {','.join(header)[:80]!r}; add it"
        )
    order = {c: i for i, c in enumerate(classes)}
    labels: dict[str, tuple[str, ...]] = {}
    notes: dict[str, str] = {}
    lines: dict[str, int] = {}
    for line, cells in rows:
        if not 2 <= len(cells) <= 3:
            raise SettingsError(
                f"{path}:{line}: a row is name,labels,note, found {len(cells)} columns; "
                "join several labels with ';' and quote a note with commas"
            )
        word = cells[0].strip()
        _refuse_repeated(word, lines, path, line)
        lines[word] = line
        labels[word] = _ordered(cells[1].split(";"), order, f"{path}:{line}")
        if len(cells) == 3 and cells[2]:
            notes[word] = cells[2].strip()
    return LabelMap(name, labels, str(path), notes)


def make_map(
    name: str, pairs: Iterable[tuple[str, Sequence[str]]], classes: tuple[str, ...], where: str = ""
) -> LabelMap:
    """A label map from pairs of a name and its classes, checked as a file is.

    Raises:
        SettingsError: a label that is not in ``classes``, or a name that occurs twice.
    """
    order = {c: i for i, c in enumerate(classes)}
    labels: dict[str, tuple[str, ...]] = {}
    for word, found in pairs:
        if word in labels:
            raise SettingsError(f"{where or name}: {quoted(word)} occurs twice; keep one of them")
        labels[word] = _ordered(found, order, where or name)
    return LabelMap(name, labels, where)


def map_of(namespace: str, settings: Settings) -> LabelMap:
    """The map that reads a namespace's names under these settings.

    ``settings.labels`` names the map of a namespace; otherwise :data:`DEFAULTS` does, and a
    namespace in neither is read by the identity.

    Raises:
        SettingsError: the map or the class list cannot be used.
    """
    name = settings.labels.get(namespace) or DEFAULTS.get(namespace, "identity")
    return load_map(name, load_classes(settings.classes))


@functools.lru_cache(maxsize=32)
def load_names(name: str) -> Mapping[str, str]:
    """Released names by annotated name: a CSV file of two columns with a header line.

    ``name`` is a list under ``annotations/labels`` or a path; the empty name is the empty list.
    The released TinyVIRAT-v2 has the names of December 2019, today's annotations have others.

    Raises:
        SettingsError: no such list, a line without two columns, or a name that occurs twice.
    """
    if not name:
        return {}
    path = _find(name, "list of names")
    found: dict[str, str] = {}
    lines: dict[str, int] = {}
    for line, cells in _rows(path)[1:]:
        if len(cells) != 2:
            raise SettingsError(
                f"{path}:{line}: a list of names has two columns, found {len(cells)}; "
                "give an annotated and a released name a line"
            )
        _refuse_repeated(cells[0], lines, path, line)
        found[cells[0]], lines[cells[0]] = cells[1], line
    return found


def _find(name: str, what: str) -> Path:
    if name.endswith((".csv", ".txt")) or "/" in name:
        return Path(name)
    if name not in label_files():
        # A map's file is named by what it leads from and to.
        known = [n for n in label_files() if ("-to-" in n) == (what != "class list")]
        raise SettingsError(
            f"no {what} {quoted(name)}{nearest(name, known)}; name one of {', '.join(known)}, "
            "or a .csv file"
        )
    return annotations_dir() / "labels" / f"{name}.csv"


def _stamp(path: Path) -> tuple[int, int]:
    """Size and time of a file, so that a cached list is read again when the file changes."""
    try:
        status = path.stat()
    except OSError as e:
        raise SettingsError(f"cannot read {path}: {e.strerror}; give a CSV file") from e
    return status.st_size, status.st_mtime_ns


def _bytes_of(path: Path) -> bytes:
    try:
        return read_regular(path, MAX_BYTES)
    except OSError as e:
        raise SettingsError(f"cannot read {path}: {e.strerror}; give a UTF-8 CSV file") from e


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """The filled rows of a CSV file with their line numbers."""
    try:
        text = _bytes_of(path).decode("utf-8-sig")
        if "\0" in text:
            raise ValueError("holds a NUL byte")
    except ValueError as e:
        raise SettingsError(f"cannot read {path}: {e}; give a UTF-8 CSV file") from e
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        return [(reader.line_num, [c.strip() for c in row]) for row in reader if any(row)]
    except csv.Error as e:
        raise SettingsError(f"{path}:{reader.line_num}: {e}; give a UTF-8 CSV file") from e


def _refuse_repeated(word: str, seen: Mapping[str, int], path: Path, line: int) -> None:
    if not word:
        raise SettingsError(f"{path}:{line}: an empty name; fill it or delete the line")
    if word in seen:
        raise SettingsError(
            f"{path}:{line}: {quoted(word)} occurs twice, first on line {seen[word]}; delete one"
        )


def _ordered(found: Iterable[str], order: Mapping[str, int], where: str) -> tuple[str, ...]:
    words = {w for w in (f.strip() for f in found) if w}
    for word in sorted(words - order.keys()):
        raise SettingsError(
            f"{where}: label {quoted(word)} is not in the class list{nearest(word, order)}; "
            "correct it, leave it empty, or name another map with labels.NAMESPACE"
        )
    return tuple(sorted(words, key=order.__getitem__))
