"""Trainings: files, scores and promotions, against plain XGBoost and scikit-learn."""

import errno
import io
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xgboost
from rich.console import Console
from sklearn.metrics import f1_score
from support.in_process import RecordedBoosting
from support.made_models import MISFITS, MODEL_FILES, champion_of, plainly, put_model
from support.made_stores import make_store, read_rows, write_part

import jobs.learning.train
from featurizer.feature_set import feature_set
from jobs.errors import StoreError, UsageError
from jobs.learning import registry
from jobs.learning.promotion import Answers
from jobs.learning.train import Outcome, train
from jobs.progress import Progress
from jobs.store.schemas import SEGMENTS
from jobs.store.tables import open_store
from training.boosting import PARAMETERS
from training.evaluate import score

GTZAN = feature_set("gtzan")

Labels = dict[str, str | None]
Shift = dict[str | None, float]

SHIFT: Shift = {"blues": 0.0, "jazz": 1.5, "rock": 3.0, "folk": -1.5}


def made_of(*classes: str, each: int = 8) -> Labels:
    """Return ``each`` tracks of each class."""
    return {f"{name}{i:02}.wav": name for i in range(each) for name in classes}


def fill(root: Path, labels: Labels, *, shift: Shift = SHIFT, segments: int = 2) -> None:
    """Make a store with ``labels``, and with features shifted by the label."""
    rows = [(track, label) for track, label in labels.items() for _ in range(segments)]
    half = len(rows) // 2 + 1  # within a track
    make_store(root, rows[:half], [], rows[half:], shift=shift)


@pytest.fixture(autouse=True)
def _filled(root: Path) -> None:
    fill(root, made_of("blues", "jazz", "rock"))


@pytest.fixture
def booster(monkeypatch: pytest.MonkeyPatch) -> RecordedBoosting:
    return RecordedBoosting(monkeypatch)


Train = Callable[..., Outcome]


@pytest.fixture
def do(root: Path, booster: RecordedBoosting, in_process_cluster: str) -> Train:
    where = {"store": str(root), "scheduler": in_process_cluster}
    return lambda **options: train(**{**where, "model": "xgboost", **options})


def split_of(root: Path, version: str) -> dict[str, str]:
    found = pq.read_table(root / "models" / version / "split.parquet").to_pylist()
    return {row["track_id"]: row["set"] for row in found}


def models_in(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "models").glob("*/"))


def labels_of(root: Path, level: str = "segment") -> dict[str, str]:
    """Return the label of each track with rows."""
    rows = read_rows(root, level)
    return dict(zip(rows["track_id"], rows["label"], strict=True))


def tracks_of(root: Path, outcome: Outcome, part: str = "test") -> list[str]:
    """Return the tracks of a part of a training's split."""
    parts = split_of(root, outcome.description.version)
    return [track for track in parts if parts[track] == part]


def predictions(
    root: Path,
    outcome: Outcome,
    tracks: Iterable[str],
    level: str = "segment",
    trees: str = "judged.ubj",
) -> pd.DataFrame:
    """Return truth and prediction of tracks by the judged model, with plain XGBoost."""
    rows = read_rows(root, level)
    rows = rows[rows["track_id"].isin(list(tracks))].set_index("track_id")
    classes, given = plainly(root, outcome.description.version, rows, trees)
    means = pd.DataFrame(given, rows.index, classes).groupby(level=0).mean()
    truth = rows["label"].groupby(level=0).first()
    return pd.DataFrame({"truth": truth, "predicted": means.idxmax(axis=1)})


def macro_f1(found: pd.DataFrame) -> float:
    """Return the mean F1 of the classes of the truth."""
    truth, given = found["truth"], found["predicted"]
    return float(f1_score(truth, given, labels=truth.unique(), average="macro", zero_division=0))


def judged_score(root: Path, outcome: Outcome) -> Any:
    """Return the score of the judged model on its test tracks."""
    return pytest.approx(macro_f1(predictions(root, outcome, tracks_of(root, outcome))))


def held_out(
    root: Path, outcome: Outcome, tracks: Iterable[str], level: str = "segment"
) -> pd.DataFrame:
    """Return truth and prediction of tracks by models that have not learnt them."""
    folder = root / "models" / outcome.description.version
    folds = pd.read_parquet(folder / "folds.parquet").set_index("track_id")["fold"]
    names = pd.Series(list(tracks))
    trees = names.map(folds.map("fold-{:.0f}.ubj".format)).fillna("model.ubj")
    found = [
        predictions(root, outcome, names[trees == name], level, name) for name in trees.unique()
    ]
    return pd.concat(found).sort_index()


