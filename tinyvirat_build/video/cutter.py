"""All clips of a source video in one decoding pass.

Decoded planes go straight to the clips that are open; a clip's frames wait in the raw file (the
training pack's, at their final place) and are encoded when its last frame has come, so that
memory depends neither on the video's length nor on the number of clips.

Where the file is damaged everything is decoded again, with care (:mod:`~.decoding`). In an AVI,
whose clock goes on, frames that still do not appear are held; elsewhere a player counts on without
them, and nobody knows whether the annotators' did: no clip is cut from what follows.
"""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from time import process_time
from typing import Any, Final

import numpy as np
import pandas as pd

from tinyvirat_build.errors import VideoError
from tinyvirat_build.geometry.arrays import Bytes, Ints
from tinyvirat_build.records import QUALITY
from tinyvirat_build.settings import Encode
from tinyvirat_build.store import PARTIAL, atomic_path, sync_folder
from tinyvirat_build.store.means import raise_if_lacking
from tinyvirat_build.video.decoding import DamagedError, Decoding, Profile
from tinyvirat_build.video.encode import encode_clip
from tinyvirat_build.video.glimpse import Afar
from tinyvirat_build.video.index import VideoIndex
from tinyvirat_build.video.quality import Measured, measure
from tinyvirat_build.video.rate import clip_rate
from tinyvirat_build.video.spans import (
    Estimate,
    estimate,
    needed_frames,
    shown_for,
)
from tinyvirat_build.video.windows import Window

__all__ = ["COLUMNS", "Estimate", "Profile", "cut_video", "estimate"]

COLUMNS: Final = (
    "clip_id",
    "file",
    "n_frames",
    "held",
    "damaged",
    "sha256",
    "pack_file",
    "pack_offset",
    "fps",
    *QUALITY,
    "reason",
)
_PAST_END: Final = 1  # frames beyond the last one: exporters that count from 1 write so many


@dataclass(slots=True)
class _Clip:
    clip_id: str
    start: int
    end: int
    window: Window
    fps: Fraction
    boxes: Ints  # of its actors, (4, T)
    reason: str | None = None
    offset: int = 0
    held: int = 0
    damaged: int = 0  # frames that the decoder mended, or that may refer to such
    sha256: str = ""
    quality: Measured | None = None
    frame: Bytes = field(default_factory=lambda: np.empty(0, np.uint8))
    planes: tuple[Bytes, ...] = ()

    @property
    def n_frames(self) -> int:
        return self.end - self.start

    @property
    def n_bytes(self) -> int:
        return self.n_frames * self.window.frame_bytes

    def open(self) -> None:
        self.frame = np.empty(self.window.frame_bytes, np.uint8)
        self.planes = self.window.planes(self.frame)

    def close(self) -> None:
        self.frame, self.planes = np.empty(0, np.uint8), ()


def cut_video(
    path: str | Path,
    index: VideoIndex,
    clips: pd.DataFrame,
    out_dir: str | Path,
    encode: Encode,
    *,
    max_held: float,
    pack_path: str | Path | None = None,
    progress: Callable[[int], None] | None = None,
    profile: Profile | None = None,
    afar: Afar | None = None,
) -> pd.DataFrame:
    """Cut every clip of one video, exactly, decoding each needed group of pictures once.

    ``clips`` are rows of ``clips_planned`` (``clip_id, start, end, width, height, x, y``), with
    the actors' ``boxes`` ``(4, T)`` in the window, or else the whole window for them. Each
    becomes ``<clip_id>.mp4`` in ``out_dir``, a frame short where it is planned one past the
    video's last. ``pack_path`` takes the clips' raw planes: clip after clip in the order given,
    frame after frame, Y, U and V of the enclosing even window in 4:2:0
    (:class:`~tinyvirat_build.video.windows.Window`). ``max_held`` is the largest share of a
    clip's frames that may repeat the one before because their packet was lost. ``progress`` is
    called with the number of clips that are done since the last call; ``afar`` is of a source
    that is here in parts.

    Returns one row a clip in the order given, with :data:`COLUMNS` (file names relative to their
    folders); a clip that could not be cut exactly has a ``reason`` and no file. Every file is
    complete on disk before it bears its name.

    Raises:
        VideoError: the file cannot be opened, or is not the one that was indexed.
        OSError: the output cannot be written.
    """
    out = Path(out_dir)
    wanted = [_clip(index, *row) for row in _rows(clips)]
    offset = 0
    for clip in wanted:
        clip.reason = _refusal(clip, index, max_held)
        if clip.reason is None:
            clip.offset, offset = offset, offset + clip.n_bytes
    kept = [c for c in wanted if c.reason is None]
    report = progress or (lambda count: None)
    report(len(wanted) - len(kept))
    if kept:
        with _raw_file(out, pack_path) as raw:
            opened = afar.opened if afar else None
            decoding = Decoding(Path(path), index, profile or Profile(), opened)
            job = _Job(decoding, out, encode, max_held, raw, report)
            try:
                job.run(kept, careful=False)
            except DamagedError as e:
                raise_if_lacking(e)
                if afar is not None:
                    afar.beyond()
                job.run(kept, careful=True)
            _compact(raw, kept)
            _put_in_place(out, kept)
    if pack_path is not None and all(c.reason for c in wanted):
        Path(pack_path).unlink(missing_ok=True)
    return _table(wanted, Path(pack_path).name if pack_path is not None else None)


