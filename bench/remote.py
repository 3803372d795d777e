"""Cutting from afar against downloading first, and the client that reads ranges against another.

Run it with

    python bench/remote.py [--rtt 10 100] [--rate 25] [--folder DIR]

It takes the 5-minute 1080p source of bench/cut.py (10 clips of 40 to 150 frames in two bursts, a
keyframe every 250 frames, reordered pictures), as an MP4 with its index at the end and as an AVI,
and serves both on loopback, from a process of its own: each answer begins one round trip late, and
all connections share a line of so many MB a second. For every kind and round trip it cuts

    (a) ours: the container's index, then the packets that the clips need, decoded as they come
    (b) the same, but no packet is decoded before all are here
    (c) the whole file downloaded by the same client, eight connections, then cut

and prints the bytes read beside those of the needed groups of pictures and the index, their share
of the file, the requests, and wall seconds. The clips must be equal, byte by byte. In an AVI whose
pictures are reordered only the packets tell the order, so that (a) is (b).

With s3fs installed it also reads the needed spans with obstore, one request a span as ours does,
with its own joining of ranges, and with s3fs (``cat_ranges``); once more where every fourth request
is answered by 500.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

import av
import numpy as np
import pandas as pd
from av.bitstream import BitStreamFilterContext

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from cut import FPS, clips_at, sources
from remote.served import serving

from tinyvirat_build.remote import video as afar
from tinyvirat_build.remote.objects import RemoteFile, pinned
from tinyvirat_build.remote.ranges import Ranges
from tinyvirat_build.remote.video import RemoteVideo, needed_spans
from tinyvirat_build.remote.web import size_and_version
from tinyvirat_build.settings import Encode
from tinyvirat_build.video.agreed import cut_agreed
from tinyvirat_build.video.index import VideoIndex, index_video
from tinyvirat_build.video.spans import decoding_runs, needed_frames

STARTS = [*range(1900, 2150, 50), *range(6600, 6850, 50)]


def as_avi(movie: Path, path: Path) -> Path:
    """The same packets in an AVI, one a slot in the order in which they are decoded."""
    if path.exists():
        return path
    partial = path.with_name("partial.avi")
    with av.open(str(movie)) as source, av.open(str(partial), "w") as out:
        stream = source.streams.video[0]
        framing = BitStreamFilterContext("h264_mp4toannexb", stream)
        copy: Any = out.add_stream_from_template(stream, opaque=True)
        copy.time_base = Fraction(1, FPS)
        copy.codec_context.extradata = None
        for place, packet in enumerate(p for p in source.demux(stream) if p.size):
            for one in framing.filter(packet):
                laid = av.Packet(bytes(one))
                laid.stream, laid.time_base = copy, Fraction(1, FPS)
                laid.pts = laid.dts = place
                laid.is_keyframe = one.is_keyframe
                out.mux(laid)
    partial.rename(path)
    return path


@contextmanager
def server(folder: Path, rtt: float, rate: float, faults: int = 0) -> Iterator[str]:
    """The folder served by another process; every ``faults``-th of 400 requests fails."""
    near, far = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_serve, args=(folder, rtt, rate, faults, far))
    process.start()
    try:
        yield near.recv()
    finally:
        near.send(None)
        process.join()


def _serve(folder: Path, rtt: float, rate: float, faults: int, pipe: Any) -> None:
    some = ["500" if faults and k % faults == 0 else "" for k in range(400 if faults else 0)]
    with serving(folder, delay=rtt, rate=rate, faults=some) as served:
        pipe.send(served.url)
        pipe.recv()


def groups(index: VideoIndex, clips: pd.DataFrame) -> int:
    """Bytes of the groups of pictures that the clips need, whole."""
    frames = needed_frames(index.n_frames, clips["start"], clips["end"])
    group = np.cumsum(index.sync)
    places = [p for r in decoding_runs(index, frames) for p in range(r.first, r.last + 1)]
    return int(index.size[np.isin(group, group[places])].sum())


def files(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def cut_afar(
    file: RemoteFile, clips: pd.DataFrame, work: Path, *, wait: bool
) -> tuple[VideoIndex, Ranges, int, float, float]:
    """Index, what was read, how much of it for the index, its seconds and those of all."""
    began = time.monotonic()
    remote = RemoteVideo.at(work / "parts", file)
    index = remote.index()
    indexed, of_index = time.monotonic() - began, remote.parts.ranges.received
    out = work / f"afar-{wait}"
    out.mkdir()
    told = mock.patch.object(afar, "_tells_order", return_value=False) if wait else nullcontext()
    with told:
        remote.cut(index, clips, out, Encode(), max_held=0.1)
    seconds = time.monotonic() - began
    assert not remote.why_whole, remote.why_whole
    remote.remove()
    return index, remote.parts.ranges, of_index, indexed, seconds


def compare(video: Path, clips: pd.DataFrame, rtt: float, rate: float, work: Path) -> None:
    with server(video.parent, rtt, rate) as url:
        file = pinned([RemoteFile(f"{url}/{video.name}", -1, "")])[0]
        _, ranges, of_index, indexed, ours = cut_afar(file, clips, work, wait=False)
        *_, waited = cut_afar(file, clips, work, wait=True)
        began = time.monotonic()
        whole = RemoteVideo.at(work / "whole", file)
        whole.parts.whole()
        downloaded = time.monotonic() - began
        index = index_video(whole.parts.path)
        (work / "first").mkdir()
        cut_agreed(whole.parts.path, index, clips, work / "first", Encode(), max_held=0.1)
        first = time.monotonic() - began
        whole.remove()
    assert files(work / "afar-False") == files(work / "afar-True") == files(work / "first")
    needed = groups(index, clips)
    assert ranges.received <= min(1.3 * (needed + of_index), 0.2 * file.size)
    print(
        f"{video.suffix[1:]:<4} {rtt * 1000:>4.0f} ms  "
        f"{ranges.received / 1e6:>6.1f} MB read = {ranges.received / (needed + of_index):.2f} x "
        f"({needed / 1e6:.1f} of groups + {of_index / 1e6:.1f} of index), "
        f"{ranges.received / file.size:.1%} of {file.size / 1e6:.0f} MB, "
        f"{ranges.requests} requests; ours {ours:.1f} s ({indexed:.1f} of it the index), "
        f"all fetched before decoding {waited:.1f} s, "
        f"downloading first {first:.1f} s ({downloaded:.1f} of it the download): "
        f"{first / ours:.1f} x"
    )


def clients(video: Path, clips: pd.DataFrame, rtt: float, rate: float) -> None:
    """The same spans by three readers."""
    import obstore
    import s3fs
    from obstore.store import S3Store

    spans = needed_spans(index_video(video), clips)
    # As scattered as with clips all over the video.
    spans = [(at, at + 400_000) for a, b in spans for at in range(a, b - 400_000, 1_200_000)]
    starts, ends = [a for a, _ in spans], [b for _, b in spans]
    for faults in (0, 4):
        with server(video.parent.parent, rtt, rate, faults) as url:
            bucket = video.parent.name
            os.environ["AWS_ENDPOINT_URL"] = url
            size, version = size_and_version(f"{url}/{bucket}/{video.name}")
            file = RemoteFile(f"s3://{bucket}/{video.name}", size, version)
            began = time.monotonic()
            ours = sum(len(d) for _, d in Ranges(file).fetch(spans))
            first = time.monotonic()
            store = S3Store(
                bucket, endpoint=url, skip_signature=True, client_options={"allow_http": True}
            )
            joined = obstore.get_ranges(store, video.name, starts=starts, ends=ends)
            second = time.monotonic()
            system = s3fs.S3FileSystem(anon=True, endpoint_url=url)
            key = f"{bucket}/{video.name}"
            other = system.cat_ranges([key] * len(spans), starts, ends)
            third = time.monotonic()
            assert ours == sum(map(len, joined)) == sum(map(len, other))
            print(
                f"{len(spans)} spans, {ours / 1e6:.0f} MB, {rtt * 1000:.0f} ms"
                f"{', every 4th request fails' if faults else ''}: obstore as ours uses it "
                f"{first - began:.2f} s, its get_ranges {second - first:.2f} s, "
                f"s3fs {third - second:.2f} s"
            )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rtt", type=float, nargs="+", default=[10, 100], help="milliseconds")
    parser.add_argument("--rate", type=float, default=25, help="of the line, MB a second")
    parser.add_argument("--folder", type=Path, default=Path("bench-data"))
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    _, movie = sources(asked.folder, 250)
    avi = as_avi(movie, movie.with_suffix(".avi"))
    clips = clips_at(STARTS, 1)
    for video in (avi, movie):
        for rtt in asked.rtt:
            with tempfile.TemporaryDirectory() as work:
                compare(video, clips, rtt / 1000, asked.rate * 1e6, Path(work))
    if importlib.util.find_spec("s3fs"):
        for rtt in asked.rtt:
            clients(movie, clips, rtt / 1000, asked.rate * 1e6)
    else:
        print("s3fs is not installed: no comparison of clients")


if __name__ == "__main__":
    main()
