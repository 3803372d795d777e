"""What befalls a finished file, byte by byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av

PIECE = 32  # bytes of a packet that lie together in any container


def payloads(video: Path) -> list[tuple[int, bytes]]:
    """Where each packet of the first video is said to be, and its bytes."""
    with av.open(str(video)) as source:
        return [
            (max(p.pos or 0, 0), bytes(p)) for p in source.demux(source.streams.video[0]) if p.size
        ]


def payload_zeroed(video: Path, place: int) -> bytes:
    """The packet is there, and nothing in it but zeros (as far as it lies in one piece)."""
    data = bytearray(video.read_bytes())
    at, payload = payloads(video)[place]
    for start in range(0, len(payload), PIECE):
        piece = payload[start : start + PIECE]
        found = data.find(piece, at)
        if len(piece) > 8 and found >= 0:
            data[found : found + len(piece)] = bytes(len(piece))
            at = found
    return bytes(data)


def tail_cut(video: Path, place: int) -> bytes:
    """The file ends somewhere in the packet."""
    data = video.read_bytes()
    at, payload = payloads(video)[place]
    places = (data.find(payload[k : k + PIECE], at) for k in range(0, len(payload), PIECE))
    return data[: next(p for p in places if p >= 0) + PIECE]


def avi_chunks(data: bytes) -> list[tuple[int, int]]:
    """Position and size of every chunk of the first stream, headers not counted in the size."""
    at = data.find(b"movi") + 4
    chunks = []
    while data[at : at + 2] == b"00":
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        chunks.append((at, size))
        at += 8 + size + size % 2
    return chunks


def avi_header_zeroed(video: Path, place: int) -> bytes:
    data = bytearray(video.read_bytes())
    at, _ = avi_chunks(data)[place]
    data[at : at + 4] = bytes(4)
    return bytes(data)


def avi_size_wrong(video: Path, place: int) -> bytes:
    data = bytearray(video.read_bytes())
    at, size = avi_chunks(data)[place]
    data[at + 4 : at + 8] = (size + 5000).to_bytes(4, "little")
    return bytes(data)


def avi_bytes_cut(video: Path, place: int) -> bytes:
    data = video.read_bytes()
    at, size = avi_chunks(data)[place]
    return data[: at + 8 + size // 2] + data[at + 8 + size :]


def avi_chunk_gone(video: Path, place: int) -> bytes:
    data = video.read_bytes()
    at, size = avi_chunks(data)[place]
    return data[:at] + data[at + 8 + size + size % 2 :]


def avi_index_lost(video: Path, place: int) -> bytes:
    data = video.read_bytes()
    return data[: data.rfind(b"idx1")]


def avi_chunk_and_index_lost(video: Path, place: int) -> bytes:
    data = avi_chunk_gone(video, place)
    return data[: data.rfind(b"idx1")]


def _ts_units(data: bytes, step: int) -> list[list[int]]:
    """For each PES packet of the first video's PID, where its transport packets lie."""
    video, units = -1, list[list[int]]()
    for at in range(step - 188, len(data) - 187, step):
        pid = int.from_bytes(data[at + 1 : at + 3], "big") & 0x1FFF
        if video < 0 and b"\0\0\1\xe0" in data[at + 4 : at + 188]:
            video = pid
        if pid == video:
            if data[at + 1] & 0x40:
                units.append([])
            units[-1].append(at)
    return units


def _step(video: Path) -> int:
    return 192 if video.suffix == ".m2ts" else 188


def ts_packets_gone(video: Path, place: int) -> bytes:
    """A picture's transport packets never came."""
    data, step = video.read_bytes(), _step(video)
    gone = set(_ts_units(data, step)[place])
    return b"".join(
        data[at - step + 188 : at + 188]
        for at in range(step - 188, len(data) - 187, step)
        if at not in gone
    )


