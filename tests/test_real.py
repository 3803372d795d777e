"""The main job on real input: a street video with its tracks, and MEVA's annotations."""

from __future__ import annotations

from pathlib import Path

import pytest

import tinyvirat_build as tvb


def test_a_real_street_video_is_cut_exactly(shared: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "pedestrians.yaml"
    corpus.write_text("format: kpf\n")
    build = tvb.build(
        str(corpus),
        tmp_path / "out",
        data=shared / "data" / "pedestrians",
        settings={"filter.min_samples": 1},
        workers=2,
    )
    assert set(build.clips["split"]) == {"train"}
    assert len(build.clips) > 50
    report = build.verify(workers=2)
    assert not report.problems, report.render()
    assert report.clips == len(build.clips)
    balance = build.table("balance")
    assert (balance["records_in"] == balance["records_out"] + balance["dropped"]).all()


def test_a_faulty_video_ends_in_clips_or_in_reasons(shared: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "parking_lot.mp4").symlink_to(shared / "data" / "faulty" / "parking_lot.mp4")
    spans = [(0, 39), (30, 79), (80, 118), (100, 140)]
    lines = {
        "activities": [
            f"- {{ act: {{ act2: {{activity_walking: 1.0}}, id2: {i}, timespan: [{{tsr0: "
            f"[{a}, {b}]}}], src_status: good, actors: [{{id1: {i}, timespan: [{{tsr0: "
            f"[{a}, {b}]}}]}}] }} }}"
            for i, (a, b) in enumerate(spans)
        ],
        "geom": [
            f"- {{ geom: {{id1: {i}, id0: {t}, ts0: {t}, ts1: 0.0, g0: {40 + 60 * i} 50 "
            f"{80 + 60 * i} 100, keyframe: true }} }}"
            for i, (a, b) in enumerate(spans)
            for t in range(a, b + 1)
        ],
        "types": [
            f"- {{ types: {{ id1: {i}, cset3: {{ person: 1.0 }} }} }}" for i in range(len(spans))
        ],
    }
    for kind, rows in lines.items():
        (data / f"parking_lot.{kind}.yml").write_text("\n".join(rows) + "\n")
    corpus = tmp_path / "faulty.yaml"
    corpus.write_text("format: kpf\n")
    build = tvb.build(
        str(corpus), tmp_path / "out", data=data, settings={"filter.min_samples": 1}, workers=1
    )
    lost = build.clips[build.clips["reason"].notna()]
    assert len(build.clips) >= 4
    assert "beyond_end" in set(lost["reason"]) or len(lost) == len(build.clips)
    assert not build.verify().problems


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["default", "tinyvirat-v2"])
def test_every_record_of_the_kitware_set_is_accounted_for(
    preset: str, shared: Path, tmp_path: Path
) -> None:
    build = tvb.build(
        "meva",
        tmp_path,
        data=shared / "data" / "meva",
        preset=preset,
        settings={"meva.sets": ["kitware"]},
        workers=2,
        until="filter",
    )
    balance = build.table("balance")
    assert (balance["records_in"] == balance["records_out"] + balance["dropped"]).all()
    parsed = balance[balance["stage"] == "parse"]
    assert parsed["records_in"].sum() == 7127
    assert parsed["records_out"].sum() == 3404
    issues = build.issues[build.issues["stage"] == "parse"]
    counts = issues.groupby("reason", observed=True)["count"].sum()
    assert (counts["no_geometry"], counts["empty_clip"]) == (3678, 45)
    clips = build.table("clips_filtered")
    assert (clips.groupby("group")["split"].nunique() == 1).all()
    assert clips[["width", "height"]].max(axis=None) <= 128
    if preset == "default":
        assert clips[["width", "height"]].min(axis=None) >= 10
    assert (clips["labels"].map(len) > 0).all()
