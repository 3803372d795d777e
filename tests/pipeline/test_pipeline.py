"""The main job end to end, on the demo corpus at a tenth of its size."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import pytest
from builds import DEMO, DEMO_SETS, bytes_of
from click.testing import CliRunner, Result
from released.challenge_loader import challenge_loader
from swapped import swap

import tinyvirat_build as tvb
from tinyvirat_build.cli import main
from tinyvirat_build.pipeline import on_video, stages
from tinyvirat_build.pipeline.given import Video, VideoBatch
from tinyvirat_build.pipeline.request import Request
from tinyvirat_build.pipeline.run import run
from tinyvirat_build.records import StageResult
from tinyvirat_build.sources.demo import read_stamps


def cli(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args])


def _plane(plane: av.video.plane.VideoPlane) -> np.ndarray:
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width].copy()


def test_every_frame_tells_its_number_and_place(demo: tvb.Build) -> None:
    wrong = 0
    for clip in demo.clips.to_dict("records"):
        with av.open(str(demo.path / clip["path"])) as container:
            frames = [f.reformat(format="yuv420p") for f in container.decode(video=0)]
        assert len(frames) == clip["n_frames"] == clip["end"] - clip["start"]
        u, v = (np.stack([_plane(f.planes[i]) for f in frames]) for i in (1, 2))
        found = zip(*read_stamps(u, v), strict=True)
        expected = zip(range(clip["start"], clip["end"]), clip["x"], clip["y"], strict=True)
        wrong += sum(tuple(map(int, f)) != e for f, e in zip(found, expected, strict=True))
    assert wrong == 0


def test_what_holds_of_every_plan(demo: tvb.Build) -> None:
    clips = demo.clips
    side = clips[["width", "height"]].max(axis=1)
    assert side.between(10, 128).all()
    assert (clips.groupby("group")["split"].nunique() == 1).all()
    assert set(clips["split"]) == {"train", "val", "test"}
    assert (clips["labels"].map(len) > 0).all()
    balance = demo.table("balance")
    assert (balance["records_in"] == balance["records_out"] + balance["dropped"]).all()
    assert set(demo.issues["stage"]) >= {"parse", "crop"}


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_the_tree_loads_in_the_challenges_loader(demo: tvb.Build, split: str) -> None:
    clips = challenge_loader(demo.path / "TinyVIRAT_V2", split)
    assert len(clips) == (demo.clips["split"] == split).sum()


def test_a_finished_build_does_nothing(demo: tvb.Build, demo_data: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(demo.path, tmp_path / "out"))
    outcome = run(Request(("demo",), demo_data, out, demo.settings, quiet=True))
    assert not any(outcome.worked.values()), outcome.worked
    assert bytes_of(out) == bytes_of(demo.path)
    result = cli("all", "--source=demo", "--data", demo_data, "--out", out, *DEMO_SETS)
    assert result.exit_code == 0
    assert "Nothing to do" in result.output


def test_workers_and_stage_commands_change_no_byte(
    demo: tvb.Build, demo_data: Path, tmp_path: Path
) -> None:
    first, *rest = stages.names()
    result = cli(
        first, "--source=demo", "--data", demo_data, "--out", tmp_path, *DEMO_SETS, "--workers=1"
    )
    assert result.exit_code == 0, result.output
    for stage in rest:
        result = cli(stage, "--out", tmp_path, "--workers=1")
        assert result.exit_code == 0, (stage, result.output)
    assert bytes_of(tmp_path) == bytes_of(demo.path)


def test_a_stage_before_its_turn_is_told_so(demo_data: Path, tmp_path: Path) -> None:
    cli("index", "--source=demo", "--data", demo_data, "--out", tmp_path, *DEMO_SETS)
    result = cli("segment", "--out", tmp_path)
    assert result.exit_code == 2
    assert "run `tinyvirat-build parse" in result.output


def test_a_changed_setting_redoes_only_what_depends_on_it(
    demo: tvb.Build, demo_data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(demo.path, out)
    settings = demo.settings.override(["crop.max_side=64"])
    outcome = run(Request(("demo",), demo_data, out, settings, quiet=True))
    assert {s: bool(n) for s, n in outcome.worked.items()} == {
        **dict.fromkeys(("index", "parse", "merge", "segment", "chunk"), False),
        **dict.fromkeys(("crop", "partition", "filter", "cut", "publish", "stats"), True),
    }
    fresh = tvb.build(
        "demo", tmp_path / "new", data=demo_data, settings=DEMO | {"crop.max_side": 64}
    )
    assert bytes_of(out) == bytes_of(fresh.path)
    assert fresh.clips["width"].max() <= 64


def test_a_trial_takes_videos_that_give_clips(demo_data: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(demo_data, data)
    first = tvb.build("demo", tmp_path / "a", data=data, settings=DEMO, limit=1, until="crop")
    (video,) = set(first.table("clips_planned")["video_id"])
    for file in data.rglob(f"{video}*.activities.yml"):
        file.write_text("")
    again = tvb.build("demo", tmp_path / "b", data=data, settings=DEMO, limit=1, until="crop")
    (other,) = set(again.table("clips_planned")["video_id"])
    assert other > video


def test_a_trial_leaves_out_videos_of_which_no_clip_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for v, side in enumerate((400, 50, 500, 60, 70)):  # a side of over 128 pixels is none
        span = "timespan: [{tsr0: [0, 39]}]"
        (folder / f"v{v}.activities.yml").write_text(
            f"- {{ act: {{act2: {{walks: 1.0}}, id2: 1, {span}, actors: [{{id1: 1, {span}}}]}}}}\n"
        )
        (folder / f"v{v}.geom.yml").write_text(
            "".join(
                f"- {{ geom: {{id1: 1, ts0: {t}, g0: 10 10 {10 + side} 60}}}}\n" for t in range(40)
            )
        )
    (tmp_path / "c.yaml").write_text(
        "annotations: corpus\nformat: kpf\nlabels: {walks: activity_walking}\n"
    )

    def planned(out: str, **settings: Any) -> list[str]:
        build = tvb.build(
            tmp_path / "c.yaml", tmp_path / out, limit=2, until="crop", settings=settings
        )
        return build.table("clips_planned")["video_id"].astype(str).tolist()

    assert planned("a") == ["v1", "v3"]
    assert planned("b", crop={"max_side": 55}) == ["v1"]  # no other gives one
    assert planned("c", crop={"max_side": 20}) == []
    swap(monkeypatch, crop=f"{__name__}:faulty_crop")
    assert planned("d") == ["v3", "v4"]  # the one that cannot be planned costs itself alone


def faulty_crop(video: Video | VideoBatch) -> StageResult:
    """A crop with a fault in one video."""
    if (video["chunks"]["video_id"].astype(str) == "v1").any():
        raise ValueError("three")
    return on_video.crop(video)


def test_limit_keeps_the_splits(demo: tvb.Build, demo_data: Path, tmp_path: Path) -> None:
    few = tvb.build("demo", tmp_path, data=demo_data, settings=DEMO, limit=3, until="filter")
    clips = few.table("clips_filtered")
    assert 0 < clips["video_id"].nunique() <= 3
    split = demo.clips.drop_duplicates("group").set_index("group")["split"]
    assert (clips["group"].map(split) == clips["split"]).all()


def test_missing_videos(demo: tvb.Build, demo_data: Path, tmp_path: Path) -> None:
    own = tmp_path / "data"
    shutil.copytree(demo_data, own)
    gone = demo.clips["video_id"].iloc[0]
    for path in own.rglob(f"{gone}*"):
        if path.parent.name == "video":
            path.unlink()
    args = ["all", "--source=demo", "--data", own, "--out", tmp_path / "out", *DEMO_SETS]
    refused = cli(*args)
    assert refused.exit_code == 2
    assert "videos.missing=skip" in refused.output
    assert not list((tmp_path / "out").rglob("*.mp4"))
    built_without = cli(*args, "--set=videos.missing=skip")
    assert built_without.exit_code == 1, built_without.output
    clips = tvb.open_build(tmp_path / "out").clips
    lost = clips[clips["reason"].notna()]
    assert set(lost["video_id"]) == {gone}
    assert set(lost["reason"]) == {"no_video"}
    same = clips.set_index("clip_id")["split"]
    whole = demo.clips.set_index("clip_id")["split"]
    assert same.loc[same.index.intersection(whole.index)].equals(
        whole.loc[same.index.intersection(whole.index)]
    )


def _victim_of(out: Path) -> Path:
    """Where the clip is named whose video shall fail: a worker process reads it there."""
    return out.with_name(f"{out.name}.victim")


def die_on_the_first(video: Video) -> StageResult:
    if video["clips_filtered"]["clip_id"].iloc[0] == _victim_of(video.out).read_text():
        os.kill(os.getpid(), signal.SIGSEGV)
    return on_video.cut(video)


def hang_on_the_first(video: Video) -> StageResult:
    if video["clips_filtered"]["clip_id"].iloc[0] == _victim_of(video.out).read_text():
        time.sleep(60)
    return on_video.cut(video)


@pytest.mark.parametrize(
    ("cut", "reason"),
    [
        ("die_on_the_first", "crashed"),
        pytest.param("hang_on_the_first", "timeout", marks=pytest.mark.slow),
    ],
)
def test_a_worker_that_dies_or_hangs_costs_one_video(
    cut: str,
    reason: str,
    demo: tvb.Build,
    demo_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    victim = demo.table("clips_filtered").iloc[0]
    out = tmp_path / "out"
    _victim_of(out).write_text(victim["clip_id"])
    swap(monkeypatch, cut=f"{__name__}:{cut}")
    timeout = 8 if reason == "timeout" else 300  # seconds; others' videos end in time
    request = Request(
        ("demo",), demo_data, out, demo.settings, workers=2, timeout=timeout, quiet=True
    )
    outcome = run(request)
    assert outcome.status == 1
    build = tvb.open_build(out)
    lost = build.clips[build.clips["reason"].notna()]
    assert set(lost["video_id"]) == {victim["video_id"]}
    assert set(lost["reason"]) == {reason}
    issues = build.issues[build.issues["action"] == "quarantined"]
    assert set(issues["reason"]) == {reason}
    monkeypatch.undo()
    assert run(request).status == 0  # the next run tries it again
    assert bytes_of(out) == bytes_of(demo.path)


def _build_and_kill(args: list[str], after: float, rng: random.Random) -> bool:
    """Start a build, kill it, with its workers or without, or a worker; True if it had ended."""
    process = subprocess.Popen(
        args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        assert process.wait(after) == 0
        return True
    except subprocess.TimeoutExpired:
        pass
    if rng.random() < 0.3:
        children = subprocess.run(
            ["pgrep", "-s", str(process.pid)], capture_output=True, text=True, check=False
        ).stdout.split()
        victims = [int(c) for c in children if int(c) != process.pid]
        if victims:
            with contextlib.suppress(ProcessLookupError):  # it had just ended by itself
                os.kill(rng.choice(victims), signal.SIGKILL)
            process.wait(300)  # a build outlives its worker
            return False
    if rng.random() < 0.5:
        process.kill()  # its workers end by themselves
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return False


def _kill_and_resume(demo: tvb.Build, demo_data: Path, out: Path, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    args = [sys.executable, "-m", "tinyvirat_build", "all", "--source=demo", f"--data={demo_data}"]
    args += [f"--out={out}", *DEMO_SETS, "--workers=2", "--quiet"]
    killed, latest = 0, 9.0
    while killed < kills:
        if _build_and_kill(args, rng.uniform(0.5, latest), rng):
            shutil.rmtree(out)  # it was faster: begin again, and strike earlier
            latest = max(1.0, latest * 0.7)
            continue
        killed += 1
        if rng.random() < 0.2 and (out / "units").exists():
            shutil.rmtree(out / "units" / rng.choice(["cut", "crop", "publish"]), True)
    assert subprocess.run(args, check=False, capture_output=True).returncode == 0
    assert bytes_of(out) == bytes_of(demo.path)


def test_a_killed_build_goes_on_and_ends_the_same(
    demo: tvb.Build, demo_data: Path, tmp_path: Path
) -> None:
    _kill_and_resume(demo, demo_data, tmp_path / "out", kills=3, seed=0)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_twenty_kills(demo: tvb.Build, demo_data: Path, tmp_path: Path) -> None:
    for seed in range(4):
        _kill_and_resume(demo, demo_data, tmp_path / str(seed), kills=5, seed=seed + 1)


def test_the_source_changed_under_way(demo: tvb.Build, demo_data: Path, tmp_path: Path) -> None:
    own = tmp_path / "data"
    shutil.copytree(demo_data, own)
    out = tmp_path / "out"
    tvb.build("demo", out, data=own, settings=DEMO, until="filter")
    victim = tvb.open_build(out).table("clips_filtered")["video_id"].astype(str).iloc[0]
    (video,) = (p for p in own.rglob(f"{victim}*") if p.parent.name == "video")
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    build = tvb.build("demo", out, data=own, settings=DEMO)
    clips = build.clips[build.clips["video_id"].astype(str) == victim]
    assert clips["reason"].notna().any()
    assert not build.verify().problems


def test_the_library_reads_what_it_built(demo: tvb.Build) -> None:
    again = tvb.open_build(demo.path)
    assert isinstance(again.clips, pd.DataFrame)
    assert again.settings == demo.settings
    clip_id = again.clips["clip_id"].iloc[0]
    text = cli("inspect", clip_id, "--out", demo.path)
    assert text.exit_code == 0
    assert again.clips["video_id"].iloc[0] in text.output
    with pytest.raises(tvb.TinyviratError, match="no table"):
        again.table("nonsense")


def test_repair_cuts_again_what_fails(demo: tvb.Build, demo_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(demo.path, out)
    before = bytes_of(out)
    victim = next((out / "clips").rglob("*.mp4"))
    broken = bytearray(victim.read_bytes())
    broken[len(broken) // 2] ^= 0xFF
    victim.unlink()
    victim.write_bytes(bytes(broken))
    assert cli("verify", "--out", out, "--data", demo_data).exit_code == 1
    result = cli("verify", "--out", out, "--data", demo_data, "--repair")
    assert result.exit_code == 0, result.output
    assert bytes_of(out) == before
