"""The feed for CUDA: one copy and one launch a batch, on a stream beside the one that trains.

A background thread gathers the batch's own bytes and a small table into pinned memory, from a
ring that is allocated once. One asynchronous copy moves them; the fused kernel follows on the
same stream; an event tells the training stream when the batch is there. The host waits only for
a ring slot whose copy is a whole round old. Several threads gather at once, each into a slot of
its own, so that storage far away is asked for several batches at a time. With ``resident`` the
frames are on the device already and only the table moves.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch

from tinyvirat_build.errors import SettingsError
from tinyvirat_build.geometry.arrays import Bytes, Ints
from tinyvirat_build.loader import fused_cpu
from tinyvirat_build.loader.batches import Plan, Planner
from tinyvirat_build.loader.feeds import Batch, gather_clips
from tinyvirat_build.pack.read import Pack
from tinyvirat_build.store.compiler import lacking_to_compile

try:
    from tinyvirat_build.loader import fused_triton
except ImportError as e:
    raise SettingsError(
        "the loader on CUDA needs triton, which is not installed; pip install triton"
    ) from e

_BESIDE = 2  # slots beside those that are filled: one copied, one in use by the kernel
_ALIGN = 16  # bytes
BLOCK = 64 << 20  # bytes; of a split that is copied to the device whole


def free_bytes(device: torch.device) -> int:
    """The device's free memory, with what PyTorch holds of it without using it."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def copy_split(pack: Pack, clips: Ints, device: torch.device) -> tuple[torch.Tensor, Ints]:
    """All bytes of some clips end to end on the device, and where each begins.

    They go through two pinned blocks: one is filled while the other is copied.
    """
    sizes = pack.nbytes[clips]
    ends = np.cumsum(sizes)
    starts: Ints = ends - sizes
    data = torch.empty(int(ends[-1]), dtype=torch.uint8, device=device)
    room = min(max(BLOCK, int(sizes.max())), len(data))
    blocks = [(pinned_bytes(room), _event()) for _ in range(2)]
    stream = torch.cuda.current_stream(device)
    first = turn = 0
    while first < len(clips):
        last = int(np.searchsorted(ends, starts[first] + room, "right"))
        pinned, copied = blocks[turn % 2]
        copied.synchronize()
        begin, end = int(starts[first]), int(ends[last - 1])
        gather_clips(pack, clips[first:last], pinned.numpy()[: end - begin])
        data[begin:end].copy_(pinned[: end - begin], non_blocking=True)
        copied.record(stream)
        first, turn = last, turn + 1
    return data, starts


@dataclass(frozen=True, slots=True)
class Table:
    """Where the parts of a batch lie in its buffer: the table first, then the frames."""

    clips: int
    frames: int
    classes: int
    pairs: int

    def sections(self) -> dict[str, tuple[int, tuple[int, ...], type[np.generic]]]:
        """Name to offset, shape and type."""
        parts: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
            "places": ((self.clips, self.frames), np.int64),
            "ints": ((self.clips, fused_triton.INTS), np.int32),
            "floats": ((self.clips, fused_triton.FLOATS), np.float32),
            "labels": ((self.clips, self.classes), np.float32),
            "mixup": ((self.pairs,), np.float32),
        }
        found, end = {}, 0
        for name, (shape, kind) in parts.items():
            found[name] = end, shape, kind
            end = _aligned(end + int(np.prod(shape)) * np.dtype(kind).itemsize)
        found["data"] = end, (0,), np.uint8
        return found

    @property
    def nbytes(self) -> int:
        """Where the frames begin."""
        return self.sections()["data"][0]


