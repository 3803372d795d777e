"""Which frame a packet holds: its place in the picture sequence that the annotators saw.

- AVI carries decoding timestamps alone, one a slot of constant duration; a slot without a packet
  is a lost frame. The number is the slot, which is what setting a packet's ``pts`` to its ``dts``
  gives (the ``pts`` that demuxers guess for AVI are wrong and are not used).
- AVI with reordered pictures (B-frames): the slots of a group, from one picture that resets the
  decoder to the next, are given to its pictures in the order in which the bitstream says they are
  shown. A group with lost packets is *uncertain*, and no clip is cut from it: what is left of it
  may look as if nothing were reordered.
- Elsewhere presentation timestamps order the frames: the number is the rank among the packets
  that are shown (an edit list hides some), whatever the rate does and wherever time starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tinyvirat_build.errors import VideoError
from tinyvirat_build.video.bitstream import B, I, Picture

NO_TIME: Final = np.iinfo(np.int64).min

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Numbers:
    """The frame of each packet, −1 for one that is not shown, ``(P,)``.

    ``uncertain`` is ``(K, 2)``, half-open spans of frame numbers that no rule makes certain;
    ``timed``: presentation times order the frames.
    """

    frame: Ints
    uncertain: Ints
    timed: bool


def _spans(*spans: tuple[int, int]) -> Ints:
    return np.array(spans, np.int64).reshape(-1, 2)


def number_frames(
    path: Path,
    container: str,
    stream: Any,
    pts: Ints,
    dts: Ints,
    hidden: Bools,
    pictures: list[Picture],
) -> Numbers:
    """Number the frames of a video from its packets.

    Args:
        path: of the video, for messages.
        container: FFmpeg's name of the format.
        stream: PyAV's stream.
        pts, dts: of the packets in file order, ``(P,)``; :data:`NO_TIME` where there is none.
        hidden: packets that an edit list hides, ``(P,)``.
        pictures: what the bitstream says of each packet; empty for codecs that are not read.

    Raises:
        VideoError: ``uncertain_frames``, where no rule names any frame.
    """
    shown_pts = pts[~hidden]
    if container != "avi" and not np.any(shown_pts == NO_TIME):
        if len(np.unique(shown_pts)) < len(shown_pts):
            raise VideoError("uncertain_frames", f"{path}: two frames share a time; remux it")
        frame = np.full(len(pts), -1, np.int64)
        frame[~hidden] = np.argsort(np.argsort(shown_pts, kind="stable"), kind="stable")
        return Numbers(frame, _spans(), True)
    slot = np.arange(len(dts)) if container != "avi" else dts
    if np.any(slot == NO_TIME) or np.any(np.diff(slot) <= 0) or slot[0] < 0:
        raise VideoError(
            "uncertain_frames", f"{path}: the times of packets do not ascend; remux it"
        )
    everything = _spans((0, int(slot[-1]) + 1))
    codec = stream.codec_context.name
    if codec in ("hevc", "vc1", "wmv3", "vvc", "av1", "vp9") or any(
        p.pictures > 1 for p in pictures
    ):
        return Numbers(slot.astype(np.int64), everything, False)
    kinds = np.array([p.kind for p in pictures], np.int64)
    if codec == "h264":
        return _number_by_order(slot, pictures, kinds)
    if np.any(kinds == B):
        return _number_by_kind(slot, kinds, stream.frames)
    return Numbers(slot.astype(np.int64), _spans(), False)


def _number_by_order(slot: Ints, pictures: list[Picture], kinds: Ints) -> Numbers:
    """Slots in picture order within each group from an IDR picture to the next (H.264 §8.2.1)."""
    frame = slot.astype(np.int64)
    known = np.array([p.order is not None for p in pictures], bool)
    order = np.array([p.order or 0 for p in pictures], np.int64)
    reset = np.array([p.reset for p in pictures], bool)
    starts = np.flatnonzero(reset)
    starts = starts if len(starts) and starts[0] == 0 else np.r_[0, starts]
    ends = np.r_[starts[1:], len(slot)]
    afters = np.r_[slot[starts[1:]], slot[-1] + 1]
    lossy = afters - slot[starts] != ends - starts
    # A lost IDR picture lets the count fall as well, so that only whole groups tell.
    falls = np.diff(order) < 0
    falls[(reset | ~known)[1:] | ~known[:-1]] = False
    falls &= ~np.repeat(lossy, ends - starts)[1:]
    reorders = bool(np.any(kinds == B) or np.any(falls))
    step = _least_step(order, starts, ends)
    uncertain = []
    for a, b, after, lost in zip(
        starts.tolist(), ends.tolist(), afters.tolist(), lossy.tolist(), strict=True
    ):
        if not known[a:b].all():  # another kind of order count, or a damaged header
            if np.any(kinds[a:b] == B) or (lost and reorders):
                uncertain.append((int(slot[a]), after))
            continue
        shown = np.argsort(order[a:b], kind="stable")
        moved = not np.array_equal(shown, np.arange(b - a))
        frame[a + shown] = slot[a:b]
        if (lost and (reorders or moved)) or (moved and not reset[a]):
            uncertain.append((int(slot[a]), after))
        elif reorders and b == len(slot):
            # Nothing follows the last group that would show its end missing, but its counts do.
            gaps = np.flatnonzero(np.diff(order[a:b][shown]) != step)
            if len(gaps):
                uncertain.append((int(slot[a]) + int(gaps[0]) + 1, after))
    return Numbers(frame, _spans(*uncertain), False)


def _least_step(order: Ints, starts: Ints, ends: Ints) -> int:
    """The least difference of two order counts of a group: that of neighbours."""
    steps = [np.diff(np.unique(order[a:b])) for a, b in zip(starts, ends, strict=True)]
    return int(np.concatenate(steps).min(initial=np.iinfo(np.int64).max))


def _number_by_kind(slot: Ints, kinds: Ints, announced: int) -> Numbers:
    """One picture of delay: a B picture is shown at once, any other when the next one comes.

    ``announced`` is the number of slots by the file's header: fewer are a torn end.
    """
    after = int(slot[-1]) + 1
    held = np.flatnonzero(kinds != B)
    frame = slot - 1
    frame[held] = np.r_[slot[held[1:]], after] - 1
    starts = np.flatnonzero(kinds == I)
    starts = starts if len(starts) and starts[0] == 0 else np.r_[0, starts]
    begins, ends = slot[starts], np.r_[slot[starts[1:]], after]
    lossy = (ends - begins) != np.diff(np.r_[starts, len(slot)])
    lossy[-1] |= announced > after
    # A group's B pictures that are shown before its first one refer to the group before.
    marks = np.c_[begins, ends + 2][lossy]
    spans: list[tuple[int, int]] = []
    for begin, end in marks.tolist():
        if spans and begin <= spans[-1][1]:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((begin, end))
    return Numbers(frame, _spans(*spans), False)
