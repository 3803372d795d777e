"""Compare two builds, or a build with a published list of rows: what differs, and why.

What a side is, says :mod:`tinyvirat_build.ask.sides`. Rows are joined by (video_id, released_id)
where there are such, else by clip_id; those of a public test list, which hides the videos, by
their number among the test clips. Rows of a list that have neither id, as VIRAT's in a released
list, are joined by their number where both sides number their clips alike, that is, each common
number names the same video; else by what they say: video, length, side and labels. Such rows tell
no start, so that some match by chance; how many is told, by shuffling.

A clip_id tells where a clip's window lies, so of two builds with other settings hardly one is
equal. What is left of them is joined by activities and frames, so that what changed is told.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final, TypeAlias

import pandas as pd

from tinyvirat_build import store
from tinyvirat_build.ask.sides import Row, Side, load
from tinyvirat_build.errors import DataError
from tinyvirat_build.records import REASONS

__all__ = ["DIFFERENCES", "ByContent", "Comparison", "Row", "Side", "compare", "load"]

_HIDDEN: Final = "test"  # stands for the videos of a public test list
_SHUFFLES: Final = 50
DIFFERENCES: Final = ("only in A", "only in B", "frames", "side", "labels", "window")


Key: TypeAlias = tuple[str, str, int]  # video, name, how often the name came before
Rows: TypeAlias = dict[Key, Row]


@dataclass(frozen=True, slots=True)
class ByContent:
    """Rows that are matched by video, length, side and labels.

    ``rows``: those of the list; ``matched``: those of them that the other side has, each once;
    ``by_chance``: how many would be, in the mean of shuffles of the list's lengths and sides
    within each video; ``labels``: whether labels took part (a test list may tell none).
    """

    rows: int
    matched: int
    by_chance: float
    labels: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs: one row of ``differences`` each (video_id, clip, difference, a, b, reason).

    ``videos`` counts, per video, the rows of A, of B, and those that are equal in both.
    ``left_out`` is (rows, videos) of the other side that a single list does not name and that
    were not compared; ``other_split``, how many joined rows stand in another split;
    ``by_content``, what came of rows that tell no start; ``pairs``, the rows of A and B behind
    each of ``differences``.
    """

    a: str
    b: str
    equal: int
    differences: pd.DataFrame
    videos: pd.DataFrame
    left_out: tuple[int, int] = (0, 0)
    other_split: int = 0
    by_content: ByContent | None = None
    pairs: tuple[tuple[Row | None, Row | None], ...] = ()

    @property
    def differs(self) -> bool:
        """Whether there is any difference."""
        return len(self.differences) > 0

    @property
    def unexplained(self) -> int:
        """How many differences no issue of a build gives a reason for."""
        return int((self.differences["reason"] == "").sum())

    def to_json(self) -> str:
        """As JSON, one object."""
        counts = self.differences["difference"].value_counts()
        tree = {
            "a": self.a,
            "b": self.b,
            "equal": self.equal,
            "counts": {name: int(counts.get(name, 0)) for name in DIFFERENCES},
            "unexplained": self.unexplained,
            "not_compared": dict(zip(("rows", "videos"), self.left_out, strict=True)),
            "other_split": self.other_split,
            "by_content": self.by_content and asdict(self.by_content),
            "differences": self.differences.to_dict("records"),
            "videos": self.videos.to_dict("records"),
        }
        return json.dumps(tree, indent=1, ensure_ascii=False)

    def render(self, most: int = 40) -> str:
        """As text for a terminal; the first ``most`` differences."""
        lines = [
            f"A = {self.a}",
            f"B = {self.b}",
            f"Equal in both: {store.many(self.equal, 'row')}.",
        ]
        if self.left_out[0]:
            rows, videos = self.left_out
            lines.append(
                f"Not compared, as the list does not name the video: {store.many(rows, 'row')} "
                f"of {store.many(videos, 'video')}."
            )
        if self.other_split:
            lines.append(f"In another split: {store.many(self.other_split, 'row')}.")
        if self.by_content:
            what = (
                "video, length, side and labels"
                if self.by_content.labels
                else ("video, length and side")
            )
            lines.append(
                f"{self.by_content.rows:,} rows tell no start and are matched by {what}: "
                f"{self.by_content.matched:,} are there; {self.by_content.by_chance:.1f} would be "
                "by chance (lengths and sides shuffled within each video)."
            )
        if not self.differs:
            return "\n".join([*lines, "Nothing differs."])
        counts = self.differences.groupby(["difference", "reason"]).size()
        for (difference, reason), n in zip(counts.index.tolist(), counts.tolist(), strict=True):
            why = f": {reason} ({REASONS[reason]})" if reason else ""
            lines.append(f"{n:>7,}  {difference}{why}")
        for row in self.differences.head(most).to_dict("records"):
            values = " ≠ ".join(row[side] for side in "ab" if row[side])
            why = f" ({row['reason']})" if row["reason"] else ""
            lines.append(
                f"  {row['difference']:<9}  {row['video_id']}  {row['clip']}  {values}{why}"
            )
        if len(self.differences) > most:
            lines.append(f"  … and {len(self.differences) - most:,} more (--json lists all)")
        return "\n".join(lines)


