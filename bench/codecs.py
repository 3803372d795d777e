"""Size, cutting time and readers of each lossless ``encode.codec``, beside those of ``h264``.

    python bench/codecs.py [--street DIR] [--videos 6]

Cut are the demo corpus (its first videos) and the street video with its tracks (DIR, with
``vtest.avi`` and its KPF). Printed are the clips, their size, and the CPU time of encoding them and
of the whole cut, each with its ratio to that of ``h264``; and of how many clips each reader gives
all frames (Chromium: plays them), ``-`` where it is not installed.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import av
import cv2

import tinyvirat_build as tvb
from tinyvirat_build.settings import Encode
from tinyvirat_build.video.cutter import Profile, cut_video
from tinyvirat_build.video.index import index_video

CODECS = ("h264", "vp9-lossless", "ffv1")
PLAYS = """name => new Promise(done => {
    const film = document.createElement("video");
    film.onloadeddata = () => done(true);
    film.onerror = () => done(false);
    film.src = name;
})"""


class Cut(NamedTuple):
    """What a corpus's clips come to with one codec."""

    frames: Mapping[Path, int]  # of each clip
    size: int  # bytes
    encoding: float  # CPU seconds
    cutting: float  # the same, decoding and all else included


def cut(build: tvb.Build, codec: str, out: Path) -> Cut:
    """Cut a planned build's clips, video by video."""
    profile = Profile()
    clips = build.table("clips_filtered")
    videos = {key.video_id: entry.video for key, entry in build.entries().items() if entry.video}
    out.mkdir()
    cutting, frames = 0.0, {}
    for video_id, rows in clips.groupby("video_id", observed=True):
        path = videos[str(video_id)]
        index = index_video(path)
        began = time.process_time()
        cuts = cut_video(path, index, rows, out, Encode(codec=codec), max_held=0.1, profile=profile)
        cutting += time.process_time() - began
        whole = cuts[cuts["reason"].isna()]
        frames |= {out / f: int(n) for f, n in zip(whole["file"], whole["n_frames"], strict=True)}
    return Cut(frames, sum(f.stat().st_size for f in frames), profile.encode, cutting)


def by_opencv(path: Path) -> int:
    film, count = cv2.VideoCapture(str(path)), 0
    while film.read()[0]:
        count += 1
    return count


def by_pyav(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def by_torchcodec(path: Path) -> int:
    from torchcodec.decoders import VideoDecoder

    try:
        return len(VideoDecoder(str(path))[:])
    except (RuntimeError, ValueError, IndexError):
        return 0


def in_chromium(clips: Mapping[Path, int]) -> str:
    """How many clips the browser plays."""
    program = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return "-"
    if program is None:
        return "-"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        empty = next(iter(clips)).parent / "empty.html"
        empty.touch()
        page.goto(empty.as_uri())
        played = sum(page.evaluate(PLAYS, path.name) for path in clips)
        browser.close()
    return str(played)


READERS: Mapping[str, Callable[[Path], int]] = {
    "OpenCV": by_opencv, "PyAV": by_pyav, "torchcodec": by_torchcodec
}  # fmt: skip


def read_by(clips: Mapping[Path, int]) -> Iterator[str]:
    """Each reader, and of how many clips it gives all frames."""
    for name, count in READERS.items():
        try:
            yield f"{name} {sum(count(path) == frames for path, frames in clips.items())}"
        except ImportError:
            yield f"{name} -"
    yield f"Chromium {in_chromium(clips)}"


def corpora(work: Path, street: Path | None, videos: int) -> Iterator[tuple[str, tvb.Build]]:
    """The planned build of each corpus, by name."""
    settings = {"filter.min_samples": 1}
    yield (
        f"demo, {videos} videos",
        tvb.build("demo", work / "demo", settings=settings, limit=videos, until="filter"),
    )
    if street is not None:
        corpus = work / "street.yaml"
        corpus.write_text("format: kpf\n")
        yield (
            "street video",
            tvb.build(str(corpus), work / "street", data=street, settings=settings, until="filter"),
        )


def main() -> None:
    """Cut each corpus with each codec, one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--street", type=Path)
    parser.add_argument("--videos", type=int, default=6)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, build in corpora(Path(folder), args.street, args.videos):
            print(f"{name}\n  {'codec':<14}{'clips':>6}{'MB':>14}{'encoding, s':>16}{'cut, s':>16}")
            base = None
            for codec in CODECS:
                found = cut(build, codec, build.path / codec)
                base = base or found
                columns = ((found.size / 1e6, found.size / base.size),
                           (found.encoding, found.encoding / base.encoding),
                           (found.cutting, found.cutting / base.cutting))  # fmt: skip
                told = "".join(f"{value:>9.2f}{ratio:>7.2f}" for value, ratio in columns)
                print(
                    f"  {codec:<14}{len(found.frames):>6}{told}  {', '.join(read_by(found.frames))}"
                )


if __name__ == "__main__":
    main()