# Files


def test_written_scores_are_those_of_plain_xgboost(root: Path, do: Train) -> None:
    """The second time too: workers outlive a run, and cache what they read."""
    do()
    fill(root, made_of("blues", "folk", "rock"))
    outcome = do(promote=True)
    version = outcome.description.version
    metrics = pd.read_parquet(root / "models" / version / "metrics.parquet")
    confusion = pd.read_parquet(root / "models" / version / "confusion.parquet")
    model_json = json.loads((root / "models" / version / "model.json").read_text())
    classes = ["blues", "folk", "rock"]
    assert model_json["classes"] == classes

    rows = read_rows(root)
    rows = rows[rows["track_id"].isin(tracks_of(root, outcome))].reset_index(drop=True)
    given = pd.DataFrame(plainly(root, version, rows, "judged.ubj")[1].astype(float))
    tracks = rows.groupby("track_id")
    for level, truth, probabilities, groups in (
        ("segment", rows["label"], given, np.unique(rows["track_id"], return_inverse=True)[1]),
        ("track", tracks["label"].first(), given.groupby(rows["track_id"]).mean(), None),
    ):
        wanted = score(np.searchsorted(classes, truth), probabilities.to_numpy(), groups)
        own = metrics[metrics["level"] == level]
        whole = own[own["label"].isna() & ~own["metric"].str.contains("since")]
        found = dict(zip(whole["metric"], whole["value"], strict=True))
        names = ("accuracy", "macro_f1", "log_loss", "chance")
        assert found == pytest.approx({name: getattr(wanted, name) for name in names}, abs=1e-6)
        ends = {
            f"{name}_{end}": getattr(wanted.intervals[name], end)
            for name in ("accuracy", "macro_f1")
            for end in ("lower", "upper")
        }
        assert model_json["scores"][level] == {**found, "count": wanted.count, **ends}
        assert set(whole["count"]) == {wanted.count}
        indexed = whole.set_index("metric")
        assert ends == {name: indexed.loc[name[:-6], name[-5:]] for name in ends}
        for name, expected in zip(classes, wanted.classes, strict=True):
            of_class = own[own["label"] == name]
            found = dict(zip(of_class["metric"], of_class["value"], strict=True))
            ends = of_class.set_index("metric").loc["f1", ["lower", "upper"]].to_dict()
            assert found | {"support": expected.support} | ends == pytest.approx(asdict(expected))
            assert set(of_class["count"]) == {expected.support}
        found = confusion[confusion["level"] == level].pivot(
            index="label", columns="predicted", values="count"
        )
        assert found.loc[classes, classes].to_numpy().tolist() == wanted.confusion.tolist()


def test_a_version_is_whole_and_plain_files(
    root: Path, do: Train, booster: RecordedBoosting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.learning.train, "importance", booster.importance)
    monkeypatch.setattr(jobs.learning.train, "MIN_SHARE_ROWS", 10)
    outcome = do()
    version = outcome.description.version
    assert {path.name for path in (root / "models" / version).iterdir()} == MODEL_FILES
    suffixes = {path.suffix for path in root.rglob("*") if path.is_file()}
    assert suffixes == {".json", ".parquet", ".ubj"}
    assert champion_of(root) == version
    (run,) = open_store(str(root)).read("runs").to_pylist()
    assert (run["stage"], run["outcome"], run["workers"]) == ("train", "done", 2)
    assert run["message"] == "promoted: it is the first"
    matters = pd.read_parquet(root / "models" / version / "importance.parquet")
    assert sorted(matters["feature"]) == sorted(GTZAN.names)
    assert matters["mean"].is_monotonic_decreasing


def test_the_final_model_learns_from_all_labelled_rows_and_the_judged_from_its_part(
    root: Path, do: Train, booster: RecordedBoosting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.learning.train, "MIN_SHARE_ROWS", 10)
    labels = made_of("blues", "jazz") | {"nobody.wav": None}
    fill(root, labels)
    described = do().description
    parts = Counter(split_of(root, described.version).values())
    assert [sum(rows) for rows in booster.rows] == [2 * parts["train"], 2 * 16]
    # The first training has rows for one share only.
    assert [len(rows) for rows in booster.rows] == [1, 2]
    assert described.split["tracks"] == parts
    assert described.data["rows"] == 32
    assert described.data["labels"] == {"blues": 8, "jazz": 8}
    assert "nobody.wav" not in split_of(root, described.version)


