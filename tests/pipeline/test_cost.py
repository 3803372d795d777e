"""The estimate of what cutting costs, against machines whose clocks are made up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import heapreplace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import tinyvirat_build as tvb
from tinyvirat_build.engine import Ended
from tinyvirat_build.errors import VideoError
from tinyvirat_build.pipeline import cost
from tinyvirat_build.pipeline.request import Request
from tinyvirat_build.pipeline.run import run
from tinyvirat_build.video.index import VideoIndex
from tinyvirat_build.video.spans import Estimate, estimate

Machine = Callable[[Estimate, VideoIndex], float]
"""The seconds in which a machine cuts, by what there is to decode, to write and to open."""


def _machine(decoding: float, writing: float, opening: float) -> Machine:
    def seconds(work: Estimate, index: VideoIndex) -> float:
        pixels = work.frames_to_decode * index.width * index.height
        return decoding * pixels + writing * work.bytes_out + opening * (work.clips + 10)

    return seconds


MACHINES = {
    "as assumed": _machine(2.2e-9, 1.2e-8, 5e-3),
    "slow": _machine(2.2e-8, 1.2e-7, 5e-2),
    "dear decoding": _machine(1.2e-8, 1.2e-8, 5e-3),
    "slow disk": _machine(2.2e-9, 4e-8, 4e-2),
}


class _Clock:
    """A clock that goes on where clips are cut, the slower the more workers cut at once."""

    def __init__(self, machine: Machine, slowed: float) -> None:
        self.now, self.machine, self.slowed, self.at_once = 0.0, machine, slowed, 1

    def perf_counter(self) -> float:
        return self.now

    def takes(self, index: VideoIndex, clips: pd.DataFrame) -> float:
        return self.machine(estimate(index, clips), index) * self.slowed ** (self.at_once - 1)

    def cut(self, path: Path, index: VideoIndex, clips: pd.DataFrame, **_: Any) -> None:
        self.now += self.takes(index, clips)

    def engine(
        self, work: Callable[[Any], Any], tasks: Sequence[Any], *, workers: int, **_: Any
    ) -> Iterator[Ended[Any, Any]]:
        self.at_once = workers
        return (Ended(task, work(task)) for task in tasks)


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch, demo: tvb.Build) -> Callable[..., _Clock]:
    def put(machine: Machine, slowed: float = 1.0) -> _Clock:
        clock = _Clock(machine, slowed)
        monkeypatch.setattr(cost, "time", clock)
        monkeypatch.setattr(cost, "cut_agreed", clock.cut)
        monkeypatch.setattr(cost.engine, "chosen", lambda *_: clock.engine)
        monkeypatch.setattr(cost, "_WORTH", 0.0)
        return clock

    return put


def _planned(demo: tvb.Build, demo_data: Path, workers: int) -> Estimate:
    request = Request(("demo",), demo_data, demo.path, demo.settings, workers=workers)
    found = run(request, first="plan", until="plan").estimate
    assert found is not None
    return found


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize(("workers", "slowed"), [(1, 1.0), (2, 1.7), (4, 1.2)])
def test_the_estimate_is_within_a_factor_of_two(
    demo: tvb.Build, demo_data: Path, on: Callable[..., _Clock], name: str, workers: int,
    slowed: float,
) -> None:  # fmt: skip
    clock = on(MACHINES[name], slowed)
    expected = _planned(demo, demo_data, workers).elapsed
    clock.at_once, free = workers, [0.0] * workers
    units = {unit.name: unit for unit in (demo.path / "units" / "index").rglob("*")}
    clips = demo.table("clips_filtered")
    of_video = [*clips.groupby(clips["video_id"].astype(str))]
    for name, own in sorted(of_video, key=lambda video: -len(video[1])):  # as they are cut
        heapreplace(free, free[0] + clock.takes(cost.load_index(units[name]), own))
    assert max(free) / 2 < expected < max(free) * 2


def test_all_workers_measure_the_rate_at_once(
    demo: tvb.Build, demo_data: Path, on: Callable[..., _Clock]
) -> None:
    counts = []
    for workers in (1, 3, 99):
        clock = on(MACHINES["slow"])
        _planned(demo, demo_data, workers)
        counts.append(clock.at_once)
    assert counts == [1, 3, demo.clips["video_id"].nunique()]


def test_what_cannot_be_measured_is_estimated_as_elsewhere(
    demo: tvb.Build, demo_data: Path, on: Callable[..., _Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise VideoError("unreadable", "")

    on(MACHINES["slow"])
    slow = _planned(demo, demo_data, 2).seconds
    monkeypatch.setattr(cost, "cut_agreed", refuse)
    assert 0 < _planned(demo, demo_data, 2).seconds < slow
