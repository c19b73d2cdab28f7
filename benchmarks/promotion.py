"""Promotion over many nights: how often an equal model is refused, and how far a chain may fall.

    python -m benchmarks.promotion [GTZAN]

GTZAN is a folder with `features_30_sec.csv`; by default the copy next to the project. Boosted trees
with different seeds predict its tracks out of fold. A simulated night draws the answers of one of
these seeds for each fold; a worse night replaces some correct answers with wrong ones.
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import training.bootstrap
from benchmarks.published import COLUMNS, SHARED_DATA
from training.evaluate import macro_f1
from training.promotion import BEST_ITSELF, MAX_NIGHTS, Difference, Night, change, compare

SEEDS = 20
FOLDS = 5
ROUNDS = 150
CHAINS = 20
RESAMPLES = 500
ACCEPTABLE_LOSS = 0.03

Draw = Callable[[float], np.ndarray]
"""Draws a model's predictions, given its loss of accuracy [range=[0, 1]]."""


@dataclass(frozen=True)
class Chain:
    """The result of a chain of nights.

    Parameters
    ----------
    refused : int
        Number of nights with a refused model.
    lost : float
        True loss of the last champion.
    """

    refused: int
    lost: float


def run_chain(truth: np.ndarray, draw: Draw, losses: Iterable[float]) -> Chain:
    """Promote a first model without a loss, and then judge a model of each of the ``losses``."""
    champion = best = draw(0.0)
    lost, refused = 0.0, 0
    nights = [BEST_ITSELF]
    for loss in losses:
        newcomer = draw(loss)
        to_best = compare(truth, newcomer, best)
        nights = [*nights, Night(to_best.value, to_best.deviation)][-MAX_NIGHTS:]
        since = change(nights)
        if is_worse(compare(truth, newcomer, champion)) or is_worse(since):
            refused += 1
            continue
        champion, lost = newcomer, loss
        if since.interval.lower > 0:
            best, nights = newcomer, [BEST_ITSELF]
    return Chain(refused, lost)


def is_worse(found: Difference) -> bool:
    """Return whether the interval lies below zero."""
    return found.interval.upper < 0


def worsen(
    truth: np.ndarray, predicted: np.ndarray, loss: float, generator: np.random.Generator
) -> np.ndarray:
    """Replace correct answers at random with wrong ones, which lowers the accuracy by ``loss``."""
    correct = predicted == truth
    replaced = correct & (generator.random(len(truth)) < loss / correct.mean())
    wrong = (truth + generator.integers(1, truth.max() + 1, len(truth))) % (truth.max() + 1)
    return np.where(replaced, wrong, predicted)


def simulated(generator: np.random.Generator, tracks: int = 1000) -> tuple[np.ndarray, Draw]:
    """Return the true classes of tracks, and models that differ as the seeds on GTZAN do.

    The probability that a model is right about a track is drawn from a beta distribution with the
    accuracy of the seeds, 0.726, and their probability of disagreeing about a track, 0.073.
    """
    truth = np.arange(tracks) % 10
    right = generator.beta(0.164, 0.062, tracks)

    def draw(loss: float) -> np.ndarray:
        wrong = (truth + generator.integers(1, 10, tracks)) % 10
        predicted = np.where(generator.random(tracks) < right, truth, wrong)
        return worsen(truth, predicted, loss, generator)

    return truth, draw


def predict_out_of_fold(gtzan: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the true classes, the folds and the predictions [shape=(SEEDS, n_tracks)]."""
    import xgboost

    from training.boosting import PARAMETERS
    from training.splits import Tracks, folds

    table = pd.read_csv(gtzan / "features_30_sec.csv")
    features = table[COLUMNS].to_numpy(np.float32)
    classes, truth = np.unique(table["label"], return_inverse=True)
    fold_of = folds(Tracks(table["filename"].to_numpy(), truth, tuple(classes)), FOLDS)
    predicted = np.zeros((SEEDS, len(truth)), np.int64)
    for seed in range(SEEDS):
        for fold in range(FOLDS):
            test = fold_of == fold
            booster = xgboost.train(
                {**PARAMETERS, "seed": seed, "num_class": len(classes), "nthread": 1},
                xgboost.DMatrix(features[~test], truth[~test]),
                ROUNDS,
            )
            predicted[seed, test] = booster.predict(xgboost.DMatrix(features[test])).argmax(axis=1)
        print(f"seed {seed}: {macro_f1(truth, predicted[seed]):.3f}", flush=True)
    return truth, fold_of, predicted


def _measured(
    truth: np.ndarray, fold_of: np.ndarray, predicted: np.ndarray, generator: np.random.Generator
) -> Draw:
    def draw(loss: float) -> np.ndarray:
        seed_of_fold = generator.integers(0, len(predicted), FOLDS)
        found = predicted[seed_of_fold[fold_of], np.arange(len(truth))]
        return worsen(truth, found, loss, generator)

    return draw


def main() -> None:
    """Print the results of all scenarios."""
    training.bootstrap.RESAMPLES = RESAMPLES  # of 15,000 comparisons
    gtzan = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED_DATA / "gtzan"
    truth, fold_of, predicted = predict_out_of_fold(gtzan)
    generator = np.random.default_rng(0)
    draw = _measured(truth, fold_of, predicted, generator)
    scores = np.array([macro_f1(truth, draw(0.0)) for _ in range(200)])
    print(
        f"{len(truth)} tracks: macro F1 {scores.mean():.3f}, standard deviation {scores.std():.4f}"
    )
    found = compare(truth, draw(0.0), draw(0.0))
    print(f"standard deviation of a difference by the bootstrap: {found.deviation:.4f}")
    for name, losses in (
        ("200 equal nights", np.zeros(200)),
        ("30 nights, each .005 worse", 0.005 * np.arange(1, 31)),
        ("100 nights, each .001 worse", 0.001 * np.arange(1, 101)),
        ("20 equal nights, then 30 that are .03 worse", np.repeat([0.0, 0.03], [20, 30])),
    ):
        chains = [run_chain(truth, draw, losses) for _ in range(CHAINS)]
        lost = np.array([chain.lost for chain in chains])
        refused = np.array([chain.refused for chain in chains]) / len(losses)
        print(
            f"{name}: refused {refused.mean():.1%} (nine chains of ten: at most "
            f"{np.quantile(refused, 0.9):.1%}); the last champion's loss {lost.mean():.3f} "
            f"(at most {lost.max():.3f}; {(lost > ACCEPTABLE_LOSS + 1e-9).mean():.0%} above .03)",
            flush=True,
        )


if __name__ == "__main__":
    main()
