"""Every error that a user can meet, as one tree.

TinyviratError                 exit status 2; the message is one line: what, where, remedy
├── SettingsError              an unknown or ill-typed setting, preset or stage
├── DataError                  a folder, file or record of the user's data cannot be used
│   ├── AnnotationError        an annotation file that cannot be read at all (file, line)
│   └── VideoError             a video that cannot be indexed or cut (reason)
├── BuildError                 the build directory: locked, not writable, made by another version
├── MeansError                 the machine lacks file handles, processes or disk
│   └── OutOfMemoryError       or memory
├── PackError                  a training pack: truncated, another version, checksum
├── TrainError                 a training run: loss not finite, weights or run that do not fit
└── SubmissionError            an answer file that breaks the challenge's format (file, lines)
"""

from __future__ import annotations

from pathlib import Path
from typing import Final


class TinyviratError(Exception):
    """The base of all errors that are the user's to mend; its text is one line with a remedy."""


class SettingsError(TinyviratError):
    """A setting, preset, source or stage that does not exist or has the wrong type."""


class DataError(TinyviratError):
    """The user's data cannot be used as it is."""


class AnnotationError(DataError):
    """An annotation file cannot be read at all; single bad records become issues instead.

    >>> str(AnnotationError("not YAML", file="a.yml", line=3, remedy="restore the file"))
    'a.yml:3: not YAML; restore the file'
    """

    def __init__(
        self, what: str, *, file: str | Path, line: int | None = None, remedy: str
    ) -> None:
        self.what, self.file, self.line, self.remedy = what, str(file), line, remedy
        place = f"{file}:{line}" if line is not None else str(file)
        super().__init__(f"{place}: {what}; {remedy}")

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_annotation_error, (self.what, self.file, self.line, self.remedy)


def _rebuild_annotation_error(
    what: str, file: str, line: int | None, remedy: str
) -> AnnotationError:
    return AnnotationError(what, file=file, line=line, remedy=remedy)


class VideoError(DataError):
    """A video cannot be used; ``reason`` is one of :data:`records.REASONS`."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}")

    def __reduce__(self) -> tuple[object, ...]:
        return VideoError, (self.reason, self.detail)


class BuildError(TinyviratError):
    """The build directory cannot be used: locked, not writable, or not a build."""


class MeansError(TinyviratError):
    """The machine lacks what the work needs, whatever the files hold."""


class OutOfMemoryError(MeansError):
    """There is no memory left; of one video it may be only that one."""


class PackError(TinyviratError):
    """A training pack is truncated, of another version, or fails its checksum."""


class TrainError(TinyviratError):
    """A training run cannot begin or go on: weights, folder or loss are not usable."""


class SubmissionError(TinyviratError):
    """An answer file breaks the challenge's format; ``problems`` are (line, what), in order."""

    def __init__(self, file: str | Path, problems: list[tuple[int, str]]) -> None:
        self.file, self.problems = str(file), problems
        line, what = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{file}:{line}: {what}{more}; mend the file")

    def __reduce__(self) -> tuple[object, ...]:
        return SubmissionError, (self.file, self.problems)


# The bounds of what one video may ask for, stated in docs/formats.md, "Bounds". What is worked on
# is bounded by the boxes that are there and the pairs that really meet; these are for a file that
# has too many of either.
MAX_FRAME: Final = 10_000_000  # of a video: four days at 30 fps
MAX_BOXES: Final = 10_000_000  # that the sparse boxes of a file may become; real ones reach 10^5
MAX_CAST_BOXES: Final = 100_000_000  # boxes, each counted for every set of actors that it is in
MAX_MEETINGS: Final = 500_000_000  # pairs of boxes, or of blocks of them, that are compared
MAX_TOUCHES: Final = 5_000_000  # runs of frames over which a pair of activities touches
MAX_MEMBERS: Final = 5_000_000  # activities of all tracks, and runs of frames of all activities
MAX_CHANGES: Final = 20_000_000  # activities of all components at all times when one changes
MAX_SPAN: Final = 20_000_000  # frames of all activities, where each is a clip over its whole span


class BoundError(AnnotationError):
    """A video asks for more than a bound: it becomes one issue, and the others go on."""

    def __init__(self, what: str, *, file: str | Path = "annotations") -> None:
        super().__init__(what, file=file, remedy="correct the file, or give it in parts")

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.what, self.file)


def _rebuild(what: str, file: str) -> BoundError:
    return BoundError(what, file=file)


class Work:
    """A count that must not pass a bound.

    >>> work = Work(10, "touches")
    >>> work.add(10)
    >>> try:
    ...     work.add(1)
    ... except BoundError as e:
    ...     print(e)
    annotations: more than 10 touches; correct the file, or give it in parts
    """

    def __init__(self, most: int, what: str, *, file: str | Path = "annotations") -> None:
        self.most, self.what, self.file, self.done = most, what, file, 0

    def add(self, n: int) -> None:
        """Count ``n`` more.

        Raises:
            BoundError: they are too many.
        """
        self.done += n
        if self.done > self.most:
            raise BoundError(f"more than {self.most:,} {self.what}", file=self.file)


def compared() -> Work:
    """The count of pairs of boxes that one video's stage compares."""
    return Work(MAX_MEETINGS, "pairs of boxes to compare")
