"""A plain map-style dataset over the mp4 files of a TinyVIRAT tree, for ``DataLoader``.

It decodes a clip each time it is asked for; ``ClipLoader`` over a pack is many times faster.
"""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from torch.utils.data import Dataset

from tinyvirat_build.errors import DataError, SettingsError, VideoError
from tinyvirat_build.loader.augment import IMAGENET_MEAN, IMAGENET_STD, check_normalisation
from tinyvirat_build.loader.sampling import (
    Short,
    Temporal,
    check_sampling,
    frame_indices,
    start_draws,
)
from tinyvirat_build.released.read import Tree, TreeClip, read_labels, read_tree

Backend = Literal["auto", "torchcodec", "pyav"]
Sample = tuple[torch.Tensor, torch.Tensor, str]
Choose = Callable[[int], list[int]]
"""From the number of frames that a file has to the frames that are wanted."""


class TinyVideoDataset(Dataset[Sample]):
    """Clips of one split as ``(clip (3, T, size, size), labels (C,), id)``.

    The clip is RGB, scaled with antialiasing and normalised, unless ``transform`` is given: that
    gets the frames as uint8 ``(T, 3, h, w)`` and its result takes the clip's place. Short clips
    are looped or padded, never dropped. Labels are float32.

    Args:
        root: a tree in the layout of v1 or v2 (see ``released.read``).
        split: train, val or test.
        frames, stride, temporal, short: see ``sampling.frame_indices``; ``temporal`` is random
            for train, else center, where it is not given. Dense windows need ``ClipLoader``.
        size: pixels.
        transform: instead of scaling and normalisation.
        backend: ``torchcodec`` where it loads, else ``pyav``; or one of them.
        seed: of random starts, with the epoch (:meth:`set_epoch`).
        mean, std: of the normalisation, per channel, in 0..1.
        truth: rows with the labels that the split's own rows withhold, as in truth/test.json of
            a build; False where only clips are wanted: labels that are withheld are NaN then.

    Raises:
        DataError: no such tree or split, or labels that are withheld and not in ``truth``.
        SettingsError: an argument out of its range, or torchcodec asked for and not loadable.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        frames: int = 16,
        stride: int = 1,
        size: int = 112,
        *,
        temporal: Literal["random", "center", "uniform", "segments"] | None = None,
        short: Short = "loop",
        transform: Callable[[torch.Tensor], Any] | None = None,
        backend: Backend = "auto",
        seed: int = 0,
        mean: tuple[float, ...] = IMAGENET_MEAN,
        std: tuple[float, ...] = IMAGENET_STD,
        truth: str | Path | Literal[False] | None = None,
    ) -> None:
        check_sampling(frames, stride, size, temporal, short, dense=False)
        check_normalisation(mean, std)
        tree = read_tree(root)
        self.classes = tree.classes
        self.clips: list[TreeClip] = [c for c in tree.clips if c.split == split]
        if not self.clips:
            has = ", ".join(sorted({c.split for c in tree.clips})) or "none"
            raise DataError(f"{tree.root}: no clip of split {split!r}; splits in it: {has}")
        if truth is not False:
            self.clips = _labelled(self.clips, tree, truth)
        self.frames, self.stride, self.size = frames, stride, size
        self.temporal: Temporal = temporal or ("random" if split == "train" else "center")
        self.short, self.transform, self.seed = short, transform, seed
        self._epoch = _shared(0)
        self.backend = _resolve(backend)
        self._mean = torch.tensor(mean).view(3, 1, 1)
        self._std = torch.tensor(std).view(3, 1, 1)
        self._position = {c: i for i, c in enumerate(tree.classes)}

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def epoch(self) -> int:
        """The epoch that random starts are drawn for."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that random starts are drawn for, in a DataLoader's workers too.

        Between two iterations: samples that are prepared meanwhile may be of either epoch.
        """
        self._epoch.fill_(operator.index(epoch))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Share the epoch of a copy with the copy's own workers."""
        self.__dict__.update(state)
        if not self._epoch.is_shared():  # type: ignore[no-untyped-call]
            self._epoch = _shared(self.epoch)

    def __getitem__(self, item: int) -> Sample:
        """One clip, decoded now.

        Raises:
            VideoError: no frame of the file decodes.
        """
        item = range(len(self.clips))[item]  # from the end where it is negative
        clip = self.clips[item]
        pictures = _DECODERS[self.backend](clip.path, lambda n: self._choose(item, n))
        if clip.labels is None:
            labels = torch.full((len(self.classes),), torch.nan)
        else:
            labels = torch.zeros(len(self.classes))
            labels[[self._position[name] for name in clip.labels]] = 1
        return self._finish(pictures), labels, clip.id

    def _choose(self, item: int, count: int) -> list[int]:
        draws = start_draws(self.temporal, self.frames, self.seed, self.epoch, [item])
        found: list[int] = frame_indices(
            np.array([count], np.int64),
            self.frames,
            self.stride,
            temporal=self.temporal,
            short=self.short,
            draws=draws,
        )[0].tolist()
        return found

    def _finish(self, pictures: torch.Tensor) -> Any:
        if self.transform is not None:
            return self.transform(pictures)
        scaled = torch.nn.functional.interpolate(
            pictures.float().div_(255),
            (self.size, self.size),
            mode="bilinear",
            antialias=True,
        )
        return scaled.sub_(self._mean).div_(self._std).transpose(0, 1)


