"""The cells of the matrix: a container, a codec, and what befell the file.

What a cell's frames should show comes from the ffmpeg program, which puts out what a player shows;
in an AVI it is the slots of its clock, which are known for each packet that was laid into it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av

from . import awkward, surgery
from .awkward import CONTAINERS, FRAME, FRAMES, HOLDS, IN_BAND, INTRA, OPEN, SIZE, Packet
from .judged import Outcome, cut_all
from .players import Number, Shown, by_count, by_place, opencv_shows, program_shows
from .surgery import rewritten

MIDDLE = 27  # a packet in the middle of a group
_WRAP = (2**33 // 3) - 36 * FRAME - 42 * FRAME  # so that a 90 kHz clock of 33 bits wraps midway


@dataclass(frozen=True, slots=True)
class Cell:
    """One video of the matrix."""

    container: str
    codec: str
    fault: str

    @property
    def name(self) -> str:
        return f"{self.container}-{self.codec}-{self.fault}"


@dataclass(frozen=True, slots=True)
class Made:
    """A rendered cell; ``slots`` are the numbers due in an AVI's slots, None where lost."""

    video: Path
    slots: list[Number] | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """What befell a file: in words, where it can, and how."""

    what: str
    befalls: Callable[[str, str], bool]
    make: Callable[[Cell, Path, Path], Made]
    damages: bool = False  # pictures are lost, so that clips may be refused for it


def _packets(cell: Cell, lab: Path) -> list[Packet]:
    return awkward.packets_of(cell.codec, lab, annexb=cell.container in IN_BAND)


def _mux(cell: Cell, packets: Sequence[Packet], lab: Path, out: Path, **how: object) -> Made:
    suffix = CONTAINERS[cell.container][0]
    video = out / f"{cell.name}{suffix}"
    awkward.mux(video, cell.container, cell.codec, packets, lab, **how)  # type: ignore[arg-type]
    slots = sorted(p.number for p in packets if p.number is not None)
    return Made(video, list(slots) if cell.container == "avi" else None)


def _plain(cell: Cell, lab: Path, out: Path) -> Made:
    return _mux(cell, _packets(cell, lab), lab, out)


def _in_group(cell: Cell, lab: Path, out: Path) -> Made:
    """From the middle of the first group on, its times from 0."""
    packets = _packets(cell, lab)[4:]
    made = _mux(cell, _from_zero(packets), lab, out)
    return made


def _from_zero(packets: Sequence[Packet]) -> list[Packet]:
    return awkward.moved(packets, -min(p.pts for p in packets))


def _at_open_group(cell: Cell, lab: Path, out: Path) -> Made:
    packets = _packets(cell, lab)
    return _mux(cell, _from_zero(packets[awkward.key_places(packets)[1] :]), lab, out)


