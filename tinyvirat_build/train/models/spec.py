"""What a network says of itself: its input, its batch, its head, and its layers in order."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tinyvirat_build.errors import SettingsError
from tinyvirat_build.loader.augment import IMAGENET_MEAN, IMAGENET_STD, check_normalisation
from tinyvirat_build.store.userfiles import nearest


@dataclass(frozen=True, slots=True)
class Spec:
    """What holds where the settings leave it to the network.

    ``head`` and ``layers`` are prefixes of parameter names. A layer is one prefix or several.
    """

    frames: int = 16
    size: int = 112  # pixels, both sides
    batch: int = 16  # clips a step
    mean: tuple[float, ...] = IMAGENET_MEAN  # per channel, in 0..1
    std: tuple[float, ...] = IMAGENET_STD
    head: str = ""  # none: not known
    layers: tuple[tuple[str, ...], ...] = ()  # from the input on; none: not known

    def __post_init__(self) -> None:
        check_normalisation(self.mean, self.std)
        numbers = (self.frames, self.size, self.batch)
        if not all(type(n) is int and n >= 1 for n in numbers):
            raise SettingsError(f"frames, size and batch are whole numbers above 0: {numbers}")

    def depth_of(self, name: str) -> int:
        """The layer of a parameter, from 0; the head, and what no layer has, are the last.

        >>> spec = Spec(layers=(("stem", "norm"), ("block1",)), head="fc")
        >>> [spec.depth_of(n) for n in ("norm.weight", "block1.0.bias", "block10.bias", "fc.bias")]
        [0, 1, 2, 2]
        """
        if self.is_head(name):  # of a module whose other parts are a layer, perhaps
            return len(self.layers)
        depths = (d for d, layer in enumerate(self.layers) if any(under(name, p) for p in layer))
        return next(depths, len(self.layers))

    def is_head(self, name: str) -> bool:
        """Whether a parameter is of the head; never where that is not known."""
        return bool(self.head) and under(name, self.head)


def under(name: str, prefix: str) -> bool:
    """Whether an entry of a state dict is of a module, whose name may end with a dot.

    >>> under("fc.bias", "fc"), under("fc.bias", "fc."), under("fc2.bias", "fc")
    (True, True, False)
    """
    prefix = prefix.rstrip(".")
    return name == prefix or name.startswith(f"{prefix}.")


def read_spec(given: Any) -> Spec:
    """A spec from what a user wrote: a :class:`Spec`, a mapping of its fields, or none.

    Raises:
        SettingsError: a field that no spec has, or a value that it cannot have.

    >>> read_spec({"frames": 8, "layers": ["stem", ["block1", "norm1"]]}).layers
    (('stem',), ('block1', 'norm1'))
    """
    if given is None or isinstance(given, Spec):
        return given or Spec()
    if not isinstance(given, Mapping):
        raise SettingsError(f"spec is a mapping, found {type(given).__name__}")
    known = [f.name for f in dataclasses.fields(Spec)]
    for key in given:
        if key not in known:
            raise SettingsError(
                f"spec has no {key!r}{nearest(str(key), known)}; it has {', '.join(known)}"
            )
    fields = dict(given)
    try:
        fields |= {k: tuple(map(float, given[k])) for k in ("mean", "std") if k in given}
        if isinstance(given.get("layers"), str):
            raise TypeError(f"found {given['layers']!r}")
        if "layers" in given:
            fields["layers"] = tuple(_layer(layer) for layer in given["layers"])
    except (TypeError, ValueError) as e:
        raise SettingsError(f"spec: mean, std and layers are lists ({e})") from e
    if not isinstance(fields.get("head", ""), str):
        raise SettingsError("spec: head is the name of a module")
    return Spec(**fields)


def _layer(given: str | Iterable[Any]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(map(str, given))
