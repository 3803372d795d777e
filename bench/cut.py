"""Cutting against its peers and against the floor of decoding alone.

Run it with

    python bench/cut.py [--runs 5] [--gop 250] [--folder DIR]

It renders a 60 s 1080p30 H.264 source of 5 Mb/s (60 clips) and a 5-minute one (10 clips in two
bursts), both kept in the folder for the next run, and cuts the same clips, in turns, with

    (a) ours: one pass, lossless clips and the training pack, in a warm process
    (b) one ffmpeg program a clip, with -ss
    (c) one ffmpeg program with a split/trim/crop graph
    (d) OpenCV, a single pass
    (e) PyAV decoding the same packets to nothing, as ours does
    (f) the floor: the ffmpeg program decodes the needed groups of pictures to nothing

The distance to (b) follows the clips' length (40 to 150 frames, TinyVIRAT's, here) and the group
of pictures (250 frames, x264's default, here): with --gop 60 each clip's own program has less to
decode before its first frame.

All of them on one core (where the system can pin processes), decoders and encoders with one
thread. (b) and (c) cut fixed windows and (d) encodes MPEG-4: easier work than ours. Printed are
medians of wall and CPU seconds (of the process and those it starts), ratios to the floor, the parts
of our time, what starting costs, the gain of two workers on two videos beside that of two decoders,
and the peak memory. Indexing, which a build does once a video and the peers do not, is printed
beside demuxing alone; the counting of verify beside a check that takes the index's word for it:
both decode the whole source, and differ in how the program is told which pictures to give.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pandas as pd

from tinyvirat_build.settings import Encode
from tinyvirat_build.video.cutter import Profile, cut_video
from tinyvirat_build.video.index import VideoIndex, index_video
from tinyvirat_build.video.numbering import Ints
from tinyvirat_build.video.packets import PacketReader
from tinyvirat_build.video.program import program
from tinyvirat_build.video.source_frames import decoded_frames
from tinyvirat_build.video.spans import decoding_runs, needed_frames

FPS = 30
WIDTH, HEIGHT = 1920, 1080
LOSSLESS = ["-c:v", "libx264", "-preset", "ultrafast", "-qp", "0", "-threads", "1"]


def ffmpeg(*arguments: object) -> None:
    command = [program(), "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    subprocess.run(command, check=True)


def sources(folder: Path, gop: int) -> tuple[Path, Path]:
    """The two sources: moving shapes under sensor noise."""
    short, long = folder / f"minute-{gop}.mp4", folder / f"five-minutes-{gop}.mp4"
    if not short.exists():
        partial = folder / "partial.mp4"
        ffmpeg(
            "-f", "lavfi", "-i", f"testsrc2=size={WIDTH}x{HEIGHT}:rate={FPS}:duration=60",
            "-vf", "noise=alls=5:allf=t,format=yuv420p", "-c:v", "libx264", "-preset", "veryfast",
            "-b:v", "5M", "-maxrate", "5M", "-bufsize", "10M", "-g", gop, partial,
        )  # fmt: skip
        partial.rename(short)
    if not long.exists():
        ffmpeg("-stream_loop", 4, "-i", short, "-c", "copy", long)
    return short, long


def clips_at(starts: Sequence[int], seed: int) -> pd.DataFrame:
    """Clips as in TinyVIRAT: 40 to 150 frames, even windows of 20 to 128 pixels that wander."""
    rng = np.random.default_rng(seed)
    rows = []
    for k, start in enumerate(starts):
        side, length = int(rng.integers(10, 65)) * 2, int(rng.integers(40, 151))
        corner = rng.uniform(0, [WIDTH - side, HEIGHT - side])
        walk = corner + np.cumsum(rng.normal(0, 2, (length, 2)), 0)
        x, y = (np.clip(walk, 0, [WIDTH - side, HEIGHT - side]) // 2 * 2).astype(int).T
        rows.append((f"{k:016x}", start, start + length, side, side, x.tolist(), y.tolist()))
    names = ["clip_id", "start", "end", "width", "height", "x", "y"]
    return pd.DataFrame(rows, columns=names)


def ours(
    video: Path, index: VideoIndex, clips: pd.DataFrame, out: Path, profile: Profile | None = None
) -> None:
    cuts = cut_video(
        video, index, clips, out, Encode(), max_held=0.1, pack_path=out / "clips.yuv",
        profile=profile,
    )  # fmt: skip
    assert cuts["reason"].isna().all()


def one_ffmpeg_a_clip(video: Path, index: VideoIndex, clips: pd.DataFrame, out: Path) -> None:
    for c in clips.itertuples():
        ffmpeg(
            "-threads", 1, "-ss", c.start / FPS, "-i", video, "-frames:v", c.end - c.start,
            "-vf", f"crop={c.width}:{c.height}:{c.x[0]}:{c.y[0]}", *LOSSLESS, "-an",
            out / f"{c.clip_id}.mp4",
        )  # fmt: skip


def one_graph(video: Path, index: VideoIndex, clips: pd.DataFrame, out: Path) -> None:
    heads = "".join(f"[s{k}]" for k in range(len(clips)))
    graph = [f"[0:v]split={len(clips)}{heads}"]
    files: list[object] = []
    for k, c in enumerate(clips.itertuples()):
        graph.append(
            f"[s{k}]trim=start_frame={c.start}:end_frame={c.end},setpts=PTS-STARTPTS,"
            f"crop={c.width}:{c.height}:{c.x[0]}:{c.y[0]}[c{k}]"
        )
        files += ["-map", f"[c{k}]", *LOSSLESS, out / f"{c.clip_id}.mp4"]
    end = clips["end"].max() / FPS
    ffmpeg(
        "-threads", 1, "-t", end, "-i", video, "-filter_threads", 1, "-filter_complex_threads", 1,
        "-filter_complex", ";".join(graph), *files,
    )  # fmt: skip


def opencv(video: Path, index: VideoIndex, clips: pd.DataFrame, out: Path) -> None:
    cv2.setNumThreads(1)
    capture = cv2.VideoCapture(str(video))
    fourcc = cv2.VideoWriter.fourcc(*"mp4v")
    waiting = sorted(clips.itertuples(), key=lambda c: -c.start)
    writers: list[tuple[object, cv2.VideoWriter]] = []
    number = 0
    while waiting or writers:
        found, frame = capture.read()
        if not found:
            break
        while waiting and waiting[-1].start == number:
            c = waiting.pop()
            file = str(out / f"{c.clip_id}.mp4")
            writers.append((c, cv2.VideoWriter(file, fourcc, FPS, (c.width, c.height))))
        for c, writer in writers:
            x, y = c.x[number - c.start], c.y[number - c.start]  # type: ignore[attr-defined]
            writer.write(frame[y : y + c.height, x : x + c.width])  # type: ignore[attr-defined]
        number += 1
        for c, writer in writers:
            if c.end == number:  # type: ignore[attr-defined]
                writer.release()
        writers = [(c, w) for c, w in writers if c.end > number]  # type: ignore[attr-defined]


def floor(video: Path, index: VideoIndex, clips: pd.DataFrame, out: Path) -> None:
    """Only from each needed sync picture to the last frame that is needed after it."""
    frames = needed_frames(index.n_frames, clips["start"], clips["end"])
    for run in decoding_runs(index, frames):
        shown = index.frame[run.first : run.last + 1]
        first, last = int(shown.min()), int(shown.max())
        ffmpeg(
            "-threads", 1, "-ss", first / FPS, "-i", video, "-frames:v", last - first + 1,
            "-map", "0:v", "-f", "null", "-",
        )  # fmt: skip


def pyav(video: Path, index: VideoIndex, clips: pd.DataFrame, out: Path) -> None:
    """What (a) decodes, and no more: the same packets through the same reader."""
    frames = needed_frames(index.n_frames, clips["start"], clips["end"])
    with PacketReader(video, index) as packets:
        for run in decoding_runs(index, frames):
            for place, packet in packets.read(run.first, run.last):
                if not run.skip[place - run.first]:
                    packets.codec.decode(packet)
            packets.codec.decode(None)
            packets.codec.flush_buffers()


Side = Callable[[Path, VideoIndex, pd.DataFrame, Path], None]
SIDES: dict[str, Side] = {
    "(a) ours": ours,
    "(b) one ffmpeg a clip": one_ffmpeg_a_clip,
    "(c) one ffmpeg graph": one_graph,
    "(d) OpenCV": opencv,
    "(e) PyAV: decode only": pyav,
    "(f) floor: decode only": floor,
}


def cpu() -> float:
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, who))


def timed(side: Side, *arguments: object) -> tuple[float, float]:
    """Wall and CPU seconds of one run into a fresh folder."""
    with tempfile.TemporaryDirectory() as folder:
        wall, busy = time.perf_counter(), cpu()
        side(*arguments, Path(folder))  # type: ignore[arg-type]
        return time.perf_counter() - wall, cpu() - busy


def cpu_of(work: Callable[..., object], *arguments: object, runs: int) -> float:
    """The median of CPU seconds."""
    found = []
    for _ in range(runs):
        began = cpu()
        work(*arguments)
        found.append(cpu() - began)
    return statistics.median(found)


def demux(video: Path) -> None:
    with av.open(str(video)) as container:
        for _ in container.demux(video=0):
            pass


def counted(video: Path, index: VideoIndex, frames: Ints) -> None:
    """The frames that verify compares, found by counting what the program shows."""
    for _ in decoded_frames(video, index, frames):
        pass


def by_time(video: Path, index: VideoIndex, frames: Ints) -> None:
    """The same frames, found by the times that the index gives for them."""
    edges = np.flatnonzero(np.diff(frames) > 64)
    half = 1 / FPS / 2
    wanted = "+".join(
        f"between(t,{a / FPS - half},{b / FPS + half})"
        for a, b in zip(frames[np.r_[0, edges + 1]], frames[np.r_[edges, -1]], strict=True)
    )
    command = [program(), "-v", "error", "-nostdin", "-threads", "1", "-copyts", "-i", str(video)]
    command += ["-vf", f"select='{wanted}'", "-fps_mode", "passthrough", "-c:v", "rawvideo"]
    with subprocess.Popen([*command, "-f", "nut", "-"], stdout=subprocess.PIPE) as process:
        found: Any = av.open(process.stdout, format="nut")  # type: ignore[arg-type]
        for packet in found.demux(video=0):
            bytes(packet)


def compare(name: str, video: Path, clips: pd.DataFrame, runs: int) -> None:
    index = index_video(video)
    times: dict[str, list[tuple[float, float]]] = {side: [] for side in SIDES}
    for turn in range(runs):
        for label, side in SIDES.items():
            if turn >= 1 and times[label][0][0] > 60:
                continue  # a side that takes minutes is run once
            times[label].append(timed(side, video, index, clips))
    wall = {k: statistics.median(w for w, _ in v) for k, v in times.items()}
    busy = {k: statistics.median(b for _, b in v) for k, v in times.items()}
    first, second, *_, base = SIDES
    print(f"\n{name}: {len(clips)} clips, {index.n_frames} frames")
    print(f"  {'':24}  wall s  x floor   CPU s  x floor  runs")
    for k in SIDES:
        print(
            f"  {k:24}{wall[k]:8.2f}{wall[k] / wall[base]:9.2f}{busy[k]:8.2f}"
            f"{busy[k] / busy[base]:9.2f}{len(times[k]):6}"
        )
    print(f"  ours is {wall[second] / wall[first]:.1f} times as fast as one ffmpeg a clip")
    parts(video, index, clips, busy[base])
    frames = needed_frames(index.n_frames, clips["start"], clips["end"])
    beside("indexing", index_video, "demuxing alone", demux, runs, video)
    beside("verify's frames by its own count", counted, "by the index", by_time, runs,
           video, index, frames)  # fmt: skip


def parts(video: Path, index: VideoIndex, clips: pd.DataFrame, base: float) -> None:
    """Where our time goes, in CPU seconds and as shares of the floor."""
    profile, began = Profile(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        ours(video, index, clips, Path(folder), profile)
    found = {k: getattr(profile, k) for k in ("decode", "crop", "measure", "encode", "write")}
    found["else"] = time.process_time() - began - sum(found.values())
    print("  our time: " + ", ".join(f"{k} {v:.2f} s ({v / base:.2f})" for k, v in found.items()))


def beside(
    what: str,
    work: Callable[..., object],
    than: str,
    other: Callable[..., object],
    runs: int,
    *given: object,
) -> None:
    here, there = (cpu_of(one, *given, runs=runs) for one in (work, other))
    print(f"  {what} {here:.2f} s, {than} {there:.2f} s: {here / there:.2f}")


def start_up() -> None:
    began = time.perf_counter()
    ffmpeg("-f", "lavfi", "-i", "color=size=16x16:duration=0.01", "-f", "null", "-")
    program_starts = time.perf_counter() - began
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import tinyvirat_build.video.cutter"], check=True)
    print(
        f"start-up: the ffmpeg program {program_starts:.2f} s, "
        f"a worker of ours {time.perf_counter() - began:.2f} s"
    )


def peak_memory() -> float:
    """This process's own peak in MiB.

    On Linux not getrusage's: ru_maxrss survives exec, so a child starts with its parent's.
    """
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        assert found
        return int(found[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1024)


def _worker(video: Path, clips: pd.DataFrame, barrier: object, results: object) -> None:
    index = index_video(video)
    with tempfile.TemporaryDirectory() as warm:
        ours(video, index, clips[:1], Path(warm))
    barrier.wait()  # type: ignore[attr-defined]
    wall, _ = timed(ours, video, index, clips)
    results.put((wall, peak_memory()))  # type: ignore[attr-defined]


def in_workers(jobs: Sequence[tuple[Path, pd.DataFrame]]) -> tuple[float, float]:
    """The longest wall time of workers that begin together, and the highest peak in MiB."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(len(jobs)), context.Queue()
    workers = [context.Process(target=_worker, args=(*j, barrier, results)) for j in jobs]
    for w in workers:
        w.start()
    answers = [results.get() for _ in workers]
    for w in workers:
        w.join()
    return max(a[0] for a in answers), max(a[1] for a in answers)


