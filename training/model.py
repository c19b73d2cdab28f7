"""A trained model as it is kept and used: two files, of which the second explains the first.

``model.ubj`` is XGBoost's own format and opens in plain XGBoost. ``model.json`` says what goes in
(the columns, in order, as they stand in the feature tables: nothing is scaled) and what comes out
(a probability for each class, in order). Nothing here is a pickle.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np

MODEL_FORMAT = 1


class ModelError(Exception):
    """A model's files are damaged or do not fit together; the text says how."""


@dataclass(frozen=True)
class Description:
    """What ``model.json`` says.

    Parameters
    ----------
    version : str
        Names the model; later ones are greater.
    created_at : str
        ISO 8601, UTC.
    classes : list of str
        What output 0, 1, ... stands for.
    columns : list of str
        The features that go in, in order.
    feature_set : str
        What the features' numbers mean.
    level : {"segment", "track"}
        The rows it has learnt from. One of segments judges a track by the mean of its segments'
        probabilities.
    segment_seconds : float
        Length of the store's segments in seconds.
    parameters : dict of str to Any
        XGBoost's.
    rounds : int
        Boosting rounds: trees of each class.
    stopped_early : bool
        Whether ``rounds`` is where the loss of the validation part was least.
    split : dict of str to Any
        ``name``, and ``tracks`` in each of the parts that it was judged with.
    data : dict of str to Any
        ``fingerprint`` of all rows that the final model has learnt from, ``rows``, ``tracks``, and
        ``labels``: the tracks of each class.
    scores : dict of str to dict
        Of levels ``segment`` and ``track``, of the test part: ``accuracy``, ``macro_f1``,
        ``log_loss``, ``chance``, ``count``.
    digests : dict of str to str
        SHA-256 of the files of trees, in hexadecimals, by name.
    libraries : dict of str to str
        Versions of what made it.
    workers : int
        How many took part; another number gives slightly other trees.
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
        """Return the text of ``model.json``."""
        return json.dumps(
            {"format": MODEL_FORMAT, **asdict(self)}, indent=1, ensure_ascii=False
        ).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Description":
        """Read ``model.json``; ModelError where it cannot be understood."""
        try:
            found = json.loads(text)
            layout = found["format"]
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"cannot be understood ({error})") from None
        if layout != MODEL_FORMAT:
            raise ModelError(f"has format {layout}, and this songmill reads {MODEL_FORMAT}")
        names = [one.name for one in fields(cls)]
        missing = [name for name in names if name not in found]
        if missing:
            raise ModelError(f"does not say its {', '.join(missing)}")
        # A later songmill may say more.
        described = cls(**{name: found[name] for name in names})
        wrong = described._wrong()
        if wrong:
            raise ModelError(f"says something else than expected of its {', '.join(wrong)}")
        return described

    def _wrong(self) -> list[str]:
        """Return what is not as the docstring says: others may have edited the file."""
        classes, scores = self.classes, self.scores
        counted = ("accuracy", "macro_f1", "log_loss", "chance", "count")
        right = {
            "version": isinstance(self.version, str),
            "created_at": isinstance(self.created_at, str),
            "classes": _are_texts(classes) and len(set(classes)) == len(classes) > 1,
            "columns": _are_texts(self.columns),
            "feature_set": isinstance(self.feature_set, str),
            "level": self.level in ("segment", "track"),
            "segment_seconds": isinstance(self.segment_seconds, int | float),
            "rounds": isinstance(self.rounds, int),
            "split": isinstance(self.split, dict) and isinstance(self.split.get("name"), str),
            "data": isinstance(self.data, dict) and isinstance(self.data.get("tracks"), int),
            "digests": isinstance(self.digests, dict),
            "scores": isinstance(scores, dict)
            and isinstance(scores.get("track"), dict)
            and all(isinstance(scores["track"].get(name), int | float) for name in counted),
        }
        return [name for name, is_right in right.items() if not is_right]


@dataclass(frozen=True)
class Model:
    """A model that predicts.

    Parameters
    ----------
    description : Description
        What goes in and what comes out.
    booster : xgboost.Booster
        The trees.
    """

    description: Description
    booster: Any

    @classmethod
    def load(cls, description: Description, name: str, trees: bytes) -> "Model":
        """Return the model whose file ``name`` is ``trees``; ModelError where they do not fit."""
        import xgboost

        # XGBoost ends the process, or makes other trees, when it reads what is damaged.
        if digest(trees) != description.digests.get(name):
            raise ModelError("is damaged: model.json describes another file")
        # Rows are few, or those of one worker: more threads would only wait for one another.
        booster = xgboost.Booster({"nthread": 1})
        try:
            booster.load_model(bytearray(trees))
        except xgboost.core.XGBoostError:
            raise ModelError("is no model that XGBoost can read") from None
        configuration = json.loads(booster.save_config())["learner"]["learner_model_param"]
        made_for = (
            booster.num_features(),
            booster.num_boosted_rounds(),
            int(configuration["num_class"]),
        )
        described = (len(description.columns), description.rounds, len(description.classes))
        if made_for != described:
            raise ModelError(
                f"has {made_for} columns, rounds and classes, and model.json says {described}"
            )
        return cls(description, booster)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        features : np.ndarray [shape=(n, n_columns), float]
            Rows of the feature tables, in the order of the description's columns.

        Returns
        -------
        np.ndarray [shape=(n, n_classes), range=[0, 1], float32]
        """
        return predict(self.booster, features, len(self.description.classes))


def _are_texts(found: Any) -> bool:
    return isinstance(found, list) and all(isinstance(one, str) for one in found)


def digest(trees: bytes) -> str:
    """Return the SHA-256 of a file of trees, in hexadecimals."""
    return hashlib.sha256(trees).hexdigest()


def predict(booster: Any, features: np.ndarray, n_classes: int) -> np.ndarray:
    """Return what a booster says of rows.

    Parameters
    ----------
    booster : xgboost.Booster
        One of ``multi:softprob``.
    features : np.ndarray [shape=(n, n_columns), float]
        The rows.
    n_classes : int
        Number of its classes.

    Returns
    -------
    np.ndarray [shape=(n, n_classes), range=[0, 1], float32]
    """
    if not len(features):
        return np.zeros((0, n_classes), np.float32)
    found = booster.inplace_predict(np.ascontiguousarray(features, np.float32))
    return np.asarray(found, np.float32).reshape(len(features), n_classes)
