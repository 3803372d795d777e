"""Which frame a packet holds: its place in the picture sequence that the annotators saw.

They saw what players show, so frame k is the k-th picture that a plain decode from the file's
first packet puts out. Packets tell most of it, and what they cannot tell is looked at:

- The order is that of presentation times within a section; where the clock restarts, sections
  follow each other as they lie in the file. Where times are wanting, collide, or disagree with
  the order that the bitstream writes, the whole file is decoded once and watched.
- Packets that an edit list hides, or that show nothing, have no number.
- The start, every joint of two sections and every damaged spot are decoded: pictures before the
  first that a section puts out have no number.
- Lost packets change no number, for players do not see them either. But where the structure of
  the file or of the bitstream is broken *and* time steps as never before, nobody knows whether
  the annotators saw the loss: what follows is *uncertain*, and no clip is cut from it.

AVI is counted otherwise: by the slots of its clock (:mod:`tinyvirat_build.video.slots`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from tinyvirat_build.errors import VideoError
from tinyvirat_build.geometry.arrays import Bools, Ints
from tinyvirat_build.video.numbers import NO_TIME, Numbers, Packets, as_spans, join_spans
from tinyvirat_build.video.slots import number_by_kind, number_by_order

REORDER: Final = 16  # pictures that any of the codecs holds back at most
_LOOKS: Final = 200  # places that are decoded at most; after so many nothing is certain
_STREAMS: Final = frozenset({"mpegts", "mpeg"})  # that may begin anywhere
_IN_FILE_ORDER: Final = frozenset({"vp8", "vp9", "av1", "mjpeg", "msmpeg4v3", "png", "ffv1"})


Look = Callable[[Sequence[tuple[int, int]]], list[Ints]]
"""Decodes from each ``first`` to beyond ``last``; gives the packets shown, in the order shown."""


def number_shown(packets: Packets, look: Look) -> Numbers:
    """Number the frames of a video that is no AVI.

    Raises:
        VideoError: ``edit_list``, where it shows packets more than once.
    """
    shown = ~packets.hidden & packets.of_pictures(lambda p: p.shown, True)
    if packets.container == "mov" and len(np.unique(packets.pos[shown])) < shown.sum():
        raise VideoError(
            "edit_list", f"{packets.path}: its edit list shows frames twice; remux it without"
        )
    section = _sections(packets.dts)
    timed = not np.any(packets.pts[shown] == NO_TIME)
    if timed:
        order = np.lexsort((packets.pts, section))
        order = order[shown[order]]
    else:
        order = _order_of_bitstream(packets, shown)
    joints = np.flatnonzero(np.diff(section)) + 1
    if timed and _is_doubtful(packets, order, section):
        seen, lost = _watch_all(look, order)
    else:
        seen, lost = _watch(packets, look, order, joints)
    frame = np.full(len(packets.pts), -1, np.int64)
    frame[seen] = np.arange(len(seen))
    lost += _losses(packets, seen, frame, section, timed=timed)
    end = len(seen)
    broken = any(not b.joint for b in packets.breaks) or packets.torn.any()
    return Numbers(frame, join_spans(as_spans(*((n, end) for n in lost))), timed, bool(broken))


def _sections(dts: Ints) -> Ints:
    """The section of each packet: a new one begins where decoding time goes back."""
    known = np.flatnonzero(dts != NO_TIME)
    section = np.zeros(len(dts), np.int64)
    section[known[1:]] = np.diff(dts[known]) < 0
    return np.asarray(np.cumsum(section), np.int64)


def _order_of_bitstream(packets: Packets, shown: Bools) -> Ints:
    """Packets as the bitstream says that they are shown, for want of times."""
    places = np.flatnonzero(shown)
    if not packets.pictures or packets.codec in _IN_FILE_ORDER:
        return places
    pictures = [packets.pictures[p] for p in places]
    slot = np.arange(len(places))
    if packets.codec == "h264":
        frame = number_by_order(slot, pictures).frame
    else:
        frame = number_by_kind(slot, np.array([p.kind for p in pictures]), 0).frame
    return np.asarray(places[np.argsort(frame, kind="stable")], np.int64)


def _is_doubtful(packets: Packets, order: Ints, section: Ints) -> bool:
    """Whether the times cannot be the order in which the decoder shows its pictures."""
    pts, of = packets.pts[order], section[order]
    if np.any((np.diff(pts) == 0) & (np.diff(of) == 0)):
        return True
    rank = np.argsort(np.argsort(order))
    reorder = 0 if packets.codec in _IN_FILE_ORDER else REORDER
    if np.any(np.abs(rank - np.arange(len(rank))) > reorder):
        return True
    if packets.codec != "h264":
        return False
    groups = np.cumsum([p.reset for p in packets.pictures])
    counts = np.array([NO_TIME if p.order is None else p.order for p in packets.pictures])
    group, count = groups[order], counts[order]
    known = (count[1:] != NO_TIME) & (count[:-1] != NO_TIME) & (np.diff(of) == 0)
    return bool(np.any(known & (np.diff(group) == 0) & (np.diff(count) < 0)))


def _watch_all(look: Look, order: Ints) -> tuple[Ints, list[int]]:
    """Decode everything: what is shown, and from where on frames are missing among it."""
    last = int(order.max(initial=0))
    seen = look([(0, last)])[0]
    expected = np.isin(np.arange(last + 1), order)
    expected[seen] = False
    if len(seen):
        expected[: int(seen.min())] = False  # what does not decode at the start
    missing = np.flatnonzero(expected)
    return seen, [_first_from(seen, m) for m in missing[:1].tolist()]


def _first_from(seen: Ints, packet: int) -> int:
    """The number of the first picture shown that lies no earlier in the file than a packet."""
    behind = np.flatnonzero(seen >= packet)
    return int(behind[0]) if len(behind) else len(seen)


def _watch(packets: Packets, look: Look, order: Ints, joints: Ints) -> tuple[Ints, list[int]]:
    """Decode the start, the joints and what looks damaged; the order without what is not shown.

    Also the numbers from which on frames are missing in the middle.
    """
    spots = _damaged_spots(packets)
    starts = np.unique(np.r_[0, joints])
    wanted = np.unique(np.r_[starts, spots])
    windows = [(_sync_before(packets.sync, p), p) for p in wanted.tolist()]
    rank = np.full(len(packets.pts), -1, np.int64)
    rank[order] = np.arange(len(order))
    gone = np.zeros(len(rank), bool)
    damage: list[int] = []
    for (first, at), seen in zip(windows, look(windows[:_LOOKS]), strict=False):
        ranks = rank[seen]
        if not len(seen) or np.any(ranks < 0) or np.any(np.diff(ranks) < 0):
            return _watch_all(look, order)
        fed = np.arange(first, int(seen.max()) + 1)
        missing = fed[(rank[fed] >= 0) & ~np.isin(fed, seen)]
        if first:  # pictures before the first one that is shown refer to what was not decoded
            missing = missing[rank[missing] > ranks[0]]
        begins = at if at in starts else len(rank)
        mine = ranks[seen >= begins]
        leading = (missing >= begins) & (rank[missing] < mine.min(initial=len(rank)))
        gone[missing[leading]] = True
        damage += rank[missing[~leading]].tolist()
    seen = order[~gone[order]]
    damage += [int(rank[p]) for _, p in windows[_LOOKS : _LOOKS + 1]]
    return seen, [n - int(np.count_nonzero(gone[order[:n]])) for n in damage]


def _damaged_spots(packets: Packets) -> Ints:
    """Packets that may not decode: torn ones, and those beside a break of the file."""
    torn = np.flatnonzero(packets.torn)
    after = np.searchsorted(_filled(packets.pos), [b.at for b in packets.breaks])
    beside = np.r_[after - 1, after].astype(np.int64)
    beside = beside[(beside >= 0) & (beside < len(packets.pos))]
    return np.asarray(np.r_[torn, beside], np.int64)


def _filled(pos: Ints) -> Ints:
    """Places in the file, those that are not told being after the one before."""
    return np.asarray(np.maximum.accumulate(pos), np.int64)


def _sync_before(sync: Bools, place: int) -> int:
    """The last picture that needs no other, before a packet."""
    before = np.flatnonzero(sync[:place])
    return int(before[-1]) if len(before) else 0


def _losses(packets: Packets, seen: Ints, frame: Ints, section: Ints, *, timed: bool) -> list[int]:
    """The numbers from which on frames may be missing: evidence of a loss beside a step in time.

    Evidence alone counts where no step could tell: before the first picture, around torn packets
    that show nothing, and in a file without times.
    """
    places = _filled(packets.pos)
    bounds = [np.searchsorted(places, [b.at, max(b.at, b.end)]).tolist() for b in packets.breaks]
    broken = [
        (first, last)
        for (first, last), b in zip(bounds, packets.breaks, strict=True)
        if first < len(places) and not (b.joint and packets.sync[first])  # else recordings, joined
    ]
    begins = -1 if packets.container in _STREAMS else int(seen.min(initial=len(places)))
    lost = [0 for _, last in broken if last <= begins]
    lost += [_first_from(seen, p) for p in _torn(packets, section).tolist() if frame[p] < 0]
    gaps = np.flatnonzero(packets.of_pictures(lambda p: p.gap, False)).tolist()
    if not timed:
        return lost + [_first_from(seen, p - 1) for p in (*gaps, *(first for first, _ in broken))]
    inside = np.diff(section[seen]) == 0
    odd = odd_steps(np.diff(packets.pts[seen]), inside)
    steady = np.count_nonzero(odd) * 10 <= len(odd)
    for first, last in broken:
        lost += _step_beside(first, last, frame, ~inside | odd if steady else ~odd | odd)
    for after in gaps:
        lost += _step_beside(after, after, frame, odd)
    return lost + _missing_counts(packets, seen, odd)


def odd_steps(steps: Ints, inside: Bools) -> Bools:
    """Steps in time, inside a section, that are not as the most are."""
    usual = int(np.median(steps[inside])) if inside.any() else 0
    return inside & (np.abs(steps - usual) > max(1, usual // 50))


def _torn(packets: Packets, section: Ints) -> Ints:
    """Torn packets; what is taken off the air may begin with the end of a picture."""
    torn = packets.torn
    if packets.container in _STREAMS:
        torn &= np.diff(section, prepend=-1) == 0
    return np.flatnonzero(torn)


def _step_beside(first: int, last: int, frame: Ints, suspicious: Bools) -> list[int]:
    """The first frame behind a suspicious step around the packets from ``first`` to ``last``."""
    near = frame[max(0, first - REORDER) : last + REORDER]
    near = near[near >= 0]
    if not len(near):
        return []
    low = int(near.min())
    at = np.flatnonzero(suspicious[low : int(near.max())])
    return [low + 1 + int(at[0])] if len(at) else []


def _missing_counts(packets: Packets, seen: Ints, odd: Bools) -> list[int]:
    """Frames behind an odd step at which H.264's picture order count leaves pictures out."""
    if packets.codec != "h264":
        return []
    counts = np.array([NO_TIME if p.order is None else p.order for p in packets.pictures])[seen]
    groups = np.cumsum([p.reset for p in packets.pictures])[seen]
    known = (np.diff(groups) == 0) & (counts[1:] != NO_TIME) & (counts[:-1] != NO_TIME)
    steps = np.where(known, np.diff(counts), 0)
    least = int(steps[steps > 0].min(initial=np.iinfo(np.int64).max))
    return (np.flatnonzero(odd & (steps > least)) + 1).tolist()
