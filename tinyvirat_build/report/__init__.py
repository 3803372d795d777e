"""What a build says of itself: statistics, figures and the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from tinyvirat_build import store
from tinyvirat_build.report.figures import figures
from tinyvirat_build.report.gallery import Extras
from tinyvirat_build.report.html import write_report
from tinyvirat_build.report.table1 import table1
from tinyvirat_build.settings import Settings
from tinyvirat_build.stages import fate
from tinyvirat_build.stages.stats import stats


def publish_statistics(
    out: Path, settings: Settings, classes: Sequence[str], given: Extras
) -> dict[str, Any]:
    """Write ``out/stats`` (stats.json, table1, figures) and the report; return the stats.

    ``out`` is a build whose build.yaml and tables are written; ``given`` is what the report is
    told beside them. Of a build without any file the plan is counted.
    """
    names = ("clips", "issues", "balance", "videos")
    tables = {name: store.read_table(out / "tables" / f"{name}.parquet") for name in names}
    clips = tables["clips"]
    planned = bool(clips["id"].isna().all())
    counted = stats(
        clips.drop(columns=["id", "n_frames"]) if planned else clips,
        classes=classes,
        targets=settings.partition.targets,
        balance=tables["balance"],
        issues=tables["issues"],
        videos=tables["videos"],
    )
    counted["fate"] = _fate(out, tables["issues"], classes)
    counted["clips_without_file"] = int(clips["id"].isna().sum())
    folder = out / "stats"
    store.write_json(folder / "stats.json", counted, indent=1)
    markdown, csv = table1(counted)
    store.write_text(folder / "table1.md", markdown)
    store.write_text(folder / "table1.csv", csv)
    drawn = figures(counted)
    for name, content in drawn.items():
        store.write_bytes(folder / name, content)
    made_of = _made_of(out, settings)
    write_report(out, tables, counted, settings.to_yaml(), given, made_of=made_of, drawn=drawn)
    return counted


def _fate(out: Path, issues: pd.DataFrame, classes: Sequence[str]) -> dict[str, Any]:
    """What became of every annotated frame: by stage and, beside it, by label."""
    trial = yaml.safe_load((out / "build.yaml").read_text("utf-8"))["limit"] is not None
    files = {name: out / "tables" / f"{name}.parquet" for name in fate.READ}
    found = fate.fates(store.read_by_video(files, columns=fate.READ), issues, trial=trial)
    return {"funnel": fate.funnel(found), "labels": fate.by_label(found, classes, issues)}


def _made_of(out: Path, settings: Settings) -> str:
    """A line with the preset, what is limited, and the versions that the build names."""
    tree = yaml.safe_load((out / "build.yaml").read_text("utf-8"))
    trial = f" A trial: the first {tree['limit']:,} videos." if tree["limit"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in tree["versions"].items())
    return f"Preset {settings.preset}.{trial} Made with {versions}."


def draw_figures(
    out: Path, clips: pd.DataFrame, settings: Settings, classes: Sequence[str]
) -> list[Path]:
    """Draw Figures 2 and 3 of clips, cut or only planned, into ``out/stats``."""
    counted = stats(clips, classes=classes, targets=settings.partition.targets)
    drawn = figures(counted)
    for name, content in drawn.items():
        store.write_bytes(out / "stats" / name, content)
    return [out / "stats" / name for name in drawn]
