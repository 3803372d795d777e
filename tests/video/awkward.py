"""Numbered videos of awkward kinds: a codec's packets, laid into any container with any fault.

A codec is encoded once (:func:`master`); a video is those packets with some left out or with
other times, muxed, and what a fault does to the finished file (:mod:`.surgery`).
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.bitstream import BitStreamFilterContext

from tinyvirat_build.video.source_frames import program

from .stamped import picture

SIZE = (96, 80)
FRAMES = 72
GOP = 12
FRAME = 1000  # ticks
TICK = Fraction(1, 30 * FRAME)
_MPEG = {"g": str(GOP), "qmin": "2", "qmax": "2", "sc_threshold": "1000000000"}
_X264 = {"preset": "veryfast", "crf": "12", "g": str(GOP), "sc_threshold": "0"}
_X265 = f"keyint={GOP}:min-keyint={GOP}:bframes=3:b-adapt=0:scenecut=0:log-level=none:pools=1"
_VPX = {"g": "36", "crf": "4", "b": "4M", "cpu-used": "4", "deadline": "good"}

# Name: encoder, its options.
CODECS: dict[str, tuple[str, dict[str, str]]] = {
    "h264": ("libx264", _X264 | {"bf": "0"}),
    "h264-b": ("libx264", _X264 | {"bf": "3", "x264-params": "b-adapt=0:b-pyramid=normal"}),
    "h264-open": ("libx264", _X264 | {"bf": "3", "x264-params": "b-adapt=0:open-gop=1"}),
    "hevc": ("libx265", {"preset": "ultrafast", "crf": "10", "x265-params": f"{_X265}:open-gop=0"}),
    "hevc-open": (
        "libx265",
        {"preset": "ultrafast", "crf": "10", "x265-params": f"{_X265}:open-gop=1"},
    ),
    "mpeg1": ("mpeg1video", _MPEG | {"bf": "2"}),
    "mpeg2": ("mpeg2video", _MPEG | {"bf": "2"}),
    "mpeg4": ("mpeg4", _MPEG),
    "mpeg4-b": ("mpeg4", _MPEG | {"bf": "2"}),
    "mpeg4-packed": ("mpeg4", _MPEG | {"bf": "1"}),
    "msmpeg4": ("msmpeg4", _MPEG),
    "mjpeg": ("mjpeg", {}),
    "vp8": ("libvpx", _VPX),
    "vp8-hidden": ("libvpx", _VPX),
    "vp9": ("libvpx-vp9", _VPX),
    "vp9-hidden": ("libvpx-vp9", _VPX),
    "av1": ("libsvtav1", {"preset": "10", "crf": "20", "g": "24", "svtav1-params": "lp=1"}),
    "flv1": ("flv", _MPEG),
}
OPEN = ("h264-open", "hevc-open", "mpeg1", "mpeg2")  # groups begin with pictures of the one before
INTRA = ("mjpeg",)


@dataclass(frozen=True, slots=True)
class Packet:
    """A coded picture: which source frame it shows (None: nothing), and its times in ticks."""

    data: bytes
    number: int | None
    pts: int
    dts: int
    key: bool


def master(codec: str, folder: Path) -> Path:
    """The codec's numbered frames in a plain file, encoded once a folder."""
    path = folder / f"{codec}.{'flv' if codec == 'flv1' else 'mkv'}"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=folder) as own:  # beside others that do the same
            _encode(codec, Path(own) / path.name).rename(path)
    return path


def _encode(codec: str, path: Path) -> Path:
    encoder, options = CODECS[codec]
    if codec.endswith("-hidden"):
        return _encode_in_two_passes(path, encoder)
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream(encoder, rate=30, options=dict(options))
        (stream.width, stream.height), stream.pix_fmt = SIZE, pix_fmt
        stream.codec_context.thread_count = 1
        for number in range(FRAMES):
            frame = gray_picture(number, pix_fmt)
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def gray_picture(number: int, pix_fmt: str = "yuv420p") -> Any:
    """A numbered frame without colour, which OpenCV's way through BGR leaves as it is."""
    frame = picture(number, *SIZE, pix_fmt)
    for plane in frame.planes[1:]:
        np.frombuffer(plane, np.uint8)[:] = 128
    return frame


