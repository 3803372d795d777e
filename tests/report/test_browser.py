"""The gallery in a browser, from disk, with its policy on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builds import DEMO, made_once
from made import CLASSES, HOSTILE, manifest, varied, write_tables
from pages import read_clips

import tinyvirat_build as tvb
from tinyvirat_build.ask.errors_of_run import report_errors
from tinyvirat_build.report import previews, publish_statistics
from tinyvirat_build.report.gallery import Extras
from tinyvirat_build.report.moving import FILM, STRIP, step_of
from tinyvirat_build.settings import Settings
from tinyvirat_build.video.frames import frames_at

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NO_FILES = Extras(codec="ffv1")  # without previews: a file that is missing is told in the console

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect


@pytest.fixture(scope="session")
def shown(demo: tvb.Build, demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tvb.Build:
    """The small demo with pictures of its sources."""

    def make(out: Path) -> None:
        shutil.copytree(demo.path, out)
        settings = DEMO | {"report.previews": "auto"}
        tvb.build("demo", out, data=demo_data, settings=settings, workers=2)

    return tvb.open_build(made_once(tmp_path_factory, "demo-shown", make))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is a system package; .ci/run installs it")
    with playwright.sync_playwright() as run:
        browser = run.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def browse(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a page of a report; at the end, nothing was said in the console."""
    said: list[str] = []
    asked: list[str] = []

    def browse(file: Path, **context: Any) -> Page:
        page = browser.new_context(**context).new_page()
        page.on("console", lambda m: said.append(m.text))
        page.on("pageerror", lambda e: said.append(str(e)))
        page.on("request", lambda r: asked.append(r.url))
        page.goto(file.as_uri())
        expect(page.locator("body[data-ready=yes]")).to_be_attached(timeout=60_000)
        return page

    yield browse
    for context in browser.contexts:
        context.close()
    assert said == []
    assert all(url.startswith("file://") for url in asked)


def frame(page: Page) -> int:
    return int(page.locator("#frame").inner_text().split()[1])


def test_a_clip_is_found_and_plays(shown: tvb.Build, browse: Callable[..., Page]) -> None:
    page = browse(shown.path / "report.html")
    clips = read_clips(shown.path)
    k = max(range(len(clips["id"])), key=lambda i: clips["frames"][i])
    told = page.locator("#told")
    expect(told).to_have_text(f"{len(clips['id'])} of {len(clips['id'])} clips")
    split = ("train", "val", "test")[clips["split"][k]]
    page.select_option("#split", split)
    page.fill("#search", clips["number"][k])
    expect(told).to_have_text(f"1 of {len(clips['id'])} clips")
    page.locator(".clip").click()
    page.locator("#play", has_text="Pause").wait_for()
    seen = {frame(page)}
    while len(seen) < 4:  # it plays: the test's time limit is the end of it
        page.wait_for_timeout(30)
        seen.add(frame(page))
    page.locator("#play").click()
    page.locator("#play", has_text="Play").wait_for()
    video = page.locator("#panel video")
    assert video.evaluate("v => v.videoWidth") == clips["width"][k]
    page.locator("#seek").fill("0")
    before = frame(page)
    page.keyboard.press("Escape")  # the dialog closes, and opens again with Enter
    page.locator("button.clip").focus()
    page.keyboard.press("Enter")
    page.locator("#play", has_text="Pause").wait_for()
    page.locator("#play").click()
    page.locator("#seek").fill("0")
    page.locator("#forth").click()
    assert (before, frame(page)) == (0, 1)
    video.evaluate("v => v.seeking && new Promise((done) => { v.onseeked = done; })")
    rate = clips["fps"][k]
    assert video.evaluate("v => v.currentTime") == pytest.approx(1.5 / float(rate))
    drawn = page.locator("#source-frame").bounding_box()
    assert drawn is not None
    assert drawn["width"] > 300
    assert page.locator("#line rect.now").count() == 2
    assert page.locator("#mp4").get_attribute("href") == clips["path"][k]


# The longer sides of the clips in the grid, row by row.
SIDES = r"""() => {
  const at = (cell) => cell.getBoundingClientRect();
  const cells = [...document.querySelectorAll(".clip")];
  cells.sort((a, b) => at(a).top - at(b).top || at(a).left - at(b).left);
  return cells.map((cell) => +cell.textContent.match(/(\d+)×/)[1]);
}"""


