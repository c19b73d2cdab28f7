"""The comparison of models, against scikit-learn."""

import json
import signal
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from distributed.scheduler import KilledWorker
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import (
    PredefinedSplit,
    cross_val_score,
    cross_validate,
    train_test_split,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from support.command_line import Command
from support.made_stores import Row, make_store, read_rows

from featurizer.feature_set import feature_set
from jobs.errors import RunInterruptedError, UsageError
from jobs.extraction.import_features import import_features
from jobs.learning import compare as compare_module
from jobs.learning import finished_fits
from jobs.learning.compare import (
    Outcome,
    _Assessment,
    _Assignment,
    _Fits,
    choose_models,
    compare,
)
from jobs.learning.split_option import Folds
from jobs.progress import Progress
from jobs.store.folder import Folder
from jobs.store.tables import open_store
from training import classifiers, splits

GTZAN = feature_set("gtzan")
RICH = feature_set("rich")

FEATURES = list(GTZAN.names)
QUICK = ("naive Bayes", "decision tree")


Assess = Callable[..., _Assessment]
Compare = Callable[..., Outcome]


def made_rows(classes: Any) -> np.ndarray:
    """Return random features, shifted by the class."""
    noise = np.random.default_rng(0).normal(size=(len(classes), len(FEATURES)))
    return noise + np.asarray(classes)[:, np.newaxis]


@pytest.fixture
def assess(tmp_path: Path) -> Assess:
    """Assess a model on rows in the format of a comparison's file."""

    def run(
        classes: Any,
        features: Any = None,
        *,
        folds: Any,
        tracks: Any = None,
        recordings: Any = None,
        **options: Any,
    ) -> _Assessment:
        rows = pd.DataFrame(made_rows(classes) if features is None else features, columns=FEATURES)
        rows["track"] = rows.index if tracks is None else tracks
        rows["recording"] = rows["track"] if recordings is None else recordings
        rows = rows.assign(**{"class": classes, "fold 0": folds})
        name = f"{len(list(tmp_path.iterdir()))}.parquet"  # workers cache rows by their name
        rows.to_parquet(tmp_path / name)
        options = {"fold": 0, "model": "any", "leaky": False, **options}
        return compare_module._assess(_Assignment(str(tmp_path), name, "gtzan", 0, **options))

    return run


class Recorder(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A model that warns, keeps its rows, and predicts the class of the first training row."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> "Recorder":
        for text in ("slow\nand more", "slow\nor less", "again"):
            warnings.warn(text, RuntimeWarning, stacklevel=1)
        self.X, self.y = X, y
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        self.asked = X
        return np.full(len(X), self.y[0])


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    found = Recorder()
    monkeypatch.setattr(classifiers, "make_classifier", lambda name: found)
    return found


@pytest.fixture
def do(root: Path, in_process_cluster: str) -> Compare:
    """Compare two of the ten models, unless others are given."""

    def run(*splits: str, **options: Any) -> Outcome:
        options = {"folds": 3, "models": QUICK, "scheduler": in_process_cluster, **options}
        return compare(store=str(root), split=splits, **options)

    return run


def two_parts(tracks: int = 12, segments: int = 5) -> list[list[Row]]:
    """Rows of tracks in two parts, some tracks in both."""
    labels = [*("xy"[i % 2] for i in range(tracks)), None]
    rows = [(f"{i:02}.wav", label) for i, label in enumerate(labels) for _ in range(segments)]
    return [rows[: len(rows) * 2 // 5], rows[len(rows) * 2 // 5 :]]


def table(root: Path) -> pd.DataFrame:
    return pd.read_parquet(root / "comparison")


# One fit


def test_scaling_by_track_sees_the_training_rows_only(assess: Assess, recorder: Recorder) -> None:
    features = made_rows(np.zeros(30))
    fold = np.arange(30) % 3
    features[fold == 1] += 1000  # the test fold
    fold[:6] = -1
    features[:6] -= 1000  # outside
    assess(np.arange(30) % 2, features, folds=fold, fold=1)
    learn, test = (fold == 0) | (fold == 2), fold == 1
    scaler = MinMaxScaler().fit(features[learn])
    assert pytest.approx(scaler.transform(features[learn])) == recorder.X
    assert recorder.asked == pytest.approx(scaler.transform(features[test]))
    assert recorder.asked.min() > 100
    assert recorder.y.tolist() == (np.arange(30) % 2)[learn].tolist()


def test_the_leaky_split_is_the_tutorials(assess: Assess, recorder: Recorder) -> None:
    frame = pd.DataFrame(made_rows(np.zeros(40)) ** 3, columns=FEATURES)
    classes = pd.Series(np.arange(40) % 3)
    found = assess(classes, frame, folds=np.full(40, -1), leaky=True)
    scaled = pd.DataFrame(MinMaxScaler().fit_transform(frame), columns=FEATURES)
    X_train, X_test, y_train, y_test = train_test_split(
        scaled, classes, test_size=0.3, random_state=42
    )
    assert np.array_equal(recorder.X, X_train)
    assert np.array_equal(recorder.asked, X_test)
    assert recorder.y.tolist() == y_train.tolist()
    assert found.scores["accuracy"] == np.mean(y_test == y_train.iloc[0])


@pytest.mark.parametrize("name", ["naive Bayes", "decision tree", "XGB", "XGBRF"])
@pytest.mark.parametrize("learnt", [(0, 2, 5), (1, 4)])
def test_classes_that_were_not_learnt_are_not_predicted(
    assess: Assess, monkeypatch: pytest.MonkeyPatch, name: str, learnt: tuple[int, ...]
) -> None:
    make = classifiers.make_classifier

    def quick(name: str) -> Any:
        model = make(name)
        return model.set_params(n_estimators=5) if name.startswith("XGB") else model

    monkeypatch.setattr(classifiers, "make_classifier", quick)
    # The test fold has a third of the rows of learnt classes, and all rows of the others.
    classes = np.arange(180) % 6
    fold = np.where(np.isin(classes, learnt), np.arange(180) // 6 % 3, 0)
    features = np.repeat(classes[:, np.newaxis] * 1.0, len(FEATURES), axis=1)
    found = assess(classes, features, folds=fold, model=name)
    truth = classes[fold == 0]
    known = np.isin(truth, learnt)
    assert found.scores["accuracy"] == pytest.approx(known.mean())
    assert 0 < (found.scores["macro_f1"] or 0) < len(learnt) / 6


def test_scores_are_scikit_learns_and_tracks_vote(assess: Assess) -> None:
    random = np.random.default_rng(0)
    tracks = np.sort(random.integers(0, 40, 400))
    classes = random.integers(0, 3, 40)[tracks] * 2  # no row is of class 1
    fold = (tracks * 7 % 5).astype(int)
    features = random.normal(size=(400, len(FEATURES))) + 0.1 * classes[:, np.newaxis]
    found = assess(classes, features, tracks=tracks * 3, folds=fold, fold=4, model="decision tree")
    learn, test = fold != 4, fold == 4
    tree = make_pipeline(MinMaxScaler(), DecisionTreeClassifier(random_state=0))
    predicted = tree.fit(features[learn], classes[learn]).predict(features[test])
    of_tracks = pd.DataFrame({"truth": classes[test], "predicted": predicted})
    voted = of_tracks.groupby(tracks[test]).agg(lambda values: values.mode().iloc[0])
    assert found.scores == {
        "accuracy": pytest.approx(accuracy_score(classes[test], predicted)),
        "macro_f1": pytest.approx(f1_score(classes[test], predicted, average="macro")),
        "vote_accuracy": pytest.approx(accuracy_score(voted["truth"], voted["predicted"])),
        "vote_macro_f1": pytest.approx(
            f1_score(voted["truth"], voted["predicted"], average="macro")
        ),
    }
    assert found.scores["vote_accuracy"] != found.scores["accuracy"]
    assert found.seconds > 0
    assert found.warnings == ""


def test_tracks_of_one_row_do_not_vote_unless_others_do(assess: Assess) -> None:
    fold = np.arange(20) // 2 % 2
    alone = assess(np.arange(20) % 2, folds=fold, model="decision tree").scores
    assert alone["vote_accuracy"] is alone["vote_macro_f1"] is None
    # Tracks of the other fold have many rows, so this fold must have votes for the mean too.
    tracks = np.where(fold == 0, np.arange(20), 100)
    found = assess(np.arange(20) % 2, tracks=tracks, folds=fold, model="decision tree").scores
    assert found == alone | {f"vote_{name}": alone[name] for name in ("accuracy", "macro_f1")}


def test_warnings_of_a_library_are_kept(assess: Assess, recorder: Recorder) -> None:
    assert assess([0, 1] * 10, folds=np.arange(20) // 10).warnings == "again; slow"


# The means


def assessment(
    accuracy: float, vote: float | None = None, seconds: float = 1.0, warned: str = ""
) -> _Assessment:
    scores = {"accuracy": accuracy, "macro_f1": accuracy / 2}
    return _Assessment({**scores, "vote_accuracy": vote, "vote_macro_f1": vote}, seconds, warned)


def test_a_row_has_means_and_spreads_over_folds() -> None:
    values = np.array([0.1, 0.7, 0.4, 0.30000000000000004])
    folds = [assessment(one, 1 - one, one * 10, "b" if one > 0.5 else "") for one in values]
    found = compare_module._summary(folds)
    scores = {"accuracy": values, "macro_f1": values / 2}
    for name, expected in (scores | {f"vote_{name}": 1 - values for name in scores}).items():
        assert found[name] == pytest.approx(expected.mean())
        assert found[f"{name}_std"] == pytest.approx(expected.std())
    assert found["seconds"] == pytest.approx(values.mean() * 10)
    assert found["message"] == "b"
    seconds = found.pop("seconds")
    for order in ([3, 1, 0, 2], [2, 3, 1, 0], [1, 0, 3, 2]):
        again = compare_module._summary([folds[i] for i in order])
        assert again.pop("seconds") == pytest.approx(seconds)
        assert again == found
    alone = compare_module._summary([assessment(0.5)])
    assert (alone["accuracy"], alone["accuracy_std"], alone["message"]) == (0.5, 0.0, None)
    assert "vote_accuracy" not in alone


def test_the_interval_of_a_mean_is_that_of_independent_folds() -> None:
    deviations = (0.01, 0.02, 0.02, 0.04)
    folds = [replace(assessment(0.5), deviations={"accuracy": one}) for one in deviations]
    found = compare_module._summary(folds)
    margin = 1.95996 * 0.05 / 4  # the root of the sum of the squares, over the folds
    assert found["accuracy_lower"] == pytest.approx(0.5 - margin, abs=1e-6)
    assert found["accuracy_upper"] == pytest.approx(0.5 + margin, abs=1e-6)
    assert "macro_f1_lower" not in found
    found = compare_module._summary([replace(assessment(1.0), deviations={"accuracy": 0.1})])
    assert found["accuracy_upper"] == 1.0


def test_deviations_are_those_of_the_bootstrap_over_recordings(
    assess: Assess, recorder: Recorder
) -> None:
    found = assess([0, 1] * 10, folds=np.arange(20) // 10)
    assert set(found.deviations) >= {"accuracy", "macro_f1"}
    share = found.scores["accuracy"]
    assert share is not None
    assert found.deviations["accuracy"] == pytest.approx((share * (1 - share) / 10) ** 0.5, rel=0.1)


def test_a_fold_that_failed_says_why_the_row_has_no_scores() -> None:
    error = ValueError("no room\nin here")
    assert compare_module._summary([assessment(0.5), error, OSError(28, "full")]) == {
        "message": "OSError: [Errno 28] full"
    }
    assert compare_module._summary([error, assessment(0.5)])["message"] == "ValueError: no room"
    assert compare_module._summary([MemoryError()])["message"] == "MemoryError: "
    killed = KilledWorker("_assess-1", SimpleNamespace(address="a"), 4)
    assert "too little memory?" in compare_module._summary([killed])["message"]


def test_tasks_of_a_dead_worker_are_retried_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_a_time: list[int] = []
    killed = KilledWorker("_assess-1", SimpleNamespace(address="a"), 4)

    def map_unordered(client: Any, function: Any, arguments: Any, *, tick: Any) -> Any:
        given = [assignment for (assignment,) in arguments]
        at_a_time.append(len(given))
        tick(1)
        for index, assignment in enumerate(given):
            lost = assignment.model == "MLP" or len(given) > 1 and assignment.fold == 0
            yield index, killed if lost else assessment(assignment.fold)

    monkeypatch.setattr(compare_module, "map_unordered", map_unordered)
    fits = make_fits(root)
    fits.run(Mock())
    assert at_a_time == [6, 1, 1, 1, 1]
    scores = [one.scores["accuracy"] for one in fits.of(0, "SVM") if isinstance(one, _Assessment)]
    assert sorted(scores) == [0, 1, 2]
    assert fits.of(0, "MLP") == [killed] * 3


def make_fits(root: Path, digest: str = "rows") -> _Fits:
    """Return fits of two models on three folds."""
    assignments = [
        _Assignment("", "", "gtzan", 0, fold, name, False)
        for name in ("MLP", "SVM")
        for fold in range(3)
    ]
    folds = Folds("by-track", np.arange(6) % 3, (0, 1, 2))
    return _Fits(Folder(str(root)), [folds], [digest], assignments, Progress())


def test_fits_are_kept_as_they_finish_and_taken_for_the_same_rows_only(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    results = [assessment(0.1, 0.3, 1 / 3), assessment(0.7), ValueError("no"), assessment(0.2)]

    def map_unordered(pool: Any, function: Any, arguments: Any, **_: Any) -> Any:
        given = [assignment for (assignment,) in arguments]
        yield from zip([3, 0, 1, 4], results, strict=True)
        assert len(given) == 6
        raise RunInterruptedError(2)

    monkeypatch.setattr(compare_module, "map_unordered", map_unordered)
    first = make_fits(root)
    with pytest.raises(RunInterruptedError):
        first.run(Mock())
    again = make_fits(root)
    # The fit that failed is tried again; the others are equal to the last bit.
    expected = {one: result for one, result in first.results.items() if result is not results[2]}
    assert again.results == expected
    assert again.kept == 3
    assert "fits of an interrupted comparison: 3 of 6" in capfd.readouterr().err
    damaged = root / finished_fits.FOLDER / f"{again._key(again.assignments[0])}.json"
    for text in ("{", '{"score": 1}'):
        damaged.write_text(text)
        assert set(make_fits(root).results) == {again.assignments[i] for i in (3, 4)}
    assert make_fits(root, "other rows").results == {}
    assert make_fits(root).results == {}


def test_scores_are_shown_once_a_model_has_them_for_all_folds(
    root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fits = make_fits(root)
    mlp, svm = fits.assignments[:3], fits.assignments[3:]
    for one, accuracy in zip((svm[0], mlp[0], svm[2]), (0.5, 0.1, 0.7), strict=True):
        fits._add(one, assessment(accuracy))
    assert capfd.readouterr().err == ""
    fits._add(svm[1], assessment(0.9, seconds=4))
    assert capfd.readouterr().err == "SVM, by-track: accuracy 0.700, macro F1 0.350, 2.0 s to fit\n"
    for one in mlp[1:]:
        fits._add(one, MemoryError("of 9 GB"))
    assert capfd.readouterr().err == "MLP, by-track: no scores: MemoryError: of 9 GB\n"


def test_the_time_left_goes_by_the_models_own_fits() -> None:
    assignments = [
        _Assignment("", "", "gtzan", 0, fold, name, False)
        for name in ("MLP", "SVM", "KNN")
        for fold in range(3)
    ]
    results: dict[_Assignment, Any] = {assignments[0]: ValueError()}
    assert compare_module._seconds_left(results, assignments, 2) is None
    results |= {assignments[1]: assessment(1, seconds=100), assignments[3]: assessment(1)}
    results[assignments[4]] = assessment(1, seconds=3)
    # A fit of the MLP and one of the SVM; KNN starts last, so its three take as long as the SVM's.
    assert compare_module._seconds_left(results, assignments, 2) == (100 + 2 + 3 * 2) / 2
    assert compare_module._seconds_left(results, assignments, 0) == 108
    everything = dict.fromkeys(assignments, assessment(1))
    assert compare_module._seconds_left(everything, assignments, 2) == 0


# Whole comparisons


def test_a_comparison_is_a_table_of_models_and_splits(
    do: Compare, root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # The order of rows in the store must not matter.
    store = make_store(root, *(part[::-1] for part in two_parts()[::-1]), shift={"x": 0.3})
    outcome = do("by-track", "random", "by-track")
    assert "tracks without a label, which are left out: 1\n" in capfd.readouterr().err
    found = table(root)
    assert (outcome.level, outcome.failed) == ("segment", 0)
    keys = [(row["model"], row["split"]) for row in outcome.rows]
    assert keys == [(model, split) for model in QUICK for split in ("by-track", "random")]
    assert sorted(keys) == sorted(zip(found["model"], found["split"], strict=True))
    assert (found["run_id"] == outcome.run_id).all()
    assert set(zip(found["split"], found["leaky"], found["folds"], strict=True)) == {
        ("by-track", False, 3),
        ("random", True, 1),
    }
    assert (found[["level", "rows", "tracks"]] == ["segment", 60, 12]).all().all()

    # The same by hand, with rows sorted by track and segment.
    frame = read_rows(root).dropna(subset=["label"]).sort_values(["track_id", "segment"])
    features = frame[FEATURES].to_numpy()
    labels = frame["label"].to_numpy()
    tracks = compare_module.labelled_tracks(store, "gtzan", "segment").tracks
    fold = dict(zip(tracks.ids, splits.folds(tracks, 3), strict=True))
    folds = PredefinedSplit(frame["track_id"].map(fold))
    model = make_pipeline(MinMaxScaler(), GaussianNB())
    by_hand = cross_validate(model, features, labels, cv=folds, scoring=("accuracy", "f1_macro"))
    bayes = found[found["model"] == "naive Bayes"].set_index("split")
    assert bayes["accuracy"]["by-track"] == pytest.approx(by_hand["test_accuracy"].mean())
    assert bayes["accuracy_std"]["by-track"] == pytest.approx(by_hand["test_accuracy"].std())
    assert bayes["macro_f1"]["by-track"] == pytest.approx(by_hand["test_f1_macro"].mean())
    train, test = train_test_split(np.arange(60), test_size=0.3, random_state=42)
    scaled = MinMaxScaler().fit_transform(features)
    leaky = GaussianNB().fit(scaled[train], labels[train]).score(scaled[test], labels[test])
    assert bayes["accuracy"]["random"] == pytest.approx(leaky)

    (run,) = pd.read_parquet(root / "runs").to_dict("records")
    assert (run["stage"], run["outcome"], run["workers"]) == ("compare", "done", 2)
    assert not list((root / "_work").glob("compare*"))


def test_a_model_that_fails_costs_its_own_row_only(
    do: Compare, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(root, *two_parts())
    too_much = ValueError("it is too much\nfor me")
    monkeypatch.setattr(DecisionTreeClassifier, "fit", Mock(side_effect=too_much))
    outcome = do("by-track")
    assert outcome.failed == 1
    found = table(root).set_index("model")
    assert found.loc["decision tree", "message"] == "ValueError: it is too much"
    scores = [name for name in found.columns if name.startswith(("accuracy", "macro", "vote"))]
    assert found.loc["decision tree", [*scores, "seconds"]].isna().all()
    assert found.loc["naive Bayes", scores].notna().all()
    assert compare_module.as_json(outcome)["failed"] == 1


def test_a_comparison_replaces_its_own_rows_only(do: Compare, root: Path) -> None:
    make_store(root, *two_parts(), level="track")
    make_store(root, *two_parts())
    runs = {"tracks": do("by-track", level="track").run_id, "both": do("random", "by-track").run_id}
    before = table(root)
    runs["again"] = do("by-track").run_id
    found = table(root)
    by_run = found.groupby(["level", "split"])["run_id"].agg(set).to_dict()
    assert by_run == {
        ("track", "by-track"): {runs["tracks"]},
        ("segment", "random"): {runs["both"]},
        ("segment", "by-track"): {runs["again"]},
    }
    assert len(found) == len(before) == 6
    keys = ["level", "split", "model"]
    kept = found[found["run_id"] != runs["again"]].set_index(keys).sort_index()
    pd.testing.assert_frame_equal(kept, before.set_index(keys).loc[kept.index])


def test_workers_that_stay_read_the_rows_of_today(do: Compare, root: Path) -> None:
    make_store(root, *two_parts(), shift={"x": 50})
    assert {row["accuracy"] for row in do("by-track").rows} == {1.0}
    make_store(root, *two_parts())
    assert max(row["accuracy"] for row in do("by-track").rows) < 0.9


def test_of_too_many_rows_whole_tracks_are_drawn(
    do: Compare, root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # A track that is too long must not exclude the others.
    make_store(root, *two_parts(20, 4), [("99.wav", "x")] * 60)
    monkeypatch.setattr(compare_module, "MAX_ROWS", 50)
    rows = do("by-track", "random").rows
    assert {(row["rows"], row["tracks"]) for row in rows} == {(48, 12)}
    assert all(row["accuracy"] is not None for row in rows)
    warning = "140 rows are too many to compare models. A random sample is used: 48 rows of 12"
    assert warning in capfd.readouterr().err


def test_tracks_outside_a_file_take_no_part(do: Compare, root: Path, tmp_path: Path) -> None:
    make_store(root, *two_parts())
    path = tmp_path / "split.csv"
    path.write_text("track_id,test_fold\n00,a\n01,a\n02,b\n03,b\n04,c\n05,c\n")
    for row in do(str(path)).rows:
        assert (row["split"], row["leaky"], row["folds"]) == (str(path), False, 3)
        assert (row["rows"], row["tracks"]) == (30, 6)


def test_labels_that_look_like_albums_are_pointed_out(
    do: Compare, root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_store(root, [(f"{i:02}.wav", f"CD{i // 2:02}") for i in range(40)], level="track")
    do("random", models="naive-Bayes")
    assert "most of the 20 labels have fewer than 20 tracks, such as 'CD00' (2)" in (
        capfd.readouterr().err
    )
    make_store(root, [(f"{i}.wav", "xxxxxxyyyz"[i]) for i in range(10)], level="track")
    do("random", models="naive-Bayes")
    assert "fewer" not in capfd.readouterr().err
    do("by-track", models="naive-Bayes")
    warning = "labels with fewer than 3 tracks: 1 of 3, such as 'z' (1)"
    assert warning in capfd.readouterr().err


def test_a_split_that_does_not_fit_changes_nothing(do: Compare, root: Path) -> None:
    make_store(root, *two_parts())
    with pytest.raises(UsageError, match="too few for 13 folds"):
        do("random", "by-track", folds=13)
    assert not (root / "comparison").exists()
    assert not list((root / "_work").glob("compare*"))


def test_an_interrupted_comparison_goes_on_from_its_finished_fits(
    do: Compare,
    root: Path,
    command: Command,
    in_process_cluster: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_store(root, *two_parts())
    expected = {row["model"]: row["accuracy"] for row in do("by-track").rows}
    arguments = ["compare", "--store", root, "--folds", 3, "--scheduler", in_process_cluster]
    arguments += ["--models", "naive-Bayes,decision-tree", "--json"]
    write = finished_fits.write
    written = []

    def write_and_interrupt(*result: Any) -> None:
        write(*result)
        written.append(result)
        if len(written) == 4:
            raise RunInterruptedError(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(finished_fits, "write", write_and_interrupt)
        code, _, err = command(*arguments)
    assert code == 143
    assert "decision tree, by-track: accuracy" in err
    assert len(list((root / finished_fits.FOLDER).iterdir())) == 4
    code, out, err = command(*arguments)
    assert code == 0
    assert "fits of an interrupted comparison: 4 of 6" in err
    found = json.loads(out)
    assert found["kept"] == 4
    assert {row["model"]: row["accuracy"] for row in found["rows"]} == expected
    assert not (root / finished_fits.FOLDER).exists()


# The choice of models and features


def test_models_are_chosen_by_name_and_an_unknown_name_lists_them() -> None:
    assert choose_models("tutorial") == classifiers.CLASSIFIERS
    wanted = (*classifiers.CLASSIFIERS, "LDA", "tuned SVM")
    for names in ("LDA,tuned-SVM,tutorial", "tutorial, tuned svm ,lda", wanted[::-1]):
        assert choose_models(names) == wanted
    every = (*classifiers.CLASSIFIERS, *classifiers.MORE_CLASSIFIERS)
    assert choose_models(",".join(every).upper()) == every
    assert choose_models("svm,xgboost,tuned-XGBoost") == ("SVM", "XGB", "tuned XGB")
    known = "use tutorial, naive-Bayes, .*, LDA, tuned-SVM, tuned-XGB"
    for wrong in ("LDA,QDA", ["QDA"], "", "LDA,"):
        with pytest.raises(UsageError, match=known):
            choose_models(wrong)


def test_rich_features_have_a_table_of_their_own_and_lda_is_scikit_learns(
    do: Compare, root: Path
) -> None:
    parts = two_parts(60, 1)
    make_store(root, *parts)
    make_store(root, *parts, features="rich", level="track", shift={"x": 0.2})
    outcome = do("by-track", models="LDA")
    assert (outcome.features, outcome.level) == ("rich", "track")
    do("by-track", features="gtzan")
    assert set(table(root)["model"]) == set(QUICK)
    (found,) = pd.read_parquet(root / "comparison-rich").to_dict("records")
    frame = read_rows(root, "track", "rich").dropna(subset=["label"]).sort_values("track_id")
    tracks = compare_module.labelled_tracks(open_store(str(root)), "rich", "track").tracks
    clip = FunctionTransformer(np.clip, kw_args={"a_min": -4, "a_max": 4})
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3)
    accuracies = cross_val_score(
        make_pipeline(StandardScaler(), clip, lda),
        frame[list(RICH.names)].to_numpy(np.float64),
        frame["label"],
        cv=PredefinedSplit(splits.folds(tracks, 3)),
    )
    assert (found["model"], found["rows"]) == ("LDA", 60)
    assert found["accuracy"] == pytest.approx(accuracies.mean())
    assert 0.6 < found["accuracy"] < 1


# The tutorial

TUTORIAL = {"naive Bayes": 0.502, "SGD": 0.670, "KNN": 0.803, "decision tree": 0.626}
TUTORIAL |= {"SVM": 0.730, "logistic regression": 0.671}
"""Scores of its code with the 57 features, without `length`, and current libraries."""


def test_the_tutorials_split_gives_its_scores(do: Compare, root: Path, shared_data: Path) -> None:
    import_features([str(shared_data / "gtzan" / "features_3_sec.csv")], store=str(root))
    found = do("random", models=tuple(TUTORIAL))
    scores = {row["model"]: row["accuracy"] for row in found.rows}
    assert scores == pytest.approx(TUTORIAL, abs=0.015)
