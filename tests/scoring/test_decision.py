"""Calibration against scikit-learn's, and decisions that are chosen on val alone and kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import f1_score, log_loss

pytest.importorskip("torch")

from loader.synthetic import Shape, make_pack

from tinyvirat_build.cli import main
from tinyvirat_build.errors import TrainError
from tinyvirat_build.pack.read import Pack, open_pack
from tinyvirat_build.scoring import calibration, decision, evaluate, metrics
from tinyvirat_build.scoring.ensemble import Ensemble
from tinyvirat_build.scoring.inference import ClipScores


def drawn(clips: int = 300, seed: int = 0) -> tuple[Any, Any]:
    """Truth (N, 4) and scores (N, 4) that are too sure, each class otherwise; the last: no clip."""
    rng = np.random.default_rng(seed)
    logits = rng.normal([-1, 0, -2, -3], 2, (clips, 4))
    truth = rng.random((clips, 4)) < expit(logits * [0.3, 0.5, 0.8, 1] + [0.5, 0, -0.5, 0])
    truth[:, 3] = False
    return truth, expit(logits.astype(np.float32)).astype(float)


class Logits(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier whose decision is its only input; for scikit-learn to calibrate."""

    def fit(self, x: Any, y: Any) -> Logits:
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, x: Any) -> Any:
        return x[:, 0]

    def predict(self, x: Any) -> Any:
        return x[:, 0] > 0


def theirs(method: str, truth: Any, logits: Any) -> Any:
    """Calibrated probabilities (N,) of truth (N,) and logits (N,)."""
    model = CalibratedClassifierCV(FrozenEstimator(Logits().fit(logits, truth)), method=method)
    return model.fit(logits[:, None], truth).predict_proba(logits[:, None])[:, 1]


def test_platt_is_that_of_scikit_learn() -> None:
    truth, scores = drawn()
    ours = calibration.fit("platt", truth, scores)(scores)
    logits = np.log(scores / (1 - scores))
    for c in range(3):
        np.testing.assert_allclose(
            ours[:, c], theirs("sigmoid", truth[:, c], logits[:, c]), atol=1e-4
        )
    np.testing.assert_array_equal(ours[:, 3], scores[:, 3])


def test_the_temperature_has_the_least_log_loss() -> None:
    truth, scores = drawn()
    found = calibration.fit("temperature", truth, scores)
    assert np.unique(found.scale).size == 1
    logits = np.log(scores / (1 - scores))
    tried = [
        log_loss(truth.ravel(), expit(found.scale[0] * f * logits).ravel())
        for f in np.linspace(0.9, 1.1, 21)
    ]
    assert np.argmin(tried) == 10
    assert calibration.log_loss(truth, found(scores)) == pytest.approx(tried[10], rel=1e-5)
    assert tried[10] < log_loss(truth.ravel(), scores.ravel())


def test_scores_that_are_never_wrong_are_calibrated_in_bounds() -> None:
    truth = np.array([[True], [False]] * 5)
    for method in ("temperature", "platt"):
        found = calibration.fit(method, truth, truth * 0.8 + 0.1)
        assert 0 < found.scale[0] < 20.001
    backwards = calibration.fit("platt", truth, truth * -0.8 + 0.9)
    assert (backwards.scale[0], backwards.offset[0]) == (1, 0)


class Said:
    """Gives scores by the pack's rows: right ones, made too sure and shifted."""

    architecture = "none"

    def __init__(self, seed: int = 0, name: str = "said") -> None:
        self.seed, self.name = seed, name

    def origin(self) -> dict[str, Any]:
        return {"folder": "anywhere", "checkpoint": "best.pt", "epoch": self.seed}

    def scores(self, pack: Pack, split: str, **_: Any) -> ClipScores:
        rows = pack.of_split(split)
        rng = np.random.default_rng(self.seed)
        truth = pack.labels[rows] > 0
        scores = expit(truth * 2 - 3 + rng.normal(0, 1, truth.shape))
        return ClipScores(tuple(pack.id[rows].tolist()), scores, truth)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("build")
    rng = np.random.default_rng(0)
    shapes = [
        Shape(3, 8, 8, split=split, labels=tuple({int(rng.integers(3)), int(rng.integers(3))}))
        for split, count in (("train", 2), ("val", 30), ("test", 30))
        for _ in range(count)
    ]
    make_pack(folder / "pack", shapes)
    return folder


