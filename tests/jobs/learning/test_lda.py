"""Trainings of linear discriminant analyses, and the choice of a kind of model, by scikit-learn."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from rich.console import Console
from scipy.special import softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from support.in_process import RecordedBoosting
from support.made_models import champion_of, read_predictions
from support.made_stores import make_store, read_rows, write_part

from featurizer.feature_set import feature_set
from jobs.errors import StoreError, UsageError
from jobs.learning import dataset, distributed_lda, judge, ordered, registry
from jobs.learning.dataset import RowPlan, labelled_tracks
from jobs.learning.predict_files import predict_files
from jobs.learning.predict_store import predict_all
from jobs.learning.train import Outcome, train
from jobs.progress import Progress
from jobs.store.schemas import features_folder
from jobs.store.tables import Store
from training.evaluate import macro_f1
from training.lda import TEMPERATURES
from training.model import Model
from training.predictor import to_bytes

RICH, GTZAN = feature_set("rich"), feature_set("gtzan")

LABELS: dict[str, str | None] = {
    f"{name}{i:02}.wav": name for i in range(16) for name in ("blues", "jazz", "rock")
}
"""48 tracks, far fewer than the rich features have columns."""

SHIFT: dict[str | None, float] = {"blues": 0.0, "jazz": 0.12, "rock": 0.24}

Train = Callable[..., Outcome]


def fill_rich(
    root: Path, labels: dict[str, str | None] = LABELS, shift: dict[str | None, float] = SHIFT
) -> Store:
    """A store of rich features in two parts, with a constant column and outliers."""
    rows = list(labels.items())
    options: Any = {"features": "rich", "level": "track", "shift": shift}
    store = make_store(root, rows[:20], [], rows[20:], **options)

    def spoil(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(**{RICH.names[3]: 0.25, RICH.names[7]: frame[RICH.names[7]] ** 5})

    edit_rows(store, spoil)
    return store


def edit_rows(store: Store, edit: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Edit the rows of each part of the rich features."""
    for name in store.parts(features_folder("rich", "track")):
        rows = store.read_part(name)
        write_part(store, name, pa.Table.from_pandas(edit(rows.to_pandas()), rows.schema))


@pytest.fixture
def booster(monkeypatch: pytest.MonkeyPatch) -> RecordedBoosting:
    return RecordedBoosting(monkeypatch)


@pytest.fixture
def do(root: Path, booster: RecordedBoosting, in_process_cluster: str) -> Train:
    return lambda **options: train(store=str(root), scheduler=in_process_cluster, **options)


def scikit_learns(rows: pd.DataFrame) -> Any:
    """Return scikit-learn's analysis of clipped z-scores of rich rows."""
    clip = FunctionTransformer(np.clip, kw_args={"a_min": -4, "a_max": 4})
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3)
    pipeline = make_pipeline(StandardScaler(), clip, lda)
    return pipeline.fit(rows[list(RICH.names)].to_numpy(np.float64), rows["label"])


def rows_of(root: Path, outcome: Outcome, *parts: str) -> pd.DataFrame:
    """Return the rich rows of the tracks of some parts of a training's split."""
    split = pd.read_parquet(root / "models" / outcome.description.version / "split.parquet")
    tracks = split["track_id"][split["set"].isin(parts)]
    rows = read_rows(root, "track", "rich")
    return rows[rows["track_id"].isin(tracks)].sort_values("track_id", ignore_index=True)


def probabilities(model: Model, rows: pd.DataFrame) -> np.ndarray:
    return model.probabilities(rows[model.description.columns].to_numpy())


# The analysis


def temperature_of(root: Path, outcome: Outcome) -> float:
    """Return the temperature that suits the validation part best, by scikit-learn's scores."""
    valid = rows_of(root, outcome, "valid")
    theirs = scikit_learns(rows_of(root, outcome, "train"))
    scores = theirs.decision_function(valid[list(RICH.names)].to_numpy(np.float64))
    losses = [log_loss(valid["label"], softmax(scores / t, axis=1)) for t in TEMPERATURES]
    found = float(TEMPERATURES[np.argmin(losses)])
    assert found > 1
    assert outcome.description.parameters["temperature"] == found
    return found


