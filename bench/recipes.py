"""What four of the winners' means are worth on the demo corpus, against one shared baseline.

    make demo
    python bench/recipes.py [--build demo] [--out recipes] [--seeds 3] [--epochs 12]

Each recipe is the preset ``demo`` (``resnet3d10-narrow`` at 8×56²) with its own settings, trained
with every seed and scored on the test groups, which training never saw. Distillation learns from
the baseline of its own seed. Printed are mean and spread (standard deviation over the seeds) of
F1 over the classes that are there, at 0.5 and at the one threshold that is best on val, and of the
difference to the baseline, seed by seed. A run that is finished is not made again, and one that was
stopped goes on, so that the same command may be given until all is there. A run has one core, where
threads of PyTorch that share two take longer together. Some 35 minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

import torch

from tinyvirat_build.scoring import evaluate, metrics
from tinyvirat_build.store import write_json
from tinyvirat_build.train import fit, runs, settings

BASE: Final = "baseline"
RECIPES: Final[dict[str, tuple[str, ...]]] = {
    BASE: (),
    "asymmetric loss": ("loss.name=asymmetric",),
    "balanced sampler": ("data.sampler=balanced",),
    "EMA": ("ema=0.99",),
    "distillation": ("distil.weight=0.5", "distil.temperature=2"),
}
COLUMNS: Final = {"f1": "F1 at 0.5", "f1_val": "F1 at val's threshold", "map": "mAP"}


def result(build: Path, out: Path, epochs: int, seed: int, name: str) -> dict[str, float]:
    """The test numbers of a recipe with a seed; trained and scored unless that is done."""
    torch.set_num_threads(1)
    folder = out / f"{name.replace(' ', '-')}-{epochs}-epochs-seed-{seed}"
    file = folder / "result.json"
    if file.is_file():
        found: dict[str, float] = json.loads(file.read_text())
        return found
    teacher = [out / f"{BASE}-{epochs}-epochs-seed-{seed}"] if name == "distillation" else []
    own = [f"epochs={epochs}", f"eval_every={epochs}", f"seed={seed}"]
    own += ["schedule.warmup=0"] if epochs == 1 else []  # which is shorter than the epochs
    chosen = settings.load("demo", [*own, *RECIPES[name]])
    began = time.process_time()
    fit.train(chosen, build, folder, device="cpu", teacher=teacher)
    scored = evaluate.evaluate([runs.open_run(folder)], build, thresholds="val", device="cpu")
    at_half = metrics.score(scored.clips.labels, scored.clips.scores >= 0.5)
    found = {
        "f1": at_half.macro("present").f1,
        "f1_val": scored.scores.macro("present").f1,
        "map": scored.mean_average_precision,
        "seconds": time.process_time() - began,
    }
    write_json(file, found, indent=1)
    print(f"seed {seed}, {name}: F1 {found['f1']:.3f}", flush=True)
    return found


def spread(values: Sequence[float], sign: str = "") -> str:
    """Mean and standard deviation of values, the latter where there are several."""
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{sign}.3f}{deviation}"


def table(found: dict[str, list[dict[str, float]]]) -> str:
    """A row a recipe: each number, and its difference to the baseline, over the seeds."""
    heads = [h for name in COLUMNS.values() for h in (name, "to baseline")]
    lines = [
        "| recipe | " + " | ".join(heads) + " | CPU s a run |",
        "|---" * (len(heads) + 2) + "|",
    ]
    for name, rows in found.items():
        cells = []
        for key in COLUMNS:
            values = [row[key] for row in rows]
            base = [row[key] for row in found[BASE]]
            gains = [v - b for v, b in zip(values, base, strict=True)]
            cells += [spread(values), "" if name == BASE else spread(gains, "+")]
        seconds = statistics.mean(row["seconds"] for row in rows)
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {seconds:.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=Path("demo"), help="of `make demo`")
    parser.add_argument("--out", type=Path, default=Path("recipes"), help="where the runs are kept")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time")
    args = parser.parse_args()
    seeds = range(args.seeds)
    run = partial(result, args.build, args.out, args.epochs)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.jobs, context) as pool:
        teachers = [pool.submit(run, seed, BASE) for seed in seeds]
        for teacher in teachers:
            teacher.result()
        runs_of = {name: [pool.submit(run, seed, name) for seed in seeds] for name in RECIPES}
        found = {name: [one.result() for one in own] for name, own in runs_of.items()}
    print(f"\n{args.epochs} epochs, {args.seeds} seeds, test groups of {args.build}\n")
    print(table(found))


if __name__ == "__main__":
    main()
