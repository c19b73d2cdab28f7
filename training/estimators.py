"""Classifiers of clipped z-scores, as scikit-learn's estimators."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.svm import SVC

from training.lda import ClassSums, Lda
from training.scaling import ColumnSums, Scaling


class LdaClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Linear discriminant analysis with shrinkage: :class:`training.lda.Lda`.

    Examples
    --------
    >>> features = np.array([[1.0], [2.0], [6.0], [7.0]])
    >>> LdaClassifier().fit(features, np.array([0, 0, 3, 3])).predict(features)
    array([0, 0, 3, 3])
    """

    def fit(self, X: np.ndarray, y: np.ndarray) -> "LdaClassifier":
        """Fit rows [shape=(n, d)] of classes [shape=(n,)]."""
        self.classes_, codes = np.unique(y, return_inverse=True)
        scaling = _scaling(X)
        sums = ClassSums.of(scaling.clipped(X), codes, len(self.classes_))
        self.lda_ = Lda.fit(tuple(map(str, self.classes_)), scaling, sums)
        return self

    def predict(self, X: np.ndarray) -> Any:
        """Return the most probable class of each row [shape=(n,)]."""
        return self.classes_[self.lda_.log_probabilities(X).argmax(axis=1)]


class TunedSvm(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Support vector machine with an RBF kernel, C 5, and gamma 0.5 / columns.

    Examples
    --------
    >>> features = np.array([[1.0], [2.0], [6.0], [7.0]])
    >>> TunedSvm().fit(features, np.array([0, 0, 3, 3])).predict(features)
    array([0, 0, 3, 3])
    """

    def fit(self, X: np.ndarray, y: np.ndarray) -> "TunedSvm":
        """Fit rows [shape=(n, d)] of classes [shape=(n,)]."""
        self.classes_ = np.unique(y)
        self.scaling_ = _scaling(X)
        self.svm_ = SVC(C=5, gamma=0.5 / X.shape[1]).fit(self.scaling_.clipped(X), y)
        return self

    def predict(self, X: np.ndarray) -> Any:
        """Return the predicted class of each row [shape=(n,)]."""
        return self.svm_.predict(self.scaling_.clipped(X))


def _scaling(rows: np.ndarray) -> Scaling:
    columns = tuple(map(str, range(1, rows.shape[1] + 1)))
    return ColumnSums.of(rows, columns).scaling()