def test_it_is_scikit_learns_of_the_same_rows(root: Path, do: Train) -> None:
    store = fill_rich(root, {**LABELS, "nobody.wav": None})
    outcome = do(model="lda")
    described = outcome.description
    assert (described.kind, described.level, described.rounds) == ("lda", "track", 0)
    assert (described.feature_set, described.columns) == ("rich-458.1", list(RICH.names))
    assert not described.stopped_early
    test = rows_of(root, outcome, "test")
    for stem, parts in (("judged", ("train",)), ("model", ("train", "valid", "test"))):
        theirs = scikit_learns(rows_of(root, outcome, *parts))
        given = probabilities(registry.load(store, described.version, stem), test)
        expected = theirs.decision_function(test[list(RICH.names)].to_numpy(np.float64))
        expected = softmax(expected / temperature_of(root, outcome), axis=1)
        assert list(theirs.classes_) == described.classes
        np.testing.assert_allclose(given, expected, atol=1e-6)
        if stem == "judged":
            found = outcome.description.scores["track"]
            assert found["accuracy"] == np.mean(theirs.classes_[given.argmax(axis=1)] == test.label)
            assert 0.4 < found["accuracy"] < 1
            truth = np.searchsorted(described.classes, test["label"])
            assert found["macro_f1"] == pytest.approx(macro_f1(truth, given.argmax(axis=1)))
    folder = root / "models" / described.version
    assert {path.suffix for path in folder.iterdir()} == {".npz", ".json", ".parquet"}
    with np.load(folder / "model.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype.kind in "fU" for name in arrays)


def test_the_probabilities_of_segments_are_not_tempered(root: Path, do: Train) -> None:
    make_store(root, [row for row in LABELS.items() for _ in range(2)], shift=SHIFT)
    described = do(model="lda").description
    assert described.level == "segment"
    assert described.parameters["temperature"] == 1


def in_this_process(order: Callable[[list[int]], list[int]]) -> Callable[..., Any]:
    """Return a stand-in for ``map_unordered`` whose calls finish in a given order."""

    def map_unordered(pool: Any, function: Any, arguments: Any, *, tick: Any) -> Any:
        given = list(arguments)
        yield from ((i, function(*given[i])) for i in order(list(range(len(given)))))

    return map_unordered


def test_any_order_and_number_of_workers_gives_the_same_bits(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "READ_ROWS", 7)
    monkeypatch.setattr(distributed_lda, "BLOCK_ROWS", 3)
    store = fill_rich(root)
    labelled = labelled_tracks(store, "rich", "track")
    plan = RowPlan(store, labelled, "_work/roster.parquet", np.zeros(len(LABELS)))
    random = np.random.default_rng(0)
    made = set()
    orders: list[Callable[[list[int]], list[int]]] = [list, lambda tasks: tasks[::-1]]
    orders.append(lambda tasks: random.permutation(tasks).tolist())
    for order in orders:
        monkeypatch.setattr(ordered, "map_unordered", in_this_process(order))
        pool: Any = None
        lda = distributed_lda.fit_lda(pool, lambda: plan.pieces((0,)), labelled, tick=int)
        lda = distributed_lda.calibrate(pool, plan.pieces((0,)), lda, tick=int)
        made.add(to_bytes(lda))
    assert len(made) == 1
    # Another division rounds otherwise, in the last digits.
    monkeypatch.setattr(distributed_lda, "BLOCK_ROWS", 5)
    other = distributed_lda.fit_lda(pool, lambda: plan.pieces((0,)), labelled, tick=int)
    np.testing.assert_allclose(other.coefficients, lda.coefficients, rtol=1e-9, atol=1e-10)


# The kind of model


def test_of_both_kinds_the_better_one_on_the_validation_part_is_judged(
    root: Path, do: Train, booster: RecordedBoosting
) -> None:
    store = fill_rich(root, shift={"jazz": 0.25, "rock": 0.5})
    outcome = do()
    described = outcome.description
    # Six rounds of trees learn little from 458 columns.
    assert described.kind == "lda"
    assert set(described.candidates) == {"lda", "xgboost"}
    assert described.candidates["lda"] > described.candidates["xgboost"]
    valid = rows_of(root, outcome, "valid")
    given = probabilities(registry.load(store, described.version, "judged"), valid)
    truth = np.searchsorted(described.classes, valid["label"])
    assert described.candidates["lda"] == pytest.approx(macro_f1(truth, given.argmax(axis=1)))
    assert [sum(rows) for rows in booster.rows] == [described.split["tracks"]["train"]]
    assert json.loads((root / "models" / described.version / "model.json").read_bytes())[
        "candidates"
    ] == pytest.approx(described.candidates)


def test_trees_are_kept_where_no_line_divides_the_classes(root: Path, do: Train) -> None:
    labels = {f"{name}{i:02}.wav": name for i in range(40) for name in ("even", "odd")}
    store = fill_rich(root, labels, shift={})

    def divide(frame: pd.DataFrame) -> pd.DataFrame:
        # Both classes have the same mean: one is near it, and the other one far.
        far = np.where(frame["label"] == "odd", 3.0, 0.1)
        sign = np.where(np.arange(len(frame)) % 4 < 2, 1.0, -1.0)
        return frame.assign(**dict.fromkeys(RICH.names[:200], sign * far))

    edit_rows(store, divide)
    described = do().description
    assert described.kind == "xgboost"
    assert described.candidates["xgboost"] == 1.0
    assert described.candidates["lda"] < 0.9


@pytest.mark.parametrize(("features", "kind"), [("rich", "lda"), ("gtzan", "xgboost")])
def test_without_a_validation_part_the_features_choose(
    root: Path, do: Train, features: str, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    make_store(root, LABELS.items(), features=features, level="track")
    path = root.with_name("split.csv")
    sets = [("train", "train", "test")[i % 3] for i in range(len(LABELS))]
    pd.DataFrame({"track_id": list(LABELS), "set": sets}).to_csv(path)
    described = do(split=str(path)).description
    assert (described.kind, described.candidates) == (kind, {})
    said = capfd.readouterr().err
    assert (
        f"no track is left for the part 'valid' to choose a kind of model by: --model {kind}"
        in (said)
    )
    assert ("without early stopping" in said) == (kind == "xgboost")


def test_two_tracks_of_each_of_two_classes_are_enough_for_trees(
    root: Path, do: Train, capfd: pytest.CaptureFixture[str]
) -> None:
    labels = {"a": "x", "b": "x", "c": "y", "d": "y"}
    make_store(root, labels.items(), features="rich", level="track")
    assert do().description.kind == "xgboost"
    assert "no class has two rows that differ" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (
            lambda frame: frame.assign(**dict.fromkeys(RICH.names, 1.0)),
            "no class has two rows that differ",
        ),
        (
            lambda frame: frame.assign(chroma_entropy_mean=np.nan),
            "column chroma_entropy_mean has the value nan",
        ),
    ],
)
def test_rows_that_have_no_analysis_are_refused_and_left_to_trees(
    root: Path, do: Train, spoil: Any, error: str
) -> None:
    edit_rows(fill_rich(root), spoil)
    make_store(root, LABELS.items(), level="track")  # these tell the recordings apart
    with pytest.raises(UsageError, match=f"{error}.* --model xgboost"):
        do(model="lda")
    assert not (root / "models").exists()
    log = io.StringIO()
    outcome = do(progress=Progress(Console(file=log, width=300)))
    assert outcome.description.kind == "xgboost"
    assert error in log.getvalue()


