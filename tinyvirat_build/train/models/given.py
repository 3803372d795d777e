"""Networks of users: ``FILE.py:factory``, ``module:factory``, or the name of an entry point.

Whatever goes wrong in a user's code is told in one line, with the file and the line at fault.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from tinyvirat_build.errors import SettingsError, TinyviratError, TrainError
from tinyvirat_build.store.means import lacking
from tinyvirat_build.store.userfiles import nearest
from tinyvirat_build.train import models


@dataclass(frozen=True, slots=True)
class Code:
    """A factory of networks, and the code that it is of."""

    factory: Callable[..., Any]
    name: str  # that finds it again, wherever one stands
    file: Path  # of the factory's module
    own: Path  # the same, or the folder of the package that it is of
    origin: dict[str, str] = field(default_factory=dict)

    def make(self, num_classes: int, dropout: float | None) -> tuple[nn.Module, bool]:
        """A network, and whether it heard of ``dropout``: where the factory has the parameter.

        Raises:
            TrainError: the factory raises, or gives no network.
        """
        with self.blamed(self.factory):
            heard = "dropout" in inspect.signature(self.factory).parameters
            more = {} if dropout is None or not heard else {"dropout": dropout}
            module = self.factory(num_classes, **more)
        if not isinstance(module, nn.Module):
            raise TrainError(
                f"{self.where(self.factory)}: gives {type(module).__name__}, no torch.nn.Module; "
                "mend the factory"
            )
        return module, heard

    @contextlib.contextmanager
    def blamed(self, called: object = None) -> Iterator[None]:
        """Make one line of what this code raises; of all else too, where ``called`` is its own."""
        with _blamed(self.own, None if called is None else self.where(called)):
            yield

    @contextlib.contextmanager
    def said(self) -> Iterator[None]:
        """Name the factory where what its network says of itself cannot be read."""
        try:
            yield
        except SettingsError as e:
            raise SettingsError(f"{self.where(self.factory)}: {e}") from e

    def where(self, thing: object) -> str:
        """File and line of a class or function of this code, or the file."""
        try:
            code = inspect.unwrap(thing)  # type: ignore[arg-type]
            return f"{inspect.getsourcefile(code)}:{inspect.getsourcelines(code)[1]}"
        except (OSError, TypeError):
            return str(self.file)


def find(name: str, kept: Path | None = None) -> Code:
    """The factory of that name; ``kept`` is a copy of its file, to be read in its place.

    Raises:
        SettingsError: there is no such file, module, factory or entry point.
        TrainError: the code raises when it is imported; with file and line.
    """
    if ":" not in name:
        return _entry_point(name)
    source, _, wanted = name.rpartition(":")
    if not source or not wanted:
        raise SettingsError(f"model {name!r} names no file or no factory; give FILE.py:factory")
    if not source.endswith(".py"):
        return _of_module(name, source, wanted)
    path = Path(source).resolve()
    file = kept or path
    try:
        text = file.read_bytes()
    except OSError as e:
        raise SettingsError(f"{file}: cannot be read ({e.strerror}); give FILE.py:factory") from e
    checksum = sha256(text).hexdigest()
    with _blamed(file):
        module = _executed(file, text, f"network_{checksum[:12]}", beside=path.parent)
    return Code(
        _factory(module, wanted, file),
        f"{path}:{wanted}",
        file,
        file,
        {"file": str(path), "factory": wanted, "sha256": checksum},
    )


def _executed(file: Path, text: bytes, name: str, beside: Path) -> ModuleType:
    """A module from a file's text as it is now; bytecode that lies about may be of before."""
    if str(beside) not in sys.path:
        sys.path.append(str(beside))  # for what it imports from its folder
    module = ModuleType(name)
    module.__file__ = str(file)
    sys.modules[name] = module  # where dataclasses and pickles look for it
    exec(compile(text, file, "exec"), module.__dict__)
    return module


def _of_module(
    name: str, source: str, wanted: str, dist: metadata.Distribution | None = None
) -> Code:
    own = _home(source.partition(".")[0])
    missing = SettingsError(
        f"model {name!r}: there is no module {source} here; install it, add its folder to "
        "PYTHONPATH, or give FILE.py:factory"
    )
    if own is None:
        raise missing
    with _blamed(own):
        try:
            module = importlib.import_module(source)
        except ModuleNotFoundError as e:
            if e.name and f"{source}.".startswith(f"{e.name}."):
                raise missing from e
            raise
    file = Path(module.__file__ or own)
    origin = {"module": source, "factory": wanted}
    if file.is_file():
        origin["sha256"] = sha256(file.read_bytes()).hexdigest()
    of = metadata.packages_distributions().get(source.partition(".")[0], [])
    if distribution := dist.name if dist else next(iter(of), None):
        origin |= {"distribution": distribution, "version": metadata.version(distribution)}
    return Code(_factory(module, wanted, file), name, file, own, origin)


def _home(top: str) -> Path | None:
    """The folder of a package, or the file of a module."""
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if found is None:
        return None
    folders = list(found.submodule_search_locations or [])
    return Path(folders[0]) if folders else Path(found.origin or "")


def _entry_point(name: str) -> Code:
    for point in metadata.entry_points(group=models.ENTRY_POINTS):
        if point.name == name:
            return _of_module(name, point.module, point.attr, point.dist)
    models.check_name(name)
    raise AssertionError(name)


def _factory(module: ModuleType, wanted: str, file: Path) -> Callable[..., Any]:
    found = getattr(module, wanted, None)
    if not callable(found):
        known = [k for k, v in vars(module).items() if callable(v) and not k.startswith("_")]
        what = "there is no" if found is None else "it is no function or class:"
        raise SettingsError(f"{file}: {what} {wanted}{nearest(wanted, known)}; name its factory")
    return found  # type: ignore[no-any-return]


@contextlib.contextmanager
def _blamed(own: Path, otherwise: str | None = None) -> Iterator[None]:
    try:
        yield
    except TinyviratError:
        raise
    except (Exception, SystemExit) as e:
        place = _place(e, own) or otherwise
        if place is None or lacking(e):
            raise
        what = " ".join(f"{type(e).__name__}: {e}".split())
        raise TrainError(f"{place}: {what}; mend the network") from e


def _place(error: BaseException, own: Path) -> str | None:
    """File and line of a user's code at which an error came up, where it did."""
    at = [(f.filename, f.lineno) for f in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError):
        at.append((error.filename or "", error.lineno))
    mine = [(file, line) for file, line in at if own in (Path(file), *Path(file).parents)]
    return f"{mine[-1][0]}:{mine[-1][1]}" if mine else None
