"""Packets to frame numbers: by demuxing, and by decoding where packets do not tell.

The rule that numbers frames is in :mod:`tinyvirat_build.video.numbering`,
and :mod:`tinyvirat_build.video.slots` for AVI.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import Type as SideData

from tinyvirat_build.errors import VideoError
from tinyvirat_build.geometry.arrays import Bools, Ints
from tinyvirat_build.geometry.planes import decoded_planes
from tinyvirat_build.store.means import raise_if_lacking
from tinyvirat_build.video.avi import read_slots
from tinyvirat_build.video.bitstream import I, Picture
from tinyvirat_build.video.demuxed import read_packets
from tinyvirat_build.video.glimpse import Glimpse
from tinyvirat_build.video.numbering import number_shown
from tinyvirat_build.video.numbers import Numbers, Packets
from tinyvirat_build.video.observe import Observer
from tinyvirat_build.video.opening import open_source, unreadable, video_stream, video_streams
from tinyvirat_build.video.program import first_picture
from tinyvirat_build.video.rate import FINEST_RATE, agreed_rate
from tinyvirat_build.video.slots import number_slots
from tinyvirat_build.video.structure import breaks

PIXEL_FORMATS: Final = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "gray")
FULL_RANGE: Final = 2
_UNSPECIFIED: Final = 2  # of matrix, primaries and transfer
_MIB: Final = 1 << 20
_INTERLACED: Final = (2, 3, 4, 5)  # AVFieldOrder: tt, bb, tb, bt
_UPRIGHT: Final = np.array([1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30], np.int32).tobytes()
_ARRAYS: Final = ("pts", "dts", "pos", "size", "frame", "sync", "disposable", "uncertain")


@dataclass(frozen=True, slots=True)
class Colour:
    """A video's colour tags as FFmpeg's numbers; 2 is unspecified, 0 for the range."""

    range: int = 0  # 1 limited, FULL_RANGE
    matrix: int = _UNSPECIFIED
    primaries: int = _UNSPECIFIED
    transfer: int = _UNSPECIFIED


@dataclass(frozen=True)
class VideoIndex:
    """A video's packets in file order, and which frame each one holds.

    The arrays have one entry a packet, shape ``(P,)``; ``frame`` is the 0-based frame number, −1
    for a packet that is decoded and not shown. ``uncertain`` has shape ``(K, 2)``: half-open
    spans of frame numbers, ordered, not overlapping.
    """

    codec: str
    container: str
    fps: Fraction
    width: int
    height: int
    pix_fmt: str
    colour: Colour
    sar: Fraction  # of a sample's sides, width to height; 1 where it is unknown
    time_base: Fraction
    timed: bool  # ``pts`` are the container's own, and order the frames
    broken: bool  # the file, or a packet of it, is torn
    fingerprint: str
    streams: int  # videos in the file
    stream: int  # the number of this one among all streams of the file
    pts: Ints
    dts: Ints
    pos: Ints
    size: Ints
    frame: Ints
    sync: Bools
    disposable: Bools
    uncertain: Ints

    @property
    def n_packets(self) -> int:
        """Number of packets."""
        return len(self.frame)

    @property
    def n_frames(self) -> int:
        """Frames in the sequence, lost ones included."""
        return int(self.frame.max()) + 1

    @property
    def tall(self) -> bool:
        """Whether chroma has a row for every row of luma (4:2:2)."""
        return "422" in self.pix_fmt

    @cached_property
    def present(self) -> Ints:
        """The numbers of the frames that have a packet, ascending, shape ``(F,)``."""
        return np.asarray(self.frame[self._shown], np.int64)

    @cached_property
    def packet_of_present(self) -> Ints:
        """The packet of each frame in :attr:`present`, shape ``(F,)``."""
        return self._shown

    @cached_property
    def _shown(self) -> Ints:
        order = np.argsort(self.frame, kind="stable")
        return np.asarray(order[np.searchsorted(self.frame[order], 0) :], np.int64)

    @cached_property
    def lost(self) -> Ints:
        """The numbers of the frames that have no packet, ascending."""
        here = np.zeros(self.n_frames, bool)
        here[self.present] = True
        return np.flatnonzero(~here)

    def frames_lost(self, start: int, end: int) -> bool:
        """Whether any of the frames ``[start, end)`` has no packet."""
        first, last = np.searchsorted(self.lost, [start, end])
        return bool(last > first)

    def is_uncertain(self, start: int, end: int) -> bool:
        """Whether frames ``[start, end)`` meet a span whose numbers are not certain."""
        return bool(np.any((self.uncertain[:, 0] < end) & (self.uncertain[:, 1] > start)))

    def to_bytes(self) -> bytes:
        """The index as bytes, the same for equal indexes."""
        head = {
            "codec": self.codec,
            "container": self.container,
            "fps": str(self.fps),
            "width": self.width,
            "height": self.height,
            "pix_fmt": self.pix_fmt,
            "colour": asdict(self.colour),
            "sar": str(self.sar),
            "time_base": str(self.time_base),
            "timed": self.timed,
            "broken": self.broken,
            "fingerprint": self.fingerprint,
            "streams": self.streams,
            "stream": self.stream,
        }
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        text = np.frombuffer(json.dumps(head, sort_keys=True).encode(), np.uint8)
        out = io.BytesIO()
        np.savez_compressed(out, head=text, **arrays)
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> VideoIndex:
        """The index that :meth:`to_bytes` wrote."""
        with np.load(io.BytesIO(data), allow_pickle=False) as npz:
            head = json.loads(npz["head"].tobytes())
            arrays = {name: npz[name] for name in _ARRAYS}
        head["fps"] = Fraction(head["fps"])
        head["sar"] = Fraction(head["sar"])
        head["time_base"] = Fraction(head["time_base"])
        head["colour"] = Colour(**head["colour"])
        return cls(**head, **arrays)


def index_video(path: str | Path, glimpse: Glimpse | None = None) -> VideoIndex:
    """Read a video's packets and number its frames; little more than its start is decoded.

    ``glimpse`` is of a file of which only parts are here, its container's index among them.

    Raises:
        VideoError: the video cannot be cut exactly: ``unreadable``, ``no_frames``,
            ``pixel_format``, ``rotated``, ``interlaced``, ``edit_list`` or ``first_picture``.
        UnsureError: what is here does not tell.
    """
    path = Path(path)
    try:
        with open_source(path) as container:
            stream = video_stream(container)
            if stream is None:
                raise VideoError("no_frames", f"{path} holds no video; replace the file")
            return _index(path, container, stream, glimpse)
    except (OSError, av.error.FFmpegError) as e:
        raise_if_lacking(e)
        raise unreadable(path, e) from e


def _index(path: Path, container: Any, stream: Any, glimpse: Glimpse | None) -> VideoIndex:
    pts, dts, pos, size, key, hidden, pictures = read_packets(path, container, stream, glimpse)
    intra = np.array([p.kind == I for p in pictures], bool) if pictures else key
    sync = key & intra
    sync[0] = True
    name = container.format.name.split(",")[0]
    packets = Packets(
        path, name, stream.codec_context.name, stream.frames, pts, dts, pos, hidden, sync, pictures,
        [] if name == "avi" else breaks(path, name, stream.id),
    )  # fmt: skip
    observer = Observer(lambda: _open_again(path), glimpse.look_at if glimpse else None)
    numbers = _number(packets, stream.index, observer)
    first = observer.first
    if first is None or not np.any(numbers.frame >= 0):
        raise _undecoded(path, stream.index)
    _refuse_inexact(path, stream, first, pictures)
    _compare_start(path, stream.index, first)
    disposable = np.zeros(len(pts), bool)
    if stream.codec_context.name == "h264":
        disposable = np.array([p.disposable for p in pictures], bool) & ~sync
    return VideoIndex(
        codec=stream.codec_context.name,
        container=name,
        fps=_rate(name, stream, numbers, pts),
        width=first.width,
        height=first.height,
        pix_fmt=first.format.name,
        colour=_colour(first),
        sar=Fraction(stream.sample_aspect_ratio or 1),
        time_base=Fraction(stream.time_base),
        timed=numbers.timed,
        broken=numbers.broken,
        fingerprint=_fingerprint(path, pts, dts, pos, size, key),
        streams=len(video_streams(container)),
        stream=stream.index,
        pts=pts,
        dts=dts,
        pos=pos,
        size=size,
        frame=numbers.frame,
        sync=sync,
        disposable=disposable,
        uncertain=numbers.uncertain,
    )


def _open_again(path: Path) -> tuple[Any, Any]:
    container = open_source(path)
    return container, video_stream(container)


def _number(packets: Packets, stream: int, observer: Observer) -> Numbers:
    if packets.container != "avi":
        return number_shown(packets, observer.look)
    observer.look([(0, 0)])
    slots = read_slots(packets.path, stream, packets.pos)
    return number_slots(packets, slots.slot, slots.sure, slots.total)


def _undecoded(path: Path, stream: int) -> VideoError:
    """What is said of a video of which nothing decodes here."""
    if first_picture(path, stream) is None:
        return VideoError("no_frames", f"{path}: no frame decodes; replace the file")
    return _other_first(path)


def _compare_start(path: Path, stream: int, first: Any) -> None:
    """Refuse a video of which another decoder shows another picture first."""
    here = hashlib.md5(usedforsecurity=False)
    for plane in decoded_planes(first):
        here.update(plane.tobytes())
    if first_picture(path, stream) != here.hexdigest():
        raise _other_first(path)


def _other_first(path: Path) -> VideoError:
    return VideoError(
        "first_picture",
        f"{path}: two decoders do not show the same picture first; encode it anew from its "
        "source, or cut off its beginning",
    )


def _refuse_inexact(path: Path, stream: Any, first: Any, pictures: list[Picture]) -> None:
    if first.format.name not in PIXEL_FORMATS:
        raise VideoError(
            "pixel_format",
            f"{path}: {first.format.name} cannot be cut exactly (only {', '.join(PIXEL_FORMATS)}); "
            "convert it to 8-bit 4:2:0 or 4:2:2",
        )
    if _display_matrix(first) != _UPRIGHT:
        raise VideoError(
            "rotated",
            f"{path}: the file asks players to turn or mirror the picture; turn the pixels "
            "themselves, or remove the mark",
        )
    field_coded = any(p.field for p in pictures)
    if first.interlaced_frame or field_coded or stream.codec_context.field_order in _INTERLACED:
        raise VideoError("interlaced", f"{path}: interlaced video; deinterlace it first")


def _display_matrix(frame: Any) -> bytes:
    found = next((d for d in frame.side_data if d.type == SideData.DISPLAYMATRIX), None)
    return _UPRIGHT if found is None else bytes(found)


def _rate(container: str, stream: Any, numbers: Numbers, pts: Ints) -> Fraction:
    """The exact rate where all frames are equally long, else what the container says of it.

    What no clock can tick, or what the frames do not keep, is not the container's to say.
    """
    base = Fraction(stream.time_base)
    if container == "avi":
        return 1 / base
    order = np.argsort(numbers.frame, kind="stable")
    times = pts[order[np.searchsorted(numbers.frame[order], 0) :]]
    steps = times[1:] - times[:-1] if numbers.timed else times[:0]
    # A coarse clock (milliseconds) rounds the steps: only a fine one gives the rate itself.
    if len(steps) and np.all(steps == steps[0]) and base * 1000 < 1:
        return 1 / (int(steps[0]) * base)
    found = (stream.guessed_rate, stream.average_rate, stream.base_rate)
    said = [Fraction(rate) for rate in found if rate and rate.numerator <= FINEST_RATE]
    return agreed_rate(said, steps, base)


def _colour(frame: Any) -> Colour:
    return Colour(
        sample_range(frame), int(frame.colorspace), int(frame.color_primaries), int(frame.color_trc)
    )


def sample_range(frame: Any) -> int:
    """Of a decoded frame's samples, by its pixel format or its tag; as in :class:`Colour`."""
    return FULL_RANGE if frame.format.name.startswith("yuvj") else int(frame.color_range)


def _fingerprint(path: Path, *arrays: npt.NDArray[Any]) -> str:
    """Size, packet index, first and last MiB: what changes when a video is replaced."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    for array in arrays:
        digest.update(array.tobytes())
    with path.open("rb") as file:
        digest.update(file.read(_MIB))
        file.seek(max(0, size - _MIB))
        digest.update(file.read(_MIB))
    return digest.hexdigest()
