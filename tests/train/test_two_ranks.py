"""Two gloo processes that train together: they end as one, stop as one, and judge as one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from tinyvirat_build.errors import TrainError  # noqa: E402
from tinyvirat_build.loader.ranks import join_ranks  # noqa: E402
from tinyvirat_build.scoring import metrics  # noqa: E402
from tinyvirat_build.scoring.inference import score_clips  # noqa: E402
from tinyvirat_build.train import runs, settings  # noqa: E402

from .memory import CLASSES, MemoryLoader, rows, small, start, tiny, weights  # noqa: E402

# Adam makes steps of the size of the rate from gradients that are all rounding: a low rate
AS_ONE = small("freeze_bn=true", "dropout=0", "optim.accumulate=2", "optim.lr=0.0001")
STOPS = small("save_every=4", "read_every=4")
JUDGED = small("epochs=1", "schedule.milestones=[]", "optim.lr=0.01")
RESUMED = small("save_every=2", "epochs=2", "schedule.milestones=[]")


@dataclass
class Job:
    """A training of both ranks."""

    out: Path
    chosen: settings.TrainSettings
    bad: int | None = None  # a clip that is broken
    kill_at: int | None = None  # the batch at which the second rank is killed

    def stopped(self, rank: int, error: TrainError) -> None:
        """Note what stopped it."""
        (self.out / f"stopped{rank}").write_text(str(error))


def _rank(rank: int, port: int, jobs: Sequence[Job]) -> None:
    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    try:
        with join_ranks("cpu") as (ranks, _):
            for job in jobs:
                loader = MemoryLoader(rank=rank, world=2)
                loader.bad = job.bad
                loader.kill_at = job.kill_at if rank == 1 else None
                try:
                    start(job.out, job.chosen, loader, ranks)
                except TrainError as e:
                    job.stopped(rank, e)
    except TrainError as e:  # of the group, which has lost a rank
        jobs[-1].stopped(rank, e)


def two_ranks(*jobs: Job) -> None:
    """Let two gloo processes do one job after the other; the second may be killed in the last."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    for job in jobs:
        job.out.mkdir(exist_ok=True)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_rank, args=(rank, port, jobs)) for rank in range(2)]
    for process in processes:
        process.start()
    killed = jobs[-1].kill_at is not None
    for rank, process in enumerate(processes):
        process.join(300)
        assert process.exitcode == (-signal.SIGKILL if rank and killed else 0)


def _halves(rank: int) -> list[str]:
    """The ids of the fourth batch that a rank has."""
    return [ids for _, _, ids in MemoryLoader(rank=rank, world=2)][3]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes have made of all the jobs."""
    folder = tmp_path_factory.mktemp("ranks")
    two_ranks(
        Job(folder / "two", AS_ONE),
        *(Job(folder / f"bad{rank}", STOPS, bad=int(_halves(rank)[0])) for rank in range(2)),
        Job(folder / "judged", JUDGED),
        Job(folder / "whole", RESUMED),
        Job(folder / "cut", RESUMED, kill_at=9),
    )
    return folder


def test_two_gloo_ranks_end_as_one(done: Path, tmp_path: Path) -> None:
    start(tmp_path, AS_ONE)
    one, two = weights(tmp_path), weights(done / "two")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-5)
    assert [r["val_map"] for r in rows(done / "two")] == [r["val_map"] for r in rows(tmp_path)]
    assert len(rows(done / "two")) == 3


@pytest.mark.parametrize("rank", [0, 1])
def test_all_ranks_stop_where_one_has_a_broken_clip(done: Path, rank: int) -> None:
    out = done / f"bad{rank}"
    stopped = [(out / f"stopped{n}").read_text() for n in range(2)]
    assert stopped[0] == stopped[1]
    ids = ", ".join(_halves(rank))
    assert f"loss is not finite at step 4, batch of clips {ids} " in stopped[0]
    assert not (out / "last.pt").exists()


def test_two_ranks_judge_the_weights_that_they_save(done: Path) -> None:
    model = tiny()
    model.load_state_dict(runs.load_checkpoint(done / "judged" / "best.pt")["model"])
    val = MemoryLoader(8, 4)
    val.training = False
    found = score_clips(model, val, CLASSES, device=torch.device("cpu"))
    value = metrics.mean_average_precision(found.labels, found.scores)
    assert float(rows(done / "judged")[0]["val_map"]) == pytest.approx(value, abs=1e-5)


@pytest.mark.slow
def test_a_rank_that_is_killed_is_told_and_the_run_resumes_to_the_same_weights(done: Path) -> None:
    said = (done / "cut" / "stopped0").read_text()
    assert said.startswith("another process of this training has ended; run the same command")
    assert runs.load_checkpoint(done / "cut" / "last.pt")["place"]["step"] == 8
    two_ranks(Job(done / "cut", RESUMED))
    whole, cut = weights(done / "whole"), weights(done / "cut")
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
