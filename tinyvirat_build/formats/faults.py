"""Issues as a reader meets them, bounded however many records are at fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from tinyvirat_build.errors import AnnotationError
from tinyvirat_build.records import Issue

APART: Final = 100  # issues of a kind that stand for themselves, and kinds of a reason


class Issues:
    """Issues in the order in which they came; of many of one kind the last stands for the rest.

    A kind is a reason, an action, a file and a detail. An activity that falls for another reason
    than that it could not be read always has its own issue, which tells why a build lacks it.
    """

    def __init__(self, issues: Iterable[Issue] = ()) -> None:
        self._kept: list[Issue] = []
        self._more: Counter[int] = Counter()  # position in _kept: what it counts beyond its own
        self._mixed: set[int] = set()  # positions that count for other records too
        self._of_kind: dict[tuple[str, str, str | None, str | None], tuple[int, int]] = {}
        self._kinds: Counter[str] = Counter()
        self.extend(issues)

    def __iter__(self) -> Iterator[Issue]:
        for at, issue in enumerate(self._kept):
            more = self._more[at]
            record = f"{issue.record} and others" if at in self._mixed else issue.record
            yield replace(issue, count=issue.count + more, record=record) if more else issue

    def append(self, issue: Issue, apart: int = APART) -> None:
        """Note an issue; beyond ``apart`` of its kind it is counted with the last of them."""
        if issue.action in ("dropped", "quarantined") and issue.reason != "malformed":
            self._kept.append(issue)
            return
        kind: tuple[str, str, str | None, str | None]
        kind = (issue.reason, issue.action, issue.file, issue.detail)
        if kind not in self._of_kind:
            self._kinds[issue.reason] += 1
            if self._kinds[issue.reason] > APART:  # each of another detail: one kind
                kind = (issue.reason, issue.action, issue.file, None)
        number, last = self._of_kind.get(kind, (0, 0))
        if number < apart:
            self._of_kind[kind] = (number + 1, len(self._kept))
            self._kept.append(issue)
            return
        self._more[last] += issue.count
        if issue.record != self._kept[last].record:
            self._mixed.add(last)

    def extend(self, issues: Iterable[Issue]) -> None:
        """Note several."""
        for issue in issues:
            self.append(issue)


def none_among(files: Sequence[Path], what: str, video_id: str, remedy: str) -> AnnotationError:
    """The error of a video among whose files there is not the one that is needed."""
    return AnnotationError(
        f"no {what} among " + (", ".join(p.name for p in files) or "no files"),
        file=files[0].parent if files else video_id,
        remedy=remedy,
    )


def one_of_each(
    files: Sequence[Path], kind_of: Callable[[Path], str | None], issues: Issues
) -> dict[str, Path]:
    """The first file of each kind; another one would say things twice and is noted."""
    chosen: dict[str, Path] = {}
    for path in files:
        kind = kind_of(path)
        if kind is not None and chosen.setdefault(kind, path) != path:
            detail = f"not read; {chosen[kind].name} is"
            issues.append(
                Issue("parse", "duplicate", "noted", f"file {path.name}", path.name, detail=detail)
            )
    return chosen
