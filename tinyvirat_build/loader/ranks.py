"""Which of several processes this is, as ``torchrun`` says, and what they do together."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from tinyvirat_build.errors import SettingsError, TrainError
from tinyvirat_build.loader.devices import choose_device


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those of the run; alone it is rank 0 of 1."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this process writes the files and talks to the user."""
        return self.rank == 0

    def gather(self, value: Any) -> list[Any]:
        """Everybody's value, in the order of the ranks; values are pickled."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values

    def share(self, tensors: Iterable[torch.Tensor]) -> None:
        """Overwrite everybody's tensors with the first process's."""
        if self.world_size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def barrier(self) -> None:
        """Wait for all."""
        if self.world_size > 1:
            dist.barrier()


def own_device(name: str, ranks: Ranks) -> torch.device:
    """This process's device by name; ``cuda`` and ``auto`` are each rank's own GPU.

    Raises:
        SettingsError: there is no such device here, or all of several ranks would take one GPU.
    """
    if name.startswith("cuda:") and ranks.world_size > 1:
        raise SettingsError(
            f"device {name} is one GPU for {ranks.world_size} ranks; use --device cuda"
        )
    return choose_device(name, ranks.local_rank)


@contextlib.contextmanager
def join_ranks(device: str = "auto") -> Iterator[tuple[Ranks, torch.device]]:
    """This process's place and device; under ``torchrun`` the group exists while in the block.

    NCCL on CUDA, gloo on the CPU. A group that exists already is used and left as it is.

    Raises:
        TrainError: another process of the group is gone.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    ranks = Ranks(int(os.environ.get("RANK", "0")), world, int(os.environ.get("LOCAL_RANK", "0")))
    chosen = own_device(device, ranks)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if world == 1 or dist.is_initialized():
        yield ranks, chosen
        return
    if chosen.type == "cuda":  # the GPU told, NCCL begins at once and never guesses it by the rank
        dist.init_process_group("nccl", device_id=chosen)
    else:
        dist.init_process_group("gloo")
    try:
        yield ranks, chosen
    except RuntimeError as e:
        if not isinstance(e, dist.DistError) and "gloo" not in str(e):
            raise
        raise TrainError(
            "another process of this training has ended; run the same command to go on from the "
            "last checkpoint"
        ) from e
    finally:
        dist.destroy_process_group()