@pytest.fixture
def filled(browse: Callable[..., Page], tmp_path: Path) -> tuple[Page, pd.DataFrame]:
    """The page of clips that have something for each filter, and their table as it shows them."""
    clips = varied()
    own = clips[["source", "video_id", "annotation_set"]].iloc[5]
    damaged = pd.DataFrame([{"stage": "cut", "record": f"clip {clips['clip_id'][5]}", **own,
                             "reason": "damaged", "action": "noted", "count": 3}])  # fmt: skip
    write_tables(tmp_path, clips, camera="G1", issues=damaged)
    ids = clips["clip_id"]
    said = [[ids[3], "incomplete", "x", None], [ids[4], "duplicate", "3 of 128", ids[9]],
            [ids[9], "duplicate", "3 of 128", ids[4]]]  # fmt: skip
    findings = pd.DataFrame(said, columns=["clip_id", "kind", "detail", "other"])
    given = Extras(findings=findings, indoor={"G1": True}, codec="ffv1")
    publish_statistics(tmp_path, Settings.load(), CLASSES, given)
    first = (clips[["source", "video_id"]] == clips.loc[0, ["source", "video_id"]]).all(axis=1)
    page = browse(tmp_path / "report.html", viewport={"width": 1400, "height": 1100})
    return page, clips.assign(
        camera=np.where(first, "", "G1"), damaged=ids.eq(ids[5]),
        frames=clips["end"], held=clips["held"].fillna(0),
        finding=ids.map({ids[3]: "incomplete", ids[4]: "duplicate", ids[9]: "duplicate"}),
    )  # fmt: skip


@pytest.mark.slow
def test_every_filter_and_order_agrees_with_the_tables(filled: tuple[Page, pd.DataFrame]) -> None:
    page, clips = filled

    def holds(has: Any, by: Any = None, *, falling: bool = False) -> None:
        own = clips[has]
        if by is not None:
            ordered = by[has].sort_values(ascending=not falling, kind="stable")
            own = own.loc[ordered.index]
        expect(page.locator("#told")).to_have_text(f"{len(own)} of {len(clips)} clips")
        page.evaluate("() => new Promise(requestAnimationFrame)")
        assert page.evaluate(SIDES) == own["width"].tolist()

    every = clips["width"] > 0
    infrared = clips["infrared"].map({True: "yes", False: "no"}).fillna("unknown")
    there = clips["reason"].isna()
    page.locator("#more summary").click()
    for name, value, has in (
        ("split", "test", clips["split"] == "test"), ("source", "meva", clips["source"] == "meva"),
        ("camera", "G1", clips["camera"] == "G1"), ("place", "indoor", clips["camera"] == "G1"),
        ("place", "unknown", clips["camera"] == ""), ("state", "file", there),
        ("state", "held", clips["held"] > 0), ("state", "damaged", clips["damaged"]),
        ("state", "reason-quality", clips["reason"] == "quality"),
        ("finding", "incomplete", clips["finding"] == "incomplete"),
        ("finding", "duplicate", clips["finding"] == "duplicate"),
        *(("infrared", value, infrared == value) for value in ("yes", "no", "unknown")),
    ):  # fmt: skip
        page.select_option(f"#{name}", value)
        holds(has)
        page.select_option(f"#{name}", "")
    qualities = ("motion", "brightness", "contrast", "blur", "frozen")
    columns = {"side": "width", "length": "frames", **{f"q-{q}": q for q in qualities}}
    for name, column in columns.items():
        low, high = clips[column].quantile([0.3, 0.8], "nearest")
        page.fill(f"#{name}-min", str(low))
        holds(clips[column] >= low)
        page.fill(f"#{name}-max", str(high))
        holds((clips[column] >= low) & (clips[column] <= high))
        page.locator("button[type=reset]").click()
    row = clips.iloc[5]
    for text, has in (
        (row["clip_id"], clips.index == 5), (row["released_id"].lower(), clips.index == 5),
        (row["id"], clips.index == 5), (f"{row['split']} {row['id']}", clips.index == 5),
        (f"{row['id']}.mp4", clips.index == 5), (row["path"], clips.index == 5),
        (row["video_id"], clips["video_id"] == row["video_id"]), ("nothing", clips.index < 0),
    ):  # fmt: skip
        page.fill("#search", text)
        holds(has)
    page.fill("#search", "")
    page.locator("#classes summary").click()
    has = [clips["labels"].map(lambda own, c=c: c in own) for c in CLASSES[:2]]
    for label, count in zip(CLASSES[:2], has, strict=True):
        box = page.locator("#class-list label", has_text=label)
        expect(box).to_have_text(f" {label} ({int(count.sum())})")
        box.locator("input").check()
    holds(has[0] | has[1])
    page.locator("input[value=all]").check()
    holds(has[0] & has[1])
    page.select_option("#split", "train")
    holds(has[0] & has[1] & (clips["split"] == "train"))
    page.locator("button[type=reset]").click()
    place = clips["split"].map({"train": "0", "val": "1", "test": "2"})
    number = place + clips["id"].fillna("without")
    side = clips["width"]
    twins = clips["finding"].map({"duplicate": 0, "incomplete": 1}).fillna(2)
    for name, by, falling in (
        ("number", number, False), ("small", side, False), ("large", side, True),
        ("short", clips["frames"], False), ("long", clips["frames"], True),
        ("labels", clips["labels"].map(len), True), ("held", clips["held"], True),
        ("finding", twins, False), *((f"low-{q}", clips[q], False) for q in qualities),
        *((f"high-{q}", clips[q], True) for q in qualities),
    ):  # fmt: skip
        page.select_option("#sort", name)
        holds(every, by, falling=falling)
    page.select_option("#sort", "none")
    holds(every)  # the grid is drawn anew before a cell of it is focused
    page.locator(".clip").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    expect(page.locator(".clip:focus")).to_contain_text(f"{clips['width'].iloc[-1]}×")


