"""What a run says when it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from tinyvirat_build import store
from tinyvirat_build.pipeline.folder import table_path
from tinyvirat_build.pipeline.request import Outcome
from tinyvirat_build.pipeline.stages import STAGES, clip_tables, names, order_of, writer_of
from tinyvirat_build.records import SPLITS
from tinyvirat_build.settings import BY_SOURCE, Expected, Settings, presets

PLANNING: Final = ("classes", "labels", *sorted(BY_SOURCE))
"""The settings that decide which clips are planned of an input."""


def render(out: Path, outcome: Outcome, *, until: str, settings: Settings) -> str:
    """The closing summary: clips, the balance of records per stage, issues, disk and time.

    Where the build reads an input of which its preset knows how many clips it plans, it says
    whether it is complete.
    """
    lines: list[str] = []
    estimates = STAGES[order_of(until)].scope == "estimate"
    if not estimates and not any(outcome.worked.values()):
        lines.append(f"Nothing to do: {out} is finished up to {until}.")
    lines += _clips(out, until)
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
        lines.append(outcome.estimate.describe(1))
    spent = sum(outcome.seconds.values())
    lines.append(f"Disk {human_bytes(disk_used(out))} in {out}, time {human_time(spent)}.")
    return "\n".join(lines)


def _clips(out: Path, until: str) -> list[str]:
    """The clips of the last table that the stages up to ``until`` write."""
    for name in clip_tables():
        path = table_path(out, name)
        if order_of(writer_of(name).name) <= order_of(until) and path.exists():
            break
    else:
        return []
    clips = store.read_table(path)
    if name == "clips":
        cut = clips[clips["reason"].isna()]
        head = f"{len(cut):,} clips"
        if len(clips) > len(cut):
            head += f" ({len(clips) - len(cut):,} more planned but without a file)"
    else:
        cut, head = clips, f"{len(clips):,} clips planned"
    if "split" in cut:
        parts = [f"{s} {int((cut['split'] == s).sum()):,}" for s in SPLITS]
        head += ": " + ", ".join(parts)
    if len(cut):
        frames = (cut["n_frames"] if name == "clips" else cut["end"] - cut["start"]).mean()
        labels = cut["labels"].map(len).mean()
        head += f"; mean {frames:.1f} frames, {labels:.2f} labels"
    return [head + "."]


def completeness(out: Path, settings: Settings) -> list[str]:
    """One line for each known input of the preset that the build reads whole.

    An input is known by its annotation set, its videos and its records; nothing is said where a
    setting that planning depends on is not the preset's own.
    """
    if settings.preset not in presets():
        return []
    preset = Settings.load(settings.preset)
    return [
        _compared(clips, known)
        for known in preset.expected
        if _planning(settings, known) == _planning(preset, known)
        and (clips := _clips_of(out, known)) is not None
    ]


def _planning(settings: Settings, known: Expected) -> list[object]:
    own = settings.of(known.input.partition("/")[0])
    return [getattr(own, name) for name in PLANNING]


def _clips_of(out: Path, known: Expected) -> int | None:
    """How many clips the build planned of an input; None if it read another one."""
    source, _, annotation_set = known.input.partition("/")

    def rows(name: str, *more: str) -> pd.DataFrame:
        path = table_path(out, name)
        table = store.read_table(path, ["source", "annotation_set", *more])
        return table[(table["source"] == source) & (table["annotation_set"] == annotation_set)]

    balance = rows("balance", "stage", "records_in")
    activities = balance.loc[balance["stage"] == "parse", "records_in"].sum()
    if (len(rows("videos")), activities) != (known.videos, known.activities):
        return None
    return len(rows("clips_planned"))


def _compared(clips: int, known: Expected) -> str:
    source, _, annotation_set = known.input.partition("/")
    whole = f"{source.upper()} {annotation_set} ({known.videos:,} video{'s' * (known.videos != 1)})"
    if clips == known.clips:
        return f"Complete: {clips:,} clips before the filter, as expected of {whole}."
    return f"Expected {known.clips:,} clips of {whole} before the filter, found {clips:,}."


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
    rows = [f"  {'stage':<10}{'in':>10}{'out':>10}{'dropped':>10}  unit"]
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
    rows = [
        f"  {r['count']:>10,}  {r['stage']}: {r['reason']} ({r['action']})"
        for r in sums.head(most).reset_index().to_dict("records")
    ]
    if len(sums) > most:
        rows.append(f"  … {len(sums) - most} more kinds in tables/issues.parquet")
    return ["Issues:", *rows]


def disk_used(root: Path) -> int:
    """Bytes of the files below a folder, each hard-linked file counted once."""
    seen: dict[tuple[int, int], int] = {}
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            stat = path.stat()
            seen[stat.st_dev, stat.st_ino] = stat.st_size
    return sum(seen.values())


def human_bytes(n: float) -> str:
    """Bytes in the unit that reads best.

    >>> human_bytes(1536)
    '1.5 KiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n < 1024:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1024
    return f"{n:.1f} TiB"


def human_time(seconds: float) -> str:
    """Seconds as hours, minutes and seconds.

    >>> human_time(75.2), human_time(3.04)
    ('1 min 15 s', '3.0 s')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
