"""The two files of a trained model, and predictions from them.

``model.ubj`` holds the trees in XGBoost's own format, which plain XGBoost opens. ``model.json``
describes the input (columns of the feature tables, in order and unscaled) and the output (a
probability per class, in order). Neither is a pickle.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np

from training.booster_file import check_booster

MODEL_FORMAT = 1
"""Version of the layout of ``model.json``."""


class ModelError(Exception):
    """A model's files are damaged or do not belong together; the text says how."""


@dataclass(frozen=True)
class Description:
    """The contents of ``model.json``.

    Parameters
    ----------
    version : str
        Name of the model; later versions sort after earlier ones.
    created_at : str
        Time in ISO 8601, UTC.
    classes : list of str
        Names of the outputs 0, 1, ...
    columns : list of str
        Names of the input features, in order.
    feature_set : str
        Version of the features' definitions.
    level : {"segment", "track"}
        Rows it was trained on. A segment model predicts a track by the mean of its segments'
        probabilities.
    segment_seconds : float
        Length of the store's segments in seconds.
    parameters : dict of str to Any
        XGBoost's parameters.
    rounds : int
        Boosting rounds: trees per class.
    stopped_early : bool
        Whether ``rounds`` is the round with the lowest validation loss.
    split : dict of str to Any
        ``name``, and ``tracks``: the number of tracks in each part.
    data : dict of str to Any
        ``fingerprint`` of all rows that the final model was trained on; numbers of ``rows`` and
        ``tracks``; ``labels``: the number of tracks of each class.
    scores : dict of str to dict
        Scores on the test part, by level (``segment``, ``track``): ``accuracy``, ``macro_f1``,
        ``log_loss``, ``chance``, ``count``.
    digests : dict of str to str
        Hexadecimal SHA-256 of each file of trees, by file name.
    libraries : dict of str to str
        Versions of the libraries that trained it.
    workers : int
        Number of workers that trained it; another number gives slightly different trees.
    """

    version: str
    created_at: str
    classes: list[str]
    columns: list[str]
    feature_set: str
    level: Literal["segment", "track"]
    segment_seconds: float
    parameters: dict[str, Any]
    rounds: int
    stopped_early: bool
    split: dict[str, Any]
    data: dict[str, Any]
    scores: dict[str, dict[str, float]]
    digests: dict[str, str]
    libraries: dict[str, str]
    workers: int

    def to_json(self) -> bytes:
        """Return the bytes of ``model.json``."""
        content = {"format": MODEL_FORMAT, **asdict(self)}
        return _as_json({**content, "digest": digest(_as_json(content))})

    @classmethod
    def from_json(cls, text: bytes) -> "Description":
        """Parse ``model.json``.

        Raises
        ------
        ModelError
            It is malformed, damaged or of another format.
        """
        try:
            content = json.loads(text)
            _as_json(content)  # fails for half of a surrogate pair
            model_format = content["format"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ModelError(f"is malformed ({error})") from None
        if model_format != MODEL_FORMAT:
            raise ModelError(f"has format {model_format}; this songmill reads {MODEL_FORMAT}")
        expected = content.pop("digest", None)
        if expected is not None and expected != digest(_as_json(content)):
            raise ModelError("is damaged: its digest is not that of its other entries")
        names = [field.name for field in fields(cls)]
        missing = [name for name in names if name not in content]
        if missing:
            raise ModelError(f"lacks {', '.join(missing)}")
        # A later songmill may have added fields.
        description = cls(**{name: content[name] for name in names})
        invalid = description._invalid_fields()
        if invalid:
            raise ModelError(f"has invalid values of {', '.join(invalid)}")
        return description

    def _invalid_fields(self) -> list[str]:
        """Return the fields with unexpected values, because the file may have been edited."""
        classes, scores = self.classes, self.scores
        numbers = ("accuracy", "macro_f1", "log_loss", "chance", "count")
        valid = {
            "version": isinstance(self.version, str),
            "created_at": isinstance(self.created_at, str),
            "classes": _is_list_of_str(classes) and len(set(classes)) == len(classes) > 1,
            "columns": _is_list_of_str(self.columns),
            "feature_set": isinstance(self.feature_set, str),
            "level": self.level in ("segment", "track"),
            "segment_seconds": isinstance(self.segment_seconds, int | float),
            "rounds": type(self.rounds) is int,
            "split": isinstance(self.split, dict) and isinstance(self.split.get("name"), str),
            "data": isinstance(self.data, dict) and isinstance(self.data.get("tracks"), int),
            "digests": isinstance(self.digests, dict),
            "scores": isinstance(scores, dict)
            and isinstance(scores.get("track"), dict)
            and all(isinstance(scores["track"].get(name), int | float) for name in numbers),
        }
        return [name for name, is_valid in valid.items() if not is_valid]


@dataclass(frozen=True)
class Model:
    """A model, ready to predict.

    Parameters
    ----------
    description : Description
        Its inputs and outputs.
    booster : xgboost.Booster
        Its trees.
    """

    description: Description
    booster: Any

    @classmethod
    def load(cls, description: Description, name: str, trees: bytes) -> "Model":
        """Load the trees of a model.

        Parameters
        ----------
        description : Description
            The model's description.
        name : str
            File name of the trees.
        trees : bytes
            Contents of that file.

        Raises
        ------
        ModelError
            The trees are damaged, or do not belong to the description.
        """
        import xgboost

        if digest(trees) != description.digests.get(name):
            raise ModelError("is damaged: its SHA-256 differs from that in model.json")
        expected = (len(description.columns), description.rounds, len(description.classes))
        # More threads do not help: rows are few, or other workers use the other cores.
        booster = xgboost.Booster({"nthread": 1})
        try:
            actual = tuple(check_booster(trees))
            if actual != expected:
                raise ModelError(
                    f"has {actual} columns, rounds and classes; model.json says {expected}"
                )
            booster.load_model(bytearray(trees))
        except (ValueError, xgboost.core.XGBoostError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise ModelError(f"is not a model that XGBoost can read ({reason})") from None
        return cls(description, booster)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        features : np.ndarray [shape=(n, n_columns), float]
            Rows of the feature tables, with the description's columns in order.

        Returns
        -------
        np.ndarray [shape=(n, n_classes), range=[0, 1], float32]
        """
        return predict(self.booster, features, len(self.description.classes))


def _is_list_of_str(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _as_json(content: Any) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=False).encode()


def digest(data: bytes) -> str:
    """Return the hexadecimal SHA-256 of ``data``.

    Examples
    --------
    >>> digest(b"trees")[:8]
    '29d80730'
    """
    return hashlib.sha256(data).hexdigest()


def predict(booster: Any, features: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the class probabilities that a booster predicts.

    Parameters
    ----------
    booster : xgboost.Booster
        A booster with the objective ``multi:softprob``.
    features : np.ndarray [shape=(n, n_columns), float]
        Rows to predict.
    n_classes : int
        Number of classes of the booster.

    Returns
    -------
    np.ndarray [shape=(n, n_classes), range=[0, 1], float32]

    Examples
    --------
    >>> import xgboost
    >>> features, classes = np.array([[0.0], [0.1], [0.9], [1.0]]), [0, 0, 1, 1]
    >>> parameters = {"objective": "multi:softprob", "num_class": 2, "min_child_weight": 0}
    >>> booster = xgboost.train(parameters, xgboost.DMatrix(features, classes), 5)
    >>> predict(booster, np.array([[0.05], [0.95]]), n_classes=2).argmax(axis=1)
    array([0, 1])
    """
    if not len(features):
        return np.zeros((0, n_classes), np.float32)
    probabilities = booster.inplace_predict(np.ascontiguousarray(features, np.float32))
    return np.asarray(probabilities, np.float32).reshape(len(features), n_classes)
