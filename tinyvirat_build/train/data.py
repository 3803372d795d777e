"""The runner's loaders over the pack of a build."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import torch

from tinyvirat_build.errors import TrainError
from tinyvirat_build.loader.loader import ClipLoader
from tinyvirat_build.loader.ranks import Ranks
from tinyvirat_build.pack.read import Pack, open_pack
from tinyvirat_build.train.settings import TrainSettings

# What the first layer computes in: a batch comes so from the loader, and is cast no more.
_DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16}


def dense_loader(
    settings: TrainSettings,
    pack: Pack,
    split: str,
    device: torch.device,
    ranks: Ranks | None = None,
    *,
    mode: Literal["auto", "stream", "resident"] = "stream",
) -> ClipLoader:
    """All windows of all clips of a split, unvaried; each rank its share.

    Where training sees frames of the whole clip, so does this: the middles of its segments.
    """
    ranks = ranks or Ranks()
    frames, size = settings.clip_shape
    mean, std = settings.normalisation
    whole = settings.data.temporal in ("uniform", "segments")
    return ClipLoader(
        pack,
        split,
        frames,
        settings.data.stride,
        size,
        batch_size=max(settings.batch // ranks.world_size, 1),
        device=device,
        mode=mode,
        rank=ranks.rank,
        world_size=ranks.world_size,
        dtype=_DTYPES[settings.precision],
        channels_last=settings.channels_last,
        workers=settings.data.workers,
        temporal="uniform" if whole else "dense",
        short=settings.data.short,
        training=False,
        mean=mean,
        std=std,
    )


def make_loaders(
    settings: TrainSettings, build: Path | Pack, device: torch.device, ranks: Ranks
) -> tuple[ClipLoader, ClipLoader | None]:
    """The loader of the training clips, and that of val's windows where val has clips.

    ``build`` is the folder of a build or of a pack, or a pack that is open already.

    Raises:
        TrainError: the build has no training clips.
        SettingsError: some of them have no labels, or they are fewer than a batch.
    """
    pack = build if isinstance(build, Pack) else open_pack(build)
    here = set(pack.split.tolist())
    if "train" not in here:
        raise TrainError(f"{pack.root}: no training clips; choose a build with a train split")
    frames, size = settings.clip_shape
    mean, std = settings.normalisation
    train_loader = ClipLoader(
        pack,
        "train",
        frames,
        settings.data.stride,
        size,
        batch_size=settings.batch // ranks.world_size,
        device=device,
        mode=settings.data.mode,
        augment=settings.augment if settings.data.augment else None,
        sampler=settings.data.sampler,
        drop_short=settings.data.drop_short,
        seed=settings.seed,
        rank=ranks.rank,
        world_size=ranks.world_size,
        dtype=_DTYPES[settings.precision],
        channels_last=settings.channels_last,
        workers=settings.data.workers,
        temporal=settings.data.temporal,
        short=settings.data.short,
        training=True,
        mean=mean,
        std=std,
    )
    val = dense_loader(settings, pack, "val", device, ranks) if "val" in here else None
    return train_loader, val
