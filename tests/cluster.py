"""A Ray cluster of several machines that are all this one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent
ON_PATH = [TESTS.parent, TESTS, TESTS / "engine", TESTS / "pipeline"]
MACHINE = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}


@contextmanager
def started(machines: int) -> Iterator[Any]:
    """A cluster whose machines have one processor each, and know the tests' own functions."""
    import ray
    from ray.cluster_utils import Cluster

    before = dict(os.environ)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["PYTHONPATH"] = os.pathsep.join(map(str, ON_PATH))
    try:
        cluster = Cluster(initialize_head=True, head_node_args=MACHINE)
        try:
            for _ in range(machines - 1):
                cluster.add_node(**MACHINE)
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()
    finally:
        os.environ.clear()
        os.environ.update(before)
