"""Slots to frames, of pictures made by hand: a number is the right one, or told as uncertain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tinyvirat_build.video.bitstream import OTHER, B, I, P, Picture
from tinyvirat_build.video.numbers import Numbers, Packets
from tinyvirat_build.video.slots import number_slots


@dataclass(frozen=True)
class Stream:
    """Pictures in the order of the file, and the frame that each is."""

    codec: str
    pictures: tuple[Picture, ...]
    frames: tuple[int, ...]


def number(
    stream: Stream, lost: Sequence[int] = (), unsure: Sequence[int] = (), announced: int = 0
) -> tuple[Numbers, list[int]]:
    """The numbers of the packets that are left, a slot each, and what is true of them."""
    left = [k for k in range(len(stream.pictures)) if k not in lost]
    n = len(left)
    pictures = [stream.pictures[k] for k in left]
    packets = Packets(
        Path("a.avi"), "avi", stream.codec, announced, *(np.arange(n) for _ in range(3)),
        np.zeros(n, bool), np.array([p.reset for p in pictures], bool), pictures,
    )  # fmt: skip
    sure = np.array([k not in unsure for k in left], bool)
    found = number_slots(packets, np.array(left, np.int64), sure, len(stream.pictures))
    return found, [stream.frames[k] for k in left]


def wrong(numbers: Numbers, frames: Sequence[int]) -> list[tuple[int, int]]:
    """Numbers said to be certain that are not the frame: (number, frame)."""
    inside = [range(*span) for span in numbers.uncertain.tolist()]
    return [
        (n, frame)
        for n, frame in zip(numbers.frame.tolist(), frames, strict=True)
        if n != frame and n >= 0 and not any(n in span for span in inside)
    ]


def h264(*groups: Sequence[int], kinds: bool = True) -> Stream:
    """Groups from an IDR picture on, each picture by its place among those that are shown.

    Without ``kinds`` none says that it is a B picture: only the counts tell.
    """
    pictures, frames = [], []
    for group in groups:
        first = len(pictures)
        for k, place in enumerate(group):
            later = any(place < before for before in group[:k])
            kind = I if k == 0 else B if later and kinds else P
            pictures.append(Picture(kind, reset=k == 0, order=2 * place))
            frames.append(first + place)
    return Stream("h264", tuple(pictures), tuple(frames))


def shown(kinds: str) -> tuple[int, ...]:
    """The frame of each picture, if a B picture is shown at once and others at the next of them."""
    order: list[int] = []
    held = -1
    for k, kind in enumerate(kinds):
        if kind == "B":
            order.append(k)
            continue
        if held >= 0:
            order.append(held)
        held = k
    order.append(held)
    return tuple(order.index(k) for k in range(len(kinds)))


def mpeg4(kinds: str) -> Stream:
    of = {"I": I, "P": P, "B": B}
    return Stream("mpeg4", tuple(Picture(of[k], reset=k == "I") for k in kinds), shown(kinds))


# Each group is a whole one that shows the order: the first is never lost.
PYRAMID = (0, 4, 2, 1, 3)
groups = st.lists(
    st.sampled_from([PYRAMID, (0, 3, 1, 2), (0, 1, 2), (0, 2, 1, 4, 3), (0,), (0, 1)]),
    min_size=1, max_size=6,
)  # fmt: skip
reordered = st.builds(lambda own, kinds: h264(PYRAMID, *own, kinds=kinds), groups, st.booleans())
gops = st.lists(st.sampled_from(["IPBBPBB", "IBPB", "IBBPBB", "IPP", "I"]), min_size=1, max_size=6)
kinds = gops.map(lambda own: mpeg4("IPBPB" + "".join(own) + "IP"))


@settings(max_examples=100, deadline=None)
@given(st.one_of(reordered, kinds))
def test_of_a_whole_file_all_is_certain(stream: Stream) -> None:
    found, frames = number(stream)
    assert found.frame.tolist() == frames
    assert found.uncertain.tolist() == []
    assert (found.timed, found.broken) == (False, False)


@settings(max_examples=300, deadline=None)
@given(st.one_of(reordered, kinds), st.lists(st.integers(0, 40), min_size=1, max_size=6))
@example(h264(PYRAMID, (0, 3, 1, 2)), [5])  # the picture that a group begins with
@example(h264(PYRAMID, (0, 3, 1, 2)), [6])
@example(h264(PYRAMID, PYRAMID), [8, 9])  # at the end, where no slot tells of it
@example(h264(PYRAMID, PYRAMID), [6])
@example(h264(PYRAMID, (0, 3, 1, 2), (0, 1)), [0, 1, 2])
@example(h264(PYRAMID, (0, 1, 2), (0, 3, 1, 2), (0, 1), kinds=False), [9, 10])
@example(mpeg4("IPBPBIPB"), [0, 2])
@example(mpeg4("IPBPBIPB"), [0])
@example(mpeg4("IPBBIPBB"), [6])
def test_a_number_is_right_or_uncertain(stream: Stream, lost: list[int]) -> None:
    gone = [k for k in lost if k < len(stream.pictures)]
    if len(gone) < len(stream.pictures):
        found, frames = number(stream, gone)
        assert wrong(found, frames) == []
        assert (found.frame >= 0).all()


def test_a_lost_picture_makes_its_own_group_uncertain_alone() -> None:
    stream = h264(PYRAMID, PYRAMID, PYRAMID)
    found, frames = number(stream, [7])
    assert found.uncertain.tolist() == [[5, 10]]
    assert found.frame[-5:].tolist() == frames[-5:]
    found, _ = number(mpeg4("IPBBIPBBIPBBIPBB"), [6])
    assert found.uncertain.tolist() == [[4, 10]]  # B pictures behind are shown before their I
    for lost in (1, 4):
        found, frames = number(h264((0, 1, 2), (0, 1, 2)), [lost])
        assert found.uncertain.tolist() == []  # nothing is reordered: a slot is a frame
        assert found.frame.tolist() == frames
    found, _ = number(mpeg4("IPBBIPBB"), [6])
    assert found.uncertain.tolist() == [[4, 10]]


def test_the_end_of_the_last_group_may_be_missing() -> None:
    """No slot follows that would tell; its counts do, from the first that is missing on."""
    stream = h264(PYRAMID, PYRAMID)
    assert number(stream, [9])[0].uncertain.tolist() == [[8, 9]]  # 0 4 2 1: no 3
    assert number(stream, [8, 9])[0].uncertain.tolist() == [[6, 8]]
    assert number(stream, [7, 8, 9])[0].uncertain.tolist() == [[6, 7]]
    assert number(stream, [6, 7, 8, 9])[0].uncertain.tolist() == []


def test_counts_tell_of_pictures_that_do_not_say_that_they_are_b() -> None:
    stream = h264((0, 1, 2), PYRAMID, (0, 1, 2, 3), (0, 1), kinds=False)
    found, frames = number(stream, [9])
    assert found.uncertain.tolist() == [[8, 12]]  # it might have been like the second group
    assert found.frame[-2:].tolist() == frames[-2:]
    plain = h264((0, 1, 2), (0, 1, 2), (0, 1, 2, 3), (0, 1), kinds=False)
    # Where a count falls for want of an IDR picture, two groups look like one that is reordered.
    assert number(plain, [6])[0].uncertain.tolist() == [[3, 10]]
    assert number(plain, [6, 1])[0].uncertain.tolist() == [[3, 10]]  # which says nothing of others
    assert number(plain, [7])[0].uncertain.tolist() == []


def test_a_codec_of_which_nothing_is_read_has_a_frame_a_slot() -> None:
    packets = Packets(
        Path("a.avi"), "avi", "msmpeg4v3", 0, *(np.arange(4) for _ in range(3)),
        np.zeros(4, bool), np.ones(4, bool), [],
    )  # fmt: skip
    found = number_slots(packets, np.array([0, 1, 3, 4]), np.ones(4, bool), 5)
    assert found.frame.tolist() == [0, 1, 3, 4]
    assert found.uncertain.tolist() == []
    assert (found.timed, found.broken) == (False, False)


def test_what_counts_cannot_tell() -> None:
    """Another kind of count, or a damaged header: of a group with B pictures, or with a loss."""
    stream = h264(PYRAMID, PYRAMID, PYRAMID)
    pictures = list(stream.pictures)
    pictures[6] = replace(pictures[6], order=None)
    found, frames = number(replace(stream, pictures=tuple(pictures)))
    assert found.uncertain.tolist() == [[5, 10]]
    assert wrong(found, frames) == []
    plain = h264((0, 1, 2), PYRAMID, (0, 1, 2))
    pictures = list(plain.pictures)
    pictures[1] = replace(pictures[1], order=None)
    unknown = replace(plain, pictures=tuple(pictures))
    assert number(unknown)[0].uncertain.tolist() == []
    assert number(unknown, [2])[0].uncertain.tolist() == [[0, 3]]
    none = tuple(replace(p, order=None) for p in h264((0, 1, 2), (0, 1, 2)).pictures)
    assert number(Stream("h264", none, tuple(range(6))), [4])[0].uncertain.tolist() == []


def test_a_file_that_begins_inside_a_group() -> None:
    stream = h264(PYRAMID, PYRAMID)
    assert number(stream, [0])[0].uncertain.tolist() == [[1, 5]]


def test_a_fall_in_a_group_with_losses_tells_nothing() -> None:
    """A lost IDR picture lets the count fall, as if pictures were reordered."""
    stream = h264((0, 1, 2), (0, 1, 2), (0, 1, 2))
    found, frames = number(stream, [3])
    assert found.frame.tolist() == frames or found.uncertain.tolist() == [[0, 6]]
    assert wrong(found, frames) == []


def test_pictures_of_an_unknown_kind_make_their_group_uncertain() -> None:
    stream = mpeg4("IPBBIPBBIPBB")
    pictures = list(stream.pictures)
    pictures[6] = replace(pictures[6], kind=OTHER)
    found, _ = number(replace(stream, pictures=tuple(pictures)))
    assert found.uncertain.tolist() == [[4, 10]]
    assert number(stream, announced=12)[0].uncertain.tolist() == []
    assert number(stream, announced=13)[0].uncertain.tolist() == [[8, 14]]  # a torn end


def test_two_pictures_in_a_packet() -> None:
    """The packet behind stands for the second of them, and shows it."""
    pictures = [Picture(I, reset=True), Picture(P, pictures=2), Picture(P, shown=False),
                Picture(P, pictures=2), Picture(P, shown=False), Picture(P)]  # fmt: skip
    found, _ = number(Stream("mpeg4", tuple(pictures), (0,) * 6))
    assert found.frame.tolist() == [0, 2, 1, 4, 3, 5]
    assert found.uncertain.tolist() == []
    for odd in (replace(pictures[1], pictures=3), pictures[1]):
        own = [*pictures[:1], odd, odd, *pictures[3:]]
        found, _ = number(Stream("mpeg4", tuple(own), (0,) * 6))
        assert found.uncertain.tolist() == [[0, 6]]


@pytest.mark.parametrize("codec", ["hevc", "vc1", "wmv3", "vvc", "av1", "libdav1d"])
def test_codecs_whose_order_is_not_read_are_uncertain(codec: str) -> None:
    stream = Stream(codec, (Picture(I),) * 4, (0, 1, 2, 3))
    found, frames = number(stream)
    assert found.frame.tolist() == frames
    assert found.uncertain.tolist() == [[0, 4]]


@pytest.mark.parametrize("codec", ["vp8", "vp9"])
def test_packets_that_show_nothing_take_no_slot(codec: str) -> None:
    pictures = tuple(Picture(P, reset=k == 0, shown=k not in (2, 5)) for k in range(8))
    stream = Stream(codec, pictures, (0, 1, -1, 2, 3, -1, 4, 5))
    found, frames = number(stream)
    assert found.frame.tolist() == frames
    assert found.uncertain.tolist() == []
    found, frames = number(stream, unsure=[2])  # which takes none anyway
    assert (found.frame.tolist(), found.uncertain.tolist()) == (frames, [])
    found, _ = number(stream, unsure=[0])
    assert found.uncertain.tolist() == [[0, 1]]
    found, _ = number(stream, [3])  # it may have been one that shows nothing
    assert found.uncertain.tolist() == [[0, 6]]
    assert found.broken


def test_vp8_is_uncertain_from_a_loss_to_the_next_picture_that_needs_no_other() -> None:
    pictures = tuple(Picture(P, reset=k in (0, 6)) for k in range(9))
    found, frames = number(Stream("vp8", pictures, tuple(range(9))), [2, 4])
    assert found.frame.tolist() == frames
    assert found.uncertain.tolist() == [[2, 6]]
    assert number(Stream("vp8", pictures, tuple(range(9))), [7])[0].uncertain.tolist() == [[7, 9]]
    found, _ = number(Stream("vp9", pictures, tuple(range(9))), [2, 4])
    assert found.uncertain.tolist() == []


@pytest.mark.parametrize(
    ("unsure", "spans"),
    [
        ([3], [[3, 4]]),
        ([0], [[0, 1]]),
        ([2, 3], [[2, 4]]),
        ([8], [[8, 9]]),
        ([1, 6], [[1, 2], [6, 7]]),
    ],
)
def test_a_slot_that_is_not_sure_is_uncertain_between_those_that_are(
    unsure: list[int], spans: list[list[int]]
) -> None:
    stream = h264((0, 1, 2), (0, 1, 2), (0, 1, 2))
    found, frames = number(stream, unsure=unsure)
    assert found.frame.tolist() == frames
    assert found.uncertain.tolist() == spans
    assert found.broken


def test_where_no_slot_is_told_nothing_is_certain() -> None:
    packets = Packets(
        Path("a.avi"), "avi", "h264", 0, *(np.arange(4) for _ in range(3)), np.zeros(4, bool),
        np.ones(4, bool), [Picture(I, reset=True, order=0)] * 4,
    )  # fmt: skip
    found = number_slots(packets, np.full(4, -1), np.ones(4, bool), 9)
    assert found.frame.tolist() == [0, 1, 2, 3]
    assert found.uncertain.tolist() == [[0, 4]]
    assert (found.timed, found.broken) == (False, False)
    assert number_slots(packets, np.full(4, -1), np.zeros(4, bool), 9).broken
    twice = number_slots(packets, np.array([0, 1, 1, 2]), np.ones(4, bool), 3)
    assert twice.uncertain.tolist() == [[0, 3]]
    part = number_slots(packets, np.array([-1, 0, 1, 2]), np.ones(4, bool), 3)
    assert part.frame.tolist() == [-1, 0, 1, 2]
    gap = np.array([True, False, True, True])
    lost = number_slots(packets, np.array([0, -1, 2, 3]), gap, 4)
    assert lost.uncertain.tolist() == [[1, 2]]  # nobody knows which slot it had
    plain = replace(packets, codec="mjpeg", pictures=[])
    assert number_slots(plain, np.array([0, -1, 2, 3]), gap, 4).uncertain.tolist() == [[1, 2]]
