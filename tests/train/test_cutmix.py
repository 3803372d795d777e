"""CutMix: boxes of the neighbour, labels by the pixels, the same after a kill."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from tinyvirat_build.train.cutmix import cutmix  # noqa: E402

from .memory import cut_off, small, start, weights  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_the_labels_are_mixed_by_the_pixels() -> None:
    """Clip k is filled with k, and has the label k alone."""
    count = 4
    clips = torch.arange(count).float().view(-1, 1, 1, 1, 1).expand(count, 3, 2, 9, 12)
    shares = []
    for seed in range(50):
        torch.manual_seed(seed)
        mixed, labels = cutmix(clips, torch.eye(count), 1.0)
        for k in range(count):
            said = [float((mixed[k] == other).float().mean()) for other in range(count)]
            torch.testing.assert_close(labels[k], torch.tensor(said))
            assert (mixed[k] == mixed[k][:1, :1]).all()  # the same box in all frames and channels
        shares.append(float(labels[1, 0]))
    assert clips[1].eq(1).all()
    assert min(shares) < 0.1 < 0.5 < max(shares)


def test_broken_off_and_resumed_ends_with_the_same_weights(tmp_path: Path) -> None:
    chosen = small("cutmix=1", "dropout=0.3", "save_every=2", "optim.accumulate=2", "epochs=2")
    start(tmp_path / "whole", chosen)
    cut_off(tmp_path / "cut", chosen, 9)
    start(tmp_path / "cut", chosen)
    plain = small("dropout=0.3", "save_every=2", "optim.accumulate=2", "epochs=2")
    start(tmp_path / "other", plain)
    whole, cut, other = (weights(tmp_path / name) for name in ("whole", "cut", "other"))
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())
    assert not all(torch.equal(value, other[name]) for name, value in whole.items())
