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
from tinyvirat_build.train.settings import TrainSettings


class Teacher:
    """Finished runs as one function: clips (B, 3, T, H, W) -> their mean logits (B, C).

    The student's own clips, varied and mixed as it sees them, are scaled to the frames and the
    size of each run, and normalised as it knows them: a teacher that sees another crop teaches
    worse (Beyer et al., CVPR 2022).
    """

    def __init__(self, runs: Sequence[Run], device: torch.device, student: TrainSettings) -> None:
        self._parts = [
            (run.model().to(device).requires_grad_(requires_grad=False), run.settings.clip_shape)
            for run in runs
        ]
        mean, std = _normalisation(student, device)
        # What a teacher sees is the student's normalised pixel times a factor, plus an offset.
        self._colours: list[tuple[Tensor, Tensor] | None] = []
        for run in runs:
            own_mean, own_std = _normalisation(run.settings, device)
            same = run.settings.normalisation == student.normalisation
            self._colours.append(None if same else (std / own_std, (mean - own_mean) / own_std))

    @torch.no_grad()
    def __call__(self, clips: Tensor) -> Tensor:
        """The mean over the runs."""
        said = []
        for (model, (frames, size)), colours in zip(self._parts, self._colours, strict=True):
            seen = _scaled(clips, frames, size)
            said.append(model(seen if colours is None else seen * colours[0] + colours[1]))
        return torch.stack([logits.float() for logits in said]).mean(dim=0)


def _normalisation(s: TrainSettings, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the channels, each (3, 1, 1, 1)."""
    mean, std = (torch.tensor(v, device=device).view(3, 1, 1, 1) for v in s.normalisation)
    return mean, std


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
