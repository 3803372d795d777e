"""Prove a build: every clip against its source by another decoder, every file against its row.

Pixels are compared by :mod:`tinyvirat_build.video.verify`; here stand the checks of the tree and
the tables, the report, and the repair, which cuts again only what failed.
"""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from tinyvirat_build import engine, progress, store
from tinyvirat_build.errors import DataError, PackError
from tinyvirat_build.labels import load_classes
from tinyvirat_build.pack.write import check_pack
from tinyvirat_build.pipeline.folder import unit_path
from tinyvirat_build.pipeline.on_video import load_index
from tinyvirat_build.pipeline.opened import OpenedBuild
from tinyvirat_build.pipeline.request import Request
from tinyvirat_build.pipeline.run import run
from tinyvirat_build.records import KEYS, Key
from tinyvirat_build.released.layout import CLASS_MAP, FOLDER, TOLD
from tinyvirat_build.released.write import released_texts
from tinyvirat_build.remote.video import RemoteVideo
from tinyvirat_build.sources import Entry
from tinyvirat_build.sources import get as get_source
from tinyvirat_build.store.means import raise_if_lacking
from tinyvirat_build.video.encode import LOSSLESS
from tinyvirat_build.video.verify import LEAST_PSNR, Problem, verify_video

__all__ = ["Problem", "Report", "verify"]


@dataclass(frozen=True, slots=True)
class Report:
    """What was compared, and what is wrong."""

    clips: int
    frames: int
    problems: tuple[Problem, ...] = field(default=())
    repaired: int = 0
    lossless: bool = True  # or the clips' codec changes pixels

    def to_json(self) -> str:
        """As JSON, one object."""
        return json.dumps(asdict(self), indent=1)

    def render(self, most: int = 40) -> str:
        """As a table for a terminal."""
        sources = "its source" if self.clips == 1 else "their sources"
        done = f"{store.many(self.clips, 'clip')} compared with {sources}"
        if self.repaired:
            done += f"; {store.many(self.repaired, 'video')} cut again"
        if not self.problems:
            proven = f"{done}: all {self.frames:,} frames are those that a player shows"
            if self.lossless:
                return f"{proven}, and every pixel is equal."
            return f"{proven}, to {LEAST_PSNR} dB or better."
        width = max(len(p.check) for p in self.problems)
        lines = [f"{done}, {self.frames:,} frames: {store.many(len(self.problems), 'problem')}"]
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
    build: OpenedBuild,
    *,
    data: Path | None = None,
    sample: int | None = None,
    repair: bool = False,
    workers: int = 1,
    quiet: bool = False,
) -> Report:
    """Check a build; with ``sample`` only so many clips' pixels, drawn evenly over the videos.

    ``repair`` redoes what fails, and what failed for a reason that may have passed. A clip that
    is cut again and still shows something else than its source is ``disputed``, and no clip.

    Raises:
        BuildError: the build is not published yet.
        DataError: a source video is not where it was.
    """
    report = _check(build, data, sample, workers, quiet)
    if not repair or not (report.problems or store.has_transient(build.path)):
        return report
    changed = [p.where for p in report.problems if p.check == "table"]
    failed = frozenset() if changed else _videos_behind(build, report.problems)
    request = Request(
        build.sources, data or build.data, build.path, build.settings, workers,
        limit=build.limit, prove=failed, quiet=quiet, videos=build.videos,
    )  # fmt: skip
    # From the first stage on: what failed for a reason that may pass is tried again as well.
    run(request, before=lambda: _forget(build, failed, changed))
    return replace(_check(build, data, sample, workers, quiet), repaired=len(failed))


