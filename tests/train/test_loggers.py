"""What a run tells of itself: to a logger of the user's own, to the profiler, in its log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from tinyvirat_build import store  # noqa: E402
from tinyvirat_build.errors import SettingsError  # noqa: E402
from tinyvirat_build.train import runs  # noqa: E402
from tinyvirat_build.train.usage import peak_memory  # noqa: E402

from .memory import rows, small, start  # noqa: E402

OWN = """
NOTED = []

class Logger:
    def __init__(self, folder, settings, step):
        NOTED.append((folder.name, settings["epochs"], step))
    def scalars(self, values, step):
        NOTED.append((step, dict(values)))
    def close(self):
        NOTED.append("closed")
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list:
    (tmp_path / "mine_of_test.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    import mine_of_test  # type: ignore[import-not-found]

    mine_of_test.NOTED.clear()
    return mine_of_test.NOTED


def test_a_logger_of_ones_own_is_told_all_that_is_logged(tmp_path: Path, mine: list) -> None:
    start(tmp_path / "run", small("logger=mine_of_test:Logger"))
    head, *noted, last = mine
    assert head == ("run", 3, 0)
    assert last == "closed"
    epochs = [(step, v) for step, v in noted if "loss" in v]
    assert [step for step, _ in epochs] == [6, 12, 18]
    assert {step for step, v in noted if "step/loss" in v} == set(range(2, 19, 2))
    for (_, values), row in zip(epochs, rows(tmp_path / "run"), strict=True):
        assert {k: f"{v:.6g}" for k, v in values.items()} == {
            k: v for k, v in row.items() if v and k not in ("epoch", "step")
        }
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_another_logger_is_no_other_run_and_is_told_where_it_begins(
    tmp_path: Path, mine: list
) -> None:
    start(tmp_path / "run", small("epochs=1", "schedule.milestones=[]", "logger=none"))
    longer = small("epochs=2", "schedule.milestones=[]", "logger=mine_of_test:Logger")
    start(tmp_path / "run", longer)
    assert mine[0] == ("run", 2, 6)


@pytest.mark.parametrize(
    "name", ["tensorbord", "none_such:Logger", "json:none_such", "json:__name__"]
)
def test_a_logger_that_is_none_is_one_clear_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=f"logger '{name}'.*give.*MODULE:FACTORY"):
        start(tmp_path / "run", small(f"logger={name}"))
    assert not (tmp_path / "run").exists()


def test_a_logger_that_raises_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"logger 'os:getcwd': TypeError: .*; mend it"):
        start(tmp_path / "run", small("logger=os:getcwd"))


@pytest.mark.parametrize("which", ["scalars", "close"])
def test_a_logger_that_fails_later_is_blamed_too(which: str, tmp_path: Path, mine: list) -> None:
    import mine_of_test

    def fail(self: object, *_: object) -> None:
        raise OSError("no line to the server")

    broken = type("Broken", (mine_of_test.Logger,), {which: fail})
    mine_of_test.Broken = broken
    with pytest.raises(SettingsError, match="logger 'mine_of_test:Broken': OSError: no line"):
        start(tmp_path / "run", small("logger=mine_of_test:Broken"))


def test_the_profiler_records_as_many_steps_as_asked_for(tmp_path: Path) -> None:
    start(tmp_path, small("epochs=2", "schedule.milestones=[]", "profile=3", "logger=none"))
    events = json.loads((tmp_path / "profile.json").read_text())["traceEvents"]
    steps = {e["name"] for e in events if str(e.get("name")).startswith("ProfilerStep#")}
    assert len(steps) == 3
    assert "aten::" in (tmp_path / "profile.txt").read_text()


def test_the_log_tells_peak_memory_and_keeps_rows_of_before_it_did(tmp_path: Path) -> None:
    one = small("epochs=1", "schedule.milestones=[]", "logger=none")
    start(tmp_path, one)
    [row] = rows(tmp_path)
    assert 50 < float(row["memory_mib"]) < peak_memory(torch.device("cpu")) + 1
    log = tmp_path / "log.csv"
    lines = [line.rpartition(",")[0] for line in log.read_text().splitlines()]
    store.write_text(log, "\n".join([*lines, ""]))
    assert [r["memory_mib"] for r in runs.read_log(tmp_path)] == [""]
    start(tmp_path, small("epochs=2", "schedule.milestones=[]", "logger=none"))
    assert [bool(r["memory_mib"]) for r in rows(tmp_path)] == [False, True]