def _clip(
    index: VideoIndex, clip_id: str, start: int, end: int, boxes: Ints | None, *place: Any
) -> _Clip:
    if start < index.n_frames < end <= index.n_frames + _PAST_END:
        end = index.n_frames
    window = Window.of(*place, tall=index.tall)
    if boxes is None:
        boxes = np.tile([[0], [0], [window.width], [window.height]], end - start)
    return _Clip(clip_id, start, end, window, clip_rate(index, start, end), boxes)


def _rows(clips: pd.DataFrame) -> Iterator[tuple[str, int, int, Ints | None, *tuple[Any, ...]]]:
    names = ("clip_id", "start", "end", "width", "height", "x", "y")
    boxes = clips["boxes"].tolist() if "boxes" in clips else [None] * len(clips)
    for own, clip_id, start, end, width, height, x, y in zip(
        boxes, *(clips[n].tolist() for n in names), strict=True
    ):
        if not len(x) == len(y) == end - start > 0:
            raise ValueError(f"clip {clip_id}: {end - start} frames, {len(x)} corners")
        yield str(clip_id), int(start), int(end), own, int(width), int(height), x, y


def _refusal(clip: _Clip, index: VideoIndex, max_held: float) -> str | None:
    """Why the index alone forbids the clip."""
    if clip.start < 0 or clip.end > index.n_frames:
        return "beyond_end"
    if index.is_uncertain(clip.start, clip.end):
        return "uncertain_frames"
    lost = np.searchsorted(index.lost, [clip.start, clip.end])
    if lost[1] - lost[0] > _most_held(clip, max_held):
        return "frames_missing"
    if shown_for(index, np.array([clip.start]))[0] < 0:
        return "frames_missing"
    return None


def _most_held(clip: _Clip, max_held: float) -> int:
    return math.floor(max_held * clip.n_frames + 1e-9)


@contextmanager
def _raw_file(out: Path, pack_path: str | Path | None) -> Iterator[int]:
    """A file descriptor for the raw planes: of the pack, or of a file without a name."""
    if pack_path is None:
        with tempfile.TemporaryFile(dir=out) as file:
            yield file.fileno()
        return
    with atomic_path(Path(pack_path)) as temporary, temporary.open("r+b") as file:
        yield file.fileno()


def _compact(raw: int, clips: Sequence[_Clip]) -> None:
    """Bring the clips to the pack's 4:2:0, and close the gaps of those that failed on the way."""
    end = 0
    for clip in clips:
        if clip.reason is not None:
            continue
        if clip.offset != end or clip.window.tall:
            _write_all(raw, clip.window.packed(_frames(raw, clip)).data.cast("B"), end)
            clip.offset = end
        end += clip.n_frames * clip.window.packed_bytes
    os.ftruncate(raw, end)


def _frames(raw: int, clip: _Clip) -> Bytes:
    data = os.pread(raw, clip.n_bytes, clip.offset)
    return np.frombuffer(data, np.uint8).reshape(clip.n_frames, -1)


def _quality(clip: _Clip, data: Bytes) -> Measured:
    window = clip.window
    planes = window.planes(data) if window.even else window.full_chroma(data)
    return measure(planes, window.left, window.top, clip.boxes)


