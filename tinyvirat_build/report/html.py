"""The report of a build: one page that needs nothing beside it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

import pandas as pd

from tinyvirat_build import store
from tinyvirat_build.records import REASONS, SPLITS
from tinyvirat_build.report.figures import figures
from tinyvirat_build.report.sheets import contact_sheets
from tinyvirat_build.report.table1 import HEADER, PUBLISHED, build_row

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2024; --dim: #60666d; --line: #dfe2e6;
  --page: #ffffff; --card: #f6f7f8; --mark: #0072b2; --bad: #b3261e; --more: #0003; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --dim: #9ba1a8; --line: #34393f;
  --page: #15181b; --card: #1d2125; --mark: #56b4e9; --bad: #ff8a80; --more: #fff5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 68rem; background: var(--page);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.15rem; margin: 2.8rem 0 .6rem; }
h3 { font-size: .95rem; margin: 1.2rem 0 .4rem; }
p { margin: .3rem 0 .8rem; max-width: 46rem; }
.dim, figcaption { color: var(--dim); font-size: .9em; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(6.2rem, 1fr)); gap: .7rem;
  margin: 1.4rem 0; padding: 0; list-style: none; }
.tiles li { background: var(--card); border-radius: .5rem; padding: .6rem .7rem; font-size: .85rem;
  line-height: 1.3; }
.tiles b { display: block; font-size: 1.25rem; font-weight: 600; margin-bottom: .15rem; }
.scroll { overflow-x: auto; background:
  linear-gradient(to left, var(--page) 40%, transparent) right / 2.4rem 100% repeat-y local,
  linear-gradient(to left, var(--more), transparent) right / .9rem 100% no-repeat scroll; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .7rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th { color: var(--dim); font-weight: 500; border-bottom-width: 2px; vertical-align: bottom; }
th.text, td.text { text-align: left; }
td.wrap { white-space: normal; min-width: 16rem; }
@media (max-width: 42rem) {
  body { padding: 1.5rem 1rem 3rem; }
  th, td { padding: .28rem .5rem; }
  .key { position: sticky; left: 0; background: var(--page);
    box-shadow: inset 0 -1px var(--line); }
  .stack thead { display: none; }
  .stack table, .stack tbody { display: block; }
  .stack tr { display: flex; flex-wrap: wrap; justify-content: flex-start; padding: .3rem 0;
    border-bottom: 1px solid var(--line); }
  .stack td { border: 0; padding: .1rem .6rem .1rem 0; }
  .stack td:not(.text)::after { content: " " attr(data-name); color: var(--dim); }
  .stack td.wrap { flex-basis: 100%; color: var(--dim); }
}
tr.own td { font-weight: 650; background: var(--card); }
.bad { color: var(--bad); font-weight: 650; }
.bar { display: inline-block; height: .55rem; border-radius: 2px; background: var(--mark);
  vertical-align: baseline; }
.figures { display: flex; flex-wrap: wrap; gap: 1.2rem; }
figure { margin: 0; }
.figures figure { flex: 1 1 22rem; max-width: 32rem; background: #fff; border: 1px solid
  var(--line); border-radius: .5rem; padding: .8rem; }
.figures figcaption { color: #60666d; }
.figures svg { width: 100%; height: auto; display: block; }
.sheet { display: flex; flex-wrap: wrap; gap: .8rem .6rem; }
.sheet figure { width: min-content; min-width: 15rem; }
.sheet img { display: block; max-width: 88vw; border-radius: .3rem; }
.sheet figcaption { font-size: .75rem; line-height: 1.35; margin-top: .2rem;
  overflow-wrap: anywhere; }
details { background: var(--card); border-radius: .5rem; padding: .6rem .9rem; }
summary { cursor: pointer; }
code { white-space: nowrap; }
pre { overflow-x: auto; font-size: .82rem; }
"""


