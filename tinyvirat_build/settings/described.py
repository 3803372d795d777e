"""What each setting is: its default, its choices and what its comment says."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import re
import typing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tinyvirat_build.errors import SettingsError
from tinyvirat_build.store.userfiles import nearest, quoted


@dataclass(frozen=True, slots=True)
class Described:
    """One setting: its dotted key, its default, what it may be, what it is."""

    key: str
    default: Any
    choices: tuple[str, ...]
    about: str
    group: str  # what the settings beside it are about


def described(kind: type, prefix: str = "") -> Iterator[Described]:
    """Every setting of a dataclass and of those in its fields, in their order.

    >>> from tinyvirat_build.settings import Merge
    >>> found = next(described(Merge, "merge."))
    >>> found.key, found.default, found.choices
    ('merge.unit', 'component', ('component', 'activity'))
    """
    hints = typing.get_type_hints(kind)
    comments = dict(re.findall(r"^    (\w+):.*?#\s*(.+)$", inspect.getsource(kind), re.MULTILINE))
    group = (kind.__doc__ or "").partition("\n")[0]
    instance = kind()
    for field in dataclasses.fields(kind):
        value, hint = getattr(instance, field.name), hints[field.name]
        key = f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            yield from described(type(value), f"{key}.")
            continue
        literal = typing.get_origin(hint) is Literal
        choices = tuple(map(str, typing.get_args(hint))) if literal else ()
        default = list(value) if isinstance(value, tuple) else value
        yield Described(key, default, choices, comments.get(field.name, ""), group)


def under(settings: Iterable[Described], names: Iterable[str]) -> list[Described]:
    """The settings of those keys, and of those groups, each once."""
    wanted = tuple(names)
    return [s for s in settings if any(s.key == n or s.key.startswith(f"{n}.") for n in wanted)]


def explained(kind: type, name: str) -> list[Described]:
    """The setting of that key, or those of that group.

    Raises:
        SettingsError: there is none.
    """
    known = list(described(kind))
    if found := under(known, [name]):
        return found
    names = sorted({s.key for s in known} | {s.key.rpartition(".")[0] for s in known} - {""})
    raise SettingsError(
        f"no setting {quoted(name)}{nearest(name, names)}; `tinyvirat-build config` lists all"
    )


def told(setting: Described) -> str:
    """What it may be and what it is, in a line."""
    return "; ".join(p for p in (" | ".join(setting.choices), setting.about) if p)


def presets_told(files: Sequence[Path]) -> list[tuple[str, str]]:
    """Each preset with the first sentence of its file's head."""
    return [
        (f.stem, _first_sentence(f.read_text("utf-8"))) for f in sorted(files, key=lambda f: f.stem)
    ]


def _first_sentence(text: str) -> str:
    head = itertools.takewhile(lambda line: line.startswith("# "), text.splitlines())
    return " ".join(line[2:].strip() for line in head).partition(". ")[0].rstrip(".") + "."
