"""What a library that compiles as it runs needs of the machine."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path


def lacking_to_compile() -> str | None:
    """What Triton lacks here, with the remedy; None where it can compile what starts its kernels.

    It takes the program that CC names, else gcc or clang, and Python's own headers.
    """
    chosen = os.environ.get("CC", "").split()
    if not any(map(shutil.which, chosen[:1] or ["gcc", "clang"])):
        named = f"CC names {chosen[0]}, which is not there" if chosen else "there is none"
        return f"a C compiler ({named}; install gcc, or let CC name one)"
    headers = Path(sysconfig.get_path("include"))
    if not (headers / "Python.h").is_file():
        return f"Python's headers (no {headers / 'Python.h'}; install python3-dev)"
    return None
