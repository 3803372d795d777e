"""The figures of a build show its tables' numbers, counted here again in another way."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import tinyvirat_build as tvb
from tinyvirat_build.records import QUALITY, SPLITS, Key
from tinyvirat_build.report import drawings, funnel
from tinyvirat_build.report.figures import CAPTIONS
from tinyvirat_build.stages import fate
from tinyvirat_build.stages.stats import stats


@pytest.fixture(scope="module")
def clips(demo: tvb.Build) -> pd.DataFrame:
    found = demo.table("clips")
    return found[found["path"].notna()]


@pytest.fixture(scope="module")
def counted(demo: tvb.Build) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((demo.path / "stats" / "stats.json").read_text())
    return found


def _drawn(figure: Figure | None) -> Figure:
    assert figure is not None
    return figure


def _bars(figure: Figure, part: int = 0) -> list[list[Any]]:
    """The bars of each split."""
    return [list(bars) for bars in figure.axes[part].containers]


def _heights(figure: Figure, part: int = 0) -> Any:
    return np.array([[bar.get_height() for bar in bars] for bars in _bars(figure, part)])


def test_labels_a_clip(clips: pd.DataFrame, counted: dict[str, Any]) -> None:
    (bars,) = _bars(_drawn(drawings.labels(counted)))
    expected = Counter(len(own) for own in clips["labels"])
    assert [bar.get_width() for bar in bars] == [expected[n] for n in sorted(expected)]


def test_labels_together(clips: pd.DataFrame, counted: dict[str, Any]) -> None:
    found = counted["cooccurrence"]
    for i, one in enumerate(found["classes"]):
        for j, other in enumerate(found["classes"]):
            both = sum(one in own and other in own for own in clips["labels"])
            assert found["clips"][i][j] == both
    assert sum(np.diag(found["clips"])) == clips["labels"].map(len).sum()


@pytest.mark.parametrize(("name", "column"), [("lengths", "n_frames"), ("sides", "width")])
def test_histograms_of_whole_numbers(
    clips: pd.DataFrame, counted: dict[str, Any], name: str, column: str
) -> None:
    figure = _drawn(getattr(drawings, name)(counted))
    for split, drawn in zip(SPLITS, _bars(figure), strict=True):
        own = clips.loc[clips["split"] == split, column].astype(int)
        for bar in drawn:
            low, high = bar.get_x(), bar.get_x() + bar.get_width()
            assert bar.get_height() == sum(low <= n < high for n in own)
        assert sum(bar.get_height() for bar in drawn) == len(own)


def test_cameras_and_hours(demo: tvb.Build, clips: pd.DataFrame, counted: dict[str, Any]) -> None:
    camera = demo.table("videos").set_index("video_id")["camera"]
    expected = Counter(
        (str(camera[video]), split)
        for video, split in zip(clips["video_id"].astype(str), clips["split"], strict=True)
    )
    rows = {(row["name"], s): row[s] for row in counted["cameras"] for s in SPLITS if row[s]}
    assert rows == expected
    hours = Counter(
        (video[11:13], split)
        for video, split in zip(clips["video_id"].astype(str), clips["split"], strict=True)
        if video[:4].isdigit()
    )
    assert hours == {(row["name"], s): row[s] for row in counted["hours"] for s in SPLITS if row[s]}
    assert _heights(_drawn(drawings.hours(counted))).sum() == sum(hours.values())


def test_many_cameras_share_a_row() -> None:
    rows: list[dict[str, Any]] = [
        {"name": f"c{i:02}", "train": 40 - i, "val": 0, "test": 1} for i in range(40)
    ]
    figure = _drawn(drawings.cameras({"cameras": rows}))
    axes = figure.axes[0]
    assert axes.get_yticklabels()[-1].get_text() == "16 others"
    assert sum(bar.get_width() for bars in _bars(figure) for bar in bars) == pytest.approx(
        sum(row["train"] + row["test"] for row in rows)
    )


def test_drift(clips: pd.DataFrame, counted: dict[str, Any]) -> None:
    axes = _drawn(drawings.drift(counted)).axes[0]
    names = [text.get_text() for text in axes.get_yticklabels()]
    points = [x for line in axes.lines if len(x := np.asarray(line.get_xdata())) == len(names)]
    for shares, split in zip(points, SPLITS, strict=True):
        for name, share in zip(names, shares.tolist(), strict=True):
            of = clips if name == "all clips" else clips[[name in own for own in clips["labels"]]]
            assert share == pytest.approx(100 * (of["split"] == split).mean(), abs=0.01)


def test_quality(clips: pd.DataFrame, counted: dict[str, Any]) -> None:
    figure = _drawn(drawings.quality(counted))
    assert len(figure.axes) == len(QUALITY) - 1
    for i, name in enumerate(n for n in QUALITY if n != "infrared"):
        assert _heights(figure, i).sum() == clips[name].notna().sum()
        found = counted["quality"][name]
        values = clips.loc[clips["split"] == "train", name].astype(float)
        edges = found["edges"]
        assert found["train"][0] == sum(v < edges[1] for v in values)
        assert found["train"][-1] == sum(v >= edges[-2] for v in values)
    assert counted["quality"]["infrared"] == clips["infrared"].sum()


def _spans(table: pd.DataFrame, names: str) -> Iterator[tuple[str, Any, Any, list[int]]]:
    columns = [table[n].tolist() for n in ("video_id", names, "labels", "start", "end")]
    for video, own, labels, start, end in zip(*columns, strict=True):
        yield video, own, labels, list(range(start, end))


def _fate_of_frames(demo: tvb.Build) -> tuple[Counter[str], Counter[tuple[str, str]]]:
    """Frames of activities in published clips, and frames by label: one by one, in sets."""
    published: set[tuple[str, str, int]] = set()
    clips = demo.table("clips")
    for video, activities, _, frames in _spans(clips[clips["path"].notna()], "activities"):
        for activity in activities:
            published |= {(video, activity, t) for t in frames}
    totals: Counter[str] = Counter()
    by_label: Counter[tuple[str, str]] = Counter()
    for video, activity, labels, frames in _spans(demo.table("activities"), "activity_id"):
        kept = len({(video, activity, t) for t in frames} & published)
        totals.update(annotated=len(frames), published=kept)
        for label in labels:
            by_label.update({(label, "annotated"): len(frames), (label, "published"): kept})
    return totals, by_label


def test_no_annotated_frame_vanishes(demo: tvb.Build, counted: dict[str, Any]) -> None:
    totals, labels = _fate_of_frames(demo)
    rows = counted["fate"]["funnel"]
    assert rows[0]["frames_in"] == totals["annotated"]
    for row, after in pairwise(rows):
        assert row["frames_in"] - sum(row["lost"].values()) == after["frames_in"]
    assert rows[-1]["frames_in"] - sum(rows[-1]["lost"].values()) == totals["published"]
    issues = demo.table("issues")
    noted = issues.loc[issues["reason"].eq("rare_label") & issues["action"].eq("noted"), "record"]
    rare = {str(record).removeprefix("label ") for record in noted}
    for row in counted["fate"]["labels"]:
        assert row["annotated"] == row["published"] + sum(row["lost"].values())
        if row["label"] is not None:
            assert row["annotated"] == labels[row["label"], "annotated"]
            kept = 0 if row["label"] in rare else labels[row["label"], "published"]
            assert row["published"] == kept
    reasons = {reason for row in rows for reason in row["lost"]}
    known = set(issues.loc[issues["action"].isin(["dropped", "quarantined"]), "reason"].astype(str))
    assert reasons <= known | {"no_geometry"}


def test_the_funnel_shows_what_was_lost(counted: dict[str, Any]) -> None:
    bars = _bars(_drawn(funnel.funnel(counted)))
    left, lost = ([bar.get_width() for (bar,) in bars[i::2]] for i in (0, 1))
    rows = [row for row in counted["fate"]["funnel"] if row["lost"]]
    assert lost == [0, *(sum(row["lost"].values()) for row in rows), 0]
    assert left[0] == counted["fate"]["funnel"][0]["frames_in"]
    assert left[1:-1] == [row["frames_in"] - sum(row["lost"].values()) for row in rows]


def test_frames_lost_to_a_bound_on_quality_are_told(demo: tvb.Build) -> None:
    tables = {name: demo.table(name) for name in fate.READ}
    clips = tables["clips"]
    out = clips["clip_id"] == clips["clip_id"].iloc[0]
    tables["clips"] = clips.assign(reason=clips["reason"].astype(object).mask(out, "quality"))
    issue = {"stage": "publish", "record": f"clip {clips['clip_id'].iloc[0]}", "reason": "quality"}
    issues = pd.concat(
        [demo.table("issues"), clips[out][["source", "video_id", "annotation_set"]].assign(
            **issue, action="quarantined", count=1)]
    )  # fmt: skip
    key = Key(*map(str, clips.loc[out, ["source", "video_id", "annotation_set"]].iloc[0]))
    own = {name: table[table["video_id"].astype(str) == key[1]] for name, table in tables.items()}
    rows = fate.funnel(fate.fates([(key, own)], issues))
    clip = clips[out].iloc[0]
    assert rows[-1]["lost"] == {"quality": len(clip["activities"]) * (clip["end"] - clip["start"])}


def test_figures_of_nothing_are_not_drawn() -> None:
    clips = pd.DataFrame({name: [] for name in ("source", "video_id", "annotation_set", "group")})
    names = ("start", "end", "width", "height", "segment_id")
    clips = clips.assign(
        split="", labels=None, **{name: pd.Series([], dtype=int) for name in names}
    )
    found = stats(clips, classes=("A", "B"), targets=(0.6, 0.2, 0.2))
    draws = [getattr(drawings, n, None) or getattr(funnel, n, None) for n in CAPTIONS]
    assert [draw(found) for draw in draws if draw] == [None] * (len(CAPTIONS) - 2)
