"""The runner's step against a bare loop over the same model and data.

    .venv/bin/python bench/train.py [--model resnet3d10-narrow] [--steps 12] [--rounds 5]

Both loops take the very same batches from memory, so that nothing but the runner's own work
(meter, schedule, seeds, progress bar, data protocol) is between them. Rounds alternate, after one
that warms up; medians and their ratio are printed, of wall time and of the process's CPU time,
which other work on the machine disturbs less. Where CUDA exists a second section does the same on
the GPU, in bf16 and channels last, and prints share of waiting and model FLOP utilisation
against the device's measured matrix product too; ``--gpu`` runs this section alone.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from tinyvirat_build.train import fit as runner
from tinyvirat_build.train import models, runs, settings
from tinyvirat_build.train.losses import binary_cross_entropy

CLASSES = tuple(f"class{i}" for i in range(26))


class Memory:
    """The same random batches in every epoch, without any loading."""

    def __init__(self, arch: models.Architecture, batch: int, steps: int, device: str) -> None:
        torch.manual_seed(0)
        shape = (batch, 3, arch.frames, arch.size, arch.size)
        layout = torch.channels_last_3d if device == "cuda" else torch.contiguous_format
        dtype = torch.bfloat16 if device == "cuda" else torch.float32
        self.device = device
        self.batches = [
            (
                torch.randn(shape, device=device).to(dtype, memory_format=layout),
                torch.randint(0, 2, (batch, len(CLASSES)), device=device).float(),
                [f"{i:05d}" for i in range(batch)],
            )
            for _ in range(2)
        ]
        self.steps = steps
        self.began = self.ended = (0.0, 0.0)

    def __iter__(self) -> Iterator[tuple[Any, Any, list[str]]]:
        self.began = now()
        for i in range(self.steps):
            yield self.batches[i % 2]

    def __len__(self) -> int:
        return self.steps

    def set_epoch(self, epoch: int) -> None:
        """The end of an epoch, before its checkpoint: a bare loop writes none."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        self.ended = now()

    def step_time(self) -> tuple[float, float]:
        """Wall and CPU seconds a step."""
        wall, work = (b - a for a, b in zip(self.began, self.ended, strict=True))
        return wall / self.steps, work / self.steps

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        return


def now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def chosen(model: str, batch: int, *overrides: str) -> settings.TrainSettings:
    base = [f"model={model}", "epochs=1", f"data.batch={batch}", "schedule.milestones=[]"]
    return settings.load("paper", overrides=[*base, *overrides])


def bare(model: str, memory: Memory) -> tuple[float, float]:
    torch.manual_seed(0)
    net, cuda = models.build(model, len(CLASSES)).to(memory.device).train(), memory.device == "cuda"
    if cuda:
        net.to(memory_format=torch.channels_last_3d)
        torch.backends.cudnn.benchmark = True
    optimizer = torch.optim.Adam(net.parameters(), 1e-3, fused=cuda)
    for clips, labels, _ in memory:
        with torch.autocast(memory.device, torch.bfloat16, enabled=cuda):
            logits = net(clips)
        loss = binary_cross_entropy(logits, labels).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    memory.set_epoch(1)
    return memory.step_time()


def ours(model: str, memory: Memory, batch: int) -> tuple[tuple[float, float], float]:
    """Seconds a step, and the share of them that it waited for data."""
    torch.manual_seed(0)
    net = models.build(model, len(CLASSES))
    options = ("precision=bf16", "channels_last=true") if memory.device == "cuda" else ()
    with tempfile.TemporaryDirectory() as out:
        runner.fit(
            net,
            memory,
            None,
            chosen(model, batch, *options),
            Path(out),
            classes=CLASSES,
            device=torch.device(memory.device),
        )
        waiting = float(runs.read_log(Path(out))[-1]["waiting"])
    return memory.step_time(), waiting


def compare(model: str, batch: int, steps: int, rounds: int, device: str) -> tuple[float, float]:
    """Print both loops' times; the runner's median seconds a step, and its share of waiting."""
    memory = Memory(models.architecture(model), batch, steps, device)
    times: dict[str, list[tuple[float, float]]] = {"bare loop": [], "runner": []}
    waits = []
    for round_ in range(rounds + 1):
        one, (other, waiting) = bare(model, memory), ours(model, memory, batch)
        if round_:
            times["bare loop"].append(one)
            times["runner"].append(other)
            waits.append(waiting)
    where = f"CPU, {torch.get_num_threads()} threads"
    if device == "cuda":
        where = f"GPU, {torch.cuda.get_device_name()}, bf16"
    print(f"{where}: {model}, batch {batch}, {steps} steps, {rounds} rounds")
    for kind, what in enumerate(("wall", "CPU")):
        of = {name: [v[kind] for v in values] for name, values in times.items()}
        for name, values in of.items():
            print(
                f"  {what:4} {name:10} {1000 * statistics.median(values):8.1f} ms a step (median)"
            )
        ratios = [b / a for a, b in zip(of["bare loop"], of["runner"], strict=True)]
        print(f"  {what:4} runner / bare loop {statistics.median(ratios):.3f} (median of rounds)")
    return statistics.median(wall for wall, _ in times["runner"]), statistics.median(waits)


def matrix_peak() -> float:
    """FLOP a second of a large bf16 matrix product on this GPU."""
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    for _ in range(3):
        a @ a
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(20):
        a @ a
    torch.cuda.synchronize()
    return 20 * 2 * 8192**3 / (time.perf_counter() - began)


def cuda(model: str, batch: int, steps: int, rounds: int) -> None:
    arch = models.architecture(model)
    net = models.build(model, len(CLASSES))
    with FlopCounterMode(display=False) as counter:
        net(torch.randn(1, 3, arch.frames, arch.size, arch.size))
    flop = 3 * counter.get_total_flops() * batch  # backward costs twice the forward
    step, waiting = compare(model, batch, steps, rounds, "cuda")
    print(f"  {waiting:.1%} of the time waiting for data")
    print(f"  model FLOP utilisation {flop / step / matrix_peak():.1%} of a matrix product's")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet3d10-narrow")
    parser.add_argument("--gpu-model", default="r2plus1d18")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gpu", action="store_true", help="the section on the GPU alone")
    args = parser.parse_args()
    if not args.gpu:
        compare(args.model, args.batch, args.steps, args.rounds, "cpu")
    if torch.cuda.is_available():
        cuda(args.gpu_model, 64, 40, 3)
    else:
        print("GPU: no CUDA here, section left out")


if __name__ == "__main__":
    main()
