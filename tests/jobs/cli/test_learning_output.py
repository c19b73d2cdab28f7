"""Output of the commands that train and compare."""

from typing import Any

import pytest

from jobs.cli.learning import print_comparison, print_models, print_training
from jobs.learning import compare, train
from jobs.learning.promotion import Verdict
from jobs.learning.registry import Version
from jobs.store.schemas import COMPARISON
from training.model import Description

SCORE: dict[str, float] = {
    **{"accuracy": 0.72, "macro_f1": 0.7, "log_loss": 0.8, "chance": 0.333, "count": 120},
    **{"accuracy_lower": 0.64, "accuracy_upper": 0.8},
    **{"macro_f1_lower": 0.61, "macro_f1_upper": 0.79},
}


def describe(score: dict[str, float]) -> Description:
    return Description(
        version="20260301T120000-aaaaaa",
        created_at="2026-03-01T12:00:00+00:00",
        classes=["jazz", "rock"],
        columns=["tempo"],
        feature_set="gtzan-57.1",
        level="track",
        segment_seconds=3.0,
        parameters={},
        rounds=9,
        stopped_early=True,
        split={"name": "by-track", "tracks": {"train": 360, "valid": 120, "test": 120}},
        data={"tracks": 600},
        scores={"track": score},
        digests={},
        libraries={},
        workers=1,
    )


def test_a_training_shows_intervals_and_labels_with_few_tracks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    f1 = {"precision": 0.8, "recall": 0.6, "f1": 0.686, "lower": 0.551, "upper": 0.8}
    per_class = {"jazz": {**f1, "support": 20}, "rock": {**f1, "support": 19}}
    verdict = Verdict(True, "it is the first")
    print_training(train.Outcome(describe(SCORE), verdict, per_class, [], 1.0))
    out = capsys.readouterr().out
    assert "0.720 (0.640 to 0.800)  0.700 (0.610 to 0.790)" in out
    assert "99th percentile of" in out
    assert "random predictions" in out
    assert "chance" not in out
    jazz, rock = (line for line in out.splitlines() if line.startswith(("jazz", "rock")))
    assert jazz.split()[-5:] == ["0.69", "(0.55", "to", "0.80)", "20"]
    assert rock.split()[-3:] == ["19", "(few", "tracks)"]


def test_a_training_shows_only_features_that_matter(capsys: pytest.CaptureFixture[str]) -> None:
    means = {"tempo": 0.02, "rms_mean": 0.0005, "rms_var": 0.0004, "rolloff_mean": -0.01}
    rows = [{"feature": name, "mean": mean, "std": 0.001} for name, mean in means.items()]
    verdict = Verdict(True, "it is the first")
    print_training(train.Outcome(describe(SCORE), verdict, {}, rows, 1.0))
    out = capsys.readouterr().out
    assert [name for name in means if name in out] == ["tempo", "rms_mean"]
    print_training(train.Outcome(describe(SCORE), verdict, {}, rows[2:], 1.0))
    assert "No single feature matters" in capsys.readouterr().out


def test_models_of_an_older_songmill_have_no_intervals(capsys: pytest.CaptureFixture[str]) -> None:
    old = {name: value for name, value in SCORE.items() if "er" not in name[-5:]}
    print_models(
        [Version("a", describe(old), True), Version("b", describe(SCORE), False)], [], "store"
    )
    first, second = capsys.readouterr().out.splitlines()[1:]
    assert first.split()[-2:] == ["0.720", "0.700"]
    assert "0.700 (0.610 to 0.790)" in second


def test_a_comparison_shows_the_intervals_of_means(capsys: pytest.CaptureFixture[str]) -> None:
    row: dict[str, Any] = dict.fromkeys(COMPARISON.names)
    row |= {**SCORE, "model": "SVM", "split": "by-track", "leaky": False, "folds": 5}
    failed = row | {"model": "KNN", "accuracy": None, "macro_f1": None, "message": "no room"}
    print_comparison(compare.Outcome("run", "gtzan", "track", 1.0, 0, [row, failed]))
    out = capsys.readouterr().out
    assert "0.720 (0.640 to 0.800)  0.700 (0.610 to 0.790)" in out
    assert "KNN, by-track: no room" in out
    assert "means over folds" in out
