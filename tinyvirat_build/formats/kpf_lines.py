"""The line shapes of real KPF files, and the fast way through files that have no other.

Each ``scan_*`` returns None as soon as one record has another shape than those written here; the
reader then takes the whole file through libyaml. What a shape admits, YAML reads the same way:
that is why leading zeros, quotes, escapes and non-ASCII text are not admitted.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from tinyvirat_build.formats.assemble import RawActivity, RawBoxes
from tinyvirat_build.formats.scan import Family
from tinyvirat_build.geometry.arrays import Ints

# kitware: an interpolated box has no keyframe key
_KITWARE: Final = Family(
    *(
        f"- {{ geom: {{id1: <id1>, id0: <id0>, ts0: <ts0>, ts1: {second}, "
        f"g0: <x1> <y1> <x2> <y2>{key} }} }}"
        for second in ("<>.<>", "<>")
        for key in (", keyframe: true", "")
    )
)
# kitware-meva-training: sorted keys, quoted box, no seconds
_TRAINING: Final = Family(
    *(
        "- {'geom': {'g0': '<x1> <y1> <x2> <y2>', 'id0': <id0>, 'id1': <id1>, "
        f"'keyframe': {key}, 'ts0': <ts0>}}}}"
        for key in ("True", "False")
    )
)
# contrib, once its wrapped lines are joined and its records stand one a line
_CONTRIB: Final = Family(
    *(
        "{geom: {g0: <x1> <y1> <x2> <y2>, id0: <id0>, id1: <id1>, "
        f"keyframe: {key}, ts0: <ts0>, ts1: <>.<>}}}}"
        for key in ("true", "false")
    )
)
# VIRAT/DIVA: a blank before the comma, a trailing comma
_VIRAT: Final = tuple(
    Family(
        *(
            f"- {{ geom: {{ id1: <id1>, id0: <id0>, ts0: <ts0>, ts1: {second}, "
            f"g0: <x1> <y1> <x2> <y2> , src: truth{occlusion}{tail}"
            for second in ("<>.<>", "<>")
            for occlusion in ("", ", occlusion: partially", ", occlusion: mostly")
        )
    )
    for tail in (", } }", " } }", ",  } }")
)
_GEOMETRY: Final = (_KITWARE, _TRAINING, _CONTRIB, *_VIRAT)

# per family of _GEOMETRY and template: whether the box is a keyframe
_KEYFRAME: Final = {
    id(family): np.array(
        [re.search(rb"keyframe'?: [tT]rue", t.skeleton) is not None for t in family.templates]
    )
    for family in _GEOMETRY
}


_ID = r"(?:0|[1-9]\d{0,18})"
_INT = r"(?:0|[1-9]\d{0,8})"
_SCORE = r"\d\.\d+"
_NAME = r"(?P<name>[A-Za-z]\w*)"
_STATUS = r"(?P<status>[a-z]\w*)"
_TIMESPAN = rf"\[\{{tsr0: \[(?P<start>{_INT}), ?(?P<end>{_INT})\]\}}\]"
_ACTOR = rf"\{{id1: {_ID}, timespan: \[\{{tsr0: \[{_INT}, ?{_INT}\]\}}\]\}}"
_ACTORS = rf"\[(?P<actors>{_ACTOR}(?:, {_ACTOR})*)\]"
_PLAIN = r"[ !#-\[\]-~]*"  # printable ASCII but " and \

_ACTIVITY: Final = tuple(
    re.compile(pattern.encode(), re.ASCII)
    for pattern in (
        rf"- \{{ act: \{{ act[23]: \{{ ?{_NAME}: {_SCORE} ?\}}, id2: (?P<id2>{_ID}), "
        rf"timespan: {_TIMESPAN}, (?:src_status|src): {_STATUS}(?:, actors: {_ACTORS})? ?\}} ?\}}",
        # training, without its quotes
        rf"- \{{act: \{{act2: \{{{_NAME}: {_SCORE}\}}, actors: {_ACTORS}, id2: (?P<id2>{_ID}), "
        rf"src_status: {_STATUS}, timespan: {_TIMESPAN}\}}\}}",
        rf"\{{act: \{{act2: !!set \{{{_NAME}: null\}}, actors: {_ACTORS}, "
        rf"id2: (?P<id2>{_ID}), timespan: {_TIMESPAN}\}}\}}",
    )
)
_TYPES: Final = tuple(
    re.compile(pattern.encode(), re.ASCII)
    for pattern in (
        rf"- \{{ types: \{{ id1: (?P<id1>{_ID}), cset3: \{{ {_NAME}: {_SCORE} \}} \}} \}}",
        rf"- \{{types: \{{cset3: \{{{_NAME}: {_SCORE}\}}, id1: (?P<id1>{_ID})\}}\}}",
        rf"\{{types: \{{cset3: \{{{_NAME}: {_SCORE}\}}, id1: (?P<id1>{_ID})\}}\}}",
    )
)
_META: Final = re.compile(
    rf"- \{{ meta: \"({_PLAIN})\" \}}"
    rf"|- \{{ meta: (\{{ \w+: \"{_PLAIN}\" \}}) \}}"
    r"|- \{'meta': '([A-Za-z\d][\w. -]*)'\}"
    r"|\{meta: ([A-Za-z\d][\w.-]*)\}".encode(),
    re.ASCII,
)
_QUOTED = re.compile(rb"(?<=[{ ])'([A-Za-z]\w*)'(?=[:,}])", re.ASCII)
_ACTOR_ID = re.compile(rb"id1: (\d+)")
_WRAP = re.compile(rb"\n +")


class Text:
    """A file's text as one record a line, whichever way it is wrapped.

    ``records`` is None where the text is in neither of the known layouts: a list item a line, or
    a flow list that PyYAML wrapped at 80 columns.
    """

    def __init__(self, data: bytes) -> None:
        self.metas: list[str] = []
        self._data = data
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        self.flow = data.startswith(b"[")
        self.records = None if b"\r" in data else self._joined(data) if self.flow else _ended(data)

    @staticmethod
    def _joined(data: bytes) -> bytes | None:
        """A wrapped flow list with each record on a line: a line break there is a blank."""
        data = data.rstrip(b"\n")
        if not data.endswith(b"]"):
            return None
        text = _WRAP.sub(b" ", data)
        if b"\n" in text:
            return None
        text = text.replace(b"{ ", b"{").replace(b"[ ", b"[").replace(b"}, {act: ", b"}\n{act: ")
        text = text.replace(b"}, {geom: ", b"}\n{geom: ").replace(b"}, {types: ", b"}\n{types: ")
        return _ended(text[1:-1])

    def lines(self, first: int, count: int, key: bytes) -> Ints:
        """The line in the file of ``count`` records that begin with ``key``, 1-based.

        ``first`` is the line of the first one where each has a line of its own.
        """
        if not self.flow:
            return np.arange(first, first + count)
        places = np.array([m.start() for m in re.finditer(key + b":", self._data)], np.int64)
        breaks = np.flatnonzero(np.frombuffer(self._data, np.uint8) == 0x0A)
        lines = np.searchsorted(breaks, places) + 1
        return lines if len(lines) == count else np.zeros(count, np.int64)

    def meta(self, line: bytes) -> bool:
        """Whether a record is a meta line; it is then kept in ``metas``."""
        match = _META.fullmatch(line)
        if match is None or line.startswith(b"{") != self.flow:
            return False
        self.metas.append(next(g for g in match.groups() if g is not None).decode("ascii"))
        return True


def _ended(data: bytes) -> bytes:
    return data if data.endswith(b"\n") or not data else data + b"\n"


def scan_geometry(text: Text) -> RawBoxes | None:
    """All boxes of a geometry file in file order, or None."""
    data = text.records
    if data is None:
        return None
    begin = metas = 0
    while begin < len(data):
        end = data.index(b"\n", begin)
        if not text.meta(data[begin:end]):
            break
        begin, metas = end + 1, metas + 1
    if begin == len(data):
        return RawBoxes()
    body = data[begin:] if begin else data
    wanted = ("id1", "ts0", "x1", "y1", "x2", "y2")
    for family in _GEOMETRY:
        if family.starts_like(body):
            found = family.scan(body, wanted)
            if found is not None:
                break
    else:
        return None
    ids, code = _codes(found["id1"])
    return RawBoxes(
        ids,
        code,
        found["ts0"],
        np.column_stack([found[c] for c in ("x1", "y1", "x2", "y2")]).astype(float),
        _KEYFRAME[id(family)][found["which"]],
        text.lines(metas + 1, len(code), b"geom"),
    )


def _codes(values: Ints) -> tuple[tuple[str, ...], Ints]:
    """Ids as strings and each row's index into them; ids mostly come in runs."""
    new = np.ones(len(values), bool)
    new[1:] = values[1:] != values[:-1]
    at = np.flatnonzero(new)
    unique, code = np.unique(values[at], return_inverse=True)
    lengths = np.diff(at, append=len(values))
    return tuple(map(str, unique.tolist())), np.repeat(code.astype(np.int64), lengths)


