"""What a compressed packet says of itself before it is decoded: picture type, reference, order.

H.264 after ITU-T H.264 §7.3 and §8.2.1 (slice header up to the picture order count), MPEG-4 Visual
after ISO 14496-2 §6.2.5, MPEG-1/2 after ISO 13818-2 §6.2.3, VP8 after RFC 6386 §9.1, VP9 and AV1
after their specifications (§6.2 and §5.9.2). Only what numbering frames and leaving out
non-reference pictures needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

I, P, B, OTHER = 0, 1, 2, 3  # noqa: E741  the field's own names

_VCL: Final = (1, 2, 5)  # NAL units that begin a picture
_HIGH_PROFILES: Final = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_SILENT: Final = frozenset(range(6, 16))  # NAL units that are no part of a picture
_HEADER_BYTES: Final = 40  # more than any slice header up to the order count takes


@dataclass(frozen=True, slots=True)
class Picture:
    """A packet's picture, as its header tells it.

    ``order`` is the picture order count, comparable from one ``reset`` picture to the next;
    None where the stream does not write it. ``pictures`` counts the pictures in the packet.
    ``shown``: not so for a packet that is whole and shows nothing. ``torn``: the packet's own
    framing is broken, or it holds no picture that can be told. ``gap``: reference pictures are
    missing before it.
    """

    kind: int
    reset: bool = False  # an IDR picture: nothing after it refers to anything before it
    disposable: bool = False  # no other picture refers to it
    order: int | None = None
    field: bool = False
    pictures: int = 1
    shown: bool = True
    torn: bool = False
    gap: bool = False


class _Bits:
    """Big-endian bits with Exp-Golomb codes; reading past the end raises IndexError."""

    def __init__(self, data: bytes) -> None:
        self.value = int.from_bytes(data, "big")
        self.left = 8 * len(data)

    def u(self, n: int) -> int:
        self.left -= n
        if self.left < 0:
            raise IndexError("the header ends early")
        return (self.value >> self.left) & ((1 << n) - 1)

    def ue(self) -> int:
        zeros = 0
        while not self.u(1):
            zeros += 1
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        k = self.ue()
        return (k + 1) // 2 if k & 1 else -(k // 2)


@dataclass(frozen=True, slots=True)
class _Sps:
    frame_num_bits: int
    gaps: bool  # in the numbers of reference pictures are allowed
    order_type: int
    order_bits: int
    frames_only: bool
    separate_planes: bool


def _read_sps(nal: bytes) -> tuple[int, _Sps]:
    bits = _Bits(nal[1:].replace(b"\0\0\3", b"\0\0"))
    profile = bits.u(8)
    bits.u(16)
    number = bits.ue()
    separate = False
    if profile in _HIGH_PROFILES:
        chroma = bits.ue()
        separate = chroma == 3 and bool(bits.u(1))
        bits.ue()
        bits.ue()
        bits.u(1)
        if bits.u(1):
            for i in range(12 if chroma == 3 else 8):
                if bits.u(1):
                    _skip_scaling_list(bits, 16 if i < 6 else 64)
    frame_num_bits = bits.ue() + 4
    order_type = bits.ue()
    order_bits = 0
    if order_type == 0:
        order_bits = bits.ue() + 4
    elif order_type == 1:
        bits.u(1)
        bits.se()
        bits.se()
        for _ in range(bits.ue()):
            bits.se()
    bits.ue()
    gaps = bool(bits.u(1))
    bits.ue()
    bits.ue()
    return number, _Sps(frame_num_bits, gaps, order_type, order_bits, bool(bits.u(1)), separate)


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


@dataclass(slots=True)
class H264Reader:
    """Reads H.264 packets in file order, in either framing (length-prefixed or start codes)."""

    extradata: bytes | None
    _prefix: int = 0  # bytes of a length prefix; 0 for start codes
    _sps: dict[int, _Sps] = field(default_factory=dict)
    _sps_of_pps: dict[int, int] = field(default_factory=dict)
    _msb: int = 0
    _lsb: int = 0
    _reference: int | None = None  # the number of the last reference picture

    def __post_init__(self) -> None:
        extra = self.extradata or b""
        if extra[:1] == b"\1" and len(extra) > 6:
            self._prefix = (extra[4] & 3) + 1
            at = 6
            for count, last in ((extra[5] & 31, False), (None, True)):
                if last:
                    if at >= len(extra):
                        return
                    count, at = extra[at], at + 1
                for _ in range(count or 0):
                    size = int.from_bytes(extra[at : at + 2], "big")
                    self._parameters(extra[at + 2 : at + 2 + size])
                    at += 2 + size
        else:
            for start, end in _start_codes(extra):
                self._parameters(extra[start:end])

    def _parameters(self, nal: bytes) -> None:
        try:
            if nal and nal[0] & 31 == 7:
                number, sps = _read_sps(nal)
                self._sps[number] = sps
            elif nal and nal[0] & 31 == 8:
                bits = _Bits(nal[1:24].replace(b"\0\0\3", b"\0\0"))
                self._sps_of_pps[bits.ue()] = bits.ue()
        except IndexError:
            return  # a torn parameter set: its pictures are then of unknown order

    def read(self, data: bytes) -> Picture:
        """The packet's first picture; a packet without one is of kind OTHER."""
        spans, torn = self._prefixed(data) if self._prefix else (_start_codes(data), False)
        for start, end in spans:
            kind = data[start] & 31
            if kind in _VCL:
                picture = self._slice(data[start : min(end, start + _HEADER_BYTES)])
                return replace(picture, torn=True) if torn else picture
            if kind in (7, 8):
                self._parameters(data[start:end])
        whole = bool(spans) and not torn and all(data[a] & 0x9F in _SILENT for a, _ in spans)
        return Picture(OTHER, shown=not whole, torn=not whole)

    def _prefixed(self, data: bytes) -> tuple[list[tuple[int, int]], bool]:
        """Spans of the NAL units, and whether they do not fill the packet as their lengths say."""
        spans: list[tuple[int, int]] = []
        at = 0
        while at + self._prefix < len(data):
            size = int.from_bytes(data[at : at + self._prefix], "big")
            at += self._prefix
            if size == 0 or at + size > len(data):
                return [*spans, (at, len(data))], True
            spans.append((at, at + size))
            at += size
        return spans, at != len(data)

    def _slice(self, nal: bytes) -> Picture:
        reset = nal[0] & 31 == 5
        reference = nal[0] >> 5 & 3
        bits = _Bits(nal[1:].replace(b"\0\0\3", b"\0\0"))
        try:
            bits.ue()
            kind = {0: P, 1: B, 2: I, 3: P, 4: I}[bits.ue() % 5]
        except IndexError:
            return Picture(OTHER, torn=True)
        try:
            order, is_field, gap = self._order(bits, reset, reference)
        except (IndexError, KeyError):
            order, is_field, gap = None, False, False
        # An IDR picture without references exists in damaged streams alone.
        return Picture(kind, reset, reference == 0 and not reset, order, is_field, gap=gap)

    def _order(self, bits: _Bits, reset: bool, reference: int) -> tuple[int | None, bool, bool]:
        sps = self._sps[self._sps_of_pps[bits.ue()]]
        if sps.separate_planes:
            bits.u(2)
        number, before = bits.u(sps.frame_num_bits), self._reference
        follows = before is None or (number - before) % (1 << sps.frame_num_bits) in (0, 1)
        gap = not reset and not follows and not sps.gaps
        if reference:
            self._reference = number
        is_field = not sps.frames_only and bool(bits.u(1))
        if is_field:
            bits.u(1)
        if reset:
            bits.ue()
        if sps.order_type != 0:
            return None, is_field, gap
        lsb = bits.u(sps.order_bits)
        if reset:
            self._msb = self._lsb = 0
        half = 1 << (sps.order_bits - 1)
        msb = self._msb
        if lsb < self._lsb and self._lsb - lsb >= half:
            msb += 2 * half
        elif lsb > self._lsb and lsb - self._lsb > half:
            msb -= 2 * half
        if reference:
            self._msb, self._lsb = msb, lsb
        return msb + lsb, is_field, gap


