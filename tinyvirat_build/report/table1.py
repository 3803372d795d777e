"""Table 1 of the TinyVIRAT paper and of TinyVIRAT-v2's, with a build's row beside theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tinyvirat_build.records import SPLITS
from tinyvirat_build.store import csv_text

HEADER: Final = (
    "Dataset", "Resolution", "Mean frames", "Multi-label", "Classes", "Videos", "Train", "Val",
    "Test",
)  # fmt: skip

# As published; "–" where the dataset has no such split.
PUBLISHED: Final = (
    ("UCF-101", "320×240", "186.50", "no", "101", "13,320", "9,537", "–", "3,783"),
    ("HMDB-51", "320×240", "94.49", "no", "51", "7,000", "3,570", "1,530", "–"),
    ("AVA", "264×440 – 360×640", "127,081.66", "yes", "80", "385,446 (272)")
    + ("210,634", "57,371", "117,441"),
    ("TinyVIRAT", "10×10 – 128×128", "93.93", "yes", "26", "12,829", "7,663", "–", "5,166"),
    ("TinyVIRAT-v2", "10×10 – 128×128", "76.14", "yes", "26", "26,355", "16,950", "3,308", "6,097"),
)


def table1(stats: Mapping[str, Any], *, name: str = "this build") -> tuple[str, str]:
    """Table 1 as Markdown and as CSV; the last row is the build of ``stats``.

    Videos are clips, as in the papers; numbers in the CSV have no thousands separator.
    """
    rows = [*PUBLISHED, build_row(stats, name)]
    widths = [max(len(row[i]) for row in [HEADER, *rows]) for i in range(len(HEADER))]
    rule = tuple("-" * width for width in widths)
    markdown = "".join(
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |\n"
        for row in [HEADER, rule, *rows]
    )
    plain = [[cell.replace(",", "") for cell in row] for row in [HEADER, *rows]]
    return markdown, csv_text(plain)


def build_row(stats: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """The build's row of Table 1, its cells written as the published ones are."""
    sides, mean = stats["sides"], stats["frames"]["mean"]
    several = any(int(n) > 1 for n in stats["labels_per_clip"]["clips"])
    return (
        name,
        f"{sides['min']}×{sides['min']} – {sides['max']}×{sides['max']}" if stats["clips"] else "–",
        "–" if mean is None else f"{mean:,.2f}",
        "yes" if several else "no",
        str(stats["classes_with_clips"]),
        f"{stats['clips']:,}",
        *(f"{stats['splits'][split]:,}" if stats["splits"][split] else "–" for split in SPLITS),
    )
