"""All that only a GPU can tell, in under five minutes: tests, the loader and the runner on it.

    make gpu-check

Exit status 0 where the tests pass and the sections end in time, 1 where not, 2 without a GPU.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import torch

LIMIT = 290.0  # seconds, for all of it
ROOT = Path(__file__).resolve().parent.parent
PARTS = {  # what is run, and what to look at in what it prints
    "tests": (
        ["-m", "pytest", "-q", "-n", "0", "-m", "cuda", "tests/loader", "tests/train"],
        "all pass, none is skipped",
    ),
    "loader": (
        ["bench/load.py", "--gpu", "--clips", "96"],
        "loader alone is above the clips/s that your model takes; waiting is under 5 % of a step",
    ),
    "runner": (
        ["bench/train.py", "--gpu"],
        "runner / bare loop is 1.05 at most; the FLOP utilisation is that of your last check",
    ),
}


def main() -> int:
    if not torch.cuda.is_available():
        print("no CUDA device here: `make gpu-check` needs a GPU that PyTorch sees")
        return 2
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, "
          f"cuDNN {torch.backends.cudnn.version()}")  # fmt: skip
    began, ended = time.monotonic(), {}
    for name, (arguments, _) in PARTS.items():
        print(f"\n== {name}", flush=True)
        left = LIMIT - (time.monotonic() - began)
        try:
            done = subprocess.run([sys.executable, *arguments], cwd=ROOT, timeout=max(left, 1))
            ended[name] = "ended well" if done.returncode == 0 else f"status {done.returncode}"
        except subprocess.TimeoutExpired:
            ended[name] = f"not done after {left:.0f} s"
    print(f"\n== what to look at ({time.monotonic() - began:.0f} s)")
    for name, (_, look) in PARTS.items():
        print(f"  {name:8} {ended[name]:20} {look}")
    return int(any(what != "ended well" for what in ended.values()))


if __name__ == "__main__":
    sys.exit(main())
