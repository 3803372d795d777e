"""Clips of the settings ``h264-crf`` and ``vp9-lossless`` play in a browser."""

from __future__ import annotations

import functools
import queue
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import av
import numpy as np
import pandas as pd
import pytest

from tinyvirat_build.settings import Encode
from tinyvirat_build.video.cutter import cut_video
from tinyvirat_build.video.index import index_video

_PAGE = """<video id="v" src="clip.mp4" muted></video><script>
const v = document.getElementById("v");
v.onended = () => fetch("/ended-" + v.videoWidth + "x" + v.videoHeight);
v.onerror = () => fetch("/error-" + encodeURIComponent(v.error.message));
v.play();
</script>"""


@pytest.fixture
def chromium() -> str:
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("chromium is a system package; .ci/run installs it")
    return found


def _source(path: Path) -> None:
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 30)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for _ in range(30):
            picture = rng.integers(0, 255, (240, 320, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("codec", "side"), [("h264-crf", 72), ("vp9-lossless", 72), ("vp9-lossless", 73)]
)
def test_a_clip_plays_in_a_browser(
    chromium: str, tmp_path: Path, codec: Literal["h264-crf", "vp9-lossless"], side: int
) -> None:
    source = tmp_path / "source.mp4"
    _source(source)
    clips = pd.DataFrame(
        {
            "clip_id": ["clip"],
            "start": [5],
            "end": [25],
            "width": [side],
            "height": [side],
            "x": [(20,) * 20],
            "y": [(30,) * 20],
        }
    )
    cuts = cut_video(
        source, index_video(source), clips, tmp_path, Encode(codec=codec), max_held=0.1
    )
    assert cuts["reason"].isna().all()
    (tmp_path / "page.html").write_text(_PAGE)
    said: queue.Queue[str] = queue.Queue()

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith(("/ended", "/error")):
                said.put(self.path)
            super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    serve = functools.partial(Handler, directory=str(tmp_path))
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
    flags += " --disable-background-networking --disable-component-update"
    flags += " --autoplay-policy=no-user-gesture-required"
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = f"http://127.0.0.1:{server.server_port}/page.html"
        browser = subprocess.Popen(
            [chromium, *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", page],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert said.get(timeout=90) == f"/ended-{side}x{side}"
        finally:
            browser.kill()
            browser.wait()
            server.shutdown()
