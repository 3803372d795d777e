"""Prove a build: every clip against its source by another decoder, every file against its row.

Pixels are compared by :mod:`tinyvirat_build.video.verify`; here stand the checks of the tree and
the tables, the report, and the repair, which cuts again only what failed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from tqdm import tqdm

from tinyvirat_build import engine, pipeline
from tinyvirat_build.dataset import packs, tinyvirat
from tinyvirat_build.errors import DataError, PackError
from tinyvirat_build.records import KEYS
from tinyvirat_build.sources import Entry
from tinyvirat_build.sources.demo import misplaced
from tinyvirat_build.video.encode import LOSSLESS
from tinyvirat_build.video.verify import Problem, verify_video
from tinyvirat_build.work import load_index

if TYPE_CHECKING:
    from tinyvirat_build.builds import Build

__all__ = ["Problem", "Report", "verify"]


@dataclass(frozen=True, slots=True)
class Report:
    """What was compared, and what is wrong."""

    clips: int
    frames: int
    problems: tuple[Problem, ...] = field(default=())
    repaired: int = 0

    def to_json(self) -> str:
        """As JSON, one object."""
        return json.dumps(asdict(self), indent=1)

    def render(self, most: int = 40) -> str:
        """As a table for a terminal."""
        done = f"{self.clips:,} clips, {self.frames:,} frames compared with their sources"
        if self.repaired:
            done += f"; {self.repaired:,} videos cut again"
        if not self.problems:
            return f"{done}: every pixel is equal."
        width = max(len(p.check) for p in self.problems)
        lines = [f"{done}: {len(self.problems):,} problems"]
        lines += [f"  {p.check:<{width}}  {p.where}  {p.detail}" for p in self.problems[:most]]
        if len(self.problems) > most:
            lines.append(f"  … and {len(self.problems) - most:,} more (--json lists all)")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _Task:
    """One video's clips to compare."""

    entry: Entry
    index_unit: Path
    clips: pd.DataFrame  # rows of the manifest, with the files of ``cuts``
    root: Path
    lossless: bool


def verify(
    build: Build,
    *,
    data: Path | None = None,
    sample: int | None = None,
    repair: bool = False,
    workers: int = 1,
    quiet: bool = False,
) -> Report:
    """Check a build; with ``sample`` only so many clips' pixels, drawn evenly over the videos.

    Raises:
        BuildError: the build is not published yet.
        DataError: a source video is not where it was.
    """
    report = _check(build, data, sample, workers, quiet)
    if not (repair and report.problems):
        return report
    again = _forget(build, report.problems)
    request = pipeline.Request(
        build.sources, data or build.data, build.path, build.settings, workers,
        limit=build.limit, quiet=quiet,
    )  # fmt: skip
    pipeline.run(request, first="cut")
    return replace(_check(build, data, sample, workers, quiet), repaired=again)


def _check(
    build: Build, data: Path | None, sample: int | None, workers: int, quiet: bool
) -> Report:
    manifest = build.table("clips")
    cuts = build.table("cuts")
    rows = manifest[manifest["reason"].isna()].merge(
        cuts[["clip_id", "file"]], on="clip_id", how="left"
    )
    chosen = _sample(rows, sample)
    entries = build.entries(data)
    lossless = build.settings.encode.codec in LOSSLESS
    tasks = []
    for key, clips in chosen.groupby(list(KEYS), sort=True, observed=True):
        source, video_id, annotation_set = map(str, key)
        entry = entries.get((source, video_id, annotation_set))
        if entry is None or entry.video is None:
            raise DataError(
                f"the source of {video_id} is not below the data folder; verify needs the sources: "
                "give --data"
            )
        unit = pipeline.unit_path(build.path, "index", entry)
        tasks.append(_Task(entry, unit, clips.reset_index(drop=True), build.path, lossless))
    problems: list[Problem] = []
    with tqdm(
        total=len(chosen), desc="   verify", unit=" clip", delay=2, disable=quiet,
        dynamic_ncols=True,
    ) as bar:  # fmt: skip
        for outcome in engine.run_local(_compare, tasks, workers=workers):
            where = outcome.task.entry.video_id
            if outcome.failure:
                problems.append(Problem("video", where, outcome.failure.detail))
            problems += outcome.result or []
            bar.update(len(outcome.task.clips))
    problems.sort(key=lambda p: (p.check, p.where, p.detail))
    problems += _tree(build.path, rows)
    problems += _tables(build, manifest)
    problems += _stamps(build, chosen, lossless)
    frames = int((chosen["end"] - chosen["start"]).sum())
    return Report(len(chosen), frames, tuple(problems))


