"""One function over many tasks; nothing here knows what the work is."""

from __future__ import annotations

from typing import Final

from tinyvirat_build.engine.local import default_workers, run_local
from tinyvirat_build.engine.turns import DEFAULT_TIMEOUT, Ended, Engine, Failure
from tinyvirat_build.errors import SettingsError

__all__ = [
    "DEFAULT_TIMEOUT", "NAMES", "Ended", "Engine", "Failure", "chosen", "default_workers",
    "processors",
    "run_local",
]  # fmt: skip

NAMES: Final = ("local", "ray")


def chosen(name: str, address: str | None = None) -> Engine:
    """The engine of a name; ``address`` says where an existing cluster is.

    Raises:
        SettingsError: there is no such engine, its extra is not installed, or no cluster there.
    """
    if name not in NAMES:
        raise SettingsError(f"no engine {name!r}; the engines are {', '.join(NAMES)}")
    if name == "local":
        if address is not None:
            raise SettingsError("--address is where a Ray cluster is; give --engine ray with it")
        return run_local
    from tinyvirat_build.engine.ray import connect, run_ray

    connect(address)
    return run_ray


def processors(name: str) -> int:
    """So many tasks an engine that is chosen does at once now, unless it is told otherwise."""
    if name == "local":
        return default_workers()
    from tinyvirat_build.engine.ray import processors as of_cluster

    return of_cluster()
