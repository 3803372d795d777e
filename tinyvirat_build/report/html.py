"""The report of a build: a page, its program and style, and the data that it shows."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import jinja2
import pandas as pd

from tinyvirat_build import store
from tinyvirat_build.records import REASONS, SPLITS
from tinyvirat_build.report import gallery, videos
from tinyvirat_build.report.figures import CAPTIONS
from tinyvirat_build.report.gallery import Extras
from tinyvirat_build.report.scripts import DATA, templates, write_own, write_scripts
from tinyvirat_build.report.table1 import HEADER, PUBLISHED, build_row

_FATE: Final = ("funnel", "losses")  # the figures that stand beside the funnel's tables
_DARK: Final = "-dark"  # ends the name of a figure's dark variant


def write_report(
    out: Path,
    tables: Mapping[str, pd.DataFrame],
    stats: Mapping[str, Any],
    settings_yaml: str,
    given: Extras,
    *,
    made_of: str = "",
    drawn: Collection[str] = (),
) -> Path:
    """Write ``out/report.html`` and what it shows below ``out/report``; return the page's path.

    ``tables``: ``clips`` (the manifest), ``videos`` and ``issues``; the others are read, video by
    video. ``stats`` is what :func:`stats` returned, ``made_of`` a line about preset and versions,
    ``drawn`` the names of the files of figures in ``out/stats``. The same input gives the same
    bytes; the page asks nothing of the network.
    """
    classes = [row["label"] for row in stats["per_class"]]
    write_own(out)
    head = gallery.head(tables["clips"], tables["videos"], classes, given)
    write_scripts(
        out / DATA,
        (
            *gallery.parts(tables["clips"], tables["issues"], classes, given),
            *[("head", head)],
            *videos.videos(out / "tables"),
        ),
    )
    text = (
        environment()
        .get_template("report.html")
        .render(
            root="",
            data=DATA,
            title="Report of a TinyVIRAT build",
            made_of=made_of,
            stats=stats,
            splits=SPLITS,
            remedy=given.remedy,
            headlines=given.headlines,
            complete=given.complete,
            tiles=_tiles(stats),
            table1=(HEADER, [*PUBLISHED, build_row(stats, "this build")]),
            classes=_classes(stats),
            reasons=REASONS,
            figures=[f for f in _figures(drawn) if f["name"] not in _FATE],
            fate=_fate(stats, _figures(drawn)),
            settings=settings_yaml,
        )
    )
    path = out / "report.html"
    store.write_text(path, text)
    return path


def write_errors(page: Path, build: Path, run: str, split: str, scores: Mapping[str, Any]) -> Path:
    """Write a page that shows the gallery of ``build`` with a run's scores; return its path.

    The scores lie beside the page as a script. The page leads to the build's files by relative
    paths, so that both must stay where they are to each other.
    """
    root = Path(os.path.relpath(build.resolve(), page.parent.resolve())).as_posix() + "/"
    data = f"{page.stem}-data"
    write_scripts(page.parent / data, [("scores", scores)])
    text = environment().get_template("errors.html").render(
        root=quote(root), data=DATA, scores=f"{data}/scores.js", run=run, split=split,
        title=f"What {run} gets wrong",
    )  # fmt: skip
    store.write_text(page, text)
    return page


def environment() -> jinja2.Environment:
    """The templates, with everything escaped and nothing left undefined."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates()),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"count": lambda n: f"{n:,}", "mean": _number, "address": quote}
    return found


def _figures(drawn: Collection[str]) -> list[dict[str, str | None]]:
    """The figures that were drawn: name, file, its dark variant, caption."""
    return [
        {
            "name": name,
            "file": f"stats/{name}.svg",
            "dark": f"stats/{name}{_DARK}.svg" if f"{name}{_DARK}.svg" in drawn else None,
            "caption": caption,
        }
        for name, caption in CAPTIONS.items()
        if f"{name}.svg" in drawn
    ]


def _fate(stats: Mapping[str, Any], figures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What became of the annotated frames of each label: reasons, and a row a label."""
    rows = stats.get("fate", {}).get("labels", [])
    reasons = sorted({reason for row in rows for reason in row["lost"]})
    drawn = {name: [f for f in figures if f["name"] == name] for name in _FATE}
    return {"rows": rows, "reasons": reasons, **drawn}


def _tiles(stats: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        ("clips", f"{stats['clips']:,}"),
        *((split, f"{stats['splits'][split]:,}") for split in SPLITS),
        (f"of {stats['classes']} classes", str(stats["classes_with_clips"])),
        ("source videos", f"{stats['source_videos']:,}"),
        ("mean frames", _number(stats["frames"]["mean"])),
        ("mean side, pixels", _number(stats["sides"]["mean"])),
        ("labels a clip", _number(stats["labels_per_clip"]["mean"])),
    ]


def _classes(stats: Mapping[str, Any]) -> dict[str, Any]:
    """The rows of the classes that have clips, and the names of those that have none."""
    targets, shares = stats["drift"]["targets"], stats["drift"]["per_class"]
    rows = []
    for row in stats["per_class"]:
        if not row["clips"]:
            continue
        share = shares[row["label"]]
        drift = max(abs(share[s] - targets[s]) for s in SPLITS)
        rows.append(
            row
            | {"shares": " / ".join(f"{100 * share[s]:.0f}" for s in SPLITS)}
            | {"drift": f"{100 * drift:.1f}"}
        )
    return {
        "rows": rows,
        "most": max((row["clips"] for row in rows), default=1),
        "without": [row["label"] for row in stats["per_class"] if not row["clips"]],
        "aim": " / ".join(f"{100 * targets[split]:.0f}" for split in SPLITS),
    }


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}"
