"""Which clips make an epoch, in which order, and which of a clip's frames are seen.

Every random number is a pure function of (seed, epoch, position in the epoch, purpose): no
generator has a state, so a batch is the same whichever rank, thread or restart prepares it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from tinyvirat_build.errors import SettingsError
from tinyvirat_build.geometry.arrays import Bytes, Floats, Ints

Words = npt.NDArray[np.uint64]

# What a random number is for. A purpose keeps its number for ever: changing one changes batches.
ORDER: Final = 0
START: Final = 1
JITTER: Final = 100  # plus the frame's place in the sample
SEGMENT: Final = 1 << 20  # plus the frame's place in the sample

_GOLDEN: Final = 0x9E3779B97F4A7C15
_MASK: Final = (1 << 64) - 1


def _mix(words: Words) -> Words:
    """SplitMix64's finaliser, a bijection of 64-bit words (Steele, Lea and Flood, 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def uniform(seed: int, epoch: int, positions: npt.ArrayLike, purposes: npt.ArrayLike) -> Floats:
    """Random numbers in [0, 1), ``(len(positions), len(purposes))``.

    >>> a = uniform(0, 3, [5, 6, 7], [1, 2])
    >>> bool((a[1:] == uniform(0, 3, [6, 7], [1, 2])).all())
    True
    """
    key = _mix(np.array([seed & _MASK], np.uint64) + np.uint64(_GOLDEN))
    key = _mix(key ^ _mix(np.array([(epoch + 1) * _GOLDEN & _MASK], np.uint64)))
    rows = _mix(key + np.asarray(positions, np.uint64) * np.uint64(_GOLDEN))
    cells = rows[:, None] + (np.asarray(purposes, np.uint64) + np.uint64(1)) * np.uint64(_GOLDEN)
    return (_mix(cells) >> np.uint64(11)).astype(np.float64) * 2.0**-53


Sampler = Callable[[Bytes, int, int], Ints]
"""``sampler(labels (N, C), seed, epoch) -> positions of items (M,)``, the epoch's order."""


def sequential(labels: Bytes, seed: int, epoch: int) -> Ints:
    """Every item once, in the order of the pack: 0, 1, 2, …."""
    return np.arange(len(labels), dtype=np.int64)


def shuffled(labels: Bytes, seed: int, epoch: int) -> Ints:
    """Every item once, in an order drawn anew each epoch."""
    keys = uniform(seed, epoch, np.arange(len(labels)), [ORDER])[:, 0]
    return np.argsort(keys, kind="stable").astype(np.int64)


def balanced(labels: Bytes, seed: int, epoch: int) -> Ints:
    """As many draws as items, with replacement; rare classes are drawn more often.

    An item's weight is the mean over its labels of 1 / sqrt(items with that label); an item
    without labels weighs as much as one of the most frequent class.
    """
    weights = balanced_weights(labels)
    edges = np.cumsum(weights)
    draws = uniform(seed, epoch, np.arange(len(labels)), [ORDER])[:, 0] * edges[-1]
    drawn: Ints = np.minimum(np.searchsorted(edges, draws, side="right"), len(labels) - 1)
    return drawn


def balanced_weights(labels: Bytes) -> Floats:
    """The weights of :func:`balanced`, ``(N,)``.

    >>> balanced_weights(np.array([[1, 0], [1, 0], [1, 0], [1, 1]], np.uint8)).round(2).tolist()
    [0.5, 0.5, 0.5, 0.75]
    """
    counts = labels.sum(axis=0, dtype=np.float64)
    per_class = 1 / np.sqrt(np.maximum(counts, 1))
    per_item = labels.sum(axis=1, dtype=np.float64)
    weights: Floats = (labels @ per_class) / np.maximum(per_item, 1)
    return np.where(per_item > 0, weights, per_class.min(initial=1.0))


SAMPLERS: Final[dict[str, Sampler]] = {
    "sequential": sequential,
    "shuffled": shuffled,
    "balanced": balanced,
}

Temporal = Literal["random", "center", "uniform", "segments", "dense"]
Short = Literal["loop", "pad"]


def check_sampling(
    frames: int, stride: int, size: int, temporal: str | None, short: str, *, dense: bool
) -> None:
    """Refuse what :func:`frame_indices` and the scaling do not know.

    Raises:
        SettingsError: with the rule that is broken.
    """
    known = [t for t in get_args(Temporal) if dense or t != "dense"]
    rules = [
        (min(frames, stride, size) >= 1, "frames, stride and size are 1 or more"),
        (temporal is None or temporal in known, f"temporal is one of {', '.join(known)}"),
        (short in get_args(Short), f"short is one of {', '.join(get_args(Short))}"),
    ]
    for holds, rule in rules:
        if not holds:
            raise SettingsError(f"sampling: {rule}")


def span_of(frames: int, stride: int) -> int:
    """Source frames from the first to the last of a sample, both included."""
    return (frames - 1) * stride + 1


def frames_needed(frames: int, stride: int, temporal: Temporal) -> int:
    """How long a clip is at least of which a sample shows no frame twice.

    >>> [frames_needed(4, 8, temporal) for temporal in ("random", "uniform")]
    [25, 4]
    """
    return frames if temporal in ("uniform", "segments") else span_of(frames, stride)


