"""The losses for long tails, against their papers' formulas written out clip by clip."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tinyvirat_build.errors import TrainError  # noqa: E402
from tinyvirat_build.train import settings  # noqa: E402
from tinyvirat_build.train.losses import (  # noqa: E402
    Frequency,
    binary_cross_entropy,
    class_balanced_weights,
    make_loss,
)

COUNTS = (90, 30, 7, 1)  # of 100 clips


def often(*counts: int) -> Frequency:
    return Frequency(torch.tensor(counts, dtype=torch.float32), 100)


def drawn(seed: int = 0) -> tuple[Any, Any]:
    """Logits (32, 4) and labels (32, 4), no clip without one."""
    torch.manual_seed(seed)
    labels = (torch.rand(32, 4) < 0.4).float()
    labels[labels.sum(dim=1) == 0, 0] = 1
    return torch.randn(32, 4) * 3, labels


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def distribution_balanced_of(logits: Any, labels: Any, gamma: float, scale: float) -> list[float]:
    """Wu et al., sections 3.1 and 3.2, with the focal form of their code; one loss a clip."""
    found = []
    for row, true in zip(logits.tolist(), labels.tolist(), strict=True):
        drawn_for_any = sum(1 / n for n, y in zip(COUNTS, true, strict=True) if y)
        losses = []
        for z, y, n in zip(row, true, COUNTS, strict=True):
            weight = 0.1 + sigmoid(10 * (1 / n / drawn_for_any - gamma))
            bias = 0.05 / scale * math.log(100 / n - 1)
            p = sigmoid(z - bias) if y else sigmoid(-scale * (z - bias))
            losses.append(2 * weight * (1 if y else 1 / scale) * (1 - p) ** 2 * -math.log(p))
        found.append(float(np.mean(losses)))
    return found


@pytest.mark.parametrize(("gamma", "scale"), [(0.2, 2.0), (0.3, 5.0)])
def test_distribution_balanced_by_its_formula(gamma: float, scale: float) -> None:
    logits, labels = drawn()
    chosen = settings.Loss("distribution-balanced", map_gamma=gamma, neg_scale=scale)
    ours = make_loss(chosen, often(*COUNTS))(logits, labels)
    theirs = distribution_balanced_of(logits, labels, gamma, scale)
    torch.testing.assert_close(ours, torch.tensor(theirs), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("beta", [0.9, 0.999, 0.9999])
def test_class_balanced_by_its_formula(beta: float) -> None:
    logits, labels = drawn()
    ours = make_loss(settings.Loss("class-balanced", beta=beta), often(*COUNTS))(logits, labels)
    effective = [sum(beta**k for k in range(n)) for n in COUNTS]  # 1 + b + b^2 + ...
    weights = torch.tensor([1 / e for e in effective])
    weights *= len(COUNTS) / weights.sum()
    p = torch.sigmoid(logits)
    theirs = -(weights * (labels * p.log() + (1 - labels) * (1 - p).log())).mean(dim=1)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_classes_that_are_equally_frequent_weigh_as_in_cross_entropy() -> None:
    logits, labels = drawn()
    ours = make_loss(settings.Loss("class-balanced"), often(8, 8, 8, 8))(logits, labels)
    torch.testing.assert_close(ours, binary_cross_entropy(logits, labels))


@pytest.mark.parametrize("name", ["class-balanced", "distribution-balanced"])
def test_classes_of_no_and_of_all_clips_are_finite(name: Any) -> None:
    logits = torch.tensor([[80.0, -80.0, 0.0], [-80.0, 80.0, 0.0]], requires_grad=True)
    labels = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])  # of a clip without labels too
    loss = make_loss(settings.Loss(name), often(100, 0, 3))(logits, labels).sum()
    (gradient,) = torch.autograd.grad(loss, logits)
    assert torch.isfinite(gradient).all()
    assert class_balanced_weights(often(100, 0, 3), 0.99)[1] == 1


def test_the_frequency_is_that_of_the_labels() -> None:
    labels = np.array([[1, 0, 1], [1, 0, 0]], np.uint8)
    found = Frequency.of(labels, torch.device("cpu"))
    assert (found.clips.tolist(), found.total) == ([2, 0, 1], 2)


def test_a_balanced_loss_without_the_frequency_is_refused() -> None:
    with pytest.raises(TrainError, match="how often each class is"):
        make_loss(settings.Loss("class-balanced"))