def test_the_model_of_a_fold_is_plain_xgboost_of_all_other_tracks(
    root: Path, do: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(root, made_of("blues", "jazz", "rock") | {"once.wav": "folk", "nobody.wav": None})
    described = do().description
    folder = root / "models" / described.version
    folds = pd.read_parquet(folder / "folds.parquet").set_index("track_id")["fold"]
    assert folds["blues00.wav":].value_counts().tolist() == [5, 5, 5, 5, 4]
    assert folds.index[folds.isna()].tolist() == ["once.wav"]
    assert "nobody.wav" not in folds
    assert described.folds == 5
    rows = read_rows(root)
    rows = rows[rows["label"].notna()].reset_index(drop=True)
    codes = np.searchsorted(described.classes, rows["label"])
    features, fold_of = rows[list(GTZAN.names)].to_numpy(np.float32), rows["track_id"].map(folds)
    found = np.full((len(rows), 4), np.nan)
    for fold in range(5):
        learnt = (fold_of != fold).to_numpy()
        matrix = xgboost.QuantileDMatrix(features[learnt], codes[learnt])
        parameters = {**PARAMETERS, "num_class": 4, "nthread": 1, "seed": 42 + fold}
        plain = xgboost.train(parameters, matrix, described.rounds)
        held_out = rows[~learnt]
        found[~learnt] = plainly(root, described.version, held_out, f"fold-{fold}.ubj")[1]
        expected = plain.predict(xgboost.DMatrix(features[~learnt]))
        np.testing.assert_array_equal(found[~learnt], expected)
    means = pd.DataFrame(found).groupby(rows["track_id"]).mean().dropna()
    truth = np.searchsorted(
        described.classes, rows.groupby("track_id")["label"].first()[means.index]
    )
    right = (truth == means.to_numpy().argmax(axis=1)).mean()
    assert f"right out of fold: {right:.1%} of 24 labelled tracks" in capsys.readouterr().err


def test_models_of_many_rows_are_fitted_one_after_the_other(
    root: Path, do: Train, booster: RecordedBoosting, monkeypatch: pytest.MonkeyPatch
) -> None:
    side_by_side = root / "models" / do().description.version
    monkeypatch.setattr(jobs.learning.train, "MAX_TASK_ROWS", 0)
    one_by_one = root / "models" / do().description.version
    counts = pd.read_parquet(one_by_one / "folds.parquet")["fold"].value_counts().sort_index()
    assert [sum(rows) for rows in booster.rows[3:-1]] == (48 - 2 * counts).tolist()
    for fold in range(5):
        found = {
            (folder / f"fold-{fold}.ubj").read_bytes() for folder in (side_by_side, one_by_one)
        }
        assert len(found) == 1


def test_tracks_outside_a_split_are_learnt_from_in_the_end(
    root: Path, do: Train, booster: RecordedBoosting
) -> None:
    sets = {"blues00.wav": "train", "jazz00.wav": "train", "rock00.wav": "test"}
    described = do(split=write_split(root, sets)).description
    assert [sum(rows) for rows in booster.rows] == [4, 48]
    assert described.data["rows"] == 48
    assert split_of(root, described.version) == sets


def write_split(root: Path, sets: dict[str, str]) -> str:
    path = root.with_name("split.csv")
    pd.Series(sets, name="set").rename_axis("track_id").to_csv(path)
    return str(path)


# Promotion

LIKE_ONE_ANOTHER: Labels = {f"{i:02}.wav": ("soul", "funk")[i % 2] for i in range(24)}
"""Tracks of two classes with the same distribution of features."""


def test_a_first_model_and_one_as_good_as_the_champion_are_promoted_unless_forbidden(
    root: Path, do: Train
) -> None:
    assert not do(promote=False).verdict.promoted
    assert not (root / "models/champion.json").exists()
    first = do()
    assert first.verdict.promoted
    assert champion_of(root) == first.description.version
    second = do()
    assert second.verdict.promoted
    compared = second.verdict.champion
    assert compared
    assert compared.version == first.description.version
    assert compared.newcomer == compared.earlier
    assert compared.earlier == pytest.approx(macro_f1(held_out(root, first, labels_of(root))))
    assert compared.tracks == 24
    assert (compared.difference, compared.lower, compared.upper) == (0, 0, 0)
    assert second.verdict.best == compared
    assert champion_of(root) == second.description.version
    # The same rows and number of workers give the same trees.
    for name in ("model.ubj", "judged.ubj"):
        trees = {(root / "models" / version / name).read_bytes() for version in models_in(root)}
        assert len(trees) == 1


@pytest.mark.parametrize(
    ("options", "promoted"),
    [
        ({}, False),
        ({"tolerance": 1.0}, True),
        ({"promote": True}, True),
        ({"tolerance": 1.0, "promote": False}, False),
    ],
)
def test_a_worse_model_is_kept_and_does_not_predict_unless_asked_for(
    root: Path, do: Train, monkeypatch: pytest.MonkeyPatch, options: Any, promoted: bool
) -> None:
    first = do().description.version
    fill(root, LIKE_ONE_ANOTHER)
    # On the current rows the champion would be as bad.
    monkeypatch.setattr(
        "jobs.learning.train._Training._compare",
        lambda self, pool, name, tested, found, earlier: Answers(
            first, found.truth, found.predicted, found.truth, None
        ),
    )
    outcome = do(**options)
    verdict = outcome.verdict
    assert verdict.champion
    assert verdict.champion.earlier == 1.0
    assert verdict.champion.upper < 0
    assert verdict.promoted is promoted
    assert ("--promote" in verdict.reason) == ("promote" in options and promoted)
    assert ("--no-promote" in verdict.reason) == ("promote" in options and not promoted)
    assert champion_of(root) == (outcome.description.version if promoted else first)
    assert outcome.description.version in models_in(root)


def test_a_model_of_random_labels_does_not_predict(root: Path, do: Train) -> None:
    # With fewer tracks, random predictions might score well.
    labels = made_of("blues", "jazz", "rock", each=20)
    fill(root, labels)
    first = do().description.version
    fill(root, labels, shift={})
    assert not do().verdict.promoted
    # With random labels the champion's score says nothing either, whatever the tolerance.
    verdict = do(tolerance=1.0).verdict
    assert not verdict.promoted
    assert "neither is better than random predictions" in verdict.reason
    assert champion_of(root) == first
    # With the right labels, a model is promoted again.
    fill(root, labels)
    assert do().verdict.promoted


def test_a_champion_no_better_than_chance_may_be_replaced(root: Path, do: Train) -> None:
    fill(root, LIKE_ONE_ANOTHER)
    first = do()
    assert first.description.scores["track"]["macro_f1"] < 0.8
    assert do().verdict.promoted


def test_tracks_stay_in_their_part_and_new_ones_are_dealt_in(root: Path, do: Train) -> None:
    labels = made_of("blues", "jazz", "rock", each=10)
    fill(root, labels)
    before = split_of(root, do().description.version)
    del labels["rock00.wav"]
    labels |= {f"new{i:02}.wav": ("blues", "rock")[i % 2] for i in range(15)}
    labels |= {f"folk{i}.wav": "folk" for i in range(5)}
    fill(root, labels)
    after = split_of(root, do().description.version)
    assert set(after) == set(labels)
    assert all(after.get(track, part) == part for track, part in before.items())
    new = {part for track, part in after.items() if track not in before}
    assert new == {"train", "valid", "test"}


def test_each_track_is_predicted_by_models_that_have_not_learnt_it(root: Path, do: Train) -> None:
    """By those of folds, whatever the split; a track new to the champion, by its final model."""
    labels = made_of("blues", "jazz", "rock")
    fill(root, labels | {"once.wav": "folk"})
    first = do()
    fill(root, labels | {"once.wav": "rock", "new.wav": "rock"})
    sides = {"train": "test", "valid": "test", "test": "train"}
    parts = split_of(root, first.description.version)
    swapped = {track: sides[part] for track, part in parts.items()}
    second = do(split=write_split(root, swapped), tolerance=1.0)
    compared = second.verdict.champion
    assert compared
    # All models of the champion have learnt the only track of a label.
    both = [*labels, "new.wav"]
    assert compared.tracks == 25
    assert compared.earlier == pytest.approx(macro_f1(held_out(root, first, both)))
    assert compared.newcomer == pytest.approx(macro_f1(held_out(root, second, both)))
    assert second.verdict.best is None  # no champion of this split is known


def test_a_champion_without_folds_is_compared_by_test_tracks_that_it_has_not_learnt(
    root: Path, do: Train
) -> None:
    labels = made_of("blues", "jazz", "rock")
    parts: dict[str, str] = dict(zip(labels, itertools.cycle(["train", "valid", "test"])))
    classes = ["blues", "jazz", "rock"]
    put_model(open_store(str(root)), "1", classes, champion=True, split=parts)
    tests = dict.fromkeys([*list(labels)[:7], "new.wav"], "test")
    fill(root, labels | {"new.wav": "rock"})
    outcome = do(split=write_split(root, dict.fromkeys(labels, "train") | tests), tolerance=1.0)
    compared = outcome.verdict.champion
    assert compared
    fair = [track for track in tests if parts.get(track, "test") == "test"]
    assert compared.tracks == len(fair) == 3
    assert compared.newcomer == pytest.approx(macro_f1(predictions(root, outcome, fair)))


@pytest.mark.parametrize("promote", [None, True, False])
def test_where_the_champion_has_learnt_from_every_test_track_nothing_is_compared(
    root: Path, do: Train, promote: bool | None
) -> None:
    learnt = dict.fromkeys(made_of("blues", "jazz", "rock"), "train")
    classes = ["blues", "jazz", "rock"]
    put_model(open_store(str(root)), "1", classes, champion=True, split=learnt)
    split = write_split(root, learnt | {"blues00.wav": "test", "rock00.wav": "test"})
    verdict = do(split=split, promote=promote).verdict
    assert (verdict.promoted, verdict.champion) == (promote is True, None)
    assert "has learnt from every test track" in verdict.reason


def test_the_best_champion_is_recorded_and_compared_with_every_night(root: Path, do: Train) -> None:
    store = open_store(str(root))
    first = do().description.version
    assert registry.best(store) == registry.Best(first, "by-track")
    # A store of an older songmill: the champion is the best so far.
    path = root / "models/champion.json"
    old = {"version": first, "promoted_at": "2026-01-01T00:00:00+00:00", "previous": None}
    path.write_text(json.dumps(old))
    second = do()
    assert second.verdict.promoted
    found = registry.best(store)
    assert found
    assert (found.version, len(found.nights)) == (first, 2)
    # The champion is now the second. A night without a promotion is recorded, too.
    third = do(promote=False).verdict
    assert (third.champion and third.champion.version) == second.description.version
    assert (third.best and third.best.version) == first
    assert (third.since_best and third.since_best.nights) == 2
    found = registry.best(store)
    assert found
    assert (found.version, len(found.nights)) == (first, 3)
    assert champion_of(root) == second.description.version
    metrics = pd.read_parquet(root / "models" / second.description.version / "metrics.parquet")
    rows = metrics.set_index("metric").loc[["since_champion", "since_best", "trend_since_best"]]
    assert rows[["value", "lower", "upper"]].to_numpy().tolist() == [[0.0] * 3] * 3
    assert rows["count"].tolist() == [24, 24, 1]
    # A best champion whose files are damaged is replaced by the champion.
    (root / "models" / first / "fold-0.ubj").write_bytes(b"{")
    log = io.StringIO()
    fourth = do(progress=Progress(Console(file=log, width=300)))
    assert "the best champion so far cannot be judged" in log.getvalue()
    assert (fourth.verdict.best and fourth.verdict.best.version) == second.description.version


@pytest.mark.parametrize(
    ("changes", "text"), [*MISFITS, ({"segment_seconds": 5.0}, "segments of 5 s")]
)
@pytest.mark.parametrize("promote", [None, False])
def test_a_champion_that_does_not_fit_is_replaced_with_a_reason(
    root: Path, do: Train, changes: dict[str, Any], text: str, promote: bool | None
) -> None:
    split = dict.fromkeys(made_of("blues", "jazz", "rock"), "train") | {"rock00.wav": "test"}
    put_model(open_store(str(root)), "1", ["a", "b", "c"], champion=True, split=split, **changes)
    outcome = do(promote=promote)
    assert outcome.verdict.promoted is (promote is None)
    assert "the champion cannot be judged" in outcome.verdict.reason
    assert text in outcome.verdict.reason
    assert champion_of(root) == ("1" if promote is False else outcome.description.version)


def test_classes_may_be_new_or_gone(root: Path, do: Train) -> None:
    """Segments that the champion predicts as a class that is gone are wrong."""
    first = do()
    # The tracks that were jazz are folk now.
    fill(root, made_of("blues", "folk", "rock"), shift=SHIFT | {"folk": SHIFT["jazz"]})
    second = do(tolerance=1.0)
    assert second.description.classes == ["blues", "folk", "rock"]
    champion = held_out(root, first, labels_of(root))
    assert "jazz" in set(champion["predicted"])
    assert "folk" in set(champion["truth"])
    assert second.verdict.champion
    assert second.verdict.champion.earlier == pytest.approx(macro_f1(champion))


def test_a_champion_of_tracks_is_judged_by_the_rows_of_its_level(root: Path, do: Train) -> None:
    labels = made_of("blues", "jazz", "rock")
    # Features that no segment has.
    shift = {"blues": -5.0, "jazz": 9.0, "rock": -9.0}
    make_store(root, labels.items(), level="track", shift=shift)
    tracks = do(level="track")
    gone = "blues00.wav"
    make_store(root, [one for one in labels.items() if one[0] != gone], level="track", shift=shift)
    # Both levels share the split, which is by track.
    segments = do(level="segment", tolerance=1.0)
    assert segments.description.level == "segment"
    own = held_out(root, tracks, labels_of(root, "track"), level="track")
    truth = pd.Series(labels, name="truth")
    # A track without a row is predicted as no class.
    champion = own[["predicted"]].join(truth, how="right").fillna("-")
    compared = segments.verdict.champion
    assert compared
    assert compared.tracks == 24
    assert 0.5 < macro_f1(champion) < 1
    assert compared.earlier == pytest.approx(macro_f1(champion))


@pytest.mark.parametrize(
    "name", ["champion.json", "{}/model.json", "{}/judged.ubj", "{}/split.parquet"]
)
def test_a_damaged_champion_is_reported_before_anything_is_learnt(
    root: Path, do: Train, booster: RecordedBoosting, name: str
) -> None:
    version = do().description.version
    path = root / "models" / name.format(version)
    path.write_bytes(b"{")
    with pytest.raises(StoreError, match=path.name):
        do()
    assert models_in(root) == [version]
    assert len(booster.rows) == 2  # the first training's


# Unusual stores


def test_labels_may_be_any_text(root: Path, do: Train) -> None:
    long = "\N{GUITAR} \u202e" + "a" * 300
    names = ["", "null", "p_x", 'a,b\n"c"\t\\', long, "'; --", "[red]x[/]"]
    fill(root, made_of(*names, each=4))
    outcome = do()
    version = outcome.description.version
    assert outcome.description.classes == sorted(names)
    assert registry.describe(open_store(str(root)), version) == outcome.description
    assert set(outcome.per_class) == set(names)
    metrics = pq.read_table(root / "models" / version / "metrics.parquet")
    assert set(metrics["label"].to_pylist()) == {None, *names}
    again = do().verdict.champion
    assert again
    assert again.earlier == again.newcomer


def test_a_class_of_one_track_is_learnt_and_not_tested(root: Path, do: Train) -> None:
    fill(root, made_of("blues", "rock") | {"only.wav": "jazz"})
    outcome = do()
    assert split_of(root, outcome.description.version)["only.wav"] == "train"
    assert outcome.per_class["jazz"]["support"] == 0
    assert outcome.description.classes == ["blues", "jazz", "rock"]
    score = outcome.description.scores["track"]["macro_f1"]
    assert score == judged_score(root, outcome)


def test_two_tracks_of_each_of_two_classes_are_enough(
    root: Path, do: Train, booster: RecordedBoosting, capfd: pytest.CaptureFixture[str]
) -> None:
    """No validation part is left, and there are too few rows for two workers."""
    fill(root, made_of("blues", "rock", each=2), segments=1)
    described = do().description
    assert Counter(split_of(root, described.version).values()) == {"train": 2, "test": 2}
    err = capfd.readouterr().err
    assert "no track is left for the part 'valid'" in err
    assert "labels with fewer than 5 tracks: 2 of 2, such as 'blues' (2)" in err
    assert (described.rounds, described.stopped_early) == (6, False)
    assert booster.rows == [[2], [4]]
    assert described.workers == 1


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (made_of("blues"), "has the label 'blues'"),
        (dict.fromkeys(("a", "b"), None), "no track .* has a label"),
        ({"a": "blues", "b": "rock"}, "one label needs two tracks"),
        ({}, "has no features"),
    ],
)
def test_unusable_labels_are_refused_and_nothing_is_written(
    root: Path, do: Train, labels: Labels, text: str
) -> None:
    fill(root, labels)
    with pytest.raises(UsageError, match=text):
        do()
    assert not (root / "models").exists()
    assert not (root / "_lock.json").exists()


