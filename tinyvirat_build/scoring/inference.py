"""Scores of clips: every window of every clip through a model, one row a clip."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from tinyvirat_build.geometry.arrays import Bools, Floats
from tinyvirat_build.loader.mirror import mirror_classes
from tinyvirat_build.loader.ranks import Ranks
from tinyvirat_build.scoring.truth import id_order

Batches = Iterable[tuple[Tensor, Tensor, Sequence[str]]]
Reduce = Literal["max", "mean"]


@dataclass(frozen=True, slots=True, eq=False)
class ClipScores:
    """Clips in ascending order of id: scores (N, C) in [0, 1] and labels (N, C)."""

    ids: tuple[str, ...]
    scores: Floats
    labels: Bools


def reduce_windows(
    ids: Sequence[str],
    scores: Floats,
    labels: Bools,
    reduce: Reduce,
) -> ClipScores:
    """One row a clip from one row a window, by the maximum or the mean; ids repeat in any order."""
    names = sorted(set(ids), key=id_order)
    place = {name: i for i, name in enumerate(names)}
    of_window = np.array([place[i] for i in ids], np.int64)
    shape = (len(names), scores.shape[1])
    clip_labels = np.zeros(shape, bool)
    clip_labels[of_window] = labels
    if reduce == "max":
        clip_scores = np.full(shape, -np.inf)
        np.maximum.at(clip_scores, of_window, scores)
    else:
        clip_scores = np.zeros(shape)
        np.add.at(clip_scores, of_window, scores)
        clip_scores /= np.bincount(of_window, minlength=len(names))[:, None]
    return ClipScores(tuple(names), clip_scores, clip_labels)


@torch.inference_mode()
def score_clips(
    model: nn.Module,
    batches: Batches,
    classes: Sequence[str],
    *,
    device: torch.device,
    precision: Literal["fp32", "bf16"] = "fp32",
    channels_last: bool = False,
    flips: bool = False,
    reduce: Reduce = "max",
    ranks: Ranks | None = None,
) -> ClipScores:
    """Sigmoid scores of all clips in ``batches``; windows of a clip repeat its id.

    ``flips`` averages each window with its mirror image, whose left and right classes change
    places; a class with a side whose other side is no class keeps the window's own score. With
    ``ranks``, each process scores its own share and all get the whole.
    """
    training = model.training
    model.eval()
    mirror = torch.from_numpy(mirror_classes(classes)).to(device)
    alone = mirror < 0
    ids: list[str] = []
    kept: list[Tensor] = []
    truth: list[Tensor] = []
    for clips, labels, names in batches:
        x = clips.to(device, non_blocking=True)
        if channels_last:
            x = x.contiguous(memory_format=torch.channels_last_3d)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            scores = torch.sigmoid(model(x).float())
            if flips:
                mirrored = torch.sigmoid(model(x.flip(-1)).float())
                both = (scores + mirrored.index_select(1, mirror.clamp(min=0))) / 2
                scores = torch.where(alone, scores, both)
        ids += names
        kept.append(scores)
        truth.append(labels)
    model.train(training)
    empty = torch.zeros(0, len(classes))
    own = (
        ids,
        torch.cat(kept).cpu().double().numpy() if kept else empty.double().numpy(),
        torch.cat(truth).cpu().numpy() > 0.5 if truth else empty.numpy() > 0.5,
    )
    parts = ranks.gather(own) if ranks else [own]
    return reduce_windows(
        [name for part in parts for name in part[0]],
        np.concatenate([part[1] for part in parts]),
        np.concatenate([part[2] for part in parts]),
        reduce,
    )
