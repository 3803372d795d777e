"""The dataset card: README.md of the released folder, with the header that the Hub reads.

It is made of the rows that lie beside it, as they are given away, and of nothing else that knows
of labels: so it can tell no more of the test split than they do.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import jinja2
import yaml

from tinyvirat_build import store
from tinyvirat_build.records import SPLITS
from tinyvirat_build.released.about import (
    About,
    Terms,
    citations,
    differing,
    licence_of,
    shown,
)
from tinyvirat_build.released.layout import LICENSE, LISTS

Rows = Mapping[str, Sequence[Mapping[str, Any]]]

# Where 4 · width, or another multiple, is what FFmpeg pads a line of 3 · width bytes to: decord
# takes such a line for pixels of so many channels (dmlc/decord#336).
DECORD_WIDTHS: Final = (1, 2, 4, 6, 8, 12, 16, 24, 48, 72)

FEW: Final = 10  # clips of a class
_LOSSLESS: Final = "Every frame has the pixels of its source, exactly."
_LOSSY: Final = "Frames are encoded with loss."
_CODECS: Final[Mapping[str, tuple[str, str]]] = {
    "h264": (
        _LOSSLESS,
        "Lossless H.264 is profile High 4:4:4 Predictive, which hardware decoders and some "
        "browsers do not play; the setting `encode.codec: vp9-lossless` makes clips that they do.",
    ),
    "vp9-lossless": (_LOSSLESS, ""),
    "ffv1": (_LOSSLESS, "Clips are FFV1 in Matroska, whatever their names say; browsers do not "
             "play them."),
    "h264-crf": (_LOSSY, "Clips are encoded with loss: pixels are near the source's, not equal."),
    "mpeg4": (_LOSSY, "Clips are encoded with loss: pixels are near the source's, not equal."),
}  # fmt: skip
_SIZES: Final = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))


def card(
    rows: Rows, classes: Sequence[str], about: About, *, lost: Mapping[str, int], held: int
) -> str:
    """The card's text.

    ``rows`` are the released ones of each split; ``lost`` counts planned clips without a file by
    reason, ``held`` those with frames that repeat the one before.
    """
    every = [row for split in SPLITS for row in rows[split]]
    sides = [side for row in every for side in row["dim"][1:]]
    counts = {s: Counter(name for row in rows[s] for name in row["label"]) for s in SPLITS[:2]}
    train, val = counts["train"], counts["val"]
    widths = Counter(row["dim"][2] for row in every if row["dim"][2] in DECORD_WIDTHS)
    encode = about.settings.encode
    exact, limit = _CODECS[encode.codec]
    named = about.settings.classes
    settings = differing(about.settings)
    return _template().render(
        header=_header(rows, about),
        title=_title(about),
        total=f"{len(every):,}",
        names=", ".join(s.name for s in about.sources),
        version=about.version,
        splits=[_split(split, rows[split]) for split in SPLITS],
        sides=f"{min(sides)} to {max(sides)}" if sides else "",
        classes=[
            {"index": i, "name": _cell(name), "train": f"{train[name]:,}", "val": f"{val[name]:,}"}
            for i, name in enumerate(classes)
        ],
        clip_ids=any("clip_id" in row for row in every),
        exact=exact,
        preset=shown(about.settings.preset),
        class_list=shown(named) if isinstance(named, str) else "as above",
        codec=encode.codec,
        settings=store.printable(yaml.safe_dump(settings, sort_keys=False)) if settings else "",
        sources=[_terms(source) for source in about.sources],
        empty=", ".join(_cell(name) for name in classes if not train[name] + val[name]),
        least=FEW,
        few=", ".join(_cell(n) for n in classes if train[n] + val[n] and val[n] < FEW),
        decord=store.many(widths.total(), "clip") if widths else "",
        widths=", ".join(f"{n:,} of {width}" for width, n in sorted(widths.items())),
        limit=limit,
        trial=about.trial,
        held=store.many(held, "clip") if held else "",
        lost=store.many(sum(lost.values()), "clip") if lost else "",
        reasons=", ".join(f"{n:,} `{reason}`" for reason, n in sorted(lost.items())),
        citation=citations(about),
    )


def exported(text: str) -> str:
    """The card for an export of the release: it speaks of no file that is not there."""
    _, header, body = text.split("---\n", 2)
    tree = yaml.safe_load(header)
    for name in ("configs", "dataset_info"):
        tree.pop(name, None)
    parts = re.split(r"(?m)^(?=## )", body)
    kept = [p for p in parts if not p.startswith(("## Files\n", "## How to verify\n"))]
    first = next((i for i, p in enumerate(kept) if p.startswith("## How it was made")), len(kept))
    kept.insert(first, _EXPORTED)
    return f"---\n{yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)}---\n{''.join(kept)}"


_EXPORTED: Final = """\
## Files

An export of the release for another library: the clips are the release's, byte for byte; lists and
names are laid out as that library reads them.

"""


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(Path(__file__).with_name("card.md").read_text("utf-8"))


def _title(about: About) -> str:
    return f"Tiny actions of {', '.join(s.name for s in about.sources)}"


def _split(split: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    frames = sum(row["dim"][0] for row in rows)
    labels = sum(len(row["label"]) for row in rows if split != "test")
    told = split != "test" and rows
    return {
        "name": split,
        "clips": f"{len(rows):,}",
        "videos": f"{len({row['video_id'] for row in rows}):,}" if told else "–",
        "frames": f"{frames:,}",
        "mean_frames": f"{frames / len(rows):.1f}" if rows else "–",
        "mean_labels": f"{labels / len(rows):.2f}" if told else "–",
    }


def _terms(source: Terms) -> dict[str, str]:
    said = store.printable(source.license_text) or "no licence is named; ask its makers"
    made = store.printable(source.attribution) or "Nothing is said of who made it."
    return {
        "name": source.name,
        "licence": " ".join(said.split()),
        "attribution": "\n".join(f"> {line}" for line in made.strip().splitlines()),
    }


def _cell(name: str) -> str:
    return store.printable(name).replace("|", "\\|")


def _header(rows: Rows, about: About) -> str:
    """The YAML that the Hub reads: terms, kind, size, and how the rows are loaded."""
    licences = list(dict.fromkeys(licence_of(source) for source in about.sources))
    own = [s.name for s in about.sources if licence_of(s) == "other"]
    total = sum(len(own) for own in rows.values())
    names = ["id", "video_id", "path"]
    names += ["clip_id"] * any("clip_id" in row for own in rows.values() for row in own)
    there = {split: "validation" if split == "val" else split for split in SPLITS if rows[split]}
    files = [{"split": name, "path": LISTS[split]} for split, name in there.items()]
    tree: dict[str, Any] = {
        "pretty_name": _title(about),
        "license": licences[0] if len(licences) == 1 else licences,
        **({"license_name": f"{'-'.join(own)}-terms", "license_link": LICENSE} if own else {}),
        "task_categories": ["video-classification"],
        "tags": ["video", "action-recognition", "multi-label", "surveillance", "low-resolution"],
        "size_categories": [next((name for n, name in _SIZES if total < n), "100K<n<1M")],
        "configs": [{"config_name": "clips", "data_files": files}],
        "dataset_info": [
            {
                "config_name": "clips",
                "features": [
                    *({"name": name, "dtype": "string"} for name in names),
                    {"name": "dim", "list": "int64"},
                    {"name": "label", "list": "string"},
                ],
            }
        ],
    }
    if not files:
        del tree["configs"], tree["dataset_info"]
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
