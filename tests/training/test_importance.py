"""Permutation importance, against scikit-learn's."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.inspection import permutation_importance as sklearn_importance

from training.importance import REPEATS, permutation_importance

N_CLASSES = 4
Rows = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Rows and classes: column 0 decides, 1 correlates, 2 and 3 are noise."""
    random = np.random.default_rng(0)
    classes = random.integers(0, N_CLASSES, 1200)
    features = random.normal(size=(1200, 4))
    features[:, 0] = classes + random.uniform(-0.4, 0.4, 1200)
    features[:, 1] += classes
    return features, classes


def test_it_agrees_with_scikit_learns(rows: Rows) -> None:
    forest = RandomForestClassifier(25, max_depth=5, max_features=1, random_state=0)
    model = forest.fit(rows[0][:600], rows[1][:600])
    features, classes = rows[0][600:], rows[1][600:]
    theirs = sklearn_importance(model, features, classes, n_repeats=20, random_state=0)
    spread = theirs.importances_std
    for column in range(4):
        mean, std = permutation_importance(model.predict_proba, features, classes, [column])
        error = spread[column] * (1 / REPEATS + 1 / 20) ** 0.5
        assert mean == pytest.approx(theirs.importances_mean[column], abs=4 * error)
        assert spread[column] / 4 < std < spread[column] * 3
    assert theirs.importances_mean[0] > theirs.importances_mean[1] > 0.02


def predict_by_column_0(features: np.ndarray) -> np.ndarray:
    return np.eye(N_CLASSES)[np.clip(features[:, 0].round().astype(int), 0, N_CLASSES - 1)]


def test_only_the_column_that_decides_is_important(rows: Rows) -> None:
    features, classes = rows
    before = features.copy()
    mean, std = permutation_importance(predict_by_column_0, features, classes, [0])
    # After a shuffle, a row is right if its class equals that of a random row.
    assert mean == pytest.approx(1 - np.sum((np.bincount(classes) / len(classes)) ** 2), abs=0.05)
    assert 0 < std < 0.05
    assert permutation_importance(predict_by_column_0, features, classes, [3]) == (0.0, 0.0)
    # An unused column is unimportant, even if the model is often wrong.
    wrong = (classes + (np.arange(len(classes)) % 2)) % N_CLASSES
    assert permutation_importance(predict_by_column_0, features, wrong, [3]) == (0.0, 0.0)
    assert np.array_equal(features, before)


def test_mean_and_deviation_are_of_shuffles_of_that_column_alone(rows: Rows) -> None:
    features, classes = rows
    seen: list[np.ndarray] = []

    def predict(shown: np.ndarray) -> np.ndarray:
        seen.append(shown.copy())
        return predict_by_column_0(shown)

    mean, std = permutation_importance(predict, features, classes, [0])
    assert np.array_equal(seen[0], features)
    lost = []
    for shown in seen[1:]:
        assert np.array_equal(shown[:, 1:], features[:, 1:])
        assert np.array_equal(np.sort(shown[:, 0]), np.sort(features[:, 0]))
        lost.append(1 - np.mean(predict_by_column_0(shown).argmax(axis=1) == classes))
    assert len({shown[:, 0].tobytes() for shown in seen}) == REPEATS + 1
    assert (mean, std) == (pytest.approx(np.mean(lost)), pytest.approx(np.std(lost)))
    assert permutation_importance(predict_by_column_0, features, classes, [0]) == (mean, std)


def test_a_block_is_shuffled_as_a_whole(rows: Rows) -> None:
    features, classes = rows
    # Two columns that say the same: without either nothing is lost, and without both everything.
    features = np.column_stack([features[:, 0], features[:, 0], features[:, 2]])
    seen: list[np.ndarray] = []

    def predict(shown: np.ndarray) -> np.ndarray:
        seen.append(shown.copy())
        either = predict_by_column_0(shown) + predict_by_column_0(shown[:, 1:])
        either[shown[:, 0] != shown[:, 1]] = np.eye(N_CLASSES)[classes][shown[:, 0] != shown[:, 1]]
        return either

    for column in (0, 1):
        assert permutation_importance(predict, features, classes, [column]) == (0.0, 0.0)
    seen.clear()
    mean, _ = permutation_importance(predict, features, classes, [0, 1])
    assert mean == pytest.approx(1 - np.sum((np.bincount(classes) / len(classes)) ** 2), abs=0.05)
    for shown in seen[1:]:
        assert np.array_equal(shown[:, 0], shown[:, 1])
        assert np.array_equal(np.sort(shown[:, 0]), np.sort(features[:, 0]))
        assert np.array_equal(shown[:, 2], features[:, 2])
    assert len({shown.tobytes() for shown in seen}) == REPEATS + 1
