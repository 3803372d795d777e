"""The demo's baseline learns what can be seen, and nothing where the labels are shuffled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import tinyvirat_build  # noqa: E402
from tinyvirat_build.loader.ranks import Ranks  # noqa: E402
from tinyvirat_build.pack.read import Pack, open_pack  # noqa: E402
from tinyvirat_build.scoring import evaluate, metrics  # noqa: E402
from tinyvirat_build.scoring.inference import score_clips  # noqa: E402
from tinyvirat_build.train import fit, models, runs, settings  # noqa: E402
from tinyvirat_build.train.data import dense_loader, make_loaders  # noqa: E402

pytestmark = pytest.mark.slow
SEEDS = range(5)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo")
    tinyvirat_build.build("demo", out)
    return out


def test_the_baseline_learns_held_out_groups(demo: Path, tmp_path: Path) -> None:
    fit.train(settings.load("demo"), demo, tmp_path / "run", device="cpu", progress=False)
    found = evaluate.evaluate([runs.open_run(tmp_path / "run")], demo, device="cpu")
    assert found.scores.macro("present").f1 >= 0.80


def trained_on_shuffled_labels(build: Path, out: Path, seed: int) -> np.ndarray:
    """Scores of the test clips after all epochs on a sixth of the clips, with others' labels."""
    chosen = settings.load("demo", overrides=[f"seed={seed}"])
    pack: Pack = open_pack(build)
    train = pack.of_split("train")
    shuffled = np.random.default_rng(seed).permutation(train)
    pack.labels[train] = pack.labels[shuffled]
    pack.split[shuffled[len(train) // 6 :]] = "none"
    device = torch.device("cpu")
    train_loader, _ = make_loaders(chosen, pack, device, Ranks())
    torch.manual_seed(seed)
    model = models.build(chosen.model, len(pack.classes))
    fit.fit(
        model, train_loader, None, chosen, out, classes=pack.classes, device=device, progress=False
    )
    return score_clips(
        model, dense_loader(chosen, pack, "test", device), pack.classes, device=device
    ).scores


@pytest.mark.timeout(3600)
def test_shuffled_labels_teach_nothing(demo: Path, tmp_path: Path) -> None:
    """As often as in training each class is said, and hit no more often than by guessing so."""
    pack = open_pack(demo)
    truth = pack.labels[pack.of_split("test")] > 0
    often = pack.labels[pack.of_split("train")].mean(axis=0)
    rng = np.random.default_rng(0)
    guesses = [
        metrics.score(truth, rng.random(truth.shape) < often).macro("present").f1
        for _ in range(500)
    ]
    reached = []
    for seed in SEEDS:
        scores = trained_on_shuffled_labels(demo, tmp_path / str(seed), seed)
        cut = [np.quantile(scores[:, c], 1 - often[c]) for c in range(len(often))]
        said = (scores > cut) & (often > 0)
        reached.append(metrics.score(truth, said).macro("present").f1)
    print(
        f"guessing {np.mean(guesses):.3f} ± {np.std(guesses):.3f}, shuffled {np.round(reached, 3)}"
    )
    assert abs(np.mean(reached) - np.mean(guesses)) <= 3 * np.std(reached, ddof=1)