def test_parts_and_shares_may_lack_classes(root: Path, do: Train) -> None:
    """Each part of the store has one class, so a share may have one class too."""
    labels = made_of("blues", "jazz", "rock")
    own = [[(t, name) for t in labels for _ in range(2) if labels[t] == name] for name in SHIFT]
    make_store(root, *own, shift=SHIFT)
    outcome = do()
    score = outcome.description.scores["track"]["macro_f1"]
    assert score == judged_score(root, outcome)


def test_no_share_is_without_rows_however_many_workers_there_are(
    root: Path, do: Train, booster: RecordedBoosting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.learning.train, "MIN_SHARE_ROWS", 1)
    booster.workers = 40
    outcome = do()
    valid = 2 * len(tracks_of(root, outcome, "valid"))
    # One share per worker, but no more than there are training and validation rows.
    assert [len(rows) for rows in booster.rows] == [valid, 40]
    assert booster.valid_rows == [[1] * valid, []]


def test_old_models_are_removed_by_a_training(root: Path, do: Train) -> None:
    store = open_store(str(root))
    versions = [do().description.version]
    for version in ("20260301T0-x", "20260302T0-x"):
        put_model(store, version, ["blues", "rock"])
    versions.append(do(promote=True, keep_models=1).description.version)
    # Names of the same second are in any order.
    assert models_in(root) == ["20260302T0-x", *sorted(versions)]
    versions.append(do(promote=False, keep_models=0).description.version)
    assert models_in(root) == sorted(versions), (
        "the champion, the last one, and the model that is new"
    )
    versions[2] = do(promote=False, keep_models=0).description.version
    assert models_in(root) == sorted(versions)
    assert champion_of(root) == versions[1]