def write_report(
    out: Path,
    tables: Mapping[str, pd.DataFrame],
    stats: Mapping[str, Any],
    settings_yaml: str,
    clips_root: Path | None,
    *,
    made_of: str = "",
    drawn: Mapping[str, bytes] | None = None,
) -> Path:
    """Write ``out/report.html`` and return its path.

    ``tables``: ``clips`` (the manifest) for the contact sheets, which need ``clips_root``, the
    folder that the manifest's paths are relative to. ``stats`` is what :func:`stats` returned,
    ``made_of`` a line about preset and versions, ``drawn`` what :func:`figures` made of the
    statistics, if that is done already.
    The same input gives the same bytes; the page asks nothing of the network.
    """
    classes = [row["label"] for row in stats["per_class"]]
    sheets = (
        _sheets(tables["clips"], clips_root, classes)
        if clips_root is not None and "clips" in tables
        else ""
    )
    parts = [
        _summary(stats, made_of),
        _section("Beside the published datasets", _table1(stats)),
        _section("Samples by class and resolution", _figures(drawn or figures(stats))),
        _section("Classes", _classes(stats)),
        _section("What became of every record", _funnel(stats)),
        _section("What was not kept, or changed, and why", _issues(stats)),
        sheets,
        _section(
            "Settings",
            "<details><summary>All settings of this build</summary>"
            f"<pre>{escape(settings_yaml)}</pre></details>",
        ),
    ]
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Report of a TinyVIRAT build</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body>\n</html>\n"
    )
    path = out / "report.html"
    store.write_text(path, page)
    return path


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>"


def _table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    text: Sequence[int],
    last: str = "",
    stack: bool = False,
) -> str:
    """A table of cells that are HTML already; the columns ``text`` stand to the left.

    On a narrow screen the table is moved below its first text column; with ``stack`` each row
    becomes a paragraph instead, its last cell, a sentence, on a line of its own.
    """
    rows = list(rows)

    def attributes(i: int) -> str:
        if i not in text:
            return f' data-name="{escape(header[i])}"' if stack else ""
        key = " key" * (i == text[0] and not stack)
        return f' class="text{key}{" wrap" * (stack and i == len(header) - 1)}"'

    def line(cells: Sequence[str], tag: str, kind: str) -> str:
        inner = "".join(f"<{tag}{attributes(i)}>{cell}</{tag}>" for i, cell in enumerate(cells))
        return f'<tr class="{kind}">{inner}</tr>' if kind else f"<tr>{inner}</tr>"

    body = "\n".join(
        line(row, "td", last if i == len(rows) - 1 else "") for i, row in enumerate(rows)
    )
    return (
        f'<div class="{"stack" if stack else "scroll"}"><table>\n'
        f"<thead>{line(header, 'th', '')}</thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _summary(stats: Mapping[str, Any], made_of: str) -> str:
    frames, sides = stats["frames"], stats["sides"]
    tiles = [
        ("clips", f"{stats['clips']:,}"),
        *((split, f"{stats['splits'][split]:,}") for split in SPLITS),
        (f"of {stats['classes']} classes", str(stats["classes_with_clips"])),
        ("source videos", f"{stats['source_videos']:,}"),
        ("mean frames", _number(frames["mean"])),
        ("mean side, pixels", _number(sides["mean"])),
        ("labels a clip", _number(stats["labels_per_clip"]["mean"])),
    ]
    items = "".join(f"<li><b>{value}</b>{escape(name)}</li>" for name, value in tiles)
    sources = ", ".join(
        f"{escape(name)} ({sum(splits.values()):,} clips)"
        for name, splits in stats["sources"].items()
    )
    missing = stats["clips_without_file"]
    verb = "clip has" if missing == 1 else "clips have"
    note = f' <span class="bad">{missing:,} planned {verb} no file.</span>' if missing else ""
    if shared := stats["frames_shared"]:
        note += f' <span class="dim">Chunks share {shared:,} of the frames.</span>'
    made = f'<p class="dim">{escape(made_of)}</p>\n' if made_of else ""
    return (
        f"<header>\n<h1>Report of a TinyVIRAT build</h1>\n"
        f'<p class="dim">Sources: {sources or "none"}.{note}</p>\n{made}'
        f'<ul class="tiles">{items}</ul>\n</header>'
    )


def _table1(stats: Mapping[str, Any]) -> str:
    rows = [tuple(map(escape, row)) for row in (*PUBLISHED, build_row(stats, "this build"))]
    note = (
        '<p class="dim">Videos are clips, as the papers count them; all rows but the last are '
        "as published.</p>"
    )
    return note + _table(HEADER, rows, text=(0,), last="own")


def _figures(drawn: Mapping[str, bytes]) -> str:
    captions = {
        "figure2": "Samples of each class in each split (logarithmic axis).",
        "figure3": "Share of each class's samples by resolution.",
    }
    inner = "\n".join(
        f"<figure>\n{_inline(drawn[f'{name}.svg'].decode('utf-8'), name)}\n"
        f"<figcaption>{escape(caption)}</figcaption>\n</figure>"
        for name, caption in captions.items()
    )
    return f'<div class="figures">\n{inner}\n</div>'


def _inline(svg: str, name: str) -> str:
    """An SVG file as an element of a page: without its head, and with ids of its own."""
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'xlink:href="#', f'xlink:href="#{name}-', svg)
    return re.sub(r"url\(#", f"url(#{name}-", svg).strip()