def _aligned(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


def fill(host: Bytes, table: Table, plan: Plan, addresses: Ints | None, places: Ints) -> int:
    """Write a batch into ``host``; returns its bytes.

    With ``addresses`` ``(B, T)`` the frames are gathered behind the table; without, they are on
    the device and ``places`` says where.
    """
    views = {
        name: host[at : at + int(np.prod(shape)) * np.dtype(kind).itemsize]
        .view(kind)
        .reshape(shape)
        for name, (at, shape, kind) in table.sections().items()
    }
    views["ints"][:, :6] = plan.geometry
    views["ints"][:, 6] = plan.flip
    views["floats"][:, :4] = plan.box
    views["floats"][:, 4:] = plan.matrix.reshape(-1, 12)
    views["labels"][:] = plan.labels
    views["mixup"][:] = plan.mixup
    if addresses is None:
        views["places"][:] = places
        return table.nbytes
    return fused_cpu.gather(
        addresses, plan.frames, plan.frame_bytes, table.nbytes, host, views["places"]
    )


def launch(
    buffer: torch.Tensor,
    data: torch.Tensor,
    table: Table,
    low_high: torch.Tensor,
    size: int,
    dtype: torch.dtype,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Clips and labels of the batch that lies in ``buffer``, on the current stream."""
    views = {}
    for name, (at, shape, kind) in table.sections().items():
        end = at + int(np.prod(shape)) * np.dtype(kind).itemsize
        views[name] = buffer[at:end].view(_TORCH[kind]).view(shape)
    shape = (table.clips, 3, table.frames, size, size)
    clips = torch.empty(shape, dtype=dtype, device=buffer.device, memory_format=memory_format)
    fused_triton.fused(
        data, views["places"], views["ints"], views["floats"], low_high, views["mixup"], clips
    )
    return clips, views["labels"].clone()  # the buffer is used again


_TORCH = {
    np.int64: torch.int64,
    np.int32: torch.int32,
    np.float32: torch.float32,
    np.uint8: torch.uint8,
}


def pinned_bytes(size: int) -> torch.Tensor:
    """Host memory that a device copies from while the host goes on."""
    return torch.empty(size, dtype=torch.uint8, pin_memory=True)


def _event() -> Any:
    return torch.cuda.Event()  # type: ignore[no-untyped-call]


class _Slot:
    def __init__(self, size: int, device: torch.device) -> None:
        self.pinned = pinned_bytes(size)
        self.host: Bytes = self.pinned.numpy()
        self.device = torch.empty(size, dtype=torch.uint8, device=device)
        self.copied = _event()


class CudaFeed:
    """Batches on a CUDA device."""

    def __init__(
        self,
        planner: Planner,
        clips: Ints,
        size: int,
        *,
        resident: bool,
        dtype: torch.dtype,
        device: torch.device,
        batch_size: int,
        memory_format: torch.memory_format = torch.contiguous_format,
        workers: int = 1,
    ) -> None:
        if (lacking := lacking_to_compile()) is not None:
            raise SettingsError(f"the loader on CUDA needs {lacking}")
        self.planner = planner
        self.size, self.dtype, self.device = size, dtype, device
        self.memory_format = memory_format
        self.moved = 0  # bytes copied to the device by prepare
        pack = planner.pack
        self._stream: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._lock = threading.Lock()
        self._low_high = torch.tensor([*planner.low, *planner.high], device=device)
        self._start = np.zeros(len(pack), np.int64)
        self._resident: torch.Tensor | None = None
        table = Table(batch_size, planner.frames, len(pack.classes), batch_size // 2)
        room = table.nbytes
        with torch.cuda.device(device):  # whose context pinned memory and events belong to
            if resident:
                self._resident, self._start[clips] = copy_split(pack, clips, device)
            else:
                self._start[clips] = pack.addresses(clips)
                largest = int((pack.nbytes[clips] // pack.frames[clips]).max())
                room += batch_size * planner.frames * largest
            slots = [_Slot(room, device) for _ in range(workers + _BESIDE)]
        self._ring: SimpleQueue[_Slot] = SimpleQueue()  # the slot that was used longest ago first
        for slot in slots:
            self._ring.put(slot)
        for tensor in (self._low_high, self._resident, *(slot.device for slot in slots)):
            if tensor is not None:  # freed only after this stream is done with it
                tensor.record_stream(self._stream)
        torch.cuda.synchronize(device)  # what was copied above is there before any stream reads it

    def prepare(self, plan: Plan) -> tuple[torch.Tensor, torch.Tensor, list[str], Any]:
        """Gather, copy and launch; called in background threads."""
        slot = self._ring.get()  # its own until it is given back
        try:
            slot.copied.synchronize()
            end, table = self._gather(slot, plan)
            with self._lock:  # the stream is one
                clips, labels, ready = self._send(slot, table, end)
            return clips, labels, plan.ids, ready
        finally:
            self._ring.put(slot)

    def _gather(self, slot: _Slot, plan: Plan) -> tuple[int, Table]:
        table = Table(len(plan.ids), plan.frames.shape[1], plan.labels.shape[1], len(plan.mixup))
        places = self._start[plan.clips][:, None] + plan.frames * plan.frame_bytes[:, None]
        addresses = places if self._resident is None else None
        return fill(slot.host, table, plan, addresses, places), table

    def _send(self, slot: _Slot, table: Table, end: int) -> tuple[torch.Tensor, torch.Tensor, Any]:
        """Copy and launch; clips, labels, and when they are there."""
        with torch.cuda.device(self.device), torch.cuda.stream(self._stream):
            slot.device[:end].copy_(slot.pinned[:end], non_blocking=True)
            slot.copied.record(self._stream)
            data = slot.device if self._resident is None else self._resident
            clips, labels = launch(
                slot.device, data, table, self._low_high, self.size, self.dtype, self.memory_format
            )
            ready = _event()
            ready.record(self._stream)
        self.moved += end
        return clips, labels, ready

    def finish(self, prepared: tuple[torch.Tensor, torch.Tensor, list[str], Any]) -> Batch:
        """Have the caller's stream wait for the batch, on the device; the host goes on."""
        clips, labels, ids, ready = prepared
        stream = torch.cuda.current_stream(self.device)
        stream.wait_event(ready)
        for tensor in (clips, labels):
            tensor.record_stream(stream)
        return clips, labels, ids
