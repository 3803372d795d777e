"""A stage that is no part of the package: one function and one line of the table.

As a program it is the command line with this stage after the last one that sees one video.
"""

from __future__ import annotations

from tinyvirat_build.pipeline import stages
from tinyvirat_build.pipeline.given import Video
from tinyvirat_build.pipeline.stages import Stage, order_of, writer_of
from tinyvirat_build.records import Balance, Issue, StageResult, balance_frame, issues_frame


def lone(video: Video) -> StageResult:
    """Clips of several activities fall."""
    clips, keys = video["clips_planned"], video.entry.key._asdict()
    kept = clips["activities"].map(len) == 1
    issues = [Issue("lone", "region", "dropped", f"clip {i}") for i in clips["clip_id"][~kept]]
    balance = Balance("lone", "clips", len(clips), int(kept.sum()), len(issues))
    return StageResult(
        clips[kept], issues_frame(issues, **keys), balance_frame(balance, **keys)
    )  # fmt: skip


LINE = Stage(
    "lone", "video", ("clips_planned",), ("clips_planned",), ("merge.unit",),
    "example_stage:lone", "Drop clips of several activities.",
)  # fmt: skip


def add() -> None:
    """Put the line into the table."""
    at = order_of(writer_of("clips_planned").name) + 1
    stages.STAGES = (*stages.STAGES[:at], LINE, *stages.STAGES[at:])


if __name__ == "__main__":
    add()
    from tinyvirat_build.cli import main

    main(prog_name="tinyvirat-build")
