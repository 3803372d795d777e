"""The clip loader: batches of a pack's split, normalised, on the device that trains."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, Final, Literal, TypeVar

import numpy as np
import torch
import torch.distributed

from tinyvirat_build.errors import SettingsError
from tinyvirat_build.geometry.arrays import Ints
from tinyvirat_build.loader import sampling
from tinyvirat_build.loader.augment import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Augment,
    check_normalisation,
)
from tinyvirat_build.loader.batches import Plan, Planner
from tinyvirat_build.loader.devices import choose_device
from tinyvirat_build.loader.feeds import Batch, CpuFeed, Feed, RaggedBatch
from tinyvirat_build.loader.sampling import Sampler, Short, Temporal
from tinyvirat_build.pack.read import Pack, open_pack

_DTYPES: Final = (torch.float32, torch.bfloat16, torch.float16)
_COPIED_SOON: Final = 512 << 20  # bytes; larger splits would keep the first batch waiting
_T = TypeVar("_T")


class ClipLoader:
    """Iterates over ``(clips (B, 3, T, H, W), labels (B, C), ids)`` of one split of a pack.

    Clips come in the split's own order or shuffled (training), normalised, on ``device``; labels
    are float32 of 0 and 1 (shares where clips are mixed), ids those of the released layout.
    Training (``split="train"``, or ``training=True``) drops the last incomplete global batch, so
    that all ranks get the same number; evaluation gives every clip exactly once over all ranks.

    A batch depends on seed, epoch and its place only: ranks, workers, mode and restarts change
    nothing. R ranks with ``batch_size`` B see what one rank with R × B sees, rank r the r-th part
    of each batch. After the last batch the loader goes on to the next epoch by itself.

    Args:
        path: a build folder, or the folder of a pack.
        split: train, val or test.
        frames: T, frames a clip; shorter clips are looped or padded (``short``).
        stride: source frames from one frame to the next.
        size: H and W, pixels.
        batch_size: B, of one rank.
        device: ``auto`` (CUDA where there is one), or a torch device.
        mode: ``stream`` (from the mapped pack), ``resident`` (the whole split in the device's
            memory, copied there before the first batch), ``auto`` (resident on CUDA where the split
            is under 512 MiB and fits into half of the free memory, so that nobody waits for it).
        augment: what is varied, or none.
        sampler: ``shuffled``, ``balanced``, ``sequential``, or a function; see ``sampling``.
        seed: of order and augmentation.
        rank, world_size: default to those of ``torch.distributed`` where it is initialised.
        dtype: float32, bfloat16 or float16.
        channels_last: batches lie in memory as ``torch.channels_last_3d``.
        temporal: ``random``, ``center``, ``uniform``, ``segments`` or ``dense`` (every window of
            every clip becomes an item; its clip's id repeats); see ``sampling.frame_indices``.
            Default: random for training, else center.
        short: ``loop`` or ``pad``.
        drop_short: leave out the clips of a training that are shorter than a sample (of fewer
            frames than it, where these are spread over the clip: ``uniform``, ``segments``), as
            the public baseline does; ``dropped`` counts them.
        training: default: whether the split is ``train``.
        workers: threads that read and prepare batches; on CUDA they only read, so that more
            than one pays where the storage is far away.
        mean, std: of the normalisation, per channel, in 0..1.

    Raises:
        PackError: the pack cannot be used, or has no clip of the split.
        SettingsError: an argument out of its range, CUDA asked for and not there, training on
            clips without labels, or a batch larger than the training split.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Pack,
        split: str,
        frames: int = 16,
        stride: int = 1,
        size: int = 112,
        *,
        batch_size: int = 32,
        device: str | torch.device = "auto",
        mode: Literal["auto", "stream", "resident"] = "auto",
        augment: Augment | None = None,
        sampler: str | Sampler | None = None,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        dtype: torch.dtype = torch.float32,
        channels_last: bool = False,
        temporal: Temporal | None = None,
        short: Short = "loop",
        drop_short: bool = False,
        training: bool | None = None,
        workers: int = 1,
        mean: tuple[float, ...] = IMAGENET_MEAN,
        std: tuple[float, ...] = IMAGENET_STD,
    ) -> None:
        self.pack = path if isinstance(path, Pack) else open_pack(path)
        self.split = split
        self.frames, self.stride, self.size = frames, stride, size
        self.batch_size, self.dtype, self.seed = batch_size, dtype, seed
        self.channels_last = channels_last
        self.training = split == "train" if training is None else training
        self.rank, self.world_size = _ranks(rank, world_size)
        self.device = choose_device(device)
        self.epoch = 0
        self.workers = workers
        self._resume = 0  # the batch that the next iteration begins with
        self._done = 0  # batches of the epoch that were handed out
        self._sampler = sampling.resolve(sampler, training=self.training)
        sampling.check_sampling(frames, stride, size, temporal, short, dense=True)
        check_normalisation(mean, std)
        _check(self, mode, augment)
        self._clips = self.pack.of_split(split)
        if self.training and not self.pack.labelled[self._clips].all():
            bare = int((~self.pack.labelled[self._clips]).sum())
            raise SettingsError(
                f"{bare} of the {len(self._clips)} clips of split {split} have no labels in this "
                "pack (withheld, or never published); train on another split, or give "
                "training=False"
            )
        temporal = temporal or ("random" if self.training else "center")
        needed = sampling.frames_needed(frames, stride, temporal)
        whole = self.pack.frames[self._clips] >= needed
        whole |= not (drop_short and self.training)
        self.dropped = int((~whole).sum())
        self._clips = self._clips[whole]
        self._planner = Planner(
            self.pack,
            self._clips,
            frames=frames,
            stride=stride,
            temporal=temporal,
            short=short,
            augment=augment,
            seed=seed,
            mean=mean,
            std=std,
        )
        self._order: tuple[int, Ints] | None = None
        self._feed, self.mode = self._make_feed(mode)
        if self.training and not len(self):
            raise SettingsError(
                f"split {split} has {len(self._planner)} clips{_without(self.dropped)}, fewer than "
                f"one batch of {batch_size} × {self.world_size} ranks; choose a smaller batch_size"
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """The class list; labels are in its order."""
        return self.pack.classes

    @property
    def items(self) -> int:
        """Clips of the split over all ranks, or windows where ``temporal`` is dense."""
        return len(self._planner)

    def __len__(self) -> int:
        """Batches an epoch on this rank."""
        whole = sampling.global_batches(
            len(self._ordered(self.epoch)),
            self.world_size,
            self.batch_size,
            drop_last=self.training,
        )
        if self.training or not whole:
            return whole
        begin, end = self._slice(self.epoch, whole - 1)
        return whole if end > begin else whole - 1

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration gives, from its beginning.

        Right after :meth:`load_state_dict`, the same epoch keeps the restored place.
        """
        if epoch != self.epoch:
            self.epoch, self._resume, self._done = epoch, 0, 0

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration stands: what :meth:`load_state_dict` continues with the next batch.

        It counts the batches that were handed out, not those prepared ahead, over all ranks, so
        that it may be restored by another number of ranks with the same global batch.
        """
        done = self._done * self.world_size * self.batch_size
        return {"version": 2, "epoch": self.epoch, "samples": done, **self._about()}

    def _about(self) -> dict[str, Any]:
        """What makes the order of items: a state of another loader leads to other batches."""
        return {
            "seed": self.seed,
            "split": self.split,
            "items": self.items,
            "sampler": getattr(self._sampler, "__name__", type(self._sampler).__name__),
            "pack": self.pack.fingerprint,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where :meth:`state_dict` was taken.

        Raises:
            SettingsError: the state is of another seed, split, pack or sampler, lies inside a
                global batch, or is none.
        """
        for name, own in {"version": 2, **self._about()}.items():
            if state.get(name) != own:
                raise SettingsError(
                    f"loader state of {name} {state.get(name)}, loader has {name} {own}; "
                    f"make the loader with the {name} of the state"
                )
        epoch, samples = state.get("epoch"), state.get("samples")
        if type(epoch) is not int or type(samples) is not int or min(epoch, samples) < 0:
            raise SettingsError(f"loader state of epoch {epoch} and {samples} samples: damaged")
        batch, rest = divmod(samples, self.world_size * self.batch_size)
        if rest:
            raise SettingsError(
                f"loader state after {state['samples']} samples is no multiple of the global "
                f"batch {self.world_size * self.batch_size}; keep batch_size × ranks as it was"
            )
        if samples > len(self._ordered(epoch)):
            raise SettingsError(
                f"loader state after {samples} samples, an epoch has {self.items}; it is of "
                "another loader"
            )
        self.epoch, self._resume, self._done = epoch, batch, batch

    def __iter__(self) -> Iterator[Batch]:
        """The epoch's batches, prepared ahead in background threads."""
        for prepared in self._ahead(self._feed.prepare):
            yield self._feed.finish(prepared)

    def ragged(self) -> Iterator[RaggedBatch]:
        """The epoch's batches as raw uint8 YUV frames in host memory, untransformed."""
        feed = self._feed if isinstance(self._feed, CpuFeed) else self._host_feed(False)
        yield from self._ahead(feed.ragged)

    def _ahead(self, prepare: Callable[[Plan], _T]) -> Iterator[_T]:
        epoch, count = self.epoch, len(self)
        first, self._resume = self._resume, 0
        self._done = first

        def task(batch: int) -> _T:
            return prepare(self._plan(epoch, batch))

        batches = iter(range(first, count))
        with ThreadPoolExecutor(self.workers, thread_name_prefix="clip-loader") as pool:
            waiting = deque(pool.submit(task, b) for b in islice(batches, self.workers + 1))
            try:
                for batch in range(first, count):
                    prepared = waiting.popleft().result()
                    waiting.extend(pool.submit(task, b) for b in islice(batches, 1))
                    last = batch + 1 == count
                    self.epoch, self._done = (epoch + 1, 0) if last else (epoch, batch + 1)
                    yield prepared
                    del prepared  # its buffer is free for the next batch unless it was kept
            finally:
                for future in waiting:
                    future.cancel()

    def _ordered(self, epoch: int) -> Ints:
        cached = self._order
        if cached is None or cached[0] != epoch:
            cached = epoch, self._sampler(self._planner.labels, self.seed, epoch)
            self._order = cached
        return cached[1]

    def _slice(self, epoch: int, batch: int) -> tuple[int, int]:
        return sampling.rank_slice(
            len(self._ordered(epoch)),
            batch,
            self.rank,
            self.world_size,
            self.batch_size,
            drop_last=self.training,
        )

    def _plan(self, epoch: int, batch: int) -> Plan:
        begin, end = self._slice(epoch, batch)
        items = self._ordered(epoch)[begin:end]
        return self._planner.plan(epoch, np.arange(begin, end, dtype=np.int64), items)

    def _host_feed(self, resident: bool) -> CpuFeed:
        return CpuFeed(
            self._planner,
            self._clips,
            self.size,
            resident=resident,
            dtype=self.dtype,
            channels_last=self.channels_last,
            workers=self.workers,
        )

    def _make_feed(self, mode: str) -> tuple[Feed, Literal["stream", "resident"]]:
        if self.device.type == "cpu":
            resident = mode == "resident"
            return self._host_feed(resident), "resident" if resident else "stream"
        from tinyvirat_build.loader.feed_cuda import CudaFeed, free_bytes

        size, free = int(self.pack.nbytes[self._clips].sum()), free_bytes(self.device)
        if mode == "resident" and size > free:
            raise SettingsError(
                f"mode resident: split {self.split} has {size / 2**30:.1f} GiB, {self.device} has "
                f"{free / 2**30:.1f} free; use mode stream"
            )
        resident = mode == "resident" or (
            mode == "auto" and size <= _COPIED_SOON and 2 * size <= free
        )
        try:
            feed = CudaFeed(
                self._planner,
                self._clips,
                self.size,
                resident=resident,
                dtype=self.dtype,
                device=self.device,
                batch_size=self.batch_size,
                memory_format=(
                    torch.channels_last_3d if self.channels_last else torch.contiguous_format
                ),
                workers=self.workers,
            )
        except torch.OutOfMemoryError as e:
            raise SettingsError(
                f"the loader does not fit into {self.device}; use mode stream, or a smaller "
                "batch_size"
            ) from e
        return feed, "resident" if resident else "stream"


def _without(dropped: int) -> str:
    return f" beside {dropped} that are too short" if dropped else ""


def _ranks(rank: int | None, world_size: int | None) -> tuple[int, int]:
    if rank is None and world_size is None:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.get_rank(), torch.distributed.get_world_size()
        return 0, 1
    if rank is None or world_size is None or not 0 <= rank < world_size:
        raise SettingsError(
            f"rank {rank} of world_size {world_size}: give both, with 0 <= rank < world_size"
        )
    return rank, world_size


def _check(loader: ClipLoader, mode: str, augment: Augment | None) -> None:
    rules = [
        (loader.batch_size >= 1 and loader.workers >= 1, "batch_size, workers are 1 or more"),
        (loader.dtype in _DTYPES, "dtype is float32, bfloat16 or float16"),
        (mode in ("auto", "stream", "resident"), "mode is auto, stream or resident"),
        (
            not (augment and augment.mixup and loader.batch_size % 2),
            "mixup pairs neighbours and needs an even batch_size",
        ),
        (
            not (augment and augment.mixup and not loader.training),
            "mixup is for training only",
        ),
    ]
    for holds, rule in rules:
        if not holds:
            raise SettingsError(f"loader: {rule}")
