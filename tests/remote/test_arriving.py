"""A video that is decoded while its parts arrive: what is asked for when, and what ends it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from video.stamped import NO_B, WITH_B, clips_frame, make_video

from tinyvirat_build.errors import VideoError
from tinyvirat_build.remote import client, ranges, video
from tinyvirat_build.remote.client import Client
from tinyvirat_build.remote.objects import RemoteFile
from tinyvirat_build.remote.ranges import Ahead, Ranges
from tinyvirat_build.settings import Encode
from tinyvirat_build.video.decoding import Decoding
from tinyvirat_build.video.index import VideoIndex

from .both import cut_both, remote_video, small_steps
from .served import Served, serving

STARTS = range(100, 290, 24)  # each in a group of its own
CLIPS = clips_frame([(at, at + 8, 32, 32, 2, 4) for at in STARTS])
AHEAD = 3
PAUSE = Client.pause


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    small_steps(monkeypatch)
    monkeypatch.setattr(ranges, "_AHEAD", AHEAD)
    monkeypatch.setattr(ranges, "_AT_ONCE", 1)
    folder = tmp_path / "served"
    folder.mkdir()
    with serving(folder) as found:
        yield found
    assert not [t for t in threading.enumerate() if t.name.startswith("ranges")]


def cut(served: Served, path: Path, clips: Any = CLIPS) -> tuple[Any, VideoIndex]:
    remote = remote_video(served, path, served.folder.parent / "parts")
    index = remote.index()
    out = served.folder.parent / "out"
    out.mkdir()
    served.spans.clear()
    return remote, remote.cut(index, clips, out, Encode(), max_held=0.1)


@pytest.mark.parametrize("name", ["a.avi", "a.mp4"])
def test_decoding_begins_before_all_is_asked_for_and_no_more_than_a_bound_is_ahead(
    name: str, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(served.folder / name, 300, options=NO_B)
    at_frame, ahead = list[int](), list[int]()
    planes, ask = Decoding._planes, Ahead.ask

    def decoded(self: Decoding, frame: Any) -> Any:
        at_frame.append(len(served.spans))
        return planes(self, frame)

    def asked(self: Ahead, at: int) -> None:
        ask(self, at)
        ahead.append(sum(k not in self._unasked for k in range(at, len(self.wanted))))
        assert len(self._asked) <= AHEAD

    monkeypatch.setattr(Decoding, "_planes", decoded)
    monkeypatch.setattr(Ahead, "ask", asked)
    cut(served, path)
    assert at_frame[0] <= AHEAD < len(STARTS) <= len(served.spans)
    assert at_frame == sorted(at_frame)
    assert max(ahead) == AHEAD


def test_what_is_ahead_is_bounded_in_bytes(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    (served.folder / "a").write_bytes(bytes(range(100)))
    monkeypatch.setattr(ranges, "_MOST_AHEAD", 25)
    file = RemoteFile(f"{served.url}/a", 100, "")
    with Ahead(Ranges(file), ranges.parts([(0, 100)], 10)) as ahead:
        ahead.ask(0)
        assert set(ahead._asked) == {0, 1}
        assert ahead.take(0) == bytes(range(10))
        ahead.ask(1)
        assert set(ahead._asked) == {1, 2}
        ahead.ask(7)  # whoever goes on elsewhere
        assert set(ahead._asked) == {1, 2, 7}
        assert ahead.take(7) == bytes(range(70, 80))


def test_an_order_that_only_later_packets_show_is_cut_by_again(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "_tells_order", lambda path: True)
    path = make_video(served.folder / "a.avi", 300, options=WITH_B)
    found = cut_both(served, path, CLIPS, served.folder.parent / "both")
    assert found.differ() == []
    assert not found.why_whole
    assert found.sent < 0.9 * found.size


def test_after_an_error_nothing_more_is_asked_for(served: Served) -> None:
    path = make_video(served.folder / "a.mp4", 300, options=NO_B)
    remote = remote_video(served, path, served.folder.parent / "parts")
    index = remote.index()
    served.spans.clear()
    served.faults = ["", "", "403", *[""] * 20]
    with pytest.raises(VideoError, match=r"a\.mp4: .* answers 403 .*; see that .*open to all") as e:
        remote.cut(index, CLIPS, served.folder.parent, Encode(), max_held=0.1)
    assert e.value.reason == "unreadable"
    assert len(served.faults) >= 20 - AHEAD
    assert not [t for t in threading.enumerate() if t.name.startswith("ranges")]


@pytest.mark.timeout(45)  # who waited for the server would wait longer
def test_an_interrupt_while_a_server_is_silent_ends_at_once(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(served.folder / "a.avi", 300, options=NO_B)
    remote = remote_video(served, path, served.folder.parent / "parts")
    index = remote.index()
    served.faults = ["", "silent"]
    monkeypatch.setattr(client, "_TIMEOUT", 600.0)
    take = Ahead.take

    def interrupted(self: Ahead, number: int) -> Any:
        if number:
            served.silent.acquire()
            raise KeyboardInterrupt
        return take(self, number)

    monkeypatch.setattr(Ahead, "take", interrupted)
    with pytest.raises(KeyboardInterrupt):
        remote.cut(index, CLIPS, served.folder.parent, Encode(), max_held=0.1)
    assert not served.over.is_set()  # the server is silent still
    assert not [t for t in threading.enumerate() if t.name.startswith("ranges")]


def test_a_wait_before_the_next_try_ends_at_once(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Client, "pause", PAUSE)
    (served.folder / "a").write_bytes(bytes(100))
    served.faults = ["500"] * 5
    with Ahead(Ranges(RemoteFile(f"{served.url}/a", 100, "")), [(0, 100)]) as ahead:
        ahead.ask(0)
        while len(served.faults) == 5:
            time.sleep(0.01)
    assert len(served.faults) == 4
