"""Distillation: a student learns what finished runs say of the very clips that it sees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 -- the field's own name
from torch import Tensor

from tinyvirat_build.errors import TrainError
from tinyvirat_build.store import digest
from tinyvirat_build.train.runs import Run, open_run


class Teacher:
    """Finished runs as one function: clips (B, 3, T, H, W) -> their mean logits (B, C).

    The student's own clips, varied and mixed as it sees them, are scaled to the frames and the
    size of each run: a teacher that sees another crop teaches worse (Beyer et al., CVPR 2022).
    """

    def __init__(self, runs: Sequence[Run], device: torch.device) -> None:
        self._parts = [
            (run.model().to(device).requires_grad_(requires_grad=False), run.settings.clip_shape)
            for run in runs
        ]

    @torch.no_grad()
    def __call__(self, clips: Tensor) -> Tensor:
        """The mean over the runs."""
        said = [model(_scaled(clips, frames, size)) for model, (frames, size) in self._parts]
        return torch.stack([logits.float() for logits in said]).mean(dim=0)


def _scaled(clips: Tensor, frames: int, size: int) -> Tensor:
    shape = (frames, size, size)
    if tuple(clips.shape[2:]) == shape:
        return clips
    return F.interpolate(clips, shape, mode="trilinear", align_corners=False)


def open_teachers(folders: Sequence[Path], classes: Sequence[str]) -> tuple[list[Run], str]:
    """The runs in ``folders``, and a checksum of their weights that is empty without any.

    Raises:
        TrainError: not a run, not trained to a checkpoint, or one of other classes.
    """
    runs = [open_run(folder) for folder in folders]
    for run in runs:
        if run.classes != tuple(classes):
            raise TrainError(f"{run.folder}: a teacher of other classes than the build has")
    return runs, digest(*(run.origin()["sha256"] for run in runs)) if runs else ""
