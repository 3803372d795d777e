"""Bounds that no annotation file can break: names, sizes, encodings, YAML.

Annotation files come from strangers. Nothing here trusts one: names are checked before a file
name is built from them, files are bounded in size and must be UTF-8 text, and YAML is read from
libyaml's event stream, so that nesting, scalars and aliases are bounded while it is read, not
after it has filled the memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from tinyvirat_build.errors import AnnotationError
from tinyvirat_build.store.userfiles import read_regular

MAX_FILE: Final = 1 << 31  # bytes; 10 million boxes are half of it, real ones tens of megabytes
MAX_JSON: Final = 1 << 30  # bytes; a tree takes many times its text
MAX_DEPTH: Final = 16  # KPF nests eight deep
MAX_SCALAR: Final = 4096  # characters; the longest real one is a meta line of about 80
MAX_COORDINATE: Final = 1e6  # pixels

_UNSAFE = re.compile(r"[/\\]|^\.|^-|^\s|\s$|^$")
_TRUE = frozenset(("true", "yes", "on", "1", "y"))


def safe_name(text: str) -> bool:
    r"""Whether a video, activity or actor name may become a part of a path.

    Refused are separators, whatever does not print (control characters, changes of direction,
    bytes that are not UTF-8), a leading dot or dash, outer blanks, the empty name and names over
    200 characters.

    >>> safe_name("2018-03-07.16-50-01.16-55-01.bus.G331"), safe_name("../../etc/passwd")
    (True, False)
    >>> safe_name(".."), safe_name("a\x00b"), safe_name("")
    (False, False, False)
    """
    return len(text) <= 200 and text.isprintable() and not _UNSAFE.search(text)


def shown(text: str) -> str:
    r"""A name as tables and terminals can take it: what does not print is escaped.

    >>> shown("caf\udce9 a\u202eb")
    'caf\\udce9 a\\u202eb'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def refuse_unsafe_video(video_id: str, files: Sequence[Path]) -> None:
    """Refuse a video whose name would leave the folders that are built from it.

    Raises:
        AnnotationError: see :func:`safe_name`.
    """
    if not safe_name(video_id):
        raise AnnotationError(
            f"unsafe video name {video_id[:80]!r}",
            file=files[0] if files else "annotations",
            remedy="rename the video and its annotations",
        )


def read_bytes(path: Path, limit: int = MAX_FILE) -> bytes:
    """The bytes of a text file: bounded, UTF-8 without byte-order mark, without NUL.

    Raises:
        AnnotationError: it cannot be opened, is no regular file, is larger than ``limit`` bytes,
            or is not UTF-8 text.
    """
    try:
        data = read_regular(path, limit)
    except (OSError, ValueError) as e:
        reason = getattr(e, "strerror", None) or str(e)
        raise AnnotationError(
            f"cannot be read ({reason})",
            file=path,
            remedy="give a readable file of the format, or leave it out",
        ) from e
    return check_text(data, path)


def check_text(data: bytes, path: Path) -> bytes:
    """The bytes without a UTF-8 mark, proven to be text.

    Raises:
        AnnotationError: NUL bytes, or not UTF-8; the line is named.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise AnnotationError("is UTF-16, not UTF-8", file=path, remedy="convert it to UTF-8")
    data = data.removeprefix(b"\xef\xbb\xbf")
    nul = data.find(b"\0")
    if nul >= 0:
        line = data.count(b"\n", 0, nul) + 1
        raise AnnotationError("holds a NUL byte", file=path, line=line, remedy="restore the file")
    if not data.isascii():
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as e:
            line = data.count(b"\n", 0, e.start) + 1
            raise AnnotationError(
                "is not UTF-8", file=path, line=line, remedy="convert it to UTF-8"
            ) from e
    return data


class Mapping(dict[str, Any]):
    """A YAML mapping with the line it starts on (1-based)."""

    __slots__ = ("line",)

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line


def yaml_items(data: bytes, path: Path) -> Iterator[Any]:
    """The items of a YAML file's top-level list, one by one, scalars as their own text.

    Scalars stay strings, so that a 64-bit id or a date-like name is never rounded or turned into
    something else; mappings know their line; the last of equal keys wins, as in PyYAML.

    Raises:
        AnnotationError: not YAML, no list, an alias or anchor, or beyond the bounds above.
    """
    stack: list[Any] = []  # the open collections
    keys: list[str | None] = []  # of each, the key that waits for its value
    documents = 0
    loader = None

    def refuse(what: str, line: int | None) -> AnnotationError:
        return AnnotationError(what, file=path, line=line, remedy="restore or correct the file")

    try:
        loader = yaml.CSafeLoader(data)
        while True:
            event: Any = loader.get_event()
            kind = type(event)
            if kind is yaml.ScalarEvent:
                value: Any = event.value
                if event.anchor is not None:
                    raise refuse("a YAML anchor, which no KPF file has", _line(event))
                if len(value) > MAX_SCALAR:
                    raise refuse(f"a scalar of {len(value)} characters", _line(event))
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                if event.anchor is not None:
                    raise refuse("a YAML anchor, which no KPF file has", _line(event))
                if len(stack) >= MAX_DEPTH:
                    raise refuse(f"nested deeper than {MAX_DEPTH}", _line(event))
                if not stack and kind is yaml.MappingStartEvent:
                    raise refuse("a mapping where KPF has a list of records", _line(event))
                if stack and type(stack[-1]) is Mapping and keys[-1] is None:
                    raise refuse("a collection as the key of a mapping", _line(event))
                stack.append(Mapping(_line(event)) if kind is yaml.MappingStartEvent else [])
                keys.append(None)
                continue
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                value = stack.pop()
                keys.pop()
            elif kind is yaml.AliasEvent:
                raise refuse("a YAML alias, which no KPF file has", _line(event))
            elif kind is yaml.StreamEndEvent or event is None:
                return
            else:
                documents += kind is yaml.DocumentStartEvent
                if documents > 1:
                    raise refuse("a second YAML document", _line(event))
                continue
            if not stack:
                if type(value) is str and value.strip():
                    raise refuse("a scalar where KPF has a list of records", _line(event))
            elif len(stack) == 1 and type(stack[0]) is list:
                yield value
            elif type(stack[-1]) is list:
                stack[-1].append(value)
            elif keys[-1] is None:
                keys[-1] = value
            else:
                stack[-1][keys[-1]] = value
                keys[-1] = None
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None) or getattr(e, "context_mark", None)
        what = getattr(e, "problem", None) or getattr(e, "reason", None) or "not YAML"
        raise refuse(f"not YAML ({what})", mark.line + 1 if mark else None) from e
    finally:
        if loader is not None:
            loader.dispose()


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def truth(text: Any) -> bool:
    """YAML 1.1's idea of a true scalar."""
    return isinstance(text, str) and text.lower() in _TRUE
