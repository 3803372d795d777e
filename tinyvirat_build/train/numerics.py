"""How PyTorch computes while a run is at work: precision, determinism, choice of convolutions."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Any, Final

import torch

from tinyvirat_build.errors import TrainError
from tinyvirat_build.train.settings import TrainSettings

_CUDNN: Final = range(90800, 91500)  # 9.8 to 9.14, as cuDNN counts (pytorch issue 163539)


def _fault_of_bf16() -> str | None:
    """Why 3D convolutions in bf16 cannot be trusted on CUDA here, and what to install; or None."""
    told = "3D convolutions in bf16 are slow or wrong on CUDA; install"
    if torch.__version__.split(".")[:2] == ["2", "9"]:  # pytorch issues 166122, 166643
        return f"PyTorch {torch.__version__}: its {told} 2.10 or later"
    cudnn: Any = torch.backends.cudnn  # its functions have no types
    version = cudnn.version() if cudnn.is_available() else None
    if version is not None and version in _CUDNN:
        name = f"{version // 10000}.{version // 100 % 100}.{version % 100}"
        return f"cuDNN {name}: its {told} 9.15 or later (nvidia-cudnn, beside PyTorch)"
    return None


@contextlib.contextmanager
def numerics(s: TrainSettings, device: torch.device) -> Iterator[None]:
    """Compute as the settings say, and as before afterwards.

    Raises:
        TrainError: bf16 on CUDA by a PyTorch or cuDNN that cannot, or a network that has no
            deterministic form on the device where the settings ask for one.
    """
    cuda, cudnn, matmul = device.type == "cuda", torch.backends.cudnn, torch.backends.cuda.matmul
    if cuda and s.precision == "bf16" and (fault := _fault_of_bf16()):
        raise TrainError(f"{fault}, or set precision=fp32")
    with contextlib.ExitStack() as after:
        after.callback(
            torch.use_deterministic_algorithms, torch.are_deterministic_algorithms_enabled()
        )
        if s.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)
        if cuda:
            after.callback(setattr, cudnn, "benchmark", cudnn.benchmark)
            after.callback(setattr, cudnn, "allow_tf32", cudnn.allow_tf32)
            after.callback(setattr, matmul, "allow_tf32", matmul.allow_tf32)
            # Clips are of one shape, so that a search for the fastest convolution pays.
            cudnn.benchmark = not s.deterministic
            cudnn.allow_tf32 = matmul.allow_tf32 = s.tf32
        try:
            yield
        except RuntimeError as e:
            # Asked of PyTorch itself: which operations have such a form changes with its version.
            found = re.search(r"(\S+) does not have a deterministic implementation", str(e))
            if not found:
                raise
            raise TrainError(
                f"{s.model} has no deterministic form on {device.type} ({found[1]}); set "
                "deterministic=false, or take a model without pools (-nopool) or --device cpu"
            ) from e
