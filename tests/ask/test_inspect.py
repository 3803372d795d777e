"""One clip: found by each of its names, told in lines and JSON, drawn."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import tinyvirat_build as tvb
from tinyvirat_build.cli import main
from tinyvirat_build.errors import BuildError


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_a_clip_is_found_by_each_of_its_names(demo: tvb.Build) -> None:
    for row in demo.clips.iloc[::30].to_dict("records"):
        split, number, path = row["split"], row["id"], row["path"]
        names = [
            row["clip_id"], row["clip_id"][:12], f"{split}/{number}", f"{split} {int(number)}",
            path, path.removeprefix("TinyVIRAT_V2/"), str(demo.path / path), f"./{path}",
        ]  # fmt: skip
        for name in names:
            assert demo.clip(name)["clip_id"] == row["clip_id"], name
    released = demo.clips["released_id"].dropna()
    assert all(demo.clip(name)["released_id"] == name for name in released)


@pytest.mark.parametrize("name", ["", "nope", "test/99999", "test", "videos", "/", "0000x.mp4"])
def test_what_names_no_clip_is_refused_with_what_would(demo: tvb.Build, name: str) -> None:
    with pytest.raises(BuildError, match=r"^no clip of .* is named .*; give a clip id") as refused:
        demo.clip(name)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["00000", "00000.mp4"])
def test_what_names_several_clips_is_refused_with_their_names(demo: tvb.Build, name: str) -> None:
    said = f"^'{name}' may be any of [23] clips of .*; give one of these"
    with pytest.raises(BuildError, match=said) as refused:
        demo.clip(name)
    for number, clip_id in re.findall(r"(\w+/\d+) \((\w+)\)", str(refused.value)):
        assert demo.clip(number)["clip_id"] == demo.clip(clip_id)["clip_id"] == clip_id


def test_a_file_name_is_enough_where_it_is_one_clips(demo: tvb.Build) -> None:
    clips = demo.clips
    once = clips[~clips["id"].duplicated(keep=False)].iloc[0]
    assert demo.clip(f"{once['id']}.mp4")["clip_id"] == once["clip_id"]


def test_a_clip_is_told_in_lines_and_json(demo: tvb.Build) -> None:
    row = demo.clips[demo.clips["activities"].map(len) > 1].iloc[0]
    found = run("inspect", row["path"], "--out", demo.path, "--json")
    assert found.exit_code == 0, found.output
    facts = json.loads(found.stdout)
    assert facts["clip_id"] == row["clip_id"]
    assert facts["x"] == list(row["x"])
    own = [r["activity_id"] for r in facts["records"] if r["part"] == "own"]
    assert sorted(own) == sorted(row["activities"])
    lines = run("inspect", row["clip_id"], "--out", demo.path).stdout
    for r in facts["records"]:
        assert re.search(rf"{r['activity_id']} .*{re.escape(r['file'])}:{r['line']}\)", lines)


def test_a_clip_is_drawn_with_and_without_its_source(
    demo: tvb.Build, demo_data: Path, tmp_path: Path
) -> None:
    clip_id, drawn = demo.clips["clip_id"].iloc[5], []
    for name, data in (("a.png", demo_data), ("b.png", tmp_path / "none")):
        found = run(
            "inspect", clip_id, "--out", demo.path, "--data", data, "--picture", tmp_path / name
        )
        assert found.exit_code == 0, found.output
        drawn.append((tmp_path / name).read_bytes())
    assert drawn[0] != drawn[1]
    assert min(cv2.imread(str(tmp_path / "b.png")).shape[:2]) > 400


def scores(demo: tvb.Build, run_folder: Path, **changed: Any) -> Path:
    """Scores of the test clips, all wrong on the first clip."""
    clips = demo.clips[demo.clips["split"].astype(str) == "test"]
    classes = list(json.loads((demo.path / "TinyVIRAT_V2" / "class_map.json").read_text()))
    truth = [[int(c in own) for c in classes] for own in clips["labels"]]
    near = [[abs(v - (0.1 if i else 0.9)) for v in row] for i, row in enumerate(truth)]
    columns = {"clip_id": clips["clip_id"].tolist(), "truth": truth, "scores": near} | changed
    run_folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), run_folder / "scores-test.parquet")
    return run_folder


def test_the_errors_of_a_run_are_a_page(demo: tvb.Build, tmp_path: Path) -> None:
    folder = scores(demo, tmp_path / "run")
    found = run("report", "--out", demo.path, "--run", folder)
    assert found.exit_code == 0, found.output
    page = (folder / "errors-test.html").read_text("utf-8")
    for href in re.findall(r'(?:href|src)="([^"#]+)"', page):
        assert (folder / href).is_file(), href
    script = (folder / "errors-test-data" / "scores.js").read_text("ascii")
    told = json.loads(script.removeprefix('tvb("scores",').removesuffix(");\n"))
    assert len(told["clip_id"]) == len(told["scores"]) == len(told["truth"])


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"clip_id": None}, "clips are not of"), ({"scores": [[0.5]]}, "are not of the build's 26")],
)
def test_scores_of_another_build_are_refused(
    demo: tvb.Build, tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    assert run("report", "--out", demo.path, "--run", tmp_path).exit_code == 2
    count = int((demo.clips["split"].astype(str) == "test").sum())
    given = {
        name: [f"{i:016d}" for i in range(count)] if value is None else value * count
        for name, value in changed.items()
    }
    found = run("report", "--out", demo.path, "--run", scores(demo, tmp_path / "run", **given))
    assert found.exit_code == 2
    assert said in found.output
    assert "run `tinyvirat-build evaluate" in found.output
