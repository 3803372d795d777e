"""The page of a comparison: its numbers, its pictures, its policy, hostile names."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from click.testing import CliRunner

import tinyvirat_build as tvb
from tinyvirat_build.ask import side_by_side
from tinyvirat_build.ask.compare import compare
from tinyvirat_build.ask.reasons import Reasons
from tinyvirat_build.ask.side_by_side import page
from tinyvirat_build.ask.sides import Row, Side, load
from tinyvirat_build.cli import main

NOTHING = Reasons.of(None)  # a build of which nothing fell
HOSTILE = '<img src=x onerror="alert(1)">'


def _row(i: int, *labels: str, video: str = "v", side: int = 20) -> Row:
    own = f"clip{i}"
    return Row(
        video, None, None, own, 20, (side, side), frozenset(labels), "train", (str(i),), (0, 20)
    )


def _table(text: str, title: str) -> dict[str, tuple[str, str, str]]:
    part = text.split(f"<h2>{title}</h2>")[1].split("</table>")[0]
    found = re.findall(
        r'<tr><td class="text">(.*?)</td><td>(.*?)</td><td>(.*?)</td>.*?</svg></td>\s*'
        r"<td[^>]*>(.*?)</td></tr>",
        part,
        flags=re.DOTALL,
    )
    return {name: (a, b, change) for name, a, b, change in found}


def test_the_numbers_are_those_of_both_sides() -> None:
    a = Side("A", tuple(_row(i, "walk", *(["run"] * (i < 2))) for i in range(5)), NOTHING)
    more = [_row(2, "run"), *(_row(i, "walk", side=30) for i in range(7, 9))]
    b = Side("B", (*a.rows[:2], *more), NOTHING)
    text = page(compare(a, b), a, b)
    assert _table(text, "Counts")["train"] == ("5", "5", "–")
    assert _table(text, "Classes") == {"run": ("2", "3", "+1"), "walk": ("5", "4", "−1")}
    assert _table(text, "Sides") == {"20": ("5", "3", "−2"), "30": ("0", "2", "+2")}
    assert _table(text, "Lengths") == {"20": ("5", "5", "–")}
    assert "Label disagreements: 1" in text
    assert "Clips in A alone: 2" in text
    assert "Clips in B alone: 2" in text
    assert "There are no pictures" in text


def test_hostile_names_stay_text() -> None:
    a = Side(HOSTILE, (_row(0, HOSTILE, video=HOSTILE), _row(1, "walk")))
    b = Side("B", (_row(1, HOSTILE),))
    text = page(compare(a, b), a, b)
    assert HOSTILE not in text
    assert "&lt;img src=x onerror=&#34;alert(1)&#34;&gt;" in text
    assert "<script" not in text
    assert " style=" not in text


def test_the_policy_allows_the_style_of_the_page_alone() -> None:
    side = Side("A", (_row(0, "walk"),))
    text = page(compare(side, side), side, side)
    style = re.search(r"<style>(.*?)</style>", text, flags=re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:" in text
    assert "Nothing differs." in text


def test_clips_are_shown_as_they_are(
    demo: tvb.Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load(demo.path)
    part = replace(whole, rows=whole.rows[5:])
    monkeypatch.setattr(side_by_side, "PICTURES", 3)
    text = page(compare(whole, part), whole, part)
    assert text == page(compare(load(demo.path), part), whole, part)
    shown = re.findall(r'src="data:image/png;base64,(.*?)" width="(\d+)"', text)
    assert len(shown) == 3
    first = min(whole.rows[:5], key=lambda row: (row.video_id, str(row.clip_id)))
    assert first.file is not None
    with av.open(str(first.file)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    coded = np.frombuffer(base64.b64decode(shown[0][0]), np.uint8)
    picture = cv2.imdecode(coded, cv2.IMREAD_COLOR_RGB)
    assert picture is not None
    np.testing.assert_array_equal(picture, frames[len(frames) // 2])
    factor, rest = divmod(int(shown[0][1]), picture.shape[1])
    assert rest == 0
    assert f'<span class="dim">×{factor}</span>' in text
    labels = Counter(name for row in whole.rows for name in row.labels or ())
    assert {n: int(a) for n, (a, _, _) in _table(text, "Classes").items()} == labels


def test_a_build_beside_its_own_tree(demo: tvb.Build, tmp_path: Path) -> None:
    file = tmp_path / "new" / "page.html"
    tree = demo.path / "TinyVIRAT_V2"
    told = CliRunner().invoke(main, ["compare", str(demo.path), str(tree), "--html", str(file)])
    assert told.exit_code == 0, told.output
    assert "Nothing differs." in file.read_text("utf-8")
    assert all(row.file and row.file.is_file() for row in load(tree).rows)