# Champions of another kind and feature set


def score_of(store: Store, outcome: Outcome) -> float:
    """Return the macro F1 out of fold of all tracks, from rows of the model's features."""
    described = outcome.description
    features = "rich" if described.feature_set == RICH.version else "gtzan"
    root = Path(store.storage.root)
    rows = read_rows(root, described.level, features)
    folds = pd.read_parquet(root / "models" / described.version / "folds.parquet")
    fold_of = rows["track_id"].map(folds.set_index("track_id")["fold"]).to_numpy()
    given = np.zeros((len(rows), len(described.classes)))
    for fold in range(5):
        model = registry.load(store, described.version, f"fold-{fold}")
        given[fold_of == fold] = probabilities(model, rows[fold_of == fold])
    means = pd.DataFrame(given).groupby(rows["track_id"].to_numpy()).mean()
    truth = rows.groupby("track_id")["label"].first()[means.index]
    return macro_f1(np.searchsorted(described.classes, truth), means.to_numpy().argmax(axis=1))


@pytest.mark.parametrize(("level", "turn"), [("segment", 1), ("track", -1)])
def test_models_of_other_features_are_judged_on_the_same_tracks_by_rows_of_their_own(
    root: Path, do: Train, level: Any, turn: int
) -> None:
    fill_rich(root)
    rows = [row for row in LABELS.items() for _ in range(2 if level == "segment" else 1)]
    store = make_store(root, rows, level=level, shift={"jazz": 0.4, "rock": 0.8})
    kinds = [
        {"features": "gtzan", "model": "xgboost"},
        {"features": "rich", "model": "lda"},
    ][::turn]
    first, second = (do(**options, promote=True) for options in kinds)
    assert [first.description.level, second.description.level] == [level, "track"][::turn]
    assert first.verdict.reason == "it is the first"
    compared = second.verdict.champion
    assert compared
    assert compared.tracks == len(LABELS)
    assert compared.newcomer == pytest.approx(score_of(store, second))
    assert compared.earlier == pytest.approx(score_of(store, first))
    assert compared.newcomer != compared.earlier
    assert champion_of(root) == second.description.version
    # The same split: neither was trained on the other's test tracks.
    assert rows_of(root, first, "test").equals(rows_of(root, second, "test"))


