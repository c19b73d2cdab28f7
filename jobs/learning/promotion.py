"""The decision whether a new model becomes the champion, and the record of the best champion.

The statistics are those of :mod:`training.promotion`.
"""

from dataclasses import dataclass

import numpy as np

from jobs.learning.folds import held_out_models, judged_model
from jobs.learning.groups import held_out_by_group
from jobs.learning.registry import Best, check_fit
from jobs.store.tables import Store
from training.bootstrap import Interval
from training.evaluate import chance, macro_f1
from training.model import Description
from training.predictor import Predictor
from training.promotion import LEVEL, MAX_NIGHTS, Difference, Night, change, compare
from training.splits import Tracks


@dataclass(frozen=True)
class HeldOut:
    """Models, and for each track one of them that has not learnt it.

    Parameters
    ----------
    models : list of Predictor
        The models.
    model_of : np.ndarray [shape=(n_tracks,), range=[-1, n_models), int]
        Index of each track's model; -1 if all models have learnt it.
    """

    models: list[Predictor]
    model_of: np.ndarray


@dataclass(frozen=True)
class Earlier:
    """An earlier model that a new one is compared with.

    Parameters
    ----------
    described : Description
        Its description.
    features : str
        Name of its feature set.
    folds : HeldOut or None
        The models of its folds, and that of all tracks; None of an older songmill.
    judged : HeldOut
        The model of its training part.
    """

    described: Description
    features: str
    folds: HeldOut | None
    judged: HeldOut


def read_earlier(store: Store, described: Description, tracks: Tracks) -> Earlier:
    """Load the models of a version that can predict these tracks.

    Raises
    ------
    StoreError
        Its files are damaged, or the store's rows do not fit it.
    """
    features = check_fit(described, store.settings, store.storage.root).name
    groups, folds = tracks.group_of_track, None
    if described.folds:
        models, model_of = held_out_models(store, described, tracks.ids)
        folds = HeldOut(models, held_out_by_group(model_of, groups, described.folds))
    models, model_of = judged_model(store, described, tracks.ids)
    return Earlier(
        described, features, folds, HeldOut(models, held_out_by_group(model_of, groups, 1))
    )


@dataclass(frozen=True)
class Answers:
    """Predictions of a new and an earlier model, of the same tracks, which neither has learnt.

    Parameters
    ----------
    version : str
        The earlier model.
    truth, newcomer, earlier : np.ndarray [shape=(n,), int]
        True and predicted classes. A prediction of -1 matches no class.
    groups : np.ndarray [shape=(n,), int] or None
        Group of each track; None if each is a group of its own.
    """

    version: str
    truth: np.ndarray
    newcomer: np.ndarray
    earlier: np.ndarray
    groups: np.ndarray | None


@dataclass(frozen=True)
class Comparison:
    """A new and an earlier model, compared by macro F1 on the same tracks.

    Parameters
    ----------
    version : str
        The earlier model.
    newcomer, earlier : float [range=[0, 1]]
        Macro F1 by track of both.
    tracks : int
        Number of tracks.
    difference, lower, upper : float [range=[-1, 1]]
        ``newcomer`` - ``earlier``, and the ends of its confidence interval.
    """

    version: str
    newcomer: float
    earlier: float
    tracks: int
    difference: float
    lower: float
    upper: float


@dataclass(frozen=True)
class SinceBest:
    """Change of macro F1 since the best champion so far.

    Parameters
    ----------
    nights : int
        Number of nights with a new model since then, of which the last ones count.
    change, lower, upper : float
        The change, by a straight line through the nights, and the ends of its confidence interval.
    """

    nights: int
    change: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Verdict:
    """Whether the new model becomes the champion, and why.

    Parameters
    ----------
    promoted : bool
        Whether it becomes the champion.
    reason : str
        Explanation for a person.
    champion, best : Comparison or None
        Comparison with the champion, and with the best champion so far on the same split.
    since_best : SinceBest or None
        Change since that best champion.
    """

    promoted: bool
    reason: str
    champion: Comparison | None = None
    best: Comparison | None = None
    since_best: SinceBest | None = None


