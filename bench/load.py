"""How fast clips reach a network: the loader against decoding each clip when it is asked for.

    python bench/load.py                 # about three minutes, one core
    python bench/load.py --clips 60 --rounds 1

Makes its own clips (moving textures of 14 to 128 pixels, 16 to 100 frames, 30 fps), as lossless
H.264 and as mpeg4, packs them, and gives the same clips as 16×112×112 float32, normalised, by

    pack      ClipLoader over the pack, with every augmentation on, and without any
    opencv    decode and resize in a DataLoader, the way of the challenge's public loader: every
              frame of the clip is read, sixteen are kept and resized; no augmentation
    torchcodec, pyav    TinyVideoDataset in a DataLoader, no augmentation

Everything in one process on one core; clips per second of the process's own time (what it is on
an otherwise idle core), medians over rounds. Then: raw uint8 samples handed over
without transform; the fused step on three engines; time to the first batch of 26,000 clips; the
bytes that a batch moves to the device, and what they mean on an H100. With CUDA: the loader and
loader plus model on the device, by events.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from tinyvirat_build.loader import fused_cpu, video_dataset
from tinyvirat_build.loader.augment import IMAGENET_MEAN, IMAGENET_STD, Augment
from tinyvirat_build.loader.batches import Plan
from tinyvirat_build.loader.loader import ClipLoader
from tinyvirat_build.pack.from_tree import pack_tree
from tinyvirat_build.pack.read import INDEX
from tinyvirat_build.pack.write import write_index
from tinyvirat_build.store import hash_file
from tinyvirat_build.train.models import NAMES

FRAMES, SIZE, BATCH = 16, 112, 32
CODECS = {
    "h264 lossless": ("libx264", {"qp": "0", "preset": "ultrafast", "threads": "1"}),
    "mpeg4": ("mpeg4", {"qscale": "3", "threads": "1"}),
}
LABELS = ["Opening", "activity_walking", "Riding", "Talking"]


def texture(rng: np.random.Generator, frames: int, side: int) -> Iterator[av.VideoFrame]:
    """A smooth random picture that drifts, with sensor noise."""
    small = rng.normal(128, 45, (side // 6 + 4, side // 6 + 4, 3)).astype(np.float32)
    picture = cv2.resize(small, (side + 110, side + 110), interpolation=cv2.INTER_CUBIC)
    step = rng.uniform(-0.5, 0.5, 2)
    for t in range(frames):
        y, x = (55 + step * t).astype(int)
        seen = picture[y : y + side, x : x + side] + rng.normal(0, 2, (side, side, 1))
        yield av.VideoFrame.from_ndarray(seen.clip(0, 255).astype(np.uint8), "rgb24")


def make_tree(root: Path, clips: int, codec: str, options: dict[str, str]) -> None:
    """A tree of v2's layout."""
    rng = np.random.default_rng(0)
    rows = []
    (root / "videos" / "train" / "v").mkdir(parents=True)
    for i in range(clips):
        side = int(np.clip(rng.normal(69, 25), 14, 128)) // 2 * 2
        frames = int(rng.integers(16, 101))
        path = f"v/{i:06d}.mp4"
        with av.open(str(root / "videos" / "train" / path), "w") as container:
            stream = container.add_stream(codec, rate=Fraction(30), options=options)
            stream.width = stream.height = side
            stream.pix_fmt = "yuv420p"
            for frame in texture(rng, frames, side):
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        row = {"id": f"{i:06d}", "video_id": "v", "path": path, "dim": [frames, side, side]}
        rows.append(row | {"label": [LABELS[i % len(LABELS)]]})
    (root / "tiny_train_v2.json").write_text(json.dumps(rows))


