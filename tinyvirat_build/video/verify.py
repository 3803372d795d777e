"""Clips against their source, decoded by another program.

Everything is compared at the clip's own pixels, each with its chroma sample: a clip in 4:2:0 with
its samples repeated, a clip in 4:4:4 as it is, the pack inside its enclosing window (of a source
in 4:2:2 with the upper of two rows of chroma). What the
source should show there is worked out pixel by pixel from the manifest, by none of the cutter's
code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import cv2
import numpy as np
import pandas as pd

from tinyvirat_build.geometry.arrays import Bytes, Ints
from tinyvirat_build.store.means import raise_if_lacking
from tinyvirat_build.video.index import Colour, VideoIndex
from tinyvirat_build.video.rate import clip_rate
from tinyvirat_build.video.source_frames import decoded_frames, reorders
from tinyvirat_build.video.spans import needed_frames, shown_for

LEAST_PSNR: Final = 20.0  # decibels of a lossy clip's luma; below it shows something else
_ROUNDED_RATE: Final = 1e-6  # of itself: Matroska counts a frame's duration in nanoseconds
# MPEG-4 has a byte for either side of a sample; FFV1's clips say nothing of it.
_ROUNDED_ASPECT: Final = {"mpeg4": 0.01, "ffv1": float("inf")}

_COLUMNS: Final = (
    "clip_id", "start", "end", "width", "height", "x", "y",
    "file", "n_frames", "held", "sha256", "fps", "pack_file", "pack_offset",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Problem:
    """Something of a build that is not as it should be: which check, where, and what it found."""

    check: str
    where: str
    detail: str


@dataclass(slots=True)
class _Checked:
    clip_id: str
    start: int
    end: int
    width: int
    height: int
    x: Sequence[int]
    y: Sequence[int]
    file: str
    n_frames: int
    held: int
    sha256: str
    fps: str
    pack_file: str | None
    pack_offset: int | None
    past_end: bool = False  # planned one frame past the video's last, and a frame short
    pixels: Bytes | None = None  # (T, 3, height, width)
    packed: Bytes | None = None
    held_here: int = 0
    wrong: list[int] = field(default_factory=list)
    wrong_pack: list[int] = field(default_factory=list)
    squares: float = 0.0

    def problem(self, check: str, detail: str) -> Problem:
        return Problem(check, f"clip {self.clip_id}", detail)


def verify_video(
    path: str | Path,
    index: VideoIndex,
    clips: pd.DataFrame,
    root: str | Path,
    *,
    lossless: bool = True,
    threads: int = 1,
) -> list[Problem]:
    """Compare every clip of one video with the source, frame by frame and pixel by pixel.

    ``clips`` are rows of ``clips`` with the columns of ``cuts`` (files relative to ``root``),
    those without a file left out. Also checked: the checksum, the number of frames by two readers
    (PyAV and OpenCV) and by the container, the rate, timestamps from 0, colour tags, the aspect
    ratio of samples, the count of held frames and the pack's planes. A clip that is planned one
    frame past the video's last must lack just this frame, and the program show none there. Clips
    of a lossy codec (``lossless=False``) must be within :data:`LEAST_PSNR` of the source instead of
    equal. ``threads`` are the program's. Memory: the clips that are open at one time, decoded.
    """
    if clips.empty:
        return []
    waiting = sorted(_rows(clips, index), key=lambda c: -c.start)
    problems: list[Problem] = []
    frames = needed_frames(index.n_frames, [c.start for c in waiting], [c.end for c in waiting])
    short = [c for c in waiting if c.past_end]
    if short:
        frames = np.append(frames, index.n_frames)
    unnamed = _unnamed(index)
    for clip in waiting:
        if np.any((unnamed[:, 0] < clip.end) & (unnamed[:, 1] > clip.start)):
            problems.append(clip.problem("frames", "lost packets leave their numbers uncertain"))
        if clip.end > index.n_frames:
            problems.append(
                clip.problem("frames", f"ends after the {index.n_frames} of the source")
            )
    open_clips: list[_Checked] = []
    for number, planes, held in _shown(Path(path), index, frames, threads):
        if number == index.n_frames and not held:
            problems += [
                c.problem("frames", f"lacks frame {number}, which is shown") for c in short
            ]
        while waiting and waiting[-1].start <= number:
            clip = waiting.pop()
            problems += _open(clip, Path(root), index)
            open_clips.append(clip)
        for clip in open_clips:
            _compare(clip, number, planes, held, lossless)
        for clip in [c for c in open_clips if c.end <= number + 1]:
            problems += _close(clip, lossless)
        open_clips = [c for c in open_clips if c.end > number + 1]
    if waiting or open_clips:
        raise_if_lacking()
    problems += [
        c.problem("source", "the ffmpeg program did not decode the source's frames")
        for c in waiting + open_clips
    ]
    return problems


def _unnamed(index: VideoIndex) -> Ints:
    """Spans ``(K, 2)`` of slots that a loss among reordered pictures leaves without a number.

    From the keyframe before each lost slot of an AVI to the one after it.
    """
    if index.container != "avi" or not reorders(index):
        return np.empty((0, 2), np.int64)
    edges = np.r_[0, np.unique(index.frame[index.sync]), index.n_frames]
    after = np.searchsorted(edges, index.lost, "right")
    return np.unique(np.c_[edges[after - 1], edges[after]], axis=0)


def _rows(clips: pd.DataFrame, index: VideoIndex) -> Iterator[_Checked]:
    pack = "pack_file" in clips
    columns: list[list[Any]] = [
        [None] * len(clips) if name.startswith("pack_") and not pack else clips[name].tolist()
        for name in _COLUMNS
    ]
    for row in zip(*columns, strict=True):
        clip = _Checked(*row)
        if clip.pack_file is None or pd.isna(clip.pack_file) or pd.isna(clip.pack_offset):
            clip.pack_file = clip.pack_offset = None
        if clip.start < index.n_frames == clip.end - 1:
            clip.end, clip.past_end = clip.end - 1, True
        yield clip


def _shown(
    path: Path, index: VideoIndex, frames: Ints, threads: int
) -> Iterator[tuple[int, list[Bytes], bool]]:
    """What each of ``frames`` shows: its own picture, or the one before where it is lost."""
    if not len(frames):
        return
    sources = index.present[np.maximum(shown_for(index, frames), 0)]
    asked = np.union1d(sources, frames[frames == index.n_frames])
    at = 0
    before: list[Bytes] = []
    for number, planes in decoded_frames(path, index, asked, threads=threads):
        while at < len(frames) and frames[at] < number:
            if before:
                yield int(frames[at]), before, True
            at += 1
        if at < len(frames) and frames[at] == number:
            yield number, planes, False
            at += 1
        before = planes
    while at < len(frames) and before and index.container == "avi":
        yield int(frames[at]), before, True
        at += 1


def _open(clip: _Checked, root: Path, index: VideoIndex) -> list[Problem]:
    """Decode the clip with two readers and check what does not need the source."""
    file = root / clip.file
    if not file.is_file():
        return [clip.problem("file", f"{clip.file} is missing")]
    problems = []
    if hashlib.sha256(file.read_bytes()).hexdigest() != clip.sha256:
        problems.append(clip.problem("checksum", f"{clip.file} is not the file that was written"))
    expected = clip.end - clip.start
    counts = {"table": int(clip.n_frames), "OpenCV": _count_opencv(file)}
    fps = Fraction(clip.fps)
    kept = clip_rate(index, clip.start, clip.end)
    if fps != kept:
        problems.append(clip.problem("rate", f"{fps} by the tables, but its frames keep {kept}"))
    try:
        found = _decode(file, fps)
    except (OSError, av.error.FFmpegError, IndexError, ValueError) as e:
        raise_if_lacking(e)
        return [*problems, clip.problem("file", f"{clip.file} does not decode: {e}")]
    pixels = found.pixels
    counts |= {"PyAV": len(pixels), "container": found.count}
    odd = [f"{k} {v}" for k, v in counts.items() if v != expected]
    if odd:
        raise_if_lacking()
        problems.append(clip.problem("frames", f"{expected} frames, but {', '.join(odd)}"))
    elif pixels.shape[2:] != (clip.height, clip.width):
        size = f"{pixels.shape[3]}x{pixels.shape[2]}"
        problems.append(clip.problem("size", f"{size}, not {clip.width}x{clip.height}"))
    else:
        clip.pixels = pixels
    if abs(found.rate / fps - 1) > (_ROUNDED_RATE if found.codec == "ffv1" else 0):
        problems.append(clip.problem("rate", f"{found.rate} frames a second, not {fps}"))
    if abs(found.sar / index.sar - 1) > _ROUNDED_ASPECT.get(found.codec, 0):
        problems.append(clip.problem("aspect", f"samples of {found.sar}, not of {index.sar}"))
    if _as_read(found.colour, found.codec) != _as_read(index.colour, found.codec):
        tags = (found.colour.range, found.colour.matrix)
        problems.append(clip.problem("colour", f"tags {tags} are not the source's"))
    if clip.pack_file is not None:
        clip.packed = _unpack(clip, root)
        if clip.packed is None:
            problems.append(clip.problem("pack", f"{clip.pack_file} ends early or is missing"))
    return problems


def _as_read(colour: Colour, codec: str) -> tuple[bool, int]:
    """Full range or not, and the matrix, as a reader of a clip in this codec takes its tags.

    A range without tag is limited: x264 writes no other tag for it. MP4 writes all tags beside
    MPEG-4 or none, and without any the matrix is BT.601's.
    """
    unset = Colour().matrix
    return colour.range == 2, 5 if codec == "mpeg4" and colour.matrix == unset else colour.matrix


@dataclass(frozen=True, slots=True)
class _Decoded:
    pixels: Bytes  # (T, 3, H, W)
    count: int  # by the container
    rate: Fraction
    codec: str
    colour: Colour
    sar: Fraction


def _decode(file: Path, fps: Fraction) -> _Decoded:
    """A clip's frames, and what its file says of them.

    Raises:
        ValueError: frame i is not shown at i / rate.
    """
    with av.open(str(file)) as container:
        stream: Any = container.streams.video[0]
        stream.thread_count = 1
        context = stream.codec_context
        pictures = []
        for i, frame in enumerate(container.decode(stream)):
            # Matroska's clock ticks in milliseconds, MP4's divides the frame exactly.
            if abs(frame.pts * stream.time_base - i / fps) * 1000 > 1:
                raise ValueError(f"frame {i} is shown at {frame.time} s")
            pictures.append(_full(frame))
        return _Decoded(
            pixels=np.array(pictures),
            count=stream.frames or len(pictures),
            rate=Fraction(stream.average_rate),
            codec=context.name,
            colour=Colour(int(context.color_range), int(context.colorspace)),
            sar=Fraction(stream.sample_aspect_ratio or 1),
        )


def _full(frame: Any) -> Bytes:
    y, u, v = (
        np.frombuffer(p, np.uint8).reshape(-1, p.line_size)[: p.height, : p.width]
        for p in frame.planes
    )
    if u.shape != y.shape:
        h, w = y.shape
        u, v = (c.repeat(2, 0).repeat(2, 1)[:h, :w] for c in (u, v))
    return np.stack([y, u, v])


def _count_opencv(file: Path) -> int:
    """Frames by OpenCV; −1 where they are not as many as it announces."""
    capture = cv2.VideoCapture(str(file))
    announced = round(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    count = 0
    while capture.grab():
        count += 1
    capture.release()
    return count if count == announced else -1


def _unpack(clip: _Checked, root: Path) -> Bytes | None:
    """The clip's own pixels in the pack, ``(T, 3, height, width)``."""
    dx, dy = int(clip.x[0]) % 2, int(clip.y[0]) % 2
    w, h = -(-(clip.width + dx) // 2) * 2, -(-(clip.height + dy) // 2) * 2
    count, size = clip.end - clip.start, w * h * 3 // 2
    file = root / str(clip.pack_file)
    if not file.is_file():
        return None
    raw = np.fromfile(file, np.uint8, count * size, offset=int(clip.pack_offset or 0))
    if len(raw) < count * size:
        return None
    raw = raw.reshape(count, size)
    y = raw[:, : w * h].reshape(count, h, w)
    u, v = (
        raw[:, at : at + w * h // 4].reshape(count, h // 2, w // 2).repeat(2, 1).repeat(2, 2)
        for at in (w * h, w * h * 5 // 4)
    )
    inner = (slice(None), slice(dy, dy + clip.height), slice(dx, dx + clip.width))
    return np.stack([y[inner], u[inner], v[inner]], axis=1)


def _compare(clip: _Checked, number: int, planes: list[Bytes], held: bool, lossless: bool) -> None:
    i = number - clip.start
    clip.held_here += held
    if not planes:
        clip.wrong.append(number)
        return
    truth, packed = _truth(clip, i, planes)
    if clip.packed is not None and not np.array_equal(clip.packed[i], packed):
        clip.wrong_pack.append(number)
    if clip.pixels is None:
        return
    if lossless:
        if not np.array_equal(clip.pixels[i], truth):
            clip.wrong.append(number)
    else:
        difference = clip.pixels[i, 0].astype(np.float64) - truth[0]
        clip.squares += float((difference**2).mean())


def _truth(clip: _Checked, i: int, planes: list[Bytes]) -> tuple[Bytes, Bytes]:
    """What the window shows at the clip's frame ``i``, and the pack: ``(3, height, width)``."""
    high, wide = planes[0].shape
    places = np.arange(clip.height) + int(clip.y[i])
    rows = np.clip(places, 0, high - 1)
    cols = np.clip(np.arange(clip.width) + int(clip.x[i]), 0, wide - 1)
    luma = planes[0][np.ix_(rows, cols)]
    if len(planes) == 1:
        gray = np.full_like(luma, 128)
        found = np.stack([luma, gray, gray])
        return found, found
    if len(planes[1]) < high:
        found = np.stack([luma, *(p[np.ix_(rows // 2, cols // 2)] for p in planes[1:])])
        return found, found
    upper = np.clip(places // 2 * 2, 0, high - 1)
    shown, packed = (
        np.stack([luma, *(p[np.ix_(r, cols // 2)] for p in planes[1:])]) for r in (rows, upper)
    )
    return shown, packed


def _close(clip: _Checked, lossless: bool) -> Iterator[Problem]:
    if clip.wrong:
        yield clip.problem("pixels", f"{_some(clip.wrong)} differ from the source")
    if clip.wrong_pack:
        yield clip.problem("pack", f"{_some(clip.wrong_pack)} differ from the source")
    if clip.held_here != int(clip.held):
        yield clip.problem("held", f"{clip.held_here} frames are held, not {clip.held}")
    if clip.pixels is not None and not lossless and clip.squares:
        mean = clip.squares / (clip.end - clip.start)
        psnr = 10 * float(np.log10(255**2 / mean))
        if psnr < LEAST_PSNR:
            yield clip.problem("pixels", f"luma is {psnr:.1f} dB from the source")
    clip.pixels = clip.packed = None


def _some(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:4])) + (", …" if len(numbers) > 4 else "")
    return f"{len(numbers)} frames ({shown} of the source)"