@pytest.fixture
def built_as(demo: tvb.Build, demo_data: Path, tmp_path: Path) -> Callable[[str], tvb.Build]:
    """Two videos of the demo whose clips are of another codec."""

    def build(codec: str) -> tvb.Build:
        settings = DEMO | {"report.previews": "auto", "encode.codec": codec}
        return tvb.build("demo", tmp_path, data=demo_data, settings=settings, limit=2, workers=2)

    return build


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["h264", "vp9-lossless"])
def test_a_clip_that_browsers_play_goes_frame_by_frame(
    codec: str,
    request: pytest.FixtureRequest,
    built_as: Callable[[str], tvb.Build],
    browse: Callable[..., Page],
) -> None:
    build = request.getfixturevalue("shown") if codec == "h264" else built_as(codec)
    assert not (build.path / "report" / "previews").exists()
    page, clip = open_paused(browse, build)
    frames = frames_at(build.path / clip["path"], range(12))
    for number in range(1, 12):
        page.locator("#forth").click()
        assert frame(page) == number
        page.locator("#panel video").evaluate(SOUGHT)
        seen = picture(page.locator("#panel video").screenshot(), clip["width"], clip["height"])
        apart = [np.abs(seen - f.astype(np.int64)).mean() for f in frames]
        assert apart[number] == min(apart) < 4


