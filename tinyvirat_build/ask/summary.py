"""What a run says when it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pandas as pd

from tinyvirat_build import store
from tinyvirat_build.ask.words import disk_used, human_bytes, human_time
from tinyvirat_build.pipeline.complete import completeness
from tinyvirat_build.pipeline.folder import table_path
from tinyvirat_build.pipeline.headlines import headlines_of
from tinyvirat_build.pipeline.request import Outcome, Share
from tinyvirat_build.pipeline.stages import STAGES, clip_tables, names, order_of, writer_of
from tinyvirat_build.records import SPLITS
from tinyvirat_build.settings import Settings


def render(out: Path, outcome: Outcome, *, until: str, settings: Settings) -> str:
    """The closing summary: clips, the balance of records per stage, issues, disk and time.

    Where the build reads an input of which its preset knows how many clips it plans, it says
    whether it is complete.
    """
    lines: list[str] = []
    estimates = STAGES[order_of(until)].scope == "estimate"
    if not estimates and not any(outcome.worked.values()):
        lines.append(f"Nothing to do: {out} is finished up to {until}.")
    lines += _part(outcome.part) if outcome.part else _clips(out, until)
    lines += headlines(out, settings, until)
    if outcome.planned == 0:
        lines.append(
            "No clip was planned: see below where the records went; `tinyvirat-build doctor` says "
            "what is wrong with the data."
        )
    if order_of(until) >= order_of(writer_of("clips_planned").name):
        lines += completeness(out, settings)
    lines += _balance(out)
    lines += _issues(out)
    if outcome.estimate is not None and estimates:
        lines.append(outcome.estimate.describe())
    spent = sum(outcome.seconds.values())
    lines.append(f"Disk {human_bytes(disk_used(out))} in {out}, time {human_time(spent)}.")
    return "\n".join(lines)


def shortfall(out: Path, outcome: Outcome) -> str:
    """Why a run ends with the status 1, in one line; empty where it does not.

    >>> shortfall(Path("out"), Outcome(quarantined=3, unread=1))
    'out: 3 clips have no file, 1 annotated video cannot be read; tables/issues.parquet says why'
    """
    if outcome.planned == 0:
        return f"{out}: no clip was planned; `tinyvirat-build doctor` says what is wrong"
    clips, videos = outcome.quarantined, outcome.unread
    parts = [f"{clips:,} clip{'s have' if clips > 1 else ' has'} no file"] * bool(clips)
    parts += [f"{store.many(videos, 'annotated video')} cannot be read"] * bool(videos)
    return f"{out}: {', '.join(parts)}; tables/issues.parquet says why" if parts else ""


def facts(out: Path, outcome: Outcome, until: str, settings: Settings) -> dict[str, Any]:
    """What :func:`render` tells, for programs: a JSON value."""
    table = _table_of(out, until)
    cut = pd.DataFrame() if table is None else store.read_table(table_path(out, table))
    cut = cut[cut["reason"].isna()] if table == "clips" else cut
    planning = order_of(until) >= order_of(writer_of("clips_planned").name)
    issues = table_path(out, "issues")
    told = store.read_table(issues, [*_OF_ISSUES, "count"]) if issues.exists() else pd.DataFrame()
    sums = (
        told.groupby(_OF_ISSUES, observed=True)["count"].sum().reset_index() if len(told) else told
    )
    return {
        "out": str(out),
        "until": until,
        "status": outcome.status,
        "shortfall": shortfall(out, outcome),
        "clips": None if table is None else len(cut),
        "splits": {s: int((cut["split"] == s).sum()) for s in SPLITS} if "split" in cut else None,
        **{name: getattr(outcome, name) for name in ("planned", "quarantined", "unread")},
        "worked": dict(outcome.worked),
        "headlines": headlines(out, settings, until),
        "completeness": completeness(out, settings) if planning else [],
        "issues": sums.to_dict("records"),
        "seconds": dict(outcome.seconds),
        "bytes": disk_used(out),
    }


_OF_ISSUES: Final = ["stage", "reason", "action"]


def _part(part: Share) -> list[str]:
    """What a shard did, and what is to be done next."""
    name = "{}/{}".format(*part.shard)
    cut = part.clips - part.quarantined
    lost = f" ({part.quarantined:,} more without a file)" if part.quarantined else ""
    return [
        f"Shard {name}: {part.videos:,} of {part.of_videos:,} videos, {cut:,} of "
        f"{part.of_clips:,} clips cut{lost}. Nothing is published yet: when all shards are done, "
        "`tinyvirat-build merge-shards OUT…` joins their folders."
    ]


def _table_of(out: Path, until: str) -> str | None:
    """The last table of clips that the stages up to ``until`` write."""
    for name in clip_tables():
        if order_of(writer_of(name).name) <= order_of(until) and table_path(out, name).exists():
            return name
    return None


def _clips(out: Path, until: str) -> list[str]:
    name = _table_of(out, until)
    if name is None:
        return []
    clips = store.read_table(table_path(out, name))
    if name == "clips":
        cut = clips[clips["reason"].isna()]
        head = store.many(len(cut), "clip")
        if len(clips) > len(cut):
            head += f" ({len(clips) - len(cut):,} more planned but without a file)"
    else:
        cut, head = clips, f"{store.many(len(clips), 'clip')} planned"
    if "split" in cut:
        parts = [f"{s} {int((cut['split'] == s).sum()):,}" for s in SPLITS]
        head += ": " + ", ".join(parts)
    if len(cut):
        frames = (cut["n_frames"] if name == "clips" else cut["end"] - cut["start"]).mean()
        labels = cut["labels"].map(len).mean()
        head += f"; mean {frames:.1f} frames, {labels:.2f} labels"
    return [head + "."]


def headlines(out: Path, settings: Settings, until: str) -> list[str]:
    """What makes a dataset of less use than it looks, once its splits are made."""
    path = table_path(out, "issues")
    if not path.exists() or order_of(until) < order_of(writer_of("clips_partitioned").name):
        return []
    return headlines_of(store.read_table(path), settings)


def _balance(out: Path) -> list[str]:
    path = table_path(out, "balance")
    if not path.exists():
        return []
    balance = store.read_table(path)
    if balance.empty:
        return []
    sums = balance.groupby(["stage", "unit"], sort=False, observed=True)[
        ["records_in", "records_out", "dropped"]
    ].sum()
    rows = [f"  {'stage':<10}{'in':>10}{'out':>10}{'dropped':>10}"]
    order = {stage: i for i, stage in enumerate(names())}
    rows_of = sums.reset_index().to_dict("records")
    for row in sorted(rows_of, key=lambda r: order.get(r["stage"], len(order))):
        stage, unit = row["stage"], row["unit"]
        n_in, n_out, dropped = row["records_in"], row["records_out"], row["dropped"]
        closes = "" if n_in == n_out + dropped else "   does not close!"
        rows.append(f"  {stage:<10}{n_in:>10,}{n_out:>10,}{dropped:>10,}  {unit}{closes}")
    return ["Records:", *rows]


def _issues(out: Path, most: int = 12) -> list[str]:
    path = table_path(out, "issues")
    if not path.exists():
        return []
    issues = store.read_table(path)
    if issues.empty:
        return []
    sums = issues.groupby(["stage", "reason", "action"], sort=True, observed=True)["count"].sum()
    sums = sums[sums > 0].sort_values(ascending=False, kind="stable")
    few = sums.index.get_level_values("reason") == "few_groups"
    sums = pd.concat([sums[few], sums[~few]])
    rows = [
        f"  {r['count']:>10,}  {r['stage']}: {r['reason']} ({r['action']})"
        for r in sums.head(most).reset_index().to_dict("records")
    ]
    if len(sums) > most:
        rows.append(f"  … {len(sums) - most} more kinds in tables/issues.parquet")
    return ["Issues:", *rows]
