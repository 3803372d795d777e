"""The names of the released layout, each here once.

TinyVIRAT_V2/                           what is given away
    tiny_train_v2.json                  a list of rows; so val's
    tiny_test_v2_public.json            test's, without labels
    class_map.json LICENSE ATTRIBUTION
    README.md croissant.json SHA256SUMS what it is, for people and for programs
    videos/train/VIDEO/000000.mp4       so val's, with five digits
    videos/test/00000.mp4
truth/test.json                         beside it: test's rows with labels
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

FOLDER: Final = "TinyVIRAT_V2"
LISTS: Final = {
    "train": "tiny_train_v2.json",
    "val": "tiny_val_v2.json",
    "test": "tiny_test_v2_public.json",
}
TRUTH: Final = "truth/test.json"
CLASS_MAP: Final = "class_map.json"
LICENSE: Final = "LICENSE"
ATTRIBUTION: Final = "ATTRIBUTION"
CARD: Final = "README.md"
CROISSANT: Final = "croissant.json"
SUMS: Final = "SHA256SUMS"
TOLD: Final = (CARD, CROISSANT, SUMS)
"""What tells of the build, not of its rows alone; another version may word it otherwise."""
_DIGITS: Final = {"train": 6, "val": 5, "test": 5}

# Of any release, in the order in which they are looked for: v2's, with labels first, then v1's.
ANY_FOLDER: Final = (FOLDER, "TinyVIRAT")
ANY_LIST: Final = {
    "train": (LISTS["train"], "tiny_train.json"),
    "val": (LISTS["val"], "tiny_val.json"),
    "test": ("tiny_test_v2.json", LISTS["test"], "tiny_test.json"),
}


def clip_id(split: str, number: int) -> str:
    """A clip's id in its split.

    >>> clip_id("train", 7), clip_id("test", 7)
    ('000007', '00007')
    """
    return f"{number:0{_DIGITS[split]}d}"


def clip_path(split: str, video_id: str, name: str) -> str:
    """A clip's file within ``videos/<split>/``; a test clip's tells nothing of its source.

    >>> clip_path("val", "VIRAT_S_000001", "00007"), clip_path("test", "VIRAT_S_000001", "00007")
    ('VIRAT_S_000001/00007.mp4', '00007.mp4')
    """
    return f"{name}.mp4" if split == "test" else f"{video_id}/{name}.mp4"


def videos_folder(split: str) -> str:
    """The folder of a split's clips in a build."""
    return f"{FOLDER}/videos/{split}"


def labelled_list(build: Path, split: str) -> Path:
    """The list of a split of a build that carries its labels."""
    return build / TRUTH if split == "test" else build / FOLDER / LISTS[split]
