"""XGBoost as songmill uses it: parameters, early stopping, input and output of a training."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost

PARAMETERS: dict[str, Any] = {
    "objective": "multi:softprob",
    "eval_metric": "mlogloss",
    "tree_method": "hist",
    "max_depth": 5,
    "learning_rate": 0.06,
    "subsample": 0.5,
    "colsample_bytree": 0.2,
    "seed": 42,
}
"""XGBoost's parameters, for both feature sets.

Those that differ from its defaults score best on the rich features of six genres of GTZAN, among
those that lose nothing on the published features of all ten.
"""

MAX_ROUNDS = 1000
"""Maximum number of boosting rounds, with early stopping."""

PATIENCE = 30
"""Rounds without a lower validation loss after which training stops."""

FIXED_ROUNDS = 500
"""Boosting rounds without a validation part; the other parameters were chosen for them."""

VALIDATION = "valid"
"""Name of the validation part in XGBoost's ``evals`` and in its log."""

Load = Callable[[Any], tuple[np.ndarray, np.ndarray]]
"""Loads rows: features [shape=(n, n_columns), float32] and classes [shape=(n,), int]."""


@dataclass(frozen=True)
class Share:
    """The rows of one worker, as arguments of a :data:`Load`.

    Parameters
    ----------
    train : Any
        Training rows, at least one.
    valid : Any or None
        Validation rows, at least one. Either all shares have them or none does.
    """

    train: Any
    valid: Any = None


@dataclass(frozen=True)
class TrainedBooster:
    """A trained booster.

    Parameters
    ----------
    booster : xgboost.Booster
        After early stopping, only the rounds up to the best one.
    losses : list of float
        Log loss of the validation part after each round; empty without a validation part.
    workers : int
        Number of workers that trained.
    """

    booster: Any
    losses: list[float]
    workers: int


def seed_of_fold(fold: int) -> int:
    """Return the random seed of the trees that are fitted without a fold.

    Each fold has another one: with one seed, the luck of a model would be the same in all folds,
    and look like a better model.

    Examples
    --------
    >>> [seed_of_fold(fold) for fold in range(3)]
    [42, 43, 44]
    """
    return int(PARAMETERS["seed"]) + fold


def early_stopping() -> Any:
    """Return a callback that stops after :data:`PATIENCE` rounds without a lower validation loss.

    Returns
    -------
    xgboost.callback.EarlyStopping
        The booster keeps only the rounds up to the best one.

    Examples
    --------
    >>> early_stopping().rounds
    30
    """
    return xgboost.callback.EarlyStopping(
        rounds=PATIENCE, metric_name="mlogloss", data_name=VALIDATION, save_best=True
    )


def validation_losses(evals_log: dict[str, dict[str, list[float]]]) -> list[float]:
    """Return the log loss of the validation part after each round.

    Parameters
    ----------
    evals_log : dict of str to dict
        XGBoost's evaluation log: by name of the data, then of the metric.

    Returns
    -------
    list of float
        Empty without a validation part.

    Examples
    --------
    >>> validation_losses({"valid": {"mlogloss": [0.9, 0.5]}})
    [0.9, 0.5]
    >>> validation_losses({})
    []
    """
    return evals_log.get(VALIDATION, {}).get("mlogloss", [])


# Referenced here because XGBoost keeps only the pointer.
_ignore = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(lambda message: None)


def silence_log() -> None:
    """Discard what XGBoost logs in this thread.

    Otherwise each worker of a local cluster prints its rank on the terminal.
    """
    ctypes.CDLL(xgboost.build_info()["libxgboost"]).XGBRegisterLogCallback(_ignore)
