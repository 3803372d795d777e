"""Read a TinyVIRAT tree: the rows of any released layout, and the frames behind them.

    v1   tiny_train.json, tiny_test.json            {"tubes": [{"id", "path", "dim", "label"}]}
    v2   tiny_train_v2.json, tiny_val_v2.json, tiny_test_v2_public.json      a list of such rows

Paths are relative to ``videos/<split>/``. The released files have faults (``dim`` larger than the
frames that decode, files that do not open), so what is decoded counts, and faults are told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tinyvirat_build.errors import DataError
from tinyvirat_build.labels import load_classes
from tinyvirat_build.pack.read import colour_of

_FILES: Final = {
    "train": ("tiny_train_v2.json", "tiny_train.json"),
    "val": ("tiny_val_v2.json", "tiny_val.json"),
    "test": ("tiny_test_v2.json", "tiny_test_v2_public.json", "tiny_test.json"),
}
_FOLDERS: Final = ("TinyVIRAT_V2", "TinyVIRAT")
DEFAULT_CLASSES: Final = "tinyvirat-26"


@dataclass(frozen=True, slots=True)
class TreeClip:
    """A row of a tree. ``dim`` is (frames, height, width) as written; labels None: none written."""

    split: str
    id: str
    clip_id: str
    video_id: str
    path: Path
    dim: tuple[int, ...]
    labels: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Tree:
    """A TinyVIRAT tree: its class list and its rows, train, val, test, each in file order."""

    root: Path
    classes: tuple[str, ...]
    clips: tuple[TreeClip, ...]


def read_tree(path: str | Path) -> Tree:
    """Read the rows of the tree at ``path``, or in its folder TinyVIRAT_V2 or TinyVIRAT.

    Raises:
        DataError: no tree there, a file that is not of the layout, an unknown label.
    """
    root = Path(path)
    for folder in (root, *(root / name for name in _FOLDERS)):
        found = {s: f for s, names in _FILES.items() if (f := _first(folder, names))}
        if found:
            break
    else:
        raise DataError(
            f"{root}: no TinyVIRAT tree here (tiny_train_v2.json or tiny_train.json); "
            "name the folder that holds it"
        )
    classes = _classes(folder)
    known = set(classes)
    clips = tuple(c for split, file in found.items() for c in _rows(folder, split, file, known))
    return Tree(folder, classes, clips)


def _first(folder: Path, names: Sequence[str]) -> Path | None:
    return next((folder / n for n in names if (folder / n).is_file()), None)


def read_json(file: Path, remedy: str = "restore the file") -> Any:
    """The content of a JSON file.

    Raises:
        DataError: missing, or no JSON; with what to do.
    """
    try:
        return json.loads(file.read_text("utf-8"))
    except FileNotFoundError as e:
        raise DataError(f"{file}: no such file; {remedy}") from e
    except (OSError, ValueError, RecursionError) as e:
        raise DataError(f"{file}: cannot be read as JSON ({e}); {remedy}") from e


def read_class_map(file: Path) -> tuple[str, ...]:
    """The classes of a class_map.json, in the order of their numbers.

    Raises:
        DataError: missing, or its numbers are not 0, 1, 2, ….
    """
    tree = read_json(file, "give the class_map.json of the build")
    numbers = list(tree.values()) if isinstance(tree, dict) else []
    whole = [n for n in numbers if type(n) is int]
    if not tree or len(whole) < len(tree) or sorted(whole) != list(range(len(tree))):
        raise DataError(f"{file}: not a class map from names to 0, 1, 2, …; restore the file")
    return tuple(sorted(tree, key=tree.__getitem__))


def _classes(folder: Path) -> tuple[str, ...]:
    if (folder / "class_map.json").is_file():
        return read_class_map(folder / "class_map.json")
    if (folder / "classes.txt").is_file():
        return tuple((folder / "classes.txt").read_text("utf-8").split())
    return load_classes(DEFAULT_CLASSES)


def _rows(folder: Path, split: str, file: Path, known: set[str]) -> Iterator[TreeClip]:
    rows = read_json(file)
    rows = rows.get("tubes") if isinstance(rows, dict) else rows
    if not isinstance(rows, list):
        raise DataError(f'{file}: neither a list of rows nor {{"tubes": […]}}; restore the file')
    for number, row in enumerate(rows):
        where = f"{file}: row {number}"
        try:
            clip_id, relative = str(row["id"]), PurePosixPath(row["path"])
            dim = tuple(int(n) for n in row["dim"])
            labels = row.get("label")
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            raise DataError(f"{where}: has no usable id, path and dim ({e!r}); mend it") from e
        if not relative.parts or relative.is_absolute() or ".." in relative.parts:
            raise DataError(f"{where}: path {row['path']!r} names no file of the tree; mend it")
        if labels is not None:
            if not isinstance(labels, list) or not all(isinstance(x, str) for x in labels):
                raise DataError(f"{where}: label is no list of names; mend it")
            if unknown := set(labels) - known:
                raise DataError(
                    f"{where}: label {min(unknown)!r} is not among the {len(known)} classes; "
                    "put a class_map.json beside it"
                )
        yield TreeClip(
            split=split,
            id=clip_id,
            clip_id=str(row.get("clip_id", f"{split}/{clip_id}")),
            video_id=str(row.get("video_id", relative.parts[0])),
            path=_locate(folder, split, relative),
            dim=dim,
            labels=None if labels is None else tuple(labels),
        )


def _locate(folder: Path, split: str, relative: PurePosixPath) -> Path:
    places = (folder / "videos" / split, folder / "videos", folder)
    return next((p / relative for p in places if (p / relative).is_file()), places[0] / relative)


@dataclass(frozen=True, slots=True)
class Decoded:
    """A clip's frames as a pack holds them; see ``packfile``.

    ``raw`` is ``(T, frame bytes)`` of the enclosing even window; ``fault`` is what was wrong, or
    empty.
    """

    raw: npt.NDArray[np.uint8]
    height: int
    width: int
    dy: int
    dx: int
    inner_height: int
    inner_width: int
    matrix: str
    range: str
    fps: str | None
    fault: str

    @property
    def frames(self) -> int:
        """Frames that decoded."""
        return len(self.raw)


def decode(path: Path) -> Decoded:
    """Decode a clip's planes without any conversion where it is 8-bit 4:2:0.

    4:4:4 whose chroma is replicated (an odd window of ours) goes back to the 4:2:0 it came from,
    and of a source in 4:2:2 to what the build's own pack has; there, and where other formats are
    converted, a fault says so. A clip that breaks off keeps the frames before.
    """
    import av  # not needed to read a pack

    frames: list[tuple[npt.NDArray[np.uint8], ...]] = []
    fault, kind, colour, fps = "", "", ("bt601", "limited"), None
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            context = stream.codec_context
            context.thread_count = 1
            context.flags |= av.codec.context.Flags.bitexact  # MPEG-4 is exact only so
            if stream.average_rate:
                fps = f"{stream.average_rate.numerator}/{stream.average_rate.denominator}"
            for frame in container.decode(stream):
                if not frames:
                    kind = frame.format.name
                    colour = colour_of(frame.colorspace, frame.color_range, kind)
                planes = _planes(frame)
                if frames and planes[0].shape != frames[0][0].shape:
                    fault = "the picture's size changes, cut off there"
                    break
                frames.append(planes)
    except (av.error.FFmpegError, IndexError, OSError) as e:
        what = getattr(e, "strerror", None) or e  # not the path: faults.json names it
        fault = f"decoding failed after {len(frames)} frames ({what})"
    if not frames:
        raw, height, width, dy, dx, inner_height, inner_width = _NOTHING
        return Decoded(
            raw, height, width, dy, dx, inner_height, inner_width, *colour, fps,
            fault or "no frame decodes",
        )  # fmt: skip
    if kind not in _EXACT:
        fault = fault or f"pixel format {kind} was converted to 4:2:0"
    y, u, v = (np.stack(p) for p in zip(*frames, strict=True))
    inner_height, inner_width = y.shape[1:]
    dy = dx = 0
    if u.shape == y.shape:
        dy, dx, y, u, v, lost = _halve(y, u, v)
        fault = fault or lost
    y = _even(y, 0, 0)
    raw = np.concatenate([p.reshape(len(p), -1) for p in (y, u, v)], axis=1)
    height, width = y.shape[1:]
    return Decoded(raw, height, width, dy, dx, inner_height, inner_width, *colour, fps, fault)


_NOTHING: Final = (np.empty((0, 0), np.uint8), 0, 0, 0, 0, 0, 0)
_EXACT: Final = ("yuv420p", "yuvj420p", "yuv444p", "yuvj444p", "gray")


def _planes(frame: Any) -> tuple[npt.NDArray[np.uint8], ...]:
    """Copies of a frame's Y, U, V planes; gray gets neutral chroma."""
    if frame.format.name not in _EXACT:
        frame = frame.reformat(format="yuv420p")
    planes = tuple(
        np.frombuffer(p, np.uint8).reshape(-1, p.line_size)[: p.height, : p.width].copy()
        for p in frame.planes
    )
    if frame.format.name != "gray":
        return planes
    half = np.full([-(-n // 2) for n in planes[0].shape], 128, np.uint8)
    return planes[0], half, half


def _even(plane: npt.NDArray[np.uint8], dy: int, dx: int) -> npt.NDArray[np.uint8]:
    """Widen ``(T, H, W)`` to even edges by its own edge pixels."""
    _, height, width = plane.shape
    edges = ((0, 0), (dy, (height + dy) % 2), (dx, (width + dx) % 2))
    return np.pad(plane, edges, mode="edge") if any(map(any, edges)) else plane


def _halve(
    y: npt.NDArray[np.uint8], u: npt.NDArray[np.uint8], v: npt.NDArray[np.uint8]
) -> tuple[int, int, npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.uint8], str]:
    """Undo the replication of chroma: the window's corner parity, planes, what was lost by it."""
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
        whole = [_even(p, dy, dx) for p in (u, v)]
        halves = [p[:, ::2, ::2] for p in whole]
        if all(
            (h.repeat(2, 1).repeat(2, 2) == p).all() for h, p in zip(halves, whole, strict=True)
        ):
            return dy, dx, _even(y, dy, dx), halves[0], halves[1], ""
    for dx in (0, 1):
        whole = [_even(p, 0, dx) for p in (u, v)]
        halves = [p[:, :, ::2] for p in whole]
        if all((h.repeat(2, 2) == p).all() for h, p in zip(halves, whole, strict=True)):
            lost = "of two rows of 4:2:2 chroma the upper one was taken"
            return 0, dx, _even(y, 0, dx), halves[0][:, ::2], halves[1][:, ::2], lost
    means = []
    for plane in (u, v):
        even = _even(plane, 0, 0)
        t, height, width = even.shape
        blocks = even.reshape(t, height // 2, 2, width // 2, 2).mean(axis=(2, 4))
        means.append((blocks + 0.5).astype(np.uint8))
    return 0, 0, _even(y, 0, 0), means[0], means[1], "4:4:4 chroma was averaged to 4:2:0"
