"""Small videos are worked on together, and come out as each would by itself."""

from __future__ import annotations

import functools
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from builds import bytes_of
from swapped import swap

import tinyvirat_build as tvb
from tinyvirat_build import engine
from tinyvirat_build.pipeline import batches, on_video
from tinyvirat_build.pipeline.given import Video, VideoBatch
from tinyvirat_build.pipeline.request import Request
from tinyvirat_build.pipeline.run import run
from tinyvirat_build.records import StageResult
from tinyvirat_build.settings import Settings

SETTINGS = Settings.load(None, None, ("filter.min_samples=1",))
VICTIM = "v5"
VIDEOS = 12


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """VideoBatch of which no file is here: of none, one and two activities, and one unreadable."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for v in range(VIDEOS):
        acts, boxes = [], []
        for i in range(v % 3):
            span = f"timespan: [{{tsr0: [{20 * i}, {20 * i + 39}]}}]"
            name = "walks" if v % 4 else "unheard"
            acts.append(
                f"- {{ act: {{act2: {{{name}: 1.0}}, id2: {i}, {span}, "
                f"actors: [{{id1: {i}, {span}}}]}}}}\n"
            )
            boxes += [
                f"- {{ geom: {{id1: {i}, ts0: {t}, g0: {v + t} 10 {v + t + 30 + 90 * i} 60}}}}\n"
                for t in range(20 * i, 20 * i + 40)
            ]
        (folder / f"v{v}.activities.yml").write_text("".join(acts) if v != 7 else "- : : {")
        (folder / f"v{v}.geom.yml").write_text("".join(boxes))
    (tmp_path / "corpus.yaml").write_text("format: kpf\nlabels: {walks: activity_walking}\n")
    return folder


def request_of(corpus: Path, out: str, *sets: str) -> Request:
    settings = SETTINGS.override(list(sets))
    source, folder = corpus.parent / "corpus.yaml", corpus.parent / out
    return Request((str(source),), corpus, folder, settings, 1, quiet=True)


def plan(corpus: Path, out: str, *sets: str) -> dict[str, str]:
    request = request_of(corpus, out, *sets)
    run(request, until="filter")
    found: dict[str, str] = bytes_of(request.out)
    return found


def merge(video: Video | VideoBatch) -> StageResult:
    activities = video["activities"]
    if (activities["video_id"].astype(str) == VICTIM).any():
        os.kill(os.getpid(), signal.SIGKILL)
    return on_video.merge(video)


def test_units_and_tables_are_those_of_single_videos(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = functools.partial(engine.run_local, isolate=False)
    monkeypatch.setattr(engine, "run_local", alone)
    calls = []

    def chunk(video: Video | VideoBatch) -> StageResult:
        calls.append(video)
        return of_video(video)

    of_video = on_video.chunk
    monkeypatch.setattr(on_video, "chunk", chunk)
    together = plan(corpus, "together"), plan(corpus, "together", "chunk.length=20")
    assert len(calls) == 2 * 4  # a worker has four turns at least
    monkeypatch.setattr(batches, "MOST", 1)
    assert plan(corpus, "single") == together[0]
    assert plan(corpus, "single", "chunk.length=20") == together[1]
    assert len(calls) == 2 * (4 + VIDEOS)


def test_a_batch_holds_few_videos_few_bytes_and_one_corpus() -> None:
    sizes = [batches.BYTES, *[batches.BYTES // 10] * 25, *[1] * 200]
    entries = [SimpleNamespace(source=f"s{n % 2}", annotation_set="a") for n in range(len(sizes))]
    tasks: list[Any] = [
        SimpleNamespace(entry=entry, units=(), size=size)
        for entry, size in zip(entries, sizes, strict=True)
    ]
    size = lambda task: int(cast(Any, task).size)  # noqa: E731
    found = [*batches.in_batches(iter(tasks), len(tasks), size, workers=1)]
    assert sorted(id(t) for batch in found for t in batch) == sorted(map(id, tasks))
    for batch in found:
        assert len({task.entry.source for task in batch}) == 1
        assert len(batch) <= len(tasks) // 4
        assert len(batch) == 1 or sum(cast(Any, t).size for t in batch) <= batches.BYTES
    assert len(found) < 12
    assert batches.singles(found[0]) == ()


def test_a_video_that_crashes_costs_no_other_of_its_batch(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swap(monkeypatch, merge=f"{__name__}:merge")
    out = corpus.parent / "out"
    plan(corpus, "out")
    issues = tvb.open_build(out).table("issues")
    crashed = issues[issues["reason"] == "crashed"]
    assert crashed["video_id"].astype(str).tolist() == [VICTIM]
    videos = set(tvb.open_build(out).table("clips_filtered")["video_id"].astype(str))
    monkeypatch.undo()
    after = plan(corpus, "out")
    assert after == plan(corpus, "fresh")
    found = set(tvb.open_build(out).table("clips_filtered")["video_id"].astype(str))
    assert found == videos | {VICTIM}
