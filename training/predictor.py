"""Predictors of a model: boosted trees or linear discriminant analysis, and their files."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal, Protocol, get_args

import numpy as np

from training.arrays import from_npz, to_npz
from training.booster_file import Shape, check_booster
from training.lda import Lda

Kind = Literal["lda", "xgboost"]

KINDS: tuple[Kind, ...] = get_args(Kind)
"""Kinds of models; of equally good ones the first is preferred."""

SUFFIXES: dict[Kind, str] = {"lda": ".npz", "xgboost": ".ubj"}
"""Suffix of the file of each kind: numbers in NumPy's npz, and trees in XGBoost's own format."""


class Predictor(Protocol):
    """A fitted classifier."""

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return the probability of each class [shape=(n, n_classes), range=[0, 1]]."""
        ...


@dataclass(frozen=True)
class Trees:
    """Boosted trees.

    Parameters
    ----------
    booster : xgboost.Booster
        A booster with the objective ``multi:softprob``.
    n_classes : int
        Number of its classes.

    Examples
    --------
    >>> import xgboost
    >>> features, classes = np.array([[0.0], [0.1], [0.9], [1.0]]), [0, 0, 1, 1]
    >>> parameters = {"objective": "multi:softprob", "num_class": 2, "min_child_weight": 0}
    >>> booster = xgboost.train(parameters, xgboost.DMatrix(features, classes), 5)
    >>> Trees(booster, n_classes=2).probabilities(np.array([[0.05], [0.95]])).argmax(axis=1)
    array([0, 1])
    """

    booster: Any
    n_classes: int

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return the probability of each class [shape=(n, n_classes), range=[0, 1], float32]."""
        if not len(features):
            return np.zeros((0, self.n_classes), np.float32)
        given = self.booster.inplace_predict(np.ascontiguousarray(features, np.float32))
        return np.asarray(given, np.float32).reshape(len(features), self.n_classes)

    @property
    def shape(self) -> Shape:
        """Columns, boosting rounds and classes."""
        columns, rounds = self.booster.num_features(), self.booster.num_boosted_rounds()
        return Shape(columns, rounds, self.n_classes)


def kind_of(predictor: Predictor) -> Kind:
    """Return the kind of a predictor."""
    return "lda" if isinstance(predictor, Lda) else "xgboost"


def to_bytes(predictor: Predictor) -> bytes:
    """Return the content of a predictor's file."""
    if isinstance(predictor, Lda):
        return to_npz(predictor.to_arrays())
    assert isinstance(predictor, Trees)
    return bytes(predictor.booster.save_raw("ubj"))


def read_predictor(name: str, data: bytes) -> Predictor:
    """Return the predictor in a file.

    Parameters
    ----------
    name : str
        Name of the file, with one of :data:`SUFFIXES`.
    data : bytes
        Content of the file.

    Raises
    ------
    ValueError
        The content is damaged, or could harm the process.
    """
    if PurePosixPath(name).suffix == SUFFIXES["lda"]:
        return Lda.from_arrays(from_npz(data))
    import xgboost

    shape = check_booster(data)
    # More threads do not help: rows are few, or other workers use the other cores.
    booster = xgboost.Booster({"nthread": 1})
    try:
        booster.load_model(bytearray(data))
    except xgboost.core.XGBoostError as error:
        raise ValueError(str(error).strip().partition("\n")[0]) from None
    return Trees(booster, shape.classes)
