"""How soon the gallery of many clips is usable in a browser, and what memory it takes.

    python bench/report.py [--clips 30000] [--build DEMO] [--folder DIR]

First previews beside cutting, in CPU time and bytes, for a codec that browsers play and one that
they do not: of the 60 clips of the 1080p source that bench/cut.py renders into the folder, and with
--build of a demo build, whose videos are cut again. Then makes a build of tables (synthetic clips,
which share the files of 60), writes its report, opens it in Chromium from disk, filters, sorts and
scrolls. Needs the package playwright and Chromium.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from cut import FPS, clips_at, sources

from tinyvirat_build import store
from tinyvirat_build.labels import load_classes
from tinyvirat_build.records import KEYS, Balance, balance_frame, columns, empty
from tinyvirat_build.report import publish_statistics
from tinyvirat_build.report.gallery import Extras
from tinyvirat_build.report.moving import FRAMES, encode
from tinyvirat_build.report.previews import named, wanted
from tinyvirat_build.settings import Encode, Settings
from tinyvirat_build.stages import fate
from tinyvirat_build.video.cutter import cut_video
from tinyvirat_build.video.encode import encode_clip
from tinyvirat_build.video.index import Colour, index_video
from tinyvirat_build.video.windows import Window

PER_VIDEO = 60
FILES = 60
CLASSES = load_classes("tinyvirat-26")


def tables(n: int) -> dict[str, pd.DataFrame]:
    """The tables of ``n`` clips, 60 a video, each of one activity with one actor."""
    rng = np.random.default_rng(0)
    video = np.arange(n) // PER_VIDEO
    key = {"source": "synthetic", "annotation_set": "x"}
    names = np.array([f"2018-03-05.{v:05d}.bench.G{v % 30 + 100}" for v in range(video[-1] + 1)])
    start = (np.arange(n) % PER_VIDEO) * 70
    side = rng.integers(5, 65, n) * 2
    labels = [tuple(CLASSES[c] for c in np.sort(rng.choice(26, k))) for k in rng.integers(1, 4, n)]
    clips = pd.DataFrame(
        dict.fromkeys(columns("clips"))
        | key
        | {
            "video_id": names[video], "clip_id": [f"{i * 2654435761:016x}" for i in range(n)],
            "segment_id": np.arange(n) % PER_VIDEO, "start": start, "end": start + 64,
            "width": side, "height": side, "x": [(100,) * 64] * n, "y": [(100,) * 64] * n,
            "actor_side": 10.0, "labels": pd.Series(labels, dtype=object),
            "activities": [(f"a{i}",) for i in range(n)], "seen_activities": [()] * n,
            "group": names[video], "split": np.where(video % 5 == 0, "test", "train"),
            "id": [f"{i:06d}" for i in range(n)], "n_frames": 64, "held": 0, "fps": "30",
            "path": [f"clips/{i % FILES}.mp4" for i in range(n)], "sha256": "0" * 64,
        }
    )  # fmt: skip
    activities = clips[["source", "video_id", "annotation_set", "start", "end", "labels"]].assign(
        activity_id=[f"a{i}" for i in range(n)], name="walk", status="", file="a.yml",
        line=np.arange(n) + 1, file_order=np.arange(n), actors=[(f"p{i}",) for i in range(n)],
    )  # fmt: skip
    segments = activities.drop(columns=["name", "actors"]).assign(
        segment_id=clips["segment_id"], activities=clips["activities"], tracks=[()] * n
    )
    boxes = clips[["source", "video_id", "annotation_set"]].assign(
        actor_id=[f"p{i}" for i in range(n)], frame=start, x1=100.0, y1=100.0, x2=120.0, y2=140.0,
        keyframe=True,
    )  # fmt: skip
    videos = pd.DataFrame(
        dict.fromkeys(columns("videos"))
        | key
        | {"video_id": names, "width": 1920, "height": 1080, "frames": 9000, "present": True,
           "camera": [name[-4:] for name in names], "assumed": False, "fps": "30"}
    )  # fmt: skip
    return {name: empty(name) for name in fate.READ} | {
        "clips": clips, "activities": activities, "segments": segments, "chunks": segments,
        "boxes": boxes, "actors": empty("actors"), "videos": videos, "issues": empty("issues"),
        "balance": balance_frame(Balance("cut", "clips", n, n, 0)),
    }  # fmt: skip


def write(out: Path, n: int) -> Path:
    """Write the report of ``n`` clips below ``out``, and the files that they share."""
    (out / "clips").mkdir()
    rng = np.random.default_rng(0)
    for i, side in enumerate(rng.integers(5, 65, FILES) * 2):
        window = Window.of(side, side, [0] * 64, [0] * 64)
        data = rng.integers(124, 128, (64, window.frame_bytes), np.uint8)  # larger than the demo's
        film = encode_clip(data, window, Fraction(FPS), Colour(), Encode())
        (out / "clips" / f"{i}.mp4").write_bytes(film)
    (out / "build.yaml").write_text("limit: null\nversions: {}\n")
    for name, table in tables(n).items():
        arrow = store.to_arrow(name, table)
        store.write_table(out / "tables" / f"{name}.parquet", name, [arrow], key="k")
    began = time.perf_counter()
    publish_statistics(out, Settings.load(), CLASSES, Extras())
    size = sum(f.stat().st_size for f in (out / "report").rglob("*")) / 2**20
    print(f"report of {n:,} clips written in {time.perf_counter() - began:.1f} s, {size:.0f} MiB")
    return out / "report.html"


def previews(name: str, videos: list[tuple[Path, pd.DataFrame]], codec: str) -> None:
    """What previews of videos' clips take beside cutting them: all of it on this thread."""
    settings = Settings.load(overrides=[f"encode.codec={codec}"])
    cut, spent, n = 0.0, {"the pack": 0.0, "the clip": 0.0}, sum(len(c) for _, c in videos)
    sizes: list[int] = []
    kinds = dict.fromkeys(FRAMES, 0)
    for video, clips in videos:
        index = index_video(video)
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            cut_video(
                video, index, clips, Path(folder), settings.encode, max_held=0.1,
                pack_path=Path(folder) / "clips.yuv",
            )  # fmt: skip
            cut += time.process_time() - began
            rows = rows_of(clips).assign(**dict.fromkeys(KEYS, "bench"))
            of = pd.DataFrame([{"width": index.width, "height": index.height}])
            rows = named(wanted(rows, settings), of.assign(**dict.fromkeys(KEYS, "bench")))
            for kind in kinds:
                kinds[kind] += int(rows["preview"].str.endswith(kind).sum())
            for way in spent:
                own = rows if way == "the pack" else rows.assign(pack_file=None)
                began = time.process_time()
                sizes += [len(encode(row, Path(folder))) for row in own.to_dict("records")]
                spent[way] += time.process_time() - began
    told = [f"from {w} {t / n * 1e3:.2f} ms, {t / cut:.3f} of it" for w, t in spent.items()]
    size = f"; {np.mean(sizes):,.0f} bytes, at most {max(sizes):,}; {kinds}" if sizes else ""
    print(f"{name}, {codec}, {n} clips: cutting one {cut / n * 1e3:.1f} ms of CPU; a preview",
          " and ".join(told) + size)  # fmt: skip