def decoders(videos: Sequence[Path]) -> float:
    command = [program(), "-v", "error", "-nostdin", "-threads", "1", "-i"]
    began = time.perf_counter()
    running = [subprocess.Popen([*command, str(v), "-f", "null", "-"]) for v in videos]
    for process in running:
        process.wait()
    return time.perf_counter() - began


def two_workers(video: Path, folder: Path, clips: pd.DataFrame, runs: int) -> None:
    other = folder / "copy.mp4"
    shutil.copy(video, other)
    gains, peers = [], []
    for _ in range(runs):
        one, two = in_workers([(video, clips)])[0], in_workers([(video, clips), (other, clips)])[0]
        gains.append(2 * one / two)
        peers.append(2 * decoders([video]) / decoders([video, other]))
    ours_gain, peer_gain = statistics.median(gains), statistics.median(peers)
    print(
        f"\ntwo workers on two videos: {ours_gain:.2f} times one worker; two ffmpeg decoders "
        f"{peer_gain:.2f} times one; ratio {ours_gain / peer_gain:.2f}"
    )


def memory(cases: dict[str, tuple[Path, pd.DataFrame]]) -> None:
    peaks = {name: in_workers([case])[1] for name, case in cases.items()}
    print("peak memory: " + ", ".join(f"{k} {v:.0f} MiB" for k, v in peaks.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description="Cutting against its peers.")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--gop", type=int, default=250, help="frames between keyframes")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "bench-cut")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "threads;1"
    short, long = sources(options.folder, options.gop)
    rng = np.random.default_rng(0)
    many = clips_at(np.sort(rng.integers(0, 60 * FPS - 150, 60)).tolist(), seed=1)
    bursts = [*rng.integers(1800, 1950, 5), *rng.integers(6000, 6150, 5)]
    few = clips_at([int(s) for s in bursts], seed=2)
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if cores:
        os.sched_setaffinity(0, {min(cores)})
    start_up()
    with tempfile.TemporaryDirectory() as warm:
        ours(short, index_video(short), many[:1], Path(warm))
    compare("60 s, 60 clips", short, many, options.runs)
    compare("5 minutes, two bursts", long, few, options.runs)
    if cores:
        os.sched_setaffinity(0, cores)
    two_workers(short, options.folder, many, options.runs)
    memory({
        "60 s, 3 clips": (short, many[::20]),
        "60 s, 60 clips": (short, many),
        "5 minutes, 10 clips": (long, few),
    })  # fmt: skip


if __name__ == "__main__":
    main()