@pytest.mark.slow
@pytest.mark.parametrize("kind", [FILM, STRIP])
def test_a_clip_that_no_browser_plays_is_shown_by_its_preview(
    kind: str,
    built_as: Callable[[str], tvb.Build],
    browse: Callable[..., Page],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if kind == FILM:
        monkeypatch.setattr(previews, "DEAR", 0)
    build = built_as("ffv1")
    page, clip = open_paused(browse, build)
    step = step_of(clip["n_frames"], kind)
    assert step > 1
    expect(page.locator("#shown")).to_contain_text(f"A coarser preview, one frame in {step}")
    numbers = range(0, clip["n_frames"], step)
    frames = frames_at(build.path / clip["path"], numbers)
    shown = page.locator("#panel video" if kind == FILM else "#panel .film canvas")
    for number in numbers[1:]:
        page.locator("#forth").click()
        assert frame(page) == number
        if kind == FILM:
            shown.evaluate(SOUGHT)
        seen = picture(shown.screenshot(), clip["width"], clip["height"])
        apart = [np.abs(seen - own.astype(np.int64)).mean() for own in frames]
        assert apart[number // step] == min(apart) < 16
    page.locator("#play").click()
    page.locator("#play", has_text="Pause").wait_for()
    seen_at = {frame(page)}
    while len(seen_at) < 4:  # the test's time limit is the end of it
        page.wait_for_timeout(30)
        seen_at.add(frame(page))
    assert {number % step for number in seen_at} == {0}


@pytest.mark.slow
def test_strips_move_in_the_grid_and_one_that_is_bad_is_told(
    built_as: Callable[[str], tvb.Build], browse: Callable[..., Page]
) -> None:
    build = built_as("ffv1")
    bad, *_ = sorted((build.path / previews.PREVIEWS).rglob("*.webp"))
    bad.write_bytes(b"no picture")
    page = browse(build.path / "report.html")
    expect(page.locator(".clip .none")).to_have_text(["this browser does not play it (ffv1)"])
    cell = page.locator(".clip canvas").first
    page.locator("#moving").check()
    before = cell.screenshot()
    while cell.screenshot() == before:  # the test's time limit is the end of it
        page.wait_for_timeout(50)
    page.locator("#moving").uncheck()
    page.wait_for_timeout(300)  # they are drawn anew, and stand
    still = cell.screenshot()
    page.wait_for_timeout(400)
    assert cell.screenshot() == still


def test_a_clip_that_is_opened_as_another_closes_stays_open(
    shown: tvb.Build, browse: Callable[..., Page]
) -> None:
    """A dialog tells that it closed when it may be open again."""
    page = browse(shown.path / "report.html")
    page.locator(".clip").first.click()
    expect(page.locator("#frame")).to_be_visible()
    page.evaluate(
        "document.getElementById('panel').close(), document.querySelectorAll('.clip')[1].click()"
    )
    expect(page.locator("#frame")).to_be_visible()
    page.wait_for_timeout(200)
    expect(page.locator("#frame")).to_be_visible()


def test_a_strip_of_any_shape_is_shown_whole(browse: Callable[..., Page], tmp_path: Path) -> None:
    """Of six frames each: red above, blue below, reduced by so many."""
    shapes = [(7, 300, 3), (1, 1000, 10), (128, 40, 2), (15, 31, 2)]
    names = {f"{i:016x}": f"{i:016x}.{STRIP}" for i in range(len(shapes))}
    clips = manifest(len(shapes))
    clips = clips.assign(width=[w for w, *_ in shapes], height=[h for _, h, _ in shapes])
    write_tables(tmp_path, clips)
    for name, (width, height, factor) in zip(names.values(), shapes, strict=True):
        part = np.zeros((-(-height // factor), -(-width // factor), 3), np.uint8)
        part[: len(part) // 2, :, 2] = part[len(part) // 2 :, :, 0] = 255  # as OpenCV has colours
        file = tmp_path / previews.preview_path(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), np.concatenate([part] * 6), [cv2.IMWRITE_WEBP_QUALITY, 101])
    publish_statistics(tmp_path, Settings.load(), CLASSES, Extras(codec="ffv1", previews=names))
    page = browse(tmp_path / "report.html", device_scale_factor=5)
    page.locator("#moving").check()
    for i in range(len(shapes)):
        cell = page.locator(".clip").nth(i).locator("canvas")
        page.wait_for_function("c => c.strip.naturalWidth > 0", arg=cell.element_handle())
        page.wait_for_timeout(120)  # each is drawn twenty times a second
        assert ends(cell.screenshot()) == [(255, 0, 0), (0, 0, 255)]
    page.locator("#moving").uncheck()
    for i in range(len(shapes)):
        page.locator(".clip").nth(i).click()
        expect(page.locator("#shown")).to_contain_text("A coarser preview")
        page.locator("#forth").click()
        assert frame(page) == 1
        assert ends(page.locator("#panel .film canvas").screenshot()) == [(255, 0, 0), (0, 0, 255)]
        page.keyboard.press("Escape")


def ends(png: bytes) -> list[tuple[int, ...]]:
    """The strongest colours of a picture near its upper and its lower end."""
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    rows = image[len(image) // 20], image[-1 - len(image) // 20]
    return [tuple(row[np.ptp(row, 1).argmax()].tolist()) for row in rows]


def test_what_does_not_play_is_told_in_words(browse: Callable[..., Page], tmp_path: Path) -> None:
    """As of a browser without the codec: the tile says so, the panel what to do."""
    write_tables(tmp_path, manifest())
    (tmp_path / "videos").mkdir()
    for i in range(12):
        (tmp_path / f"videos/{i}.mp4").write_bytes(b"no video")
    publish_statistics(tmp_path, Settings.load(), CLASSES, Extras())
    page = browse(tmp_path / "report.html")
    expect(page.locator(".clip .none")).to_have_text(["this browser does not play it (h264)"] * 12)
    expect(page.locator(".clip")).to_have_count(12)
    page.locator(".clip").first.click()
    expect(page.locator("#shown")).to_contain_text("report.previews=always")
    page.locator("#forth").click()
    assert frame(page) == 1


def open_paused(browse: Callable[..., Page], build: tvb.Build) -> tuple[Page, pd.Series]:
    """The page with a clip of more than twenty frames open at its first; and the clip."""
    page = browse(build.path / "report.html")
    clip = build.clips[build.clips["n_frames"] > 20].iloc[0]
    page.fill("#search", clip["clip_id"])
    expect(page.locator(".clip")).to_have_count(1)  # the search has come to its end
    page.locator(".clip").click()
    page.locator("#play", has_text="Pause").click()
    page.locator("#seek").fill("0")
    return page, clip


# A canvas with a file of the disk may not be read, so that the screen is looked at.
SOUGHT = """async (v) => {
  if (v.seeking) await new Promise((done) => v.addEventListener("seeked", done, { once: true }));
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
}"""


def picture(png: bytes, width: int, height: int) -> Any:
    """The pixels ``(height, width, 3)`` of a clip that is shown enlarged."""
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    rows, columns = (
        ((np.arange(n) + 0.5) * size / n).astype(int)
        for n, size in zip((height, width), image.shape, strict=False)
    )
    return image[np.ix_(rows, columns)].astype(np.int64)


# Texts whose contrast is under WCAG's AA for small letters.
FAINT = r"""() => {
  const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
  const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) =>
    0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const behind = (at) => {
    for (; at; at = at.parentElement) {
      const [r, g, b, alpha = 1] = numbers(getComputedStyle(at).backgroundColor);
      if (alpha === 1) return [r, g, b];
    }
  };
  const faint = (at, style = getComputedStyle(at)) => {
    const colour = numbers(at instanceof SVGElement ? style.fill : style.color);
    const [more, less] = [colour, behind(at)].map(light).sort((a, b) => b - a);
    return (more + 0.05) / (less + 0.05) < 4.5;
  };
  const search = document.getElementById("search");
  const found = faint(search, getComputedStyle(search, "::placeholder")) ? ["placeholder"] : [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const at = texts.currentNode.parentElement, said = texts.currentNode.data.trim();
    if (said && at.checkVisibility() && faint(at)) found.push(said);
  }
  return found;
}"""
# Of each clip that is shown: the pixels of one of its own, the factor told, how it is enlarged.
FACTORS = r"""() => [...document.querySelectorAll(".clip")].map((cell) => {
  const video = cell.querySelector("video");
  const [, own, told] = cell.textContent.match(/(\d+)×\d+ pixels ×(\d+)/);
  return [video.clientWidth / own, told, getComputedStyle(video).imageRendering];
})"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out(
    shown: tvb.Build, browse: Callable[..., Page], width: int, scheme: str
) -> None:
    size = {"width": width, "height": 800}
    page = browse(shown.path / "report.html", viewport=size, color_scheme=scheme)
    wide = "d => d.ownerDocument.documentElement.scrollWidth"
    assert page.locator("body").evaluate(wide) <= width
    page.locator("#classes summary").click()
    page.locator("#more summary").click()
    assert page.evaluate(FAINT) == []
    # Whole factors, without smoothing, each told.
    for factor, told, rendering in page.evaluate(FACTORS):
        assert factor == round(factor) == int(told) >= 1
        assert rendering == "pixelated"
    page.locator(".clip").first.click()
    page.locator("#source-frame").wait_for()
    panel = page.locator("#panel")
    assert panel.evaluate("d => d.scrollWidth") <= panel.evaluate("d => d.clientWidth")
    assert page.evaluate(FAINT) == []
    colour = page.locator("body").evaluate("b => getComputedStyle(b).backgroundColor")
    assert (colour == "rgb(255, 255, 255)") == (scheme == "light")


@pytest.mark.slow
def test_a_runs_worst_clips_come_first(
    shown: tvb.Build, browse: Callable[..., Page], tmp_path: Path
) -> None:
    clips = shown.clips[shown.clips["split"].astype(str) == "test"]
    classes = list(json.loads((shown.path / "TinyVIRAT_V2" / "class_map.json").read_text()))
    truth = [[int(c in own) for c in classes] for own in clips["labels"]]
    worst = len(clips) // 2
    near = [[abs(v - (0.97 if i == worst else 0.2)) for v in row] for i, row in enumerate(truth)]
    columns = {"clip_id": clips["clip_id"].tolist(), "truth": truth, "scores": near}
    pq.write_table(pa.table(columns), tmp_path / "scores-test.parquet")
    page = browse(report_errors(shown, tmp_path, "test"))
    expect(page.locator("#told")).to_have_text(f"{len(clips)} of {len(shown.clips)} clips")
    page.locator(".clip").first.click()
    expect(page.locator("#panel dl")).to_contain_text(clips["clip_id"].iloc[worst])
    expect(page.locator("#panel")).to_contain_text("Scores")


def test_the_browsers_own_keys_stay_its_own(browse: Callable[..., Page], tmp_path: Path) -> None:
    """Alt and the left arrow go back, Ctrl and P print: in the grid as in an open clip."""
    write_tables(tmp_path, manifest())
    publish_statistics(tmp_path, Settings.load(), CLASSES, NO_FILES)
    page = browse(tmp_path / "report.html")

    def goes_on(where: str, key: str, **held: bool) -> bool:
        event = {"key": key, "bubbles": True, "cancelable": True, **held}
        return bool(page.locator(where).evaluate(
            "(at, event) => at.dispatchEvent(new KeyboardEvent('keydown', event))", event
        ))  # fmt: skip

    for held in ("altKey", "ctrlKey", "metaKey"):
        assert goes_on("#grid", "End", **{held: True})
    assert not goes_on("#grid", "ArrowRight")
    page.locator(".clip:focus").press("Enter")
    page.locator("#source-frame").wait_for()
    for held in ("altKey", "ctrlKey", "metaKey"):
        assert goes_on("#panel", "p", **{held: True})
        assert goes_on("#panel", "ArrowLeft", **{held: True})
    assert (frame(page), goes_on("#panel", "ArrowRight"), frame(page)) == (0, False, 1)
    page.keyboard.press("Escape")
    page.locator("#more summary").click()
    named = page.locator("body").aria_snapshot()
    for said in ('searchbox "Search"', 'combobox "Split"', 'checkbox "moving pictures"',
                 'group "Clips; arrow keys move, Enter opens"', "status: 12 of 12 clips",
                 'spinbutton "least side"', 'combobox "Finding of the audit"'):  # fmt: skip
        assert said in named
    page.locator(".clip").first.click()
    page.locator("#source-frame").wait_for()
    panel = page.locator("#panel").aria_snapshot()
    for said in ('dialog "Opening, Talking – ', 'button "The next clip (n)"', 'slider "Frame"',
                 'button "Step on (right arrow)"', "img "):  # fmt: skip
        assert said in panel


def test_a_clip_that_fails_late_leaves_the_next_one_alone(
    browse: Callable[..., Page], tmp_path: Path
) -> None:
    write_tables(tmp_path, manifest())
    publish_statistics(tmp_path, Settings.load(), CLASSES, NO_FILES)
    page = browse(tmp_path / "report.html")
    page.evaluate("""() => {
      const append = document.head.append.bind(document.head);
      document.head.append = (script) => {
        if (script.src.endsWith("video-0.js")) window.fail = () => script.onerror();
        else append(script);
      };
    }""")
    page.locator(".clip").first.click()
    page.locator("#after").evaluate("after => document.querySelectorAll('.clip')[11].click()")
    page.locator("#source-frame").wait_for()
    page.evaluate("() => window.fail()")
    page.wait_for_timeout(50)
    assert page.locator("#source-frame").is_visible()


@pytest.mark.slow
def test_hostile_names_are_shown_as_they_are(browse: Callable[..., Page], tmp_path: Path) -> None:
    names = [HOSTILE[i % len(HOSTILE)] for i in range(12)]
    clips = manifest().assign(
        video_id=names, labels=[(name,) for name in names], path=[f"v/{name}" for name in names],
        released_id=names, activities=[(name,) for name in names],
    )  # fmt: skip
    write_tables(tmp_path, clips)
    publish_statistics(tmp_path, Settings.load(), HOSTILE, NO_FILES)
    page = browse(tmp_path / "report.html")
    page.on("dialog", lambda dialog: pytest.fail(f"a name has run: {dialog.message}"))
    page.locator("#classes summary").click()
    shown = page.locator("#class-list label").all_text_contents()
    assert all(any(name in text for text in shown) for name in HOSTILE)
    for name in HOSTILE:
        page.fill("#search", name)
        expect(page.locator("#told")).to_have_text("3 of 12 clips")
        page.locator(".clip").first.click()
        assert name in str(page.locator("#panel").text_content())
        page.keyboard.press("Escape")
    assert page.locator("[onerror], [onload], img[src=x]").count() == 0
    assert page.locator("script:not([src])").count() <= 1  # data and code lie beside the page
