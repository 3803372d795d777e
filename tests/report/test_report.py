"""Figures, Table 1, the page: right numbers, equal bytes, nothing from outside."""

from __future__ import annotations

import json
import re
import struct
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import pytest

from tinyvirat_build import store
from tinyvirat_build.records import Balance, Issue, balance_frame, columns, empty, issues_frame
from tinyvirat_build.report import publish_statistics
from tinyvirat_build.report.figures import WIDTH, figures
from tinyvirat_build.report.html import write_report
from tinyvirat_build.report.sheets import CLIPS, contact_sheets
from tinyvirat_build.report.table1 import HEADER, PUBLISHED, table1
from tinyvirat_build.settings import Settings
from tinyvirat_build.stages.stats import stats
from tinyvirat_build.video.frames import frames_at

CLASSES = ("Opening", "Talking", "Riding <b>")
TARGETS = (0.64, 0.13, 0.23)


def manifest(n: int = 12) -> pd.DataFrame:
    rows = []
    for i in range(n):
        split = ("train", "train", "val", "test")[i % 4]
        rows.append(
            dict.fromkeys(columns("clips"))
            | {"source": "demo", "video_id": f"v{i % 4}", "annotation_set": "x", "group": f"g{i}",
               "clip_id": f"{i:016x}", "start": 0, "end": 6, "width": 10 + 10 * i,
               "height": 10 + 10 * i, "split": split, "id": f"{i:05d}", "n_frames": 6, "held": 0,
               "labels": CLASSES[:2] if i % 5 == 0 else (CLASSES[i % 2],),
               "path": f"videos/{i}.mp4", "x": (0,) * 6, "y": (0,) * 6, "activities": (),
               "segment_id": i, "actor_side": 5.0}
        )  # fmt: skip
    return pd.DataFrame(rows, columns=columns("clips"))


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
    assert sorted(drawn) == ["figure2.png", "figure2.svg", "figure3.png", "figure3.svg"]
    assert drawn == figures(counted(clips))
    for name, content in drawn.items():
        if name.endswith("svg"):
            ET.fromstring(content)
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

    rows = counted(manifest())["per_class"]
    axes = Figure().subplots()
    _samples(axes, rows)
    for bars, split in zip(axes.containers, ("train", "val", "test"), strict=True):
        assert [bar.get_width() for bar in bars] == [row[split] for row in rows]
    axes = Figure().subplots()
    _resolutions(axes, rows)
    widths = np.array([[bar.get_width() for bar in bars] for bars in axes.containers])
    assert widths.sum(axis=0) == pytest.approx([100, 100, 0])


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


def test_contact_sheets_show_a_few_clips_of_each_class(tmp_path: Path) -> None:
    clips = manifest()
    for path in clips["path"][:-1]:  # one file is missing
        write_clip(tmp_path / path, 40)
    sheets = dict(contact_sheets(clips, tmp_path, CLASSES))
    assert list(sheets) == ["Opening", "Talking"]
    assert len(sheets["Opening"]) == CLIPS
    caption, strip = sheets["Opening"][0]
    assert caption == "0000000000000000 (train): 6 frames of 10×10, also Talking; v0"
    assert strip.startswith(b"\xff\xd8")


class Page(HTMLParser):
    """Checks that tags close, and gathers links, ids and text."""

    VOID = frozenset({"meta", "img", "br", "path", "use", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._attributes(attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._attributes(attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def _attributes(self, attrs: list[tuple[str, str | None]]) -> None:
        known: Mapping[str, str | None] = dict(attrs)
        self.links += [v for k in ("src", "href", "xlink:href") if (v := known.get(k))]
        self.ids += [v for k, v in attrs if k == "id" and v]


def test_the_page_needs_nothing_beside_it(tmp_path: Path) -> None:
    clips = manifest()
    for path in clips["path"]:
        write_clip(tmp_path / path, 40)
    found = write_report(tmp_path, {"clips": clips}, counted(clips), "a: <&>\n", tmp_path)
    text = found.read_text("utf-8")
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert all(link.startswith(("#", "data:image/jpeg;base64,")) for link in page.links)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(page.ids)
    assert not re.search(r"<script|@import|url\((?!#)", text)
    assert "a: <&>" in "".join(page.text)
    assert "Riding <b>" in page.text
    assert text.count("data:image/jpeg") == 2 * CLIPS
    shown = "".join(page.text)
    for clip_id in re.findall(r"<figcaption>([0-9a-f]{16}) ", text):
        assert clip_id in set(clips["clip_id"])
        assert clip_id in shown
    assert text.count("<figcaption>0000") == 2 * CLIPS
    style = text[text.index("<style>") : text.index("</style>")]
    styled = set(re.findall(r"\.([a-z]+)\b(?![^{]*\})", style))
    used = {name for names in re.findall(r'class="([^"]+)"', text) for name in names.split()}
    assert styled - used <= {"bad"}
    assert used <= styled
    assert "the activity's src_status is not among those kept" in shown
    again = write_report(tmp_path, {"clips": clips}, counted(clips), "a: <&>\n", tmp_path)
    assert again.read_text("utf-8") == text


def test_a_balance_that_does_not_close_is_marked(tmp_path: Path) -> None:
    text = write_report(tmp_path, {}, counted(manifest()), "", None).read_text("utf-8")
    assert '<td><span class="bad">no</span></td>' in text
    assert "Samples</h2>" not in text


def test_the_statistics_of_a_build(tmp_path: Path) -> None:
    clips = manifest()
    clips.loc[11, ["id", "path", "n_frames", "held"]] = None
    tables = {"clips": clips, "issues": empty("issues"), "balance": empty("balance")}
    (tmp_path / "build.yaml").write_text("limit: 5\nversions: {av: '18', ffmpeg: x86}\n")
    for name, table in tables.items():
        arrow = store.to_arrow(name, table)
        store.write_table(tmp_path / "tables" / f"{name}.parquet", name, [arrow], key="k")
    result = publish_statistics(tmp_path, Settings.load(), CLASSES)
    assert (result["clips"], result["clips_without_file"]) == (11, 1)
    written = sorted(p.name for p in (tmp_path / "stats").iterdir())
    assert written == [
        "figure2.png", "figure2.svg", "figure3.png", "figure3.svg", "stats.json", "table1.csv",
        "table1.md",
    ]  # fmt: skip
    assert json.loads((tmp_path / "stats" / "stats.json").read_text()) == result
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "1 planned clip has no file" in page
    about = "Preset default. A trial: the first 5 videos. Made with av 18, ffmpeg x86."
    assert about in page
    assert page.index(about) < page.index("<h2>")
