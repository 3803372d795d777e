"""The preset tinyvirat against published rows of TinyVIRAT's VIRAT half."""

from __future__ import annotations

from pathlib import Path

import pytest
from tinyvirat_rows import judge, read_rows

import tinyvirat_build as tvb

# Of rows 00515, 00521, 00814 and 01255 UMD lacks the boxes, or joins others. Whether activities
# with the same boxes have one actor, rows speak for (01341) and against (00408).
CANNOT_BE_HAD = {
    "ignore": {"00515", "00521", "00814", "01255", "01341"},
    "join": {"00408", "00515", "00521", "00814", "01255"},
}


@pytest.mark.parametrize(("same_boxes", "labelled"), [("ignore", 30), ("join", 32)])
def test_rows_are_had(shared: Path, tmp_path: Path, same_boxes: str, labelled: int) -> None:
    build = tvb.build(
        "virat", tmp_path, data=shared / "data/meva/annotation/contrib", preset="tinyvirat",
        until="crop", settings={"virat.same_boxes": same_boxes},
    )  # fmt: skip
    rows = read_rows(shared / "reference/tinyvirat-v1-rows.csv")
    found = list(judge(rows, build))
    assert {one.row.number for one in found if not one.had} == CANNOT_BE_HAD[same_boxes]
    assert sum(one.labelled for one in found) == labelled
    # A whole segment is itself a clip, of that side.
    clips = build.table("clips_planned")
    planned = set(zip(clips["video_id"], clips["start"], clips["end"], clips["width"], strict=True))
    whole = [one.row for one in found if one.row.whole and one.had]
    assert len(whole) >= 18
    assert {(row.video, row.start, row.end, row.side) for row in whole} <= planned
