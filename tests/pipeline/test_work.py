"""Trouble with one video costs that video alone, and only for as long as it lasts."""

from __future__ import annotations

import functools
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from builds import bytes_of
from swapped import swap
from video.stamped import make_video, run_ffmpeg

import tinyvirat_build as tvb
from tinyvirat_build import engine
from tinyvirat_build.ask.verify import verify
from tinyvirat_build.errors import VideoError
from tinyvirat_build.geometry.arrays import Bytes, Ints
from tinyvirat_build.pipeline import on_video, stages
from tinyvirat_build.pipeline.given import Video
from tinyvirat_build.pipeline.request import Request
from tinyvirat_build.pipeline.run import run
from tinyvirat_build.records import StageResult
from tinyvirat_build.settings import Settings
from tinyvirat_build.video import verify as checks
from tinyvirat_build.video.index import VideoIndex
from tinyvirat_build.video.packets import PacketReader
from tinyvirat_build.video.source_frames import decoded_frames

SETTINGS = Settings.load(None, None, ("filter.min_samples=1",))
VICTIM = "b"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two videos, each with one activity over its first 40 frames."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in ("a", VICTIM):
        make_video(folder / f"{name}.mp4", 60)
        (folder / f"{name}.activities.yml").write_text(
            "- { act: {act2: {walks: 1.0}, id2: 1, timespan: [{tsr0: [0, 39]}], "
            "actors: [{id1: 1, timespan: [{tsr0: [0, 39]}]}]}}\n"
        )
        (folder / f"{name}.geom.yml").write_text(
            "".join(f"- {{ geom: {{id1: 1, ts0: {t}, g0: 10 10 40 60}}}}\n" for t in range(40))
        )
        (folder / f"{name}.types.yml").write_text("- { types: {id1: 1, cset3: {person: 1.0}}}\n")
    (tmp_path / "corpus.yaml").write_text("format: kpf\nlabels: {walks: activity_walking}\n")
    return folder


def request_of(corpus: Path, *, timeout: float = 60) -> Request:
    return Request(
        (str(corpus.parent / "corpus.yaml"),), corpus, corpus.parent / "out", SETTINGS, 1,
        timeout=timeout, quiet=True,
    )  # fmt: skip


def _trouble(video: Video) -> None:
    path = video.entry.video
    if video.entry.video_id == VICTIM and path is not None:
        kind = (path.parent.parent / "trouble").read_text()
        if kind == "crashed":
            os.kill(os.getpid(), signal.SIGSEGV)
        if kind == "timeout":
            time.sleep(60)
        if kind == "failed":
            raise ValueError("numpy\nsaid no")
        if kind == "gone":
            path.rename(path.parent.parent / "away.mp4")


def index(video: Video) -> StageResult:
    _trouble(video)
    return on_video.index(video)


def merge(video: Video) -> StageResult:
    if len(video["activities"]):  # not what stands in the place of the video
        _trouble(video)
    return on_video.merge(video)


def cut(video: Video) -> StageResult:
    _trouble(video)
    return on_video.cut(video)


