"""Bounds on quality in a whole build: what is published, what is told, what is redone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from builds import DEMO

import tinyvirat_build as tvb


@pytest.mark.slow
def test_clips_beyond_a_bound_are_quarantined_without_cutting_again(
    demo: tvb.Build, demo_data: Path, tmp_path: Path
) -> None:
    before = demo.table("clips")
    bound = float(before["motion"].astype(float).median())
    out = tmp_path / "build"
    shutil.copytree(demo.path, out)
    stamps = {p: p.stat().st_mtime_ns for p in (out / "units" / "cut").rglob("*") if p.is_file()}
    settings = {**DEMO, "publish.quality.min_motion": bound}
    build = tvb.build("demo", out, data=demo_data, settings=settings, workers=1)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    clips = build.table("clips")
    lost = clips["motion"].astype(float) < bound
    assert 0 < lost.sum() < len(clips)
    assert (clips["reason"] == "quality").tolist() == lost.tolist()
    assert clips["path"].isna().tolist() == lost.tolist()
    pd.testing.assert_series_equal(clips["split"], before["split"])
    pd.testing.assert_series_equal(clips["labels"], before["labels"])  # nothing filtered anew
    issues = build.table("issues")
    told = issues[issues["reason"] == "quality"]
    assert set(told["record"]) == {f"clip {clip}" for clip in clips.loc[lost, "clip_id"]}
    balance = build.table("balance")
    publish = balance[balance["stage"] == "publish"].iloc[0]
    assert publish["dropped"] == lost.sum()
    assert publish["records_in"] == publish["records_out"] + publish["dropped"]
    assert not build.verify(workers=1).problems