def _compare(task: _Task) -> list[Problem]:
    assert task.entry.video is not None
    index = load_index(task.index_unit)
    return verify_video(task.entry.video, index, task.clips, task.root, lossless=task.lossless)


def _stamps(build: Build, rows: pd.DataFrame, lossless: bool) -> list[Problem]:
    """The demo's frames tell their own number and place; other corpora cannot be asked."""
    if "demo" not in build.sources or not lossless or build.settings.crop.grid != "even":
        return []
    return [Problem("stamp", *line.split(": ", 1)) for line in misplaced(rows, build.path)]


def _sample(rows: pd.DataFrame, sample: int | None) -> pd.DataFrame:
    if sample is None or sample >= len(rows):
        return rows
    order = list(rows.index)
    random.Random(0).shuffle(order)
    return rows.loc[sorted(order[:sample])]


def _tree(out: Path, rows: pd.DataFrame) -> Iterator[Problem]:
    """The released layout against the manifest: JSON, class map, files, dimensions."""
    root = tinyvirat.layout_folder(out)
    classes: Any = {}
    try:
        classes = _read_json(root / "class_map.json")
    except (OSError, ValueError) as e:
        yield Problem("json", "class_map.json", f"cannot be read: {e}")
    listed: set[Path] = set()
    for split in tinyvirat.SPLITS:
        planned = rows[rows["split"] == split].set_index("id")
        try:
            public = _read_json(root / tinyvirat.JSON_FILES[split])
        except (OSError, ValueError) as e:
            yield Problem("json", tinyvirat.JSON_FILES[split], f"cannot be read: {e}")
            listed.update(out / p for p in planned["path"])
            continue
        seen: set[str] = set()
        for row in public:
            where = f"{split} {row['id']}"
            path = root / "videos" / split / row["path"]
            listed.add(path)
            if row["id"] in seen:
                yield Problem("id", where, "the id occurs twice")
            seen.add(row["id"])
            if not path.is_file():
                yield Problem("file", where, f"{row['path']} is not there")
            if row["id"] not in planned.index:
                yield Problem("json", where, "the manifest has no such row")
                continue
            clip = planned.loc[row["id"]]
            if row["dim"] != [clip["n_frames"], clip["height"], clip["width"]]:
                yield Problem("dim", where, f"{row['dim']} is not the clip's own size")
            if split == "test":
                if "label" in row:
                    yield Problem("label", where, "a test row must not carry its label")
            elif not row["label"] or not set(row["label"]) <= set(classes):
                yield Problem("label", where, f"{row['label']} is not in the class map")
        for missing in sorted(set(planned.index) - seen):
            yield Problem("json", f"{split} {missing}", "the JSON has no such row")
    for path in sorted((root / "videos").rglob("*.mp4")):
        if path not in listed:
            yield Problem("file", path.relative_to(root).as_posix(), "no row names it")


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def _tables(build: Build, manifest: pd.DataFrame) -> Iterator[Problem]:
    """Groups in two splits, labels of clips, balances, and the pack's checksums."""
    splits = manifest.groupby("group", observed=True)["split"].nunique()
    for group in splits.index[splits > 1]:
        yield Problem("leakage", str(group), "the group is in more than one split")
    side = manifest[["width", "height"]].max(axis=1)
    crop = build.settings.crop
    for clip_id in manifest["clip_id"][side > crop.max_side]:
        yield Problem("size", f"clip {clip_id}", f"larger than crop.max_side {crop.max_side}")
    for clip_id in manifest["clip_id"][manifest["labels"].map(len) == 0]:
        yield Problem("label", f"clip {clip_id}", "the clip has no label")
    balance = build.table("balance")
    open_rows = balance["records_in"] != balance["records_out"] + balance["dropped"]
    for row in balance[open_rows].to_dict("records"):
        yield Problem("balance", f"{row['stage']} {row['video_id']}", "records vanished")
    if build.settings.encode.pack:
        try:
            packs.open_pack(build.path / "pack", verify=True)
        except PackError as e:
            yield Problem("pack", "pack", str(e))


def _forget(build: Build, problems: Sequence[Problem]) -> int:
    """Delete the units behind what failed, so that the next run redoes just these."""
    (build.path / "units" / "publish" / "all").unlink(missing_ok=True)
    manifest = build.table("clips")
    failed = {p.where.removeprefix("clip ") for p in problems}
    rows = manifest[manifest["clip_id"].isin(failed) | manifest["video_id"].isin(failed)]
    videos = set(zip(*(rows[k].astype(str) for k in KEYS), strict=True))
    for source, video_id, annotation_set in videos:
        (build.path / "units" / "cut" / source / annotation_set / video_id).unlink(missing_ok=True)
    return len(videos)