def _start_codes(data: bytes) -> list[tuple[int, int]]:
    """Spans of the NAL units between start codes, up to and with the first picture."""
    spans: list[tuple[int, int]] = []
    at = data.find(b"\0\0\1")
    while at >= 0 and at + 3 < len(data):
        start = at + 3
        if data[start] & 31 in _VCL:  # what follows is payload: no need to search through it
            spans.append((start, len(data)))
            break
        at = data.find(b"\0\0\1", start)
        spans.append((start, at if at >= 0 else len(data)))
    return spans


@dataclass(slots=True)
class Mpeg4Reader:
    """Reads MPEG-4 Visual packets, in the codec's setup or in band."""

    extradata: bytes | None
    _bits: int | None = None  # of the time within a second

    def __post_init__(self) -> None:
        self._layer(self.extradata or b"")

    def read(self, data: bytes) -> Picture:
        """The packet's first picture; ``pictures`` is 2 for packed B-frames."""
        self._layer(data)
        at = data.find(b"\0\0\1\xb6")
        if at < 0 or at + 4 >= len(data):
            return Picture(OTHER, torn=True)
        kind = (I, P, B, P)[data[at + 4] >> 6]
        pictures = data.count(b"\0\0\1\xb6")
        return Picture(kind, pictures=pictures, shown=self._coded(data[at + 4 : at + 24]))

    def _coded(self, vop: bytes) -> bool:
        """Whether the picture is more than a note that nothing changed."""
        if self._bits is None:
            return True
        bits = _Bits(vop)
        try:
            bits.u(2)
            while bits.u(1):
                pass
            bits.u(1 + self._bits + 1)
            return bool(bits.u(1))
        except IndexError:
            return True

    def _layer(self, data: bytes) -> None:
        """Find the clock's resolution in a video object layer's header."""
        at = data.find(b"\0\0\1\x20")
        if at < 0:
            return
        bits = _Bits(data[at + 4 : at + 64])
        try:
            bits.u(9)
            if bits.u(1):
                bits.u(7)
            if bits.u(4) == 15:
                bits.u(16)
            if bits.u(1):
                bits.u(3)
                if bits.u(1):
                    bits.u(79)
            bits.u(2)
            bits.u(1)
            self._bits = max(1, (bits.u(16) - 1).bit_length())
        except IndexError:
            return