def _restarts(cell: Cell, lab: Path, out: Path) -> Made:
    """Another recording behind it, whose clock starts half a frame later."""
    packets = _packets(cell, lab)
    live = cell.container in ("mkv", "webm")
    first = _mux(cell, packets, lab, out, live=live)
    part = out / f"part{first.video.suffix}"
    awkward.mux(
        part, cell.container, cell.codec, awkward.moved(packets, FRAME // 2), lab, live=live
    )
    return Made(rewritten(first.video, surgery.joined, part))


def _later(ticks: int) -> Callable[[Cell, Path, Path], Made]:
    def make(cell: Cell, lab: Path, out: Path) -> Made:
        packets = _packets(cell, lab)
        keys = awkward.key_places(packets)
        first = keys[len(keys) // 2]
        return _mux(cell, awkward.moved(packets, ticks, first=first), lab, out)

    return make


def _moved(ticks: int) -> Callable[[Cell, Path, Path], Made]:
    def make(cell: Cell, lab: Path, out: Path) -> Made:
        return _mux(cell, awkward.moved(_packets(cell, lab), ticks), lab, out)

    return make


def _second(cell: Cell, lab: Path, out: Path) -> Made:
    packets = _packets(cell, lab)
    other = _from_zero(packets[awkward.key_places(packets)[1] :])
    return _mux(cell, packets, lab, out, second=other)


def _cover(cell: Cell, lab: Path, out: Path) -> Made:
    made = _plain(cell, lab, out)
    cover, both = out / "cover.png", out / f"{cell.name}-cover{made.video.suffix}"
    with av.open(str(cover), "w", format="image2", options={"update": "1"}) as image:
        stream = image.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "rgb24"  # type: ignore[attr-defined]
        picture = awkward.gray_picture(4095).reformat(format="rgb24")
        image.mux([*stream.encode(picture), *stream.encode(None)])  # type: ignore[attr-defined]
    from .stamped import run_ffmpeg

    run_ffmpeg(
        "-i", made.video, "-i", cover, "-map", "0", "-map", "1", "-c", "copy",
        "-disposition:v:1", "attached_pic", both,
    )  # fmt: skip
    return Made(rewritten(both, surgery.cover_first))


def _then(work: surgery.Surgery, place: int) -> Callable[[Cell, Path, Path], Made]:
    def make(cell: Cell, lab: Path, out: Path) -> Made:
        made = _plain(cell, lab, out)
        return Made(rewritten(made.video, work, place), made.slots)

    return make


def _empty_slots(cell: Cell, lab: Path, out: Path) -> Made:
    """An AVI whose recorder left slots empty."""
    packets = _packets(cell, lab)
    gone = {5, 29, 30, 50}
    kept = [(i, p) for i, p in enumerate(packets) if i not in gone]
    made = _mux(cell, [p for _, p in kept], lab, out, slots=[i for i, _ in kept])
    return Made(made.video, list(range(FRAMES)))


def _every(container: str, codec: str) -> bool:
    return True


def _only(*containers: str) -> Callable[[str, str], bool]:
    return lambda container, codec: container in containers


def _inter(container: str, codec: str) -> bool:
    return codec not in INTRA


def _timed(container: str, codec: str) -> bool:
    return container != "avi" and (container != "mp4" or codec != "mjpeg")


FAULTS: dict[str, Fault] = {
    "plain": Fault("nothing", _every, _plain),
    "in-group": Fault("it starts inside a group of pictures", _inter, _in_group),
    "open-start": Fault(
        "it starts at an open group (a CRA with RASL pictures)",
        lambda container, codec: codec in OPEN,
        _at_open_group,
    ),
    "restart": Fault(
        "two recordings joined: the clock restarts",
        _only("ts", "m2ts", "ps", "flv", "mkv", "webm"),
        _restarts,
    ),
    "wrap": Fault("the clock wraps at 2³³", _only("ts", "m2ts", "ps"), _moved(_WRAP)),
    "jump": Fault("the clock jumps an hour ahead", _timed, _later(30 * 3600 * FRAME)),
    "hole": Fault("a hole of two seconds", _timed, _later(60 * FRAME)),
    "edit": Fault("an edit list hides the start", _only("mp4", "mov"), _moved(-10 * FRAME)),
    "first-lost": Fault(
        "the first packet is zeros", _every, _then(surgery.payload_zeroed, 0), True
    ),
    "lost": Fault(
        "a packet is zeros", _every, _then(surgery.payload_zeroed, MIDDLE), True
    ),
    "tail": Fault("the end is cut off", _every, _then(surgery.tail_cut, 50), True),
    "cover": Fault("a cover picture is the first stream", _only("mp4"), _cover),
    "two": Fault("two videos", _only("mp4", "mov", "mkv", "ts", "avi"), _second),
    "slots": Fault("the recorder left slots empty", _only("avi"), _empty_slots, True),
    "chunk-head": Fault(
        "a chunk's head is zeros", _only("avi"), _then(surgery.avi_header_zeroed, MIDDLE), True
    ),
    "chunk-size": Fault(
        "a chunk's size is wrong", _only("avi"), _then(surgery.avi_size_wrong, MIDDLE), True
    ),
    "chunk-cut": Fault(
        "bytes of a chunk are cut out", _only("avi"), _then(surgery.avi_bytes_cut, MIDDLE), True
    ),
    "chunk-gone": Fault(
        "a chunk is cut out", _only("avi"), _then(surgery.avi_chunk_gone, MIDDLE), True
    ),
    "index-lost": Fault("idx1 is lost", _only("avi"), _then(surgery.avi_index_lost, 0), True),
    "chunk-and-index": Fault(
        "a chunk and idx1 are cut out",
        _only("avi"),
        _then(surgery.avi_chunk_and_index_lost, MIDDLE),
        True,
    ),
    "packets-gone": Fault(
        "a picture's transport packets are missing",
        _only("ts", "m2ts"),
        _then(surgery.ts_packets_gone, MIDDLE),
        True,
    ),
    "sync-lost": Fault(
        "a transport packet is zeros",
        _only("ts", "m2ts"),
        _then(surgery.ts_sync_lost, MIDDLE),
        True,
    ),
    "block-head": Fault(
        "a block's head is zeros",
        _only("mkv", "webm"),
        _then(surgery.mkv_block_zeroed, MIDDLE),
        True,
    ),
    "block-gone": Fault(
        "a block is cut out", _only("mkv", "webm"), _then(surgery.mkv_block_gone, MIDDLE), True
    ),
    "tag-head": Fault(
        "a tag's head is zeros", _only("flv"), _then(surgery.flv_tag_zeroed, MIDDLE), True
    ),
    "tag-gone": Fault(
        "a tag is cut out", _only("flv"), _then(surgery.flv_tag_gone, MIDDLE), True
    ),
    "pes-head": Fault(
        "a packet's start code is zeros", _only("ps"), _then(surgery.ps_header_zeroed, 6), True
    ),
    "pes-gone": Fault(
        "a packet is cut out", _only("ps"), _then(surgery.ps_packet_gone, 6), True
    ),
    "fragment": Fault(
        "a fragment's head is lost", _only("fmp4"), _then(surgery.fragment_gone, 0), True
    ),
}  # fmt: skip


def cells() -> Iterator[Cell]:
    """All of them."""
    for container, codecs in HOLDS.items():
        for codec in codecs:
            for name, fault in FAULTS.items():
                if fault.befalls(container, codec):
                    yield Cell(container, codec, name)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a cell. ``mark``: exact, marked, refused, or wrong."""

    cell: Cell
    mark: str
    reasons: tuple[str, ...]
    detail: str
    said: str  # by the program
    opencv: str  # beside the program: same, stops, other


def run(cell: Cell, lab: Path) -> Result:
    """Render a cell and cut all of it; ``lab`` keeps what is encoded once for many cells."""
    with tempfile.TemporaryDirectory(dir=lab) as folder:
        made = FAULTS[cell.fault].make(cell, lab, Path(folder))
        shown = program_shows(made.video, SIZE)
        opencv = opencv_shows(made.video)
        beside = _beside(shown.numbers, opencv, damaged=FAULTS[cell.fault].damages)
        due = shown.numbers if made.slots is None else made.slots
        found = cut_all(made.video, max(len(due), 1), SIZE, Path(folder))
        return _judge(cell, due, shown, found, beside)


def _beside(program: list[Number], opencv: list[Number], *, damaged: bool) -> str:
    """What OpenCV shows beside the program: the same, only a beginning of it, or something else.

    Of a damaged file as many pictures are the same: two runs of the program differ in them too.
    """
    pairs = zip(program, opencv, strict=False)
    if not damaged and any(a is not None and b is not None and a != b for a, b in pairs):
        return "other"
    if len(opencv) > len(program):
        return "other"
    return "same" if len(opencv) == len(program) else "stops"


def _judge(cell: Cell, due: list[Number], shown: Shown, found: Outcome, beside: str) -> Result:
    if found.reason is not None:
        return Result(cell, "refused", (found.reason,), found.message, shown.said, beside)
    reasons = tuple(sorted({c.reason for c in found.clips if c.reason}))
    wrong = []
    for clip in found.clips:
        strays = clip.strays(by_count(due))
        if strays and FAULTS[cell.fault].damages:
            # A picture that is lost keeps its place, where there is evidence of the loss.
            strays = clip.strays(by_place(shown, FRAMES, *clip.corner))
        if strays:
            wrong.append(f"{clip.start}–{clip.end}: {strays[:3]} held {clip.held}")
        elif clip.objections:
            wrong.append(f"{clip.start}–{clip.end}: verify: {clip.objections[:2]}")
    if not FAULTS[cell.fault].damages and found.n_frames != len(due):
        wrong.append(f"{found.n_frames} frames, but players show {len(due)}")
    if wrong:
        return Result(cell, "wrong", reasons, "; ".join(wrong), shown.said, beside)
    return Result(cell, "marked" if reasons else "exact", reasons, "", shown.said, beside)
