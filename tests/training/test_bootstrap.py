"""Bootstrap intervals: against resamples drawn one by one, coverage, bounded work."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

import training.bootstrap
from training.bootstrap import interval, resample
from training.evaluate import macro_f1


def answers(
    n: int, *, seed: int = 0, n_classes: int = 3, right: float = 0.7
) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """Return truth and prediction, a share of which is right."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, n_classes, n)
    wrong = generator.integers(-1, n_classes, n)
    return truth, np.where(generator.random(n) < right, truth, wrong), generator


def draw_one_by_one(
    truth: np.ndarray, predictions: list[np.ndarray], groups: np.ndarray, times: int
) -> np.ndarray:
    """Return macro F1 of plain resamples of whole groups, for each prediction."""
    generator = np.random.default_rng(1)
    rows_of = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    found = []
    for _ in range(times):
        chosen = generator.integers(0, len(rows_of), len(rows_of))
        rows = np.concatenate([rows_of[i] for i in chosen])
        found.append([macro_f1(truth[rows], one[rows]) for one in predictions])
    return np.array(found).T


@pytest.mark.parametrize("sizes", [[1], [4], [1, 1, 2, 7]])
def test_scores_of_resamples_are_distributed_as_those_of_plain_resamples(sizes: list[int]) -> None:
    groups = np.repeat(np.arange(40), np.resize(sizes, 40))
    truth, one, generator = answers(len(groups))
    # All tracks of some groups are wrong, so that a bootstrap over tracks would be too narrow.
    other = np.where(groups % 4 == 0, -1, np.where(generator.random(len(groups)) < 0.8, truth, one))
    ours = [found.macro_f1 for found in resample(truth, [one, other], 3, groups)]
    plain = draw_one_by_one(truth, [one, other], groups, 400)
    for found, expected in [
        *zip(ours, plain, strict=True),
        (ours[0] - ours[1], plain[0] - plain[1]),
    ]:
        assert found.mean() == pytest.approx(expected.mean(), abs=4 * expected.std() / 20)
        assert found.std() == pytest.approx(expected.std(), rel=0.15)


def test_accuracy_and_f1_of_a_class_are_scored_too() -> None:
    truth, predicted, _ = answers(300)
    (found,) = resample(truth, [predicted], 4)
    right = np.mean(truth == predicted)
    assert found.accuracy.std() == pytest.approx(np.sqrt(right * (1 - right) / 300), rel=0.1)
    for label in range(3):
        expected = f1_score(truth == label, predicted == label)
        ends = interval(found.f1[:, label])
        assert ends.lower < expected < ends.upper
    assert np.isnan(found.f1[:, 3]).all()
    ends = interval(found.f1[:, 3])
    assert (ends.lower, ends.upper) == (0, 1)


def test_19_of_20_intervals_hold_the_true_accuracy() -> None:
    held = 0
    for seed in range(100):
        truth, predicted, _ = answers(100, seed=seed, n_classes=2, right=0.6)
        ends = interval(resample(truth, [predicted], 2)[0].accuracy)
        held += ends.lower <= 0.6 + 0.4 / 3 <= ends.upper
    assert 90 <= held <= 99


def test_the_result_does_not_depend_on_the_order_of_the_rows_or_the_names_of_the_groups() -> None:
    truth, predicted, generator = answers(200)
    groups = np.repeat(np.arange(50), 4)
    order = generator.permutation(200)
    (first,) = resample(truth, [predicted], 3, groups)
    (second,) = resample(truth[order], [predicted[order]], 3, groups[order] * 10 + 3)
    np.testing.assert_array_equal(first.macro_f1, second.macro_f1)
    (other,) = resample(truth, [predicted], 3, groups, seed=1)
    assert not np.array_equal(first.macro_f1, other.macro_f1)


def test_many_groups_are_merged_which_leaves_the_width_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    groups = np.repeat(np.arange(600), 3)
    truth, predicted, generator = answers(len(groups))
    predicted = np.where(np.isin(groups, generator.permutation(600)[:100]), truth, predicted)
    (exact,) = resample(truth, [predicted], 3, groups)
    monkeypatch.setattr(training.bootstrap, "MAX_GROUPS", 200)
    (merged,) = resample(truth, [predicted], 3, groups)
    assert merged.macro_f1.std() == pytest.approx(exact.macro_f1.std(), rel=0.15)
    assert not np.array_equal(merged.macro_f1, exact.macro_f1)


def test_a_single_row_has_a_score() -> None:
    (found,) = resample(np.array([1]), [np.array([1])], 2)
    assert set(found.macro_f1) == {1.0}
