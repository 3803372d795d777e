"""What the machine lacks for training, as far as it can be told without loading PyTorch."""

from __future__ import annotations

import shutil

from tinyvirat_build.store.compiler import lacking_to_compile


def remarks() -> list[str]:
    """What to know before a training here, one line each; nothing on a machine without a GPU."""
    if not shutil.which("nvidia-smi"):
        return []
    lacking = lacking_to_compile()
    return [f"Training on this machine's GPU needs {lacking}."] if lacking else []
