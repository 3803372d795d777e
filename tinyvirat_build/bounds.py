"""The bounds of what one video may ask for, and the error of a video that asks for more.

What is worked on is bounded by the boxes that are there and the pairs that really meet; these
bounds are for a file that has too many of either. They are stated in docs/formats.md, "Bounds".
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tinyvirat_build.errors import AnnotationError

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
