"""Scores, against scikit-learn, pandas and all permutations of the predictions."""

from dataclasses import astuple, replace
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from training import evaluate
from training.evaluate import chance, macro_f1, majority_vote, score, score_predicted, sum_by_track


def predictions(count: int, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return true classes, which lack the last of many, and probabilities that favour them."""
    random = np.random.default_rng((count, n_classes))
    truth = random.integers(0, max(n_classes - 1, 2), count)
    weights = random.random((count, n_classes)) ** 2
    weights[np.arange(count), truth] += 0.3
    return truth, weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.filterwarnings("ignore:y_pred contains classes", "ignore:A single label was found")
@pytest.mark.parametrize(("count", "n_classes"), [(200, 3), (50, 10), (1000, 2), (7, 5), (1, 2)])
def test_scores_are_scikit_learns(count: int, n_classes: int) -> None:
    truth, probabilities = predictions(count, n_classes)
    found = score(truth, probabilities)
    labels = np.arange(n_classes)
    predicted = probabilities.argmax(axis=1)
    assert found.count == count
    assert found.chance == chance(truth, predicted)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert found.log_loss == pytest.approx(metrics.log_loss(truth, probabilities, labels=labels))
    confusion = metrics.confusion_matrix(truth, predicted, labels=labels)
    assert np.array_equal(found.confusion, confusion)
    expected = metrics.precision_recall_fscore_support(
        truth, predicted, labels=labels, zero_division=0.0
    )
    by_class = [astuple(one)[:4] for one in found.classes]
    np.testing.assert_allclose(by_class, np.transpose(expected))
    present = np.isin(labels, truth)
    assert found.macro_f1 == pytest.approx(np.mean(expected[2][present]))
    balanced = metrics.balanced_accuracy_score(truth, predicted)
    assert np.mean([one.recall for one in found.classes if one.support]) == pytest.approx(balanced)


def test_macro_f1_is_averaged_over_the_classes_in_the_truth() -> None:
    truth = np.array([0, 0, 4, 4])
    assert macro_f1(truth, np.array([0, 0, 4, 4])) == 1.0
    assert macro_f1(truth, np.array([0, 0, 2, 4])) == pytest.approx((1 + 2 / 3) / 2)
    # -1 counts as wrong, but not as a class.
    assert macro_f1(truth, np.array([0, 0, -1, 4])) == pytest.approx((1 + 2 / 3) / 2)


def test_a_certain_but_wrong_prediction_has_a_finite_loss() -> None:
    truth = np.array([0, 1, 1])
    probabilities = np.array([[0, 1], [0, 1], [1, 0]], np.float32)
    expected = metrics.log_loss(truth, probabilities)
    assert score(truth, probabilities).log_loss == pytest.approx(expected, rel=1e-4)
    assert 10 < expected < 11


def test_certain_and_right_predictions_have_no_loss() -> None:
    found = score(np.array([0, 1]), np.eye(2, dtype=np.float32))
    assert f"{found.log_loss:.3f}" == "0.000"  # not "-0.000"


def test_predictions_without_probabilities_give_the_same_scores() -> None:
    truth, probabilities = predictions(300, 4)
    true_probabilities = probabilities[np.arange(300), truth]
    one = score(truth, probabilities)
    other = score_predicted(truth, probabilities.argmax(axis=1), true_probabilities, 4)
    assert np.array_equal(one.confusion, other.confusion)
    assert replace(one, confusion=other.confusion) == other


# Chance


def macro_f1_of(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return macro F1 by its definition; scikit-learn's is too slow for many permutations."""
    sizes = np.bincount(np.append(truth, predicted))
    hits = np.bincount(truth[truth == predicted], minlength=len(sizes))
    present = np.unique(truth)
    return float(np.mean(2 * hits[present] / sizes[present]))


@pytest.mark.parametrize(("count", "n_classes"), [(200, 2), (200, 3), (120, 10), (60, 30)])
def test_chance_is_what_permuted_predictions_seldom_reach(
    monkeypatch: pytest.MonkeyPatch, count: int, n_classes: int
) -> None:
    monkeypatch.setattr(evaluate, "CHANCE_PERMUTATIONS", 50_000)
    random = np.random.default_rng(0)
    # Classes of very different sizes; some occur in the truth or the predictions only.
    sizes = np.arange(1, n_classes + 1)
    truth = random.choice(n_classes, count, p=sizes / sizes.sum())
    predicted = random.choice(n_classes, count, p=sizes[::-1] / sizes.sum())
    scores = [macro_f1_of(truth, random.permutation(predicted)) for _ in range(20_000)]
    expected = pytest.approx(np.quantile(scores, 0.99), abs=0.1 * np.std(scores))
    assert chance(truth, predicted) == expected


@pytest.mark.parametrize(
    ("truth", "predicted"),
    [
        ([0, 0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 0, 0, 1]),
        ([0, 0, 1, 1, 2, 2, 2], [2, 1, 0, 0, 1, 2, 2]),
        ([0, 0, 1, 1, 1, 1, 1], [2, 2, 2, 0, 1, 1, 3]),  # classes that are never true
        ([1, 2, 2, 2, 3, 3, 3], [1, 1, 1, 0, 0, 3, 3]),  # a class that is never predicted
    ],
)
@pytest.mark.parametrize("quantile", [0.25, 0.5, 0.9, 0.99])
def test_chance_is_a_quantile_over_all_permutations(
    monkeypatch: pytest.MonkeyPatch, truth: list[int], predicted: list[int], quantile: float
) -> None:
    monkeypatch.setattr(evaluate, "CHANCE_PERMUTATIONS", 20_000)
    monkeypatch.setattr(evaluate, "CHANCE_QUANTILE", quantile)
    orders = np.array(list(set(permutations(predicted))))
    scores = [macro_f1_of(np.array(truth), order) for order in orders]
    # There are few distinct scores, and a quantile may lie between two of them.
    low, high = np.quantile(scores, [max(quantile - 0.01, 0), min(quantile + 0.01, 1)])
    assert low - 1e-9 <= chance(np.array(truth), np.array(predicted)) <= high + 1e-9


def test_chance_if_all_permutations_score_the_same() -> None:
    assert chance(*np.array([[0], [0]])) == 1.0
    assert chance(*np.array([[0], [1]])) == 0.0
    # One class in the truth.
    assert chance(*np.array([[1] * 5, [0, 0, 1, 1, 1]])) == pytest.approx(0.75)
    # One class in the predictions.
    assert chance(*np.array([[0, 0, 1, 1, 1], [1] * 5])) == pytest.approx(0.375)
    assert chance(*np.array([[0, 1], [2, 2]])) == 0.0


def test_chance_is_the_same_for_the_same_predictions() -> None:
    truth, probabilities = predictions(200, 5)
    assert score(truth, probabilities).chance == score(truth, probabilities).chance
    # The order of the predictions does not matter.
    other = np.random.default_rng(3).permutation(probabilities)
    assert score(truth, probabilities).chance == score(truth, other).chance


# Tracks


def test_probabilities_are_summed_by_track() -> None:
    random = np.random.default_rng(0)
    tracks = random.choice([3, 4, 70, 1000], 200)
    probabilities = random.random((200, 6)).astype(np.float32)
    found, sums, counts = sum_by_track(tracks, probabilities)
    grouped = pd.DataFrame(probabilities.astype(float)).groupby(tracks)
    assert found.tolist() == [3, 4, 70, 1000]
    assert counts.tolist() == grouped.size().tolist()
    assert sums == pytest.approx(grouped.sum().to_numpy())
    assert sums.dtype == np.float64
    assert [len(each) for each in sum_by_track(tracks[:0], probabilities[:0])] == [0, 0, 0]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), min_size=1, max_size=60))
def test_the_majority_wins_and_the_smaller_class_wins_a_tie(rows: list[tuple[int, int]]) -> None:
    tracks, predicted = np.array(rows).T
    # mode() returns all classes with the most votes, ascending.
    expected = pd.Series(predicted).groupby(tracks).agg(lambda votes: votes.mode().iloc[0])
    assert majority_vote(tracks * 5, predicted, 5).tolist() == expected.tolist()


def test_chance_of_many_rows_is_estimated_from_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    truth = random.choice(4, 20_000, p=[0.1, 0.2, 0.3, 0.4])
    predicted = random.permutation(truth)
    exact = chance(truth, predicted)
    monkeypatch.setattr(evaluate, "CHANCE_ROWS", 5_000)
    assert chance(truth, predicted) == pytest.approx(exact, abs=0.02)