def test_thresholds_are_the_best_for_each_class_on_calibrated_scores(build: Path) -> None:
    pack = open_pack(build)
    found = decision.decide(Ensemble([Said()]), pack, "per-class", "platt")
    val = Said().scores(pack, "val")
    scores = found.calibration(val.scores)
    for c in range(len(pack.classes)):
        best = max(
            f1_score(val.labels[:, c], scores[:, c] >= t, zero_division=0) for t in scores[:, c]
        )
        ours = f1_score(val.labels[:, c], found.said(scores)[:, c], zero_division=0)
        assert ours == pytest.approx(best)


def test_a_decision_comes_back_as_it_was_and_decides_the_same(build: Path, tmp_path: Path) -> None:
    pack, ensemble = open_pack(build), Ensemble([Said(), Said(1, "other")], (3, 1))
    chosen = decision.decide(ensemble, pack, "per-class", "platt")
    decision.write(chosen, tmp_path / "decision.json")
    again = decision.read(tmp_path)
    assert again.about == chosen.about
    assert again.about["split"] == "val"
    weights = (6, 2)  # the same shares
    found = evaluate.evaluate(ensemble.runs, build, weights=weights, decision=again)
    parts = [Said(seed).scores(pack, "test") for seed in (0, 1)]
    mean = 0.75 * parts[0].scores + 0.25 * parts[1].scores
    np.testing.assert_allclose(found.clips.scores, chosen.calibration(mean), atol=1e-12)
    said = chosen.calibration(mean) >= chosen.thresholds
    np.testing.assert_array_equal(found.scores.f1, metrics.score(parts[0].labels, said).f1)
    assert (found.how["chosen_on"], found.how["weights"]) == ("val", [0.75, 0.25])


def test_a_decision_for_others_is_refused(build: Path, tmp_path: Path) -> None:
    pack = open_pack(build)
    chosen = decision.decide(Ensemble([Said()]), pack, "val", "temperature")
    for other, what in (
        (Ensemble([Said(1)]), "runs"),
        (Ensemble([Said()], flips=True), "flips"),
        (Ensemble([Said(), Said()]), "runs"),
    ):
        with pytest.raises(TrainError, match=f"chosen for other .*{what}"):
            chosen.check(other, pack)
    with pytest.raises(TrainError, match="thresholds already"):
        evaluate.evaluate([Said()], build, thresholds="val", decision=chosen)


def test_nothing_is_chosen_on_test(build: Path, tmp_path: Path) -> None:
    pack = open_pack(build)
    with pytest.raises(TrainError, match="nothing is chosen on test"):
        decision.decide(Ensemble([Said()]), pack, "val", split="test")
    decision.write(decision.decide(Ensemble([Said()]), pack, "val"), tmp_path / "decision.json")
    for key, value, says in (
        ("split", "test", "chosen on test, not on val"),
        ("classes", {"a": {"scale": 1}}, "not a decision"),
        ("classes", [], "not a decision"),
        ("format", 9, "not a decision"),
    ):
        tree = json.loads((tmp_path / "decision.json").read_text())
        (tmp_path / "other.json").write_text(json.dumps({**tree, key: value}))
        with pytest.raises(TrainError, match=says):
            decision.read(tmp_path / "other.json")
    with pytest.raises(TrainError, match="cannot be read"):
        decision.read(tmp_path / "absent.json")


@pytest.mark.parametrize("weights", [(1,), (1, 0), (1, float("nan")), (1, -1)])
def test_weights_that_cannot_be_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(TrainError, match="weight"):
        Ensemble([Said(), Said()], weights)


def test_the_command_refuses_test(tmp_path: Path, build: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"classes": ["a"]}))
    (tmp_path / "settings.yaml").write_text("preset: demo\n")
    arguments = ["calibrate", "--run", str(tmp_path), "--build", str(build), "--split", "test"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "nothing is chosen on test" in result.output
