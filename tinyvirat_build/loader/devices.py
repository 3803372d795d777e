"""Which device a name means."""

from __future__ import annotations

from typing import cast

import torch

from tinyvirat_build.errors import SettingsError


def choose_device(device: str | torch.device, own: int | None = None) -> torch.device:
    """The device of a name: ``auto`` is CUDA where it exists, else the CPU.

    CUDA without a number is the GPU ``own``, by default PyTorch's current one.

    Raises:
        SettingsError: there is no such device here.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        wanted = torch.device(device)
    except RuntimeError as e:
        raise SettingsError(f"no device {device!r}; use auto, cpu or cuda") from e
    if wanted.type == "cpu":
        return wanted
    if wanted.type != "cuda":
        raise SettingsError(f"device {device} is not supported; use auto, cpu or cuda")
    if not torch.cuda.is_available():
        raise SettingsError(
            f"device {device} was asked for, but PyTorch sees no CUDA device; use device cpu"
        )
    index = cast("int | None", wanted.index)  # torch's stubs leave the None out
    if index is None:
        index = torch.cuda.current_device() if own is None else own
    count = torch.cuda.device_count()
    if index >= count:
        raise SettingsError(
            f"device cuda:{index} was asked for, but there are {count} GPUs, counted from 0; "
            "use cuda:0, or as many processes as GPUs"
        )
    return torch.device("cuda", index)