def _classes(stats: Mapping[str, Any]) -> str:
    targets, shares = stats["drift"]["targets"], stats["drift"]["per_class"]
    most = max((row["clips"] for row in stats["per_class"]), default=0) or 1
    aim = " / ".join(f"{100 * targets[split]:.0f}" for split in SPLITS)
    rows = []
    for row in stats["per_class"]:
        share = shares.get(row["label"])
        drift = max(abs(share[s] - targets[s]) for s in SPLITS) if share else None
        bar = f'<span class="bar" style="width:{6 * row["clips"] / most:.2f}rem"></span>'
        rows.append(
            (
                str(row["index"]),
                escape(row["label"]),
                *(f"{row[split]:,}" for split in SPLITS),
                f"{row['clips']:,}",
                bar if row["clips"] else "",
                " / ".join(f"{100 * share[s]:.0f}" for s in SPLITS) if share else "–",
                f"{100 * drift:.1f}" if drift is not None else "–",
                _number(row["mean_side"]),
                _number(row["mean_frames"]),
            )
        )
    note = (
        f'<p class="dim">Shares are in per cent of the class\'s clips; the target is {aim}. '
        "Groups of videos are assigned whole and by their annotated activities, so that clips "
        "drift from it. A class without clips was filtered, or occurs nowhere.</p>"
    )
    header = (
        "#",
        "class",
        *SPLITS,
        "clips",
        "clips, to scale",
        "train / val / test",
        "drift, points",
    )
    return note + _table((*header, "mean side", "mean frames"), rows, text=(1, 6, 7))


def _funnel(stats: Mapping[str, Any]) -> str:
    rows = [
        (
            escape(row["stage"]),
            escape(row["unit"]),
            f"{row['records_in']:,}",
            f"{row['records_out']:,}",
            f"{row['dropped']:,}",
            "yes" if row["closes"] else '<span class="bad">no</span>',
        )
        for row in stats["funnel"]
    ]
    note = '<p class="dim">Records in are records out and those dropped, at every stage.</p>'
    header = ("stage", "unit", "in", "out", "dropped", "closes")
    return note + _table(header, rows, text=(0, 1))


def _issues(stats: Mapping[str, Any]) -> str:
    if not stats["issues"]:
        return "<p>Nothing: every record was kept as it was.</p>"
    rows = [
        (
            escape(row["stage"]),
            escape(row["reason"]),
            escape(row["action"]),
            f"{row['issues']:,}",
            f"{row['count']:,}",
            escape(REASONS.get(row["reason"], "")),
        )
        for row in stats["issues"]
    ]
    header = ("stage", "reason", "action", "issues", "records", "meaning")
    return _table(header, rows, text=(0, 1, 2, 5), stack=True)


def _sheets(clips: pd.DataFrame, root: Path, classes: Sequence[str]) -> str:
    parts = []
    for label, strips in contact_sheets(clips, root, classes):
        images = "".join(
            f'<figure><img alt="three frames" '
            f'src="data:image/jpeg;base64,{base64.b64encode(strip).decode()}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
            for caption, strip in strips
        )
        parts.append(f'<h3>{escape(label)}</h3>\n<div class="sheet">{images}</div>')
    if not parts:
        return ""
    note = (
        '<p class="dim">First, middle and last frame of up to four clips of each class, '
        "enlarged or reduced to one height. <code>tinyvirat-build inspect</code> tells the rest "
        "of a clip by its id.</p>"
    )
    return _section("Samples", note + "\n".join(parts))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}"