def test_a_model_that_cannot_be_removed_costs_no_training(
    root: Path, do: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_model(open_store(str(root)), "20260301T0-x", ["blues", "rock"])
    refused = PermissionError(errno.EPERM, "Operation not permitted")
    monkeypatch.setattr(registry, "remove", Mock(side_effect=refused))
    log = io.StringIO()
    outcome = do(keep_models=0, progress=Progress(Console(file=log, width=200)))
    assert champion_of(root) == outcome.description.version
    assert "old models cannot be removed: [Errno 1] Operation not permitted" in log.getvalue()
    monkeypatch.undo()
    registry.remove_old(open_store(str(root)), 0, outcome.description.version)
    assert models_in(root) == [outcome.description.version]


# The fingerprint


def test_the_fingerprint_is_of_the_rows_and_labels_and_not_of_how_they_lie(
    root: Path, do: Train
) -> None:
    tracks = [one for one in made_of("blues", "rock").items() for _ in range(2)]
    store = make_store(root, tracks, [], shift=SHIFT)
    names = store.parts(SEGMENTS)
    rows = store.read_part(names[0])

    def fingerprint_of(*parts: pa.Table) -> str:
        for name, part in zip(names, parts, strict=True):
            write_part(store, name, part)
        return str(do().description.data["fingerprint"])

    first = fingerprint_of(rows, rows[:0])
    assert fingerprint_of(rows[:8:-1], rows[8::-1]) == first
    retuned, relabelled = rows.to_pandas(), rows.to_pandas()
    retuned.loc[0, "tempo"] += 1
    relabelled.loc[relabelled["track_id"] == "rock00.wav", "label"] = "blues"
    changed = (pa.Table.from_pandas(one, rows.schema) for one in (retuned, relabelled))
    assert len({first, *(fingerprint_of(one, rows[:0]) for one in changed)}) == 3
    assert fingerprint_of(rows, rows[:0]) == first