def decide(
    champion: Answers,
    best: Answers | None,
    record: Best | None,
    *,
    earlier_score: float,
    tolerance: float,
    promote: bool | None,
) -> tuple[Verdict, Best | None]:
    """Compare the new model with the champion and with the best champion so far.

    Parameters
    ----------
    champion : Answers
        Predictions of the new model and the champion.
    best : Answers or None
        Those of the new model and the best champion; None if they cannot be compared.
    record : Best or None
        The best champion so far on this split.
    earlier_score : float [range=[0, 1]]
        Macro F1 by track of the champion when it was trained.
    tolerance : float [range=[0, 1]]
        Loss of macro F1 that is acceptable beyond the interval.
    promote : bool or None
        Whether the new model becomes the champion; None: if it is not worse.

    Returns
    -------
    verdict : Verdict
    record : Best or None
        The record with this night. None if the new model is the best from now on.
    """
    found = compare(champion.truth, champion.newcomer, champion.earlier, champion.groups)
    comparison = _comparison(champion, found)
    reason = (
        f"macro F1 by track {comparison.newcomer:.3f}, the champion's {comparison.earlier:.3f}, on "
        f"the same {comparison.tracks} tracks: difference {in_words(found.value, found.interval)}"
    )
    worse_than = "champion" if _is_worse(found, tolerance) else ""
    best_comparison = since = None
    risen = False
    if best is not None and record is not None:
        is_champion = best.version == champion.version
        to_best = found if is_champion else _compare(best)
        best_comparison = _comparison(best, to_best)
        nights = (*record.nights, Night(to_best.value, to_best.deviation))[-MAX_NIGHTS:]
        record = Best(record.version, record.split, nights)
        over_nights = change(nights)
        risen = over_nights.interval.lower > 0
        ends = over_nights.interval
        since = SinceBest(len(nights) - 1, over_nights.value, ends.lower, ends.upper)
        if not is_champion or since.nights > 1:
            change_since = in_words(over_nights.value, ends)
            reason += f"; {change_since} in {since.nights} nights since {best.version}, the best"
        if _is_worse(over_nights, tolerance):
            worse_than = worse_than or "best champion so far"
    promoted = not worse_than
    if worse_than:
        reason += f": worse than the {worse_than}"
        reason += f" by more than {tolerance:g}" if tolerance else ""
    elif _is_guessing(champion, comparison, earlier_score):
        promoted = False
        reason += (
            f": neither is better than random predictions, but the champion had "
            f"{earlier_score:.3f} when it was trained. Check the labels"
        )
    forced = promote is not None and promote != promoted
    if promote is not None and forced:
        promoted = promote
        reason += "; --promote" if promoted else "; --no-promote"
    verdict = Verdict(promoted, reason, comparison, best_comparison, since)
    # A person who promotes a worse model accepts its score.
    is_best = promoted and (forced or risen)
    return verdict, None if is_best else record


def in_words(difference: float, interval: Interval) -> str:
    """Return a difference with its interval.

    Examples
    --------
    >>> in_words(-0.02, Interval(-0.046, 0.006))
    '-0.020 (99 % interval -0.046 to +0.006)'
    """
    ends = f"{interval.lower:+.3f} to {interval.upper:+.3f}"
    return f"{difference:+.3f} ({100 * LEVEL:g} % interval {ends})"


def _compare(answers: Answers) -> Difference:
    return compare(answers.truth, answers.newcomer, answers.earlier, answers.groups)


def _comparison(answers: Answers, found: Difference) -> Comparison:
    return Comparison(
        answers.version,
        macro_f1(answers.truth, answers.newcomer),
        macro_f1(answers.truth, answers.earlier),
        len(answers.truth),
        found.value,
        found.interval.lower,
        found.interval.upper,
    )


def _is_worse(found: Difference, tolerance: float) -> bool:
    return found.interval.upper < -tolerance


def _is_guessing(answers: Answers, comparison: Comparison, earlier_score: float) -> bool:
    """Return whether both models are no better than random predictions, but the champion was.

    With random labels no model is worse than another. Too few tracks cannot show that: random
    predictions might reach the champion's earlier score.
    """
    if comparison.newcomer > chance(answers.truth, answers.newcomer):
        return False
    return comparison.earlier <= chance(answers.truth, answers.earlier) < earlier_score
