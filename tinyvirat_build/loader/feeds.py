"""Feeds: how a planned batch becomes a tensor on its device. This one is the CPU's."""

from __future__ import annotations

import weakref
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from tinyvirat_build.geometry.arrays import Bytes, Ints
from tinyvirat_build.loader import fused_cpu
from tinyvirat_build.loader.batches import Plan, Planner
from tinyvirat_build.pack.read import Pack

Batch = tuple[torch.Tensor, torch.Tensor, list[str]]


class Feed(Protocol):
    """Prepares batches, in a background thread, and hands them to the thread that trains."""

    def prepare(self, plan: Plan) -> Any:
        """Begin a batch; called in a background thread."""

    def finish(self, prepared: Any) -> Batch:
        """A prepared batch, ready for the calling thread's stream."""


class BufferPool:
    """Large arrays that are handed out again once nobody refers to them any more.

    A fresh array of 150 MB costs more in page faults than filling it does. An array belongs to
    its receiver for as long as it, or a tensor made from it, is alive.
    """

    def __init__(self, kept: int = 8) -> None:
        self._kept = kept  # arrays that wait to be handed out again, at most
        # No lock: an array may come back in the middle of any statement, when a cycle is collected.
        self._free: deque[Bytes] = deque()

    def take(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """An uninitialised array."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        block = self._waiting(size)
        if block is None:
            block = np.empty(size, np.uint8)
        array = block[:size].view(dtype).reshape(shape)
        handed = np.asarray(array.data)
        weakref.finalize(handed, self._give_back, block).atexit = False
        return handed

    def _waiting(self, size: int) -> Bytes | None:
        """A free block of at least so many bytes; smaller ones that stand before it are dropped."""
        while True:
            try:
                block = self._free.popleft()
            except IndexError:
                return None
            if len(block) >= size:
                return block

    def _give_back(self, block: Bytes) -> None:
        if len(self._free) < self._kept:  # more come back after a list of a whole epoch, say
            self._free.append(block)


@dataclass(frozen=True, slots=True)
class RaggedBatch:
    """Frames of a batch as they lie in the pack, untransformed.

    ``data`` is flat uint8; frame t of clip b begins at ``places[b, t]`` and is Y, U, V of
    ``geometry[b, :2]`` = height, width. ``labels`` is ``(B, C)``.
    """

    data: torch.Tensor
    places: Ints
    geometry: npt.NDArray[np.int32]
    labels: torch.Tensor
    ids: list[str]


class CpuFeed:
    """Batches in host memory, straight from the mapped shards or from a copy of the split."""

    def __init__(
        self,
        planner: Planner,
        clips: Ints,
        size: int,
        *,
        resident: bool,
        dtype: torch.dtype,
        channels_last: bool = False,
        workers: int = 1,
    ) -> None:
        self.planner = planner
        self.size, self.dtype, self.channels_last = size, dtype, channels_last
        self._pool = BufferPool(workers + 2)  # those prepared ahead, and one in use
        self._address, self._held = _clip_addresses(planner.pack, clips, resident)

    def frame_addresses(self, plan: Plan) -> Ints:
        """Memory address of every frame, ``(B, T)``."""
        found: Ints = self._address[plan.clips][:, None] + plan.frames * plan.frame_bytes[:, None]
        return found

    def prepare(self, plan: Plan) -> Batch:
        """The whole batch."""
        # What is mixed is rounded afterwards; float16 is rounded from float32 as well.
        half = self.dtype == torch.bfloat16 and not len(plan.mixup)
        count, area = len(plan.ids), (plan.frames.shape[1], self.size, self.size)
        shape = (count, *area, 3) if self.channels_last else (count, 3, *area)
        out = self._pool.take(shape, np.int16 if half else np.float32)
        fused_cpu.fused(
            self.frame_addresses(plan),
            plan.geometry,
            plan.box,
            plan.flip,
            plan.matrix,
            self.planner.low,
            self.planner.high,
            out,
            channels_last=self.channels_last,
        )
        if len(plan.mixup):
            fused_cpu.mix(out.reshape(len(out), -1), plan.mixup)
        clips = torch.from_numpy(out)
        clips = clips.view(torch.bfloat16) if half else clips.to(self.dtype)
        clips = clips.movedim(-1, 1) if self.channels_last else clips
        return clips, torch.from_numpy(plan.labels), plan.ids

    def finish(self, prepared: Batch) -> Batch:
        """Nothing is left to do."""
        return prepared

    def ragged(self, plan: Plan) -> RaggedBatch:
        """The batch's own bytes, each frame once, and the clips' own labels: none is mirrored."""
        size = int((plan.frame_bytes * plan.frames.shape[1]).sum())
        data = self._pool.take((size,), np.uint8)
        places = np.empty_like(plan.frames)
        addresses = self.frame_addresses(plan)
        end = fused_cpu.gather(addresses, plan.frames, plan.frame_bytes, 0, data, places)
        labels = torch.from_numpy(self.planner.pack.labels[plan.clips].astype(np.float32))
        return RaggedBatch(torch.from_numpy(data)[:end], places, plan.geometry, labels, plan.ids)


def _clip_addresses(pack: Pack, clips: Ints, resident: bool) -> tuple[Ints, Any]:
    """Address of each clip's first byte, by position in the pack, and what must stay alive."""
    addresses = np.zeros(len(pack), np.int64)
    if not resident:
        addresses[clips] = pack.addresses(clips)
        return addresses, pack
    data, starts = load_clips(pack, clips)
    addresses[clips] = data.ctypes.data + starts
    return addresses, data


def load_clips(pack: Pack, clips: Ints) -> tuple[Bytes, Ints]:
    """All bytes of some clips end to end, and where each begins."""
    sizes = pack.nbytes[clips]
    data = np.empty(int(sizes.sum()), np.uint8)
    gather_clips(pack, clips, data)
    return data, np.cumsum(sizes) - sizes


def gather_clips(pack: Pack, clips: Ints, out: Bytes) -> None:
    """Copy all bytes of some clips end to end into ``out``."""
    one = np.zeros((len(clips), 1), np.int64)
    addresses = pack.addresses(clips)[:, None]
    fused_cpu.gather(addresses, one, pack.nbytes[clips], 0, out, one.copy())