def _check(
    build: OpenedBuild, data: Path | None, sample: int | None, workers: int, quiet: bool
) -> Report:
    if changed := _changed_tables(build):  # what they say of clips proves nothing
        return Report(0, 0, changed)
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
        entry = entries.get(Key(source, video_id, annotation_set))
        if entry is None or entry.video is None:
            raise DataError(
                f"the source of {video_id} is not below the data folder; verify needs the sources: "
                "give --data"
            )
        unit = unit_path(build.path, "index", entry)
        tasks.append(_Task(entry, unit, clips.reset_index(drop=True), build.path, lossless))
    afar = sum(t.entry.remote.size for t in tasks if t.entry.remote)
    if afar and not quiet:
        progress.say(
            f"{afar / 1e6:,.0f} MB to fetch: every video whole, to be decoded from its start"
        )
    problems: list[Problem] = []
    with progress.counting(len(chosen), "verify", "clip", quiet=quiet) as count:
        for ended in engine.run_local(_compare, tasks, workers=workers):
            where = ended.task.entry.video_id
            if ended.failure:
                problems.append(Problem("video", where, ended.failure.detail))
            problems += ended.result or []
            count.add(len(ended.task.clips))
    problems.sort(key=lambda p: (p.check, p.where, p.detail))
    problems += _tree(build, manifest, rows.set_index("clip_id")["file"])
    problems += _tables(build, manifest, quiet)
    problems += _stamps(build, chosen, lossless)
    frames = int(chosen["n_frames"].sum())
    if manifest.empty:
        problems.append(Problem("build", "tables/clips.parquet", "holds no clip to prove"))
    elif chosen.empty:
        problems.append(Problem("build", "clips", "none was cut; see tables/issues.parquet"))
    return Report(len(chosen), frames, tuple(problems), lossless=lossless)


def _changed_tables(build: OpenedBuild) -> tuple[Problem, ...]:
    """The tables that are not as they were written."""
    return tuple(
        Problem("table", f"tables/{name}", "is not the table that was written")
        for name in store.changed_tables(build.path / "tables")
    )


def _compare(task: _Task) -> list[Problem]:
    assert task.entry.video is not None
    path, remote = task.entry.video, task.entry.remote
    if remote is None:
        index = load_index(task.index_unit)
        return verify_video(path, index, task.clips, task.root, lossless=task.lossless)
    afar = RemoteVideo.at(path.parent, remote)
    try:
        return verify_video(path, afar.whole(), task.clips, task.root, lossless=task.lossless)
    finally:
        afar.remove()


def _stamps(build: OpenedBuild, rows: pd.DataFrame, lossless: bool) -> list[Problem]:
    """Frames that tell another number or place; only some sources' frames can be asked."""
    if not lossless or build.settings.crop.grid != "even":
        return []
    asked = [getattr(get_source(name), "misplaced", None) for name in build.sources]
    told = [line for ask in asked if ask for line in ask(rows, build.path)]
    return [Problem("stamp", *line.split(": ", 1)) for line in told]


def _sample(rows: pd.DataFrame, sample: int | None) -> pd.DataFrame:
    if sample is None or sample >= len(rows):
        return rows
    order = list(rows.index)
    random.Random(0).shuffle(order)
    return rows.loc[sorted(order[:sample])]


def _tree(build: OpenedBuild, manifest: pd.DataFrame, files: pd.Series[Any]) -> Iterator[Problem]:
    """The released layout against the manifest: every text file, every clip.

    ``files`` names each published clip's own file, by clip id.
    """
    out, root = build.path, build.path / FOLDER
    sources = [get_source(name) for name in build.sources]
    classes = load_classes(build.settings.classes)
    expected = released_texts(manifest, classes, sources)
    unit = out / "units" / "publish" / "all"
    for name in filter(functools.partial(store.has_part, unit), TOLD):
        expected[f"{FOLDER}/{name}"] = store.read_unit_bytes(unit, name).decode()
    for name, text in expected.items():
        found = _read(out / name)
        if isinstance(found, Problem):
            yield found
        elif found != text:
            yield from _text(name.removeprefix(f"{FOLDER}/"), found, text)
    published = manifest[manifest["id"].notna()]
    for clip_id, path, sha256 in zip(
        published["clip_id"], published["path"], published["sha256"], strict=True
    ):
        if problem := _clip_file(out / path, out / str(files.get(clip_id)), str(sha256)):
            yield Problem("file", path.removeprefix(f"{FOLDER}/"), problem)
    listed = {out / path for path in published["path"]}
    for path in sorted((root / "videos").rglob("*.mp4")):
        if path not in listed:
            yield Problem("file", path.relative_to(root).as_posix(), "no row names it")


def _clip_file(path: Path, own: Path, sha256: str) -> str | None:
    """What is wrong with a released clip; a hard link to its own file is checked there."""
    try:
        if path.samefile(own):
            return None
    except OSError:  # one of them is not there
        pass
    try:
        return None if store.hash_file(path) == sha256 else "is not the clip that was cut"
    except FileNotFoundError:
        return "is not there"
    except OSError as e:
        raise_if_lacking(e)
        return f"cannot be read: {e.strerror}"


