"""What the machine lacks is told as that, and never taken for damage of a file."""

from __future__ import annotations

import errno

import av
import cv2
import numpy as np
import pytest

from tinyvirat_build.errors import MeansError, OutOfMemoryError
from tinyvirat_build.store import means
from tinyvirat_build.store.means import lacking, require


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), "out of memory"),
        (av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory"), "out of memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory", "fork"), "out of memory"),
        (ImportError("x.so: failed to map segment from shared object"), "out of memory"),
        (cv2.error("(-4:Insufficient memory) Failed to allocate 9 bytes"), "out of memory"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "ulimit -u"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (OSError(errno.ENOSPC, "No space left on device", "a.mp4"), "a.mp4: no space left"),
    ],
)
def test_an_error_for_want_of_means_is_told(
    error: Exception, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(means, "has_room", lambda: False)
    found = lacking(error)
    assert found is not None
    assert says in str(found)
    assert isinstance(found, OutOfMemoryError) == (says == "out of memory")


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        PermissionError(errno.EACCES, "Permission denied"),
        av.error.InvalidDataError(1094995529, "Invalid data found when processing input"),
        ValueError("Cannot allocate memory, says a file"),
        KeyError("clip_id"),
    ],
)
def test_any_other_error_is_not(error: Exception) -> None:
    assert lacking(error) is None


def test_a_file_that_asks_for_absurd_memory_is_at_fault_itself() -> None:
    """FFmpeg says the same of it; but there is room for all that a sound file needs."""
    assert lacking(av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory")) is None
    again = av.error.BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
    assert lacking(again) is None


def test_numpys_want_of_memory_is_told() -> None:
    with pytest.raises(MemoryError) as told:
        np.empty(1 << 60, np.uint8)
    assert isinstance(lacking(told.value), OutOfMemoryError)


def test_more_handles_than_there_are_cannot_be_had() -> None:
    with pytest.raises(MeansError, match="too many open files"):
        require(handles=1 << 30, threads=0)
