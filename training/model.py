"""The two files of a trained model, and predictions from them.

``model.ubj`` holds trees in XGBoost's own format, which plain XGBoost opens; ``model.npz`` holds
the numbers of a linear discriminant analysis. ``model.json`` describes the input (columns of the
feature tables, in order and unscaled) and the output (a probability per class, in order). None is a
pickle.
"""

import hashlib
import json
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Literal

import numpy as np

from training.lda import Lda
from training.predictor import KINDS, SUFFIXES, Kind, Predictor, Trees, read_predictor

MODEL_FORMAT = 2
"""Version of the layout of ``model.json``. Boosted trees have 1, which an older songmill reads."""


MAX_FOLDS = 100
"""Maximum number of folds of a model that is read; songmill makes a few."""


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
        XGBoost's parameters, or those of the linear discriminant analysis.
    rounds : int
        Boosting rounds: trees per class; 0 without trees.
    stopped_early : bool
        Whether ``rounds`` is the round with the lowest validation loss.
    split : dict of str to Any
        ``name``; ``tracks``: the number of tracks in each part; ``duplicates``: the number of
        ``groups`` of tracks that are the same recording, and of the ``tracks`` in them.
    data : dict of str to Any
        ``fingerprint`` of all rows that the final model was trained on; numbers of ``rows`` and
        ``tracks``; ``labels``: the number of tracks of each class.
    scores : dict of str to dict
        Scores on the test part, by level (``segment``, ``track``): ``accuracy``, ``macro_f1``,
        ``log_loss``, ``chance``, ``count``.
    digests : dict of str to str
        Hexadecimal SHA-256 of each file of trees or numbers, by file name.
    libraries : dict of str to str
        Versions of the libraries that trained it.
    workers : int
        Number of workers that trained it; another number gives slightly different trees.
    kind : {"lda", "xgboost"}
        Linear discriminant analysis or boosted trees.
    candidates : dict of str to float
        Macro F1 by track of each kind on the validation part, if the better one was chosen.
    folds : int or None
        Number of models that have learnt all tracks but those of a fold; None of an older songmill,
        which made no such models.
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
    kind: Kind = "xgboost"
    candidates: dict[str, float] = field(default_factory=dict)
    folds: int | None = None

    def file_name(self, stem: str) -> str:
        """Return the name of the file of trees or numbers with this stem."""
        return stem + SUFFIXES[self.kind]

    def to_json(self) -> bytes:
        """Return the bytes of ``model.json``."""
        content = {"format": 1 if self.kind == "xgboost" else MODEL_FORMAT, **asdict(self)}
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
        if model_format not in (1, MODEL_FORMAT):
            raise ModelError(
                f"has format {model_format}; this songmill reads {MODEL_FORMAT} and older ones"
            )
        expected = content.pop("digest", None)
        if expected is not None and expected != digest(_as_json(content)):
            raise ModelError("is damaged: its digest is not that of its other entries")
        # An older songmill wrote no fields that have a default now.
        missing = [
            one.name
            for one in fields(cls)
            if one.default is one.default_factory is MISSING and one.name not in content
        ]
        if missing:
            raise ModelError(f"lacks {', '.join(missing)}")
        # A later songmill may have added fields.
        names = [one.name for one in fields(cls) if one.name in content]
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
            "kind": self.kind in KINDS,
            "candidates": isinstance(self.candidates, dict),
            "folds": self.folds is None
            or (type(self.folds) is int and 0 <= self.folds <= MAX_FOLDS),
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
    predictor : Predictor
        Its trees or numbers.
    """

    description: Description
    predictor: Predictor

    @classmethod
    def load(cls, description: Description, name: str, data: bytes) -> "Model":
        """Load the trees or numbers of a model.

        Parameters
        ----------
        description : Description
            The model's description.
        name : str
            Name of the file.
        data : bytes
            Content of the file.

        Raises
        ------
        ModelError
            The file is damaged, or does not belong to the description.
        """
        if digest(data) != description.digests.get(name):
            raise ModelError("is damaged: its SHA-256 differs from that in model.json")
        try:
            predictor = read_predictor(name, data)
        except ValueError as error:
            reader = "XGBoost" if description.kind == "xgboost" else "songmill"
            raise ModelError(f"is not a model that {reader} can read ({error})") from None
        if isinstance(predictor, Trees):
            expected = (len(description.columns), description.rounds, len(description.classes))
            if predictor.shape != expected:
                raise ModelError(
                    f"has {tuple(predictor.shape)} columns, rounds and classes; model.json says "
                    f"{expected}"
                )
        elif isinstance(predictor, Lda):
            for what, actual, listed in (
                ("columns", predictor.scaling.columns, description.columns),
                ("classes", predictor.classes, description.classes),
            ):
                if list(actual) != listed:
                    raise ModelError(f"has other {what} than model.json")
        return cls(description, predictor)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        features : np.ndarray [shape=(n, n_columns), float]
            Rows of the feature tables, with the description's columns in order.

        Returns
        -------
        np.ndarray [shape=(n, n_classes), range=[0, 1], float32]

        Raises
        ------
        ValueError
            A value is NaN or infinite, and the model has no trees; the message names its column.
        """
        return np.asarray(self.predictor.probabilities(features), np.float32)


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