def _labelled(clips: list[TreeClip], tree: Tree, truth: str | Path | None) -> list[TreeClip]:
    """The clips with labels, those that are withheld from ``truth``."""
    known = {} if truth is None else read_labels(Path(truth), tree.classes)
    found = [c if c.labels is not None else replace(c, labels=known.get(c.id)) for c in clips]
    if lacking := [c.id for c in found if c.labels is None]:
        raise DataError(
            f"{truth or tree.root}: no labels of {len(lacking):,} {clips[0].split} clips, the "
            f"first {lacking[0]}; give truth=FILE (truth/test.json of the build), or truth=False "
            "for clips alone"
        )
    return found


def _shared(value: int) -> torch.Tensor:
    """An integer that worker processes see change, where the system shares memory at all."""
    with torch.inference_mode(False):
        tensor = torch.full((), value, dtype=torch.int64, device="cpu")
    with contextlib.suppress(RuntimeError, OSError):
        tensor.share_memory_()  # type: ignore[no-untyped-call]
    return tensor


def _decode_torchcodec(path: Path, choose: Choose) -> torch.Tensor:
    from torchcodec.decoders import VideoDecoder  # type: ignore[attr-defined]

    try:
        decoder = VideoDecoder(str(path), seek_mode="exact", num_ffmpeg_threads=1)
        count = decoder.metadata.num_frames
        if not count:
            raise VideoError("no_frames", f"{path} has no frame that decodes; leave it out")
        frames: torch.Tensor = decoder.get_frames_at(choose(count)).data
    except (RuntimeError, ValueError) as e:
        raise VideoError("decode_error", f"{path}: {str(e).splitlines()[0]}; leave it out") from e
    return frames


def _decode_pyav(path: Path, choose: Choose) -> torch.Tensor:
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            stream.codec_context.flags |= av.codec.context.Flags.bitexact  # MPEG-4, exactly
            pictures = [f.to_ndarray(format="rgb24") for f in container.decode(stream)]
    except (av.error.FFmpegError, IndexError) as e:
        raise VideoError("decode_error", f"{path}: {e}; leave it out") from e
    if not pictures:
        raise VideoError("no_frames", f"{path} has no frame that decodes; leave it out")
    wanted = np.stack([pictures[i] for i in choose(len(pictures))])
    return torch.from_numpy(wanted).permute(0, 3, 1, 2)


_DECODERS: Final[dict[str, Callable[[Path, Choose], torch.Tensor]]] = {
    "torchcodec": _decode_torchcodec,
    "pyav": _decode_pyav,
}


@cache
def torchcodec_error() -> str:
    """Why torchcodec does not load, or nothing; it needs FFmpeg's libraries on the machine."""
    try:
        import torchcodec.decoders  # noqa: F401
    except (ImportError, RuntimeError, OSError) as e:
        return str(e).splitlines()[0]
    return ""


def _resolve(backend: Backend) -> str:
    if backend == "auto":
        return "pyav" if torchcodec_error() else "torchcodec"
    if backend not in _DECODERS:
        raise SettingsError(f"no backend {backend!r}; auto, torchcodec or pyav")
    if backend == "torchcodec" and (why := torchcodec_error()):
        raise SettingsError(
            f"torchcodec does not load ({why}); install FFmpeg's libraries or use backend pyav"
        )
    return backend
