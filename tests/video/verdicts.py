"""Which cells of the matrix may be refused or marked, and why; the cells that every run tries.

A refusal that is not written here fails its cell, and so does another reason than the one given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatch
from itertools import cycle

import cv2

from .matrix import FAULTS, Cell, Result, cells

# Cells (patterns of their names), the reason, and why it is right to refuse.
REFUSED: tuple[tuple[str, str, str], ...] = (
    ("mov-*-tail", "unreadable", "the table of samples stood at the end that is gone"),
    (
        "avi-h*-first-lost",
        "unreadable",
        "the only parameter sets that the library reads before it opens the file are lost",
    ),
    (
        "*-vp9-hidden-in-group",
        "first_picture",
        "OpenCV and PyAV decode nothing of it, the program from the second keyframe on",
    ),
)
# Cells without damage of which clips are refused, and why.
MARKED: tuple[tuple[str, str], ...] = (
    (
        "avi-hevc*",
        "an AVI has decoding times alone, and HEVC's own order of pictures is not read",
    ),
    ("avi-av1*", "neither OpenCV nor the program, given its packets, opens AV1 out of an AVI"),
    ("avi-*-in-group", "leading slots whose pictures refer to what is not there are kept, as lost"),
    ("avi-*-open-start", "as inside a group"),
    (
        "*-mpeg[124]*-in-group",
        "its first pictures refer to what is not there, and decoders differ in what they show",
    ),
    ("*-mpeg1-open-start", "as inside a group"),
)
# What OpenCV does where it does not show what the program shows; the program's count is taken.
OPENCV: dict[str, str] = {
    "same": "it shows the same",
    "stops": "it gives up at the first packet that does not decode; of AV1 it decodes nothing",
    "other": "it takes the cover picture for the video",
}
# Older ones have another FFmpeg, which shows otherwise what is damaged; no build depends on it.
_OPENCV_NOW = int(cv2.__version__.split(".")[0]) >= 5
MOST = 120
WRONG_ONCE = ("mkv-vp8-block-gone", "avi-mpeg4-packed-lost", "webm-vp9-hidden-in-group")


def failure(result: Result) -> str | None:
    """What is wrong with what came of a cell; None where nothing is."""
    cell = result.cell
    alike = result.opencv in OPENCV and (result.opencv != "other" or cell.fault == "cover")
    if not alike and _OPENCV_NOW:
        return f"OpenCV and the program differ: {result.opencv}"
    if result.mark == "refused":
        known = {reason for pattern, reason, _ in REFUSED if fnmatch(cell.name, pattern)}
        return None if set(result.reasons) <= known else f"refused: {result.detail}"
    if result.mark == "marked" and not FAULTS[cell.fault].damages:
        fine = any(fnmatch(cell.name, pattern) for pattern, _ in MARKED)
        return None if fine else f"clips are refused: {', '.join(result.reasons)}"
    return None if result.mark in ("exact", "marked") else result.detail


def chosen() -> list[Cell]:
    """The cells of every run of the tests: each fault in each container, each codec plain.

    Besides those that were wrong once.
    """
    found: list[Cell] = []
    of_pair: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells():
        if cell.container == "m2ts" and cell.fault not in ("plain", "restart", "packets-gone"):
            continue  # TS in a wrapping
        of_pair.setdefault((cell.container, cell.fault), []).append(cell)
    for turn, some in zip(cycle(range(7)), of_pair.values(), strict=False):
        found.append(some[turn % len(some)])
    found += [c for c in cells() if c.name in WRONG_ONCE and c not in found]
    plain = {c.codec for c in found if c.fault == "plain"}
    for cell in cells():
        if cell.fault == "plain" and cell.codec not in plain:
            plain.add(cell.codec)
            found.append(cell)
    assert len(found) <= MOST
    return found


def table(results: Sequence[Result]) -> str:
    """The section of docs/formats.md: what came of the cells, and why some are refused."""
    containers = list(dict.fromkeys(r.cell.container for r in results))
    rows = [f"| the file | {' | '.join(containers)} |", "|---" * (len(containers) + 1) + "|"]
    for name, fault in FAULTS.items():
        row = []
        for container in containers:
            marks = Counter(
                r.mark for r in results if (r.cell.container, r.cell.fault) == (container, name)
            )
            row.append(", ".join(f"{mark} {n}" for mark, n in sorted(marks.items())))
        rows.append(f"| {fault.what} | {' | '.join(row)} |")
    count = Counter(r.mark for r in results)
    head = f"{len(results)} cells: " + ", ".join(f"{n} {m}" for m, n in count.most_common()) + "."
    refused = [f"- `{p}`, `{reason}`: {why}." for p, reason, why in REFUSED]
    marked = [f"- `{p}`: {why}." for p, why in MARKED]
    beside = Counter(r.opencv for r in results)
    opencv = [f"- {beside[k]} cells: {why}." for k, why in OPENCV.items()]
    return "\n".join(
        [
            head, "", *rows, "", "Refused whole, and why that is right:", "", *refused, "",
            "Whole files of which clips are refused:", "", *marked, "",
            "OpenCV beside the program, whose count is taken:", "", *opencv,
        ]
    )  # fmt: skip