def ts_sync_lost(video: Path, place: int) -> bytes:
    """The first transport packet of a picture is overwritten with zeros."""
    data, step = bytearray(video.read_bytes()), _step(video)
    at = _ts_units(data, step)[place][0]
    data[at : at + 188] = bytes(188)
    return bytes(data)


def _block(video: Path, place: int) -> tuple[bytes, int, int]:
    """The file, and from where to where a Matroska SimpleBlock's header and payload reach."""
    data = video.read_bytes()
    at, payload = payloads(video)[place]
    found = data.find(payload, at)
    return data, data.rfind(b"\xa3", 0, found - 4), found + len(payload)


def mkv_block_zeroed(video: Path, place: int) -> bytes:
    """The head of a block is overwritten with zeros."""
    data, start, _ = _block(video, place)
    return data[:start] + bytes(6) + data[start + 6 :]


def mkv_block_gone(video: Path, place: int) -> bytes:
    """A block's bytes are cut out; its cluster still announces them."""
    data, start, end = _block(video, place)
    return data[:start] + data[end:]


def flv_tag_gone(video: Path, place: int) -> bytes:
    """A tag is cut out, with its header."""
    data = video.read_bytes()
    at, payload = payloads(video)[place]
    found = data.find(payload, at)
    start = data.rfind(b"\x09", 0, found - 12)
    return data[:start] + data[found + len(payload) + 4 :]


def flv_tag_zeroed(video: Path, place: int) -> bytes:
    """The head of a tag is overwritten with zeros."""
    data = video.read_bytes()
    at, payload = payloads(video)[place]
    start = data.rfind(b"\x09", 0, data.find(payload, at) - 12)
    return data[:start] + bytes(11) + data[start + 11 :]


def ps_header_zeroed(video: Path, place: int) -> bytes:
    """The start code of one of the first video's packets is overwritten with zeros."""
    data = bytearray(video.read_bytes())
    at = -1
    for _ in range(place + 1):
        at = data.find(b"\0\0\1\xe0", at + 1)
    data[at : at + 4] = bytes(4)
    return bytes(data)


def ps_packet_gone(video: Path, place: int) -> bytes:
    """One of the first video's packets is cut out."""
    data = video.read_bytes()
    at = -1
    for _ in range(place + 1):
        at = data.find(b"\0\0\1\xe0", at + 1)
    size = int.from_bytes(data[at + 4 : at + 6], "big")
    return data[:at] + data[at + 6 + size :]


def fragment_gone(video: Path, place: int) -> bytes:
    """The head of a fragment of an MP4 is overwritten with zeros."""
    data = bytearray(video.read_bytes())
    at = -1
    for _ in range(3):
        at = data.find(b"moof", at + 1)
    data[at : at + 4] = b"free"
    return bytes(data)


def cover_first(video: Path) -> bytes:
    """An MP4 with a cover picture, moved before the tracks, so that it is the first stream."""
    data = video.read_bytes()
    moov = data.find(b"moov") - 4
    size = int.from_bytes(data[moov : moov + 4], "big")
    boxes = _boxes(data[moov + 8 : moov + size])
    user = [b for b in boxes if b[4:8] == b"udta"]
    rest = [b for b in boxes if b[4:8] != b"udta"]
    inner = b"".join([rest[0], *user, *rest[1:]])
    return data[: moov + 8] + inner + data[moov + size :]


def _boxes(data: bytes) -> list[bytes]:
    out, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        out.append(data[at : at + size])
        at += size
    return out


def joined(first: Path, second: Path) -> bytes:
    """One recording behind the other, as they are; Matroska and FLV without the second's head."""
    data, more = first.read_bytes(), second.read_bytes()
    if second.suffix in (".mkv", ".webm"):
        more = more[more.find(b"\x1f\x43\xb6\x75") :]
    elif second.suffix == ".flv":
        more = more[13:]
    return data + more


Surgery = Callable[[Path, int], bytes]


def rewritten(video: Path, work: Any, *arguments: Any) -> Path:
    """The video, in place, after such an operation."""
    video.write_bytes(work(video, *arguments))
    return video