def _partial(out: Path, clip: _Clip) -> Path:
    return out / f"{clip.clip_id}.mp4{PARTIAL}"


def _put_in_place(out: Path, clips: Sequence[_Clip]) -> None:
    """Give the files their names once they are on disk; all at once, for a sync is slow."""
    written = [_partial(out, c) for c in clips if c.reason is None]
    for file in written:
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    for file in written:
        file.rename(file.with_suffix(""))
    sync_folder(out)


def _write_all(raw: int, data: Any, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(raw, view, offset)
        view, offset = view[written:], offset + written


def _table(clips: Sequence[_Clip], pack: str | None) -> pd.DataFrame:
    rows = [
        (c.clip_id, *[None] * (len(COLUMNS) - 2), c.reason)
        if c.reason
        else (c.clip_id, f"{c.clip_id}.mp4", c.n_frames, c.held, c.damaged, c.sha256)
        + (pack, c.offset if pack else None, str(c.fps), *(c.quality or ()), None)
        for c in clips
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)


@dataclass(slots=True)
class _Job:
    decoding: Decoding
    out: Path
    encode: Encode
    max_held: float
    raw: int
    report: Callable[[int], None]
    finished: set[str] = field(default_factory=set)  # clips that progress knows of

    def run(self, clips: Sequence[_Clip], *, careful: bool) -> None:
        """Decode once and finish every clip; ``careful`` from the first packet on."""
        for clip in clips:
            clip.held, clip.damaged, clip.reason = 0, 0, None
        starts, ends = [c.start for c in clips], [c.end for c in clips]
        frames = needed_frames(self.decoding.index.n_frames, starts, ends)
        open_clips = _OpenClips(self, clips)
        for number, planes, held, damaged in self.decoding.shown(frames, careful=careful):
            open_clips.take(number, planes, held=held, damaged=damaged)

    def finish(self, clip: _Clip) -> None:
        """Encode a clip whose last frame has come, and put its file in place."""
        if clip.held > _most_held(clip, self.max_held):
            clip.reason = "frames_missing"
        if clip.end > self.decoding.doubtful:
            clip.reason = "uncertain_frames"
        if clip.reason is None:
            index, profile = self.decoding.index, self.decoding.profile
            began = process_time()
            data = _frames(self.raw, clip)
            read = process_time()
            clip.quality = _quality(clip, data)
            measured = process_time()
            try:
                file = encode_clip(
                    data, clip.window, clip.fps, index.colour, self.encode, index.sar
                )
            except VideoError as e:
                clip.reason = e.reason
            else:
                encoded = process_time()
                clip.sha256 = hashlib.sha256(file).hexdigest()
                _partial(self.out, clip).write_bytes(file)
                profile.measure += measured - read
                profile.encode += encoded - measured
                profile.write += process_time() - encoded + read - began
        if clip.reason is not None:
            _partial(self.out, clip).unlink(missing_ok=True)
        if clip.clip_id not in self.finished:
            self.finished.add(clip.clip_id)
            self.report(1)


class _OpenClips:
    """Hands each frame to the clips that hold it; frames come in ascending order."""

    def __init__(self, job: _Job, clips: Sequence[_Clip]) -> None:
        self._job = job
        self._waiting = sorted(clips, key=lambda c: -c.start)  # the next one last
        self._open: list[_Clip] = []

    def take(
        self, number: int, planes: Sequence[Bytes] | str, *, held: bool, damaged: bool = False
    ) -> None:
        """Give the open clips a frame's planes, or the reason for which they cannot have it."""
        began = process_time()
        while self._waiting and self._waiting[-1].start <= number:
            clip = self._waiting.pop()
            clip.open()
            self._open.append(clip)
        raw = self._job.raw
        for clip in self._open:
            if isinstance(planes, str):
                clip.reason = clip.reason or planes
                continue
            i = number - clip.start
            clip.window.crop(planes, i, clip.planes)
            _write_all(raw, clip.frame, clip.offset + i * clip.frame.nbytes)
            clip.held += held
            clip.damaged += damaged
        self._job.decoding.profile.crop += process_time() - began
        if any(c.end == number + 1 for c in self._open):
            for clip in self._open:
                if clip.end == number + 1:
                    clip.close()
                    self._job.finish(clip)
            self._open = [c for c in self._open if c.end > number + 1]
