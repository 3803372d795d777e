"""Which frame a packet holds, of packets made by hand and a decoder that says what it shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyvirat_build.errors import VideoError
from tinyvirat_build.video.bitstream import B, I, P, Picture
from tinyvirat_build.video.numbering import number_shown, odd_steps
from tinyvirat_build.video.numbers import NO_TIME, Numbers, Packets
from tinyvirat_build.video.structure import Break


@dataclass
class Recording:
    """Packets in groups of four, in the order I P B B, each shown at its time."""

    groups: int = 8
    codec: str = "mpeg2video"
    container: str = "matroska"
    unseen: frozenset[int] = frozenset()  # packets that the decoder does not show
    looks: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        n = 4 * self.groups
        place = np.arange(n)
        self.frames = place // 4 * 4 + np.array([0, 3, 1, 2])[place % 4]
        self.pts, self.dts, self.pos = 40 * self.frames, 40 * place - 80, 1000 + 500 * place
        self.hidden, self.sync = np.zeros(n, bool), place % 4 == 0
        kinds = [I, P, B, B]
        self.pictures = [
            Picture(kinds[k % 4], reset=k % 4 == 0, order=2 * int(self.frames[k] % 4))
            for k in place.tolist()
        ]
        self.breaks: list[Break] = []

    def look(self, windows: Sequence[tuple[int, int]]) -> list[np.ndarray]:
        self.looks += windows
        order = np.argsort(self.frames, kind="stable")
        shown = [k for k in order.tolist() if k not in self.unseen and not self.hidden[k]]
        return [np.array([k for k in shown if k >= first], np.int64) for first, _ in windows]

    def number(self, **changes: Any) -> Numbers:
        packets = Packets(
            Path("a.mkv"), self.container, self.codec, 0, self.pts, self.dts, self.pos,
            self.hidden, self.sync, self.pictures, self.breaks,
        )  # fmt: skip
        return number_shown(packets, self.look)


def test_times_order_the_frames_and_only_the_start_is_looked_at() -> None:
    own = Recording()
    found = own.number()
    assert found.frame.tolist() == own.frames.tolist()
    assert found.uncertain.tolist() == []
    assert (found.timed, found.broken) == (True, False)
    assert own.looks == [(0, 0)]


@pytest.mark.parametrize("codec", ["h264", "mpeg4"])
def test_without_times_the_bitstream_orders_them(codec: str) -> None:
    """H.264 by its counts, whatever kinds it says; others by their kinds."""
    own = Recording(codec=codec)
    own.pts = np.full(len(own.pts), NO_TIME)
    own.pictures = [
        replace(p, kind=P if p.kind == B else p.kind) if codec == "h264" else replace(p, order=None)
        for p in own.pictures
    ]
    found = own.number()
    assert found.frame.tolist() == own.frames.tolist()
    assert (found.timed, found.uncertain.tolist()) == (False, [])
    assert own.looks == [(0, 0)]  # and is believed


@pytest.mark.parametrize("codec", ["vp9", "av1", "mjpeg", "unknown"])
def test_without_times_other_codecs_are_in_the_order_of_the_file(codec: str) -> None:
    own = Recording(codec=codec)
    own.pts, own.frames = np.full(len(own.pts), NO_TIME), np.arange(len(own.pts))
    if codec == "unknown":
        own.pictures = []
    assert own.number().frame.tolist() == own.frames.tolist()
    assert own.looks == [(0, 0)]


def collide(own: Recording) -> None:
    own.pts = own.pts.copy()
    own.pts[9] = own.pts[10]


def scatter(own: Recording) -> None:
    own.pts = own.pts.copy()
    own.pts[2] += 40 * 17  # it would be held back by more pictures than any codec does


def contradict(own: Recording) -> None:
    own.codec = "h264"
    own.pts = own.pts.copy()
    own.pts[[2, 3]] = own.pts[[3, 2]]


def swap(own: Recording) -> None:
    own.codec, own.frames = "vp9", np.arange(len(own.frames))
    own.pts = 40 * own.frames
    own.pts[[20, 21]] = own.pts[[21, 20]]


@pytest.mark.parametrize("spoil", [collide, scatter, contradict, swap])
def test_times_that_cannot_be_are_not_believed(spoil: Callable[[Recording], None]) -> None:
    own = Recording()
    spoil(own)
    found = own.number()
    assert found.frame.tolist() == own.frames.tolist()
    assert own.looks == [(0, len(own.pts) - 1)]
    assert found.uncertain.tolist() == []


def test_times_that_can_be_are_believed() -> None:
    own = Recording()  # all times of a section together, the same ones in the next
    for name in ("pts", "dts"):
        times = getattr(own, name).copy()
        times[16:] -= 16 * 40
        setattr(own, name, times)
    assert own.number().frame.tolist() == own.frames.tolist()
    assert own.looks == [(0, 0), (12, 16)]
    own = Recording(codec="h264")
    for k in (6, 7, 13):  # counts that are not written contradict nothing
        own.pictures[k] = replace(own.pictures[k], order=None)
    assert own.number().frame.tolist() == own.frames.tolist()
    assert own.looks == [(0, 0)]
    late = Recording(codec="mpeg4")
    late.pts = late.pts.copy()
    late.pts[2] += 40 * 15 + 20  # as many as a codec may hold back
    late.frames = np.argsort(np.argsort(late.pts))
    assert late.number().frame.tolist() == late.frames.tolist()
    assert late.looks == [(0, 0)]


def test_a_file_that_is_watched_is_uncertain_from_the_first_picture_that_lacks() -> None:
    own = Recording(unseen=frozenset({0, 1, 14, 21}))  # 0 and 1 do not decode at the start
    collide(own)
    found = own.number()
    shown = [k for k in np.argsort(own.frames).tolist() if k not in own.unseen]
    assert found.frame[shown].tolist() == list(range(len(shown)))
    assert (found.frame[list(own.unseen)] == -1).all()
    # Packet 12 is shown as number 10 (2 lack), 14 would be the 11th: 15 and 13 lie behind it.
    assert found.uncertain.tolist() == [[11, len(shown)]]


def test_what_is_shown_in_another_order_is_watched() -> None:
    own = Recording()
    own.pts = own.pts.copy()
    own.pts[[2, 3]] = own.pts[[3, 2]]
    assert own.number().frame.tolist() == own.frames.tolist()
    assert own.looks == [(0, 0), (0, len(own.pts) - 1)]


def test_packets_that_are_hidden_or_show_nothing_have_no_number() -> None:
    own = Recording(codec="vp9")
    own.frames = np.arange(len(own.frames))
    own.pts = 40 * own.frames
    own.hidden[3] = True
    own.pictures[5] = Picture(P, shown=False)
    own.unseen = frozenset({5})
    found = own.number()
    assert found.frame[[3, 5]].tolist() == [-1, -1]
    assert np.delete(found.frame, [3, 5]).tolist() == list(range(len(own.frames) - 2))


def test_a_clock_that_begins_anew_is_another_section() -> None:
    own = Recording()
    for name in ("pts", "dts"):
        times = getattr(own, name).copy()
        times[16:] -= times[16] + 10_000
        setattr(own, name, times)
    found = own.number()
    assert found.frame.tolist() == own.frames.tolist()
    assert own.looks == [(0, 0), (12, 16)]
    assert found.uncertain.tolist() == []


def test_pictures_before_the_first_that_a_section_shows_have_no_number() -> None:
    own = Recording(groups=4)
    # An open group: its B pictures are shown before the I, and refer to what lies before.
    own.frames = np.array([4 * (k // 4) + (2, 3, 0, 1)[k % 4] for k in range(16)])
    own.pts = 40 * own.frames
    own.unseen = frozenset({2, 3})
    found = own.number()
    assert found.frame.tolist()[:6] == [0, 1, -1, -1, 4, 5]
    assert found.uncertain.tolist() == []


def lose(own: Recording, *gone: int) -> None:
    """Leave packets out of the file, which says so at their place."""
    at = int(own.pos[gone[0]])
    for name in ("frames", "pts", "dts", "pos", "hidden", "sync"):
        setattr(own, name, np.delete(getattr(own, name), gone))
    own.pictures = [p for k, p in enumerate(own.pictures) if k not in gone]
    own.breaks = [Break(at, end=at + 500 * len(gone))]


@pytest.mark.parametrize(("gone", "first"), [((10, 11), 9), ((8, 9, 10, 11), 8), ((13,), 15)])
def test_behind_a_break_beside_a_step_nothing_is_certain(gone: tuple[int, ...], first: int) -> None:
    own = Recording()
    lose(own, *gone)
    found = own.number()
    n = len(own.frames)
    assert sorted(found.frame.tolist()) == list(range(n))
    assert found.uncertain.tolist() == [[first, n]]
    assert found.broken


def test_a_break_beside_no_step_changes_nothing() -> None:
    own = Recording()
    own.breaks = [Break(int(own.pos[10]), end=int(own.pos[10]))]
    found = own.number()
    assert found.frame.tolist() == own.frames.tolist()
    assert found.uncertain.tolist() == []
    assert found.broken


def test_recordings_that_are_joined_are_no_loss() -> None:
    own = Recording()
    lose(own, 8, 9, 10, 11)
    own.breaks = [Break(own.breaks[0].at, True, own.breaks[0].end)]
    found = own.number()
    assert found.uncertain.tolist() == []
    assert not found.broken


def test_a_break_before_the_first_picture_leaves_nothing_certain() -> None:
    own = Recording()
    own.breaks = [Break(0, end=900)]
    assert own.number().uncertain.tolist() == [[0, len(own.frames)]]
    own.container = "mpegts"  # which may begin anywhere
    assert own.number().uncertain.tolist() == []


def test_counts_that_leave_pictures_out_beside_a_step() -> None:
    own = Recording(codec="h264")
    lose(own, 10, 11)
    own.breaks = []
    assert own.number().uncertain.tolist() == [[9, 30]]
    own.codec = "mpeg2video"  # which has no counts: a step in time alone is no loss
    assert own.number().uncertain.tolist() == []


def test_a_gap_among_what_pictures_refer_to_is_evidence() -> None:
    own = Recording()
    lose(own, 13)
    own.breaks = []
    own.pictures[13] = Picture(B, gap=True)
    assert own.number().uncertain.tolist() == [[15, 31]]
    own.pts = np.full(len(own.pts), NO_TIME)
    own.codec = "mjpeg"
    own.frames = np.arange(len(own.frames))
    found = own.number()
    assert found.uncertain.tolist() == [[12, 31]]  # no step in time could tell


def test_a_torn_packet_that_shows_nothing_is_a_loss() -> None:
    own = Recording(unseen=frozenset({14}))
    own.pictures[14] = Picture(B, torn=True)
    found = own.number()
    assert found.uncertain.tolist() == [[13, 32]]
    assert found.broken
    own.unseen = frozenset()
    assert own.number().uncertain.tolist() == []  # it is shown after all


def test_an_edit_list_that_shows_a_packet_twice_is_refused() -> None:
    own = Recording(container="mov")
    own.pos = own.pos.copy()
    own.pos[7] = own.pos[6]
    with pytest.raises(VideoError, match="shows frames twice") as e:
        own.number()
    assert e.value.reason == "edit_list"
    own.container = "matroska"
    own.number()


def test_uncertain_from_the_first_of_several_losses() -> None:
    own = Recording(unseen=frozenset({14, 22}))
    for k in own.unseen:
        own.pictures[k] = Picture(B, torn=True)
    assert own.number().uncertain.tolist() == [[13, 32]]


def test_a_loss_is_counted_without_what_has_no_number() -> None:
    own = Recording(groups=6, unseen=frozenset({2, 3, 13}))
    own.frames = np.array([4 * (k // 4) + (2, 3, 0, 1)[k % 4] for k in range(24)])
    own.pts = 40 * own.frames
    own.pictures[13] = Picture(P, torn=True)
    found = own.number()
    assert (found.frame[[2, 3]] == -1).all()
    assert found.uncertain.tolist() == [[int(own.frames[13]) - 2, 22]]


def test_after_so_many_looks_nothing_is_certain() -> None:
    own = Recording(groups=60)
    own.pictures = [replace(p, torn=True) for p in own.pictures]
    found = own.number()
    assert len(own.looks) == 200
    assert found.uncertain.tolist() == [[int(own.frames[200]), 240]]


def test_what_the_decoder_shows_is_numbered_though_it_should_be_hidden() -> None:
    own = Recording()
    own.hidden[3] = True
    look = own.look

    def shows(windows: Sequence[tuple[int, int]]) -> list[np.ndarray]:
        own.hidden[3] = False
        return look(windows)

    own.look = shows  # type: ignore[method-assign]
    assert own.number().frame.tolist() == own.frames.tolist()


def test_counts_that_are_not_written_are_no_evidence() -> None:
    own = Recording(codec="h264")
    lose(own, 10, 11)
    own.breaks = []
    own.pictures[9] = replace(own.pictures[9], order=None)
    assert own.number().uncertain.tolist() == []


@pytest.mark.parametrize(
    ("usual", "odd", "even"), [(40, 42, 41), (1, 3, 2), (1000, 1021, 1020), (1019, 1040, 1039)]
)
def test_a_step_is_odd_beyond_a_fiftieth_or_one(usual: int, odd: int, even: int) -> None:
    steps = np.array([usual] * 5 + [odd, even, odd, 2 * usual - odd, 2 * usual - even])
    inside = np.array([True] * 7 + [False] + [True] * 2)
    assert np.flatnonzero(odd_steps(steps, inside)).tolist() == [5, 8]
    assert not odd_steps(steps, np.zeros(10, bool)).any()


def test_a_torn_packet_without_a_number_is_a_loss_and_one_with_its_own_is_none() -> None:
    own = Recording(codec="vp9", unseen=frozenset({5}))
    own.frames = np.arange(len(own.frames))
    own.pts = 40 * own.frames
    own.pictures[5] = Picture(P, shown=False, torn=True)
    assert own.number().uncertain.tolist() == [[5, 31]]
    first = Recording()
    first.pictures[0] = replace(first.pictures[0], torn=True)
    assert first.number().uncertain.tolist() == []


def test_a_codec_of_which_nothing_is_read_is_ordered_by_its_times() -> None:
    own = Recording(codec="wmv2")
    own.pictures = []
    found = own.number()
    assert found.frame.tolist() == own.frames.tolist()
    assert (found.uncertain.tolist(), found.broken) == ([], False)


@pytest.mark.parametrize(("longer", "first"), [(3, 25), (4, 1)])
def test_where_the_rate_varies_any_step_may_hide_a_loss(longer: int, first: int) -> None:
    """Of 31 steps up to a tenth may be odd: else any beside a break is as suspicious."""
    own = Recording()
    after = np.arange(29, 29 - 2 * longer, -2)
    times = 40 * np.arange(32) + 20 * (np.arange(32)[:, None] >= after).sum(axis=1)
    own.pts = times[own.frames]
    own.breaks = [Break(int(own.pos[13]), end=int(own.pos[13]))]
    found = own.number()
    assert found.frame.tolist() == own.frames.tolist()
    assert found.uncertain.tolist() == [[first, 32]]


@pytest.mark.parametrize(("container", "spans"), [("mpegts", []), ("matroska", [[0, 31]])])
def test_a_stream_may_begin_with_the_end_of_a_picture(
    container: str, spans: list[list[int]]
) -> None:
    own = Recording(container=container, unseen=frozenset({0}))
    own.pictures[0] = replace(own.pictures[0], torn=True)
    found = own.number()
    assert found.frame[0] == -1
    assert found.uncertain.tolist() == spans
