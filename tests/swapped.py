"""A table of stages in which some functions are others, as tests put trouble into a build."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tinyvirat_build.pipeline import stages


def swap(monkeypatch: pytest.MonkeyPatch, **runs: str) -> None:
    """Have stages run other functions, each given as ``module:function``."""
    table = [replace(s, run=runs.get(s.name, s.run)) for s in stages.STAGES]
    monkeypatch.setattr(stages, "STAGES", tuple(table))
