"""Which packets have to be decoded for which frames, and what that costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from tinyvirat_build.geometry.arrays import Bools, Ints
from tinyvirat_build.settings import Encode
from tinyvirat_build.store import many
from tinyvirat_build.video.index import VideoIndex

# Measured on one core of a small server: 1080p H.264 at 5 Mb/s, clips of 100 pixels.
_SECONDS_PER_PIXEL_IN: Final = 2.2e-9
_SECONDS_PER_PIXEL_CUT: Final = 1.3e-8
# Seconds and bytes a pixel of a clip that is encoded, at the default quality.
_ENCODED: Final = {
    "h264": (1.2e-8, 0.6),
    "h264-crf": (2.4e-8, 0.12),
    "vp9-lossless": (3.1e-8, 0.53),
    "mpeg4": (5e-9, 0.02),
    "ffv1": (2.5e-8, 1.2),
}
_BYTES_PER_PIXEL_PACKED: Final = 1.5
_SECONDS_PER_CLIP: Final = 5e-3  # an encoder is opened and a file written, however small
_SECONDS_PER_VIDEO: Final = 0.1
_DEFAULT: Final = Encode()


@dataclass(frozen=True, slots=True)
class Stretch:
    """Packets ``[first, last]`` in file order, decoded in one go; ``skip`` marks those left out.

    ``skip`` has one entry a packet of the run.
    """

    first: int
    last: int
    skip: Bools


def needed_frames(n_frames: int, starts: npt.ArrayLike, ends: npt.ArrayLike) -> Ints:
    """The frames of ``[0, n_frames)`` that lie in any of the spans ``[start, end)``, ascending."""
    edges = np.zeros(n_frames + 1, np.int64)
    np.add.at(edges, np.clip(starts, 0, n_frames), 1)
    np.add.at(edges, np.clip(ends, 0, n_frames), -1)
    return np.flatnonzero(np.cumsum(edges)[:-1] > 0)


def shown_for(index: VideoIndex, frames: Ints) -> Ints:
    """For each frame its place in ``index.present``, or the place before where it is lost."""
    return np.asarray(np.searchsorted(index.present, frames, "right") - 1, np.int64)


def decoding_runs(index: VideoIndex, frames: Ints) -> list[Stretch]:
    """The runs of packets that yield ``frames`` exactly, each from a picture that needs no other.

    A run begins at the last sync picture that is shown no later than the frame, so that
    pictures shown before their own sync picture (an open GOP) have what they refer to.
    Non-reference pictures that nobody asked for are left out; a run ends with the last packet
    that is asked for. Lost frames ask for the frame before them.
    """
    places = np.unique(shown_for(index, frames))
    packets = np.sort(index.packet_of_present[places[places >= 0]])
    if not len(packets):
        return []
    shown = index.frame
    syncs = np.flatnonzero(index.sync)
    at = np.searchsorted(syncs, packets, "right") - 1
    while np.any(late := (at > 0) & (shown[syncs[at]] > shown[packets])):
        at[late] -= 1
    begins = np.where(at > 0, syncs[at], 0)
    order = np.lexsort((packets, begins))
    wanted = np.zeros(index.n_packets, bool)
    wanted[packets] = True
    unwanted = index.disposable & ~wanted
    runs: list[Stretch] = []
    begins, packets = begins[order], packets[order]
    reach = np.maximum.accumulate(packets)
    new = np.flatnonzero(np.r_[True, begins[1:] > reach[:-1] + 1])
    for a, b in zip(new, np.r_[new[1:], len(begins)], strict=True):
        first, last = int(begins[a]), int(reach[b - 1])
        runs.append(Stretch(first, last, unwanted[first : last + 1]))
    return runs


@dataclass(frozen=True, slots=True)
class Estimate:
    """What cutting will cost; adds up over videos. Seconds are of one worker."""

    frames_to_decode: int = 0
    gops: int = 0
    bytes_to_read: int = 0
    seconds: float = 0.0
    bytes_out: int = 0
    clips: int = 0
    clips_without_video: int = 0  # counted in nothing else
    videos_missing: int = 0
    bytes_afar: int = 0  # to fetch of remote videos, and of how many in all
    bytes_of_remote: int = 0
    longest: float = 0.0  # seconds of the video that takes longest: no worker helps another
    workers: int = 1  # that share the work

    @classmethod
    def zero(cls) -> Estimate:
        """The cost of nothing."""
        return cls()

    def __add__(self, other: Estimate) -> Estimate:
        total = Estimate(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))
        most = {n: max(getattr(self, n), getattr(other, n)) for n in ("longest", "workers")}
        return replace(total, **most)

    def slower(self, factor: float) -> Estimate:
        """The same on a machine that takes ``factor`` times as long."""
        return replace(self, seconds=self.seconds * factor, longest=self.longest * factor)

    @property
    def elapsed(self) -> float:
        """Seconds until the last worker is done."""
        return max(self.seconds / self.workers, self.longest)

    def describe(self) -> str:
        """One line for people.

        >>> Estimate(1200, 5, 3_000_000, 8.0, 20_000_000, 60, workers=2).describe()
        '60 clips: 1,200 frames of 5 GOPs to decode, 3 MB to read, 20 MB to write, about 4 s'
        >>> Estimate(clips_without_video=5035, videos_missing=116).describe()
        '5,035 clips of 116 videos not here: no estimate'
        >>> Estimate(clips=1, bytes_afar=19_000_000, bytes_of_remote=190_000_000).describe()[-55:]
        'a few seconds; 19 MB to fetch of 190 MB elsewhere (10%)'
        """
        missing = (
            f"{many(self.clips_without_video, 'clip')} of {many(self.videos_missing, 'video')} not "
            "here: no estimate"
        )
        if self.clips_without_video and not self.clips:
            return missing
        seconds = self.elapsed
        time = "a few seconds" if seconds < 2 else f"about {seconds:.0f} s"
        if seconds >= 3600:
            time = f"about {seconds / 3600:.1f} h"
        return (
            f"{many(self.clips, 'clip')}: {many(self.frames_to_decode, 'frame')} of "
            f"{many(self.gops, 'GOP')} to decode, {_size(self.bytes_to_read)} to read, "
            f"{_size(self.bytes_out)} to write, {time}"
            + self._afar()
            + (f"; {missing}" if self.clips_without_video else "")
        )

    def _afar(self) -> str:
        if not self.bytes_of_remote:
            return ""
        share = self.bytes_afar / self.bytes_of_remote
        whole = _size(self.bytes_of_remote)
        return f"; {_size(self.bytes_afar)} to fetch of {whole} elsewhere ({share:.0%})"


def _size(count: int) -> str:
    for unit, scale in (("TB", 1e12), ("GB", 1e9)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count / 1e6:.0f} MB"


def estimate(index: VideoIndex, clips: pd.DataFrame, encode: Encode = _DEFAULT) -> Estimate:
    """What cutting these clips (rows of ``clips_planned``) out of the video will cost."""
    starts, ends = clips["start"].to_numpy(np.int64), clips["end"].to_numpy(np.int64)
    runs = decoding_runs(index, needed_frames(index.n_frames, starts, ends))
    decoded = sum(int(np.count_nonzero(~r.skip)) for r in runs)
    area = clips["width"].to_numpy(np.int64) * clips["height"].to_numpy(np.int64)
    pixels = int((area * (ends - starts)).sum())
    encoding, written = _ENCODED[encode.codec]
    seconds = decoded * index.width * index.height * _SECONDS_PER_PIXEL_IN
    seconds += pixels * (_SECONDS_PER_PIXEL_CUT + encoding)
    seconds += len(clips) * _SECONDS_PER_CLIP + _SECONDS_PER_VIDEO
    return Estimate(
        frames_to_decode=decoded,
        gops=_count(runs, index.sync),
        bytes_to_read=sum(int(index.size[r.first : r.last + 1].sum()) for r in runs),
        seconds=seconds,
        bytes_out=int(pixels * (written + _BYTES_PER_PIXEL_PACKED * encode.pack)),
        clips=len(clips),
        longest=seconds,
    )


def _count(runs: Sequence[Stretch], sync: Bools) -> int:
    return sum(int(np.count_nonzero(sync[r.first : r.last + 1])) for r in runs)
