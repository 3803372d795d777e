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
from made import CLASSES, HOSTILE, manifest, write_tables
from pages import read_clips

import tinyvirat_build as tvb
from tinyvirat_build.ask.errors_of_run import report_errors
from tinyvirat_build.report import publish_statistics
from tinyvirat_build.report.gallery import Extras
from tinyvirat_build.report.previews import step_of
from tinyvirat_build.settings import Settings
from tinyvirat_build.video.frames import frames_at

if TYPE_CHECKING:
    from playwright.sync_api import Page

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


@pytest.fixture
def browse(tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Open a page of a report; at the end, nothing was said in the console."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is a system package; .ci/run installs it")
    said: list[str] = []
    asked: list[str] = []
    with playwright.sync_playwright() as run:
        browser = run.chromium.launch(executable_path=chromium, args=["--no-sandbox"])

        def browse(file: Path, **context: Any) -> Page:
            page = browser.new_context(**context).new_page()
            page.on("console", lambda m: said.append(m.text))
            page.on("pageerror", lambda e: said.append(str(e)))
            page.on("request", lambda r: asked.append(r.url))
            page.goto(file.as_uri())
            expect(page.locator("body[data-ready=yes]")).to_be_attached(timeout=60_000)
            return page

        yield browse
        browser.close()
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


@pytest.mark.slow
def test_filters_agree_with_the_tables(shown: tvb.Build, browse: Callable[..., Page]) -> None:
    page = browse(shown.path / "report.html")
    clips = shown.clips
    told, total = page.locator("#told"), len(clips)

    def holds(count: int) -> None:
        expect(told).to_have_text(f"{count} of {total} clips")

    label = clips["labels"].explode().value_counts().index[1]
    page.locator("#classes summary").click()
    page.locator("#class-list label", has_text=label).locator("input").check()
    has = clips["labels"].map(lambda own: label in own)
    holds(int(has.sum()))
    page.select_option("#split", "train")
    train = clips["split"].astype(str) == "train"
    holds(int((has & train).sum()))
    second = clips["labels"].explode().value_counts().index[0]
    page.locator("#class-list label", has_text=second).locator("input").check()
    page.locator("input[value=all]").check()
    both = has & clips["labels"].map(lambda own: second in own)
    holds(int((both & train).sum()))
    page.locator("button[type=reset]").click()
    holds(total)
    page.locator("#more summary").click()
    page.fill("#side-min", "40")
    side = clips[["width", "height"]].max(axis=1)
    holds(int((side >= 40).sum()))
    page.fill("#length-max", "30")
    holds(int(((side >= 40) & (clips["n_frames"] <= 30)).sum()))
    page.locator("button[type=reset]").click()
    video = clips["video_id"].astype(str)
    page.fill("#search", video.iloc[0])
    holds(int((video == video.iloc[0]).sum()))
    page.fill("#search", clips["clip_id"].iloc[7][:10])
    holds(1)
    page.fill("#search", "")
    page.select_option("#sort", "large")
    first = page.locator(".clip").first
    expect(first).to_contain_text(f"{side.max()}×")
    page.locator("#grid").focus()
    first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    expect(page.locator(".clip:focus")).to_be_visible()


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
def test_a_clip_that_no_browser_plays_is_shown_by_its_strip(
    built_as: Callable[[str], tvb.Build], browse: Callable[..., Page]
) -> None:
    build = built_as("ffv1")
    page, clip = open_paused(browse, build)
    step = step_of(clip["n_frames"])
    expect(page.locator("#shown")).to_contain_text("A preview, lossy")
    assert page.locator("video").count() == 0
    numbers = range(0, clip["n_frames"], step)
    frames = frames_at(build.path / clip["path"], numbers)
    for number, own in zip(numbers, frames, strict=True):
        assert frame(page) == number
        seen = picture(page.locator("#panel img").screenshot(), clip["width"], clip["height"])
        assert np.abs(seen - own.astype(np.int64)).mean() < 16
        page.locator("#forth").click()
    page.locator("#play").click()
    page.locator("#play", has_text="Pause").wait_for()
    before = frame(page)
    while frame(page) == before:  # the test's time limit is the end of it
        page.wait_for_timeout(30)


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
    page.locator(".clip").first.click()
    page.locator("#source-frame").wait_for()
    panel = page.locator("#panel")
    assert panel.evaluate("d => d.scrollWidth") <= panel.evaluate("d => d.clientWidth")
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
