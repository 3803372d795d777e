"""The stage ``plan``: what cutting will cost, at the rate at which this machine cuts.

The rate is measured with as many workers as will cut: together they are slower than one alone,
which has a processor's whole cache and clock.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tinyvirat_build import engine
from tinyvirat_build.errors import VideoError
from tinyvirat_build.pipeline.folder import unit_path
from tinyvirat_build.pipeline.given import Corpus, OwnRows
from tinyvirat_build.pipeline.on_video import load_index
from tinyvirat_build.pipeline.request import Request
from tinyvirat_build.pipeline.stages import modules
from tinyvirat_build.remote.video import bytes_to_read
from tinyvirat_build.settings import Settings
from tinyvirat_build.video.agreed import cut_agreed
from tinyvirat_build.video.spans import Estimate
from tinyvirat_build.video.spans import estimate as estimate_of

_WORTH: Final = 1.5  # seconds that cutting may take before its rate is measured
_MEASURED: Final = 0.5  # seconds for which each worker cuts to measure it
_FEWEST: Final = 16  # clips: of a few, opening the video is the most
_MOST: Final = 64  # workers that measure: a cluster may have more
_PROVED: Final = 4.0  # times as long takes a video whose clips another decoder has to confirm


@dataclass(frozen=True, slots=True)
class Sample:
    """Clips of one video, some of which are cut to measure the rate; ``seconds`` expected of all.

    ``proved``: another decoder has to confirm them.
    """

    video: Path
    unit: Path  # its index
    clips: OwnRows
    settings: Settings
    seconds: float
    proved: bool


def estimate(corpus: Corpus, request: Request) -> Estimate:
    """What cutting would cost, at the rate at which all workers cut some of the clips."""
    total = Estimate(workers=request.workers or engine.processors(request.engine))
    here: list[Sample] = []
    for entry, rows, own in corpus.with_rows(corpus.planned, "clips_filtered"):
        if entry.video is None:
            total += Estimate(clips_without_video=len(own), videos_missing=1)
            continue
        unit = unit_path(corpus.out, "index", entry)
        try:
            packets = load_index(unit)
        except VideoError:
            continue
        proved = bool(packets.broken) or entry.key in request.prove
        cost = estimate_of(packets, own, corpus.settings.encode).slower(_PROVED if proved else 1.0)
        total += cost
        if entry.remote is None:
            here.append(Sample(entry.video, unit, rows, corpus.settings, cost.seconds, proved))
        else:
            afar, size = bytes_to_read(packets, own), entry.remote.size
            total += Estimate(bytes_afar=min(afar, size), bytes_of_remote=size)
    if total.elapsed < _WORTH or not here:
        return total
    return total.slower(_slowness(_spread(here, total.workers), request))


def _spread(here: Sequence[Sample], workers: int) -> Sequence[Sample]:
    """One of the videos for each worker, at even distances from the shortest work to the longest.

    >>> [s.seconds for s in _spread([Sample(*[None] * 4, float(n), False) for n in range(9)], 3)]
    [1.0, 4.0, 7.0]
    """
    n = min(workers, len(here), _MOST)
    ordered = sorted(here, key=lambda sample: sample.seconds)
    return [ordered[(2 * i + 1) * len(ordered) // (2 * n)] for i in range(n)]


def _slowness(samples: Sequence[Sample], request: Request) -> float:
    """How much longer this machine takes than expected, when so many workers cut at once."""
    run = engine.chosen(request.engine, request.address)
    ended = run(cut_some, samples, workers=len(samples), timeout=request.timeout, preload=modules())
    spent, expected = map(sum, zip(*(e.result or (0.0, 0.0) for e in ended), strict=True))
    return spent / expected if expected else 1.0


def cut_some(sample: Sample) -> tuple[float, float]:
    """Cut clips of a video for a while; the seconds that it took, and those that were expected."""
    clips = sample.clips.frame().sort_values("start", kind="stable", ignore_index=True)
    encode, n = sample.settings.encode, _FEWEST
    try:
        packets = load_index(sample.unit)
        cut = partial(
            cut_agreed, sample.video, packets, encode=encode,
            max_held=sample.settings.videos.max_held, prove=sample.proved,
        )  # fmt: skip
        while True:
            with tempfile.TemporaryDirectory() as folder:
                pack = Path(folder) / "clips.yuv" if encode.pack else None
                began = time.perf_counter()
                cut(clips=clips[:n], out_dir=Path(folder), pack_path=pack)
                spent = time.perf_counter() - began
            if spent >= _MEASURED or n >= len(clips):
                break
            n *= 2
    except (VideoError, OSError):  # cutting itself will tell
        return 0.0, 0.0
    expected = estimate_of(packets, clips[:n], encode).slower(_PROVED if sample.proved else 1.0)
    return spent, expected.seconds
