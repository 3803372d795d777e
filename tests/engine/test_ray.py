"""The engine of a Ray cluster does what the local one does, on machines that may be lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trouble import wait_and_note, work

from tinyvirat_build import engine
from tinyvirat_build.errors import BuildError, DataError, SettingsError

pytest.importorskip("ray", reason="the extra ray is not installed")
from cluster import MACHINE, started

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with started(2) as cluster:
        yield cluster


@pytest.fixture
def run(cluster: Any) -> engine.Engine:
    return engine.chosen("ray", cluster.address)


def test_trouble_costs_its_own_task(run: engine.Engine) -> None:
    kinds = ["ok", "crash", "ok", "hang", "raise", "unsendable", "memory", "ok"]
    tasks = [(kind, n) for n, kind in enumerate(kinds)]
    found = {o.task: o for o in run(work, tasks, timeout=8)}
    assert set(found) == set(tasks)
    reasons = {"crash": "crashed", "hang": "timeout", "memory": "crashed", "ok": None}
    for task, ended in found.items():
        assert (ended.failure and ended.failure.reason) == reasons.get(task[0], "failed")
        assert ended.result == (task[1] ** 2 if task[0] == "ok" else None)


def test_the_users_error_ends_the_run(run: engine.Engine) -> None:
    with pytest.raises(DataError, match=r"^no such thing$"):
        list(run(work, [("ok", 1), ("refuse", 2)]))


def test_no_task_is_left_out_and_few_are_begun_ahead(run: engine.Engine) -> None:
    tasks = [("ok", i) for i in range(50)]
    assert {o.task for o in run(work, tasks, workers=1)} == set(tasks)
    assert {o.task for o in run(work, tasks)} == set(tasks)


def test_a_lost_machine_costs_what_it_was_at(
    cluster: Any, run: engine.Engine, tmp_path: Path
) -> None:
    tasks = [str(tmp_path / str(n)) for n in range(8)]
    node = cluster.add_node(**MACHINE)
    ended = run(wait_and_note, tasks)
    found = [next(ended)]
    cluster.remove_node(node, allow_graceful=False)
    found += ended
    assert sorted(o.result or "" for o in found) == tasks
    again = [task for task in tasks if len(list(Path(task).iterdir())) > 1]
    assert len(again) <= 1  # it had one processor


def test_what_is_left_is_cancelled(run: engine.Engine, tmp_path: Path) -> None:
    tasks = [str(tmp_path / str(n)) for n in range(30)]
    ended = run(wait_and_note, tasks)
    next(ended)
    ended.close()  # type: ignore[attr-defined]
    time.sleep(1)
    begun = len(list(tmp_path.iterdir()))
    time.sleep(2)
    assert len(list(tmp_path.iterdir())) == begun < 8


def test_another_version_on_a_machine_is_refused(
    run: engine.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tinyvirat_build.engine import ray

    other = dict(ray.versions()) | {"av": "0.1"}
    monkeypatch.setattr(ray, "versions", lambda: other)
    with pytest.raises(BuildError, match=r"has av \d.*, the one that builds 0.1; install the same"):
        list(run(work, [("ok", 1)]))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:99999", "nowhere.invalid:1", None])
def test_no_cluster_is_one_line(address: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    where = f"at {address}" if address else "on this machine"
    with pytest.raises(SettingsError, match=rf"^no Ray cluster {where} \(.*give the --address"):
        engine.chosen("ray", address)
