"""What the stages do on the whole corpus: splits, rare labels, the dataset.

Each function is a stage's ``run`` in the table of stages, or says whether its files are there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from tinyvirat_build import store
from tinyvirat_build.errors import PackError
from tinyvirat_build.geometry.arrays import Ints
from tinyvirat_build.pack.read import open_pack
from tinyvirat_build.pack.write import write_pack
from tinyvirat_build.pipeline.folder import package_version, table_path
from tinyvirat_build.pipeline.given import Corpus
from tinyvirat_build.records import KEYS, StageResult
from tinyvirat_build.released import write as released
from tinyvirat_build.released.about import About
from tinyvirat_build.sources import splits
from tinyvirat_build.stages import filter as rare
from tinyvirat_build.stages import partition as parts


def groups(corpus: Corpus) -> tuple[pd.DataFrame, Mapping[str, parts.SplitList]]:
    """Each video's group, and the lists that fix the split of some."""
    settings = corpus.settings.partition
    lists = splits.load_lists(settings)
    names = ["source", "video_id", "annotation_set", "session", "scene", "camera", "fps"]
    rows = [[getattr(e, name) for name in names] for e in corpus.entries]
    videos = pd.DataFrame(rows, columns=names)
    table = parts.assign_groups(videos, settings, lists=lists)
    if settings.group == "time":
        table["fps"] = videos["fps"]
    return table, lists


def partition(corpus: Corpus) -> StageResult:
    """Give groups to splits, counting the activities of all videos, planned or not."""
    group_of, lists = groups(corpus)
    clips, file = _apart(corpus, "clips_planned", ["segment_id", "start", "end"])
    result = parts.partition(
        clips,
        corpus["all_activities"],
        group_of,
        corpus.settings.partition,
        lists=lists,
        classes=corpus.classes,
        spans=_track_spans(corpus) if corpus.settings.partition.group == "time" else None,
    )
    return _joined("clips_partitioned", result, file, ["group", "split"])


def _apart(corpus: Corpus, name: str, needed: Sequence[str]) -> tuple[pd.DataFrame, Path | None]:
    """Some columns of a table of clips, each row's number as ``x``, and the file of the others.

    As objects of Python all columns of many clips would take most of the memory of a build. A
    table that is at hand already, as a sweep has it, is left as it is.
    """
    if name in corpus:
        return corpus[name], None
    path = table_path(corpus.out, name)
    clips = store.read_table(path, [*KEYS, "clip_id", *needed])
    return clips.assign(x=range(len(clips))), path


def _joined(name: str, result: StageResult, file: Path | None, own: Sequence[str]) -> StageResult:
    """A stage's result as it is written: its ``own`` columns, with the others of its clips."""
    if file is None or result.table.empty:
        return result
    rows = result.table["x"].to_numpy(np.int64)
    return replace(result, written={name: _parts(name, rows, result.table[[*own]], file)})


def _parts(name: str, rows: Ints, own: pd.DataFrame, file: Path) -> Iterator[pa.Table]:
    """Some rows of a table, in their order, with columns of their own."""
    first = 0
    for batch in store.read_batches(file):
        here = slice(*np.searchsorted(rows, (first, first + len(batch))))
        taken = batch.take(pa.array(rows[here] - first))
        yield store.with_columns(name, taken, own[here])
        pa.default_memory_pool().release_unused()
        first += len(batch)


def _track_spans(corpus: Corpus) -> pd.DataFrame:
    """From the first to the last frame of the tracks behind each segment."""
    keys = list(KEYS)
    rows = corpus["segments"][[*keys, "segment_id", "tracks"]].explode("tracks")
    tracks = corpus["tracks"][[*keys, "track_id", "start", "end"]]
    rows = rows.rename(columns={"tracks": "track_id"}).astype({"track_id": "int64"})
    joined = rows.merge(tracks, on=[*keys, "track_id"], how="left", validate="many_to_one")
    spans = joined.groupby([*keys, "segment_id"], observed=True)
    return spans.agg(start=("start", "min"), end=("end", "max")).reset_index()


def filter(corpus: Corpus) -> StageResult:
    """Drop rare labels, but not in a trial: in a part of the corpus every label is rare."""
    settings = corpus.settings.filter
    if corpus.trial:
        settings = replace(settings, min_samples=0)
    clips, file = _apart(corpus, "clips_partitioned", ["labels", "split"])
    result = rare.filter_rare(clips, settings, classes=corpus.classes)
    return _joined("clips_filtered", result, file, ["labels"])


def publish(corpus: Corpus) -> StageResult:
    """Write the released layout, the truth and the pack; the table is the manifest."""
    settings = corpus.settings
    published = released.publish(
        corpus.out,
        corpus["clips_filtered"],
        corpus["cuts"],
        corpus.classes,
        About(package_version(), settings, corpus.sources, corpus.trial),
    )
    pack = corpus.out / "pack"
    if not settings.encode.pack or not (pack / "pack.json").is_file():
        # One of earlier settings, whose numbers would name other clips now, or the rest of one.
        shutil.rmtree(pack, ignore_errors=True)
    if settings.encode.pack:
        write_pack(corpus.out, published.table, corpus.classes, public=settings.publish.public)
    return published


def dataset_there(corpus: Corpus) -> bool:
    """Whether everything that was published is still on disk."""
    if not released.files_there(corpus.out, table_path(corpus.out, "clips")):
        return False
    if corpus.settings.encode.pack:
        try:
            open_pack(corpus.out / "pack")
        except PackError:
            return False
    return True
