"""Figures, Table 1, the page: right numbers, equal bytes, nothing from outside."""

from __future__ import annotations

import json
import struct
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import pytest
from made import CLASSES, manifest, write_tables

from tinyvirat_build.records import Balance, Issue, balance_frame, issues_frame
from tinyvirat_build.report import publish_statistics
from tinyvirat_build.report.figures import CAPTIONS, WIDTH, figures
from tinyvirat_build.report.gallery import Extras
from tinyvirat_build.report.table1 import HEADER, PUBLISHED, table1
from tinyvirat_build.settings import Settings
from tinyvirat_build.stages.stats import stats
from tinyvirat_build.video.frames import frames_at

DRAWN_AS_PNG = {"figure2.png", "figure3.png"}
TARGETS = (0.64, 0.13, 0.23)


def counted(clips: pd.DataFrame) -> dict[str, Any]:
    balance = balance_frame(Balance("parse", "activities", 9, 7, 1))
    issues = issues_frame([Issue("parse", "status", "dropped"), Issue("parse", "gap", "noted")])
    return stats(clips, classes=CLASSES, targets=TARGETS, balance=balance, issues=issues)


def write_clip(path: Path, grey: int, n: int = 6) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
        for t in range(n):
            frame = np.full((16, 16, 3), grey + 10 * t, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


@pytest.mark.parametrize("clips", [manifest(), manifest(0)], ids=["some", "none"])
def test_figures_are_the_same_bytes_again(clips: pd.DataFrame) -> None:
    drawn = figures(counted(clips))
    names = {name.removesuffix(".svg").removesuffix("-dark") for name in drawn} - DRAWN_AS_PNG
    assert names <= CAPTIONS.keys()
    assert {"figure2", "figure3"} <= names
    assert drawn.keys() >= DRAWN_AS_PNG
    assert all(f"{name}-dark.svg" in drawn for name in names)
    assert drawn == figures(counted(clips))
    for name, content in drawn.items():
        if name.endswith("svg"):
            ET.fromstring(content)
            assert (b"#e6e8ea" in content) == name.endswith("-dark.svg")
        else:
            width, _ = struct.unpack(">II", content[16:24])
            assert width == round(WIDTH * 300)


def test_figures_do_not_depend_on_the_users_style() -> None:
    import matplotlib

    drawn = figures(counted(manifest()))
    with matplotlib.rc_context({"font.size": 20, "axes.grid": True, "svg.hashsalt": "x"}):
        assert figures(counted(manifest())) == drawn
        assert matplotlib.rcParams["font.size"] == 20


def test_the_bars_show_the_counts() -> None:
    from matplotlib.figure import Figure

    from tinyvirat_build.report.figures import _resolutions, _samples

    rows = counted(manifest())["per_class"]  # the last has no clips, and is folded
    axes = Figure().subplots()
    _samples(axes, rows)
    for bars, split in zip(axes.containers, ("train", "val", "test"), strict=True):
        assert [bar.get_width() for bar in bars] == [row[split] for row in rows[:2]]
    assert [text.get_text() for text in axes.get_yticklabels()] == list(CLASSES)
    assert [text.get_text() for text in axes.texts] == ["without clips"]
    axes = Figure().subplots()
    _resolutions(axes, rows)
    widths = np.array([[bar.get_width() for bar in bars] for bars in axes.containers])
    assert widths.sum(axis=0) == pytest.approx([100, 100])


def test_table1_stands_beside_the_published_rows() -> None:
    markdown, csv = table1(counted(manifest()), name="mine")
    lines = markdown.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert [c.strip() for c in lines[-1].strip("|").split("|")] == [
        "mine", "10×10 – 120×120", "6.00", "yes", "2", "12", "6", "3", "3",
    ]  # fmt: skip
    rows = [line.split(",") for line in csv.splitlines()]
    assert {len(row) for row in rows} == {len(HEADER)}
    assert rows[-2] == [cell.replace(",", "") for cell in PUBLISHED[-1]]
    assert rows[-1][0] == "mine"
    assert table1(counted(manifest(0)))[1].splitlines()[-1] == "this build,–,–,no,0,0,–,–,–"


def test_frames_of_a_clip(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", 20)
    found = [round(float(f.mean())) for f in frames_at(tmp_path / "a.mp4", (0, 3, 5, 9))]
    assert found == pytest.approx([20, 50, 70, 70], abs=3)
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    assert frames_at(tmp_path / "bad.mp4", (0,)) == []
    assert frames_at(tmp_path / "none.mp4", (0,)) == []


def test_the_statistics_of_a_build(tmp_path: Path) -> None:
    clips = manifest()
    clips.loc[11, ["id", "path", "n_frames", "held"]] = None
    write_tables(tmp_path, clips)
    result = publish_statistics(tmp_path, Settings.load(), CLASSES, Extras())
    assert (result["clips"], result["clips_without_file"]) == (11, 1)
    written = sorted(p.name for p in (tmp_path / "stats").iterdir())
    drawn = set(figures(result))
    assert {"figure2.png", "figure3-dark.svg", "lengths.svg"} <= drawn
    assert written == sorted({*drawn, "stats.json", "table1.csv", "table1.md"})
    assert json.loads((tmp_path / "stats" / "stats.json").read_text()) == result
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "1 planned clip has no file" in page
    about = "Preset default. A trial: the first 5 videos. Made with av 18, ffmpeg x86."
    assert about in page
    assert page.index(about) < page.index("<h2")


def test_of_a_build_without_files_the_plan_is_counted(tmp_path: Path) -> None:
    clips = manifest().assign(id=None, path=None, n_frames=None, held=None, reason="no_video")
    write_tables(tmp_path, clips)
    given = Extras(remedy="Fetch the <videos>.", complete=("Not complete: <boxes>.",))
    result = publish_statistics(tmp_path, Settings.load(), CLASSES, given)
    assert (result["clips"], result["clips_without_file"]) == (12, 12)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "Fetch the &lt;videos&gt;." in page
    assert "Not complete: &lt;boxes&gt;." in page
    assert "12 planned clips have no file" in page
