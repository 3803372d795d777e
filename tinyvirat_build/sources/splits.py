"""Split lists: reading them, and computing MEVA's own from a table of label counts.

``annotations/splits`` holds DIVA's two lists of VIRAT videos as published, and for MEVA the
label counts per time slot (``meva-counts.csv``) and the list computed from them (``meva.csv``);
``meva-37`` are the same for MEVA's own class names.

    python -m tinyvirat_build.sources.splits             # the lists again, from their counts
    python -m tinyvirat_build.sources.splits --data DIR  # the counts first, from annotations
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import click
import numpy as np
import pandas as pd

from tinyvirat_build import sources, store
from tinyvirat_build.errors import AnnotationError, DataError, SettingsError, TinyviratError
from tinyvirat_build.records import SPLITS
from tinyvirat_build.settings import Partition, Settings, annotations_dir
from tinyvirat_build.sources.parse import parse_entry
from tinyvirat_build.stages.partition import (
    SplitList,
    assign_groups,
    label_counts,
    split_of_groups,
)
from tinyvirat_build.stages.stratify import Counts

MEVA_LISTS: Final = {"meva": "default", "meva-37": "meva-37"}
"""The committed lists of MEVA, and the preset whose labels each keeps near their shares."""

_SLOTS: Final = ("auto", "slot", "session")  # the groupings that meva.csv was computed for
_UNITS: Final = {"group": "group", "video_id": "video"}  # first column of a list -> its unit


def load_lists(settings: Partition) -> dict[str, SplitList]:
    """The split list of each source that has one, by ``partition.lists``.

    A value is ``official`` (VIRAT: DIVA's lists), ``none``, the name of a list under
    ``annotations/splits`` or a CSV file. Where nothing is set, MEVA has the list ``meva``, unless
    the partition groups by something else than time slots.

    Raises:
        SettingsError: no such list, or one for groups that the partition does not form.
        AnnotationError: the list cannot be read.
    """
    names = {"meva": "meva"} if settings.group in _SLOTS else {}
    names |= settings.lists
    found = {}
    for source, name in sorted(names.items()):
        if name == "none":
            continue
        found[source] = load_list(name, source)
        if (
            found[source].unit == "group"
            and name in shipped_lists()
            and settings.group not in _SLOTS
        ):
            raise SettingsError(
                f"the list {name} is for time slots, but partition.group is {settings.group}; "
                f"set partition.lists.{source} to none or partition.group to slot"
            )
    return found


def shipped_lists() -> list[str]:
    """The names of the lists under ``annotations/splits``."""
    files = (annotations_dir() / "splits").glob("*.csv")
    return sorted(path.stem for path in files if not path.stem.endswith("-counts"))


def load_list(name: str, source: str) -> SplitList:
    """A split list by name or CSV file, headed ``group,split`` or ``video_id,split``.

    Raises:
        SettingsError: there is no such list.
        AnnotationError: a line that is not a name and one of train, val and test, or repeats one.
    """
    folder = annotations_dir() / "splits"
    if name == "official":
        if source != "virat":
            raise SettingsError(
                f"partition.lists.{source}: official lists exist for virat alone; give a CSV file"
            )
        lines = {
            split: (folder / f"virat-diva-{part}.txt").read_text("utf-8").split()
            for split, part in (("train", "train"), ("test", "validation"))
        }
        splits = {video: split for split, videos in lines.items() for video in videos}
        return SplitList("official", splits, unit="video", draw_val=True, closed=True)
    path = Path(name) if name.endswith(".csv") else folder / f"{name}.csv"
    if not path.is_file() or name.endswith("-counts"):
        raise SettingsError(
            f"partition.lists.{source}: no list {name!r}; "
            f"give official, none, {', '.join(shipped_lists())} or a CSV file"
        )
    rows = _rows(path)
    _, header = next(rows, (1, []))
    if len(header) != 2 or header[0] not in _UNITS or header[1] != "split":
        raise AnnotationError(
            "not a split list",
            file=path,
            line=1,
            remedy="begin it with the line group,split or video_id,split",
        )
    splits = {}
    for line, row in rows:
        if len(row) != 2 or row[1] not in SPLITS or row[0] in splits:
            raise AnnotationError(
                f"cannot use {','.join(row)!r}",
                file=path,
                line=line,
                remedy=f"give a {header[0]} not named before and one of {', '.join(SPLITS)}",
            )
        splits[row[0]] = row[1]
    return SplitList(path.stem, splits, unit="video" if header[0] == "video_id" else "group")


def regenerate(counts_file: Path, out: Path) -> None:
    """Write the split list of the groups in ``counts_file``: the default partition of them.

    Raises:
        AnnotationError: the counts cannot be read.
    """
    counts = read_counts(counts_file)
    named = Counts(tuple(f"meva/{group}" for group in counts.groups), counts.labels, counts.table)
    splits = split_of_groups(named, Partition(), lists={})
    rows = [(group.removeprefix("meva/"), split) for group, split in sorted(splits.items())]
    store.write_text(out, store.csv_text([("group", "split"), *rows]))


def count_meva(data: Path, preset: str = "default") -> Counts:
    """The label counts of every time slot in the evaluation set (``kitware``) below ``data``.

    The labels are the preset's. Boxes are not read: only activities count.

    Raises:
        DataError: no MEVA annotation lies there, or none with an activity.
    """
    settings = Settings.load(preset, overrides=["meva.sets=kitware"])
    entries = sources.get("meva").discover(data, settings).entries
    videos = pd.DataFrame([asdict(replace(entry, files=())) for entry in entries])
    activities = []
    for entry in entries:
        files = tuple(path for path in entry.files if "geom" not in path.name)
        bare = replace(entry, files=files)
        parsed = parse_entry(bare, settings, width=entry.width, height=entry.height)
        activities += [parsed.activities, parsed.without_geometry]
    groups = assign_groups(videos, settings.partition, lists={})
    found = [table for table in activities if len(table)]
    if not found:
        raise DataError(f"no activity in the {len(entries)} clips below {data}; give all of MEVA")
    counts = label_counts(pd.concat(found, ignore_index=True), groups)
    bare_names = tuple(group.removeprefix("meva/") for group in counts.groups)
    return Counts(bare_names, counts.labels, counts.table)


def read_counts(path: Path) -> Counts:
    """The table of :func:`write_counts`.

    Raises:
        AnnotationError: a line that is not a group and one whole number for each label.
    """
    rows = _rows(path)
    _, header = next(rows, (1, []))
    groups, table = [], []
    for line, row in rows:
        if len(row) != len(header) or not all(cell.isdecimal() for cell in row[1:]):
            raise AnnotationError(
                f"not a group and {len(header) - 1} counts",
                file=path,
                line=line,
                remedy="restore the file or run make splits DATA=…",
            )
        groups.append(row[0])
        table.append([int(cell) for cell in row[1:]])
    shape = (len(groups), max(len(header) - 1, 0))
    return Counts(tuple(groups), tuple(header[1:]), np.array(table, dtype=np.int64).reshape(shape))


def write_counts(counts: Counts, path: Path) -> None:
    """One line a group, one column a label: how many activities of it the group has."""
    rows = [
        (group, *map(str, row))
        for group, row in zip(counts.groups, counts.table.tolist(), strict=True)
    ]
    store.write_text(path, store.csv_text([("group", *counts.labels), *rows]))


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file that are not empty, with their line numbers."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        raise AnnotationError(
            f"cannot be read ({e})", file=path, remedy="give a readable CSV file"
        ) from e
    reader = csv.reader(io.StringIO(text, newline=""))
    return ((reader.line_num, [cell.strip() for cell in row]) for row in reader if row)


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder with MEVA's annotations: recompute the counts from them first.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write to; default annotations/splits.",
)
def main(data: Path | None, out: Path | None) -> None:
    """Regenerate the committed split lists of MEVA."""
    committed = annotations_dir() / "splits"
    out = out or committed
    try:
        for name, preset in MEVA_LISTS.items():
            counts_file = committed / f"{name}-counts.csv"
            if data is not None:
                counts_file = out / counts_file.name
                write_counts(count_meva(data, preset), counts_file)
                click.echo(f"wrote {counts_file}")
            regenerate(counts_file, out / f"{name}.csv")
            click.echo(f"wrote {out / f'{name}.csv'}")
    except (TinyviratError, OSError) as e:
        click.echo(store.printable(f"error: {e}"), err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