def test_a_champion_of_a_feature_set_that_was_dropped_does_not_predict_and_is_replaced(
    root: Path, do: Train, tmp_path: Path, in_process_cluster: str
) -> None:
    fill_rich(root)
    do(model="lda")
    models = root.rename(tmp_path / "with-rich") / "models"
    make_store(root, LABELS.items(), level="track", shift=SHIFT)
    models.rename(root / "models")
    with pytest.raises(StoreError, match=r"needs the feature set rich-458\.1, and the rows have"):
        predict_all(store=str(root), scheduler=in_process_cluster)
    verdict = do(model="lda").verdict
    assert verdict.promoted
    assert "cannot be judged: the model" in verdict.reason
    assert "needs the feature set rich-458.1, and the rows have gtzan-57.1" in verdict.reason


# Importance


def test_blocks_of_many_columns_are_shuffled_too(
    root: Path, do: Train, booster: RecordedBoosting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "MIN_BLOCK_COLUMNS", 57)
    monkeypatch.setattr("jobs.learning.train.importance", booster.importance)
    monkeypatch.setattr(ordered, "map_unordered", in_this_process(lambda tasks: tasks[::-1]))
    make_store(root, LABELS.items(), level="track", shift=SHIFT)
    outcome = do(model="lda")
    file = root / "models" / outcome.description.version / "importance.parquet"
    found = pd.read_parquet(file).set_index("feature")["mean"]
    blocks = [f"{block}_*" for block in dict.fromkeys(column.block for column in GTZAN.columns)]
    assert sorted(found.index) == sorted([*GTZAN.names, *blocks])
    assert found.is_monotonic_decreasing
    assert found["mfcc_*"] > found[[f"mfcc{i}_mean" for i in range(1, 21)]].max()
    # A block of one column is that column.
    assert found["tempo_*"] == found["tempo"]


# Predictions


def test_tracks_with_rich_features_are_predicted_and_others_are_counted(
    root: Path, do: Train, in_process_cluster: str, capfd: pytest.CaptureFixture[str]
) -> None:
    store = fill_rich(root)
    make_store(root, [*LABELS.items(), ("short.wav", "jazz")], level="track")
    version = do(model="lda").description.version
    outcome = predict_all(store=str(root), scheduler=in_process_cluster)
    assert (outcome.tracks, outcome.model) == (len(LABELS), version)
    assert "tracks without rich features, which get no prediction: 1" in capfd.readouterr().err
    found = read_predictions(root, "track")
    rows = read_rows(root, "track", "rich").sort_values("track_id")
    folds = pd.read_parquet(root / "models" / version / "folds.parquet")
    assert found["track_id"].tolist() == rows["track_id"].tolist() == folds["track_id"].tolist()
    for fold in range(5):
        held_out = (folds["fold"] == fold).to_numpy()
        expected = probabilities(registry.load(store, version, f"fold-{fold}"), rows[held_out])
        given = found.loc[held_out, ["p_blues", "p_jazz", "p_rock"]]
        np.testing.assert_allclose(given, expected, atol=1e-6)
    with pytest.raises(UsageError, match="was trained on tracks"):
        predict_all(store=str(root), segments=True, scheduler=in_process_cluster)


def test_a_recording_too_short_for_the_models_features_has_no_prediction(
    root: Path, do: Train, tmp_path: Path
) -> None:
    from support.recordings import write_recording

    fill_rich(root)
    do(model="lda")
    write_recording(tmp_path / "short.wav", 0)
    outcome = predict_files([str(tmp_path / "short.wav")], store=str(root))
    (found,) = outcome.files
    assert (outcome.failed, found.predicted, found.error) == (1, None, "too-short")
    message = found.message or ""
    assert "rich features need at least 10" in message
    assert message.endswith("`predict --features gtzan` takes shorter ones.")


def test_a_recording_is_predicted_by_the_models_features(
    root: Path, do: Train, tmp_path: Path
) -> None:
    import soundfile

    from featurizer.extract import extract

    store = fill_rich(root)
    version = do(model="lda").description.version
    path = tmp_path / "noise.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(10 * 22050), 22050)
    (found,) = predict_files([str(path)], store=str(root)).files
    row = extract(str(path), sets=("rich",)).rows["rich"].track
    assert row is not None
    given = registry.load(store, version).probabilities(row[np.newaxis])[0]
    assert [found.probabilities[name] for name in ("blues", "jazz", "rock")] == given.tolist()
    assert found.segments == []
