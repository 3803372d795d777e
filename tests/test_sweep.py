from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import tinyvirat_build as tvb
from tinyvirat_build.cli import main
from tinyvirat_build.config import Settings
from tinyvirat_build.errors import SettingsError
from tinyvirat_build.pipeline import Request
from tinyvirat_build.sweep import grid, sweep

SETTINGS = {"demo.scale": 0.1, "filter.min_samples": 1}


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tvb.Build:
    out = tmp_path_factory.mktemp("sweep") / "out"
    return tvb.build("demo", out, settings=SETTINGS, until="filter", workers=2)


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


def test_a_point_equals_the_build_of_its_settings(planned: tvb.Build, tmp_path: Path) -> None:
    request = Request(
        ("demo",), planned.path / "data", planned.path, planned.settings, workers=2, quiet=True
    )
    table = sweep(request, ["crop.max_side=64,128", "chunk.min_frames=16,24"])
    assert len(table) == 4
    for row in table.to_dict("records"):
        settings = SETTINGS | {k: row[k] for k in ("crop.max_side", "chunk.min_frames")}
        build = tvb.build(
            "demo", tmp_path, data=planned.path / "data", settings=settings, until="filter"
        )
        clips = build.table("clips_filtered")
        assert row["clips"] == len(clips)
        assert row["train"] == (clips["split"] == "train").sum()
        assert row["frames"] == pytest.approx((clips["end"] - clips["start"]).mean())
        assert row["complete"] == pytest.approx(build.audit().complete)


def test_the_command_prints_one_line_a_point(planned: tvb.Build) -> None:
    args = ["sweep", "--out", str(planned.path), "--set", "merge.threshold=0.1,0.5"]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 0, result.output
    assert len(result.stdout.strip().splitlines()) == 3
    assert "complete" in result.stdout
