"""Lists as VideoMAE and its kin read them: a line a clip, its path and the numbers of its classes.

Path and numbers are parted by a blank, the numbers by commas: a line has two columns whatever
the number of labels, as the readers' ``pandas.read_csv(file, header=None, delimiter=" ")`` asks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tinyvirat_build import store
from tinyvirat_build.exports.given import Given, place
from tinyvirat_build.records import SPLITS

UNKNOWN: Final = "-1"  # stands for labels that are not given away


def write(folder: Path, given: Given) -> list[str]:
    """Write ``train.csv``, ``val.csv``, ``test.csv``, ``classes.txt`` and ``videos/``."""
    for split in SPLITS:
        lines = []
        for clip in given.of(split):
            path = f"videos/{split}/{clip.id}.mp4"  # of digits alone: a blank would part columns
            place(clip, folder / path)
            numbers = given.numbers(clip)
            lines.append(f"{path} {UNKNOWN if numbers is None else ','.join(map(str, numbers))}\n")
        store.write_text(folder / f"{split}.csv", "".join(lines))
    store.write_text(folder / "classes.txt", "".join(f"{name}\n" for name in given.classes))
    given.write_about(folder)
    return ["clip_id, source video, size and rate"]