def rows_of(clips: pd.DataFrame) -> pd.DataFrame:
    """Rows as the manifest has them, of clips that were cut in this order."""
    count = clips["end"] - clips["start"]
    size = count * clips["width"] * clips["height"] * 3 // 2
    return clips.assign(
        path=clips["clip_id"] + ".mp4", n_frames=count, fps="30", pack_file="clips.yuv",
        pack_offset=size.cumsum() - size,
        sha256=clips["clip_id"],
    )  # fmt: skip


def of_demo(build: Path) -> list[tuple[Path, pd.DataFrame]]:
    """A demo build's videos with the clips that were cut from them."""
    names = ["clip_id", "video_id", "path", "start", "end", "width", "height", "x", "y"]
    clips = store.read_table(build / "tables" / "clips.parquet", names)
    clips = clips[clips["path"].notna()]
    files = {f.name: f for f in (build / "data" / "demo" / "video").iterdir()}
    return [
        (next(file for name, file in files.items() if name.startswith(str(video))), own)
        for video, own in clips.groupby("video_id", observed=True)
    ]


def memory(root: psutil.Process) -> float:
    """What the browser's process and its children have for themselves, in MB."""
    own = [root, *root.children(recursive=True)]
    return sum(p.memory_full_info().uss for p in own) / 1e6