def compare(a: Side, b: Side, *, listed: bool = False) -> Comparison:
    """Join two sides and tell every difference, with the reason where a build's issues know it.

    A build or a tree is compared with a single list on the list's videos alone, all others as a
    whole. ``listed``: rows that a list does not name are passed over, for one that is only a part
    of its dataset. Labels are compared as sets, and not at all where a list tells none.

    Raises:
        DataError: a public test list, and a build that is not published.
    """
    kind = _key_kind(a, b)
    hidden = any(row.hides_video for side in (a, b) for row in side.rows)
    content = _content(a, b, kind)
    rows_a, rows_b = (_keyed(side, kind, hidden, content) for side in (a, b))
    left_out = _keep_listed(a, b, rows_a, rows_b)
    pairs = [(key, one, rows_b[key]) for key, one in rows_a.items() if key in rows_b]
    rest_a, rest_b = _rest(rows_a, rows_b), _rest(rows_b, rows_a)
    moved = _moved(rest_a, rest_b) if kind == "clip_id" else []
    found: list[tuple[tuple[str, ...], Row | None, Row | None]] = []
    equal: Counter[str] = Counter()
    pairs += [(key, rest_a.pop(key), rest_b.pop(candidate)) for key, candidate in moved]
    for key, one, other in pairs:
        new = list(_differences(one, other, a, b))
        equal[key[0]] += not new
        found += [((*key[:2], *difference), one, other) for difference in new]
    if not (listed and b.reasons is None):
        found += [
            ((*k[:2], "only in A", _text(one), "", _why(b, one)), one, None)
            for k, one in rest_a.items()
        ]
    if not (listed and a.reasons is None):
        found += [
            ((*k[:2], "only in B", "", _text(one), _why(a, one)), None, one)
            for k, one in rest_b.items()
        ]
    found.sort(key=lambda difference: difference[0])
    names = ["video_id", "clip", "difference", "a", "b", "reason"]
    splits = [(one.split, other.split) for _, one, other in pairs]
    return Comparison(
        a.name,
        b.name,
        equal.total(),
        pd.DataFrame([told for told, _, _ in found], columns=names),
        _videos(rows_a, rows_b, equal),
        left_out,
        sum(one != other for one, other in splits if one and other),
        None if content is None else _by_chance(a, b, kind, content),
        tuple((one, other) for _, one, other in found),
    )


def _key_kind(a: Side, b: Side) -> str:
    """``released_id`` where both sides have such, or one is a list; else ``clip_id``."""
    released = [any(row.released_id for row in side.rows) for side in (a, b)]
    lists = a.reasons is None or b.reasons is None
    return "released_id" if lists or all(released) else "clip_id"


Content: TypeAlias = Callable[[Row], str]


def _content(a: Side, b: Side, kind: str) -> Content | None:
    """What names rows that have no name: what they say, or None where their number does."""
    bare = [[r for r in s.rows if not getattr(r, kind) and not r.hides_video] for s in (a, b)]
    lists = [rows for rows, side in zip(bare, (a, b), strict=True) if side.reasons is None]
    if not any(lists):
        return None
    numbered = [{row.number: row.video_id for row in rows if row.number} for rows in bare]
    common = numbered[0].keys() & numbered[1].keys()
    if common and all(numbered[0][n] == numbered[1][n] for n in common):
        return None
    labelled = all(row.labels is not None for rows in bare for row in rows)
    return _text if labelled else _shape


def _shape(row: Row) -> str:
    return f"{row.frames} frames, {_size(row.side)}"


def _by_chance(a: Side, b: Side, kind: str, content: Content) -> ByContent:
    """How many rows that are matched by content the other side has, and has by chance."""
    listed, other = (a, b) if a.reasons is None else (b, a)
    rows, others = (
        [row for row in side.rows if not getattr(row, kind) and not row.hides_video]
        for side in (listed, other)
    )
    there = Counter((row.video_id, content(row)) for row in others)
    by_video: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_video[row.video_id].append(row)

    def matches(rows: Iterable[Row]) -> int:
        return (Counter((row.video_id, content(row)) for row in rows) & there).total()

    rng = random.Random(0)
    found = []
    for _ in range(_SHUFFLES):
        shuffled: list[Row] = []
        for own in by_video.values():
            lengths, sides = [row.frames for row in own], [row.side for row in own]
            rng.shuffle(lengths)
            rng.shuffle(sides)
            pairs = zip(own, lengths, sides, strict=True)
            shuffled += [replace(row, frames=n, side=side) for row, n, side in pairs]
        found.append(matches(shuffled))
    return ByContent(len(rows), matches(rows), sum(found) / _SHUFFLES, content is _text)


