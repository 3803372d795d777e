from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

import pytest
from trouble import work, work_all

from tinyvirat_build.engine import run_local
from tinyvirat_build.errors import DataError, MeansError


def _write_on(path: str) -> None:
    while True:
        with Path(path).open("a") as file:
            file.write("x")
        time.sleep(0.01)


def _crash_once(path: str) -> int:
    marker = Path(path)
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 1


def test_a_crash_or_a_hang_costs_its_own_task() -> None:
    tasks = [("ok", 1), ("crash", 2), ("ok", 3), ("hang", 4), ("ok", 5)]
    outcomes = {o.task: o for o in run_local(work, tasks, workers=2, timeout=3)}
    assert len(outcomes) == 5
    assert [outcomes["ok", i].result for i in (1, 3, 5)] == [1, 9, 25]
    assert [outcomes[t].failure.reason for t in (("crash", 2), ("hang", 4))] == [  # type: ignore[union-attr]
        "crashed",
        "timeout",
    ]


def test_a_crash_is_tried_once_more(tmp_path: Path) -> None:
    (outcome,) = run_local(_crash_once, [str(tmp_path / "m")], workers=1, timeout=20)
    assert outcome.result == 1


def test_the_parts_of_a_task_that_fails_are_done_in_its_place() -> None:
    ok, crash, last = ("ok", 1), ("crash", 2), ("ok", 3)
    ended = run_local(
        work_all, [(ok, crash, last), (ok, ok)], workers=1,
        parts=lambda task: [(one,) for one in task] if len(task) > 1 else (),
    )  # fmt: skip
    outcomes = {o.task: o for o in ended}
    assert outcomes.keys() == {(ok,), (crash,), (last,), (ok, ok)}
    assert [outcomes[t].result for t in ((ok,), (last,), (ok, ok))] == [[1], [9], [1, 1]]
    assert outcomes[crash,].failure.reason == "crashed"  # type: ignore[union-attr]


def test_the_users_error_is_raised() -> None:
    with pytest.raises(DataError, match="no such thing"):
        list(run_local(work, [("ok", 1), ("refuse", 2)], workers=2))


def test_any_other_error_costs_its_own_task() -> None:
    outcomes = {o.task: o for o in run_local(work, [("ok", 1), ("raise", 2)], workers=2)}
    assert outcomes["ok", 1].result == 1
    failure = outcomes["raise", 2].failure
    assert failure is not None
    assert (failure.reason, failure.detail) == ("failed", "KeyError: 'no such key'")


def test_an_error_that_no_other_process_can_be_told_costs_its_own_task() -> None:
    tasks = [("unsendable", 0), *(("ok", n) for n in range(1, 9))]
    outcomes = {o.task: o for o in run_local(work, tasks, workers=2)}
    failure = outcomes.pop(("unsendable", 0)).failure
    assert failure is not None
    assert failure.reason == "failed"
    assert sorted(o.result or 0 for o in outcomes.values()) == [n * n for n in range(1, 9)]


def test_a_full_disk_ends_the_run() -> None:
    with pytest.raises(MeansError, match="no space left"):
        list(run_local(work, [("full", 1)], workers=1))


def test_a_task_that_takes_all_memory_costs_its_own() -> None:
    outcomes = {o.task: o for o in run_local(work, [("ok", 1), ("memory", 2)], workers=2)}
    assert outcomes["ok", 1].result == 1
    failure = outcomes["memory", 2].failure
    assert failure is not None
    assert failure.reason == "crashed"
    assert failure.detail.startswith("out of memory")


def test_too_few_file_handles_are_told_before_the_work() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = os.open(os.devnull, os.O_RDONLY)  # the next handle is at most this one
    os.close(highest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, before[1]))
    try:
        with pytest.raises(MeansError, match=r"too many open files; raise the limit \(ulimit -n\)"):
            list(run_local(work, [("ok", 1)], workers=1))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_server_that_is_ended_while_it_loads_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    forkserver._forkserver._stop()  # type: ignore[attr-defined]  # the one of the tests before
    with pytest.raises(MeansError, match="were ended from outside"):
        list(run_local(work, [("ok", 1)], workers=1, preload=["ends_the_server"]))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the parent is forked")
def test_workers_end_with_the_process_that_runs_them(tmp_path: Path) -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_engine import _write_on\nfrom tinyvirat_build.engine import run_local\n"
        f"list(run_local(_write_on, [{str(tmp_path / 'm')!r}], workers=1))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    marker = tmp_path / "m"
    while not marker.exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    time.sleep(1)
    written = marker.stat().st_size
    time.sleep(0.5)
    assert marker.stat().st_size == written


def test_tasks_are_taken_as_they_are_begun() -> None:
    taken = 0

    def tasks() -> Iterator[tuple[str, int]]:
        nonlocal taken
        for n in range(200):
            taken += 1
            yield "ok", n

    seen = [taken for _ in run_local(work, tasks(), workers=1)]
    assert len(seen) == taken == 200
    assert max(t - n for n, t in enumerate(seen)) < 10


def test_in_process_without_isolation() -> None:
    assert [o.result for o in run_local(work, [("ok", 2)], workers=1, isolate=False)] == [4]


@pytest.mark.parametrize("workers", [1, 2])
def test_no_task_is_left_out_however_many_there_are(workers: int) -> None:
    tasks = [("ok", i) for i in range(30)]
    assert {o.task for o in run_local(work, tasks, workers=workers)} == set(tasks)


def test_an_interrupt_while_the_server_starts_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    def start() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(forkserver, "ensure_running", start)
    with pytest.raises(KeyboardInterrupt):
        list(run_local(str, [1], workers=1))
