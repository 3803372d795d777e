"""What a compressed packet says of itself before it is decoded: picture type, reference, order.

H.264 after ITU-T H.264 §7.3 and §8.2.1 (slice header up to the picture order count), MPEG-4 Visual
after ISO 14496-2 §6.2.5, MPEG-1/2 after ISO 13818-2 §6.2.3. Only what numbering frames and
leaving out non-reference pictures needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

I, P, B, OTHER = 0, 1, 2, 3  # noqa: E741  the field's own names

_VCL: Final = (1, 2, 5)  # NAL units that begin a picture
_HIGH_PROFILES: Final = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_HEADER_BYTES: Final = 40  # more than any slice header up to the order count takes


@dataclass(frozen=True, slots=True)
class Picture:
    """A packet's picture, as its header tells it.

    ``order`` is the picture order count, comparable from one ``reset`` picture to the next;
    None where the stream does not write it. ``pictures`` counts the pictures in the packet.
    """

    kind: int
    reset: bool = False  # an IDR picture: nothing after it refers to anything before it
    disposable: bool = False  # no other picture refers to it
    order: int | None = None
    field: bool = False
    pictures: int = 1


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
    bits.u(1)
    bits.ue()
    bits.ue()
    return number, _Sps(frame_num_bits, order_type, order_bits, bool(bits.u(1)), separate)


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
        spans = self._prefixed(data) if self._prefix else _start_codes(data)
        for start, end in spans:
            kind = data[start] & 31
            if kind in _VCL:
                return self._slice(data[start : min(end, start + _HEADER_BYTES)])
            if kind in (7, 8):
                self._parameters(data[start:end])
        return Picture(OTHER)

    def _prefixed(self, data: bytes) -> list[tuple[int, int]]:
        spans, at = [], 0
        while at + self._prefix < len(data):
            size = int.from_bytes(data[at : at + self._prefix], "big")
            at += self._prefix
            spans.append((at, min(at + size, len(data))))
            if size == 0 or data[at] & 31 in _VCL:
                break
            at += size
        return spans

    def _slice(self, nal: bytes) -> Picture:
        reset = nal[0] & 31 == 5
        reference = nal[0] >> 5 & 3
        bits = _Bits(nal[1:].replace(b"\0\0\3", b"\0\0"))
        try:
            bits.ue()
            kind = {0: P, 1: B, 2: I, 3: P, 4: I}[bits.ue() % 5]
        except IndexError:
            return Picture(OTHER)
        try:
            order, is_field = self._order(bits, reset, reference)
        except (IndexError, KeyError):
            order, is_field = None, False
        # An IDR picture without references exists in damaged streams alone.
        return Picture(kind, reset, reference == 0 and not reset, order, is_field)

    def _order(self, bits: _Bits, reset: bool, reference: int) -> tuple[int | None, bool]:
        sps = self._sps[self._sps_of_pps[bits.ue()]]
        if sps.separate_planes:
            bits.u(2)
        bits.u(sps.frame_num_bits)
        is_field = not sps.frames_only and bool(bits.u(1))
        if is_field:
            bits.u(1)
        if reset:
            bits.ue()
        if sps.order_type != 0:
            return None, is_field
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
        return msb + lsb, is_field


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


def read_mpeg4(data: bytes) -> Picture:
    """An MPEG-4 Visual packet's first picture; ``pictures`` is 2 for packed B-frames."""
    at = data.find(b"\0\0\1\xb6")
    if at < 0 or at + 4 >= len(data):
        return Picture(OTHER)
    kind = (I, P, B, P)[data[at + 4] >> 6]
    return Picture(kind, pictures=data.count(b"\0\0\1\xb6"))


def read_mpeg12(data: bytes) -> Picture:
    """An MPEG-1 or MPEG-2 packet's first picture."""
    at = data.find(b"\0\0\1\0")
    if at < 0 or at + 5 >= len(data):
        return Picture(OTHER)
    return Picture({1: I, 2: P, 3: B}.get(data[at + 5] >> 3 & 7, OTHER))
