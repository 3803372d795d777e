"""Which frame a packet of an AVI holds: counted by the slots of its constant clock.

Lost slots and those whose picture does not decode count (:mod:`tinyvirat_build.video.avi`). With
reordered pictures the slots of a group, from one picture that resets the decoder to the next, are
given to its pictures in the order in which the bitstream says they are shown; a group with lost
packets is uncertain, for what is left of it may look as if nothing were reordered.
"""

from __future__ import annotations

import numpy as np

from tinyvirat_build.geometry.arrays import Bools, Ints
from tinyvirat_build.video.bitstream import OTHER, B, I, Picture
from tinyvirat_build.video.numbers import Numbers, Packets, as_spans, join_spans


def number_slots(packets: Packets, slot: Ints, sure: Bools, total: int) -> Numbers:
    """Number the frames of an AVI by the slots of its packets.

    Args:
        packets: of the file.
        slot: of each packet, ascending, −1 for none.
        sure: whether the slot is certain.
        total: the number of slots.
    """
    nothing = ~packets.of_pictures(lambda p: p.shown, True)
    frame = np.full(len(slot), -1, np.int64)
    if nothing.any() and total > len(slot) and packets.codec in ("vp8", "vp9"):
        sure = np.zeros_like(sure)  # a lost packet may have been one that shows nothing
    if packets.codec in ("vp8", "vp9"):  # such packets take no slot either
        slot = np.where(slot >= 0, slot - np.cumsum(nothing) + nothing, -1)
        total -= int(nothing.sum())
        slot = np.where(nothing, -1, slot)
    broken = bool(packets.torn.any() or not sure.all())
    placed = np.flatnonzero(slot >= 0)
    if not len(placed):  # the file's lists are broken: nobody knows which slots these are
        return Numbers(np.arange(len(slot)), as_spans((0, len(slot))), False, broken)
    numbers = _number_placed(packets, placed, slot[placed])
    frame[placed] = numbers.frame
    frame[nothing & ~_holds_packed(packets.pictures, len(slot))] = -1
    sure = sure | nothing & (slot < 0)
    uncertain = [numbers.uncertain, _unsure(slot, sure, total)]
    if packets.codec == "vp8":
        whole = ~packets.torn
        uncertain.append(_until_sync(slot[whole], slot[whole & packets.sync], total))
    return Numbers(frame, join_spans(*uncertain), False, broken)


def _unsure(slot: Ints, sure: Bools, total: int) -> Ints:
    """Spans of slots from the last sure one before each packet that is not, to the next sure."""
    spans: list[tuple[int, int]] = []
    certain = np.flatnonzero(sure & (slot >= 0))
    for place in np.flatnonzero(~sure).tolist():
        k = int(np.searchsorted(certain, place))
        before = int(slot[certain[k - 1]]) + 1 if k else 0
        after = int(slot[certain[k]]) if k < len(certain) else total
        if not spans or spans[-1] != (before, after):
            spans.append((before, after))
    return as_spans(*spans)


def _until_sync(slot: Ints, sync: Ints, total: int) -> Ints:
    """Spans of slots from each one that is lost to the next picture that needs no other.

    VP8's decoder makes up for what it lacks with what its memory held before: two runs of the
    same program differ in what they show there.
    """
    lost = np.setdiff1d(np.arange(total), slot)
    after = np.append(np.unique(sync[sync >= 0]), total)
    return np.array([lost, after[np.searchsorted(after, lost)]], np.int64).T


def _holds_packed(pictures: list[Picture], count: int) -> Bools:
    """Packets that stand for the second picture of the one before."""
    held = np.zeros(count, bool)
    if pictures:
        held[1:] = [p.pictures == 2 for p in pictures[:-1]]
    return held


def _number_placed(packets: Packets, placed: Ints, slot: Ints) -> Numbers:
    everything = as_spans((0, int(slot[-1]) + 1))
    pictures = [packets.pictures[p] for p in placed] if packets.pictures else []
    packed = _holds_packed(pictures, len(slot))
    if packets.codec in ("hevc", "vc1", "wmv3", "vvc", "av1", "libdav1d") or np.any(
        np.diff(slot) <= 0
    ):
        return Numbers(slot, everything, False)
    if any(
        p.pictures > 2 or (p.pictures == 2 and h) for p, h in zip(pictures, packed, strict=False)
    ):
        return Numbers(slot, everything, False)
    if packets.codec == "h264":
        return number_by_order(slot, pictures)
    kinds = np.array([p.kind for p in pictures], np.int64)
    if len(kinds) and packed.any():
        kinds[packed] = B
    if np.any(kinds == B):
        return number_by_kind(slot, kinds, packets.announced)
    return Numbers(slot, as_spans(), False)


def number_by_order(slot: Ints, pictures: list[Picture]) -> Numbers:
    """Slots in picture order within each group from an IDR picture to the next (H.264 §8.2.1)."""
    frame = slot.astype(np.int64)
    kinds = np.array([p.kind for p in pictures], np.int64)
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
        if (lost or not reset[a]) and (reorders or moved):
            uncertain.append((int(slot[a]), after))
        elif reorders and b == len(slot):
            # Nothing follows the last group that would show its end missing, but its counts do.
            gaps = np.flatnonzero(np.diff(order[a:b][shown]) != step)
            if len(gaps):
                uncertain.append((int(slot[a]) + int(gaps[0]) + 1, after))
    return Numbers(frame, as_spans(*uncertain), False)


def _least_step(order: Ints, starts: Ints, ends: Ints) -> int:
    """The least difference of two order counts of a group: that of neighbours."""
    steps = [np.diff(np.unique(order[a:b])) for a, b in zip(starts, ends, strict=True)]
    return int(np.concatenate(steps).min(initial=np.iinfo(np.int64).max))


def number_by_kind(slot: Ints, kinds: Ints, announced: int) -> Numbers:
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
    lossy |= np.add.reduceat(kinds == OTHER, starts) > 0  # torn: nobody knows which kind it was
    lossy[-1] |= announced > after
    # A group's B pictures that are shown before its first one refer to the group before.
    return Numbers(frame, join_spans(np.c_[begins, ends + 2][lossy]), False)
