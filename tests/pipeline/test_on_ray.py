"""A build on a Ray cluster of three machines is the one that this machine makes alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builds import DEMO_SETS, bytes_of
from swapped import swap

import tinyvirat_build as tvb
from tinyvirat_build.pipeline import on_video
from tinyvirat_build.pipeline.given import Video
from tinyvirat_build.pipeline.request import Request
from tinyvirat_build.pipeline.run import run
from tinyvirat_build.records import StageResult

pytest.importorskip("ray", reason="the extra ray is not installed")
from cluster import MACHINE, started

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with started(3) as cluster:
        yield cluster


def _of(cluster: Any, demo: tvb.Build, data: Path, out: Path, timeout: float = 60.0) -> Request:
    return Request(
        ("demo",), data, out, demo.settings, timeout=timeout, engine="ray",
        address=cluster.address, quiet=True,
    )  # fmt: skip


def test_the_same_bytes(cluster: Any, demo: tvb.Build, demo_data: Path, tmp_path: Path) -> None:
    assert run(_of(cluster, demo, demo_data, tmp_path / "out")).status == 0
    assert bytes_of(tmp_path / "out") == bytes_of(demo.path)


def cut_slowly(video: Video) -> StageResult:
    """Cut, and note when it began and where; slowly enough to be struck meanwhile."""
    where = os.environ.get("MACHINE", "another")
    (video.out.parent / f"{where} {time.monotonic_ns()} {video.entry.video_id}").touch()
    time.sleep(2)
    return on_video.cut(video)


def test_a_machine_is_lost_in_the_middle(
    cluster: Any, demo: tvb.Build, demo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = cluster.add_node(**MACHINE, env_vars={"MACHINE": "victim"})

    def strike() -> None:
        for _ in range(2000):
            if list(tmp_path.glob("victim *")):
                break
            time.sleep(0.05)
        cluster.remove_node(node, allow_graceful=False)

    swap(monkeypatch, cut=f"{__name__}:cut_slowly")
    striker = threading.Thread(target=strike)
    striker.start()
    assert run(_of(cluster, demo, demo_data, tmp_path / "out")).status == 0
    striker.join()
    assert bytes_of(tmp_path / "out") == bytes_of(demo.path)
    (victim,) = (p.name.split()[2] for p in tmp_path.glob("victim *"))  # it had one processor
    begun = Counter(p.name.split()[2] for p in tmp_path.glob("* * *"))
    assert [video for video, times in begun.items() if times > 1] == [victim]


def cut_but_two(video: Video) -> StageResult:
    """Cut; but one video kills its process, and another hangs."""
    victims = (video.out.parent / "victims").read_text().split()
    if video.entry.video_id == victims[0]:
        os.kill(os.getpid(), signal.SIGSEGV)
    if video.entry.video_id == victims[1]:
        time.sleep(60)
    return on_video.cut(video)


def test_a_crash_and_a_hang_cost_one_video_each(
    cluster: Any, demo: tvb.Build, demo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victims = sorted(demo.clips["video_id"].astype(str).unique())[:2]
    (tmp_path / "victims").write_text(" ".join(victims))
    swap(monkeypatch, cut=f"{__name__}:cut_but_two")
    assert run(_of(cluster, demo, demo_data, tmp_path / "out", timeout=6)).status == 1
    clips = tvb.open_build(tmp_path / "out").clips
    lost = clips[clips["reason"].notna()]
    reasons = set(zip(lost["video_id"], lost["reason"], strict=True))
    assert reasons == {(victims[0], "crashed"), (victims[1], "timeout")}
    monkeypatch.undo()
    assert run(_of(cluster, demo, demo_data, tmp_path / "out")).status == 0
    assert bytes_of(tmp_path / "out") == bytes_of(demo.path)


def test_an_interrupt_is_one_line_and_loses_nothing(
    cluster: Any, demo: tvb.Build, demo_data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    args = [sys.executable, "-m", "tinyvirat_build", "all", "--source=demo", f"--data={demo_data}"]
    args += [f"--out={out}", *DEMO_SETS, "--engine=ray", f"--address={cluster.address}", "--quiet"]
    process = subprocess.Popen(args, stderr=subprocess.PIPE, text=True)
    while not list(out.glob("units/parse/*/*/*")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    first, last = said.splitlines()
    assert first.startswith("stopping")
    assert last.startswith("stopped; what is finished stays. To go on: tinyvirat-build all ")
    assert subprocess.run(args, check=False).returncode == 0
    assert bytes_of(out) == bytes_of(demo.path)
