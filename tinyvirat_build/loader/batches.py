"""What a batch is made of, before any pixel is read: clips, frames, boxes, colours, labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tinyvirat_build.geometry.arrays import Bytes, Floats, Ints
from tinyvirat_build.geometry.planes import frame_bytes
from tinyvirat_build.loader import augment as aug
from tinyvirat_build.loader import fused_cpu
from tinyvirat_build.loader.augment import Augment
from tinyvirat_build.loader.mirror import mirror_classes
from tinyvirat_build.loader.sampling import (
    JITTER,
    Short,
    Temporal,
    dense_windows,
    frame_indices,
    purposes,
    start_draws,
    uniform,
)
from tinyvirat_build.pack.read import Pack


@dataclass(frozen=True, slots=True)
class Plan:
    """One batch of B clips with T frames each.

    ``geometry``, ``box``, ``flip`` and ``matrix`` are as in ``fused_cpu.fused``; ``clips`` are
    positions in the pack, ``frames`` ``(B, T)`` frame numbers in the clips; ``mixup`` ``(B / 2,)``
    is empty where nothing is mixed. ``labels`` ``(B, C)`` are mirrored and mixed already.
    """

    clips: Ints
    frames: Ints
    frame_bytes: Ints
    geometry: npt.NDArray[np.int32]
    box: npt.NDArray[np.float32]
    flip: Bytes
    matrix: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]
    mixup: npt.NDArray[np.float32]
    ids: list[str]


class Planner:
    """Plans batches of one split: the same (epoch, positions) always gives the same plan."""

    def __init__(
        self,
        pack: Pack,
        clips: Ints,
        *,
        frames: int,
        stride: int,
        temporal: Temporal,
        short: Short,
        augment: Augment | None,
        seed: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> None:
        self.pack = pack
        self.frames, self.stride = frames, stride
        self.temporal, self.short = temporal, short
        self.augment = augment or aug.NONE
        self.seed = seed
        self._clip = clips
        self._first: Ints | None = None
        if temporal == "dense":
            which, self._first = dense_windows(pack.frames[clips], frames, stride)
            self._clip = clips[which]
        self.low, self.high, self._normalise = _normalisation(mean, std)
        pairs = sorted(set(zip(pack.matrix, pack.range, strict=True)))
        self._to_rgb = np.stack([aug.yuv_to_rgb(*pair) for pair in pairs])
        of_pair = {pair: i for i, pair in enumerate(pairs)}
        self._colour = np.array(
            [of_pair[pair] for pair in zip(pack.matrix, pack.range, strict=True)], np.int64
        )
        self._geometry = np.stack(
            [pack.height, pack.width, pack.dy, pack.dx, pack.inner_height, pack.inner_width], 1
        ).astype(np.int32)
        mirror = mirror_classes(pack.classes)
        self._one_sided = mirror < 0
        self._mirror = np.where(self._one_sided, np.arange(len(mirror)), mirror)
        self._frame_bytes: Ints = frame_bytes(pack.height, pack.width)

    def __len__(self) -> int:
        """Items: clips, or windows where sampling is dense."""
        return len(self._clip)

    @property
    def labels(self) -> Bytes:
        """Labels of the items, ``(N, C)``."""
        return self.pack.labels[self._clip]

    def plan(self, epoch: int, positions: Ints, items: Ints) -> Plan:
        """Plan the batch of ``items`` that stand at ``positions`` of the epoch's order."""
        augment, seed = self.augment, self.seed
        clips = self._clip[items]
        lengths = self.pack.frames[clips]
        jitter = None
        if augment.jitter:
            draws = uniform(seed, epoch, positions, purposes(JITTER, self.frames))
            jitter = (draws * (2 * augment.jitter + 1)).astype(np.int64) - augment.jitter
        frames = frame_indices(
            lengths,
            self.frames,
            self.stride,
            temporal=self.temporal,
            short=self.short,
            first=None if self._first is None else self._first[items],
            draws=start_draws(self.temporal, self.frames, seed, epoch, positions),
            jitter=jitter,
        )
        geometry = self._geometry[clips]
        heights, widths = geometry[:, 4].astype(np.float64), geometry[:, 5].astype(np.float64)
        box, flip = aug.crop_boxes(augment, seed, epoch, positions, heights, widths)
        colour = aug.colour_matrices(aug.draw_colour(augment, seed, epoch, positions))
        matrix = self._normalise @ colour @ self._to_rgb[self._colour[clips]]
        labels = self.pack.labels[clips].astype(np.float32)
        # A mirrored left turn is a right turn; where that is no class, it is not mirrored.
        flip[(labels[:, self._one_sided] > 0).any(axis=1)] = 0
        labels = np.where(flip[:, None] > 0, labels[:, self._mirror], labels)
        mixup = np.empty(0, np.float32)
        if augment.mixup:
            weights = aug.mixup_weights(augment, seed, epoch, positions[0::2] // 2)
            mixup = weights.astype(np.float32)
            fused_cpu.mix(labels, mixup)
        return Plan(
            clips=clips,
            frames=frames,
            frame_bytes=self._frame_bytes[clips],
            geometry=geometry,
            box=box,
            flip=flip,
            matrix=np.ascontiguousarray(matrix[:, :3], np.float32),
            labels=labels,
            mixup=mixup,
            ids=self.pack.id[clips].tolist(),
        )


def _normalisation(
    mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], Floats]:
    """What 0 and 1 become, and the normalisation as a matrix on ``(R, G, B, 1)``."""
    means, stds = np.array(mean, np.float64), np.array(std, np.float64)
    matrix = np.eye(4)
    matrix[range(3), range(3)] = 1 / stds
    matrix[:3, 3] = -means / stds
    return (-means / stds).astype(np.float32), ((1 - means) / stds).astype(np.float32), matrix
