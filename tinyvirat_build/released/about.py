"""What a release says of itself beside its rows: who made it, with what, and under which terms."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from tinyvirat_build.settings import Settings, presets

LICENCES: Final[Mapping[str, str]] = {
    "apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
    "cc-by-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "cc-by-sa-4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
    "cc-by-nc-4.0": "https://creativecommons.org/licenses/by-nc/4.0/",
    "cc-by-nc-sa-4.0": "https://creativecommons.org/licenses/by-nc-sa/4.0/",
    "cc-by-nd-4.0": "https://creativecommons.org/licenses/by-nd/4.0/",
    "cc-by-nc-nd-4.0": "https://creativecommons.org/licenses/by-nc-nd/4.0/",
    "cc0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "mit": "https://opensource.org/license/mit",
    "odc-by": "https://opendatacommons.org/licenses/by/1-0/",
    "odbl": "https://opendatacommons.org/licenses/odbl/1-0/",
    "pddl": "https://opendatacommons.org/licenses/pddl/1-0/",
}
"""Licences of data that the Hugging Face Hub knows, by its names, with where they are written."""

CITATION: Final = """\
@inproceedings{demir2021tinyvirat,
  title     = {{TinyVIRAT}: Low-resolution Video Action Recognition},
  author    = {Demir, Ugur and Rawat, Yogesh S. and Shah, Mubarak},
  booktitle = {International Conference on Pattern Recognition (ICPR)},
  year      = {2021}
}
@article{tirupattur2021tinyaction,
  title   = {{TinyAction} Challenge: Recognizing Real-world Low-resolution Activities in Videos},
  author  = {Tirupattur, Praveen and Rana, Aayush J. and Sangam, Tushar and Vyas, Shruti and
             Rawat, Yogesh S. and Shah, Mubarak},
  journal = {arXiv:2107.11494},
  year    = {2021}
}"""

# Of no account for what is in the folder, or told elsewhere in the card. The seed of the test
# numbers stays untold: who knows it can tell which source clip a test number is.
_UNTOLD: Final = ("preset", "classes", "expected", "publish")


class Terms(Protocol):
    """What a source says of its use: a source's own name, licence and makers."""

    @property
    def name(self) -> str:
        """As in the column ``source``."""

    @property
    def license_text(self) -> str:
        """Under which its clips may be used."""

    @property
    def attribution(self) -> str:
        """Who made it."""


@dataclass(frozen=True, slots=True)
class About:
    """How a build was made: by which version, with which settings, of which sources."""

    version: str
    settings: Settings
    sources: Sequence[Terms]
    trial: bool = False  # of a part of the corpus


def licence_of(source: Terms) -> str:
    """The Hub's name of a source's licence; ``other`` for one that it does not know.

    ``unknown`` where the source says nothing.
    """
    word = re.sub(r"[\s_]+", "-", source.license_text.strip().lower())
    return word if word in LICENCES else "other" if word else "unknown"


def citation_of(source: Terms) -> str:
    """The source's own paper in BibTeX, if it names one in ``citation``."""
    return str(getattr(source, "citation", ""))


def citations(about: About) -> str:
    """What to cite, in BibTeX: the datasets whose rule this is, and the sources' own papers."""
    return "\n".join(filter(None, [CITATION, *map(citation_of, about.sources)]))


def differing(settings: Settings) -> dict[str, Any]:
    """The settings that are not the preset's, as a file of settings takes them.

    Of a preset that is a file of the user's own, those that are not the defaults. Files are named
    without their folders, which are one machine's affair.

    >>> differing(Settings.load("tinyvirat", overrides=["merge.bridge=4", "publish.seed=7"]))
    {'merge': {'bridge': 4}}
    """
    base = Settings.load(settings.preset) if settings.preset in presets() else Settings()
    found = _difference(settings.to_dict(), base.to_dict())
    return {name: _without_folders(value) for name, value in found.items() if name not in _UNTOLD}


def shown(value: str) -> str:
    """The name of a list, or of a file without its folder.

    >>> shown("tinyvirat-26"), shown("/home/me/classes.csv")
    ('tinyvirat-26', 'classes.csv')
    """
    return Path(value).name if Path(value).is_absolute() else value


def _difference(tree: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, value in tree.items():
        if isinstance(value, Mapping) and isinstance(base.get(name), Mapping):
            if inner := _difference(value, base[name]):
                found[name] = inner
        elif name not in base or value != base[name]:
            found[name] = value
    return found


def _without_folders(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_folders(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_folders(inner) for inner in value]
    return shown(value) if isinstance(value, str) else value
