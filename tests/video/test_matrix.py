"""Awkward videos of every container, codec and fault: the right frames, or a refusal that is due.

``bench/matrix.py`` runs all cells; here are those of :func:`.verdicts.chosen`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .judged import Clip
from .matrix import Cell, run
from .players import by_count
from .verdicts import chosen, failure


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("matrix")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("cell", chosen(), ids=lambda cell: cell.name)
def test_each_frame_is_the_one_that_players_show(cell: Cell, lab: Path) -> None:
    assert failure(run(cell, lab)) is None


def test_a_wrong_frame_is_told_from_noise_and_from_a_held_one() -> None:
    def clip(*numbers: int | None, held: int = 0, damaged: int = 0) -> Clip:
        return Clip(4, 4 + len(numbers), (0, 0), None, list(numbers), held, damaged, [])

    truth = by_count(range(8))
    assert clip(4, 5, 6, 7).strays(truth) == []
    assert clip(4, None, 6, 7).strays(truth) == []
    assert clip(4, 4, 6, 7, held=1).strays(truth) == []
    assert clip(4, 9, 6, 7, damaged=1).strays(truth) == []
    assert clip(4, 4, 6, 7).strays(truth) == [(5, 4)]
    assert clip(4, 9, 6, 7, held=1).strays(truth) == [(5, 9)]
    assert clip(5, 6, 7, 8, held=1).strays(truth) == [(4, 5), (5, 6), (6, 7), (7, 8)]
