"""Trees of settings: YAML and ``key=value`` read, laid over each other, made frozen dataclasses.

What the keys are, the dataclasses say; here a value of another type, or a key that no dataclass
has, becomes an error that names the key and the nearest one.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import yaml

from tinyvirat_build.errors import SettingsError
from tinyvirat_build.store.userfiles import MAX_YAML, load_yaml, nearest, quoted, read_regular

T = TypeVar("T")

_KINDS: Final = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
_EXPONENT: Final = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")  # to YAML 1.1 partly a text


def load_group(kind: type[T], files: Sequence[Path], overrides: Sequence[str] = ()) -> T:
    """A dataclass of settings from YAML files, later over earlier, and ``key=value`` overrides.

    Raises:
        SettingsError: an unknown key, or a value of the wrong type.
    """
    tree: dict[str, Any] = {}
    for file in files:
        update(tree, read_yaml(file))
    for override in overrides:
        update(tree, parse_override(override))
    return build(kind, tree)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a user's YAML file; an empty file is an empty mapping.

    Raises:
        SettingsError: it cannot be read, or is no mapping.
    """
    try:
        text = read_regular(path, MAX_YAML).decode("utf-8")
    except (OSError, ValueError) as e:
        raise SettingsError(f"cannot read settings {path}: {e}; give a readable YAML file") from e
    try:
        tree = load_yaml(text)
    except (yaml.YAMLError, RecursionError, ValueError) as e:
        mark = getattr(e, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(e, "problem", None) or "not YAML"
        raise SettingsError(f"{path}{line}: {problem}; mend the YAML") from e
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise SettingsError(f"{path}: settings are a mapping, found {type(tree).__name__}")
    return tree


def parse_override(text: str) -> dict[str, Any]:
    """The tree that one ``key=value`` of a command line says.

    >>> parse_override("crop.sides=[56, 112]")
    {'crop': {'sides': [56, 112]}}

    Raises:
        SettingsError: there is no key, or the value is not YAML.
    """
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise SettingsError(
            f"--set takes key=value, found {text!r}; e.g. --set merge.threshold=0.5"
        )
    try:
        parsed = load_yaml(value)
    except (yaml.YAMLError, RecursionError, ValueError) as e:
        raise SettingsError(f"--set {text}: the value is not YAML; quote it") from e
    tree: Any = parsed
    for part in reversed(key.strip().split(".")):
        tree = {part: tree}
    assert isinstance(tree, dict)
    return tree


def update(tree: dict[str, Any], other: Mapping[str, Any]) -> None:
    """Put a tree over another, key by key."""
    for key, value in other.items():
        if isinstance(value, Mapping) and isinstance(tree.get(key), dict):
            update(tree[key], value)
        else:
            tree[key] = dict(value) if isinstance(value, Mapping) else value


def overlay(tree: dict[str, Any], later: Mapping[str, Any]) -> None:
    """Put later settings over a tree: what they say of all sources, no source keeps its own of."""
    by_source = tree.get("by_source")
    for own in by_source.values() if isinstance(by_source, dict) else ():
        _prune(own, later)
    update(tree, later)


def _prune(own: Any, later: Mapping[str, Any]) -> None:
    for key in own.keys() & later.keys() if isinstance(own, dict) else ():
        if isinstance(own[key], dict) and isinstance(later[key], Mapping):
            _prune(own[key], later[key])
        else:
            del own[key]


def build(kind: type[T], tree: Mapping[str, Any]) -> T:
    """A dataclass, and those in its fields, from a tree.

    Raises:
        SettingsError: a key that the dataclass lacks or needs, or a value of the wrong type.
    """
    built: T = _build(kind, tree, "")
    return built


def _build(kind: Any, tree: Mapping[str, Any], prefix: str) -> Any:
    hints = typing.get_type_hints(kind)
    unknown = [k for k in tree if k not in hints]
    if unknown:
        key = f"{prefix}{unknown[0]}"
        known = sorted(f"{prefix}{k}" for k in hints)
        raise SettingsError(
            f"unknown setting {quoted(key)}{nearest(key, known)}; "
            "`tinyvirat-build config` lists all, with --train those of training"
        )
    for f in dataclasses.fields(kind):
        needed = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if needed and f.name not in tree:
            raise SettingsError(f"setting {prefix.rstrip('.')} lacks {f.name}; give it")
    return kind(**{k: _coerce(hints[k], v, f"{prefix}{k}") for k, v in tree.items()})


def _coerce(hint: Any, value: Any, key: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise SettingsError(
                f"setting {key} is a group, found {quoted(value)}; set one of its keys"
            )
        return _build(hint, value, f"{key}.")
    origin = typing.get_origin(hint)
    if origin is Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise SettingsError(
                f"setting {key} is one of {', '.join(map(str, choices))}, found {quoted(value)}"
            )
        return value
    if origin is tuple:
        item = typing.get_args(hint)[0]
        values = value if isinstance(value, list | tuple) else [value]
        return tuple(_coerce(item, v, key) for v in values)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise SettingsError(f"setting {key} is a mapping, found {quoted(value)}")
        item = typing.get_args(hint)[1]
        if item is Any:
            return dict(value)
        return {str(k): _coerce(item, v, f"{key}.{k}") for k, v in value.items()}
    if origin is types.UnionType:
        if value is None and types.NoneType in typing.get_args(hint):
            return None
        of_lists = [h for h in typing.get_args(hint) if typing.get_origin(h) is tuple]
        if isinstance(value, list | tuple) and of_lists:
            return _coerce(of_lists[0], value, key)
        return _coerce(typing.get_args(hint)[0], value, key)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str) and _EXPONENT.fullmatch(value):
        return float(value)
    if hint is int and isinstance(value, bool):
        raise SettingsError(f"setting {key} takes {_KINDS[int]}, found {quoted(value)}")
    if not isinstance(value, hint):
        raise SettingsError(f"setting {key} takes {_KINDS[hint]}, found {quoted(value)}")
    return value


def plain(value: Any) -> Any:
    """Dicts and lists of a value's dicts, lists and tuples, as YAML and JSON have them."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    return value
