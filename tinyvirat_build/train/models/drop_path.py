"""Residual branches that are left out in training, of our networks and of others'."""

from __future__ import annotations

from torch import Tensor, nn


class DropPath(nn.Module):
    """Leaves out a residual branch of a clip with ``drop_prob``, in training; the rest is scaled.

    Stochastic depth, Huang et al. (ECCV 2016); a branch that is kept is divided by its chance.
    """

    def __init__(self, drop_prob: float = 0.0) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, y: Tensor) -> Tensor:
        """(B, …) -> (B, …)."""
        if not self.training or not self.drop_prob:
            return y
        kept = y.new_empty((len(y), *[1] * (y.ndim - 1))).bernoulli_(1 - self.drop_prob)
        return y * kept / (1 - self.drop_prob)


def set_drop_path(model: nn.Module, rate: float) -> int:
    """Let the network's branches be left out ever more often, the last with ``rate``; their number.

    Branches are modules whose class is called ``…DropPath``, as in timm and transformers too.

    >>> branches = nn.Sequential(DropPath(), DropPath())
    >>> set_drop_path(branches, 0.2), [branch.drop_prob for branch in branches]
    (2, [0.1, 0.2])
    """
    branches = [m for m in model.modules() if type(m).__name__.endswith("DropPath")]
    for n, branch in enumerate(branches, 1):
        setattr(branch, "drop_prob", rate * n / len(branches))  # noqa: B010 -- of any class
    return len(branches)