class OpenCvClips(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Reads every frame, keeps sixteen, resizes and normalises each."""

    def __init__(self, root: Path) -> None:
        self.root = root / "videos" / "train"
        self.rows = json.loads((root / "tiny_train_v2.json").read_text())
        self.mean = np.array(IMAGENET_MEAN, np.float32)
        self.std = np.array(IMAGENET_STD, np.float32)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: int) -> tuple[torch.Tensor, torch.Tensor]:
        capture = cv2.VideoCapture(str(self.root / self.rows[item]["path"]))
        pictures = []
        while True:
            there, picture = capture.read()
            if not there:
                break
            pictures.append(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        capture.release()
        start = (len(pictures) - FRAMES) // 2
        clip = np.empty((FRAMES, SIZE, SIZE, 3), np.float32)
        for t, picture in enumerate(pictures[start : start + FRAMES]):
            scaled = cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
            clip[t] = (scaled.astype(np.float32) / 255 - self.mean) / self.std
        return torch.from_numpy(clip.transpose(3, 0, 1, 2).copy()), torch.zeros(26)


def rate(
    make: Callable[[], Iterator[int]],
    rounds: int,
    clock: Callable[[], float] = time.process_time,
) -> float:
    """Median clips per second; ``make`` yields the clips of each batch."""
    rates = []
    for _ in range(rounds):
        began, clips = clock(), 0
        for count in make():
            clips += count
        rates.append(clips / (clock() - began))
    return statistics.median(rates)


def counted(loader: ClipLoader | DataLoader) -> Callable[[], Iterator[int]]:
    return lambda: (len(batch[0]) for batch in loader)


def compare(root: Path, pack: Path, rounds: int) -> dict[str, float]:
    """Clips per second by each way."""
    found = {}
    for name, augment in (("pack, augmented", Augment(mixup=0.2)), ("pack", None)):
        loader = ClipLoader(
            pack, "train", FRAMES, 1, SIZE, batch_size=BATCH, augment=augment, device="cpu"
        )
        rate(counted(loader), 1)
        found[name] = rate(counted(loader), 3 * rounds)
    found["opencv"] = rate(counted(DataLoader(OpenCvClips(root), BATCH)), rounds)
    for backend in ("torchcodec", "pyav"):
        why = video_dataset.torchcodec_error() if backend == "torchcodec" else ""
        if why:
            print(f"torchcodec does not load: {why}", file=sys.stderr)
            continue
        data = video_dataset.TinyVideoDataset(
            root, "train", FRAMES, 1, SIZE, temporal="center", backend=backend
        )
        found[backend] = rate(counted(DataLoader(data, BATCH)), rounds)
    return found


def raw_rate(pack: Path, rounds: int) -> float:
    """Clips per second of raw uint8 samples."""
    loader = ClipLoader(pack, "train", FRAMES, 1, SIZE, batch_size=BATCH, device="cpu")
    return rate(lambda: (len(b.ids) for b in loader.ragged()), 10 * rounds)


def engines(pack: Path, rounds: int) -> dict[str, float]:
    """Milliseconds a clip of the same step, without augmentation, by numba, OpenCV and torch."""
    loader = ClipLoader(pack, "train", FRAMES, 1, SIZE, batch_size=BATCH, device="cpu")
    plan = loader._plan(0, 0)
    addresses = loader._feed.frame_addresses(plan)
    out = np.empty((BATCH, 3, FRAMES, SIZE, SIZE), np.float32)
    low, high = loader._planner.low, loader._planner.high

    def by_numba() -> None:
        fused_cpu.fused(addresses, plan.geometry, plan.box, plan.flip, plan.matrix, low, high, out)

    ways = {
        "numba": by_numba,
        "opencv": lambda: by_opencv(loader, plan, out),
        "torch": lambda: by_torch(loader, plan),
    }
    found = {}
    for name, run in ways.items():
        run()
        times = []
        for _ in range(3 * rounds):
            began = time.process_time()
            run()
            times.append((time.process_time() - began) / BATCH * 1000)
        found[name] = statistics.median(times)
    return found


def by_opencv(loader: ClipLoader, plan: Plan, out: np.ndarray) -> None:
    """Planes scaled by OpenCV, converted by its matrix transform."""
    low, high = loader._planner.low, loader._planner.high
    for b, clip in enumerate(plan.clips):
        planes = loader.pack.planes(int(clip))
        for t, frame in enumerate(plan.frames[b]):
            scaled = [cv2.resize(p[frame], (SIZE, SIZE)) for p in planes]
            rgb = cv2.transform(cv2.merge(scaled).astype(np.float32), plan.matrix[b])
            for c in range(3):
                np.clip(rgb[..., c], low[c], high[c], out=out[b, c, t])


def by_torch(loader: ClipLoader, plan: Plan) -> list[torch.Tensor]:
    """Planes scaled by interpolate, converted by einsum."""
    low, high = (
        torch.from_numpy(v).view(3, 1, 1, 1) for v in (loader._planner.low, loader._planner.high)
    )
    clips = []
    for b, clip in enumerate(plan.clips):
        planes = loader.pack.planes(int(clip))
        scaled = [
            torch.nn.functional.interpolate(
                torch.from_numpy(p[plan.frames[b]]).float()[:, None],
                (SIZE, SIZE), mode="bilinear", antialias=True,
            )
            for p in planes
        ]  # fmt: skip
        matrix = torch.from_numpy(plan.matrix[b])
        rgb = torch.einsum("cd,tdhw->cthw", matrix[:, :3], torch.cat(scaled, 1))
        clips.append(torch.clamp(rgb + matrix[:, 3].view(3, 1, 1, 1), low, high))
    return clips


def first_batch(folder: Path) -> tuple[float, float]:
    """Seconds from the constructor to the first batch, 26,000 clips: wall, process's own.

    In a new process, after the imports, the compiled code cached on disk.
    """
    clips, side, frames = 26000, 70, 60
    size = frames * side * side * 3 // 2
    (folder / "shards").mkdir(parents=True)
    shards = []
    for shard in range(26):
        file = folder / "shards" / f"{shard:05d}.yuv"
        file.touch()
        os.truncate(file, 1000 * size)  # sparse: takes no room
        shards.append({"file": f"shards/{file.name}", "bytes": 1000 * size, "sha256": "0" * 64})
    number = np.arange(clips)
    same = {"split": "train", "video_id": "v", "matrix": "bt601", "range": "limited"}
    same |= {"fps": "30/1", "labels": [0], "frames": frames, "height": side, "width": side}
    same |= {"dy": 0, "dx": 0, "inner_height": side, "inner_width": side}
    columns = {name: [same[name]] * clips for name in INDEX.names if name in same}
    columns |= {"clip_id": [f"{i:016x}" for i in number], "id": [f"{i:06d}" for i in number]}
    columns |= {"shard": number // 1000, "offset": number % 1000 * size}
    write_index(folder, columns, shards, LABELS)
    assert hash_file(folder / "index.parquet")
    code = (
        "import time\nfrom tinyvirat_build.loader.loader import ClipLoader\n"
        "import tinyvirat_build.loader.fused_cpu\n"
        "began = time.perf_counter(), time.process_time()\n"
        f"next(iter(ClipLoader({str(folder)!r}, 'train', batch_size={BATCH}, device='cpu')))\n"
        "print(time.perf_counter() - began[0], time.process_time() - began[1])"
    )
    runs = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        runs.append(tuple(float(v) for v in done.stdout.split()))
    return min(runs)


def roofline(per_frame: float, tables: int) -> None:
    """What the loader asks of an H100, beside what each baseline's step asks.

    A step is 3 × the forward FLOPs at 40 % of 989 TFLOP/s in bfloat16, which is optimistic: it
    bounds from above what the loader must feed. Link: PCIe 5.0 ×16 at 55 GB/s; device memory
    3.35 TB/s, once to read the clip's YUV and once to write the batch.
    """
    print("\nH100 roofline, batch in bfloat16, µs a clip")
    print("  model             input        step    link   (share)  memory   (share)  clips/s")
    for name, made in sorted(NAMES.items()):
        with torch.device("meta"):
            model = made.make(26, 0.0)
            clip = torch.empty(1, 3, made.frames, made.size, made.size)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.eval()(clip)
        step = 3 * counter.get_total_flops() / (0.4 * 989e12)
        moved = made.frames * per_frame + tables
        link, memory = moved / 55e9, (moved + 2 * clip.numel()) / 3.35e12
        print(
            f"  {name:18}{made.frames}×{made.size}²{step * 1e6:9.0f}{link * 1e6:8.1f}"
            f"{link / step:9.1%}{memory * 1e6:8.2f}{memory / step:9.1%}{1 / step:10,.0f}"
        )


def device_rate(loader: ClipLoader) -> float:
    """Median clips per second over five epochs, each until its last batch is on the device."""

    def epoch() -> Iterator[int]:
        yield from counted(loader)()
        torch.cuda.synchronize()

    return rate(epoch, 5, time.perf_counter)


def on_cuda(pack: Path) -> None:
    """Loader alone, and loader with a model; share of the step spent waiting."""
    device = torch.device("cuda")
    for mode in ("stream", "resident"):
        loader = ClipLoader(
            pack, "train", FRAMES, 1, SIZE, batch_size=BATCH, device=device, mode=mode,
            augment=Augment(), dtype=torch.bfloat16, channels_last=True,
        )  # fmt: skip
        device_rate(loader)
        alone = device_rate(loader)
        model = NAMES["resnet3d18"].make(len(loader.classes), 0.0).to(device, torch.bfloat16)
        model = model.to(memory_format=torch.channels_last_3d)
        waits, steps = [], []
        for _ in range(5):
            batches = iter(loader)
            marks = []
            while True:
                asked, got = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                asked.record()
                batch = next(batches, None)
                got.record()
                marks.append((asked, got))
                if batch is None:
                    break
                model(batch[0]).float().sum().backward()
            torch.cuda.synchronize()
            for (asked, got), (end, _) in pairwise(marks):
                waits.append(asked.elapsed_time(got))
                steps.append(asked.elapsed_time(end))
        share = statistics.median(w / s for w, s in zip(waits, steps, strict=True))
        print(f"\nCUDA, {mode}: loader alone {alone:,.0f} clips/s; waiting {share:.1%} of a step")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gpu", action="store_true", help="the section on the device alone")
    options = parser.parse_args()
    if options.clips < BATCH:
        parser.error(f"--clips is {BATCH} or more: the loader's batches are of {BATCH}, and whole")
    if options.gpu:
        with tempfile.TemporaryDirectory() as folder:
            codec, encoding = CODECS["mpeg4"]  # what is packed is the same to the device
            make_tree(Path(folder) / codec, options.clips, codec, encoding)
            pack_tree(Path(folder) / codec, Path(folder) / "pack")
            on_cuda(Path(folder) / "pack")
        return
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        pack = Path(folder)
        for name, (codec, encoding) in CODECS.items():
            root = Path(folder) / codec
            make_tree(root, options.clips, codec, encoding)
            pack = root / "pack"
            report = pack_tree(root, pack)
            assert not report.faults
            found = compare(root, pack, options.rounds)
            print(f"\n{name}, {options.clips} clips      clips/s   against opencv")
            for way, value in found.items():
                print(f"  {way:20}{value:14,.0f}{value / found['opencv']:14.1f} ×")
        print(f"\nraw uint8 samples: {raw_rate(pack, options.rounds):,.0f} clips/s")
        print("the fused step, ms a clip:", end="")
        for name, value in engines(pack, options.rounds).items():
            print(f"   {name} {value:.2f}", end="")
        wall, own_time = first_batch(Path(folder) / "large")
        print(f"\nfirst batch of 26,000 clips: {wall:.2f} s, {own_time:.2f} s of them its own")
        loader = ClipLoader(pack, "train", FRAMES, 1, SIZE, batch_size=BATCH, device="cpu")
        own = np.mean([b.data.nbytes / len(b.ids) for b in loader.ragged()])
        table = FRAMES * 8 + 8 * 4 + 16 * 4 + len(loader.classes) * 4 + 2
        print(f"moved to the device a clip: {own:,.0f} of its own YUV + {table} of tables")
        roofline(float(own) / FRAMES, table)
        if torch.cuda.is_available():
            on_cuda(pack)
        else:
            print("\nno CUDA here: the section on the device did not run")


if __name__ == "__main__":
    main()
