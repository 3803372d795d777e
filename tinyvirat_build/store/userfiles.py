"""Files that a user or a stranger wrote: regular, bounded, YAML without surprises.

Opening a FIFO waits for ever, a YAML alias expands a kilobyte to gigabytes, and of a key that is
written twice PyYAML silently keeps one. None of it is accepted here.
"""

from __future__ import annotations

import difflib
import errno
import reprlib
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import yaml

from tinyvirat_build.store.means import lacking

MAX_YAML: Final = 1 << 18  # bytes; settings and descriptions have some kilobytes
MAX_DEPTH: Final = 32
MAX_SCALAR: Final = 1 << 14  # characters; a licence's text is the longest

_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxother = 3, 80, 80


def quoted(value: object) -> str:
    """A value as messages show it: whatever it is, on some hundred characters.

    >>> quoted(list(range(9)))
    '[0, 1, 2, 3, 4, 5, ...]'
    """
    try:
        return _REPR.repr(value)
    except ValueError:  # an integer of thousands of digits
        return "a huge number"


def nearest(name: object, known: Iterable[str]) -> str:
    """What a message adds to a name that is not known.

    >>> nearest("merge.treshold", ["merge.threshold", "merge.unit"])
    ' (did you mean merge.threshold?)'
    """
    near = difflib.get_close_matches(str(name)[:200], list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def read_regular(path: Path, limit: int) -> bytes:
    """The bytes of a regular file of at most ``limit`` bytes.

    Raises:
        OSError: it cannot be read, is a device, pipe or folder, or is too large.
        MeansError: it cannot be read now, for want of memory or file handles.
    """
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EISDIR, "Is a directory")
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "is no regular file")
    if status.st_size > limit:
        raise OSError(errno.EFBIG, f"has {status.st_size} bytes, more than {limit}")
    try:
        return path.read_bytes()
    except OSError as e:
        raise lacking(e) or e from None


def load_yaml(data: str | bytes) -> Any:
    """What YAML says, without aliases, repeated keys, deep nesting or endless scalars.

    Raises:
        yaml.YAMLError: it is none, or has one of these; ``problem_mark`` knows the line.
        ValueError: a number or a date that is none.

    >>> load_yaml("a: [1, b]")
    {'a': [1, 'b']}
    """
    try:
        _check_events(data)
    except yaml.MarkedYAMLError as e:
        mark, last = e.problem_mark, len(data.splitlines()) - 1
        if mark is None or mark.line <= last:
            raise
        # libyaml finds an open bracket on the line after the last
        mark = yaml.Mark(mark.name, mark.index, last, 0, None, 0)
        raise yaml.MarkedYAMLError(problem=e.problem, problem_mark=mark) from e
    loader: Any = yaml.CSafeLoader(data)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _refuse_repeated(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_events(data: str | bytes) -> None:
    depth = 0
    event: Any
    for event in yaml.parse(data, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise _refused(event, "a YAML alias; write the value out")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _refused(event, f"nested deeper than {MAX_DEPTH}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.ScalarEvent) and len(event.value) > MAX_SCALAR:
            raise _refused(event, f"a scalar of {len(event.value)} characters")


def _refuse_repeated(node: yaml.Node) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[tuple[str, str]] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise _refused(key, f"the key {quoted(key.value)} occurs twice")
                seen.add((key.tag, key.value))
            _refuse_repeated(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated(item)


def _refused(at: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)
