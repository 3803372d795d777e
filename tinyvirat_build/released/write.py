"""The dataset as it was released: TinyVIRAT-v2's folders, numbers and JSON.

Only ``TinyVIRAT_V2/`` is for giving away; the test labels lie beside it in ``truth/``. Every row
has a file: a clip that could not be cut stays in ``tables/clips.parquet`` with its reason.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from tinyvirat_build import store
from tinyvirat_build.records import QUALITY, SPLITS, Balance, StageResult, balance_frame
from tinyvirat_build.released.about import About, Terms
from tinyvirat_build.released.bounds import beyond, quarantine
from tinyvirat_build.released.card import card
from tinyvirat_build.released.croissant import croissant
from tinyvirat_build.released.layout import (
    ATTRIBUTION,
    CARD,
    CLASS_MAP,
    CROISSANT,
    FOLDER,
    LICENSE,
    LISTS,
    SUMS,
    TOLD,
    TRUTH,
    clip_id,
    clip_path,
    videos_folder,
)


def files_there(out: Path, manifest: Path) -> bool:
    """Whether everything that :func:`publish` wrote is still on disk."""
    texts = [*LISTS.values(), CLASS_MAP, LICENSE, ATTRIBUTION, *TOLD]
    files = [out / TRUTH, *(out / FOLDER / name for name in texts)]
    if not all(f.is_file() for f in files) or store.table_key(manifest) is None:
        return False
    clips = store.read_table(manifest, ["path"])["path"].dropna()
    return all((out / path).is_file() for path in clips)


def publish(
    out: Path,
    clips: pd.DataFrame,
    cuts: pd.DataFrame,
    classes: Sequence[str],
    about: About,
) -> StageResult:
    """Write the released layout and the test truth; return the manifest ``clips``.

    Train and val are numbered in row order, test in an order shuffled by ``publish.seed``, so that
    a test number tells nothing of its source. A clip beyond one of the bounds of
    ``publish.quality`` gets no number.
    """
    settings = about.settings.publish
    joined = join(clips, cuts)
    wanted = int(joined["reason"].isna().sum())
    kept, issues = quarantine(joined, beyond(joined, asdict(settings.quality)))
    manifest = number(kept, seed=settings.seed)
    partial = out / (FOLDER + store.PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    published = manifest[manifest["id"].notna()]
    for split in SPLITS:
        rows = published[published["split"] == split].sort_values("id", kind="stable")
        (partial / "videos" / split).mkdir(parents=True)
        for source, path in zip(rows["source_file"], rows["path"], strict=True):
            store.link_or_copy(out / source, out / path.replace(FOLDER, partial.name, 1))
    texts = released_texts(manifest, classes, about.sources)
    told = _told_texts(manifest, classes, about, texts)
    for name, text in (texts | told).items():
        if name != TRUTH:
            (partial / Path(name).name).write_text(text, "utf-8")
    final = out / FOLDER
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    store.write_text(out / TRUTH, texts[TRUTH])
    balance = Balance("publish", "clips", wanted, len(published), len(issues))
    return StageResult(
        manifest.drop(columns=["source_file"]),
        issues,
        balance_frame(balance),
        parts={Path(name).name: text.encode() for name, text in told.items()},
    )


def released_texts(
    manifest: pd.DataFrame, classes: Sequence[str], sources: Sequence[Terms]
) -> dict[str, str]:
    """What stands in the text files that follow from the manifest, by their paths in the build."""
    texts = {}
    for split, rows in _split(manifest).items():
        texts[f"{FOLDER}/{LISTS[split]}"] = _json([_public_row(r, split) for r in rows])
        if split == "test":
            texts[TRUTH] = _json([_labelled_row(r, split) for r in rows])
    texts[f"{FOLDER}/{CLASS_MAP}"] = _json({name: i for i, name in enumerate(classes)})
    texts[f"{FOLDER}/{LICENSE}"] = _licence(sources)
    texts[f"{FOLDER}/{ATTRIBUTION}"] = _attribution(sources)
    return texts


def _told_texts(
    manifest: pd.DataFrame, classes: Sequence[str], about: About, texts: Mapping[str, str]
) -> dict[str, str]:
    """Card, Croissant and checksums, by their paths in the build; ``texts`` are the others."""
    beside = {name.removeprefix(f"{FOLDER}/"): t for name, t in texts.items() if name != TRUTH}
    rows = {s: [_public_row(r, s) for r in own] for s, own in _split(manifest).items()}
    published = manifest[manifest["id"].notna()]
    lost = Counter(manifest["reason"].dropna().astype(str))
    held = int((published["held"] > 0).sum())
    beside[CARD] = card(rows, classes, about, lost=lost, held=held)
    beside[CROISSANT] = json.dumps(croissant(rows, classes, about, beside), indent=1) + "\n"
    beside[SUMS] = _sums(published, beside)
    return {f"{FOLDER}/{name}": beside[name] for name in TOLD}


def _split(manifest: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """The published rows of each split, by id."""
    rows = manifest[manifest["id"].notna()].sort_values("id", kind="stable")
    return {split: _records(rows[rows["split"] == split]) for split in SPLITS}


def join(clips: pd.DataFrame, cuts: pd.DataFrame) -> pd.DataFrame:
    """The planned clips with what came of each, in the clips' order."""
    keys = ["source", "video_id", "annotation_set"]
    plain = [f.assign(**{k: f[k].astype(str) for k in keys}) for f in (clips, cuts)]
    columns = ["file", "n_frames", "held", "sha256", "pack_file", "pack_offset", "fps"]
    columns += [*QUALITY, "reason"]
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
            ids[row] = clip_id(split, n)
            paths[row] = f"{videos_folder(split)}/{clip_path(split, videos[row], ids[row])}"
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
    return path.removeprefix(f"{videos_folder(split)}/")


def _sums(published: pd.DataFrame, texts: Mapping[str, str]) -> str:
    """Checksums of every other file, as ``sha256sum`` writes and checks them."""
    names = (str(path).removeprefix(f"{FOLDER}/") for path in published["path"])
    sums = dict(zip(names, published["sha256"], strict=True))
    sums |= {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))


def _json(rows: Any) -> str:
    return json.dumps(rows, ensure_ascii=False, allow_nan=False, separators=(", ", ": ")) + "\n"


def _licence(sources: Sequence[Terms]) -> str:
    parts = [f"Clips from {s.name}: {store.printable(s.license_text)}" for s in sources]
    return "\n\n".join(parts) + "\n"


def _attribution(sources: Sequence[Terms]) -> str:
    parts = [f"{s.name}: {store.printable(s.attribution)}" for s in sources]
    made = "Built with tinyvirat-build; frames are unmodified crops of the source videos."
    return "\n\n".join([*parts, made]) + "\n"
