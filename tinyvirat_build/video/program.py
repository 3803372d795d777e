"""The ffmpeg program: which one, and what it shows of a video first."""

from __future__ import annotations

import errno
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

import imageio_ffmpeg

from tinyvirat_build.errors import DataError
from tinyvirat_build.store.means import lacking_by_words
from tinyvirat_build.video.opening import DEMUXERS

_FRUGAL: Final = ("-threads", "1", "-filter_threads", "1")


@cache
def program() -> str:
    """The path of the ffmpeg program: that of imageio-ffmpeg, else the system's.

    Raises:
        DataError: there is none.
    """
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        found = shutil.which("ffmpeg")
    if found is None:
        raise DataError("no ffmpeg program; pip install imageio-ffmpeg, or install ffmpeg")
    return found


def first_picture(path: Path, stream: int) -> str | None:
    """The MD5 of the first picture that a plain decode of the stream puts out; None for none.

    Raises:
        OSError: the program could not be run, or was killed.
        MeansError: memory, file handles or threads ran out.
    """
    command = [
        program(), "-v", "error", "-nostdin", *_FRUGAL, "-flags:v", "bitexact",
        "-format_whitelist", DEMUXERS, "-i", str(path.absolute()), "-map", f"0:{stream}",
        "-frames:v", "1", "-fps_mode", "passthrough", "-copyts", "-f", "framemd5", "-",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if (found := lacking_by_words(done.stderr)) is not None:
        raise found
    if done.returncode < 0:
        raise OSError(errno.ENOMEM, "the ffmpeg program could not run", str(path))
    rows = [line for line in done.stdout.splitlines() if line and not line.startswith("#")]
    return rows[0].rsplit(",", 1)[1].strip() if rows else None
