"""Scores, against scikit-learn, pandas and what every order of the predictions would give."""

import warnings
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from training import evaluate
from training.evaluate import by_track, macro_f1, score, score_predicted, vote

CASES = [(200, 3), (50, 10), (1000, 2), (7, 5), (1, 2)]


def predictions(count: int, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """The truth, which lacks the last class of many, and probabilities that know a little of it."""
    random = np.random.default_rng((count, n_classes))
    truth = random.integers(0, max(n_classes - 1, 2), count)
    weights = random.random((count, n_classes)) ** 2
    weights[np.arange(count), truth] += 0.3
    return truth, weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("count", "n_classes"), CASES)
def test_scores_are_scikit_learns(count: int, n_classes: int) -> None:
    truth, probabilities = predictions(count, n_classes)
    found = score(truth, probabilities)
    every = np.arange(n_classes)
    predicted = probabilities.argmax(axis=1)
    assert found.count == count
    assert found.accuracy == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert found.log_loss == pytest.approx(metrics.log_loss(truth, probabilities, labels=every))
    assert np.array_equal(found.confusion, metrics.confusion_matrix(truth, predicted, labels=every))
    by_class = metrics.precision_recall_fscore_support(
        truth, predicted, labels=every, zero_division=0.0
    )
    assert [
        [getattr(one, name) for one in found.classes]
        for name in ("precision", "recall", "f1", "support")
    ] == [pytest.approx(values) for values in by_class]
    present = np.isin(every, truth)
    assert found.macro_f1 == pytest.approx(np.mean(by_class[2][present]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class that only the predictions have
        balanced = metrics.balanced_accuracy_score(truth, predicted)
    recalls = [one.recall for one in found.classes if one.support]
    assert np.mean(recalls) == pytest.approx(balanced)


def test_macro_f1_is_of_the_classes_that_are_there() -> None:
    truth = np.array([0, 0, 4, 4])
    assert macro_f1(truth, np.array([0, 0, 4, 4])) == 1.0
    assert macro_f1(truth, np.array([0, 0, 2, 4])) == pytest.approx((1 + 2 / 3) / 2)
    # A prediction of none of the classes is wrong, and no class by itself.
    assert macro_f1(truth, np.array([0, 0, -1, 4])) == pytest.approx((1 + 2 / 3) / 2)


def test_certain_and_wrong_is_a_finite_loss() -> None:
    truth = np.array([0, 1, 1])
    probabilities = np.array([[0, 1], [0, 1], [1, 0]], np.float32)
    expected = metrics.log_loss(truth, probabilities)
    assert score(truth, probabilities).log_loss == pytest.approx(expected, rel=1e-4)
    assert 10 < expected < 11


def test_predictions_without_probabilities_give_the_same_scores() -> None:
    truth, probabilities = predictions(300, 4)
    of_truth = probabilities[np.arange(300), truth]
    one = score(truth, probabilities)
    other = score_predicted(truth, probabilities.argmax(axis=1), of_truth, 4)
    assert np.array_equal(one.confusion, other.confusion)
    assert (one.macro_f1, one.log_loss, one.chance) == (
        other.macro_f1,
        other.log_loss,
        other.chance,
    )


# Chance


def chance_of(truth: Any, predicted: Any, n_classes: int) -> float:
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    return score_predicted(truth, predicted, np.ones(len(truth)), n_classes).chance


def shuffled_macro_f1(truth: np.ndarray, predicted: np.ndarray, draws: int) -> np.ndarray:
    random = np.random.default_rng(1)
    held = np.unique(truth)
    every = range(max(*truth, *predicted) + 1)
    both = np.array([np.sum(truth == i) + np.sum(predicted == i) for i in every])
    reached = np.empty(draws)
    for draw in range(draws):
        dealt = random.permutation(predicted)
        hits = np.bincount(truth[truth == dealt], minlength=len(both))
        reached[draw] = np.mean(2 * hits[held] / both[held])
    return reached


@pytest.mark.parametrize(("count", "n_classes"), [(200, 2), (200, 3), (120, 10), (60, 30)])
def test_chance_is_what_shuffled_predictions_seldom_reach(
    monkeypatch: pytest.MonkeyPatch, count: int, n_classes: int
) -> None:
    monkeypatch.setattr(evaluate, "CHANCE_DRAWS", 50_000)
    random = np.random.default_rng(0)
    # Classes of very different sizes, some of which only one side has.
    sizes = np.arange(1, n_classes + 1)
    truth = random.choice(n_classes, count, p=sizes / sizes.sum())
    predicted = random.choice(n_classes, count, p=sizes[::-1] / sizes.sum())
    reached = shuffled_macro_f1(truth, predicted, 20_000)
    expected = np.quantile(reached, 0.99)
    assert chance_of(truth, predicted, n_classes) == pytest.approx(
        expected, abs=0.1 * np.std(reached)
    )


@pytest.mark.parametrize(
    ("truth", "predicted"),
    [
        ([0, 0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 0, 0, 1]),
        ([0, 0, 1, 1, 2, 2, 2], [2, 1, 0, 0, 1, 2, 2]),
        ([0, 0, 1, 1, 1, 1, 1], [2, 2, 2, 0, 1, 1, 3]),  # classes that are not there
        ([1, 2, 2, 2, 3, 3, 3], [1, 1, 1, 0, 0, 3, 3]),  # and one that is never predicted
    ],
)
@pytest.mark.parametrize("quantile", [0.25, 0.5, 0.9, 0.99])
def test_chance_is_a_quantile_of_all_orders(
    monkeypatch: pytest.MonkeyPatch, truth: list[int], predicted: list[int], quantile: float
) -> None:
    monkeypatch.setattr(evaluate, "CHANCE_DRAWS", 20_000)
    monkeypatch.setattr(evaluate, "CHANCE_QUANTILE", quantile)
    every = [
        np.mean(
            [
                2
                * sum(t == p == i for t, p in zip(truth, order, strict=True))
                / (truth.count(i) + predicted.count(i))
                for i in set(truth)
            ]
        )
        for order in set(permutations(predicted))
    ]
    # So few values occur that a quantile may lie on the edge of one of them.
    low, high = np.quantile(every, [max(quantile - 0.01, 0), min(quantile + 0.01, 1)])
    assert low - 1e-9 <= chance_of(truth, predicted, 4) <= high + 1e-9


def test_chance_where_there_is_none() -> None:
    assert chance_of([0], [0], 2) == 1.0
    assert chance_of([0], [1], 2) == 0.0
    # One class in the truth: every order is the same.
    assert chance_of([1] * 5, [0, 0, 1, 1, 1], 2) == pytest.approx(0.75)
    # One class in the predictions, too.
    assert chance_of([0, 0, 1, 1, 1], [1] * 5, 2) == pytest.approx(0.375)
    assert chance_of([0, 1], [2, 2], 3) == 0.0


def test_chance_is_the_same_for_the_same_predictions() -> None:
    truth, probabilities = predictions(200, 5)
    assert score(truth, probabilities).chance == score(truth, probabilities).chance
    # It depends on how often only, not on where.
    other = np.random.default_rng(3).permutation(probabilities)
    assert score(truth, probabilities).chance == score(truth, other).chance


# Tracks


def test_tracks_have_the_sums_of_their_rows() -> None:
    random = np.random.default_rng(0)
    tracks = random.choice([3, 4, 70, 1000], 200)
    probabilities = random.random((200, 6)).astype(np.float32)
    found, sums, counts = by_track(tracks, probabilities)
    grouped = pd.DataFrame(probabilities.astype(float)).groupby(tracks)
    assert found.tolist() == [3, 4, 70, 1000]
    assert counts.tolist() == grouped.size().tolist()
    assert sums == pytest.approx(grouped.sum().to_numpy())
    assert sums.dtype == np.float64
    assert [len(each) for each in by_track(tracks[:0], probabilities[:0])] == [0, 0, 0]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), min_size=1, max_size=60))
def test_tracks_vote_and_of_a_tie_the_smaller_class_wins(rows: list[tuple[int, int]]) -> None:
    tracks, predicted = np.array(rows).T
    # pandas names all the most frequent, ascending.
    expected = pd.Series(predicted).groupby(tracks).agg(lambda votes: votes.mode().iloc[0])
    assert vote(tracks * 5, predicted, 5).tolist() == expected.tolist()


def test_chance_of_very_many_rows_is_told_by_some(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    truth = random.choice(4, 20_000, p=[0.1, 0.2, 0.3, 0.4])
    predicted = random.permutation(truth)
    all_of_them = chance_of(truth, predicted, 4)
    monkeypatch.setattr(evaluate, "CHANCE_ROWS", 5_000)
    assert chance_of(truth, predicted, 4) == pytest.approx(all_of_them, abs=0.02)
