"""What is published stands for the settings of now, and tables are read a part at a time."""

from __future__ import annotations

import os
import pickle
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from swapped import swap

import tinyvirat_build as tvb
from tinyvirat_build import records, store
from tinyvirat_build.errors import BuildError, MeansError
from tinyvirat_build.pack.read import open_pack
from tinyvirat_build.pipeline import run as pipeline_run
from tinyvirat_build.pipeline.given import Corpus, OwnRows
from tinyvirat_build.pipeline.on_corpus import partition, publish
from tinyvirat_build.pipeline.plan import plan_videos
from tinyvirat_build.pipeline.request import Request, discover, entries_of
from tinyvirat_build.pipeline.run import run
from tinyvirat_build.pipeline.stages import steps
from tinyvirat_build.records import Key


def _publish(out: Path, *, pack: bool) -> None:
    settings = tvb.Settings.load(overrides=[f"encode.pack={str(pack).lower()}"])
    tables = {name: records.empty(name) for name in ("clips_filtered", "cuts")}
    publish(Corpus(settings, ("Talking",), out, (), tables=tables))


def test_a_pack_of_other_settings_does_not_stay(tmp_path: Path) -> None:
    _publish(tmp_path, pack=True)
    assert len(open_pack(tmp_path)) == 0
    _publish(tmp_path, pack=False)
    assert not (tmp_path / "pack").exists()


@pytest.mark.parametrize("name", ["index.parquet", "shards/00000.yuv"])
def test_the_rest_of_a_pack_makes_room_for_a_whole_one(tmp_path: Path, name: str) -> None:
    rest = tmp_path / "pack" / name
    rest.parent.mkdir(parents=True)
    rest.write_bytes(b"rest")
    _publish(tmp_path, pack=True)
    assert len(open_pack(tmp_path)) == 0


def _plan_many(tmp_path: Path, out: str, *sets: str, more: int = 0) -> Path:
    """A plan of eight videos of one or two clips and some more, one of them of a rare label."""
    folder = tmp_path / "corpus"
    folder.mkdir(exist_ok=True)
    for v in range(8):
        for kind in ("activities", "geom"):
            lines = [_lines(v, i)[kind] for i in range(1 + v % 2 + more)]
            (folder / f"v{v}.{kind}.yml").write_text("".join(lines))
    (tmp_path / "corpus.yaml").write_text(
        "annotations: corpus\nformat: kpf\n"
        "labels: {walks: activity_walking, waits: activity_standing}\n"
    )
    settings = tvb.Settings.load(overrides=["filter.min_samples=3", *sets])
    run(
        Request((str(tmp_path / "corpus.yaml"),), None, tmp_path / out, settings, 1, quiet=True),
        until="filter",
    )
    return tmp_path / out / "tables"


def _bytes(tables: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in tables.glob("*.parquet")}


def _lines(v: int, i: int) -> dict[str, str]:
    start, name = 60 * i, "waits" if v == 3 and i else "walks"
    span = f"timespan: [{{tsr0: [{start}, {start + 39}]}}]"
    act = (
        f"- {{ act: {{act2: {{{name}: 1.0}}, id2: {i}, {span}, actors: [{{id1: {i}, {span}}}]}}}}\n"
    )
    boxes = [
        f"- {{ geom: {{id1: {i}, ts0: {t}, g0: {v + t} 10 {v + t + 30} 60}}}}\n"
        for t in range(start, start + 40)
    ]
    return {"activities": act, "geom": "".join(boxes)}


@pytest.mark.parametrize("rows", [1, 3, 5])
def test_tables_are_the_same_however_many_rows_are_at_hand(
    rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _plan_many(tmp_path, "whole")
    monkeypatch.setattr(store, "read_batches", partial(store.read_batches, rows=rows))
    parted = _plan_many(tmp_path, "parted")
    assert _bytes(parted) == _bytes(whole)
    planned = store.read_table(whole / "clips_planned.parquet")
    kept = store.read_table(whole / "clips_filtered.parquet")
    assert (len(planned), len(kept)) == (12, 11)  # the clip of the rare label is gone
    both = planned.merge(kept, on="clip_id", suffixes=("", "_kept"))
    assert len(both) == len(kept)
    for column in ("x", "y", "start", "labels"):
        assert both[column].tolist() == both[f"{column}_kept"].tolist()


def test_a_process_of_its_own_gives_the_same_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swap(monkeypatch, partition=f"{__name__}:noted")
    here = _plan_many(tmp_path, "here")
    assert (here.parent / "process").read_text() == str(os.getpid())
    monkeypatch.setattr(pipeline_run, "MANY", 8)
    apart = _plan_many(tmp_path, "apart")
    assert (apart.parent / "process").read_text() != str(os.getpid())
    assert _bytes(apart) == _bytes(here)


def test_a_process_of_its_own_that_is_ended_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_run, "MANY", 8)
    swap(monkeypatch, partition=f"{__name__}:ended")
    with pytest.raises(MeansError, match="stage partition: the worker died"):
        _plan_many(tmp_path, "out")
    monkeypatch.undo()
    monkeypatch.setattr(pipeline_run, "MANY", 8)
    again, fresh = _plan_many(tmp_path, "out"), _plan_many(tmp_path, "fresh")
    assert _bytes(again) == _bytes(fresh)