def _read(path: Path) -> str | Problem:
    check = "json" if path.suffix == ".json" else "text"
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as e:
        raise_if_lacking(e)
        return Problem(check, path.name, f"cannot be read: {e}")


def _text(name: str, found: str, expected: str) -> Iterator[Problem]:
    """What differs in one text file, row by row where it has rows."""
    rows = json.loads(expected) if name.endswith(".json") else None
    if not isinstance(rows, list) and name != CLASS_MAP:
        yield Problem("text", name, "is not what was published")
        return
    try:
        public = json.loads(found)
    except (ValueError, RecursionError) as e:
        yield Problem("json", name, f"cannot be read: {e}")
        return
    if not isinstance(rows, list):
        yield Problem("json", name, "the numbers are not those of the class list")
        return
    if not isinstance(public, list):
        yield Problem("json", name, "is no list of rows")
        return
    problems = list(_rows(name, public, {row["id"]: row for row in rows}))
    yield from problems or [Problem("json", name, "the rows are in another order")]


def _rows(
    name: str, public: Sequence[Any], expected: dict[str, dict[str, Any]]
) -> Iterator[Problem]:
    seen: set[str] = set()
    for n, row in enumerate(public, 1):
        if not isinstance(row, dict) or not isinstance(row.get("id"), str):
            yield Problem("json", f"{name} row {n}", "is no row of the layout")
            continue
        where = f"{name} {row['id']}"
        if row["id"] in seen:
            yield Problem("id", where, "the id occurs twice")
        seen.add(row["id"])
        planned = expected.get(row["id"])
        if planned is None:
            yield Problem("json", where, "the manifest has no such row")
            continue
        for key in sorted(row.keys() | planned.keys(), key=str):
            if key not in row:
                yield Problem(_check_of(key), where, f"{key} is missing")
            elif key not in planned:
                yield Problem(_check_of(key), where, f"must not carry {key}")
            elif row[key] != planned[key]:
                yield Problem(_check_of(key), where, f"{key} {row[key]} is not {planned[key]}")
    for missing in sorted(expected.keys() - seen):
        yield Problem("json", f"{name} {missing}", "the JSON has no such row")


def _check_of(key: str) -> str:
    return key if key in ("dim", "label") else "json"


def _tables(build: OpenedBuild, manifest: pd.DataFrame, quiet: bool) -> Iterator[Problem]:
    """Groups in two splits, labels of clips, balances, and the pack."""
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
        yield from _pack(build, manifest, quiet)


def _pack(build: OpenedBuild, manifest: pd.DataFrame, quiet: bool) -> Iterator[Problem]:
    """The pack against the manifest and the raw files of the clips."""
    total = sum(p.stat().st_size for p in (build.path / "pack" / "shards").glob("*"))
    with progress.counting(total, "pack", "B", quiet=quiet) as count:
        found = check_pack(
            build.path,
            manifest,
            load_classes(build.settings.classes),
            public=build.settings.publish.public,
            advance=count.add,
        )
        try:
            for where, what in found:
                yield Problem("pack", where, what)
        except PackError as e:
            yield Problem("pack", "pack", str(e))


def _videos_behind(build: OpenedBuild, problems: Sequence[Problem]) -> frozenset[Key]:
    """The videos whose clips failed, by their keys."""
    manifest = build.table("clips")
    failed = {p.where.removeprefix("clip ") for p in problems}
    rows = manifest[manifest["clip_id"].isin(failed) | manifest["video_id"].isin(failed)]
    return frozenset(map(Key, *(rows[k].astype(str) for k in KEYS)))


def _forget(build: OpenedBuild, videos: Iterable[Key], tables: Iterable[str]) -> None:
    """Delete the units and tables behind what failed, so that the run redoes just these."""
    for name in tables:
        (build.path / name).unlink(missing_ok=True)
    units = build.path / "units"
    (units / "publish" / "all").unlink(missing_ok=True)
    for source, video_id, annotation_set in videos:
        (units / "cut" / source / annotation_set / video_id).unlink(missing_ok=True)
