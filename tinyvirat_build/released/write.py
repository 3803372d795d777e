"""The dataset as it was released: TinyVIRAT-v2's folders, numbers and JSON.

Only ``TinyVIRAT_V2/`` is for giving away; the test labels lie beside it in ``truth/``. Every row
has a file: a clip that could not be cut stays in ``tables/clips.parquet`` with its reason.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import pandas as pd

from tinyvirat_build import store
from tinyvirat_build.errors import PackError
from tinyvirat_build.pack import write as packs
from tinyvirat_build.pack.read import open_pack
from tinyvirat_build.records import Balance, StageResult, balance_frame
from tinyvirat_build.settings import Settings

SPLITS: Final = ("train", "val", "test")
FOLDER: Final = "TinyVIRAT_V2"
TRUTH: Final = "truth/test.json"
_DIGITS: Final = {"train": 6, "val": 5, "test": 5}  # of the released file names
JSON_FILES: Final = {
    "train": "tiny_train_v2.json",
    "val": "tiny_val_v2.json",
    "test": "tiny_test_v2_public.json",
}


class Terms(Protocol):
    """What a source says of its use: a source's own name, licence and makers."""

    @property
    def name(self) -> str:
        """As in the column ``source``."""

    @property
    def license_text(self) -> str:
        """Under which its clips may be used."""

    @property
    def attribution(self) -> str:
        """Who made it."""


def layout_folder(out: Path) -> Path:
    """The folder that is given away."""
    return out / FOLDER


def files_there(out: Path, manifest: Path, settings: Settings) -> bool:
    """Whether everything that :func:`publish` wrote is still on disk."""
    root = layout_folder(out)
    files = [root / name for name in (*JSON_FILES.values(), "class_map.json", "LICENSE")]
    files += [root / "ATTRIBUTION", out / "truth" / "test.json"]
    if not all(f.is_file() for f in files) or store.table_key(manifest) is None:
        return False
    clips = store.read_table(manifest, ["path"])["path"].dropna()
    if not all((out / path).is_file() for path in clips):
        return False
    if settings.encode.pack:
        try:
            open_pack(out / "pack")
        except PackError:
            return False
    return True