def test_a_fault_there_is_no_want_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_run, "MANY", 8)
    swap(monkeypatch, partition=f"{__name__}:faulty")
    with pytest.raises(BuildError, match=r"stage partition failed \(ValueError: three\)"):
        _plan_many(tmp_path, "out")


def faulty(corpus: Corpus) -> None:
    """A partition with a fault."""
    raise ValueError("three")


def noted(corpus: Corpus) -> records.StageResult:
    """The partition, which notes the process that it is done in."""
    (corpus.out / "process").write_text(str(os.getpid()))
    return partition(corpus)


def ended(corpus: Corpus) -> None:
    """A partition that the system ends."""
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("group", [1, 2, 5, 100])
def test_a_videos_rows_are_found_where_they_lie(group: int, tmp_path: Path) -> None:
    tables = _plan_many(tmp_path, "out")
    file = tables / "clips_filtered.parquet"
    whole = store.read_table(file)
    pq.write_table(pq.read_table(file), file, row_group_size=group)
    key = store.table_key(file)
    request = Request((str(tmp_path / "corpus.yaml"),), None, tmp_path / "out", tvb.Settings.load())
    entries = [e for e in entries_of(discover(request)) if e.video_id != "v4"]
    corpus = Corpus(request.settings, (), tmp_path / "out", entries)
    found = [*corpus.with_rows(entries, "clips_filtered")]
    assert [entry.video_id for entry, *_ in found] == [f"v{v}" for v in (0, 1, 2, 3, 5, 6, 7)]
    for entry, rows, frame in found:
        own = whole[whole["video_id"] == entry.video_id]
        assert rows.count == len(frame) == len(own)
        for one in (frame, rows.frame()):
            assert {c: one[c].tolist() for c in one} == {c: own[c].tolist() for c in own}
            assert one["video_id"].cat.categories.tolist() == [entry.video_id]
    assert key
    later = OwnRows(file, key, found[1][0].key, found[1][1].first, 2)
    assert len(later.frame()) == 2
    for other in (  # as a file system shows it that is late
        replace(later, key="0" * 32),
        replace(later, of=found[2][0].key),
        replace(later, first=later.first + 1),
        replace(later, count=3),
        replace(later, first=len(whole) - 1),
        replace(later, first=len(whole)),
    ):
        with pytest.raises(BuildError, match="not the table that was planned from"):
            other.frame()


def test_a_damaged_column_is_told_with_its_table(tmp_path: Path) -> None:
    tables = _plan_many(tmp_path, "out")
    file = tables / "clips_filtered.parquet"
    column = pq.read_metadata(file).row_group(0).column(5)
    data = bytearray(file.read_bytes())
    at = column.dictionary_page_offset or column.data_page_offset
    data[at : at + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    file.write_bytes(data)
    key = store.table_key(file)
    assert key
    rows = OwnRows(file, key, Key("corpus", "v0", "own"), 0, 1)
    for read in (
        lambda: list(store.read_batches(file)),
        lambda: list(store.read_by_video({"clips_filtered": file})),
        rows.frame,
    ):
        with pytest.raises(BuildError, match=r"clips_filtered.parquet.*delete it and run again"):
            read()


def test_a_few_words_are_held_once_each() -> None:
    words: list[list[str | None]] = [["a", "b", None], ["b", "c"], [], ["c", None, "a"]]
    column = pa.chunked_array([pa.array(w, pa.string()).dictionary_encode() for w in words])
    table = pa.table({"word": column, "list": [[w] if w else None for ws in words for w in ws]})
    frame = store.from_arrow(table)
    flat = [w for ws in words for w in ws]
    assert [None if pd.isna(w) else w for w in frame["word"]] == flat
    assert frame["word"].cat.categories.tolist() == ["a", "b", "c"]
    assert frame["list"].tolist() == [(w,) if w else None for w in flat]
    assert frame["list"][1] is frame["list"][3]


def test_a_task_of_many_clips_is_as_small_as_one_of_few(tmp_path: Path) -> None:
    sizes = []
    for out, more in (("a", 0), ("b", 40)):
        tables = _plan_many(tmp_path, out, more=more)
        source = str(tmp_path / "corpus.yaml")
        request = Request((source,), None, tables.parent, tvb.Settings.load(), quiet=True)
        known = pipeline_run.look(request, "cut", "cut")
        (step,) = (step for step in steps() if step[0].name == "cut")
        tasks = plan_videos(step, known)
        clips = sum(own.count for task in tasks for own in task.rows.values())
        assert (len(tasks), clips > 200) == (8, bool(more))
        sizes.append(max(len(pickle.dumps(task)) for task in tasks))
    assert sizes[1] - sizes[0] < 16
