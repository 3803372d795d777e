"""A vectorised scan of files whose lines differ in nothing but their integers.

A line template such as ``- {'a': <x>, 'b': <y>}`` fixes every byte of a line but the decimal
integers that stand for its fields. A block of text is recognised by taking the integers out of
it: what is left, its skeleton, must equal the templates' own, byte for byte, and every integer
must stand where its template has one. So each line is proven, none assumed, and the cost is a
few numpy passes over a block that fits the processor's cache, whatever the length of the file.

A key's own digit (``id1``) follows a letter and belongs to the skeleton; a ``-`` counts as part
of an integer where a digit follows and a blank, quote or bracket stands before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from tinyvirat_build.geometry.arrays import Bools, Bytes, Ints

BLOCK: Final = 1 << 18  # bytes; a block and its arrays stay in the second-level cache

_FIELD = re.compile(r"<(\w*)>")


def _integer_bytes() -> Bools:
    """For each pair (byte before, byte): whether the byte is part of an integer field."""
    table = np.zeros((256, 256), bool)
    digits = np.arange(48, 58)
    letters = [*range(65, 91), *range(97, 123), 95]
    table[:, digits] = True
    table[np.ix_(letters, digits)] = False
    table[[ord(c) for c in " '[,:"], ord("-")] = True
    return table.reshape(-1)


_INTEGER: Final = _integer_bytes()


class Template:
    """One shape of line; ``<name>`` is an integer field, ``<>`` one that is only checked."""

    def __init__(self, text: str) -> None:
        parts = _FIELD.split(text + "\n")
        self.fields: tuple[str, ...] = tuple(parts[1::2])
        self.skeleton = "".join(parts[0::2]).encode("ascii")
        self.offsets = np.cumsum([len(p) for p in parts[0:-1:2]])
        bare = np.frombuffer(b"\n" + self.skeleton, np.uint8).astype(np.int64)
        if _INTEGER[bare[:-1] * 256 + bare[1:]].any():
            raise ValueError(f"the fixed part of {text!r} holds an integer of its own")


class Family:
    """The templates that may stand in one file; each has a skeleton length of its own."""

    def __init__(self, *texts: str) -> None:
        self.templates = tuple(Template(t) for t in texts)
        self.by_length = {len(t.skeleton): i for i, t in enumerate(self.templates)}
        if len(self.by_length) != len(self.templates):
            raise ValueError("two templates have skeletons of one length")
        self._skeletons = [t.skeleton for t in self.templates]
        self._lookup = np.full(max(self.by_length) + 1, -1, np.int64)
        for length, i in self.by_length.items():
            self._lookup[length] = i

    def starts_like(self, data: bytes) -> bool:
        """Whether ``data`` starts as one of the templates does, up to its first integer."""
        return any(data.startswith(t.skeleton[: t.offsets[0]]) for t in self.templates)

    def scan(self, data: bytes, fields: Sequence[str]) -> dict[str, Ints] | None:
        """The fields of every line as arrays of shape (lines,), or None if one line differs.

        ``data`` ends with a newline. Field ``which`` is the index of each line's template. None
        too where an integer has over 18 digits (19 in fields whose name starts with ``id``), and
        where one in a field starting with ``id`` or ``ts`` is negative or has leading zeros,
        which YAML reads as something other than a decimal number.
        """
        blocks = []
        start = 0
        while start < len(data):
            end = len(data)
            if end - start > BLOCK:
                end = data.rfind(b"\n", start, start + BLOCK) + 1
                if end <= start:
                    return None
            block = self._scan_block(data, start, end, fields)
            if block is None:
                return None
            blocks.append(block)
            start = end
        if len(blocks) == 1:
            return blocks[0]
        names = (*fields, "which")
        return {
            name: np.concatenate([b[name] for b in blocks]) if blocks else np.empty(0, np.int64)
            for name in names
        }

    def _scan_block(
        self, data: bytes, start: int, end: int, fields: Sequence[str]
    ) -> dict[str, Ints] | None:
        text = np.frombuffer(data, np.uint8, end - start, start)
        pairs = np.empty(len(text), np.uint16)
        pairs[0] = 0x0A00 | int(text[0])
        np.left_shift(text[:-1], 8, out=pairs[1:], dtype=np.uint16)
        pairs[1:] |= text[1:]
        integer = _INTEGER[pairs]
        edges = np.flatnonzero(integer[1:] != integer[:-1])
        edges += 1
        if integer[0] or len(edges) % 2:
            return None
        starts, ends = edges[0::2], edges[1::2]
        skeleton = text[~integer]
        line_ends = np.flatnonzero(skeleton == 0x0A)
        lengths = np.diff(line_ends, prepend=-1)
        if lengths.max(initial=0) >= len(self._lookup):
            return None
        which = self._lookup[lengths]
        if which.min(initial=0) < 0:
            return None
        kinds = np.flatnonzero(np.bincount(which, minlength=len(self.templates)))
        if len(kinds) == 1:
            expected = self._skeletons[kinds[0]] * len(which)
        else:
            expected = b"".join([self._skeletons[i] for i in which.tolist()])
        if expected != skeleton.tobytes():
            return None
        counts = np.array([len(t.fields) for t in self.templates])[which]
        first = np.cumsum(counts) - counts
        if int(counts.sum()) != len(starts):
            return None
        widths = ends - starts
        # where each integer stands in the skeleton: its start less the integers before it
        places = starts - (np.cumsum(widths) - widths)
        line_starts = line_ends - lengths + 1
        if (text[starts] == 0x2D)[widths == 1].any():
            return None
        out = {name: np.empty(len(which), np.int64) for name in fields}
        for kind in kinds:
            template = self.templates[kind]
            lines = slice(None) if len(kinds) == 1 else np.flatnonzero(which == kind)
            runs = first[lines][:, None] + np.arange(len(template.fields))
            if (places[runs] - line_starts[lines][:, None] != template.offsets).any():
                return None
            for name in fields:
                column = runs[:, template.fields.index(name)]
                values = _integers(text, starts[column], widths[column], name)
                if values is None:
                    return None
                out[name][lines] = values
        out["which"] = which
        return out


def _integers(text: Bytes, starts: Ints, widths: Ints, name: str) -> Ints | None:
    """The integers of one field, each ``widths`` bytes from ``starts``; None as in ``scan``."""
    widest = int(widths.max(initial=0))
    head = text[starts]
    negative = head == 0x2D
    plain = name.startswith(("id", "ts"))
    if widest > (19 if name.startswith("id") else 18):
        return None
    if plain and (negative.any() or ((head == 0x30) & (widths > 1)).any()):
        return None
    value = np.zeros(len(starts), np.uint64)
    last = starts + widths - 1
    narrowest = int((widths - negative).min(initial=widest))
    scale = 1
    for k in range(widest):
        if k < narrowest:
            digit = text[last - k] - np.uint8(48)
            value += digit * np.uint64(scale)
        else:
            inside = np.flatnonzero(widths - negative > k)
            digit = text[last[inside] - k] - np.uint8(48)
            value[inside] += digit * np.uint64(scale)
        scale *= 10
    if widest == 19 and (value >= np.uint64(1 << 63)).any():
        return None
    signed = value.astype(np.int64)
    if negative.any():
        signed[negative] *= -1
    return signed
