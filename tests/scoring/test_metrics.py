"""The metric against counting by hand, thresholds against a search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sklearn_metrics = pytest.importorskip("sklearn.metrics")

from tinyvirat_build.scoring import metrics  # noqa: E402


def by_hand(truth: np.ndarray, said: np.ndarray) -> tuple[float, float, float]:
    """Precision, recall and F1 of one class, from sets of clips."""
    true, found = set(np.flatnonzero(truth)), set(np.flatnonzero(said))
    hits = len(true & found)
    return (
        hits / len(found) if found else 0,
        hits / len(true) if true else 0,
        2 * hits / (len(true) + len(found)) if true or found else 0,
    )


def average_by_hand(truth: np.ndarray, scores: np.ndarray) -> float:
    """The mean over a class's clips of the precision among all that score no less."""
    return float(np.mean([truth[scores >= own].mean() for own in scores[truth]]))


def random_case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth and scores with empty classes, empty clips, ties, in all sizes."""
    rng = np.random.default_rng(seed)
    n, c = int(rng.integers(1, 40)), int(rng.integers(1, 27))
    truth = rng.random((n, c)) < rng.random(c) * rng.choice([0, 0.2, 1], c)
    scores = rng.random((n, c))
    if seed % 3 == 0:
        scores = scores.round(1)  # ties
    if seed % 5 == 0:
        scores[:, rng.random(c) < 0.3] = 0  # classes that are never said
    return truth, scores


@pytest.mark.parametrize("seed", range(30))
def test_scores_are_those_of_counting(seed: int) -> None:
    truth, scores = random_case(seed)
    said = scores >= 0.5
    ours = metrics.score(truth, said)
    classes = np.array([by_hand(*pair) for pair in zip(truth.T, said.T, strict=True)])
    assert np.array_equal(np.c_[ours.precision, ours.recall, ours.f1], classes)
    assert ours.support.tolist() == truth.sum(axis=0).tolist()
    assert ours.predicted.tolist() == said.sum(axis=0).tolist()
    hits = (truth & said).sum(axis=0)
    assert np.array_equal(metrics.f1_of_counts(hits, ours.predicted, ours.support), ours.f1)
    assert ours.macro("all").f1 == pytest.approx(classes[:, 2].mean())
    present = truth.any(axis=0)
    expected = classes[present, 1].mean() if present.any() else 0
    assert ours.macro("present").recall == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(30))
def test_average_precision_is_that_of_counting(seed: int) -> None:
    truth, scores = random_case(seed)
    present = truth.any(axis=0)
    expected = [average_by_hand(truth[:, c], scores[:, c]) for c in np.flatnonzero(present)]
    ours = metrics.average_precision(truth, scores)
    np.testing.assert_allclose(ours[present], expected, atol=1e-12)
    assert not ours[~present].any()
    mean = np.mean(expected) if expected else 0
    assert metrics.mean_average_precision(truth, scores) == pytest.approx(mean)


def search(truth: np.ndarray, scores: np.ndarray) -> float:
    """The highest macro F1 that any threshold reaches, by counting at every one."""
    around = np.unique(np.concatenate([scores.ravel(), scores.ravel() + 1e-9, [0.5]]))
    said = scores >= around[:, None, None]
    hits, wrong = (said & truth).sum(axis=1), (said != truth).sum(axis=1)
    f1 = np.divide(2 * hits, 2 * hits + wrong, out=np.zeros(hits.shape), where=hits > 0)
    return float(f1.mean(axis=1).max())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_chosen_thresholds_are_the_best(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, c = int(rng.integers(1, 9)), int(rng.integers(2, 4))
    truth = rng.random((n, c)) < 0.4
    scores = rng.random((n, c)).round(2)
    one = metrics.choose_threshold(truth, scores)
    best = search(truth, scores)
    reached = metrics.score(truth, scores >= one).macro().f1
    assert reached == pytest.approx(best, abs=1e-12)
    per_class = metrics.choose_thresholds(truth, scores)
    each = metrics.score(truth, scores >= per_class)
    one_each = metrics.score(truth, scores >= one)
    assert (each.f1 >= one_each.f1 - 1e-12).all()
    assert (per_class[~truth.any(axis=0)] == one).all()


def test_threshold_stays_at_half_where_half_is_best() -> None:
    truth = np.array([[1, 0], [0, 1]], bool)
    scores = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert metrics.choose_threshold(truth, scores) == 0.5
    assert metrics.choose_thresholds(truth, scores).tolist() == [0.5, 0.5]


def test_confusion_counts_co_occurrence() -> None:
    truth = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1]], bool)
    said = np.array([[1, 0, 1], [0, 1, 0], [0, 1, 1]], bool)
    assert metrics.confusion(truth, said).tolist() == [[1, 1, 1], [0, 0, 1], [0, 1, 1]]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_confusion_against_counting(seed: int) -> None:
    truth, scores = random_case(seed)
    said = scores >= 0.5
    table = metrics.confusion(truth, said)
    c = truth.shape[1]
    for i in range(c):
        for j in range(c):
            rows = truth[:, i] & said[:, j] & (~truth[:, j] if i != j else True)
            assert table[i, j] == rows.sum()


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="differ"):
        metrics.score(np.zeros((2, 3)), np.zeros((3, 3)))
