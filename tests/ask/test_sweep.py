from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from builds import DEMO, bytes_of
from click.testing import CliRunner

import tinyvirat_build as tvb
from tinyvirat_build import engine
from tinyvirat_build.ask.sweep import grid, sweep, without_effect
from tinyvirat_build.cli import main
from tinyvirat_build.errors import DataError, SettingsError
from tinyvirat_build.pipeline.request import Request
from tinyvirat_build.settings import Settings

SETTINGS = DEMO | {"filter.min_samples": 4}  # which takes labels out


@pytest.fixture(scope="module")
def planned(demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tvb.Build:
    out = tmp_path_factory.mktemp("sweep") / "out"
    return tvb.build("demo", out, data=demo_data, settings=SETTINGS, until="filter", workers=2)


def test_a_grid_is_the_product_of_its_axes() -> None:
    points = grid(Settings(), ["merge.threshold=0.1,0.3", "crop.sides=[56, 112],[]"])
    assert [p for p, _ in points] == [
        {"merge.threshold": t, "crop.sides": s} for t in (0.1, 0.3) for s in ([56, 112], [])
    ]
    assert points[0][1].crop.sides == (56, 112)


@pytest.mark.parametrize(
    "axis", ["encode.quality=1,2", "merge.threshold", "merge.threshold=[", "x=1"]
)
def test_a_bad_axis_is_named(axis: str) -> None:
    with pytest.raises(SettingsError) as error:
        grid(Settings(), [axis])
    assert axis in str(error.value)


def test_what_is_said_to_have_no_effect_has_none(planned: tvb.Build, demo_data: Path) -> None:
    request = Request(("demo",), demo_data, planned.path, planned.settings, workers=2, quiet=True)
    axes = ["merge.unit=activity", "merge.threshold=0.1,0.9", "crop.snap=at_least,above",
            "crop.enlarge_under=20,90"]  # fmt: skip
    assert without_effect(request, axes) == [
        "merge.threshold has no effect here: merge.unit=activity.",
        "crop.snap has no effect here: crop.sides=[].",
        "crop.enlarge_under has no effect here: crop.enlarge=1.",
    ]
    assert without_effect(request, ["merge.unit=activity,component", "merge.threshold=0.1"]) == []
    table = sweep(request, axes).drop(columns=[axis.partition("=")[0] for axis in axes])
    assert len(table) == 8
    assert len(table.drop_duplicates()) == 1


def test_a_point_equals_the_build_of_its_settings(
    planned: tvb.Build, demo_data: Path, tmp_path: Path
) -> None:
    request = Request(("demo",), demo_data, planned.path, planned.settings, workers=2, quiet=True)
    before = bytes_of(planned.path)
    table = sweep(request, ["crop.max_side=64,128", "chunk.min_frames=16,24"])
    assert bytes_of(planned.path) == before
    assert len(table) == 4
    for row in table.to_dict("records"):
        settings = SETTINGS | {k: row[k] for k in ("crop.max_side", "chunk.min_frames")}
        build = tvb.build("demo", tmp_path, data=demo_data, settings=settings, until="filter")
        clips = build.table("clips_filtered")
        assert row["clips"] == len(clips)
        assert row["train"] == (clips["split"] == "train").sum()
        assert row["frames"] == pytest.approx((clips["end"] - clips["start"]).mean())
        audit = build.audit()
        assert row["complete"] == pytest.approx(audit.complete)
        assert row["unmapped"] == audit.completeness["unmapped"].map(bool).sum()


def test_another_build_is_not_written_over(planned: tvb.Build) -> None:
    before = bytes_of(planned.path)
    args = ["sweep", "--out", str(planned.path), "--set", "chunk.min_frames=2,16"]
    result = CliRunner().invoke(main, [*args, "--preset", "tinyvirat-v2", "--source", "demo"])
    assert result.exit_code == 2
    assert "holds a build of other sources or settings; give a new --out" in result.output
    assert bytes_of(planned.path) == before


def test_a_video_that_cannot_be_planned_is_named(
    planned: tvb.Build, demo_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(work: object, tasks: Sequence[object], **_: object) -> Iterator[engine.Ended]:  # type: ignore[type-arg]
        yield from (engine.Ended(t, None, engine.Failure("crashed", "why")) for t in tasks)

    request = Request(("demo",), demo_data, planned.path, planned.settings, workers=2, quiet=True)
    monkeypatch.setattr(engine, "run_local", fail)
    with pytest.raises(DataError, match="videos could not be planned"):
        sweep(request, ["chunk.min_frames=16"])


def test_the_command_prints_one_line_a_point(planned: tvb.Build) -> None:
    args = ["sweep", "--out", str(planned.path), "--set", "merge.threshold=0.1,0.5"]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 0, result.output
    assert len(result.stdout.strip().splitlines()) == 3
    assert "complete" in result.stdout