def timed(what: str, *acts: Callable[[], object]) -> None:
    began = time.perf_counter()
    for act in acts:
        act()
    print(f"{what:<44}{time.perf_counter() - began:6.2f} s")


def look(page_file: Path, chromium: str) -> None:
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as run:
        browser = run.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        (root,) = [
            p for p in psutil.Process().children(recursive=True)
            if "chromium" in p.name() and "--type=" not in " ".join(p.cmdline())
        ][:1]  # fmt: skip
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto("about:blank")
        print(f"memory of the browser, nothing open       {memory(root):8.0f} MB")

        def opened() -> None:
            page.goto(page_file.as_uri())
            page.wait_for_selector(".clip")

        timed("open, until the clips stand there", opened)
        told = page.locator("#told")
        one = re.compile("^1 of")
        timed("search a number", lambda: page.fill("#search", "000225"),
              lambda: expect(told).to_have_text(one))  # fmt: skip
        timed("clear", lambda: page.fill("#search", ""),
              lambda: expect(told).not_to_have_text(one))  # fmt: skip
        timed("sort by side", lambda: page.select_option("#sort", "large"))
        for part in (0.25, 0.5, 0.75, 1.0):
            page.evaluate(
                f"g = document.getElementById('grid'), g.scrollTop = {part} * g.scrollHeight"
            )
            page.wait_for_timeout(200)
        playing = "[...document.querySelectorAll('video')].filter((v) => v.currentTime > 0).length"
        page.wait_for_timeout(1000)
        print(f"clips that move                           {page.evaluate(playing):8,}")
        print(f"cells that exist                          {page.locator('.clip').count():8,}")
        timed("open a clip", lambda: page.locator(".clip").first.click(),
              lambda: page.wait_for_selector("#source-frame"))  # fmt: skip
        print(f"memory of the browser, with the gallery   {memory(root):8.0f} MB")
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=30_000)
    parser.add_argument("--build", type=Path, help="a demo build, with its data")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "bench-cut")
    parser.add_argument("--out", type=Path, help="keep the report there")
    parser.add_argument("--only-look", action="store_true", help="at the report that is in --out")
    asked = parser.parse_args()
    if not asked.only_look:
        asked.folder.mkdir(parents=True, exist_ok=True)
        short, _ = sources(asked.folder, gop=250)
        starts = np.sort(np.random.default_rng(0).integers(0, 60 * FPS - 150, 60))  # as cut.py
        corpora = {"1080p": [(short, clips_at(starts.tolist(), seed=1))]}
        if asked.build is not None:
            corpora["demo"] = of_demo(asked.build)
        for name, videos in corpora.items():
            for codec in ("h264", "ffv1"):
                previews(name, videos, codec)
    chromium = shutil.which("chromium")
    with tempfile.TemporaryDirectory() as folder:
        out = asked.out or Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        page = out / "report.html" if asked.only_look else write(out, asked.clips)
        if chromium is None:
            sys.exit("no chromium here; the page was not opened")
        look(page, chromium)


if __name__ == "__main__":
    main()
