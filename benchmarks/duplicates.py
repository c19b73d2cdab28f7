"""Scores with the copies of a recording on both sides of the split, and on one side.

    python -m benchmarks.duplicates [TABLE]

TABLE is features_30_sec.csv, by default the copy next to the project: 1,000 tracks of ten genres,
with the 57 published features. Each model is tested by five folds of tracks, with ten seeds for the
folds. Both kinds of folds have the same seeds.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from jobs.defaults import FOLDS
from jobs.extraction.import_features import import_features
from jobs.learning.dataset import labelled_tracks
from jobs.learning.groups import group_duplicates
from jobs.neighbours.rows import read_rows
from jobs.progress import Progress
from jobs.store.tables import open_store
from training import splits
from training.classifiers import make_classifier
from training.splits import Tracks

TABLE = Path(__file__).resolve().parents[2] / "shared" / "data" / "gtzan" / "features_30_sec.csv"
MODELS = ("KNN", "decision tree", "SVM", "LDA", "tuned SVM")
SEEDS = range(10)


def read_tracks(table: Path) -> tuple[Tracks, np.ndarray]:
    """Return the tracks with their groups, and their features, of a published table."""
    with tempfile.TemporaryDirectory() as folder:
        import_features([str(table)], store=folder)
        store = open_store(folder)
        tracks = labelled_tracks(store, "gtzan", "track").tracks
        rows = read_rows(store, "gtzan", "track", Progress())
        return group_duplicates(store, tracks, Progress()), rows.features


def right(name: str, features: np.ndarray, tracks: Tracks, folds: np.ndarray) -> np.ndarray:
    """Return whether a model of the other folds is right for each track [shape=(n,), bool]."""
    found = np.empty(len(folds), bool)
    for fold in range(FOLDS):
        test = folds == fold
        model = make_pipeline(MinMaxScaler(), make_classifier(name))
        model.fit(features[~test], tracks.labels[~test])
        found[test] = model.predict(features[test]) == tracks.labels[test]
    return found


def main() -> None:
    """Print the table."""
    tracks, features = read_tracks(Path(sys.argv[1]) if sys.argv[1:] else TABLE)
    alone = Tracks(tracks.ids, tracks.labels, tracks.classes)
    _, group, size = np.unique(tracks.group_of_track, return_inverse=True, return_counts=True)
    has_copy = size[group] > 1
    print(
        f"\n| model | all {len(has_copy):,} tracks: at random | together "
        f"| the {has_copy.sum()} with a copy: at random | together |\n|---|---|---|---|---|"
    )
    for name in MODELS:
        scores: list[list[float]] = []
        for seed in SEEDS:
            splits.SEED = seed
            pair = [right(name, features, one, splits.folds(one, FOLDS)) for one in (alone, tracks)]
            scores.append(
                [found[rows].mean() for rows in (slice(None), has_copy) for found in pair]
            )
        print(f"| {name} | " + " | ".join(f"{mean:.3f}" for mean in np.mean(scores, axis=0)) + " |")
        error = np.std(np.diff(scores, axis=1)[:, 0], ddof=1) / np.sqrt(len(SEEDS))
    print(f"\nStandard error of the difference of {name} over all tracks: {error:.4f}")


if __name__ == "__main__":
    main()