def publish(
    out: Path,
    clips: pd.DataFrame,
    cuts: pd.DataFrame,
    classes: Sequence[str],
    sources: Sequence[Terms],
    settings: Settings,
) -> StageResult:
    """Write the released layout, the test truth and the pack; return the manifest ``clips``.

    Train and val are numbered in row order, test in an order shuffled by ``publish.seed``, so
    that a test number tells nothing of its source.
    """
    manifest = number(join(clips, cuts), seed=settings.publish.seed)
    partial = out / (FOLDER + store.PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    published = manifest[manifest["id"].notna()]
    for split in SPLITS:
        rows = published[published["split"] == split].sort_values("id", kind="stable")
        videos_folder = partial / "videos" / split
        videos_folder.mkdir(parents=True)
        for source, path in zip(rows["source_file"], rows["path"], strict=True):
            _link(out / source, out / path.replace(FOLDER, partial.name, 1))
    texts = released_texts(manifest, classes, sources)
    for name in texts.keys() - {TRUTH}:
        (partial / Path(name).name).write_text(texts[name], "utf-8")
    final = layout_folder(out)
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    store.write_text(out / TRUTH, texts[TRUTH])
    manifest = manifest.drop(columns=["source_file"])
    if settings.encode.pack:
        if not (out / "pack" / "pack.json").is_file():  # the rest of one, which cannot be used
            shutil.rmtree(out / "pack", ignore_errors=True)
        packs.write_pack(out, manifest, classes, public=settings.publish.public)
    else:
        # One of earlier settings: its numbers would name other clips now.
        shutil.rmtree(out / "pack", ignore_errors=True)
    n = len(published)
    balance = Balance("publish", "clips", int(manifest["reason"].isna().sum()), n, 0)
    return StageResult(manifest, balance=balance_frame(balance))


def released_texts(
    manifest: pd.DataFrame, classes: Sequence[str], sources: Sequence[Terms]
) -> dict[str, str]:
    """What stands in each text file beside the clips, by its path in the build."""
    published = manifest[manifest["id"].notna()]
    texts = {}
    for split in SPLITS:
        rows = _records(published[published["split"] == split].sort_values("id", kind="stable"))
        texts[f"{FOLDER}/{JSON_FILES[split]}"] = _json([_public_row(r, split) for r in rows])
        if split == "test":
            texts[TRUTH] = _json([_labelled_row(r, split) for r in rows])
    texts[f"{FOLDER}/class_map.json"] = _json({name: i for i, name in enumerate(classes)})
    texts[f"{FOLDER}/LICENSE"] = _licence(sources)
    texts[f"{FOLDER}/ATTRIBUTION"] = _attribution(sources)
    return texts


def join(clips: pd.DataFrame, cuts: pd.DataFrame) -> pd.DataFrame:
    """The planned clips with what came of each, in the clips' order."""
    keys = ["source", "video_id", "annotation_set"]
    plain = [f.assign(**{k: f[k].astype(str) for k in keys}) for f in (clips, cuts)]
    columns = ["file", "n_frames", "held", "sha256", "pack_file", "pack_offset", "fps", "reason"]
    joined = plain[0].merge(
        plain[1][[*keys, "clip_id", *columns]], on=[*keys, "clip_id"], how="left", validate="1:1"
    )
    return joined.rename(columns={"file": "source_file"})


def number(manifest: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Add ``id`` and ``path`` (relative to the build) of the released layout to rows with a file.

    Numbers are unique within a split: ``%06d`` in train, ``%05d`` in val and test.
    """
    ids = pd.Series([None] * len(manifest), dtype=object, index=manifest.index)
    paths = ids.copy()
    videos: dict[Any, str] = manifest["video_id"].astype(str).to_dict()
    for split in SPLITS:
        rows = manifest.index[(manifest["split"] == split) & manifest["source_file"].notna()]
        order = list(rows)
        if split == "test":
            random.Random(seed).shuffle(order)
        for n, row in enumerate(order):
            name = f"{n:0{_DIGITS[split]}d}"
            folder = "" if split == "test" else f"{videos[row]}/"
            ids[row] = name
            paths[row] = f"{FOLDER}/videos/{split}/{folder}{name}.mp4"
    return manifest.assign(id=ids, path=paths)


def _labelled_row(row: dict[str, Any], split: str) -> dict[str, Any]:
    released = {"clip_id": row["released_id"]} if isinstance(row["released_id"], str) else {}
    return {
        "id": row["id"],
        "video_id": row["video_id"],
        **released,
        "path": _within(row["path"], split),
        "dim": [int(row["n_frames"]), int(row["height"]), int(row["width"])],
        "label": list(row["labels"]),
    }


def _public_row(row: dict[str, Any], split: str) -> dict[str, Any]:
    labelled = _labelled_row(row, split)
    if split != "test":
        return labelled
    # A test row tells nothing of its source.
    return {
        "id": labelled["id"],
        "video_id": labelled["id"],
        "path": labelled["path"],
        "dim": labelled["dim"],
    }


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in rows.to_dict("records")]


def _within(path: str, split: str) -> str:
    return path.removeprefix(f"{FOLDER}/videos/{split}/")


def _json(rows: Any) -> str:
    return json.dumps(rows, ensure_ascii=False, allow_nan=False, separators=(", ", ": ")) + "\n"


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)


def _licence(sources: Sequence[Terms]) -> str:
    parts = [f"Clips from {s.name}: {s.license_text}" for s in sources]
    return "\n\n".join(parts) + "\n"


def _attribution(sources: Sequence[Terms]) -> str:
    parts = [f"{s.name}: {s.attribution}" for s in sources]
    made = "Built with tinyvirat-build; frames are unmodified crops of the source videos."
    return "\n\n".join([*parts, made]) + "\n"