def dense_windows(lengths: Ints, frames: int, stride: int) -> tuple[Ints, Ints]:
    """Windows that cover each clip end to end: ``(clip, first frame)``, both ``(M,)``.

    Windows follow one another without overlap; the last one ends with the clip. A clip no longer
    than a window gives one.

    >>> clip, first = dense_windows(np.array([40, 5]), 16, 1)
    >>> clip.tolist(), first.tolist()
    ([0, 0, 0, 1], [0, 16, 24, 0])
    """
    span = span_of(frames, stride)
    counts = np.maximum(-(-lengths // span), 1)
    clip = np.repeat(np.arange(len(lengths), dtype=np.int64), counts)
    place = np.arange(len(clip)) - np.repeat(np.cumsum(counts) - counts, counts)
    return clip, np.minimum(place * span, np.maximum(lengths[clip] - span, 0))


def frame_indices(
    lengths: Ints,
    frames: int,
    stride: int,
    *,
    temporal: Temporal,
    short: Short = "loop",
    first: Ints | None = None,
    draws: Floats | None = None,
    jitter: Ints | None = None,
) -> Ints:
    """Which frames of each clip are seen, ``(B, frames)``.

    Args:
        lengths: frames of each clip, ``(B,)``, at least 1.
        frames: how many are wanted.
        stride: source frames from one to the next; ``uniform``, ``segments`` do not use it.
        temporal: ``random``: a start drawn among all that fit; ``center``: the middle;
            ``uniform``: the middles of as many equal segments of the clip as frames are wanted;
            ``segments``: a frame drawn in each of them (TSN, Wang et al., ECCV 2016, section 3.1);
            ``dense``: from ``first``.
        short: where a clip is shorter than the span: ``loop`` (begin again) or ``pad`` (repeat
            the last frame).
        first: the first frame of each sample, for ``dense``.
        draws: numbers in [0, 1), ``(B,)`` for ``random``, ``(B, frames)`` for ``segments``.
        jitter: added to each index, ``(B, frames)``; the result stays inside the clip and in
            order.

    >>> frame_indices(np.array([8, 3]), 4, 2, temporal="center").tolist()
    [[0, 2, 4, 6], [0, 2, 1, 0]]
    """
    last = lengths[:, None] - 1
    if temporal == "uniform":
        places = (2 * np.arange(frames) + 1) * lengths[:, None] // (2 * frames)
    elif temporal == "segments":
        if draws is None:
            raise ValueError("temporal='segments' needs draws")
        places = ((np.arange(frames) + draws) * lengths[:, None] / frames).astype(np.int64)
        ends = -(-np.arange(1, frames + 1) * lengths[:, None] // frames)
        places = np.minimum(places, ends - 1)  # where a sum was rounded up
    else:
        slack = lengths - span_of(frames, stride)
        if temporal == "random":
            if draws is None:
                raise ValueError("temporal='random' needs draws")
            choices = np.where(slack >= 0, slack + 1, lengths if short == "loop" else 1)
            start = (draws * choices).astype(np.int64)
        elif temporal == "center":
            start = np.maximum(slack // 2, 0)
        else:
            start = np.zeros_like(lengths) if first is None else first
        places = start[:, None] + np.arange(frames) * stride
        places = places if short == "loop" else np.minimum(places, last)
    if jitter is not None:  # each round of a loop for itself, and none of them backwards
        begin = places - places % lengths[:, None]
        places = np.sort(np.clip(places + jitter, begin, begin + last), axis=1)
    return np.asarray(places % lengths[:, None], np.int64)


def start_draws(
    temporal: str, frames: int, seed: int, epoch: int, positions: npt.ArrayLike
) -> Floats:
    """The ``draws`` that :func:`frame_indices` wants for ``temporal``."""
    if temporal == "segments":
        return uniform(seed, epoch, positions, purposes(SEGMENT, frames))
    return uniform(seed, epoch, positions, [START])[:, 0]


def rank_slice(
    items: int, batch: int, rank: int, world_size: int, batch_size: int, *, drop_last: bool
) -> tuple[int, int]:
    """Positions ``[begin, end)`` of one rank's part of a global batch.

    Global batch k is positions ``k * world_size * batch_size`` and on, rank r its r-th part. An
    incomplete one (never with ``drop_last``) is shared out as evenly as can be, so that parts
    differ by one at most and every position falls to exactly one rank.

    >>> [rank_slice(10, 1, r, 2, 4, drop_last=False) for r in (0, 1)]
    [(8, 9), (9, 10)]
    """
    begin = batch * world_size * batch_size
    size = min(items - begin, world_size * batch_size)
    if drop_last and size < world_size * batch_size:
        return begin, begin
    return begin + size * rank // world_size, begin + size * (rank + 1) // world_size


def global_batches(items: int, world_size: int, batch_size: int, *, drop_last: bool) -> int:
    """How many global batches an epoch has."""
    whole, rest = divmod(items, world_size * batch_size)
    return whole + (0 if drop_last or not rest else 1)


def resolve(sampler: str | Sampler | None, *, training: bool) -> Sampler:
    """A sampler from its name; none means shuffled for training, sequential otherwise."""
    if sampler is None:
        return shuffled if training else sequential
    if callable(sampler):
        return sampler
    if sampler not in SAMPLERS:
        raise SettingsError(f"no sampler {sampler!r}; one of {', '.join(SAMPLERS)}")
    return SAMPLERS[sampler]


def purposes(first: int, count: int) -> Sequence[int]:
    """Numbers of ``count`` purposes that follow one another."""
    return range(first, first + count)