def scan_activities(text: Text) -> list[RawActivity] | None:
    """All activities in file order, the marker of an empty clip included, or None."""
    found = _match_lines(text, _ACTIVITY, b"act")
    if found is None:
        return None
    activities = []
    for match, line in found:
        name, id2, start, end, status, actors = _groups(match)
        ids = dict.fromkeys(_ACTOR_ID.findall(actors)) if actors else {}
        activities.append(
            RawActivity(
                id2.decode(),
                name.decode(),
                int(start),
                int(end) + 1,
                tuple(i.decode() for i in ids),
                status.decode(),
                line,
            )
        )
    return activities


def _groups(match: re.Match[bytes]) -> tuple[bytes, bytes, bytes, bytes, bytes, bytes]:
    g = match.groupdict(b"")
    return g["name"], g["id2"], g["start"], g["end"], g.get("status", b""), g.get("actors", b"")


def scan_types(text: Text) -> dict[str, str] | None:
    """The type of each actor, or None."""
    found = _match_lines(text, _TYPES, b"types")
    if found is None:
        return None
    return {match["id1"].decode(): match["name"].decode() for match, _ in found}


def _match_lines(
    text: Text, shapes: tuple[re.Pattern[bytes], ...], key: bytes
) -> list[tuple[re.Match[bytes], int | None]] | None:
    """Each record's match with the file's one shape, and its line; None if one has another."""
    if text.records is None:
        return None
    shape = None
    found: list[tuple[re.Match[bytes], int | None]] = []
    for number, line in enumerate(text.records.split(b"\n")[:-1], 1):
        if b"'" in line and not line.startswith((b"- { meta", b"- {'meta")):
            line = _QUOTED.sub(rb"\1", line)
        if shape is None:
            shape = next((s for s in shapes if s.fullmatch(line)), None)
        match = shape.fullmatch(line) if shape is not None else None
        if match is not None:
            found.append((match, number))
        elif not text.meta(line):
            return None
    if text.flow:
        lines = text.lines(0, len(found), key).tolist()
        return [(match, at or None) for (match, _), at in zip(found, lines, strict=True)]
    return found