def read_mpeg12(data: bytes) -> Picture:
    """An MPEG-1 or MPEG-2 packet's first picture."""
    at = data.find(b"\0\0\1\0")
    if at < 0 or at + 5 >= len(data):
        return Picture(OTHER, torn=True)
    return Picture({1: I, 2: P, 3: B}.get(data[at + 5] >> 3 & 7, OTHER))


_VP8_START: Final = b"\x9d\x01\x2a"  # what stands behind the tag of every key frame


def read_vp8(data: bytes) -> Picture:
    """A VP8 packet's picture: hidden ones serve as references alone."""
    key = len(data) >= 3 and not data[0] & 1
    if len(data) < 3 or (key and data[3:6] != _VP8_START):
        return Picture(OTHER, torn=True)
    return Picture(P if data[0] & 1 else I, shown=bool(data[0] >> 4 & 1))


def read_vp9(data: bytes) -> Picture:
    """A VP9 packet's last picture; a superframe shows one of those that it holds."""
    shown = False
    for frame in _vp9_frames(data):
        bits = _Bits(frame[:2])
        try:
            if bits.u(2) != 2:
                return Picture(OTHER, torn=True)
            if bits.u(1) + 2 * bits.u(1) == 3:
                bits.u(1)
            if bits.u(1):
                shown = True
                continue
            bits.u(1)
            shown |= bool(bits.u(1))
        except IndexError:
            return Picture(OTHER, torn=True)
    return Picture(P, shown=shown)


def _vp9_frames(data: bytes) -> list[bytes]:
    mark = data[-1] if data else 0
    count, width = (mark & 7) + 1, (mark >> 3 & 3) + 1
    index = 2 + count * width
    if mark >> 5 != 6 or len(data) < index or data[-index] != mark:
        return [data]
    frames, at = [], 0
    for k in range(count):
        start = len(data) - index + 1 + k * width
        size = int.from_bytes(data[start : start + width], "little")
        frames.append(data[at : at + size])
        at += size
    return [f for f in frames if f]


_SEQUENCE, _FRAME_HEADER, _FRAME = 1, 3, 6


@dataclass(slots=True)
class Av1Reader:
    """Reads AV1 temporal units in file order."""

    extradata: bytes | None
    _still: bool = False  # every picture is shown, and its header does not say so

    def __post_init__(self) -> None:
        self.read((self.extradata or b"")[4:])

    def read(self, data: bytes) -> Picture:
        """Whether any picture of the unit is shown."""
        shown = found = False
        for kind, body in _av1_units(data):
            if kind == _SEQUENCE and body:
                self._still = bool(body[0] >> 3 & 1)
            if kind in (_FRAME_HEADER, _FRAME) and body:
                found = True
                existing, visible = body[0] >> 7, body[0] >> 4 & 1
                shown |= bool(self._still or existing or visible)
        return Picture(P if found else OTHER, shown=shown, torn=not found)


def _av1_units(data: bytes) -> list[tuple[int, bytes]]:
    """Types and first bytes of the open bitstream units."""
    units, at = [], 0
    while at < len(data):
        head = data[at]
        at += 2 if head & 4 else 1
        size = len(data) - at
        if head & 2:
            size = shift = 0
            while at < len(data):
                byte = data[at]
                at += 1
                size |= (byte & 127) << shift
                shift += 7
                if not byte & 128 or shift > 56:
                    break
        units.append((head >> 3 & 15, data[at : at + 4]))
        at += size
    return units
