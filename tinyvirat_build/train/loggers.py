"""Where a run's numbers go beside its log.csv: to TensorBoard, or to a logger of the user's own."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from tinyvirat_build.errors import SettingsError


class Logger(Protocol):
    """What the runner asks of a logger; the first rank alone has one."""

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Note numbers by name, at a step of the optimiser."""

    def close(self) -> None:
        """The run ends, or is broken off."""


LoggerFactory = Callable[[Path, Mapping[str, Any], int], Logger]
"""From the run's folder, its settings and the steps that are done to a logger; a resumed run's
logger is told steps again that were taken after the last checkpoint."""


def logger_of(name: str) -> LoggerFactory:
    """A factory by the name that the setting ``logger`` gives it.

    Raises:
        SettingsError: there is none.
    """
    if name in _OWN:
        return _OWN[name]
    try:
        found: LoggerFactory = pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as e:
        raise SettingsError(
            f"logger {name!r}: {e}; give tensorboard, none, or MODULE:FACTORY, with the module's "
            "folder in PYTHONPATH"
        ) from e
    if not callable(found):
        raise SettingsError(f"logger {name!r} is no function or class; give MODULE:FACTORY")

    return partial(_Theirs, name, found)


class _Theirs:
    """A user's logger: whatever goes wrong in it is told as its own."""

    def __init__(
        self,
        name: str,
        factory: LoggerFactory,
        folder: Path,
        settings: Mapping[str, Any],
        step: int,
    ) -> None:
        self._name = name
        with self._blamed():
            self._logger = factory(folder, settings, step)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        with self._blamed():
            self._logger.scalars(values, step)

    def close(self) -> None:
        with self._blamed():
            self._logger.close()

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        try:
            yield
        except Exception as e:  # a user's code raises anything
            what = " ".join(f"{type(e).__name__}: {e}".split())
            raise SettingsError(f"logger {self._name!r}: {what}; mend it, or set another") from e


class _Board:
    def __init__(self, folder: Path, settings: Mapping[str, Any], step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import, for rank 0 alone

        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()  # what a process that dies has noted is there

    def close(self) -> None:
        self._writer.close()


class _Nowhere:
    def __init__(self, folder: Path, settings: Mapping[str, Any], step: int) -> None:
        pass

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        pass

    def close(self) -> None:
        pass


_OWN: dict[str, LoggerFactory] = {"tensorboard": _Board, "none": _Nowhere}