def _keyed(side: Side, kind: str, hidden: bool, content: Content | None) -> Rows:
    """The rows by video, name and how often that name came before.

    ``hidden``: test clips are known by their number alone. ``content``: what names a row that has
    no name.
    """
    found: Rows = {}
    times: Counter[tuple[str, str]] = Counter()
    for row in side.rows:
        by_number = hidden and (row.split == "test" or row.hides_video)
        if by_number and not row.number:
            raise DataError(
                f"{side.name} has no numbers yet, and a public test list nothing else to join by; "
                "run `tinyvirat-build publish` first, or compare the train and val lists"
            )
        video = _HIDDEN if by_number else row.video_id
        name = None if by_number else getattr(row, kind)
        if not name and content and not by_number:
            name = content(row)
        name = name or (f"number {row.number}" if row.number else str(row.clip_id))
        found[video, name, times[video, name]] = row
        times[video, name] += 1
    return found


def _keep_listed(a: Side, b: Side, rows_a: Rows, rows_b: Rows) -> tuple[int, int]:
    """Drop the rows of videos that a single list does not name: how many rows, and videos."""
    for whole, part, rows, listed in ((a, b, rows_a, rows_b), (b, a, rows_b, rows_a)):
        if whole.whole and not part.whole:
            scope = {key[0] for key in listed}
            beyond = [key for key in rows if key[0] not in scope]
            for key in beyond:
                del rows[key]
            return len(beyond), len({key[0] for key in beyond})
    return 0, 0


def _rest(rows: Rows, other: Rows) -> Rows:
    return {key: row for key, row in rows.items() if key not in other}


def _moved(rest_a: Rows, rest_b: Rows) -> list[tuple[Key, Key]]:
    """Pairs of rows of the same activities on common frames, those with most in common first."""
    by_activities: dict[tuple[str, tuple[str, ...]], list[Key]] = defaultdict(list)
    for key, row in rest_b.items():
        by_activities[row.video_id, tuple(sorted(row.activities))].append(key)
    common = []
    for key, row in rest_a.items():
        for candidate in by_activities.get((row.video_id, tuple(sorted(row.activities))), ()):
            span, other = row.span, rest_b[candidate].span
            if span and other and (n := min(span[1], other[1]) - max(span[0], other[0])) > 0:
                common.append((-n, key, candidate))
    taken: set[tuple[str, Key]] = set()
    pairs = []
    for _, key, candidate in sorted(common):
        if ("a", key) not in taken and ("b", candidate) not in taken:
            taken |= {("a", key), ("b", candidate)}
            pairs.append((key, candidate))
    return pairs


def _differences(one: Row, other: Row, a: Side, b: Side) -> Iterable[tuple[str, str, str, str]]:
    same = True
    if one.frames != other.frames or (one.span and other.span and one.span != other.span):
        same = False
        spans = (one.span, other.span) if one.span and other.span else (one.frames, other.frames)
        yield "frames", _frames(spans[0]), _frames(spans[1]), ""
    if one.side != other.side:
        same = False
        yield "side", _size(one.side), _size(other.side), ""
    if one.labels is not None and other.labels is not None and one.labels != other.labels:
        lost = [(a, other.labels - one.labels), (b, one.labels - other.labels)]
        known = [
            side.reasons.of_labels(gone) if side.reasons else "" for side, gone in lost if gone
        ]
        yield "labels", _names(one.labels), _names(other.labels), known[0] if all(known) else ""
    elif same and one.corners and other.corners and one.corners != other.corners:
        corners = zip(one.corners, other.corners, strict=True)
        i, (p, q) = next((i, pair) for i, pair in enumerate(corners) if pair[0] != pair[1])
        yield "window", f"frame {i}: {_at(p)}", _at(q), ""


def _at(corner: tuple[int, int]) -> str:
    return f"({corner[0]}, {corner[1]})"


def _frames(value: int | tuple[int, int]) -> str:
    return str(value) if isinstance(value, int) else f"[{value[0]}, {value[1]})"


def _why(side: Side, row: Row) -> str:
    """Why a build has no such row, as its issues tell; empty where they do not."""
    if side.reasons is None:
        return ""
    activities, span = row.activities, row.span
    if not activities and row.released_id:
        parts = re.match(r"([^_]+)_.*_(\d+)_(\d+)$", row.released_id)
        if parts:
            activities, span = (parts[1],), (int(parts[2]), int(parts[3]) + 1)
    return side.reasons.of_clip(row.video_id, activities, span, row.clip_id)


def _videos(
    rows_a: Mapping[Key, Row], rows_b: Mapping[Key, Row], equal: Mapping[str, int]
) -> pd.DataFrame:
    in_a, in_b = (Counter(key[0] for key in rows) for rows in (rows_a, rows_b))
    counts = [
        (name, in_a[name], in_b[name], equal.get(name, 0)) for name in sorted(in_a.keys() | in_b)
    ]
    return pd.DataFrame(counts, columns=["video_id", "a", "b", "equal"])


def _text(row: Row) -> str:
    labels = f", {_names(row.labels)}" if row.labels is not None else ""
    return f"{row.frames} frames, {_size(row.side)}{labels}"


def _size(side: Sequence[int]) -> str:
    return f"{side[0]}×{side[1]}"


def _names(labels: Iterable[str]) -> str:
    return "|".join(sorted(labels))
