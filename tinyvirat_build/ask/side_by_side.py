"""A comparison as one page: counts, classes, sides, lengths, and each difference with pictures.

The page is one file that runs no program and asks nothing of the network: its style is named by
its hash in the page's policy, its pictures stand in it, and everything it says is escaped.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

import cv2

from tinyvirat_build.ask.compare import DIFFERENCES, Comparison
from tinyvirat_build.ask.sides import Row, Side
from tinyvirat_build.records import REASONS, SPLITS
from tinyvirat_build.report.html import environment
from tinyvirat_build.report.scripts import templates
from tinyvirat_build.video.frames import frames_at

ROWS: Final = 100  # shown of each kind of difference
PICTURES: Final = 24  # of those, rows that have pictures
_WIDE: Final = 160  # pixels of the longest bar, and about as many of a picture
_BINS: Final = 12
_TITLES: Final = {
    "only in A": "Clips in A alone",
    "only in B": "Clips in B alone",
    "labels": "Label disagreements",
    "frames": "Other frames",
    "side": "Other sides",
    "window": "Other windows",
}


def page(found: Comparison, a: Side, b: Side) -> str:
    """The page of what :func:`~tinyvirat_build.ask.compare.compare` found of two sides."""
    style = (templates() / "compare.css").read_text("utf-8")
    digest = hashlib.sha256(style.encode()).digest()
    parts = [part for kind in _TITLES if (part := _part(found, kind))]
    seen = [p for part in parts for row in part["rows"] for p in row["pictures"].values()]
    template = environment().get_template("compare.html")
    return template.render(
        title="Comparison of two datasets",
        found=found,
        style=style,
        style_hash=base64.b64encode(digest).decode(),
        kinds=_kinds(found),
        counts=_bars(_counts(a), _counts(b)),
        classes=_bars(_labels(a), _labels(b)),
        sides=_bars(*_binned([max(r.side) for r in a.rows], [max(r.side) for r in b.rows])),
        lengths=_bars(*_binned([r.frames for r in a.rows], [r.frames for r in b.rows])),
        parts=parts,
        pictures=any(seen),
        reasons=REASONS,
    )


def _kinds(found: Comparison) -> list[tuple[str, int]]:
    counts = found.differences["difference"].value_counts()
    return [(kind, int(counts.get(kind, 0))) for kind in DIFFERENCES if kind in counts]


def _counts(side: Side) -> dict[str, int]:
    splits = Counter(row.split for row in side.rows if row.split)
    found = {"all": len(side.rows), **{s: splits[s] for s in SPLITS if s in splits}}
    return found | {"source videos": len({r.video_id for r in side.rows if not r.hides_video})}


def _labels(side: Side) -> dict[str, int]:
    found = Counter(chain.from_iterable(row.labels or () for row in side.rows))
    return dict(sorted(found.items()))


def _binned(a: Sequence[int], b: Sequence[int]) -> tuple[dict[str, int], dict[str, int]]:
    """Whole numbers of both sides in the same ranges, named ``10–19``, none of them left out.

    >>> _binned([1, 2], [2, 30])
    ({'1–3': 2, '28–30': 0}, {'1–3': 1, '28–30': 1})
    """
    if not (every := [*a, *b]):
        return {}, {}
    low = min(every)
    width = -(-(max(every) - low + 1) // _BINS)
    places = sorted({(n - low) // width for n in every})
    names = [f"{low + p * width}–{low + (p + 1) * width - 1}" for p in places]
    if width == 1:
        names = [str(low + p) for p in places]
    counts = [Counter((n - low) // width for n in own) for own in (a, b)]
    one, other = ({name: own[p] for name, p in zip(names, places, strict=True)} for own in counts)
    return one, other


def _bars(a: Mapping[str, int], b: Mapping[str, int]) -> list[dict[str, Any]]:
    most = max([*a.values(), *b.values()], default=0) or 1
    return [
        {
            "name": name,
            "a": a.get(name, 0),
            "b": b.get(name, 0),
            "change": _change(b.get(name, 0) - a.get(name, 0)),
            "wide_a": round(_WIDE * a.get(name, 0) / most, 1),
            "wide_b": round(_WIDE * b.get(name, 0) / most, 1),
        }
        for name in dict.fromkeys([*a, *b])
    ]


def _change(n: int) -> str:
    return f"{n:+,}".replace("-", "−") if n else "–"


def _part(found: Comparison, kind: str) -> dict[str, Any] | None:
    """The differences of one kind, as the page shows them; none where there are none."""
    table = found.differences
    at = [i for i, own in enumerate(table["difference"].tolist()) if own == kind]
    if not at:
        return None
    own = table.iloc[at]
    reasons = Counter(reason or "unknown" for reason in own["reason"])
    return {
        "title": _TITLES[kind],
        "total": len(at),
        "reasons": reasons.most_common() if any(own["reason"]) else [],
        "rows": list(_rows(own.head(ROWS).to_dict("records"), [found.pairs[i] for i in at[:ROWS]])),
    }


def _rows(
    told: Iterable[Mapping[Any, Any]], pairs: Sequence[tuple[Row | None, Row | None]]
) -> Iterator[dict[str, Any]]:
    left = PICTURES
    for row, pair in zip(told, pairs, strict=True):
        pictures = {s: _picture(r) if left else None for s, r in zip("AB", pair, strict=True)}
        left -= any(pictures.values())
        yield {
            "video_id": row["video_id"],
            "clip": row["clip"],
            "told": {"A": row["a"], "B": row["b"]},
            "reason": row["reason"],
            "pictures": pictures,
        }


def _picture(row: Row | None) -> dict[str, Any] | None:
    """The middle frame of a clip, every pixel as it is, and the size at which it is shown."""
    if row is None or row.file is None:
        return None
    frames = frames_at(row.file, [row.frames // 2])
    if not frames:
        return None
    height, width = frames[0].shape[:2]
    factor = max(1, _WIDE // max(height, width))
    _, data = cv2.imencode(".png", cv2.cvtColor(frames[0], cv2.COLOR_RGB2BGR))
    return {
        "data": f"data:image/png;base64,{base64.b64encode(data.tobytes()).decode()}",
        "width": factor * width,
        "height": factor * height,
        "factor": factor,
    }