def _encode_in_two_passes(path: Path, encoder: str) -> Path:
    """With alternate references, which show nothing: libvpx plans them in its first pass."""
    raw = b"".join(_raw(number) for number in range(FRAMES))
    command = [program(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "yuv420p"]
    command += ["-s", f"{SIZE[0]}x{SIZE[1]}", "-r", "30", "-i", "-", "-c:v", encoder]
    command += ["-auto-alt-ref", "1", "-lag-in-frames", "16", "-b:v", "4M", "-g", "36"]
    command += ["-arnr-maxframes", "0", "-cpu-used", "2", "-threads", "1", "-an"]
    for count in "12":
        passes = ["-pass", count, "-passlogfile", str(path.with_suffix(""))]
        subprocess.run([*command, *passes, str(path)], input=raw, check=True, capture_output=True)
    return path


def _raw(number: int) -> bytes:
    planes: Any = gray_picture(number).planes
    return b"".join(
        np.frombuffer(p, np.uint8).reshape(-1, p.line_size)[:, : p.width].tobytes() for p in planes
    )


def packets_of(codec: str, folder: Path, *, annexb: bool = False) -> list[Packet]:
    """The codec's packets in decoding order, at 30 frames a second from 0.

    ``annexb``: with all that a decoder needs in the packets themselves, as TS, PS and AVI have it.
    """
    filters = {"vp9-hidden": "vp9_superframe_split"}
    kind = codec.split("-")[0]
    if annexb and kind in ("h264", "hevc"):
        filters[codec] = f"{kind}_mp4toannexb"
    elif annexb and kind == "mpeg4":
        filters[codec] = "dump_extra"
    with av.open(str(master(codec, folder))) as source:
        stream = source.streams.video[0]
        found = [p for p in source.demux(stream) if p.size]
        if codec in filters:
            split = BitStreamFilterContext(filters[codec], stream)
            found = [q for p in (*found, None) for q in split.filter(p)]
        coded = [(bytes(p), p.pts or 0, p.is_keyframe) for p in found]
    shown = sorted({pts for data, pts, _ in coded if _shows(codec, data)})
    number_of = {pts: n for n, pts in enumerate(shown)}
    delay = max(i - number_of[pts] for i, (_, pts, _) in enumerate(coded) if pts in number_of)
    reorders = any(a[1] > b[1] for a, b in pairwise(coded))
    packets = []
    for place, (data, time, key) in enumerate(coded):
        number, shows = number_of[time], _shows(codec, data)
        pts = number * FRAME - (0 if shows else FRAME // 2)
        dts = (place - delay) * FRAME if reorders else pts
        packets.append(Packet(data, number if shows else None, pts, dts, key))
    if codec == "mpeg4-packed":
        return _packed(packets)
    return _with_parameters(packets) if annexb and kind == "h264" else packets


def _with_parameters(packets: Sequence[Packet]) -> list[Packet]:
    """The first packet's parameter sets before every picture that a decoder may begin at."""
    first = packets[0].data
    sets = first[: first.index(b"\0\0\1\x65")]
    return [
        replace(p, data=sets + p.data) if p.key and b"\0\0\1\x67" not in p.data[:8] else p
        for p in packets
    ]


def _packed(packets: Sequence[Packet]) -> list[Packet]:
    """As DivX packs them: a B picture in the chunk of the one it precedes, and an empty one after.

    The mark of such a stream stands in the first packet, before its picture.
    """
    out: list[Packet] = []
    for packet in packets:
        if out and packet.number is not None and packet.pts < out[-1].pts:
            anchor = out[-1]
            out[-1] = replace(anchor, data=anchor.data + packet.data)
            out.append(replace(packet, data=_not_coded(anchor.data)))
        else:
            out.append(packet)
    first = out[0].data
    at = first.find(b"\0\0\1\xb6")
    mark = b"\0\0\1\xb2DivX503b1393p\0"
    out[0] = replace(out[0], data=first[:at] + mark + first[at:])
    return out


def _not_coded(data: bytes) -> bytes:
    """A picture that says that nothing is coded, at the time of ``data``'s first one."""
    at = data.find(b"\0\0\1\xb6") + 4
    bits = "".join(f"{b:08b}" for b in data[at : at + 8])
    end = bits.index("0", 2) + 1 + 1 + 5 + 1  # seconds, marker, thirtieths of a second, marker
    bits = "01" + bits[2:end] + "0" + "0"
    bits += "1" * (-len(bits) % 8)
    return b"\0\0\1\xb6" + int(bits, 2).to_bytes(len(bits) // 8, "big")


def _shows(codec: str, data: bytes) -> bool:
    """Whether a VP8 or VP9 frame is one that is shown; of other codecs every packet is."""
    if codec == "vp8-hidden":
        return bool(data[0] >> 4 & 1)
    if codec == "vp9-hidden":  # marker, profile 0, show_existing_frame, frame_type, show_frame
        return bool(data[0] >> 3 & 1 or data[0] >> 1 & 1)
    return True


def moved(packets: Sequence[Packet], ticks: int, *, first: int = 0) -> list[Packet]:
    """The packets from the place ``first`` on at times ``ticks`` later."""
    return [
        replace(p, pts=p.pts + ticks, dts=p.dts + ticks) if i >= first else p
        for i, p in enumerate(packets)
    ]


def key_places(packets: Sequence[Packet]) -> list[int]:
    """Places of the packets that begin a group."""
    return [i for i, p in enumerate(packets) if p.key]


# Name: suffix, FFmpeg's name, its options.
CONTAINERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "mp4": (".mp4", "mp4", {"movflags": "faststart"}),
    "fmp4": (".mp4", "mp4", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
    "mov": (".mov", "mov", {}),
    "mkv": (".mkv", "matroska", {}),
    "webm": (".webm", "webm", {}),
    "ts": (".ts", "mpegts", {}),
    "m2ts": (".m2ts", "mpegts", {"mpegts_m2ts_mode": "1"}),
    "ps": (".mpg", "vob", {}),
    "avi": (".avi", "avi", {}),
    "flv": (".flv", "flv", {}),
}
IN_BAND = ("ts", "m2ts", "ps", "avi")  # parameter sets travel with the pictures
_H26X = ("h264", "h264-b", "h264-open", "hevc", "hevc-open")
_MPEGS = ("mpeg1", "mpeg2", "mpeg4", "mpeg4-b")
HOLDS: dict[str, tuple[str, ...]] = {
    "mp4": (*_H26X, *_MPEGS, "mjpeg", "vp9", "av1"),
    "fmp4": ("h264", "h264-b", "h264-open", "hevc-open", "mpeg4", "vp9", "av1"),
    "mov": ("h264", "h264-b", "h264-open", "hevc", "mpeg4", "mjpeg"),
    "mkv": (*_H26X, *_MPEGS, "mjpeg", "vp8", "vp8-hidden", "vp9", "vp9-hidden", "av1"),
    "webm": ("vp8", "vp8-hidden", "vp9", "vp9-hidden", "av1"),
    "ts": (*_H26X, *_MPEGS),
    "m2ts": ("h264", "h264-b", "h264-open", "hevc-open", "mpeg2"),
    "ps": ("mpeg1", "mpeg2", "h264", "h264-b", "h264-open"),
    "avi": (
        *_H26X, *_MPEGS, "mpeg4-packed", "msmpeg4", "mjpeg", "vp8", "vp8-hidden", "vp9", "av1",
    ),
    "flv": ("h264", "h264-b", "h264-open", "hevc", "flv1", "vp9", "av1"),
}  # fmt: skip


def mux(
    path: Path,
    container: str,
    codec: str,
    packets: Sequence[Packet],
    folder: Path,
    *,
    second: Sequence[Packet] = (),
    slots: Sequence[int] | None = None,
    live: bool = False,
) -> Path:
    """Lay packets into a container; ``second`` are those of another video beside them.

    An AVI has a slot for each packet, in the order of the list, or those of ``slots``. ``live``
    as one writes to a pipe, with neither length nor index.
    """
    _, format, options = CONTAINERS[container]
    if live:
        options = options | {"live": "1"}
    foreign = container == "avi" and codec.startswith("hevc")  # which FFmpeg reads, not writes
    with (
        av.open(str(master("mjpeg" if foreign else codec, folder))) as source,
        av.open(str(path), "w", format=format, options=dict(options)) as out,
    ):
        copies: list[Any] = []
        for _ in range(1 + bool(second)):
            copy: Any = out.add_stream_from_template(source.streams.video[0], opaque=True)
            copy.time_base = Fraction(1, 30) if container == "avi" else TICK
            if container in IN_BAND:
                copy.codec_context.extradata = None
            copies.append(copy)
        for place in range(max(len(packets), len(second))):
            for copy, some in zip(copies, (packets, second), strict=False):
                if place < len(some):
                    slot = place if slots is None else slots[place]
                    out.mux(_laid(some[place], slot, copy, container))
    if foreign:
        path.write_bytes(path.read_bytes().replace(b"MJPG", b"HEVC", 2))
    return path


def _laid(packet: Packet, slot: int, stream: Any, container: str) -> Any:
    laid = av.Packet(packet.data)
    laid.stream = stream
    laid.time_base = Fraction(1, 30) if container == "avi" else TICK
    laid.pts, laid.dts = (slot, slot) if container == "avi" else (packet.pts, packet.dts)
    laid.is_keyframe = packet.key
    return laid