@pytest.mark.parametrize(
    ("stage", "kind"),
    [
        pytest.param("index", "crashed", marks=pytest.mark.slow),
        pytest.param("index", "timeout", marks=pytest.mark.slow),
        ("merge", "crashed"),
        pytest.param("merge", "failed", marks=pytest.mark.slow),
        pytest.param("cut", "failed", marks=pytest.mark.slow),
    ],
)
def test_trouble_costs_one_video_until_the_next_run(
    stage: str, kind: str, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (corpus.parent / "trouble").write_text(kind)
    request = request_of(corpus, timeout=3 if kind == "timeout" else 60)
    swap(monkeypatch, **{stage: f"{__name__}:{stage}"})
    assert run(request).status == 1
    build = tvb.open_build(request.out)
    issues = build.issues[build.issues["reason"] == kind]
    assert set(issues["video_id"].astype(str)) == {VICTIM}
    assert "a" in set(build.clips["video_id"][build.clips["reason"].isna()].astype(str))
    if kind == "failed":
        assert set(issues["detail"]) == {"ValueError: numpy said no"}
    monkeypatch.undo()
    assert run(request).status == 0
    assert not any(run(request).worked.values())
    after = bytes_of(request.out)
    assert tvb.open_build(request.out).clips["reason"].isna().all()
    other = Request(request.sources, corpus, corpus.parent / "fresh", SETTINGS, 1, quiet=True)
    run(other)
    assert bytes_of(other.out) == after


def test_stage_commands_go_on_without_a_video_that_failed(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (corpus.parent / "trouble").write_text("crashed")
    request = request_of(corpus)
    swap(monkeypatch, index=f"{__name__}:index")
    run(request, until="crop")
    for stage in ("partition", "filter", "cut", "publish"):
        run(request, first=stage, until=stage)
    clips = tvb.open_build(request.out).clips.set_index("video_id")["reason"]
    assert clips.astype(object).where(clips.notna(), "").to_dict() == {"a": "", VICTIM: "crashed"}


@pytest.mark.parametrize(
    "kind", ["gone", *(pytest.param(k, marks=pytest.mark.slow) for k in ("changed", "unreadable"))]
)
def test_what_passes_while_a_video_is_cut_is_repaired(
    kind: str, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_of(corpus)
    video, away = corpus / f"{VICTIM}.mp4", corpus.parent / "away.mp4"

    def change(self: PacketReader) -> PacketReader:
        if self._path == video:
            if kind == "unreadable":
                raise VideoError("unreadable", "Input/output error")
            os.utime(video, (1, time.time()))
        return self

    if kind == "gone":
        (corpus.parent / "trouble").write_text(kind)
        swap(monkeypatch, cut=f"{__name__}:cut")
    else:
        run(request, until="filter")
        monkeypatch.setattr(PacketReader, "__enter__", change)
        _in_this_process(monkeypatch)
    assert run(request).status == 1
    reason = {"gone": "unreadable", "changed": "source_changed"}.get(kind, "unreadable")
    clips = tvb.open_build(request.out).clips
    assert set(clips["reason"].dropna()) == {reason}
    monkeypatch.undo()
    if kind == "gone":
        away.rename(video)
    assert not verify(tvb.open_build(request.out), repair=True).problems
    assert tvb.open_build(request.out).clips["reason"].isna().all()


def test_a_clip_that_decoders_show_differently_stays_out(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_of(corpus)
    assert run(request).status == 0
    _in_this_process(monkeypatch)

    def other(
        path: Path, index: VideoIndex, frames: Ints, *, threads: int
    ) -> Iterator[tuple[int, list[Bytes]]]:
        for number, planes in decoded_frames(path, index, frames, threads=threads):
            yield number, [255 - p for p in planes] if path.stem == VICTIM else planes

    monkeypatch.setattr(checks, "decoded_frames", other)
    build = tvb.open_build(request.out)
    assert {p.check for p in verify(build).problems} == {"pixels", "pack"}
    assert verify(build, repair=True).problems == ()
    clips = build.clips.set_index("video_id")["reason"]
    assert clips.astype(object).where(clips.notna(), "").to_dict() == {"a": "", VICTIM: "disputed"}
    issues = build.issues[build.issues["reason"] == "disputed"]
    assert issues["action"].tolist() == ["quarantined"]
    after = bytes_of(request.out)
    assert not any(run(request).worked.values())
    assert bytes_of(request.out) == after


def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "run_local", functools.partial(engine.run_local, isolate=False))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="another user must be taken on")
def test_a_file_that_may_not_be_read_yet(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = request_of(corpus)
    _in_this_process(monkeypatch)
    video = corpus / f"{VICTIM}.mp4"
    video.chmod(0o600)
    for folder in (corpus.parent, *corpus.parent.parents[:-2]):
        folder.chmod(folder.stat().st_mode | 0o055)
    request.out.mkdir()
    request.out.chmod(0o777)
    run(replace(request, out=corpus.parent / "other"), until="index")  # imports what it needs
    os.seteuid(65534)
    try:
        run(request, until="index")
    finally:
        os.seteuid(0)
    (detail,) = tvb.open_build(request.out).issues["detail"]
    assert detail == f"{VICTIM}.mp4: Permission denied; make the file readable, then build again"
    video.chmod(0o644)
    assert run(request).status == 0


def test_a_second_video_in_the_file_is_noted(corpus: Path) -> None:
    video, both = corpus / f"{VICTIM}.mp4", corpus.parent / "both.mp4"
    run_ffmpeg("-i", video, "-map", "0", "-map", "0", "-c", "copy", both)
    both.replace(video)
    request = request_of(corpus)
    assert run(request).status == 0
    (issue,) = tvb.open_build(request.out).issues.query("reason == 'streams'").to_dict("records")
    assert (issue["video_id"], issue["action"]) == (VICTIM, "noted")


def test_a_clip_one_frame_past_the_end_is_not_lost(corpus: Path) -> None:
    """Trimmed in the tables, the released rows and the pack; planned as it was."""
    request = request_of(corpus)
    assert run(request).status == 0
    whole = tvb.open_build(request.out).clips.set_index("video_id")
    make_video(corpus / f"{VICTIM}.mp4", 39)
    assert run(request).status == 0
    build = tvb.open_build(request.out)
    clips = build.clips.set_index("video_id")
    assert clips["clip_id"].tolist() == whole["clip_id"].tolist()
    assert clips["end"].tolist() == [40, 40]
    assert clips["n_frames"].tolist() == [40, 39]
    assert clips["reason"].isna().all()
    (issue,) = build.issues.query("reason == 'past_end'").to_dict("records")
    assert (issue["video_id"], issue["action"], issue["count"]) == (VICTIM, "clipped", 1)
    assert issue["record"] == f"clip {clips['clip_id'][VICTIM]}"
    rows = json.loads((request.out / "TinyVIRAT_V2/tiny_train_v2.json").read_text())
    assert {r["video_id"]: r["dim"][0] for r in rows} == {"a": 40, VICTIM: 39}
    packed = tvb.open_pack(request.out / "pack")
    assert sorted(packed.frames.tolist()) == [39, 40]
    report = verify(build)
    assert (report.problems, report.frames) == ((), 79)


def test_earlier_stages_keep_the_rows_of_later_ones(corpus: Path) -> None:
    request = request_of(corpus)
    run(request)
    before = bytes_of(request.out)
    for stage in stages.names():
        run(request, first=stage, until=stage)
        assert bytes_of(request.out) == before, stage
    other = Request(
        request.sources, corpus, request.out, SETTINGS.override(["chunk.length=20"]), 1, quiet=True
    )
    run(other, first="chunk", until="chunk")
    found = set(tvb.open_build(request.out).table("balance")["stage"])
    assert found == {"parse", "merge", "segment", "chunk"}
