"""Numbered videos with ranges of their bytes cut, doubled, zeroed, overwritten or moved.

Which frame belongs at a place is told in two ways. By *count*: the n-th picture that the ffmpeg
program puts out. By *place*: frame n of the video before it was broken, since a picture that is
lost keeps its place. An AVI's slots are its places. A frame that is right by neither, and bears
no mark, is *wrong*; one that is right by one of them alone is *unsettled*.

A mutant *leaves no trace* where the program reads it without a word and finds as many pictures as
the file announces (an AVI's header, an MP4's table of samples): nobody can tell it from a video
that was recorded so.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from pebble import ProcessPool

from . import awkward
from .awkward import CONTAINERS, FRAMES, IN_BAND, SIZE
from .judged import Clip, cut_all
from .players import Shown, by_count, by_place, program_shows

PAIRS = (
    ("mp4", "h264-b"),
    ("mkv", "hevc-open"),
    ("webm", "vp9"),
    ("ts", "h264-open"),
    ("ps", "mpeg2"),
    ("flv", "h264"),
    ("avi", "h264-b"),
    ("avi", "msmpeg4"),
)
LIMIT = 60  # seconds a mutant
FAILURES = ("wrong", "passed", "error")


def _span(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(data))
    return start, min(len(data), start + round(2 ** rng.uniform(0, 13)))


def cut(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[end:]


def doubled(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:end] + data[start:]


def zeroed(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + bytes(end - start) + data[end:]


def noise(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + rng.randbytes(end - start) + data[end:]


def moved(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    rest = data[:start] + data[end:]
    at = rng.randrange(len(rest) + 1)
    return rest[:at] + data[start:end] + rest[at:]


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    cut, doubled, zeroed, noise, moved,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mutant:
    """What came of one. ``verdict``: right, marked, refused, unsettled, untraced, or a failure.

    ``marks`` are the reasons of its issues; ``objected`` counts clips of right frames that verify
    does not pass.
    """

    number: int
    pair: tuple[str, str]
    kinds: tuple[str, ...]
    verdict: str
    marks: tuple[str, ...] = ()
    detail: str = ""
    objected: int = 0


def whole(pair: tuple[str, str], lab: Path) -> Path:
    """The pair's video before anything befell it."""
    container, codec = pair
    suffix = CONTAINERS[container][0]
    path = lab / f"{container}-{codec}{suffix}"
    if not path.exists():
        packets = awkward.packets_of(codec, lab, annexb=container in IN_BAND)
        with tempfile.TemporaryDirectory(dir=lab) as own:
            awkward.mux(Path(own) / path.name, container, codec, packets, lab).rename(path)
    return path


def mutate(number: int, seed: int, lab: Path, path: Path) -> tuple[tuple[str, str], list[str]]:
    """Write mutant ``number`` to a file beside ``path``; its pair, and what was done to it."""
    rng = random.Random(f"{seed} {number}")
    pair = PAIRS[number % len(PAIRS)]
    data = whole(pair, lab).read_bytes()
    kinds = []
    for _ in range(rng.choice((1, 1, 1, 2))):
        work = rng.choice(MUTATIONS)
        kinds.append(work.__name__)
        data = work(data, rng)
    path.write_bytes(data)
    return pair, kinds


def announced(video: Path) -> int | None:
    """How many pictures the file says that it holds: an AVI's header, an MP4's table of samples."""
    data = video.read_bytes()
    if video.suffix == ".avi":
        at = data.find(b"strh")
        return int.from_bytes(data[at + 40 : at + 44], "little") if at > 0 else None
    if video.suffix == ".mp4":
        at = data.find(b"stsz")
        return int.from_bytes(data[at + 12 : at + 16], "big") if at > 0 else None
    return None


def attempt(number: int, seed: int, lab: Path) -> Mutant:
    """Make a mutant, cut all of it, and judge what came of it."""
    pair = PAIRS[number % len(PAIRS)]
    with tempfile.TemporaryDirectory(dir=lab) as folder:
        video = Path(folder) / f"mutant{CONTAINERS[pair[0]][0]}"
        _, kinds = mutate(number, seed, lab, video)
        shown = program_shows(video, SIZE, timeout=LIMIT / 2)
        found = cut_all(video, max(FRAMES, len(shown)), SIZE, Path(folder))
        mutant = Mutant(number, pair, tuple(kinds), "refused", (found.reason or "",))
        if found.reason is not None:
            return mutant
        traced = bool(shown.said.strip()) or announced(video) not in (None, len(shown))
        return _judged(mutant, found.clips, shown, traced)


def _judged(mutant: Mutant, clips: Sequence[Clip], shown: Shown, traced: bool) -> Mutant:
    place = by_count(range(FRAMES))
    verdict, details, objected = "right", [], 0
    rank = ("right", "marked", "unsettled", "wrong", "passed")
    for clip in clips:
        strays = clip.strays(place)
        if strays:
            strays = clip.strays(by_place(shown, FRAMES, *clip.corner))
        counted = strays
        if mutant.pair[0] != "avi":
            counted = clip.strays(by_count(shown.within(*clip.corner)))
        mark = "marked" if clip.reason else "right"
        if strays and counted:
            mark = "wrong" if clip.objections else "passed"
        elif strays or counted:
            mark = "unsettled"
            details.append(f"{clip.start} by {'place' if counted else 'count'}")
        elif clip.objections:
            objected += 1
        if mark in ("wrong", "passed"):
            details.append(f"{clip.start}–{clip.end} {strays[:3]} held {clip.held}")
        verdict = max(verdict, mark, key=rank.index)
    if verdict in ("unsettled", "wrong", "passed") and not traced:
        verdict = "untraced"
    marks = tuple(sorted({c.reason for c in clips if c.reason}))
    return Mutant(
        mutant.number, mutant.pair, mutant.kinds, verdict, marks, "; ".join(details), objected
    )


def attempts(numbers: Sequence[int], seed: int, lab: Path, workers: int) -> Iterator[Mutant]:
    """Mutants in order; one that crashes its process or outlives the limit is an error."""
    for pair in PAIRS:
        whole(pair, lab)
    with ProcessPool(workers, context=get_context("spawn")) as pool:
        waiting = [
            pool.schedule(attempt, args=(number, seed, lab), timeout=LIMIT) for number in numbers
        ]
        for number, future in zip(numbers, waiting, strict=True):
            try:
                yield future.result()
            except Exception as e:
                text = "no end" if isinstance(e, Late) else f"{type(e).__name__}: {e}"
                yield Mutant(number, PAIRS[number % len(PAIRS)], (), "error", (), text)


def summary(mutants: Sequence[Mutant]) -> list[str]:
    """A line a verdict, with the reasons given, and the kinds of what left no trace."""
    lines = []
    for verdict, count in Counter(m.verdict for m in mutants).most_common():
        some = [m for m in mutants if m.verdict == verdict]
        marks = Counter(mark for m in some for mark in m.marks)
        reasons = ", ".join(f"{mark} {n}" for mark, n in marks.most_common())
        lines.append(f"{verdict:9s} {count:5d}  {reasons}")
    kinds = Counter(f"{'-'.join(m.pair)} {m.kinds}" for m in mutants if m.verdict == "untraced")
    lines += [f"no trace: {kind}: {n}" for kind, n in kinds.most_common()]
    lines.append(f"right clips that verify does not pass: {sum(m.objected for m in mutants)}")
    return lines
